/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_meetings.c - one call that comes upon another in the middle: observers that are removed while
 * they run, reports that take too long, and batches that wait for each other.
 */
#include "gap.h"
#include "harness.h"
#include "unit.h"

#include <pthread.h>
#include <string.h>

#define RW (CIOMMU_READ | CIOMMU_WRITE)

static const struct ciommu_invalidation everything = {.size = sizeof everything,
                                                      .kind = CIOMMU_INVALIDATE_CONTEXT,
                                                      .domain = CIOMMU_ANY,
                                                      .pasid = CIOMMU_ANY,
                                                      .source = CIOMMU_ANY,
                                                      .last = UINT64_MAX};

/* ---- Observers ---- */

struct watcher {
    struct inject_world *world;
    uint32_t id;
    uint32_t heard;
    uint32_t removed; /* the removal has returned; atomic */
    pthread_t remover;
};

static void *remove_it(void *context) {
    struct watcher *watcher = context;
    EXPECT(watcher->world, ciommu_observer_remove(watcher->world->unit, watcher->id) == CIOMMU_OK);
    __atomic_store_n(&watcher->removed, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void *invalidate_again(void *context) {
    struct watcher *watcher = context;
    EXPECT(watcher->world, ciommu_invalidate(watcher->world->unit, NULL, &everything) == CIOMMU_OK);
    return NULL;
}

static bool is_marked(struct ciommu_unit *unit, uint32_t id) {
    pthread_mutex_lock(&unit->observers_lock);
    const struct observer *node = unit->observers;
    while (node != NULL && node->id != id) {
        node = node->next;
    }
    bool marked = node != NULL && node->removed;
    pthread_mutex_unlock(&unit->observers_lock);
    return marked;
}

/* In its first call it is removed, and another invalidation comes by. */
static void hear_and_be_removed(void *context, const struct ciommu_invalidation *what) {
    struct watcher *watcher = context;
    pthread_t other;
    (void)what;
    if (watcher->heard++ != 0) {
        return;
    }
    EXPECT(watcher->world, pthread_create(&watcher->remover, NULL, remove_it, watcher) == 0);
    while (!is_marked(watcher->world->unit, watcher->id)) {
        probe_nap(100000);
    }
    EXPECT(watcher->world, pthread_create(&other, NULL, invalidate_again, watcher) == 0);
    EXPECT(watcher->world, pthread_join(other, NULL) == 0);
    probe_nap(1000000);
    EXPECT(watcher->world, __atomic_load_n(&watcher->removed, __ATOMIC_ACQUIRE) == 0);
}

static void observers_go_while_they_run(struct inject_world *world) {
    struct watcher watcher = {.world = world};
    EXPECT(world, ciommu_observer_add(world->unit, hear_and_be_removed, &watcher, &watcher.id) ==
                      CIOMMU_OK);
    EXPECT(world, ciommu_invalidate(world->unit, NULL, &everything) == CIOMMU_OK);
    EXPECT(world, pthread_join(watcher.remover, NULL) == 0);
    EXPECT(world, watcher.heard == 1 && watcher.removed == 1);
    EXPECT(world, ciommu_invalidate(world->unit, NULL, &everything) == CIOMMU_OK);
    EXPECT(world, watcher.heard == 1);
}

/* ---- Reports of writes ---- */

struct slow_log {
    struct inject_world *world;
    struct gap_beside *beside;
    uint32_t begun;    /* atomic */
    uint32_t released; /* atomic */
};

static void hear_slowly(void *context, uint64_t address, uint64_t length) {
    struct slow_log *slow = context;
    EXPECT(slow->world, address == INJECT_RAM && length == 8);
    __atomic_store_n(&slow->begun, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&slow->released, __ATOMIC_ACQUIRE) == 0) {
        probe_nap(100000);
    }
}

static void *write_once(void *context) {
    struct slow_log *slow = context;
    const struct ciommu_request request = {
        INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_RAM, 8, CIOMMU_WRITE, 0};
    struct ciommu_progress progress = {.size = sizeof progress};
    const uint64_t word = 0x1234;
    EXPECT(slow->world, ciommu_write(slow->beside->port, &request, &word, &progress) == CIOMMU_OK);
    return NULL;
}

static void reports_take_too_long(struct inject_world *world) {
    struct gap_beside beside = gap_beside_make(world, 0, 64, 1000);
    struct slow_log slow = {.world = world, .beside = &beside};
    pthread_t writer;
    EXPECT(world, ciommu_device_attach(beside.device, CIOMMU_NO_PASID,
                                       ciommu_domain_identity(beside.unit)) == CIOMMU_OK);
    EXPECT(world, ciommu_memory_set_dirty_log(world->memory, hear_slowly, &slow) == CIOMMU_OK);
    EXPECT(world, pthread_create(&writer, NULL, write_once, &slow) == 0);
    while (__atomic_load_n(&slow.begun, __ATOMIC_ACQUIRE) == 0) {
        probe_nap(100000);
    }
    /* The section has ended; what it reports has not. */
    EXPECT(world, ciommu_memory_drain(world->memory) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_memory_set_dirty_log(world->memory, NULL, NULL) == CIOMMU_TIMED_OUT);
    __atomic_store_n(&slow.released, 1, __ATOMIC_RELEASE);
    EXPECT(world, pthread_join(writer, NULL) == 0);
    EXPECT(world, ciommu_memory_drain(world->memory) == CIOMMU_OK);
    EXPECT(world, world->ram[0] == 0x34 && world->ram[1] == 0x12);
    EXPECT(world, ciommu_device_detach(beside.device, NULL, CIOMMU_NO_PASID) == CIOMMU_OK);
    gap_beside_end(world, &beside);
}

/* ---- Batches ---- */

struct ordered {
    struct inject_world *world;
    uint32_t *next;
    uint32_t place;
};

static void complete_in_order(void *context, enum ciommu_status status,
                              const struct ciommu_batch_result *result) {
    struct ordered *ordered = context;
    EXPECT(ordered->world, status == CIOMMU_OK && result->handled == 1);
    EXPECT(ordered->world, (*ordered->next)++ == ordered->place);
}

/* A batch that waits, behind one that does not, in what the thread takes at once: it is a group of
 * its own, and its status is written when those before it are complete. */
static void a_batch_waits_for_another(struct inject_world *world) {
    const uint64_t entries[3][2] = {
        {4, 0}, {4, 0}, {5 | 1 << 5 | UINT64_C(0x77) << 32, INJECT_RAM + 64}};
    uint32_t next = 0;
    struct ordered ordered[3];
    struct ciommu_port *lent = ciommu_port_borrow(world->unit);
    EXPECT(world, lent != NULL);
    for (uint32_t place = 0; place < 3; place++) {
        const struct ciommu_batch batch = {.size = sizeof batch,
                                           .format = CIOMMU_BATCH_VTD_128,
                                           .entry_length = 16,
                                           .count = 1,
                                           .entries = entries[place]};
        ordered[place] = (struct ordered){world, &next, place};
        EXPECT(world, ciommu_batch_submit(world->unit, world->port, &batch, NULL, 4,
                                          complete_in_order, &ordered[place]) == CIOMMU_OK);
        if (place == 0) {
            probe_nap(5000000); /* the thread has taken it, and waits for a port */
        }
    }
    EXPECT(world, world->ram[64] == 0);
    ciommu_port_give_back(lent);
    ciommu_batch_finish(world->unit);
    EXPECT(world, next == 3 && world->ram[64] == 0x77);
}

/* ---- Message stores ---- */

static void stores_go_oldest_first(struct inject_world *world) {
    const uint64_t before = inject_digest(world);
    struct ciommu_message_store_config config;
    struct ciommu_message_store *stores[3];
    ciommu_message_store_config_init(&config);
    config.entries = 4;
    for (uint32_t number = 0; number < 3; number++) {
        EXPECT(world,
               ciommu_message_store_create(world->parent, &config, &stores[number]) == CIOMMU_OK);
    }
    for (uint32_t number = 0; number < 3; number++) {
        EXPECT(world, ciommu_device_destroy(world->parent, NULL) == CIOMMU_IN_USE);
        EXPECT(world, ciommu_message_store_destroy(stores[number], NULL) == CIOMMU_OK);
    }
    EXPECT(world, inject_digest(world) == before); /* and the end of the world destroys it */
}

const struct gap_case gap_meeting_cases[] = {
    {"observers go while they run", observers_go_while_they_run},
    {"reports of writes take too long", reports_take_too_long},
    {"a batch waits for another", a_batch_waits_for_another},
    {"message stores go oldest first", stores_go_oldest_first},
};
const uint32_t gap_meeting_count = sizeof gap_meeting_cases / sizeof gap_meeting_cases[0];
