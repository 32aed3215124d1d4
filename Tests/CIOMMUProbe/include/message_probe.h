/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_probe.h - deterministic cases of interrupt remapping and message stores
 * (ciommu_interrupts.h), and a stress world of devices that raise entries while they change.
 */
#ifndef CIOMMU_MESSAGE_PROBE_H
#define CIOMMU_MESSAGE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* How many cases there are, and their names. */
uint32_t probe_message_count(void);
const char *probe_message_name(uint32_t number);

struct probe_message_result {
    uint32_t failures;
    char first[240]; /* what the first failed expectation was; "" */
};

/* Runs a case, with a rule broken or none (0); `portable`: without 16-byte loads. */
void probe_message_case(uint32_t number, uint32_t mutant, bool portable,
                        struct probe_message_result *result);

/* Fails the n-th allocation in the life of a device with message stores, for every n, as
 * probe_allocation_failure_errors. */
uint64_t probe_message_failure_errors(uint32_t *lives);

struct probe_message_options {
    uint32_t mutant;
    uint32_t raisers;  /* threads, up to 16 */
    uint32_t changers; /* threads, up to 4, each with entries of its own */
    uint32_t milliseconds;
    uint64_t deliveries; /* at least so many, however long it takes */
    uint64_t seed;
    bool remapped; /* through a table whose entries a guest changes */
    bool portable;
    bool widen;
};

struct probe_message_totals {
    uint64_t violations;
    uint64_t deliveries; /* asked for */
    uint64_t delivered;
    uint64_t changes; /* of PASIDs, messages, masks */
    uint64_t pending; /* raised while masked, delivered after */
    char first[240];
};

/* Devices raise entries with PASIDs that may be right, old, wrong or absent, beside threads that
 * change them. Counted as violations: a delivery that no moment of the section allows, a torn
 * message, an interrupt that is lost. 0, or the ciommu_status that setup failed with. */
int probe_message_stress(const struct probe_message_options *options,
                         struct probe_message_totals *totals);

#endif
