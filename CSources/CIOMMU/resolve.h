/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * resolve.h - from (source, PASID) to a binding: what the port remembers, what the host attached,
 * what the unit keeps, what the guest's tables say. Comes before the IOTLB and the walk
 * (short_way.h).
 */
#ifndef CIOMMU_RESOLVE_H
#define CIOMMU_RESOLVE_H

#include "context_vtd.h"
#include "translate.h"

/* The tables' word for one lookup. */
struct path {
    struct walker walker;        /* port, memory and trace; its fault, where there is one */
    const struct source *source; /* the host's devices of this source id, or NULL */
    uint64_t tablegen; /* loaded before `source`: what is published must rest on no older table */
    struct resolved resolved;
    struct space_shape uncached_shape; /* where the shape lies when no space could be had */
    const struct space_shape *shape;
};

/* What the port remembers of the requester, or NULL. Under the RCU read lock. */
static inline const struct binding_slot *port_binding(const struct ciommu_port *port,
                                                      uint64_t requester) {
    const struct binding_slot *slot = &port->bindings[binding_slot(requester)];
    bool alive =
        slot->requester == requester &&
        (load_acquire(&slot->grant.space->birth) == slot->grant.birth || MUTANT(BIRTH_UNCHECKED));
    return alive ? slot : NULL; /* pairs with ciommu_spaces_release */
}

/* What the binding of `resolved` and `shape` says to requests with or without PASID, of the
 * privilege that they ask for or are given. */
void ciommu_grant(const struct ciommu_unit *unit, const struct resolved *resolved,
                  const struct space_shape *shape, bool explicit_pasid, bool privileged,
                  struct grant *out);

/* Fills `path` from `walker.port`, `source` and `tablegen` on. False: path->walker.fault, and
 * path->resolved.fault_disabled. Under the RCU read lock, inside a section. */
bool ciommu_resolve(struct ciommu_port *port, const struct lookup *lookup, struct path *path);

#endif
