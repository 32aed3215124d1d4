/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * shape_vtd.h - from a context or PASID-table entry to the shape of its address space [FORMATS-VTD
 * A3, A6-A8].
 */
#ifndef CIOMMU_SHAPE_VTD_H
#define CIOMMU_SHAPE_VTD_H

#include "space.h"
#include "vtd_caps.h"

/* Second stage of a checked legacy context entry. `shape` is zero-filled. */
void ciommu_vtd_shape_legacy(const struct vtd_caps *caps, uint64_t root, uint32_t width,
                             uint32_t domain, struct space_shape *shape);

/* Checks a present PASID-table entry and builds its shape into the zero-filled `shape`. The fault
 * code, or 0. */
uint32_t ciommu_vtd_shape_scalable(const struct vtd_caps *caps, const uint64_t entry[8],
                                   uint32_t pasid, struct space_shape *shape);

/* Second stage of a host's paging domain: tables that begin at the host address `root`, input
 * addresses of `bits`. `tracks` makes accessed and dirty bits count. `shape` is zero-filled. */
void ciommu_vtd_shape_paging(const struct vtd_caps *caps, const uint64_t *root, uint32_t bits,
                             bool tracks, uint32_t domain, struct space_shape *shape);

/* Adds a guest's first stage to the shape of its parent: root, and flags as CIOMMU_NESTED_*. */
void ciommu_vtd_shape_nested(const struct vtd_caps *caps, uint64_t root, uint32_t bits,
                             uint64_t flags, struct space_shape *shape);

#endif
