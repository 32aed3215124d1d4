/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_probe.h - deterministic cases of device-TLBs (ciommu_invalidation.h), and a stress
 * world of devices that use what they cached.
 */
#ifndef CIOMMU_DEVICE_TLB_PROBE_H
#define CIOMMU_DEVICE_TLB_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* How many cases there are, and their names. */
uint32_t probe_device_tlb_count(void);
const char *probe_device_tlb_name(uint32_t number);

struct probe_device_tlb_result {
    uint32_t failures;
    char first[200]; /* what the first failed expectation was; "" */
};

/* Runs a case, with a rule broken or none (0). */
void probe_device_tlb_case(uint32_t number, uint32_t mutant,
                           struct probe_device_tlb_result *result);

struct probe_device_tlb_options {
    uint32_t mutant;
    uint32_t devices; /* threads, up to 8, each with a device-TLB */
    uint32_t milliseconds;
    uint64_t seed;
    bool silent; /* devices sometimes answer nothing, are blocked, and retried */
    bool nested; /* through nested domains over the one that changes */
    bool late;   /* devices store what they are answered in a later section, by its token */
    bool widen;
};

struct probe_device_tlb_totals {
    uint64_t violations;
    uint64_t uses;     /* translated accesses that went to memory */
    uint64_t changes;  /* of the mappings */
    uint64_t requests; /* that devices were asked */
    uint64_t timeouts;
    uint64_t stored;  /* by token */
    uint64_t refused; /* tokens that had died */
    char first[200];
};

/* Devices fill a cache of their own from translation requests and read memory through it, beside a
 * thread that unmaps, replaces, detaches, and poisons what is gone. 0, or the ciommu_status that
 * setup failed with. */
int probe_device_tlb_stress(const struct probe_device_tlb_options *options,
                            struct probe_device_tlb_totals *totals);

#endif
