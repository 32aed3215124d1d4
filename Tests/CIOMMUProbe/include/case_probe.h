/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * case_probe.h - every deterministic case of the kernel's tests behind one interface: contracts of
 * faults, messages, pages and device-TLBs, single mechanisms, failing allocations.
 */
#ifndef CIOMMU_CASE_PROBE_H
#define CIOMMU_CASE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct probe_case_result {
    uint32_t failures;
    char first[240]; /* what the first failed expectation was; "" */
};

uint32_t probe_case_count(void);

/* "group: title", unique. */
void probe_case_name(uint32_t number, char *name, uint32_t size);

/* False: there is no such case. */
bool probe_case_find(const char *name, uint32_t *number);

/* Runs a case, with a rule broken or none (0). */
void probe_case_run(uint32_t number, uint32_t mutant, struct probe_case_result *result);

/* A case that belongs to no other probe. */
struct probe_case {
    const char *title;
    void (*run)(struct probe_case_result *result);
};

/* Counts a failure unless `fine`; `what` names the expectation. */
void probe_expect(struct probe_case_result *result, bool fine, const char *what);

#endif
