/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * namespace_stress.c - readers that keep what they looked up in a PASID namespace until their
 * section ends, beside threads that bind and unbind.
 *
 * There are two namespaces. In the shared one every binder takes whichever host PASID is free; a
 * reader asks the namespace itself whether the host PASID that it holds went to another guest
 * PASID. In the private one each binder binds host PASIDs of its own, and writes on a host PASID's
 * page once an unbind said that it is free; a reader reads that page at both ends of its section.
 * The page is read and written without atomics on purpose: under ThreadSanitizer a missing edge of
 * the drain is a data race.
 */
#define _GNU_SOURCE
#include "probe.h"
#include "debug.h"
#include "namespace.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHARED_GUESTS 12u
#define SHARED_HOSTS 5u
#define PRIVATE_PAIRS 4u /* per binder */
#define PRIVATE_FIRST 1000u
#define HELD 4u /* pairs that a reader holds at once */

struct run {
    const struct probe_namespace_options *options;
    struct probe_namespace_result *result; /* lock */
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_namespace *shared;
    struct ciommu_namespace *private;
    volatile uint64_t *pages; /* by private host PASID - PRIVATE_FIRST; 8 words apart */
    uint32_t stop;
    pthread_mutex_t lock;
};

struct worker {
    struct run *run;
    uint32_t number; /* among the binders */
    uint64_t random;
    pthread_t thread;
};

/* A pair that a section found. */
struct held {
    const struct ciommu_namespace *space;
    uint32_t guest;
    uint32_t host;
    uint64_t page;
};

uint32_t probe_namespace_mutant(enum probe_namespace_rule rule) {
    switch (rule) {
    case PROBE_NAMESPACE_REUSED_EARLY:
        return CIOMMU_MUTANT_PASID_REUSED_EARLY;
    case PROBE_NAMESPACE_QUARANTINE_IGNORED:
        return CIOMMU_MUTANT_QUARANTINE_IGNORED;
    default:
        return CIOMMU_MUTANT_NONE;
    }
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

static void nap(long nanoseconds) {
    struct timespec time = {0, nanoseconds};
    nanosleep(&time, NULL);
}

static bool is_over(struct run *run) {
    return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) != 0;
}

static void report(struct run *run, const char *what, uint32_t guest, uint32_t host,
                   uint32_t other) {
    pthread_mutex_lock(&run->lock);
    if (run->result->violations++ == 0) {
        (void)snprintf(run->result->first, sizeof run->result->first,
                       "%s: guest %u, host %u, then %u", what, guest, host, other);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

/* ---- Readers ---- */

static uint64_t page_of(const struct run *run, const struct held *held) {
    return held->space == run->private ? run->pages[(held->host - PRIVATE_FIRST) * 8] : 0;
}

static bool look_up(struct run *run, uint64_t random, struct held *held) {
    bool private = random % 2 == 0;
    uint32_t guests = private ? run->options->binders * PRIVATE_PAIRS : SHARED_GUESTS;
    held->space = private ? run->private : run->shared;
    held->guest = (uint32_t)(random >> 8) % guests;
    held->host = ciommu_namespace_host(held->space, held->guest);
    if (held->host == CIOMMU_NO_PASID) {
        return false;
    }
    held->page = page_of(run, held);
    return true;
}

static void check(struct run *run, const struct held *held) {
    uint32_t other = ciommu_namespace_guest(held->space, held->host);
    if (other != held->guest && other != CIOMMU_NO_PASID) {
        report(run, "given to another guest PASID", held->guest, held->host, other);
    }
    if (page_of(run, held) != held->page) {
        report(run, "free before the section ended", held->guest, held->host, 0);
    }
}

/* One section: some lookups, some time, the same pairs again. */
static uint64_t read_once(struct run *run, struct ciommu_port *port, uint64_t random) {
    struct held held[HELD];
    uint32_t count = 0;
    ciommu_port_enter(port);
    for (uint32_t attempt = 0; attempt < HELD; attempt++) {
        count += look_up(run, random >> (8 * attempt), &held[count]);
    }
    if (random % 64 == 0) {
        nap(300000); /* longer than the drain waits, if it is told so */
    } else if (random % 4 == 0) {
        sched_yield();
    }
    for (uint32_t index = 0; index < count; index++) {
        check(run, &held[index]);
    }
    ciommu_port_leave(port);
    return count;
}

static void *read_namespaces(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    struct ciommu_port *port = NULL;
    uint64_t lookups = 0;
    if (ciommu_port_create(run->unit, &port) != CIOMMU_OK) {
        report(run, "no port", 0, 0, 0);
    }
    while (port != NULL && !is_over(run)) {
        lookups += read_once(run, port, next_random(&worker->random));
    }
    (void)ciommu_port_destroy(port);
    pthread_mutex_lock(&run->lock);
    run->result->lookups += lookups;
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* ---- Binders ---- */

struct tally {
    uint64_t binds;
    uint64_t drained;
    uint64_t timeouts;
    uint64_t refused;
};

static void bind_pair(struct run *run, struct ciommu_namespace *space, uint32_t guest,
                      uint32_t wanted, struct tally *tally) {
    uint32_t host = wanted;
    enum ciommu_status status = ciommu_namespace_bind(space, guest, &host);
    tally->binds += status == CIOMMU_OK;
    tally->refused += status == CIOMMU_OCCUPIED || status == CIOMMU_NO_SPACE;
    if (status != CIOMMU_OK && status != CIOMMU_OCCUPIED && status != CIOMMU_NO_SPACE) {
        report(run, ciommu_status_text(status), guest, wanted, host);
    }
}

static enum ciommu_status unbind_pair(struct run *run, struct ciommu_namespace *space,
                                      uint32_t guest, struct tally *tally) {
    enum ciommu_status status = ciommu_namespace_unbind(space, NULL, guest);
    tally->drained += status == CIOMMU_OK;
    tally->timeouts += status == CIOMMU_TIMED_OUT;
    if (status != CIOMMU_OK && status != CIOMMU_TIMED_OUT && status != CIOMMU_NOT_FOUND) {
        report(run, ciommu_status_text(status), guest, 0, 0);
    }
    return status;
}

static void *bind_and_unbind(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    struct tally tally = {0};
    while (!is_over(run)) {
        uint64_t random = next_random(&worker->random);
        uint32_t guest = (uint32_t)(random >> 8) % SHARED_GUESTS;
        (void)unbind_pair(run, run->shared, (uint32_t)(random >> 16) % SHARED_GUESTS, &tally);
        bind_pair(run, run->shared, guest, CIOMMU_NO_PASID, &tally);
        uint32_t mine = worker->number * PRIVATE_PAIRS;
        uint32_t pair = mine + (uint32_t)(random >> 24) % PRIVATE_PAIRS;
        uint32_t host = ciommu_namespace_host(run->private, pair);
        if (unbind_pair(run, run->private, pair, &tally) == CIOMMU_OK) {
            run->pages[(host - PRIVATE_FIRST) * 8]++; /* nobody uses it, and only we bind it */
        }
        uint32_t wanted = PRIVATE_FIRST + mine + (uint32_t)(random >> 32) % PRIVATE_PAIRS;
        bind_pair(run, run->private, pair, wanted, &tally);
    }
    pthread_mutex_lock(&run->lock);
    run->result->binds += tally.binds;
    run->result->drained += tally.drained;
    run->result->timeouts += tally.timeouts;
    run->result->refused += tally.refused;
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* ---- The run ---- */

/* When all is quiet every host PASID is free again, whatever timed out before. */
static void check_leftovers(struct run *run) {
    for (uint32_t guest = 0; guest < SHARED_GUESTS; guest++) {
        (void)ciommu_namespace_unbind(run->shared, NULL, guest);
    }
    for (uint32_t guest = 0; guest <= SHARED_HOSTS; guest++) {
        uint32_t host = CIOMMU_NO_PASID;
        enum ciommu_status status = ciommu_namespace_bind(run->shared, guest, &host);
        if (status != (guest < SHARED_HOSTS ? CIOMMU_OK : CIOMMU_NO_SPACE)) {
            report(run, "a host PASID is lost", guest, host, (uint32_t)status);
        }
    }
}

static enum ciommu_status create(struct run *run) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 0;
    config.drain_timeout = run->options->drain_timeout;
    uint32_t private = run->options->binders * PRIVATE_PAIRS;
    run->pages = calloc(private, 64);
    enum ciommu_status status = ciommu_memory_create(&run->memory);
    status = status != CIOMMU_OK ? status : ciommu_unit_create(&config, run->memory, &run->unit);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_namespace_create(run->unit, 1, SHARED_HOSTS, &run->shared);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_namespace_create(run->unit, PRIVATE_FIRST, PRIVATE_FIRST + private - 1,
                                           &run->private);
    return status == CIOMMU_OK && run->pages == NULL ? CIOMMU_NO_MEMORY : status;
}

static void work(struct run *run, struct worker *workers) {
    uint32_t count = run->options->readers + run->options->binders;
    for (uint32_t index = 0; index < count; index++) {
        bool binds = index < run->options->binders;
        workers[index] = (struct worker){
            .run = run, .number = index, .random = run->options->seed * 2 + index * 77 + 1};
        pthread_create(&workers[index].thread, NULL, binds ? bind_and_unbind : read_namespaces,
                       &workers[index]);
    }
    for (uint32_t time = 0; time < run->options->milliseconds && !is_over(run); time++) {
        nap(1000000);
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    for (uint32_t index = 0; index < count; index++) {
        pthread_join(workers[index].thread, NULL);
    }
}

int probe_namespace_stress(const struct probe_namespace_options *options,
                           struct probe_namespace_result *result) {
    memset(result, 0, sizeof *result);
    struct run run = {.options = options, .result = result};
    struct worker *workers = calloc(options->readers + options->binders, sizeof *workers);
    enum ciommu_status status = workers == NULL ? CIOMMU_NO_MEMORY : create(&run);
    if (status == CIOMMU_OK) {
        pthread_mutex_init(&run.lock, NULL);
        probe_set_mutant(probe_namespace_mutant((enum probe_namespace_rule)options->rule));
        work(&run, workers);
        probe_set_mutant(0);
        check_leftovers(&run);
        pthread_mutex_destroy(&run.lock);
    }
    ciommu_namespace_destroy(run.shared);
    ciommu_namespace_destroy(run.private);
    (void)ciommu_unit_destroy(run.unit);
    (void)ciommu_memory_destroy(run.memory);
    free((void *)run.pages);
    free(workers);
    return status;
}
