/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * crowd_run.c - see crowd_run.h.
 */
#define _GNU_SOURCE
#include "crowd_run.h"
#include "probe.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A section is held back by threads that wait for a processor, not by the clock. */
#define PATIENCE UINT64_C(600000000000)
#define ROUNDS_LEAST 16u

void crowd_begin(struct crowd_run *run, const struct probe_trial *trial,
                 const struct probe_trial_options *options) {
    memset(run, 0, sizeof *run);
    run->settings = trial->settings;
    run->options = options;
    pthread_mutex_init(&run->lock, NULL);
}

static uint32_t processors(cpu_set_t *allowed) {
    bool known = sched_getaffinity(0, sizeof *allowed, allowed) == 0;
    return known && CPU_COUNT(allowed) > 0 ? (uint32_t)CPU_COUNT(allowed) : 1;
}

uint32_t crowd_size(const struct crowd_run *run) {
    cpu_set_t allowed;
    uint32_t count = run->settings->readers;
    if (run->settings->crowding != 0) {
        count = run->settings->crowding * processors(&allowed);
    } else if (count == 0) {
        count = processors(&allowed);
    }
    return count < CROWD_MOST ? count : CROWD_MOST;
}

/* The calling thread stays on the n-th processor that it may use. */
static void pin(uint32_t index) {
    cpu_set_t allowed;
    uint32_t wanted = index % processors(&allowed);
    for (int processor = 0; processor < CPU_SETSIZE; processor++) {
        if (CPU_ISSET(processor, &allowed) && wanted-- == 0) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(processor, &set);
            (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
            return;
        }
    }
}

bool crowd_goes_on(const struct crowd_run *run) {
    return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0;
}

bool crowd_has_time(struct crowd_run *run) {
    /* However slow the machine is, something happens. */
    if (++run->rounds > ROUNDS_LEAST && probe_now() >= run->end) {
        __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    }
    return crowd_goes_on(run);
}

void crowd_report(struct crowd_run *run, const char *format, ...) {
    (void)__atomic_fetch_add(&run->violations, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&run->lock);
    if (run->first[0] == 0) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(run->first, sizeof run->first, format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

static void *run_body(void *argument) {
    struct crowd_member *member = argument;
    if (member->run->settings->pinned) {
        pin(member->index);
    }
    member->body(member);
    (void)__atomic_fetch_add(&member->run->operations, member->operations, __ATOMIC_RELAXED);
    return NULL;
}

uint64_t crowd_race(struct crowd_run *run, uint32_t count,
                    void (*body)(struct crowd_member *member),
                    uint64_t (*change)(struct crowd_run *run, void *context), void *context) {
    struct crowd_member *members = calloc(count, sizeof *members);
    uint32_t started = 0;
    uint64_t changes = 0;
    probe_widen(run->settings->widen);
    probe_set_mutant(run->options->mutant);
    for (; members != NULL && started < count; started++) {
        struct crowd_member *member = &members[started];
        *member = (struct crowd_member){
            .run = run,
            .index = started,
            .random = run->options->seed * 2 + started * UINT64_C(0x9e3779b97f4a7c15) + 1,
            .context = context,
            .body = body,
        };
        if (pthread_create(&member->thread, NULL, run_body, member) != 0) {
            break;
        }
    }
    if (started < count) {
        crowd_report(run, "only %u of %u threads could be made", started, count);
    } else {
        run->end = probe_now() + run->options->milliseconds;
        changes = change(run, context);
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    for (uint32_t index = 0; index < started; index++) {
        (void)pthread_join(members[index].thread, NULL);
    }
    probe_set_mutant(0);
    probe_widen(false);
    free(members);
    return changes;
}

void crowd_finish(struct crowd_run *run, uint64_t changes, struct probe_trial_result *result) {
    if (run->violations == 0 && (run->operations == 0 || changes == 0)) {
        crowd_report(run, "nothing could go wrong: %llu operations, %llu changes",
                     (unsigned long long)run->operations, (unsigned long long)changes);
    }
    memset(result, 0, sizeof *result);
    result->violations = run->violations;
    result->operations = run->operations;
    result->changes = changes;
    memcpy(result->first, run->first, sizeof result->first);
    pthread_mutex_destroy(&run->lock);
}

void crowd_unit_config(const struct crowd_run *run, struct ciommu_unit_config *config) {
    const struct probe_stress_settings *settings = run->settings;
    ciommu_unit_config_init(config);
    config->iotlb_entries = settings->iotlb_entries;
    config->first_level_entries = settings->first_level_entries;
    config->walk_cache_entries = settings->walk_cache_entries;
    config->flags = settings->portable ? CIOMMU_UNIT_NO_WIDE_LOADS : 0;
    config->drain_timeout = PATIENCE;
    config->ports = CROWD_MOST + 16;
}
