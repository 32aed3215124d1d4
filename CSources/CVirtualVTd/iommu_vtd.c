/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The header is all there is: the functions are Swift (Sources/VirtualVTdC).
 */
#include "iommu_vtd.h"
