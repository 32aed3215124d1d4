/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * isolation_probe.h - two guests, many devices, attachments that change all the time: no device
 * reads or writes a word of a domain that it was not attached to, and vdevs that share a source id
 * never see one another's translations, faults, page requests or interrupts.
 */
#ifndef CIOMMU_ISOLATION_PROBE_H
#define CIOMMU_ISOLATION_PROBE_H

#include "trial_probe.h"

struct probe_isolation_settings {
    bool split;       /* a unit and a memory map for each guest; else one for both */
    uint32_t readers; /* threads, up to 12 */
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries;
    bool widen;
    bool portable; /* the IOTLB without wide loads */
};

/* `settings` of the trial: struct probe_isolation_settings. */
int probe_isolation_trial(const struct probe_trial *trial,
                          const struct probe_trial_options *options,
                          struct probe_trial_result *result);

#endif
