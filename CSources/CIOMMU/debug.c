/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * debug.c - the switches behind debug.h. Tests set them; the engine only reads.
 */
#include "debug.h"

#ifdef CIOMMU_INTERNAL_CHECKS
unsigned ciommu_mutant = CIOMMU_MUTANT_NONE;
void (*ciommu_yield_hook)(enum ciommu_yield_point point) = 0;
uint64_t ciommu_yield_points_met = 0;
_Thread_local uint64_t ciommu_guest_loads;
#else
/* ISO C wants something in every file. */
typedef int ciommu_debug_is_off;
#endif
