/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pages.c - page-request groups.
 */
#include "events.h"

uint64_t ciommu_pages_expire(struct ciommu_unit *unit) {
    (void)unit;
    return UINT64_MAX;
}
