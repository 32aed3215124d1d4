/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * context_vtd.h - resolves (source, PASID) through guest-owned VT-d tables: root, context, PASID
 * directory, PASID table [FORMATS-VTD A2-A6, A9b]. Reads guest memory and nothing else; caching the
 * result is the caller's.
 */
#ifndef CIOMMU_CONTEXT_VTD_H
#define CIOMMU_CONTEXT_VTD_H

#include "unit.h"
#include "walk.h"

/* Among a request's flags: a page request, for which the context entry alone decides. */
#define VTD_PAGE_REQUEST (1u << 31)

/* A request as it arrives. */
struct vtd_request {
    uint64_t root;   /* RTADDR */
    uint32_t source; /* 16 bits */
    uint32_t pasid;  /* or CIOMMU_NO_PASID */
    uint32_t flags;  /* CIOMMU_TRANSLATION_REQUEST, CIOMMU_TRANSLATED, CIOMMU_IMPLIED_PASID,
                        VTD_PAGE_REQUEST */
};

/* Resolves `request`. On success fills `resolved` (without space) and `shape`; for a translated
 * or page request only the checks are made. On failure walker->fault says why;
 * resolved->fault_disabled is what FPD says so far in both cases. walker: port, memory, trace.
 * Under the RCU read lock, inside a section. */
bool ciommu_vtd_resolve(const struct ciommu_unit *unit, const struct vtd_request *request,
                        struct walker *walker, struct resolved *resolved,
                        struct space_shape *shape);

/* The same through a PASID table that the host bound to the request's device [FORMATS-VTD A5, A6].
 */
bool ciommu_vtd_resolve_bound(const struct ciommu_unit *unit, const struct bound_table *bound,
                              const struct vtd_request *request, struct walker *walker,
                              struct resolved *resolved, struct space_shape *shape);

/* What a request meets that nothing is attached for: the fault of an absent entry, always. */
bool ciommu_vtd_resolve_blocked(const struct ciommu_unit *unit, const struct vtd_request *request,
                                struct walker *walker, struct resolved *resolved);

#endif
