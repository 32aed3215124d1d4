/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * invalidate.h - applying inner invalidations, for the decoders and the unit.
 */
#ifndef CIOMMU_INVALIDATE_H
#define CIOMMU_INVALIDATE_H

#include "unit.h"

/* Applies a checked invalidation: CIOMMU_OK, CIOMMU_IN_SECTION (nothing happened), or
 * CIOMMU_TIMED_OUT with the port's id. */
enum ciommu_status ciommu_unit_apply(struct ciommu_unit *unit, struct ciommu_port *port,
                                     const struct ciommu_invalidation *what, uint32_t *port_id);

/* Unlinks bindings between two moves of tablegen. Table lock; settling is the caller's. */
void ciommu_unit_change_tables(struct ciommu_unit *unit, const struct ciommu_invalidation *what);

/* Calls every observer. Outside locks and sections. */
void ciommu_observers_tell(struct ciommu_unit *unit, const struct ciommu_invalidation *what);

#endif
