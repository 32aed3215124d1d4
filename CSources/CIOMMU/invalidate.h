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

/* The end of a change that was made under the table lock: settles, asks the devices that it
 * concerns, and tells observers of `what`. Outside every lock. */
struct tlb_target;
enum ciommu_status ciommu_unit_end_change(struct ciommu_unit *unit,
                                          const struct ciommu_invalidation *what,
                                          const struct tlb_target *target);

/* The two moves of tablegen around a change of tables: resolvers that began before publish nothing,
 * ports forget what they resolved. Table lock; settling is the caller's. */
void ciommu_unit_begin_table_change(struct ciommu_unit *unit);
void ciommu_unit_finish_table_change(struct ciommu_unit *unit);

/* Unlinks the bindings of a source id, inside a table change. */
void ciommu_unit_forget_source(struct ciommu_unit *unit, uint32_t source);

/* Unlinks bindings between two moves of tablegen. Table lock; settling is the caller's. */
void ciommu_unit_change_tables(struct ciommu_unit *unit, const struct ciommu_invalidation *what);

/* Calls every observer. Outside locks and sections. */
void ciommu_observers_tell(struct ciommu_unit *unit, const struct ciommu_invalidation *what);

#endif
