/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * audit.h - walks over whole structures, in debug builds: does what must hold between two changes
 * hold? They run where a unit is reset or ends and where a paging domain ends, and where a test
 * asks; what they find ends the program.
 *
 * An audit takes the locks that the structure's writers take, so it may run beside everything.
 */
#ifndef CIOMMU_AUDIT_H
#define CIOMMU_AUDIT_H

#include "ciommu.h"
#include "atomics.h"

#include <stdbool.h>

struct paging;

#ifdef CIOMMU_INTERNAL_CHECKS

extern bool ciommu_audits_on;

/* For tests, once and for all: what they do next, or a mutant (debug.h), leaves broken
 * structures. */
static inline void ciommu_audits_end(void) {
    store_relaxed(&ciommu_audits_on, false);
}

/* What is wrong with the spaces, bindings, IOTLB, devices and attachments of a unit, in words; NULL
 * = nothing, also for NULL. Outside the table lock. */
const char *ciommu_audit_unit(struct ciommu_unit *unit);

/* The same of a domain's paging structures. Under the domain's lock, or when nobody edits them. */
const char *ciommu_audit_paging(const struct paging *paging);

/* Ends the program if `finding` is one. */
void ciommu_audit_passed(const char *finding);

#define ciommu_audit(finding) ciommu_audit_passed(finding)

#else
#define ciommu_audit(finding) ((void)0)

static inline void ciommu_audits_end(void) {
}
#endif
#endif
