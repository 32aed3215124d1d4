/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soak.c - `proof soak`: all trials in slices, over and over, with ever new seeds. Slices of this
 * program, whose races are widened, alternate with slices of a release build, which is fast.
 */
#define _GNU_SOURCE
#include "proof.h"
#include "explore_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SLICE_LONGEST 10000u /* milliseconds */
#define SLICE_SHORTEST 500u
#define GRACE 600000u /* a slice that has not ended so long after its time hangs */
#define MINUTE 60000u

struct total {
    const struct probe_trial *trial;
    uint64_t slices;
    uint64_t operations;
    uint64_t changes;
    uint64_t violations;
    uint64_t failures; /* slices */
};

struct slice {
    struct total *total; /* NULL = idle */
    const char *program; /* NULL = this one */
    uint64_t seed;
    uint32_t milliseconds;
    struct child child;
};

struct soak {
    const struct options *options;
    struct total *totals;
    uint32_t count;
    struct slice *slices; /* options->jobs */
    uint64_t turn;        /* slices begun */
    uint64_t seeds;
    uint64_t begun;
    uint64_t end;
    uint64_t told; /* when progress was told last */
    uint32_t milliseconds;
    uint64_t failures;
};

static void run(const void *context, struct report *report, int file) {
    const struct slice *slice = context;
    const struct probe_trial *trial = slice->total->trial;
    if (slice->program == NULL) {
        report_trial(trial, slice->seed, slice->milliseconds, report);
        return;
    }
    char milliseconds[32];
    char seed[32];
    char shared[32];
    (void)snprintf(milliseconds, sizeof milliseconds, "%u", slice->milliseconds);
    (void)snprintf(seed, sizeof seed, "%llu", (unsigned long long)slice->seed);
    (void)snprintf(shared, sizeof shared, "%d", file);
    (void)execl(slice->program, slice->program, "slice", trial->name, milliseconds, seed, shared,
                (char *)NULL);
    perror(slice->program);
    _exit(2);
}

/* Every trial comes with one program, then with the other; but explorations need yield points. */
static void begin(struct soak *soak, struct slice *slice) {
    uint64_t round = soak->turn / soak->count;
    uint64_t trial = soak->turn % soak->count;
    soak->turn++;
    slice->total = &soak->totals[trial];
    bool explores = slice->total->trial->run == probe_explore_trial;
    bool elsewhere = (round + trial) % 2 == 1 && !explores;
    slice->program = elsewhere ? soak->options->release : NULL;
    slice->seed = next_seed(&soak->seeds);
    slice->milliseconds = soak->milliseconds;
    const struct work work = {run, slice, false};
    if (!child_start(&slice->child, &work, slice->milliseconds + GRACE)) {
        (void)fprintf(stderr, "proof: no process\n");
        exit(1);
    }
}

static void tell_failure(const struct slice *slice, enum child_end end) {
    const struct report *report = slice->child.report;
    char text[100] = "";
    if (end != CHILD_FINISHED) {
        child_tell_end(&slice->child, end, text, sizeof text);
    } else if (report->status != 0) {
        (void)snprintf(text, sizeof text, "setup failed with status %d", report->status);
    }
    (void)printf("FAILED  %s (%s): %s%s; trials --only '%s' --seed %llu --seconds %g replays\n",
                 slice->total->trial->name, slice->program == NULL ? "debug" : "release", text,
                 report->first, slice->total->trial->name, (unsigned long long)slice->seed,
                 slice->milliseconds / 1000.0);
}

/* True: the slice has ended. */
static bool look(struct soak *soak, struct slice *slice) {
    enum child_end end = child_look(&slice->child);
    if (end == CHILD_RUNS) {
        return false;
    }
    const struct report *report = slice->child.report;
    struct total *total = slice->total;
    total->slices++;
    total->operations += report->operations;
    total->changes += report->changes;
    total->violations += report->violations;
    if (end != CHILD_FINISHED || report->status != 0 || report->violations != 0) {
        total->failures++;
        soak->failures++;
        tell_failure(slice, end);
    }
    child_forget(&slice->child);
    slice->total = NULL;
    return true;
}

static void tell_progress(struct soak *soak) {
    uint64_t operations = 0;
    uint64_t changes = 0;
    uint64_t slices = 0;
    for (uint32_t index = 0; index < soak->count; index++) {
        operations += soak->totals[index].operations;
        changes += soak->totals[index].changes;
        slices += soak->totals[index].slices;
    }
    (void)printf("%6.1f min: %llu slices, %llu operations, %llu changes, %llu failed\n",
                 (double)(now() - soak->begun) / MINUTE, (unsigned long long)slices,
                 (unsigned long long)operations, (unsigned long long)changes,
                 (unsigned long long)soak->failures);
}

static void tell_totals(const struct soak *soak) {
    (void)printf("%-54s %8s %14s %12s %10s %6s\n", "trial", "slices", "operations", "changes",
                 "violations", "failed");
    uint32_t without = 0;
    for (uint32_t index = 0; index < soak->count; index++) {
        const struct total *total = &soak->totals[index];
        without += total->slices == 0;
        (void)printf("%-54s %8llu %14llu %12llu %10llu %6llu\n", total->trial->name,
                     (unsigned long long)total->slices, (unsigned long long)total->operations,
                     (unsigned long long)total->changes, (unsigned long long)total->violations,
                     (unsigned long long)total->failures);
    }
    if (without != 0) {
        (void)printf("%u trials had no turn: more minutes are needed\n", without);
    }
}

/* Every trial comes at least once with each program, if the time allows slices of some length. */
static uint32_t slice_length(const struct options *options, uint32_t trials) {
    double all = options->minutes * MINUTE * options->jobs;
    double slice = all / (trials * (options->release != NULL ? 2.0 : 1.0)) * 0.9;
    return slice > SLICE_LONGEST    ? SLICE_LONGEST
           : slice < SLICE_SHORTEST ? SLICE_SHORTEST
                                    : (uint32_t)slice;
}

static void go_on(struct soak *soak) {
    const struct timespec nap = {0, 20000000};
    for (bool busy = true; busy;) {
        busy = false;
        for (uint32_t index = 0; index < soak->options->jobs; index++) {
            struct slice *slice = &soak->slices[index];
            bool idle = slice->total == NULL || look(soak, slice);
            if (idle && now() < soak->end) {
                begin(soak, slice);
            }
            busy = busy || slice->total != NULL;
        }
        if (now() - soak->told >= MINUTE) {
            soak->told += MINUTE;
            tell_progress(soak);
        }
        nanosleep(&nap, NULL);
    }
}

int run_soak(const struct options *options) {
    struct soak soak = {.options = options, .seeds = options->seed, .begun = now()};
    soak.totals = calloc(probe_trial_count(), sizeof *soak.totals);
    soak.slices = calloc(options->jobs, sizeof *soak.slices);
    if (soak.totals == NULL || soak.slices == NULL) {
        return 1;
    }
    for (uint32_t number = 0; number < probe_trial_count(); number++) {
        if (is_wanted(options, probe_trial(number)->name)) {
            soak.totals[soak.count++].trial = probe_trial(number);
        }
    }
    int code = soak.count == 0;
    if (options->list) {
        for (uint32_t index = 0; index < soak.count; index++) {
            (void)printf("%s\n", soak.totals[index].trial->name);
        }
    } else if (soak.count != 0) {
        soak.end = soak.begun + (uint64_t)(options->minutes * MINUTE);
        soak.told = soak.begun;
        soak.milliseconds = slice_length(options, soak.count);
        (void)printf("seed %llu: %u trials in slices of %g s, %u at a time, for %g min\n",
                     (unsigned long long)options->seed, soak.count, soak.milliseconds / 1000.0,
                     options->jobs, options->minutes);
        go_on(&soak);
        tell_totals(&soak);
        tell_progress(&soak);
        code = soak.failures != 0;
    }
    free(soak.totals);
    free(soak.slices);
    return code;
}
