/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_pages.c - page requests that share a list or a hash without being alike, and those that come
 * while what they belong to goes.
 */
#include "debug.h"
#include "gap.h"

#include <string.h>

#define PASID 40u
#define ROOM 8u

/* A device that asks, and the domain whose queue hears of it. */
struct asker {
    struct inject_world *world;
    struct ciommu_domain *domain;
    struct ciommu_page_queue *queue;
    struct ciommu_device *device;
    struct ciommu_page_interface *interface;
    uint32_t ready;   /* calls */
    uint32_t answers; /* calls */
    struct ciommu_page_answer last;
    bool destroys; /* the queue, in the next answer */
};

static void hear_ready(void *context) {
    struct asker *asker = context;
    asker->ready++;
}

static void hear_answer(void *context, const struct ciommu_page_answer *answer) {
    struct asker *asker = context;
    asker->answers++;
    asker->last = *answer;
    if (asker->destroys) {
        asker->destroys = false;
        ciommu_page_queue_destroy(asker->queue);
        asker->queue = NULL;
    }
}

static struct ciommu_domain *make_domain(struct inject_world *world) {
    struct ciommu_paging_config config;
    struct ciommu_domain *domain = NULL;
    ciommu_paging_config_init(&config);
    EXPECT(world, ciommu_paging_create(world->unit, &config, &domain) == CIOMMU_OK);
    return domain;
}

static void make(struct asker *asker, struct inject_world *world, uint32_t groups) {
    const struct ciommu_device_config device = {
        .size = sizeof device, .source = INJECT_FREE, .id = 50, .share = CIOMMU_SHARE_WHOLE};
    struct ciommu_page_interface_config interface = inject_interface_config();
    struct ciommu_page_queue_config queue = inject_page_config();
    *asker = (struct asker){.world = world};
    interface.source = INJECT_FREE;
    interface.device = 50;
    interface.handler = hear_answer;
    interface.context = asker;
    queue.groups = groups;
    queue.timeout = UINT64_MAX;
    queue.ready = hear_ready;
    queue.context = asker;
    asker->domain = make_domain(world);
    EXPECT(world, ciommu_device_create(world->unit, NULL, &device, &asker->device) == CIOMMU_OK);
    EXPECT(world, ciommu_device_attach(asker->device, PASID, asker->domain) == CIOMMU_OK);
    EXPECT(world, ciommu_page_queue_create(world->unit, asker->domain, &queue, &asker->queue) ==
                      CIOMMU_OK);
    EXPECT(world,
           ciommu_page_interface_create(world->unit, &interface, &asker->interface) == CIOMMU_OK);
}

static void end(struct asker *asker) {
    EXPECT(asker->world, ciommu_device_destroy(asker->device, NULL) == CIOMMU_OK);
    ciommu_page_interface_destroy(asker->interface);
    ciommu_page_queue_destroy(asker->queue);
    EXPECT(asker->world, ciommu_domain_destroy(asker->domain) == CIOMMU_OK);
}

static void ask(struct asker *asker, uint32_t group, uint64_t address, uint32_t access, bool last) {
    const struct ciommu_page_request request = {.size = sizeof request,
                                                .pasid = PASID,
                                                .address = address,
                                                .access = access,
                                                .group = group,
                                                .flags = last ? CIOMMU_PAGE_LAST : 0};
    EXPECT(asker->world, ciommu_page_request(asker->interface, NULL, &request) == CIOMMU_OK);
}

/* The oldest group: its number, how many pages it has, and which is the last. */
static void expect_group(struct asker *asker, uint32_t number, uint32_t count, uint64_t last) {
    struct ciommu_page pages[ROOM] = {0};
    struct ciommu_page_group group = {.size = sizeof group, .capacity = ROOM, .pages = pages};
    EXPECT(asker->world, ciommu_page_read(asker->queue, &group) == CIOMMU_OK);
    EXPECT(asker->world, group.group == number && group.count == count);
    EXPECT(asker->world, count != 0 && pages[count - 1].address == last);
    EXPECT(asker->world,
           ciommu_page_respond(asker->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == CIOMMU_OK);
    EXPECT(asker->world, asker->last.group == number && asker->last.code == CIOMMU_PAGE_SUCCESS);
}

static void expect_none(struct asker *asker) {
    struct ciommu_page_group group = {.size = sizeof group};
    EXPECT(asker->world, ciommu_page_read(asker->queue, &group) == CIOMMU_NOT_FOUND);
}

/* ---- Lists ---- */

/* Two groups that are open in one list: parts of each join their own. */
static void open_groups_share_a_list(struct inject_world *world) {
    struct asker asker;
    make(&asker, world, 8);
    ask(&asker, 1, 0x1000, CIOMMU_READ, false);
    ask(&asker, 1 + 64, 0x2000, CIOMMU_READ, false);
    ask(&asker, 1 + 64, 0x3000, CIOMMU_READ, false);
    ask(&asker, 1 + 64, 0x4000, CIOMMU_READ, true);
    ask(&asker, 1, 0x5000, CIOMMU_READ, true);
    expect_group(&asker, 1 + 64, 3, 0x4000);
    expect_group(&asker, 1, 2, 0x5000);
    expect_none(&asker);
    EXPECT(world, asker.answers == 2);
    end(&asker);
}

/* ---- Hashes ---- */

#define FACTOR UINT64_C(0x9e3779b97f4a7c15)

/* What page_group.c adds to a group's hash for a page, and its inverse. */
static uint64_t mix(uint64_t page) {
    uint64_t mixed = page * FACTOR;
    return mixed ^ mixed >> 29;
}

static uint64_t unmix(uint64_t sum) {
    uint64_t mixed = sum ^ sum >> 29 ^ sum >> 58;
    uint64_t inverse = FACTOR; /* right in 3 bits, then in twice as many each time */
    for (uint32_t time = 0; time < 5; time++) {
        inverse *= 2 - FACTOR * inverse;
    }
    return mixed * inverse;
}

/* A guest can choose pages whose hashes add up to that of others: they are not taken for alike. */
static void hashes_are_forged(struct inject_world *world) {
    struct asker asker;
    const uint64_t sum = mix(0x1000 | CIOMMU_READ) + mix(0x2000 | CIOMMU_READ);
    uint64_t first = 0x3000;
    uint64_t second = 0;
    bool found = false;
    for (; !found; first += 0x1000) {
        second = unmix(sum - mix(first | CIOMMU_READ));
        found = (second & 0xfff) == CIOMMU_READ && second < UINT64_C(1) << 48;
    }
    first -= 0x1000;
    EXPECT(world, mix(first | CIOMMU_READ) + mix(second) == sum);
    make(&asker, world, 8);
    ask(&asker, 1, 0x1000, CIOMMU_READ, false);
    ask(&asker, 1, 0x2000, CIOMMU_READ, true);
    ask(&asker, 2, first, CIOMMU_READ, false);
    ask(&asker, 2, second, CIOMMU_READ, true);
    expect_group(&asker, 1, 2, 0x2000);
    EXPECT(world, asker.answers == 1); /* the other one followed nobody */
    expect_group(&asker, 2, 2, second & ~UINT64_C(0xfff));
    EXPECT(world, asker.answers == 2);
    end(&asker);
}

/* ---- What goes ---- */

static void blocked_domains_are_asked(struct inject_world *world) {
    struct asker asker;
    make(&asker, world, 8);
    EXPECT(world, ciommu_device_replace(asker.device, NULL, PASID,
                                        ciommu_domain_blocked(world->unit)) == CIOMMU_OK);
    ask(&asker, 3, 0x1000, CIOMMU_READ, true);
    EXPECT(world, asker.answers == 1 && asker.last.code == CIOMMU_PAGE_INVALID);
    EXPECT(world, asker.last.cause == CIOMMU_PAGE_BY_NOT_ATTACHED && asker.last.group == 3);
    expect_none(&asker);
    end(&asker);
}

/* The queue overflows; whoever hears of it destroys the queue before its owner was told: the owner
 * is told nothing any more. */
static void a_queue_goes_before_it_is_announced(struct inject_world *world) {
    struct asker asker;
    make(&asker, world, 1);
    ask(&asker, 1, 0x1000, CIOMMU_READ, true);
    EXPECT(world, asker.ready == 1 && asker.answers == 0);
    asker.destroys = true;
    ask(&asker, 2, 0x2000, CIOMMU_READ, true);
    EXPECT(world, asker.queue == NULL && asker.answers == 2 && asker.ready == 1);
    ask(&asker, 3, 0x3000, CIOMMU_READ, true);
    EXPECT(world, asker.answers == 3 && asker.last.code == CIOMMU_PAGE_FAILURE);
    EXPECT(world, asker.last.cause == CIOMMU_PAGE_BY_NOBODY && asker.ready == 1);
    end(&asker);
}

#ifdef CIOMMU_INTERNAL_CHECKS
static struct asker *replaced;

static void ask_meanwhile(enum ciommu_yield_point point) {
    struct asker *asker = replaced;
    if (point == CIOMMU_YIELD_BEFORE_DRAIN && asker != NULL) {
        replaced = NULL;
        ask(asker, 7, 0x2000, CIOMMU_READ, true);
    }
}

/* A group's second part comes when the domain that had the first one was just replaced: it is a
 * group of its own, and the first part is dropped. */
static void a_group_is_begun_anew(struct inject_world *world) {
    struct asker asker;
    struct ciommu_page_queue_config config = inject_page_config();
    struct ciommu_page_queue *old;
    make(&asker, world, 8);
    struct ciommu_domain *domain = make_domain(world);
    config.timeout = UINT64_MAX;
    old = asker.queue;
    EXPECT(world,
           ciommu_page_queue_create(world->unit, domain, &config, &asker.queue) == CIOMMU_OK);
    ask(&asker, 7, 0x1000, CIOMMU_READ, false);
    replaced = &asker;
    __atomic_store_n(&ciommu_yield_hook, ask_meanwhile, __ATOMIC_RELEASE);
    EXPECT(world, ciommu_device_replace(asker.device, NULL, PASID, domain) == CIOMMU_OK);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(world, replaced == NULL && asker.answers == 0);
    expect_group(&asker, 7, 1, 0x2000);
    expect_none(&asker);
    EXPECT(world, asker.answers == 1);
    ciommu_page_queue_destroy(asker.queue);
    asker.queue = old;
    expect_none(&asker);
    end(&asker);
    EXPECT(world, ciommu_domain_destroy(domain) == CIOMMU_OK);
}
#endif

const struct gap_case gap_page_cases[] = {
    {"open groups share a list", open_groups_share_a_list},
    {"hashes of groups are forged", hashes_are_forged},
    {"blocked domains are asked for pages", blocked_domains_are_asked},
    {"a queue goes before it is announced", a_queue_goes_before_it_is_announced},
#ifdef CIOMMU_INTERNAL_CHECKS
    {"a group is begun anew", a_group_is_begun_anew},
#endif
};
const uint32_t gap_page_count = sizeof gap_page_cases / sizeof gap_page_cases[0];
