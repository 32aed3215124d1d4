/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_faults.h - faults reach their owners: queues of fault records by device.
 *
 * The conventions of ciommu.h and ciommu_domains.h hold.
 */
#ifndef CIOMMU_FAULTS_H
#define CIOMMU_FAULTS_H

#include "ciommu_invalidation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Collects faults from the ports' rings into the queues, answers page-request groups whose deadline
 * has passed, and notifies readers. Called by the unit's event thread, which exists once something
 * wants to be notified; a host that polls, and a test with a clock of its own, call it themselves.
 * Any thread, outside sections. Returns the nanoseconds to the next deadline, UINT64_MAX for none.
 */
CIOMMU_API uint64_t ciommu_unit_poll(struct ciommu_unit *unit);

#ifdef __cplusplus
}
#endif
#endif
