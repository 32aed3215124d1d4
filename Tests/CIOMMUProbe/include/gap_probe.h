/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_probe.h - lines of the kernel that no test with a purpose of its own came by: arguments that
 * are refused, neighbours in a bucket, ends of tables.
 */
#ifndef CIOMMU_GAP_PROBE_H
#define CIOMMU_GAP_PROBE_H

#include "inject_probe.h"

#include <stdint.h>

/* How many cases there are, and their names. */
uint32_t probe_gap_count(void);
const char *probe_gap_name(uint32_t number);

/* Runs a case in the world of inject_probe.h. */
void probe_gap_case(uint32_t number, struct probe_inject_result *result);

#endif
