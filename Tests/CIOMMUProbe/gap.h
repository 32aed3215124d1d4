/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap.h - the lists of cases behind gap_probe.h.
 */
#ifndef PROBE_GAP_H
#define PROBE_GAP_H

#include "gap_probe.h"
#include "inject_world.h"

struct gap_case {
    const char *name;
    void (*run)(struct inject_world *world);
};

/* A unit of its own beside the world's, on the same memory. */
struct gap_beside {
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    struct ciommu_device *device; /* owns INJECT_WHOLE */
};

struct gap_beside gap_beside_make(struct inject_world *world, uint32_t iotlb_entries,
                                  uint64_t table_pages, uint64_t drain_timeout);
void gap_beside_end(struct inject_world *world, struct gap_beside *beside);

extern const struct gap_case gap_argument_cases[];
extern const uint32_t gap_argument_count;
extern const struct gap_case gap_place_cases[];
extern const uint32_t gap_place_count;
extern const struct gap_case gap_core_cases[];
extern const uint32_t gap_core_count;
extern const struct gap_case gap_request_cases[];
extern const uint32_t gap_request_count;
extern const struct gap_case gap_access_cases[];
extern const uint32_t gap_access_count;
extern const struct gap_case gap_pool_cases[];
extern const uint32_t gap_pool_count;
extern const struct gap_case gap_page_cases[];
extern const uint32_t gap_page_count;
extern const struct gap_case gap_table_cases[];
extern const uint32_t gap_table_count;
extern const struct gap_case gap_meeting_cases[];
extern const uint32_t gap_meeting_count;

#endif
