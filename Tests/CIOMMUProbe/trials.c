/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials.c - the registry of trials, and their passes (trials.h).
 */
#include "trials.h"
#include "harness.h"
#include "stress_probe.h"

#include <stdio.h>
#include <string.h>

/* Implementation: passes beyond the time before a run counts as one that shows nothing, and their
 * length. They are many, so that a slow machine sees what it must. */
#define PASSES_MORE 240u
#define PASS_MILLISECONDS 500u
#define MANY_CHANGES 200u /* where drains are slow they take seconds */

static const struct trial_table *const tables[] = {
    &trials_of_protocol, &trials_of_domains, &trials_of_devices, &trials_of_events,
    &trials_of_tables,   &trials_of_guests,  &trials_of_history,
};

#define TABLES (sizeof tables / sizeof *tables)

uint32_t probe_trial_count(void) {
    uint32_t count = 0;
    for (uint32_t table = 0; table < TABLES; table++) {
        count += tables[table]->count;
    }
    return count + probe_stress_trial_count();
}

const struct probe_trial *probe_trial(uint32_t number) {
    for (uint32_t table = 0; table < TABLES; table++) {
        if (number < tables[table]->count) {
            return &tables[table]->rows[number];
        }
        number -= tables[table]->count;
    }
    return probe_stress_trial(number);
}

static const char *text_of(uint32_t missing) {
    static const char *const texts[] = {
        "nothing was checked",
        "nothing was changed",
        "nothing was written",
        "no device was asked",
        "nothing was stored by token",
        "no token died",
        "no fault was received",
        "nothing was lost",
        "nothing was raised while masked",
        "no drain was awaited",
        "no drain timed out",
        "no wait was told",
        "nothing was merged",
        "nothing was cancelled",
        "nobody responded",
        "fewer than 200 rounds",
        "nothing was translated",
        "nothing faulted",
        "nothing was raised",
        "no tenant was served",
    };
    return texts[__builtin_ctz(missing)];
}

void trial_violate(struct trial_pass *pass, const char *what) {
    if (pass->violations++ == 0) {
        (void)snprintf(pass->first, sizeof pass->first, "%s", what);
    }
}

static int run_pass(const struct trial_world *world, const struct probe_trial *trial,
                    const struct probe_trial_options *options, struct probe_trial_result *result,
                    uint32_t *missing) {
    struct trial_pass pass = {0};
    int status = world->run(trial->settings, options, &pass);
    result->violations += pass.violations;
    result->operations += pass.operations;
    result->changes += pass.changes;
    if (pass.violations != 0 && result->first[0] == 0) {
        memcpy(result->first, pass.first, sizeof result->first);
    }
    bool many = result->changes >= MANY_CHANGES;
    *missing &= ~(pass.sights | (many ? (uint32_t)SEES_MANY_CHANGES : 0));
    return status;
}

int trial_run(const struct trial_world *world, const struct probe_trial *trial,
              const struct probe_trial_options *options, struct probe_trial_result *result) {
    struct probe_trial_options next = *options;
    uint64_t end = probe_now() + options->milliseconds;
    uint32_t missing = world->needs;
    memset(result, 0, sizeof *result);
    int status;
    do {
        status = run_pass(world, trial, &next, result, &missing);
        uint64_t now = probe_now();
        next.milliseconds = now < end ? (uint32_t)(end - now) : 0;
        next.seed++;
    } while (status == 0 && result->violations == 0 && next.milliseconds != 0);
    for (uint32_t more = 0; more < PASSES_MORE && status == 0 && result->violations == 0 &&
                            missing != 0 && options->mutant == 0;
         more++) {
        next.milliseconds = PASS_MILLISECONDS;
        status = run_pass(world, trial, &next, result, &missing);
        next.seed++;
    }
    if (status == 0 && result->violations == 0 && missing != 0 && options->mutant == 0) {
        result->violations = 1;
        (void)snprintf(result->first, sizeof result->first, "the run shows nothing: %s",
                       text_of(missing));
    }
    return status;
}
