/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_pages.h - page requests (PRI): groups, whoever resolves them, and their answers.
 *
 * The conventions of ciommu.h and ciommu_domains.h hold.
 */
#ifndef CIOMMU_PAGES_H
#define CIOMMU_PAGES_H

#include "ciommu_invalidation.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif
#endif
