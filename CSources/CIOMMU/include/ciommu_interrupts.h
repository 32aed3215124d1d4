/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_interrupts.h - interrupt messages: a device's own store of them (IMS), and remapping.
 *
 * The conventions of ciommu.h and ciommu_domains.h hold.
 */
#ifndef CIOMMU_INTERRUPTS_H
#define CIOMMU_INTERRUPTS_H

#include "ciommu_invalidation.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif
#endif
