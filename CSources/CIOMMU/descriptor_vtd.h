/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * descriptor_vtd.h - decoding VT-d invalidation descriptors [FORMATS-VTD C], for one at a time and
 * for batches.
 */
#ifndef CIOMMU_DESCRIPTOR_VTD_H
#define CIOMMU_DESCRIPTOR_VTD_H

#include "unit.h"

/* Choice: also for granularities and address masks that do not exist (the code is not given). */
#define VTD_IQEI_RESERVED 4u

/* Checks and decodes a copied descriptor. False: out->error and out->iqei say why. Otherwise
 * out->kind says what it is; `*what`, which may be out->invalidation and is always filled, is to be
 * applied if its kind is not 0, and the fields that belong to other kinds are filled for those
 * only. */
bool ciommu_vtd_decode(const struct ciommu_unit *unit, const uint64_t words[4], bool wide,
                       struct ciommu_descriptor_result *out, struct ciommu_invalidation *what);

#endif
