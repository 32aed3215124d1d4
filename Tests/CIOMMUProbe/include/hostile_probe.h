/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hostile_probe.h - a guest that rewrites its tables at full speed while devices walk them: loops,
 * reserved bits, pointers to nowhere, to read-only and to just-removed memory, tables that turn
 * into data. Every answer must be one that some mixture of the written values gives.
 */
#ifndef CIOMMU_HOSTILE_PROBE_H
#define CIOMMU_HOSTILE_PROBE_H

#include "trial_probe.h"

enum probe_hostile_kind {
    PROBE_HOSTILE_LEGACY = 0,
    PROBE_HOSTILE_SECOND,
    PROBE_HOSTILE_FIRST,
    PROBE_HOSTILE_NESTED
};

struct probe_hostile_settings {
    uint32_t kind; /* enum probe_hostile_kind */
    uint32_t flippers;
    uint32_t walkers;
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries;
    bool widen;
    uint32_t levels; /* of the tables that devices' addresses meet first: 4 or 5 */
};

/* `settings` of the trial: struct probe_hostile_settings. */
int probe_hostile_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result);

#endif
