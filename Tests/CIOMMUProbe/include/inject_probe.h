/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_probe.h - every public call that needs memory, a thread or a descriptor of the engine's
 * own, and each of these refused in turn; and every call that promises to need none, with none to
 * be had. What liburcu asks the system for is not refused.
 */
#ifndef CIOMMU_INJECT_PROBE_H
#define CIOMMU_INJECT_PROBE_H

#include <stdint.h>

struct probe_inject_result {
    uint32_t failures;
    uint32_t refusals; /* calls that met a request that was refused */
    char first[240];   /* what the first failed expectation was; "" */
};

/* How many calls there are, and their names. */
uint32_t probe_inject_count(void);
const char *probe_inject_name(uint32_t number);

/* For every n: the n-th request is refused, alone or with all after it. The call must answer
 * CIOMMU_NO_MEMORY and leave everything as it was; then, with all requests granted, succeed. Over
 * and over, so that a fixed pool that loses a place runs out. Blocks of memory are counted, and
 * where the process has no other thread also threads and descriptors: none is lost by a refused
 * call, nor when all objects are gone. Nothing in release builds. */
void probe_inject_case(uint32_t number, struct probe_inject_result *result);

/* A life of every kind of object, from the first use to the end, while every request is refused.
 */
void probe_inject_nothing(struct probe_inject_result *result);

#endif
