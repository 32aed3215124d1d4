/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials_devices.c - devices that use what they cached, and devices that raise interrupt messages,
 * as trials (device_tlb_probe.h, message_probe.h).
 */
#include "device_tlb_probe.h"
#include "message_probe.h"
#include "trials.h"

#include <stdio.h>

/* ---- Device-TLBs ---- */

struct device_settings {
    uint32_t devices;
    bool silent;
    bool nested;
    bool late;
};

static int device_pass(const void *opaque, const struct probe_trial_options *options,
                       struct trial_pass *pass) {
    const struct device_settings *settings = opaque;
    const struct probe_device_tlb_options world = {
        .mutant = options->mutant,
        .devices = settings->devices,
        .milliseconds = options->milliseconds,
        .seed = options->seed,
        .silent = settings->silent,
        .nested = settings->nested,
        .late = settings->late,
        .widen = true,
    };
    struct probe_device_tlb_totals totals;
    int status = probe_device_tlb_stress(&world, &totals);
    pass->violations = totals.violations;
    pass->operations = totals.uses;
    pass->changes = totals.changes;
    pass->sights =
        trial_sees(SEES_OPERATIONS, totals.uses) | trial_sees(SEES_CHANGES, totals.changes) |
        trial_sees(SEES_REQUESTS, totals.requests) | trial_sees(SEES_STORED, totals.stored) |
        trial_sees(SEES_REFUSED, totals.refused);
    (void)snprintf(pass->first, sizeof pass->first, "%s", totals.first);
    if (options->mutant == 0 && !settings->silent && totals.timeouts != 0) {
        trial_violate(pass, "a device that answers was late");
    }
    return status;
}

static int run_devices(const struct probe_trial *trial, const struct probe_trial_options *options,
                       struct probe_trial_result *result) {
    const struct device_settings *settings = trial->settings;
    const struct trial_world world = {device_pass,
                                      SEES_OPERATIONS | SEES_CHANGES | SEES_REQUESTS |
                                          (settings->late ? SEES_STORED | SEES_REFUSED : 0)};
    return trial_run(&world, trial, options, result);
}

/* ---- Messages ---- */

struct message_settings {
    uint32_t raisers;
    bool remapped;
    bool portable;
    bool widen;
};

static int message_pass(const void *opaque, const struct probe_trial_options *options,
                        struct trial_pass *pass) {
    const struct message_settings *settings = opaque;
    const struct probe_message_options world = {
        .mutant = options->mutant,
        .raisers = settings->raisers,
        .changers = 2,
        .milliseconds = options->milliseconds,
        .seed = options->seed,
        .remapped = settings->remapped,
        .portable = settings->portable,
        .widen = settings->widen,
    };
    struct probe_message_totals totals;
    int status = probe_message_stress(&world, &totals);
    pass->violations = totals.violations;
    pass->operations = totals.deliveries;
    pass->changes = totals.changes;
    pass->sights = trial_sees(SEES_OPERATIONS, totals.delivered) |
                   trial_sees(SEES_CHANGES, totals.changes) |
                   trial_sees(SEES_PENDING, totals.pending);
    (void)snprintf(pass->first, sizeof pass->first, "%s", totals.first);
    return status;
}

static int run_messages(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result) {
    static const struct trial_world world = {message_pass,
                                             SEES_OPERATIONS | SEES_CHANGES | SEES_PENDING};
    return trial_run(&world, trial, options, result);
}

/* ---- The table ---- */

#define DEVICES(name, ...)                                                                         \
    {                                                                                              \
        name, run_devices, &(const struct device_settings) {                                       \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define MESSAGES(name, ...)                                                                        \
    {                                                                                              \
        name, run_messages, &(const struct message_settings) {                                     \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct probe_trial rows[] = {
    DEVICES("device-TLBs", .devices = 6),
    DEVICES("device-TLBs, silent devices", .devices = 6, .silent = true),
    DEVICES("device-TLBs, nested", .devices = 2, .nested = true),
    DEVICES("device-TLBs, nested, silent devices", .devices = 2, .nested = true, .silent = true),
    DEVICES("device-TLBs, tokens", .devices = 3, .late = true),
    DEVICES("device-TLBs, tokens, silent devices", .devices = 3, .late = true, .silent = true),
    DEVICES("device-TLBs, tokens, nested", .devices = 3, .late = true, .nested = true),
    DEVICES("device-TLBs, tokens, nested, silent devices", .devices = 3, .late = true,
            .nested = true, .silent = true),

    MESSAGES("messages", .raisers = 2),
    MESSAGES("messages, portable", .raisers = 2, .portable = true),
    MESSAGES("messages, remapped", .raisers = 2, .remapped = true),
    MESSAGES("messages, remapped, portable", .raisers = 2, .remapped = true, .portable = true),
    MESSAGES("messages, wide races", .raisers = 3, .widen = true),
    MESSAGES("messages, portable, wide races", .raisers = 3, .portable = true, .widen = true),
    MESSAGES("messages, remapped, wide races", .raisers = 3, .remapped = true, .widen = true),
    MESSAGES("messages, remapped, portable, wide races", .raisers = 3, .remapped = true,
             .portable = true, .widen = true),
};

const struct trial_table trials_of_devices = {rows, sizeof rows / sizeof *rows};
