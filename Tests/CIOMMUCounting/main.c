/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Counting - proves that hits and walks allocate nothing, take no lock and make no system call:
 * every kind of space, every level of the caches, every manner of asking. Counted by what the
 * linker leads to counters.c, and stopped by the kernel's filter (filter.c). Each case must also
 * have gone the way that it names, by the unit's own counters.
 *
 * Steady state: each world is asked everything once before (a thread's first miss registers it with
 * liburcu).
 */
#include "counters.h"
#include "filter.h"
#include "manners.h"

#include "world.h"

#include <ciommu_faults.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define ROUNDS 3u
#define CASES ((BENCH_HOST_PASS + 1u) * PATHS * VARIETIES)

/* EITHER: which of IOTLB and walk cache is asked first, is the engine's choice. */
enum path { FIRST_LEVEL, EITHER, IOTLB, CACHED_WALK, WALK, PATHS };

static const char *const way_names[] = {
    "a guest's second stage", "a guest's first stage", "a guest's nested tables",
    "a guest's pass-through", "a paging domain",       "a nested domain",
    "the identity domain",
};
static const char *const path_names[] = {"first level", "IOTLB or walk cache", "IOTLB",
                                         "walk with walk cache", "walk"};

enum variety { PLAIN, MANY, WATCHED, VARIETIES };

static const char *const variety_names[] = {"", ", 64 requesters", ", fault queue and dirty log"};
static const char *doing = "setting up";

/* ---- The counters themselves ---- */

static void must(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s: %s\n", doing, what);
        exit(1);
    }
}

static void check_counting(void) {
    doing = "self-check";
    counters_reset();
    struct counts counts = counters_read();
    must(counts.allocations + counts.locks + counts.calls == 0 && counts.first == NULL,
         "counters do not begin at 0");
    void *volatile memory = malloc(64);
    free(memory);
    counts = counters_read();
    must(counts.allocations == 2 && counts.locks == 0, "an allocation is not noticed");
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    counts = counters_read();
    must(counts.locks == 2, "a lock is not noticed");
    must(read(-1, NULL, 0) < 0 && counters_read().calls == 1, "a call is not noticed");
    must(filter_works(), "a system call is not noticed");
}

/* ---- Cases ---- */

static void say(const char *line) {
    size_t length = 0;
    while (line[length] != '\0') {
        length++;
    }
    ssize_t written = write(STDOUT_FILENO, line, length);
    (void)written;
}

/* Ends the process with a line; needs no memory. */
static void fail_case(const char *manner, const char *what, const char *which, uint64_t count) {
    char line[240];
    snprintf(line, sizeof line, "%s, %s: %s %s (%llu)\n", doing, manner, what, which,
             (unsigned long long)count);
    say(line);
    _exit(1);
}

static struct ciommu_statistics statistics_of(const struct subject *subject) {
    struct ciommu_statistics statistics = {.size = sizeof statistics};
    ciommu_unit_statistics(bench_world_unit(subject->world), &statistics);
    return statistics;
}

/* What the unit counted during a run. */
struct ways {
    uint64_t lookups;
    uint64_t first_level;
    uint64_t iotlb;
    uint64_t walks;
    uint64_t faults;
    uint64_t binding_walks;
};

static struct ways ways_between(const struct ciommu_statistics *before,
                                const struct ciommu_statistics *after) {
    return (struct ways){
        .lookups = after->lookups - before->lookups,
        .first_level = after->first_level_hits - before->first_level_hits,
        .iotlb = after->iotlb_hits - before->iotlb_hits,
        .walks = after->walks - before->walks,
        .faults = after->faults - before->faults,
        .binding_walks = after->binding_walks - before->binding_walks,
    };
}

/* Did every page that was asked for go this way, and no other? Only walks find faults. */
static bool went(const struct ways *ways, enum path path, bool passes, uint64_t faults) {
    uint64_t hits = ways->lookups - faults;
    uint64_t walks = ways->walks - faults;
    switch (path) {
    case FIRST_LEVEL:
        return ways->first_level == hits && ways->iotlb == 0 && walks == 0;
    case EITHER:
        return ways->first_level == 0 && ways->iotlb + walks == hits;
    case IOTLB:
        return ways->first_level == 0 && ways->iotlb == hits && walks == 0;
    default:
        return ways->first_level == 0 && ways->iotlb == 0 && walks == (passes ? 0 : hits);
    }
}

static void run_counted(struct subject *subject, enum path path, bool passes,
                        const struct manner *manner, uint64_t faults) {
    struct ciommu_statistics before = statistics_of(subject);
    counters_reset();
    manner->run(subject);
    struct counts counts = counters_read();
    struct ciommu_statistics after = statistics_of(subject);
    if (counts.first != NULL) {
        fail_case(manner->name, "calls", counts.first,
                  counts.allocations + counts.locks + counts.calls);
    }
    struct ways ways = ways_between(&before, &after);
    if (ways.lookups == 0 || !went(&ways, path, passes, faults)) {
        fail_case(manner->name, "did not go the way of", path_names[path], ways.lookups);
    }
    if (ways.binding_walks != 0 || ways.faults != faults) {
        fail_case(manner->name, "walked device tables, or faulted", "", ways.faults);
    }
}

struct world_case {
    enum bench_way way;
    enum path path;
    enum variety variety;
    struct ciommu_fault_queue *queue;
    struct subject *subject;
    char name[96];
};

static uint64_t logged;

static void log_write(void *context, uint64_t address, uint64_t length) {
    (void)context;
    (void)address;
    logged += length;
}

/* A queue of the whole unit, which the host polls, and somebody who hears of writes. */
static void watch(struct world_case *item) {
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    CHECK(ciommu_fault_queue_create(bench_world_unit(item->subject->world), NULL, &config,
                                    &item->queue));
    CHECK(ciommu_memory_set_dirty_log(item->subject->world->memory, log_write, NULL));
}

static void open_case(struct world_case *item) {
    struct bench_world_config config;
    bench_world_config_init(&config, item->way, PAGES);
    config.first_level_entries = item->path == FIRST_LEVEL ? config.first_level_entries : 0;
    config.iotlb_entries = item->path <= IOTLB ? config.iotlb_entries : 0;
    config.walk_cache_entries =
        item->path == WALK || item->path == IOTLB ? 0 : config.walk_cache_entries;
    if (item->variety == MANY) {
        config.sources = 4;
        config.pasids = 16;
    }
    item->subject = subject_create(&config);
    if (item->variety == WATCHED) {
        watch(item);
    }
    const char *path =
        bench_is_pass(item->way) && item->path == WALK ? "binding" : path_names[item->path];
    snprintf(item->name, sizeof item->name, "%s, %s%s", way_names[item->way], path,
             variety_names[item->variety]);
}

static void run_case(const struct world_case *item, bool counted) {
    static const struct manner inlined = {"inlined", ask_inlined};
    static const struct manner faulting = {"faults between", ask_and_fault};
    bool passes = bench_is_pass(item->way);
    doing = item->name;
    for (const struct manner *manner = manners; manner->name != NULL; manner++) {
        if (counted) {
            run_counted(item->subject, item->path, passes, manner, 0);
        } else {
            manner->run(item->subject);
        }
    }
    if (item->path == FIRST_LEVEL && counted) {
        run_counted(item->subject, item->path, passes, &inlined, 0);
    }
    if (!passes && counted) {
        run_counted(item->subject, item->path, passes, &faulting, REQUESTS);
    } else if (!passes) {
        ask_and_fault(item->subject);
    }
    if (item->variety == WATCHED) {
        must(logged != 0, "the dirty log heard nothing");
        logged = 0;
    }
}

/* Pass-through knows neither IOTLB nor walks; 64 requesters do not fit into a first level. */
static bool exists(const struct world_case *item) {
    if (bench_is_pass(item->way)) {
        return item->variety == PLAIN && (item->path == FIRST_LEVEL || item->path == WALK);
    }
    return item->variety != MANY || item->path != FIRST_LEVEL;
}

/* Opens every case and asks it everything, twice. */
static size_t open_cases(struct world_case *items) {
    size_t count = 0;
    for (uint32_t kind = 0; kind < CASES; kind++) {
        struct world_case *item = &items[count];
        *item = (struct world_case){.way = kind / (PATHS * VARIETIES),
                                    .path = kind / VARIETIES % PATHS,
                                    .variety = kind % VARIETIES};
        if (exists(item)) {
            open_case(item);
            run_case(item, false);
            run_case(item, false);
            count++;
        }
    }
    return count;
}

int main(void) {
    static struct world_case items[CASES];
    check_counting();
    size_t count = open_cases(items);
    uint32_t cases_of_way = 0;
    if (filter_exists()) {
        filter_install(true, &doing);
    } else {
        say("skipped: the filter of system calls, which only Linux has\n");
    }
    for (size_t index = 0; index < count; index++) {
        for (uint32_t round = 0; round < ROUNDS; round++) {
            run_case(&items[index], true);
        }
        cases_of_way++;
        if (index + 1 == count || items[index + 1].way != items[index].way) {
            char line[120];
            snprintf(line, sizeof line, "%s: %u worlds, no allocation, no lock, no system call\n",
                     way_names[items[index].way], cases_of_way);
            say(line);
            cases_of_way = 0;
        }
    }
    /* The filter lets nobody tear down what was set up. */
    _exit(0);
}
