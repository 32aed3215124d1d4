/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_edit.h - what the edits of a paging domain share: domain_map.c and domain_dirty.c.
 */
#ifndef CIOMMU_DOMAIN_EDIT_H
#define CIOMMU_DOMAIN_EDIT_H

#include "domain.h"
#include "invalidate.h"

/* Checks a range of a paging domain and makes it inclusive. */
enum ciommu_status ciommu_domain_check_range(const struct ciommu_domain *domain, uint64_t iova,
                                             uint64_t length, struct paging_range *out);

/* May the caller wait for sections here? Otherwise `*status` says why not. */
bool ciommu_domain_may_wait(const struct ciommu_domain *domain, const struct ciommu_port *port,
                            enum ciommu_status *status);

/* Ends an edit and releases the domain lock, which the caller took: gives spare pages back, lets
 * walk caches forget tables that are gone and retires those; with `settle` also invalidates the
 * range, drains, and tells observers. */
enum ciommu_status ciommu_domain_end_edit(struct ciommu_domain *domain, struct paging_range range,
                                          struct paging_edit *edit, bool settle);

#endif
