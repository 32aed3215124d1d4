/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials.h - how the worlds of the stress tests become trials: a world runs in passes until the
 * time is over and the run has seen all that could have gone wrong.
 */
#ifndef PROBE_TRIALS_H
#define PROBE_TRIALS_H

#include "trial_probe.h"

/* What a run must have seen to show anything. */
enum trial_sight {
    SEES_OPERATIONS = 1 << 0,
    SEES_CHANGES = 1 << 1,
    SEES_WRITES = 1 << 2,
    SEES_REQUESTS = 1 << 3,
    SEES_STORED = 1 << 4,
    SEES_REFUSED = 1 << 5,
    SEES_RECEIVED = 1 << 6,
    SEES_LOSSES = 1 << 7,
    SEES_PENDING = 1 << 8,
    SEES_DRAINS = 1 << 9,
    SEES_TIMEOUTS = 1 << 10,
    SEES_WAITS = 1 << 11,
    SEES_MERGES = 1 << 12,
    SEES_CANCELS = 1 << 13,
    SEES_RESPONSES = 1 << 14,
    SEES_MANY_CHANGES = 1 << 15, /* 200 rounds */
    SEES_MAPPED = 1 << 16,
    SEES_FAULTS = 1 << 17,
    SEES_RAISES = 1 << 18,
    SEES_TENANTS = 1 << 19,
};

/* One pass of a world. */
struct trial_pass {
    uint64_t violations;
    uint64_t operations;
    uint64_t changes;
    uint32_t sights; /* enum trial_sight */
    char first[400];
};

/* A world: `run` makes one pass of about options->milliseconds with options->mutant. */
struct trial_world {
    int (*run)(const void *settings, const struct probe_trial_options *options,
               struct trial_pass *pass);
    uint32_t needs; /* enum trial_sight */
};

/* Passes until the time is over; then, if nothing is broken, until the run has seen what it
 * needs. */
int trial_run(const struct trial_world *world, const struct probe_trial *trial,
              const struct probe_trial_options *options, struct probe_trial_result *result);

static inline uint32_t trial_sees(enum trial_sight sight, uint64_t count) {
    return count > 0 ? (uint32_t)sight : 0;
}

/* A violation that no world counts itself. */
void trial_violate(struct trial_pass *pass, const char *what);

struct trial_table {
    const struct probe_trial *rows;
    uint32_t count;
};

extern const struct trial_table trials_of_protocol;
extern const struct trial_table trials_of_domains;
extern const struct trial_table trials_of_devices;
extern const struct trial_table trials_of_events;
extern const struct trial_table trials_of_tables;
extern const struct trial_table trials_of_guests;
extern const struct trial_table trials_of_history;

#endif
