/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trial_probe.h - every randomised run of the kernel's tests behind one interface: stress worlds
 * with their settings, models, explorations, histories. The Swift tests run each for a moment,
 * `make soak` all of them for as long as wanted, `make mutants` those that a broken rule must fail.
 */
#ifndef CIOMMU_TRIAL_PROBE_H
#define CIOMMU_TRIAL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct probe_trial_options {
    uint64_t seed;         /* replays what the trial decides; the scheduler's part stays its own */
    uint32_t milliseconds; /* longest run; it ends at the first violation */
    uint32_t mutant;       /* the rule that is broken; 0 = none */
};

struct probe_trial_result {
    uint64_t violations; /* wrong answers; and a run that could not show any is one */
    uint64_t operations; /* translations, deliveries, responses: what was checked */
    uint64_t changes;    /* invalidations, unmaps, attachments: what was changed beside them */
    char first[400];     /* what the first violation was; "" */
};

struct probe_trial {
    const char *name; /* unique, in the words of the field: "nested, parent remapped, no caches" */
    /* 0, or the ciommu_status that setup failed with. */
    int (*run)(const struct probe_trial *trial, const struct probe_trial_options *options,
               struct probe_trial_result *result);
    const void *settings; /* of `run`: the world's options */
};

/* All trials. */
uint32_t probe_trial_count(void);
const struct probe_trial *probe_trial(uint32_t number);

#endif
