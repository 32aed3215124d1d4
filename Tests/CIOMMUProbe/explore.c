/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore.c - depth-first over all schedules of a scenario, and at random beyond them.
 *
 * Grace periods end between schedules, never in one: when they end is liburcu's choice and would
 * not replay. What schedules leave behind is destroyed many worlds at a time, for the same reason
 * that makes that slow: it waits for grace periods.
 */
#define _GNU_SOURCE
#include "explore_world.h"
#include "harness.h"
#include "probe.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CIOMMU_INTERNAL_CHECKS

#include "rcu.h"

#define WORLDS 64u /* that are left before they are destroyed together */

struct exploration {
    const struct explore_scenario *scenario;
    struct explore_memory memory;
    struct explore_schedule schedule;
    struct explore_world *worlds; /* WORLDS */
    uint32_t left;                /* worlds to destroy */
    struct explore_world *world;  /* of the present schedule */
    cpu_set_t processors;         /* of the caller, before */
    uint32_t mutant;
};

const struct explore_scenario *explore_scenario(uint32_t number) {
    static const struct explore_scenario *const tables[] = {
        explore_guest_scenarios,
        explore_reuse_scenarios,
        explore_structure_scenarios,
        explore_host_scenarios,
    };
    for (uint32_t table = 0; table < sizeof tables / sizeof *tables; table++) {
        for (const struct explore_scenario *at = tables[table]; at->name != NULL; at++) {
            if (number-- == 0) {
                return at;
            }
        }
    }
    return NULL;
}

uint32_t probe_explore_count(void) {
    uint32_t count = 0;
    while (explore_scenario(count) != NULL) {
        count++;
    }
    return count;
}

const char *probe_explore_name(uint32_t scenario) {
    const struct explore_scenario *found = explore_scenario(scenario);
    return found == NULL ? "" : found->name;
}

static void run_body(void *context, uint32_t thread) {
    struct exploration *exploration = context;
    explore_world_body(exploration->world, thread);
}

static void come_by(enum ciommu_yield_point point) {
    if (point != CIOMMU_YIELD_ENTRY_READ) { /* the guests of these worlds write whole entries */
        explore_at(point);
    }
}

/* All threads on one processor: they run one at a time, and hand over faster there. */
static void gather(struct exploration *exploration) {
    cpu_set_t here;
    CPU_ZERO(&here);
    int processor = sched_getcpu();
    (void)sched_getaffinity(0, sizeof exploration->processors, &exploration->processors);
    if (processor >= 0 && processor < CPU_SETSIZE) {
        CPU_SET(processor, &here);
        (void)sched_setaffinity(0, sizeof here, &here);
    }
}

static int begin(struct exploration *exploration, uint32_t scenario, uint32_t mutant) {
    memset(exploration, 0, sizeof *exploration);
    exploration->scenario = explore_scenario(scenario);
    if (exploration->scenario == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    exploration->mutant = mutant;
    exploration->worlds = calloc(WORLDS, sizeof *exploration->worlds);
    if (exploration->worlds == NULL || !explore_memory_init(&exploration->memory)) {
        free(exploration->worlds);
        return CIOMMU_NO_MEMORY;
    }
    gather(exploration);
    uint32_t readers = exploration->scenario->readers;
    bool made = explore_schedule_init(&exploration->schedule, readers == 0 ? 2 : readers + 1,
                                      run_body, exploration);
    __atomic_store_n(&ciommu_yield_hook, come_by, __ATOMIC_RELEASE);
    return made ? CIOMMU_OK : CIOMMU_NO_MEMORY;
}

static void clear_away(struct exploration *exploration) {
    for (uint32_t world = 0; world < exploration->left; world++) {
        explore_world_empty(&exploration->worlds[world]);
    }
    while (exploration->left > 0) {
        explore_world_destroy(&exploration->worlds[--exploration->left]);
    }
}

static void end(struct exploration *exploration) {
    if (exploration->scenario == NULL || exploration->worlds == NULL) {
        return;
    }
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    clear_away(exploration);
    explore_schedule_fini(&exploration->schedule);
    explore_memory_fini(&exploration->memory);
    free(exploration->worlds);
    (void)sched_setaffinity(0, sizeof exploration->processors, &exploration->processors);
}

static void note_violation(const struct exploration *exploration,
                           struct probe_explore_result *result) {
    explore_schedule_write(&exploration->schedule, result->schedule, sizeof result->schedule);
    int length = snprintf(result->first, sizeof result->first,
                          "%s: %s; schedule \"%s\": ", exploration->scenario->name,
                          exploration->world->what, result->schedule);
    if (length > 0 && (size_t)length < sizeof result->first) {
        explore_schedule_tell(&exploration->schedule, result->first + length,
                              (uint32_t)(sizeof result->first - (size_t)length));
    }
}

/* One schedule in a new world. */
static int run_one(struct exploration *exploration, struct probe_explore_result *result) {
    if (exploration->left == WORLDS) {
        clear_away(exploration);
    }
    exploration->world = &exploration->worlds[exploration->left++];
    enum ciommu_status status =
        explore_world_create(exploration->world, exploration->scenario, &exploration->memory);
    if (status != CIOMMU_OK) {
        return status;
    }
    ciommu_rcu_lock();
    probe_set_mutant(exploration->mutant);
    explore_schedule_run(&exploration->schedule);
    explore_world_check(exploration->world);
    probe_set_mutant(0);
    ciommu_rcu_unlock();
    if (exploration->schedule.stuck) {
        explore_fail(exploration->world, "everybody waited");
    }
    result->schedules++;
    result->decisions += exploration->schedule.decision_count;
    result->astray += exploration->schedule.astray;
    if (exploration->world->failed) {
        result->violations++;
        note_violation(exploration, result);
    }
    return CIOMMU_OK;
}

/* Depth-first until the bound, a violation, or `until` (milliseconds of probe_now; 0 = never). */
static int explore(struct exploration *exploration, uint32_t bound, uint64_t until,
                   struct probe_explore_result *result) {
    for (;;) {
        int status = run_one(exploration, result);
        if (status != CIOMMU_OK || result->violations != 0) {
            return status;
        }
        if (!explore_schedule_next(&exploration->schedule, bound)) {
            result->complete = true;
            return CIOMMU_OK;
        }
        if (until != 0 && probe_now() >= until) {
            return CIOMMU_OK;
        }
    }
}

int probe_explore_run(uint32_t scenario, uint32_t mutant, uint32_t bound,
                      struct probe_explore_result *result) {
    struct exploration *exploration = calloc(1, sizeof *exploration);
    memset(result, 0, sizeof *result);
    if (exploration == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    int status = begin(exploration, scenario, mutant);
    status = status != CIOMMU_OK ? status : explore(exploration, bound, 0, result);
    end(exploration);
    free(exploration);
    return status;
}

int probe_explore_replay(uint32_t scenario, uint32_t mutant, const char *schedule,
                         struct probe_explore_result *result) {
    struct exploration *exploration = calloc(1, sizeof *exploration);
    memset(result, 0, sizeof *result);
    if (exploration == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    int status = begin(exploration, scenario, mutant);
    if (status == CIOMMU_OK) {
        explore_schedule_read(&exploration->schedule, schedule);
        status = run_one(exploration, result);
    }
    end(exploration);
    free(exploration);
    return status;
}

static void explore_at_random(struct exploration *exploration, uint64_t seed, uint64_t until,
                              struct probe_explore_result *result) {
    exploration->schedule.choice_count = 0;
    exploration->schedule.random = seed | 1;
    while (probe_now() < until && result->violations == 0 &&
           run_one(exploration, result) == CIOMMU_OK) {
    }
}

int probe_explore_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result) {
    const struct probe_explore_settings *settings = trial->settings;
    struct exploration *exploration = calloc(1, sizeof *exploration);
    struct probe_explore_result found = {0};
    memset(result, 0, sizeof *result);
    if (exploration == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    uint64_t until = probe_now() + options->milliseconds;
    int status = begin(exploration, settings->scenario, options->mutant);
    status = status != CIOMMU_OK ? status : explore(exploration, settings->bound, until, &found);
    if (status == CIOMMU_OK && found.violations == 0) {
        explore_at_random(exploration, options->seed, until, &found);
    }
    end(exploration);
    free(exploration);
    result->violations = found.violations + found.astray;
    result->operations = found.schedules;
    result->changes = found.schedules;
    (void)snprintf(result->first, sizeof result->first, "%.*s", (int)sizeof result->first - 1,
                   found.violations == 0 && found.astray != 0 ? "a schedule did not replay"
                                                              : found.first);
    return status;
}

#else

uint32_t probe_explore_count(void) {
    return 0;
}

const char *probe_explore_name(uint32_t scenario) {
    (void)scenario;
    return "";
}

int probe_explore_run(uint32_t scenario, uint32_t mutant, uint32_t bound,
                      struct probe_explore_result *result) {
    (void)scenario, (void)mutant, (void)bound;
    memset(result, 0, sizeof *result);
    return CIOMMU_UNSUPPORTED;
}

int probe_explore_replay(uint32_t scenario, uint32_t mutant, const char *schedule,
                         struct probe_explore_result *result) {
    (void)schedule;
    return probe_explore_run(scenario, mutant, 0, result);
}

int probe_explore_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result) {
    (void)trial, (void)options;
    memset(result, 0, sizeof *result);
    return CIOMMU_UNSUPPORTED;
}

#endif
