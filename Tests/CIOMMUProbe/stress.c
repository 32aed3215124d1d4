/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * stress.c - readers that check what they read, beside one thread that changes the world.
 *
 * A reader notes which changes had finished before its section began, reads the page several times
 * inside the section, and notes which changes had begun when it was done. What it read must have
 * held in between. Payload is read and written without atomics on purpose: under ThreadSanitizer a
 * missing edge of the drain is a data race.
 */
#define _GNU_SOURCE
#include "world.h"
#include "harness.h"
#include "atomics.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MISSES 48u /* stores kept in flight before a section */
#define MISS_BYTES (UINT64_C(64) << 20)

struct run {
    const struct probe_options *options;
    struct world world;
    uint32_t stop;
    uint64_t violations;
    uint64_t reads;
    pthread_mutex_t lock;
    char first[160];
};

struct reader {
    struct run *run;
    uint64_t random;
    pthread_t thread;
};

static void report(struct run *run, const char *what, uint32_t page, uint64_t value, uint64_t done,
                   uint64_t started) {
    (void)__atomic_fetch_add(&run->violations, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&run->lock);
    if (run->first[0] == 0) {
        (void)snprintf(run->first, sizeof run->first,
                       "%s: page %u read %llx, changes finished %llu, begun %llu", what, page,
                       (unsigned long long)value, (unsigned long long)done,
                       (unsigned long long)started);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

/* May `value` be what page `page` held at a moment between those changes? */
static bool is_right(uint32_t page, uint64_t value, uint64_t done, uint64_t started) {
    bool both = started > done;
    return value == world_stamp(page, (uint32_t)(done & 1)) ||
           (both && value == world_stamp(page, (uint32_t)(~done & 1)));
}

/* One section. */
static void read_once(struct run *run, struct ciommu_port *port, uint32_t page, uint64_t random) {
    struct world *world = &run->world;
    uint64_t done = __atomic_load_n(&world->finished[page], __ATOMIC_SEQ_CST);
    struct ciommu_result result = {.size = sizeof result};
    uint64_t seen[3] = {0};
    ciommu_port_enter(port);
    if (world->kind == PROBE_EVICTIONS && random % 4 == 0) { /* crowds the pools */
        (void)ciommu_translate(world->unit, port,
                               WORLD_DEVICE + 8 * (1 + (uint32_t)(random >> 8) % WORLD_NEIGHBOURS),
                               CIOMMU_NO_PASID, WORLD_IOVA, CIOMMU_READ, 0, &result);
    }
    enum ciommu_status status =
        ciommu_translate(world->unit, port, WORLD_DEVICE, CIOMMU_NO_PASID,
                         WORLD_IOVA + page * UINT64_C(4096), CIOMMU_READ, 0, &result);
    bool fine =
        status == CIOMMU_OK && result.outcome == CIOMMU_TRANSLATED_OK && result.host != NULL;
    for (uint32_t attempt = 0; fine && attempt < 3; attempt++) {
        seen[attempt] = *(volatile uint64_t *)(void *)result.host;
        for (uint32_t spin = 0; spin < 8; spin++) {
            cpu_relax();
        }
    }
    ciommu_port_leave(port);
    uint64_t started = __atomic_load_n(&world->started[page], __ATOMIC_SEQ_CST);
    if (!fine) {
        report(run, "fault or no memory", page, result.fault.code, done, started);
        return;
    }
    for (uint32_t attempt = 0; attempt < 3; attempt++) {
        if (!is_right(page, seen[attempt], done, started)) {
            report(run, seen[attempt] == WORLD_POISON ? "poison" : "stale or foreign", page,
                   seen[attempt], done, started);
        }
    }
}

static void *read_pages(void *argument) {
    struct reader *reader = argument;
    struct run *run = reader->run;
    struct ciommu_port *port = NULL;
    unsigned char *misses = run->options->slow_stores ? malloc(MISS_BYTES) : NULL;
    uint64_t reads = 0;
    if (run->options->slow_stores) {
        probe_pin(false);
    }
    if (ciommu_port_create(run->world.unit, &port) != CIOMMU_OK) {
        report(run, "no port", 0, 0, 0, 0);
    }
    while (port != NULL && __atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0) {
        for (uint32_t miss = 0; misses != NULL && miss < MISSES; miss++) {
            misses[probe_random(&reader->random) % MISS_BYTES] = 1;
        }
        uint64_t random = probe_random(&reader->random);
        read_once(run, port, (uint32_t)(random % run->world.pages), random >> 32);
        reads++;
    }
    (void)ciommu_port_destroy(port);
    free(misses);
    (void)__atomic_fetch_add(&run->reads, reads, __ATOMIC_RELAXED);
    return NULL;
}

static uint64_t change_pages(struct run *run) {
    uint64_t random = run->options->seed | 1;
    uint64_t changes = 0;
    uint64_t end = probe_now() + run->options->milliseconds;
    while (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0 && probe_now() < end) {
        if (run->options->world == PROBE_CROWD) {
            probe_nap(1000000);
            continue;
        }
        uint64_t choice = probe_random(&random);
        enum ciommu_status status =
            world_change(&run->world, (uint32_t)(choice >> 32) % run->world.pages, choice);
        changes++;
        if (run->options->widen && (choice >> 20) % 4 == 0) {
            probe_nap(20000); /* a stale answer must get the time to show itself */
        }
        if (status != CIOMMU_OK) {
            report(run, ciommu_status_text(status), 0, 0, 0, 0);
        }
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    return changes;
}

int probe_stress(const struct probe_options *options, struct probe_result *result) {
    struct run *run = calloc(1, sizeof *run);
    struct reader *readers = calloc(options->readers, sizeof *readers);
    memset(result, 0, sizeof *result);
    if (run == NULL || readers == NULL) {
        free(run);
        free(readers);
        return CIOMMU_NO_MEMORY;
    }
    run->options = options;
    pthread_mutex_init(&run->lock, NULL);
    int status = world_create(&run->world, options);
    if (status == CIOMMU_OK) {
        probe_widen(options->widen);
        probe_set_mutant(options->mutant);
        for (uint32_t index = 0; index < options->readers; index++) {
            readers[index] =
                (struct reader){.run = run, .random = options->seed * 2 + index * 77 + 1};
            pthread_create(&readers[index].thread, NULL, read_pages, &readers[index]);
        }
        cpu_set_t before;
        (void)pthread_getaffinity_np(pthread_self(), sizeof before, &before);
        if (options->slow_stores) {
            probe_pin(true);
        }
        result->changes = change_pages(run);
        (void)pthread_setaffinity_np(pthread_self(), sizeof before, &before);
        for (uint32_t index = 0; index < options->readers; index++) {
            pthread_join(readers[index].thread, NULL);
        }
        probe_set_mutant(0);
        probe_widen(false);
        struct ciommu_statistics statistics = {.size = sizeof statistics};
        ciommu_unit_statistics(run->world.unit, &statistics);
        result->first_level_hits = statistics.first_level_hits;
        result->iotlb_hits = statistics.iotlb_hits;
        result->walks = statistics.walks;
        result->violations = run->violations;
        result->reads = run->reads;
        memcpy(result->first, run->first, sizeof result->first);
        world_destroy(&run->world);
    }
    pthread_mutex_destroy(&run->lock);
    free(readers);
    free(run);
    return status;
}
