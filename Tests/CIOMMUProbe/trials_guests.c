/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials_guests.c - guests that write hostile tables, guests that must not see one another, and the
 * histories that are judged by promise 1, as trials.
 */
#include "history_probe.h"
#include "hostile_probe.h"
#include "isolation_probe.h"
#include "trials.h"

#define HOSTILE(kind, entries, first_level, walks, wide)                                           \
    probe_hostile_trial,                                                                           \
        &(const struct probe_hostile_settings){kind, 2, 2, entries, first_level, walks, wide, 4}
#define HOSTILE_5(kind)                                                                            \
    probe_hostile_trial, &(const struct probe_hostile_settings){kind, 2, 2, 1024, 64, 64, false, 5}

#define ISOLATION(split, wide)                                                                     \
    probe_isolation_trial, &(const struct probe_isolation_settings) {                              \
        split, 4, 1024, 64, 64, wide, false                                                        \
    }
/* All translations that the first level does not know are the IOTLB's. */
#define ISOLATION_IOTLB(iotlb, portable)                                                           \
    probe_isolation_trial, &(const struct probe_isolation_settings) {                              \
        false, 4, iotlb, 4, 0, true, portable                                                      \
    }

static const struct probe_trial rows[] = {
    {"hostile guest, legacy", HOSTILE(PROBE_HOSTILE_LEGACY, 1024, 64, 64, false)},
    {"hostile guest, second stage", HOSTILE(PROBE_HOSTILE_SECOND, 1024, 64, 64, false)},
    {"hostile guest, first stage", HOSTILE(PROBE_HOSTILE_FIRST, 1024, 64, 64, false)},
    {"hostile guest, nested", HOSTILE(PROBE_HOSTILE_NESTED, 1024, 64, 64, false)},
    {"hostile guest, first stage, no caches", HOSTILE(PROBE_HOSTILE_FIRST, 0, 0, 0, true)},
    {"hostile guest, nested, no caches", HOSTILE(PROBE_HOSTILE_NESTED, 0, 0, 0, true)},
    {"hostile guest, legacy, five levels", HOSTILE_5(PROBE_HOSTILE_LEGACY)},
    {"hostile guest, second stage, five levels", HOSTILE_5(PROBE_HOSTILE_SECOND)},
    {"hostile guest, first stage, five levels", HOSTILE_5(PROBE_HOSTILE_FIRST)},
    {"hostile guest, nested, five levels", HOSTILE_5(PROBE_HOSTILE_NESTED)},
    {"isolation, one unit", ISOLATION(false, false)},
    {"isolation, a unit each", ISOLATION(true, false)},
    {"isolation, one unit, wide races", ISOLATION(false, true)},
    {"isolation, no walk cache", ISOLATION_IOTLB(256, false)},
    {"isolation, no walk cache, tiny IOTLB", ISOLATION_IOTLB(4, false)},
    {"isolation, no walk cache, portable IOTLB", ISOLATION_IOTLB(256, true)},
    {"isolation, no walk cache, tiny portable IOTLB", ISOLATION_IOTLB(4, true)},
};

const struct trial_table trials_of_guests = {rows, sizeof rows / sizeof *rows};
const struct trial_table trials_of_history = {probe_history_trials, PROBE_HISTORY_TRIALS};
