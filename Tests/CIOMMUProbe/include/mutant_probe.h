/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * mutant_probe.h - the deliberate breaks of single rules (debug.h), and for each what must notice
 * it: a trial (trial_probe.h) or a deterministic case (case_probe.h).
 */
#ifndef CIOMMU_MUTANT_PROBE_H
#define CIOMMU_MUTANT_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* The number of the mutant CIOMMU_MUTANT_<name>, for probe_set_mutant; 0 if there is none. */
uint32_t probe_mutant_number(const char *name);

/* The other way; "" if there is none. */
const char *probe_mutant_identifier(uint32_t mutant);

struct probe_mutant_row {
    const char *mutant;       /* what follows CIOMMU_MUTANT_ */
    const char *trial;        /* the trial that must notice it; NULL = a case */
    const char *noticed_case; /* the case that must; NULL = a trial */
};

uint32_t probe_mutant_row_count(void);
const struct probe_mutant_row *probe_mutant_row(uint32_t number);

/* The first mutant for which there is no row, or whose row names a mutant, trial or case that is
 * not there; NULL = the table is complete. */
const char *probe_mutant_without_row(void);

struct probe_mutant_outcome {
    uint64_t violations; /* 0 = it survived */
    uint64_t operations;
    char first[400];
};

/* Breaks the row's rule, or with `sound` none, and runs what must notice it, at most
 * `milliseconds`; a case runs over and over. 0, or the ciommu_status that setup failed with. */
int probe_mutant_run(const struct probe_mutant_row *row, bool sound, uint64_t seed,
                     uint32_t milliseconds, struct probe_mutant_outcome *outcome);

#endif
