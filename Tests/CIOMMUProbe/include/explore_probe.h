/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_probe.h - systematic exploration of how two or three threads interleave at the yield
 * points of the protocol (debug.h), in small scenarios: a reader translates while another thread
 * changes one thing and invalidates it. One thread runs at a time, and who goes on at a yield point
 * is a choice; all schedules with at most so many preemptions are run, one after the other. Every
 * answer is checked (promise 1), and so are the answers that both sides get afterwards.
 *
 * Yield points are compiled out of release builds: there are no scenarios then.
 */
#ifndef CIOMMU_EXPLORE_PROBE_H
#define CIOMMU_EXPLORE_PROBE_H

#include "trial_probe.h"

#define PROBE_SCHEDULE_CHOICES 200u

/* How many scenarios there are, and their names. */
uint32_t probe_explore_count(void);
const char *probe_explore_name(uint32_t scenario);

struct probe_explore_result {
    uint64_t schedules;  /* run */
    uint64_t violations; /* schedules that showed one; the exploration ends at the first */
    uint64_t decisions;  /* choices taken in them */
    uint64_t astray;     /* schedules that did not follow their choices: must be 0 */
    bool complete;       /* every schedule within the bound was run */
    char schedule[PROBE_SCHEDULE_CHOICES + 1]; /* the choices of the first violation; replays it */
    char first[1200]; /* what it was, and the threads and points that it came through */
};

/* Explores a scenario with one rule broken (0 = none) and at most `bound` preemptions. 0, or the
 * ciommu_status that setup failed with. */
int probe_explore_run(uint32_t scenario, uint32_t mutant, uint32_t bound,
                      struct probe_explore_result *result);

/* Runs one schedule. */
int probe_explore_replay(uint32_t scenario, uint32_t mutant, const char *schedule,
                         struct probe_explore_result *result);

/* The rules that an exploration must show broken, and in which scenario. */
struct probe_explore_mutant {
    const char *name; /* what follows CIOMMU_MUTANT_ */
    uint32_t mutant;
    uint32_t scenario;
};
uint32_t probe_explore_mutant_count(void);
struct probe_explore_mutant probe_explore_mutant(uint32_t number);

/* Yield points that neither a scenario nor a case named for them passes; `text` gets their numbers
 * in debug.h. Runs all scenarios. */
uint32_t probe_points_missed(char *text, uint32_t size);

struct probe_explore_settings {
    uint32_t scenario;
    uint32_t bound; /* of the systematic part; schedules at random follow it */
};

/* All schedules within the bound, then schedules at random. */
int probe_explore_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result);

#endif
