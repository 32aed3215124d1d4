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

#define TOGETHER 5u /* pages that every other reader translates in one batch */
#define SEEN 3u     /* looks at a page in a section */

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
    uint32_t together; /* pages of a section */
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

/* One page that a section reads, and what had happened to it before. */
struct reading {
    uint32_t page;
    uint64_t done;
    uint64_t seen[SEEN];
};

/* Translates the pages, one by one or together. */
static void translate_all(struct run *run, struct ciommu_port *port, const struct reading *readings,
                          struct ciommu_result *results, uint32_t count) {
    struct ciommu_request requests[TOGETHER];
    for (uint32_t index = 0; index < count; index++) {
        results[index] =
            (struct ciommu_result){.size = sizeof results[index], .outcome = CIOMMU_FAULT};
        requests[index] = (struct ciommu_request){
            .source = WORLD_DEVICE,
            .pasid = CIOMMU_NO_PASID,
            .iova = WORLD_IOVA + readings[index].page * UINT64_C(4096),
            .access = CIOMMU_READ,
        };
    }
    if (count == 1) {
        (void)ciommu_translate(run->world.unit, port, requests[0].source, requests[0].pasid,
                               requests[0].iova, requests[0].access, 0, &results[0]);
    } else {
        (void)ciommu_translate_batch(port, requests, results, count, NULL);
    }
}

static void judge(struct run *run, const struct reading *reading, bool fine,
                  const struct ciommu_result *result) {
    uint64_t started = __atomic_load_n(&run->world.started[reading->page], __ATOMIC_SEQ_CST);
    if (!fine) {
        report(run, "fault or no memory", reading->page, result->fault.code, reading->done,
               started);
        return;
    }
    for (uint32_t time = 0; time < SEEN; time++) {
        uint64_t seen = reading->seen[time];
        if (!is_right(reading->page, seen, reading->done, started)) {
            report(run, seen == WORLD_POISON ? "poison" : "stale or foreign", reading->page, seen,
                   reading->done, started);
        }
    }
}

/* One section, with `count` pages. */
static void read_once(struct run *run, struct ciommu_port *port, uint64_t *random, uint32_t count) {
    struct world *world = &run->world;
    struct ciommu_result results[TOGETHER];
    struct reading readings[TOGETHER];
    bool fine[TOGETHER];
    for (uint32_t index = 0; index < count; index++) {
        readings[index].page = (uint32_t)(probe_random(random) % world->pages);
        readings[index].done =
            __atomic_load_n(&world->finished[readings[index].page], __ATOMIC_SEQ_CST);
    }
    uint64_t choice = probe_random(random) >> 32;
    ciommu_port_enter(port);
    if (world->kind == PROBE_EVICTIONS && choice % 4 == 0) { /* crowds the pools */
        struct ciommu_result result = {.size = sizeof result};
        (void)ciommu_translate(world->unit, port,
                               WORLD_DEVICE + 8 * (1 + (uint32_t)(choice >> 8) % WORLD_NEIGHBOURS),
                               CIOMMU_NO_PASID, WORLD_IOVA, CIOMMU_READ, 0, &result);
    }
    translate_all(run, port, readings, results, count);
    for (uint32_t index = 0; index < count; index++) {
        fine[index] = results[index].outcome == CIOMMU_TRANSLATED_OK && results[index].host != NULL;
    }
    for (uint32_t time = 0; time < SEEN; time++) {
        for (uint32_t index = 0; index < count; index++) {
            if (fine[index]) {
                readings[index].seen[time] = *(volatile uint64_t *)(void *)results[index].host;
            }
        }
        for (uint32_t spin = 0; spin < 8; spin++) {
            cpu_relax();
        }
    }
    ciommu_port_leave(port);
    for (uint32_t index = 0; index < count; index++) {
        judge(run, &readings[index], fine[index], &results[index]);
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
        read_once(run, port, &reader->random, reader->together);
        reads += reader->together;
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
            readers[index] = (struct reader){.run = run,
                                             .random = options->seed * 2 + index * 77 + 1,
                                             .together = index % 2 == 0 ? 1 : TOGETHER};
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
