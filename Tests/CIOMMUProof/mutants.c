/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * mutants.c - `proof mutants`: breaks every rule in turn and shows what notices it, and how fast;
 * and that the same run notices nothing where nothing is broken.
 */
#define _GNU_SOURCE
#include "proof.h"

#include "mutant_probe.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 60000u       /* milliseconds in which a mutant must be noticed */
#define SOUND 1000u        /* of a control run */
#define GRACE 600000u      /* a sound run that has not ended so long after its time hangs */
#define BROKEN_GRACE 5000u /* the same of a mutant */

struct task {
    const struct probe_mutant_row *row;
    bool sound;
    uint64_t seed;
};

static void run(const void *context, struct report *report, int file) {
    const struct task *task = context;
    struct probe_mutant_outcome outcome;
    (void)file;
    report->status =
        probe_mutant_run(task->row, task->sound, task->seed, task->sound ? SOUND : LIMIT, &outcome);
    report->violations = outcome.violations;
    report->operations = outcome.operations;
    memcpy(report->first, outcome.first, sizeof report->first);
}

static const char *noticer(const struct probe_mutant_row *row) {
    return row->trial != NULL ? row->trial : row->noticed_case;
}

/* One run. `*text` is what was noticed first; false if nothing was. */
static bool notices(const struct task *task, double *seconds, uint64_t *operations, char *text,
                    uint32_t size) {
    struct child child;
    const struct work work = {run, task, !task->sound};
    if (!child_start(&child, &work, task->sound ? SOUND + GRACE : LIMIT + BROKEN_GRACE)) {
        (void)fprintf(stderr, "proof: no process\n");
        exit(1);
    }
    enum child_end end = child_wait(&child);
    const struct report *report = child.report;
    bool noticed = true;
    *seconds = (double)(now() - child.begun) / 1000;
    *operations = report->operations;
    if (end == CHILD_CRASHED || (end == CHILD_HUNG && task->sound)) {
        child_tell_end(&child, end, text, size);
    } else if (end == CHILD_FINISHED && report->status != 0) {
        (void)snprintf(text, size, "setup failed with status %d", report->status);
        noticed = task->sound; /* nothing was broken yet */
    } else {
        noticed = report->violations != 0;
        (void)snprintf(text, size, "%s", end == CHILD_HUNG ? "no end" : report->first);
    }
    child_forget(&child);
    return noticed;
}

/* Does what must notice the mutant find nothing where nothing is broken? Once for each. */
static bool is_sound(uint32_t number, uint64_t *seeds) {
    const struct probe_mutant_row *row = probe_mutant_row(number);
    for (uint32_t earlier = 0; earlier < number; earlier++) {
        if (strcmp(noticer(probe_mutant_row(earlier)), noticer(row)) == 0) {
            return true; /* or it was told there */
        }
    }
    const struct task task = {row, true, next_seed(seeds)};
    double seconds;
    uint64_t operations;
    char text[400];
    if (!notices(&task, &seconds, &operations, text, sizeof text)) {
        return true;
    }
    (void)printf("FAILED  %s, with nothing broken: %s; --seed %llu\n", noticer(row), text,
                 (unsigned long long)task.seed);
    return false;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* One line of the table; false: it survives. */
static bool tell(const struct probe_mutant_row *row, uint32_t repetitions, uint64_t *seeds,
                 double *slowest) {
    double times[99];
    uint64_t operations = 0;
    char text[400];
    for (uint32_t time = 0; time < repetitions; time++) {
        const struct task task = {row, false, next_seed(seeds)};
        if (!notices(&task, &times[time], &operations, text, sizeof text)) {
            (void)printf("SURVIVES  %-26s %-48s %llu operations in %.1f s; --seed %llu %s\n",
                         row->mutant, noticer(row), (unsigned long long)operations, times[time],
                         (unsigned long long)task.seed, text);
            return false;
        }
        *slowest = times[time] > *slowest ? times[time] : *slowest;
    }
    qsort(times, repetitions, sizeof *times, compare);
    (void)printf("%-26s %-54s %7.2f s %10llu  %.60s\n", row->mutant, noticer(row),
                 times[repetitions / 2], (unsigned long long)operations, text);
    return true;
}

int run_mutants(const struct options *options) {
    if (!probe_has_mutants()) {
        (void)fprintf(stderr, "proof: this build has no mutants (CIOMMU_INTERNAL_CHECKS)\n");
        return 1;
    }
    const char *without = probe_mutant_without_row();
    if (without != NULL) {
        (void)printf("FAILED  %s: no row, or one that names what is not there\n", without);
    }
    uint64_t seeds = options->seed;
    uint32_t count = 0;
    uint32_t failed = without != NULL;
    double slowest = 0;
    if (!options->list) {
        (void)printf("seed %llu\n%-26s %-54s %9s %10s  %s\n", (unsigned long long)options->seed,
                     "mutant", "noticed by", "after", "operations", "as");
    }
    for (uint32_t number = 0; number < probe_mutant_row_count(); number++) {
        const struct probe_mutant_row *row = probe_mutant_row(number);
        if (!is_wanted(options, row->mutant)) {
            continue;
        }
        count++;
        if (options->list) {
            (void)printf("%-26s %s\n", row->mutant, noticer(row));
            continue;
        }
        failed += !is_sound(number, &seeds);
        failed += !tell(row, options->repetitions, &seeds, &slowest);
    }
    if (!options->list) {
        (void)printf("%u ways to notice a mutant, %u failed; the slowest took %.1f s\n", count,
                     failed, slowest);
    }
    return failed != 0 || count == 0;
}
