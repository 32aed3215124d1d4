/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * crowd_run.h - what the trials of stress_probe.h share: their threads, when to stop, and what the
 * first violation was.
 */
#ifndef PROBE_CROWD_RUN_H
#define PROBE_CROWD_RUN_H

#include "stress_probe.h"
#include "ciommu.h"
#include "harness.h"

#include <pthread.h>

#define CROWD_MOST 256u

struct crowd_run {
    const struct probe_stress_settings *settings;
    const struct probe_trial_options *options;
    uint32_t stop;
    uint64_t violations;
    uint64_t operations;
    uint64_t end;    /* milliseconds of probe_now */
    uint64_t rounds; /* of the changer */
    pthread_mutex_t lock;
    char first[400];
};

/* One thread of a trial. */
struct crowd_member {
    struct crowd_run *run;
    uint32_t index;
    uint64_t random;
    uint64_t operations; /* its own; added up when it ends */
    void *context;
    void (*body)(struct crowd_member *member);
    pthread_t thread;
};

void crowd_begin(struct crowd_run *run, const struct probe_trial *trial,
                 const struct probe_trial_options *options);
/* Switches mutant and yield points on, then runs the bodies of `count` threads beside `change` on
 * this thread until somebody stops. Returns what `change` does: the number of changes. */
uint64_t crowd_race(struct crowd_run *run, uint32_t count,
                    void (*body)(struct crowd_member *member),
                    uint64_t (*change)(struct crowd_run *run, void *context), void *context);
void crowd_finish(struct crowd_run *run, uint64_t changes, struct probe_trial_result *result);

/* How many threads the settings ask for. */
uint32_t crowd_size(const struct crowd_run *run);

/* Does the run go on? */
bool crowd_goes_on(const struct crowd_run *run);
/* The same for the changer, who ends it in time. */
bool crowd_has_time(struct crowd_run *run);

/* Counts a violation, keeps the first, and ends the run. */
void crowd_report(struct crowd_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Defaults, and what the settings say. */
void crowd_unit_config(const struct crowd_run *run, struct ciommu_unit_config *config);

#endif
