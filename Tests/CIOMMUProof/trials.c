/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials.c - `proof trials`: every trial once, one after another; and slices of a soak.
 */
#include "proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Implementation: a trial that has not ended so long after its time hangs. */
#define GRACE 600000u

struct task {
    const struct probe_trial *trial;
    uint64_t seed;
    uint32_t milliseconds;
};

static void run_trial(const void *context, struct report *report, int file) {
    const struct task *task = context;
    (void)file;
    report_trial(task->trial, task->seed, task->milliseconds, report);
}

/* One line. True: it went well. */
static bool run_one(const struct task *task) {
    struct child child;
    const struct work work = {run_trial, task, false};
    if (!child_start(&child, &work, task->milliseconds + GRACE)) {
        (void)fprintf(stderr, "proof: no process\n");
        return false;
    }
    enum child_end end = child_wait(&child);
    const struct report *report = child.report;
    char text[100] = "";
    if (end != CHILD_FINISHED) {
        child_tell_end(&child, end, text, sizeof text);
    } else if (report->status != 0) {
        (void)snprintf(text, sizeof text, "setup failed with status %d", report->status);
    }
    bool fine = text[0] == 0 && report->violations == 0;
    (void)printf("%-54s %12llu operations %10llu changes %6llu violations\n", task->trial->name,
                 (unsigned long long)report->operations, (unsigned long long)report->changes,
                 (unsigned long long)report->violations);
    if (!fine) {
        (void)printf("FAILED  %s: %s%s; --only '%s' --seed %llu replays\n", task->trial->name, text,
                     report->first, task->trial->name, (unsigned long long)task->seed);
    }
    child_forget(&child);
    return fine;
}

int run_trials(const struct options *options) {
    uint64_t seeds = options->seed;
    uint32_t failed = 0;
    uint32_t count = 0;
    if (!options->list) {
        (void)printf("seed %llu\n", (unsigned long long)options->seed);
    }
    for (uint32_t number = 0; number < probe_trial_count(); number++) {
        const struct probe_trial *trial = probe_trial(number);
        if (!is_wanted(options, trial->name)) {
            continue;
        }
        /* The first has the seed that was given, so that it replays alone. */
        const struct task task = {trial, count == 0 ? options->seed : next_seed(&seeds),
                                  (uint32_t)(options->seconds * 1000)};
        count++;
        if (options->list) {
            (void)printf("%s\n", trial->name);
        } else {
            failed += !run_one(&task);
        }
    }
    if (!options->list) {
        (void)printf("%u trials, %u failed\n", count, failed);
    }
    return failed != 0 || count == 0;
}

int run_slice(char **arguments, int count) {
    if (count != 4) {
        return 2;
    }
    struct report *report = report_open(atoi(arguments[3]));
    for (uint32_t number = 0; number < probe_trial_count() && report != NULL; number++) {
        const struct probe_trial *trial = probe_trial(number);
        if (strcmp(trial->name, arguments[0]) == 0) {
            report_trial(trial, strtoull(arguments[2], NULL, 10),
                         (uint32_t)strtoul(arguments[1], NULL, 10), report);
            report->finished = 1;
            return 0;
        }
    }
    return 2;
}
