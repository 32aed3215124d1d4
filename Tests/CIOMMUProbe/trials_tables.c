/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials_tables.c - PASID tables and PASID namespaces as trials (probe.h): beside plain arrays, and
 * under threads.
 */
#include "probe.h"
#include "trials.h"

#include <stdio.h>

/* ---- PASID tables ---- */

#define TABLE_STEPS 6000u

static int table_model_pass(const void *settings, const struct probe_trial_options *options,
                            struct trial_pass *pass) {
    (void)settings;
    uint64_t refused = 0;
    probe_set_mutant(options->mutant);
    pass->violations = probe_pasid_table_errors(options->seed, TABLE_STEPS, &refused);
    probe_set_mutant(0);
    pass->operations = TABLE_STEPS;
    pass->sights =
        SEES_OPERATIONS | trial_sees(SEES_REFUSED, probe_has_mutants() ? refused : TABLE_STEPS);
    (void)snprintf(pass->first, sizeof pass->first, "seed %llu: the table differs from an array",
                   (unsigned long long)options->seed);
    return 0;
}

static int table_race_pass(const void *settings, const struct probe_trial_options *options,
                           struct trial_pass *pass) {
    (void)settings;
    probe_set_mutant(options->mutant);
    uint32_t slice = options->milliseconds < 500 ? options->milliseconds : 500;
    pass->violations = probe_pasid_table_race_errors(options->seed, slice, &pass->operations);
    probe_set_mutant(0);
    pass->sights = trial_sees(SEES_OPERATIONS, pass->operations);
    (void)snprintf(pass->first, sizeof pass->first, "seed %llu: an entry is foreign or missing",
                   (unsigned long long)options->seed);
    return 0;
}

static int run_table_model(const struct probe_trial *trial,
                           const struct probe_trial_options *options,
                           struct probe_trial_result *result) {
    static const struct trial_world world = {table_model_pass, SEES_OPERATIONS | SEES_REFUSED};
    return trial_run(&world, trial, options, result);
}

static int run_table_race(const struct probe_trial *trial,
                          const struct probe_trial_options *options,
                          struct probe_trial_result *result) {
    static const struct trial_world world = {table_race_pass, SEES_OPERATIONS};
    return trial_run(&world, trial, options, result);
}

/* ---- Namespaces ---- */

struct namespace_settings {
    uint64_t drain_timeout;
};

static enum probe_namespace_rule rule_of(uint32_t mutant) {
    if (mutant != 0 && mutant == probe_namespace_mutant(PROBE_NAMESPACE_REUSED_EARLY)) {
        return PROBE_NAMESPACE_REUSED_EARLY;
    }
    if (mutant != 0 && mutant == probe_namespace_mutant(PROBE_NAMESPACE_QUARANTINE_IGNORED)) {
        return PROBE_NAMESPACE_QUARANTINE_IGNORED;
    }
    return PROBE_NAMESPACE_SOUND;
}

#define FOR_EVER UINT64_C(60000000000)

static int namespace_pass(const void *opaque, const struct probe_trial_options *options,
                          struct trial_pass *pass) {
    const struct namespace_settings *settings = opaque;
    const struct probe_namespace_options world = {
        .rule = (uint32_t)rule_of(options->mutant),
        .readers = 3,
        .binders = 2,
        .milliseconds = options->milliseconds,
        .drain_timeout = settings->drain_timeout,
        .seed = options->seed,
    };
    struct probe_namespace_result result;
    int status = probe_namespace_stress(&world, &result);
    pass->violations = result.violations;
    pass->operations = result.lookups;
    pass->changes = result.binds;
    pass->sights =
        trial_sees(SEES_OPERATIONS, result.lookups) | trial_sees(SEES_CHANGES, result.binds) |
        trial_sees(SEES_DRAINS, result.drained) | trial_sees(SEES_TIMEOUTS, result.timeouts);
    (void)snprintf(pass->first, sizeof pass->first, "%s", result.first);
    if (options->mutant == 0 && settings->drain_timeout == FOR_EVER && result.timeouts != 0) {
        trial_violate(pass, "a drain without a deadline timed out");
    }
    return status;
}

static int run_namespaces(const struct probe_trial *trial,
                          const struct probe_trial_options *options,
                          struct probe_trial_result *result) {
    const struct namespace_settings *settings = trial->settings;
    const struct trial_world world = {
        namespace_pass, SEES_OPERATIONS | SEES_CHANGES |
                            (settings->drain_timeout != 0 ? SEES_DRAINS : 0) |
                            (settings->drain_timeout != FOR_EVER ? SEES_TIMEOUTS : 0)};
    return trial_run(&world, trial, options, result);
}

static int namespace_model_pass(const void *settings, const struct probe_trial_options *options,
                                struct trial_pass *pass) {
    static const uint32_t ranges[][2] = {{0, 0},    {5, 67},   {0, 63},
                                         {64, 128}, {1, 1000}, {0, 0xfffff}};
    (void)settings;
    const uint32_t *range = ranges[options->seed % (sizeof ranges / sizeof *ranges)];
    pass->operations = 10000;
    probe_set_mutant(options->mutant);
    pass->violations = probe_namespace_errors(options->seed, range[0], range[1], 10000);
    probe_set_mutant(0);
    pass->sights = SEES_OPERATIONS;
    (void)snprintf(pass->first, sizeof pass->first, "seed %llu: a namespace differs from arrays",
                   (unsigned long long)options->seed);
    return 0;
}

static int run_namespace_model(const struct probe_trial *trial,
                               const struct probe_trial_options *options,
                               struct probe_trial_result *result) {
    static const struct trial_world world = {namespace_model_pass, SEES_OPERATIONS};
    return trial_run(&world, trial, options, result);
}

/* ---- The table ---- */

#define NAMESPACES(name, patience)                                                                 \
    {                                                                                              \
        name, run_namespaces, &(const struct namespace_settings) {                                 \
            patience                                                                               \
        }                                                                                          \
    }

static const struct probe_trial rows[] = {
    {"PASID tables, model", run_table_model, NULL},
    {"PASID tables, races", run_table_race, NULL},
    {"PASID namespaces, model", run_namespace_model, NULL},
    NAMESPACES("PASID namespaces", FOR_EVER),
    /* Less than the longest sections take. */
    NAMESPACES("PASID namespaces, short drains", UINT64_C(100000)),
    NAMESPACES("PASID namespaces, no drains", 0),
};

const struct trial_table trials_of_tables = {rows, sizeof rows / sizeof *rows};
