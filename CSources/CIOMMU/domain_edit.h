/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_edit.h - what the edits of a paging domain share: domain_map.c and domain_dirty.c.
 */
#ifndef CIOMMU_DOMAIN_EDIT_H
#define CIOMMU_DOMAIN_EDIT_H

#include "domain.h"
#include "invalidate.h"
#include "tlb_ask.h"

/* Checks a range of a paging domain and makes it inclusive. */
enum ciommu_status ciommu_domain_check_range(const struct ciommu_domain *domain, uint64_t iova,
                                             uint64_t length, struct paging_range *out);

/* May the caller wait for sections here? Otherwise `*status` says why not. */
bool ciommu_domain_may_wait(const struct ciommu_domain *domain, const struct ciommu_port *port,
                            enum ciommu_status *status);

/* What the end of an edit has to wait for. */
enum domain_edit_end {
    EDIT_ENDS_AT_ONCE = 0, /* nothing that anybody may have cached has gone */
    EDIT_DRAINS,           /* cached answers are void, but no right is gone */
    EDIT_ASKS_DEVICES      /* rights are gone: devices must drop them too */
};

/* Ends an edit and releases the domain lock, which the caller took: gives spare pages back, lets
 * walk caches forget tables that are gone and retires those; then, as `end` says, invalidates the
 * range, drains, asks devices, and tells observers. */
enum ciommu_status ciommu_domain_end_edit(struct ciommu_domain *domain, struct paging_range range,
                                          struct paging_edit *edit, enum domain_edit_end end);

/* The end of an edit that found nothing to change: waits all the same, because somebody else's, or
 * one that timed out, may have changed it while sections go on and devices have not answered. */
enum ciommu_status ciommu_domain_wait(struct ciommu_domain *domain, struct paging_range range,
                                      enum domain_edit_end end);

#endif
