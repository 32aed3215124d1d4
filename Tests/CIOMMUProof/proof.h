/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * proof.h - the commands of the program, and what they share.
 */
#ifndef PROOF_PROOF_H
#define PROOF_PROOF_H

#include "child.h"

#include "trial_probe.h"

struct options {
    const char *only;     /* a glob of names; NULL = all */
    const char *release;  /* soak: the other program, without test switches; NULL = none */
    uint64_t seed;        /* never 0 */
    double seconds;       /* of a trial */
    double minutes;       /* soak */
    uint32_t jobs;        /* soak: slices at a time */
    uint32_t repetitions; /* mutants: the median of so many */
    bool list;
};

/* The exit codes: 0 = all is well. */
int run_cases(const struct options *options);
int run_trials(const struct options *options);
int run_soak(const struct options *options);
int run_mutants(const struct options *options);

/* One slice of a soak, for its parent in another build: `slice NAME MILLISECONDS SEED FILE`. */
int run_slice(char **arguments, int count);

bool is_wanted(const struct options *options, const char *name);

/* The next of a row of seeds. */
uint64_t next_seed(uint64_t *state);

/* Runs a trial and fills the report. */
void report_trial(const struct probe_trial *trial, uint64_t seed, uint32_t milliseconds,
                  struct report *report);

#endif
