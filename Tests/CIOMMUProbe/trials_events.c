/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials_events.c - faults and page requests as trials: their stress worlds and their models
 * (fault_probe.h, page_probe.h).
 */
#include "fault_probe.h"
#include "page_probe.h"
#include "probe.h"
#include "trials.h"

#include <stdio.h>

/* ---- Faults ---- */

/* Implementation: what is lost is added up when a pass ends. */
#define FAULT_MILLISECONDS 2000u

static uint32_t at_most(uint32_t milliseconds) {
    return milliseconds < FAULT_MILLISECONDS ? milliseconds : FAULT_MILLISECONDS;
}

struct fault_settings {
    uint32_t readers;
    uint32_t ring;
    uint32_t quota;
    bool flood;
    bool churn;
    bool widen;
};

static bool only_floods(const struct fault_settings *settings) {
    return settings->flood && !settings->churn;
}

static int fault_pass(const void *opaque, const struct probe_trial_options *options,
                      struct trial_pass *pass) {
    const struct fault_settings *settings = opaque;
    const struct probe_fault_options world = {
        .mutant = options->mutant,
        .threads = 8,
        .readers = settings->readers,
        .milliseconds = at_most(options->milliseconds),
        .ring = settings->ring,
        .quota = settings->quota,
        .seed = options->seed,
        .flood = settings->flood,
        .churn = settings->churn,
        .widen = settings->widen,
    };
    struct probe_fault_totals totals;
    int status = probe_fault_stress(&world, &totals);
    pass->violations = totals.violations;
    pass->operations = totals.faults;
    pass->changes = totals.received;
    pass->sights = trial_sees(SEES_OPERATIONS, totals.faults) |
                   trial_sees(SEES_RECEIVED, totals.received) |
                   trial_sees(SEES_LOSSES, totals.lost);
    (void)snprintf(pass->first, sizeof pass->first, "%s", totals.first);
    if (options->mutant == 0 && only_floods(settings) && settings->ring >= 128 &&
        totals.quiet_lost != 0) {
        trial_violate(pass, "a flood has taken the places of others");
    }
    return status;
}

static int run_faults(const struct probe_trial *trial, const struct probe_trial_options *options,
                      struct probe_trial_result *result) {
    const struct trial_world world = {fault_pass,
                                      SEES_OPERATIONS | SEES_RECEIVED |
                                          (only_floods(trial->settings) ? SEES_LOSSES : 0)};
    return trial_run(&world, trial, options, result);
}

/* ---- Page requests ---- */

struct page_settings {
    enum probe_page_stress kind;
    bool widen;
};

static int page_pass(const void *opaque, const struct probe_trial_options *options,
                     struct trial_pass *pass) {
    const struct page_settings *settings = opaque;
    const struct probe_page_options world = {
        .kind = settings->kind,
        .mutant = options->mutant,
        .rounds = UINT64_MAX,
        .milliseconds = options->milliseconds,
        .seed = options->seed,
        .widen = settings->widen,
    };
    struct probe_page_totals totals;
    int status = probe_page_stress(&world, &totals);
    pass->violations = totals.violations;
    pass->operations = totals.groups;
    pass->changes = totals.rounds;
    pass->sights = trial_sees(SEES_OPERATIONS, totals.groups) |
                   trial_sees(SEES_RESPONSES, totals.responses) |
                   trial_sees(SEES_CANCELS, totals.cancelled);
    (void)snprintf(pass->first, sizeof pass->first, "%s", totals.first);
    if (status == 0 && totals.violations == 0 && totals.groups != totals.answers) {
        trial_violate(pass, "groups and answers differ in number");
    }
    return status;
}

static int run_pages(const struct probe_trial *trial, const struct probe_trial_options *options,
                     struct probe_trial_result *result) {
    const struct page_settings *settings = trial->settings;
    const struct trial_world world = {
        page_pass, SEES_OPERATIONS | SEES_RESPONSES |
                       (settings->kind == PROBE_PAGE_RESPOND ? 0 : SEES_CANCELS)};
    return trial_run(&world, trial, options, result);
}

/* ---- Models ---- */

/* Implementation: steps of a pass. */
#define STEPS 20000u

static int fault_model_pass(const void *settings, const struct probe_trial_options *options,
                            struct trial_pass *pass) {
    (void)settings;
    struct probe_fault_result result = {0};
    probe_set_mutant(options->mutant);
    probe_fault_model(options->seed, STEPS, &result);
    probe_set_mutant(0);
    pass->violations = result.failures;
    pass->operations = STEPS;
    pass->sights = SEES_OPERATIONS;
    (void)snprintf(pass->first, sizeof pass->first, "seed %llu: %s",
                   (unsigned long long)options->seed, result.first);
    return 0;
}

static int page_model_pass(const void *settings, const struct probe_trial_options *options,
                           struct trial_pass *pass) {
    (void)settings;
    struct probe_page_result result = {0};
    probe_page_model(options->seed, STEPS, options->mutant, &result);
    pass->violations = result.failures;
    pass->operations = STEPS;
    pass->sights = SEES_OPERATIONS;
    (void)snprintf(pass->first, sizeof pass->first, "seed %llu: %s",
                   (unsigned long long)options->seed, result.first);
    return 0;
}

static int run_fault_model(const struct probe_trial *trial,
                           const struct probe_trial_options *options,
                           struct probe_trial_result *result) {
    static const struct trial_world world = {fault_model_pass, SEES_OPERATIONS};
    return trial_run(&world, trial, options, result);
}

static int run_page_model(const struct probe_trial *trial,
                          const struct probe_trial_options *options,
                          struct probe_trial_result *result) {
    static const struct trial_world world = {page_model_pass, SEES_OPERATIONS};
    return trial_run(&world, trial, options, result);
}

/* ---- The table ---- */

/* Without a reader that polls, notices drive one. */
#define POLLED .readers = 2, .ring = 256, .quota = 64
#define NOTICES .readers = 0, .ring = 256, .quota = 64

#define FAULTS(name, ...)                                                                          \
    {                                                                                              \
        name, run_faults, &(const struct fault_settings) {                                         \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define PAGES(name, ...)                                                                           \
    {                                                                                              \
        name, run_pages, &(const struct page_settings) {                                           \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct probe_trial rows[] = {
    FAULTS("faults, polled", POLLED),
    FAULTS("faults, notices", NOTICES),
    FAULTS("faults, polled, flood", POLLED, .flood = true),
    FAULTS("faults, notices, flood", NOTICES, .flood = true),
    FAULTS("faults, small rings and quotas, flood", .readers = 1, .ring = 128, .quota = 2,
           .flood = true),
    /* A ring of 64 keeps no places: it fills to its last slot. */
    FAULTS("faults, full ring, flood, wide races", .readers = 2, .ring = 64, .quota = 64,
           .flood = true, .widen = true),
    FAULTS("faults, polled, wide races", POLLED, .widen = true),
    FAULTS("faults, everything comes and goes", POLLED, .churn = true),
    FAULTS("faults, everything comes and goes, notices, flood", NOTICES, .flood = true,
           .churn = true),
    FAULTS("faults, everything comes and goes, wide races", POLLED, .churn = true, .widen = true),
    {"faults, model", run_fault_model, NULL},

    PAGES("page requests, detaches", .kind = PROBE_PAGE_DETACH),
    PAGES("page requests, detaches, wide races", .kind = PROBE_PAGE_DETACH, .widen = true),
    PAGES("page requests, responses", .kind = PROBE_PAGE_RESPOND),
    PAGES("page requests, responses, wide races", .kind = PROBE_PAGE_RESPOND, .widen = true),
    PAGES("page requests, ends", .kind = PROBE_PAGE_ENDS),
    PAGES("page requests, ends, wide races", .kind = PROBE_PAGE_ENDS, .widen = true),
    {"page requests, model", run_page_model, NULL},
};

const struct trial_table trials_of_events = {rows, sizeof rows / sizeof *rows};
