/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * faults.c - from the ports' rings to the queues.
 */
#include "events.h"

bool ciommu_faults_collect(struct ciommu_unit *unit) {
    (void)unit;
    return false;
}
