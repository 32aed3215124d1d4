/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Translate - what one translation costs on every way through the engine: first level, IOTLB,
 * walk with and without walk cache, nested, pass-through; behind a guest's root table and for a
 * device of the host. Every figure is measured alone (a section each), many in a section, and in
 * batches of 32, at fresh random addresses; answers are checked.
 *
 * Arguments: the shortest time for one figure in milliseconds (300), and part of the names of the
 * figures wanted (all).
 */
#include <ciommu_domains.h>

#include "samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE UINT64_C(4096)
#define RAM_BYTES (UINT64_C(32) << 20)
#define IOVA (UINT64_C(1) << 32)
#define GUEST (UINT64_C(1) << 36) /* guest-physical addresses of the data, nested */
#define DATA (UINT64_C(1) << 40)
#define SOURCE 8u
#define PAGES_MOST (1u << 20)
#define LOOKUPS 2048u /* of a sample */
#define BATCH 32u

enum ways { GUEST_SECOND, HOST_SECOND, GUEST_NESTED, HOST_NESTED, GUEST_PASS, HOST_PASS };

struct figure {
    const char *name;
    enum ways way;
    uint32_t pages;
    uint32_t first_level;
    uint32_t iotlb;
    uint32_t walks;
};

static const struct figure figures[] = {
    {"guest: first level, 64 pages", GUEST_SECOND, 64, 256, 1u << 16, 256},
    {"host: first level, 64 pages", HOST_SECOND, 64, 256, 1u << 16, 256},
    {"guest: IOTLB 64 Ki, 4 Ki pages", GUEST_SECOND, 1u << 12, 256, 1u << 16, 256},
    {"guest: IOTLB 128 Ki, 64 Ki pages", GUEST_SECOND, 1u << 16, 256, 1u << 17, 256},
    {"guest: IOTLB 64 Ki, 64 Ki pages", GUEST_SECOND, 1u << 16, 256, 1u << 16, 256},
    {"guest: IOTLB 2 Mi, 1 Mi pages", GUEST_SECOND, 1u << 20, 256, 1u << 21, 256},
    {"guest: IOTLB 64 Ki, 1 Mi pages", GUEST_SECOND, 1u << 20, 256, 1u << 16, 256},
    {"host: IOTLB 64 Ki, 4 Ki pages", HOST_SECOND, 1u << 12, 256, 1u << 16, 256},
    {"host: IOTLB 128 Ki, 64 Ki pages", HOST_SECOND, 1u << 16, 256, 1u << 17, 256},
    {"host: IOTLB 64 Ki, 64 Ki pages", HOST_SECOND, 1u << 16, 256, 1u << 16, 256},
    {"host: IOTLB 2 Mi, 1 Mi pages", HOST_SECOND, 1u << 20, 256, 1u << 21, 256},
    {"guest: walk, 512 pages", GUEST_SECOND, 512, 0, 0, 0},
    {"guest: walk with walk cache, 512 pages", GUEST_SECOND, 512, 0, 0, 256},
    {"guest: walk with walk cache, 64 Ki pages", GUEST_SECOND, 1u << 16, 0, 0, 256},
    {"host: walk, 512 pages", HOST_SECOND, 512, 0, 0, 0},
    {"host: walk with walk cache, 512 pages", HOST_SECOND, 512, 0, 0, 256},
    {"host: walk with walk cache, 64 Ki pages", HOST_SECOND, 1u << 16, 0, 0, 256},
    {"guest: nested walk, 512 pages", GUEST_NESTED, 512, 0, 0, 0},
    {"guest: nested walk with walk cache, 512 pages", GUEST_NESTED, 512, 0, 0, 256},
    {"guest: nested, IOTLB 64 Ki, 4 Ki pages", GUEST_NESTED, 1u << 12, 256, 1u << 16, 256},
    {"host: nested walk, 512 pages", HOST_NESTED, 512, 0, 0, 0},
    {"host: nested walk with walk cache, 512 pages", HOST_NESTED, 512, 0, 0, 256},
    {"host: nested, IOTLB 64 Ki, 4 Ki pages", HOST_NESTED, 1u << 12, 256, 1u << 16, 256},
    {"guest: pass-through, 4 Ki pages", GUEST_PASS, 1u << 12, 256, 1u << 16, 256},
    {"host: pass-through, 4 Ki pages", HOST_PASS, 1u << 12, 256, 1u << 16, 256},
};

static struct ciommu_memory *memory;
static unsigned char *ram;
static uint64_t next_table;
static uint64_t shortest = UINT64_C(300000000); /* of a figure, in nanoseconds */

/* One figure's engine. */
struct world {
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    struct ciommu_device *device;
    struct ciommu_domain *domain;
    struct ciommu_domain *parent;
    uint64_t first;  /* input address */
    uint64_t offset; /* from input to output address */
};

/* ---- The guest ---- */

static uint64_t *word_at(uint64_t address) {
    return (uint64_t *)(void *)(ram + address);
}

static uint64_t new_table(void) {
    uint64_t table = next_table;
    next_table += PAGE;
    if (next_table > RAM_BYTES) {
        fputs("the guest's memory is full\n", stderr);
        exit(1);
    }
    memset(ram + table, 0, PAGE);
    return table;
}

/* Maps pages in a four-level table; `bits` go into every entry. */
static void map_pages(uint64_t root, uint64_t input, uint64_t output, uint64_t pages,
                      uint64_t bits) {
    for (uint64_t page = 0; page < pages; page++, input += PAGE, output += PAGE) {
        uint64_t table = root;
        for (unsigned level = 3; level > 0; level--) {
            uint64_t *entry = word_at(table + (input >> (12 + 9 * level) & 511) * 8);
            *entry = *entry != 0 ? *entry : new_table() | bits;
            table = *entry & ~(PAGE - 1);
        }
        *word_at(table + (input >> 12 & 511) * 8) = output | bits;
    }
}

static uint64_t build_legacy(bool pass, uint32_t pages) {
    uint64_t root_table = new_table();
    uint64_t contexts = new_table();
    uint64_t root = new_table();
    *word_at(root_table) = contexts | 1;
    *word_at(contexts + SOURCE * 16) = (pass ? 2 << 2 : root) | 1;
    *word_at(contexts + SOURCE * 16 + 8) = 2 | 1 << 8; /* four levels, domain 1 */
    if (!pass) {
        map_pages(root, IOVA, DATA, pages, 3);
    }
    return root_table;
}

/* P, R/W, U/S, A and D in every entry of the first stage. */
static uint64_t build_first_stage(uint32_t pages) {
    uint64_t root = new_table();
    map_pages(root, IOVA, GUEST, pages, 0x67);
    return root;
}

static uint64_t build_nested(uint32_t pages) {
    uint64_t root_table = new_table();
    uint64_t contexts = new_table();
    uint64_t directory = new_table();
    uint64_t pasids = new_table();
    uint64_t first = build_first_stage(pages);
    uint64_t second = new_table();
    *word_at(root_table) = contexts | 1;
    *word_at(contexts + SOURCE * 32) = directory | 1;
    *word_at(directory) = pasids | 1;
    *word_at(pasids) = second | 3 << 6 | 2 << 2 | 1; /* nested, four levels */
    *word_at(pasids + 8) = 1;                        /* domain 1 */
    *word_at(pasids + 16) = first;
    map_pages(second, 0, 0, RAM_BYTES / PAGE, 3);
    map_pages(second, GUEST, DATA, pages, 3);
    return root_table | UINT64_C(1) << 10;
}

/* ---- The host ---- */

static void map_domain(struct ciommu_domain *domain, uint64_t iova, uint64_t address,
                       uint64_t length) {
    const struct ciommu_mapping mapping = {
        .size = sizeof mapping, .rights = 3, .iova = iova, .length = length, .address = address};
    CHECK(ciommu_domain_map(domain, &mapping));
}

static void attach(struct world *world, const struct figure *figure) {
    const struct ciommu_device_config device = {
        .size = sizeof device, .source = SOURCE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    CHECK(ciommu_device_create(world->unit, NULL, &device, &world->device));
    struct ciommu_domain *domain = ciommu_domain_identity(world->unit);
    if (figure->way != HOST_PASS) {
        struct ciommu_paging_config paging;
        ciommu_paging_config_init(&paging);
        paging.largest_page_lg2 = 12;
        paging.flags = CIOMMU_PAGING_NEST_PARENT;
        CHECK(ciommu_paging_create(world->unit, &paging, &world->domain));
        domain = world->domain;
    }
    if (figure->way == HOST_SECOND) {
        map_domain(domain, IOVA, DATA, figure->pages * PAGE);
    } else if (figure->way == HOST_NESTED) {
        world->parent = domain;
        map_domain(domain, 0, 0, RAM_BYTES);
        map_domain(domain, GUEST, DATA, figure->pages * PAGE);
        const struct ciommu_nested_config nested = {.size = sizeof nested,
                                                    .address_width = 48,
                                                    .pgtbl_addr = build_first_stage(figure->pages)};
        CHECK(ciommu_nested_create(domain, &nested, &world->domain));
        domain = world->domain;
    }
    CHECK(ciommu_device_attach(world->device, CIOMMU_NO_PASID, domain));
}

static void open_world(struct world *world, const struct figure *figure) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.first_level_entries = figure->first_level;
    config.iotlb_entries = figure->iotlb;
    config.walk_cache_entries = figure->walks;
    *world = (struct world){.first = IOVA, .offset = DATA - IOVA};
    next_table = PAGE;
    CHECK(ciommu_unit_create(&config, memory, &world->unit));
    CHECK(ciommu_port_create(world->unit, &world->port));
    if (figure->way == GUEST_PASS || figure->way == HOST_PASS) {
        world->first = DATA;
        world->offset = 0;
    }
    if (figure->way == HOST_SECOND || figure->way == HOST_NESTED || figure->way == HOST_PASS) {
        attach(world, figure);
        return;
    }
    uint64_t root = figure->way == GUEST_NESTED
                        ? build_nested(figure->pages)
                        : build_legacy(figure->way == GUEST_PASS, figure->pages);
    CHECK(ciommu_unit_set_root(world->unit, root));
    CHECK(ciommu_unit_set_translation(world->unit, true));
}

static void close_world(struct world *world) {
    CHECK(ciommu_port_destroy(world->port));
    CHECK(ciommu_device_destroy(world->device, NULL));
    CHECK(ciommu_domain_destroy(world->domain));
    CHECK(ciommu_domain_destroy(world->parent));
    CHECK(ciommu_unit_destroy(world->unit));
}

/* ---- Measuring ---- */

static struct ciommu_request requests[LOOKUPS];
static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void choose(uint64_t first, uint32_t pages) {
    for (unsigned lookup = 0; lookup < LOOKUPS; lookup++) {
        uint64_t random = next_random();
        requests[lookup] = (struct ciommu_request){
            .source = SOURCE,
            .pasid = CIOMMU_NO_PASID,
            .iova = first + (random >> 32) % pages * PAGE + (random & 0xff8),
            .access = CIOMMU_READ,
        };
    }
}

static void must_agree(uint64_t sum, uint64_t wanted) {
    if (sum != wanted) {
        fputs("a wrong answer\n", stderr);
        exit(1);
    }
}

enum manner { SECTION_EACH, ONE_SECTION, BATCHES, MANNERS };

/* Nanoseconds of one translation. Inlining is left to the compiler, as in a host. */
static double translate_singly(struct world *world, bool one_section) {
    struct ciommu_result result = {.size = sizeof result};
    uint64_t sum = 0;
    uint64_t wrong = 0;
    uint64_t begin = now();
    if (one_section) {
        ciommu_port_enter(world->port);
    }
    for (unsigned lookup = 0; lookup < LOOKUPS; lookup++) {
        const struct ciommu_request *request = &requests[lookup];
        wrong |= ciommu_translate(world->unit, world->port, request->source, request->pasid,
                                  request->iova, request->access, request->flags, &result);
        wrong |= result.outcome | (result.address ^ (request->iova + world->offset));
        sum += result.address;
    }
    if (one_section) {
        ciommu_port_leave(world->port);
    }
    uint64_t end = now();
    must_agree(wrong, 0);
    return (double)(end - begin + (sum == 1)) / LOOKUPS;
}

static double translate_batches(struct world *world) {
    struct ciommu_result results[BATCH];
    uint64_t wrong = 0;
    for (unsigned index = 0; index < BATCH; index++) {
        results[index].size = sizeof results[index];
    }
    uint64_t begin = now();
    for (unsigned lookup = 0; lookup < LOOKUPS; lookup += BATCH) {
        wrong |= ciommu_translate_batch(world->port, &requests[lookup], results, BATCH, NULL);
        for (unsigned index = 0; index < BATCH; index++) {
            wrong |= results[index].outcome |
                     (results[index].address ^ (requests[lookup + index].iova + world->offset));
        }
    }
    uint64_t end = now();
    must_agree(wrong, 0);
    return (double)(end - begin) / LOOKUPS;
}

static double translate_in(struct world *world, enum manner manner) {
    return manner == BATCHES ? translate_batches(world)
                             : translate_singly(world, manner == ONE_SECTION);
}

/* ---- Reference: loads that wait for each other ---- */

struct chain {
    uint64_t *next; /* one element a cache line */
    uint64_t lines;
    uint64_t at;
};

/* One random cycle through all lines. */
static struct chain make_chain(uint64_t bytes) {
    struct chain chain = {NULL, bytes / 64, 0};
    chain.next = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chain.next == MAP_FAILED) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    (void)madvise(chain.next, bytes, MADV_HUGEPAGE);
    for (uint64_t line = 0; line < chain.lines; line++) {
        chain.next[line * 8] = line;
    }
    for (uint64_t line = chain.lines - 1; line > 0; line--) {
        uint64_t other = next_random() % line;
        uint64_t kept = chain.next[line * 8];
        chain.next[line * 8] = chain.next[other * 8];
        chain.next[other * 8] = kept;
    }
    return chain;
}

static double follow(struct chain *chain) {
    uint64_t at = chain->at;
    uint64_t begin = now();
    for (unsigned load = 0; load < LOOKUPS; load++) {
        at = chain->next[at * 8];
    }
    uint64_t end = now();
    chain->at = at;
    must_agree(at < chain->lines, 1);
    return (double)(end - begin) / LOOKUPS;
}

/* ---- Figures ---- */

static void measure(const struct figure *figure, struct chain *near) {
    struct samples samples[MANNERS] = {{0}};
    struct samples loads[MANNERS] = {{0}};
    struct world world;
    open_world(&world, figure);
    for (uint32_t page = 0; page < figure->pages; page++) { /* fills what can be filled */
        struct ciommu_result result = {.size = sizeof result};
        CHECK(ciommu_translate(world.unit, world.port, SOURCE, CIOMMU_NO_PASID,
                               world.first + page * PAGE, CIOMMU_READ, 0, &result));
    }
    for (uint64_t begin = now(); now() - begin < shortest || samples[0].count < 8;) {
        for (unsigned manner = 0; manner < MANNERS; manner++) {
            choose(world.first, figure->pages);
            add(&samples[manner], translate_in(&world, manner));
            add(&loads[manner], follow(near));
        }
    }
    close_world(&world);
    const char *manners[] = {"alone", "in a section", "batch"};
    for (unsigned manner = 0; manner < MANNERS; manner++) {
        char name[96];
        snprintf(name, sizeof name, "%s, %s", figure->name, manners[manner]);
        report(name, &samples[manner], &loads[manner]);
    }
}

static void add_range(uint64_t address, uint64_t length, void *host) {
    const struct ciommu_memory_range range = {
        .size = sizeof range, .rights = 3, .address = address, .length = length, .host = host};
    CHECK(ciommu_memory_add(memory, &range));
}

int main(int count, char **arguments) {
    shortest = count > 1 ? strtoull(arguments[1], NULL, 10) * UINT64_C(1000000) : shortest;
    const char *wanted = count > 2 ? arguments[2] : "";
    ram = aligned_alloc(PAGE, RAM_BYTES);
    memset(ram, 0, RAM_BYTES);
    /* Nobody touches the data. */
    void *data = mmap(NULL, PAGES_MOST * PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(ciommu_memory_create(&memory));
    add_range(0, RAM_BYTES, ram);
    add_range(DATA, PAGES_MOST * PAGE, data);
    struct chain near = make_chain(UINT64_C(8) << 10);
    struct chain far = make_chain(UINT64_C(512) << 20);
    struct samples misses = {0};
    struct samples loads = {0};
    for (unsigned sample = 0; sample < 200; sample++) {
        add(&misses, follow(&far));
        add(&loads, follow(&near));
    }
    printf("%-58s %9s %9s %9s %9s %9s\n", "nanoseconds", "minimum", "median", "p99", "baseline",
           "ratio");
    report("a load that misses all caches", &misses, &loads);
    for (unsigned figure = 0; figure < sizeof figures / sizeof figures[0]; figure++) {
        if (strstr(figures[figure].name, wanted) != NULL) {
            measure(&figures[figure], &near);
        }
    }
    puts("baseline: a load from the first cache that waits for the one before, measured in turn.");
    puts("p99 shows how the machine schedules.");
    CHECK(ciommu_memory_destroy(memory));
    munmap(data, PAGES_MOST * PAGE);
    munmap(near.next, near.lines * 64);
    munmap(far.next, far.lines * 64);
    free(ram);
    return 0;
}
