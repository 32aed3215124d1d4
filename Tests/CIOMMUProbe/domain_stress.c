/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_stress.c - readers that check every answer beside one thread that changes domains and
 * attachments (domain_world.h says how). Payload is read and written without atomics on purpose:
 * under ThreadSanitizer a missing edge of the drain is a data race.
 */
#define _GNU_SOURCE
#include "domain_world.h"
#include "probe.h"
#include "harness.h"
#include "alloc.h"
#include "rcu.h"
#include "debug.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    const struct probe_domain_options *options;
    struct domain_world world;
    uint32_t stop;
    uint64_t violations;
    uint64_t reads;
    pthread_mutex_t lock;
    char first[200];
};

struct reader {
    struct run *run;
    uint32_t index;
    uint64_t random;
    pthread_t thread;
};

static const char *const world_names[PROBE_DOMAIN_WORLDS] = {
    "flips",   "2 MiB splits", "1 GiB splits",      "replace",           "attach",       "children",
    "mappers", "dirty",        "dirty large pages", "dirty split pages", "dirty nested",
};

const char *probe_domain_world_name(uint32_t world) {
    return world < PROBE_DOMAIN_WORLDS ? world_names[world] : "";
}

/* What became of one translation. */
struct observation {
    struct domain_question question;
    struct ciommu_result result;
    uint64_t done;    /* changes finished before the section */
    uint64_t started; /* changes begun after the translation */
    uint64_t payload[3];
};

static void report(struct run *run, const char *what, const struct observation *seen) {
    (void)__atomic_fetch_add(&run->violations, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&run->lock);
    if (run->first[0] == 0 && seen == NULL) {
        (void)snprintf(run->first, sizeof run->first, "%s", what);
    } else if (run->first[0] == 0) {
        (void)snprintf(run->first, sizeof run->first,
                       "%s: pasid %x iova %llx access %u outcome %u code %x address %llx rights %u "
                       "read %llx finished %llu begun %llu",
                       what, seen->question.pasid, (unsigned long long)seen->question.iova,
                       seen->question.access, seen->result.outcome, seen->result.fault.code,
                       (unsigned long long)seen->result.address, seen->result.rights,
                       (unsigned long long)seen->payload[0], (unsigned long long)seen->done,
                       (unsigned long long)seen->started);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

/* Does one state explain the answer? */
static bool explains(const struct domain_world *world, uint64_t state,
                     const struct observation *seen) {
    struct domain_expected expected = world->plan->expect(world, state, &seen->question);
    bool granted = (seen->question.access & ~expected.rights) == 0;
    if (seen->result.outcome != CIOMMU_TRANSLATED_OK) {
        return !granted;
    }
    return granted && seen->result.address == expected.address &&
           (seen->result.rights & DOMAIN_RW & ~expected.rights) == 0;
}

static bool is_right(const struct domain_world *world, const struct observation *seen) {
    uint64_t last = seen->started;
    if (last - seen->done >= DOMAIN_HISTORY / 2) {
        return true; /* the history has moved on; a reader was asleep for very long */
    }
    for (uint64_t at = seen->done; at <= last; at++) {
        uint64_t state = __atomic_load_n(&world->states[at % DOMAIN_HISTORY], __ATOMIC_RELAXED);
        if (explains(world, state, seen)) {
            return true;
        }
    }
    return false;
}

/* Reads what is there several times while the section lasts, and writes if that was asked for. */
static void use_pointer(uint32_t reader, struct observation *seen) {
    for (uint32_t attempt = 0; attempt < 3; attempt++) {
        seen->payload[attempt] = *(volatile uint64_t *)(void *)seen->result.host;
        for (uint32_t spin = 0; spin < 8; spin++) {
            cpu_relax();
        }
    }
    if ((seen->question.access & CIOMMU_WRITE) != 0) {
        (*domain_slot_in(seen->result.host, reader))++;
    }
}

/* One translation in a section that is open. */
static void look(struct run *run, struct ciommu_port *port, uint32_t reader, uint64_t random,
                 struct observation *seen) {
    struct domain_world *world = &run->world;
    world->plan->ask(world, random, &seen->question);
    seen->question.access = (random >> 20) % 4 == 0 ? CIOMMU_WRITE : CIOMMU_READ;
    uint32_t flags = CIOMMU_NO_FAULT | ((random >> 24) % 16 == 0 ? CIOMMU_NO_CACHE : 0);
    seen->result = (struct ciommu_result){.size = sizeof seen->result};
    enum ciommu_status status =
        ciommu_translate(world->unit, port, DOMAIN_SOURCE, seen->question.pasid,
                         seen->question.iova, seen->question.access, flags, &seen->result);
    seen->started = __atomic_load_n(&world->started, __ATOMIC_SEQ_CST);
    if (status != CIOMMU_OK) {
        report(run, ciommu_status_text(status), seen);
    } else if (seen->result.outcome == CIOMMU_TRANSLATED_OK && seen->question.payload) {
        if (seen->result.host == NULL) {
            report(run, "no host memory", seen);
        } else {
            use_pointer(reader, seen);
        }
    }
}

static void judge(struct run *run, const struct observation *seen) {
    if (!is_right(&run->world, seen)) {
        report(run,
               seen->result.outcome == CIOMMU_TRANSLATED_OK ? "stale or foreign answer" : "fault",
               seen);
        return;
    }
    bool read = seen->result.outcome == CIOMMU_TRANSLATED_OK && seen->question.payload;
    for (uint32_t attempt = 0; read && attempt < 3; attempt++) {
        if (seen->payload[attempt] != domain_stamp(seen->result.address)) {
            report(run, seen->payload[attempt] == DOMAIN_POISON ? "poison" : "foreign payload",
                   seen);
            return;
        }
    }
}

/* One section of one to four translations. */
static void read_section(struct run *run, struct ciommu_port *port, uint32_t reader,
                         uint64_t *random) {
    struct observation seen[4];
    uint32_t count = 1 + (uint32_t)(*random >> 60) % 4;
    uint64_t done = __atomic_load_n(&run->world.finished, __ATOMIC_SEQ_CST);
    ciommu_port_enter(port);
    for (uint32_t index = 0; index < count; index++) {
        seen[index].done = done;
        memset(seen[index].payload, 0, sizeof seen[index].payload);
        look(run, port, reader, probe_random(random), &seen[index]);
    }
    ciommu_port_leave(port);
    for (uint32_t index = 0; index < count; index++) {
        judge(run, &seen[index]);
    }
}

static void *read_for_ever(void *argument) {
    struct reader *reader = argument;
    struct run *run = reader->run;
    struct ciommu_port *port = NULL;
    uint64_t reads = 0;
    if (ciommu_port_create(run->world.unit, &port) != CIOMMU_OK) {
        report(run, "no port", NULL);
    }
    while (port != NULL && __atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0) {
        read_section(run, port, reader->index, &reader->random);
        reads++;
    }
    (void)ciommu_port_destroy(port);
    (void)__atomic_fetch_add(&run->reads, reads, __ATOMIC_RELAXED);
    return NULL;
}

static uint64_t change_for_a_while(struct run *run) {
    uint64_t random = run->options->seed | 1;
    uint64_t changes = 0;
    uint64_t end = probe_now() + run->options->milliseconds;
    while (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0 && probe_now() < end) {
        uint64_t choice = probe_random(&random);
        enum ciommu_status status = run->world.plan->change(&run->world, choice >> 8);
        changes++;
        if (run->options->widen && choice % 4 == 0) {
            probe_nap(20000); /* a stale answer must get the time to show itself */
        }
        if (status != CIOMMU_OK) {
            report(run, ciommu_status_text(status), NULL);
        }
        if (run->world.complaint != NULL) {
            report(run, run->world.complaint, NULL);
        }
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    return changes;
}

static const struct domain_plan *plan_of(uint32_t world) {
    switch (world) {
    case PROBE_DOMAIN_FLIPS:
    case PROBE_DOMAIN_CHILDREN:
        return &domain_flips;
    case PROBE_DOMAIN_SPLITS:
    case PROBE_DOMAIN_HUGE_SPLITS:
        return &domain_splits;
    default:
        return &domain_slots;
    }
}

static uint64_t ram_of(uint32_t world) {
    return world == PROBE_DOMAIN_HUGE_SPLITS ? UINT64_C(2) << 30 : UINT64_C(4) << 20;
}

static void race(struct run *run, struct probe_domain_result *result) {
    const struct probe_domain_options *options = run->options;
    struct reader readers[DOMAIN_READERS];
    uint32_t count = options->readers < DOMAIN_READERS ? options->readers : DOMAIN_READERS;
    probe_widen(options->widen);
    probe_set_mutant(options->mutant);
    for (uint32_t index = 0; index < count; index++) {
        readers[index] = (struct reader){
            .run = run, .index = index, .random = options->seed * 2 + index * 77 + 1};
        pthread_create(&readers[index].thread, NULL, read_for_ever, &readers[index]);
    }
    result->changes = change_for_a_while(run);
    for (uint32_t index = 0; index < count; index++) {
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
}

int probe_domain_stress(const struct probe_domain_options *options,
                        struct probe_domain_result *result) {
    memset(result, 0, sizeof *result);
    if (options->world == PROBE_DOMAIN_MAPPERS) {
        return domain_mappers_stress(options, result);
    }
    if (options->world >= PROBE_DOMAIN_DIRTY) {
        return domain_dirty_stress(options, result);
    }
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    run->options = options;
    pthread_mutex_init(&run->lock, NULL);
    int status =
        domain_world_create(&run->world, plan_of(options->world), options, ram_of(options->world));
    if (status == CIOMMU_OK) {
        race(run, result);
    }
    domain_world_destroy(&run->world);
    pthread_mutex_destroy(&run->lock);
    free(run);
    return status;
}

int probe_allocations(int allocations) {
#ifdef CIOMMU_INTERNAL_CHECKS
    return __atomic_exchange_n(&ciommu_allocations_left, allocations, __ATOMIC_RELAXED);
#else
    (void)allocations;
    return INT_MIN;
#endif
}

void probe_allocations_fail_once(bool once) {
#ifdef CIOMMU_INTERNAL_CHECKS
    ciommu_allocations_fail_once = once;
#else
    (void)once;
#endif
}

uint64_t probe_heap_bytes(void) {
    struct mallinfo2 numbers = mallinfo2();
    return numbers.uordblks + numbers.hblkhd;
}

void probe_wait_for_reclamation(void) {
    ciommu_rcu_barrier();
}
