/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_probe.h - the history checker: threads that translate and threads that change what is
 * translated write down when; afterwards promise 1 of DESIGN.md decides which answers were right.
 */
#ifndef CIOMMU_HISTORY_PROBE_H
#define CIOMMU_HISTORY_PROBE_H

#include "trial_probe.h"

#include <stddef.h>

/* What changes during a trial. */
#define PROBE_HISTORY_MAPPINGS 1u    /* a host's domain: map, unmap, protect, 4 KiB and 2 MiB */
#define PROBE_HISTORY_ATTACHMENTS 2u /* replace, detach, attach, reset */
#define PROBE_HISTORY_GUEST 4u       /* a guest's tables, and its descriptors */
#define PROBE_HISTORY_PARENTS 8u     /* a host's nest parent, under a guest's first stage */
#define PROBE_HISTORY_MEMORY 16u     /* the memory map, below whatever else changes */
#define PROBE_HISTORY_DEVICES 32u    /* with ATS; their caches' uses are judged too */
#define PROBE_HISTORY_SILENT 64u     /* some of which do not answer */
#define PROBE_HISTORY_EVERYTHING 63u

struct probe_history_settings {
    uint32_t mixes; /* PROBE_HISTORY_* */
    uint32_t readers;
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries;
    bool portable; /* the IOTLB without 16-byte loads */
    bool calm;     /* no naps at the yield points */
    bool pairs;    /* two changers of each kind */
    bool legacy;   /* the guest's tables are of legacy mode, its descriptors have 128 bits */
};

/* Settings of type struct probe_history_settings. With IOMMU_HISTORY_PRINT=1 in the environment the
 * smallest history of the first violation is printed to the standard error stream. */
int probe_history_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result);

/* The trials of this kind, for the table of all of them. */
#define PROBE_HISTORY_TRIALS 27u
extern const struct probe_trial probe_history_trials[PROBE_HISTORY_TRIALS];

/* The rule on histories written by hand. The number of wrong verdicts; `*checked` are all. */
uint64_t probe_history_case_errors(uint32_t *checked, char *first, size_t first_bytes);

/* Reads `bytes` as calls of the public interface, makes them on one thread, and judges the answers
 * by the same rule. False: `first` says what went wrong. */
bool probe_history_bytes(const uint8_t *bytes, size_t count, char *first, size_t first_bytes);

#endif
