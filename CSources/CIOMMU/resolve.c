/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * resolve.c - see resolve.h.
 */
#include "resolve.h"

static void remember_binding(struct ciommu_port *port, uint64_t requester,
                             const struct resolved *resolved) {
    struct binding_slot *slot = &port->bindings[binding_slot(requester)];
    slot->requester = requester;
    slot->resolved = *resolved;
}

/* What is cached in the unit. */
static bool unit_binding(struct ciommu_port *port, uint64_t requester, struct resolved *out) {
    if (!ciommu_bindings_find(&port->unit->bindings, requester, out) || !is_alive(out)) {
        return false;
    }
    remember_binding(port, requester, out);
    return true;
}

/* What the host attached. */
static bool take_attachment(struct ciommu_port *port, const struct lookup *lookup,
                            const struct attachment *attachment, bool cache, struct path *path) {
    struct ciommu_unit *unit = port->unit;
    const struct vtd_request request = {0, lookup->source, lookup->pasid, lookup->flags};
    path->resolved = attachment->resolved;
    if (path->resolved.space == NULL) {
        return ciommu_vtd_resolve_blocked(unit, &request, &path->walker, &path->resolved);
    }
    path->shape = &path->resolved.space->shape;
    if ((lookup->flags & CIOMMU_TRANSLATED) != 0) { /* it names an output address */
        path->shape = &unit->spaces.pool[0].shape;
    }
    if (!cache) {
        path->resolved.space = NULL;
    } else {
        remember_binding(port, ciommu_requester(lookup->source, lookup->pasid), &path->resolved);
    }
    return true;
}

/* May the request be one of ATS? In place of a context entry that the guest would write, a host's
 * device has the registration of its device-TLB; the choice stands with
 * CIOMMU_TRANSLATION_REQUEST. */
static bool admits_ats(const struct ciommu_unit *unit, const struct lookup *lookup,
                       struct path *path) {
    bool ats = (lookup->flags & (CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED)) != 0;
    if (!ats || path->source == NULL ||
        ciommu_device_tlb_find(&unit->tlbs, lookup->source, tagged_pasid(lookup)) != NULL) {
        return true;
    }
    path->resolved = (struct resolved){.legacy = !unit->caps.scalable};
    path->walker.fault = (struct walk_fault){.level = CIOMMU_NO_LEVEL};
    return walk_fails(&path->walker, unit->caps.scalable ? VTD_SM_DTE_CLEAR : VTD_TYPE_BLOCKED);
}

/* The guest's tables: those behind the root, or those that the host bound to the device. */
static bool read_tables(struct ciommu_port *port, const struct lookup *lookup, struct path *path) {
    struct ciommu_unit *unit = port->unit;
    const struct vtd_request request = {load_seq_cst(&unit->root), lookup->source, lookup->pasid,
                                        lookup->flags};
    if (path->source == NULL) {
        return ciommu_vtd_resolve(unit, &request, &path->walker, &path->resolved,
                                  &path->uncached_shape);
    }
    const struct bound_table *bound = ciommu_source_bound(path->source, lookup->pasid);
    if (bound == NULL) {
        return ciommu_vtd_resolve_blocked(unit, &request, &path->walker, &path->resolved);
    }
    return ciommu_vtd_resolve_bound(unit, bound, &request, &path->walker, &path->resolved,
                                    &path->uncached_shape);
}

/* Walks the guest's tables, and publishes what they say if they have not changed meanwhile. */
static bool walk_binding(struct ciommu_port *port, const struct lookup *lookup, bool cache,
                         struct path *path) {
    struct ciommu_unit *unit = port->unit;
    uint64_t requester = ciommu_requester(lookup->source, lookup->pasid);
    uint64_t tablegen = path->tablegen; /* before the device table and every guest table */
    count_owned(&port->binding_walks);
    if (!read_tables(port, lookup, path)) {
        return false;
    }
    path->shape = &path->uncached_shape;
    path->resolved.attributes = path->shape->attributes;
    yield_point(CIOMMU_YIELD_TABLES_READ);
    if (cache && !path->resolved.unstable && (tablegen & 1) == 0 && unit->bindings.count != 0 &&
        pthread_mutex_trylock(&unit->table_lock) == 0) {
        bool unchanged = load_relaxed(&unit->tablegen) == tablegen || MUTANT(PUBLISH_UNCHECKED);
        if (unchanged &&
            ciommu_bindings_publish(&unit->bindings, requester, path->shape, &path->resolved)) {
            remember_binding(port, requester, &path->resolved);
            path->shape = &path->resolved.space->shape;
        }
        pthread_mutex_unlock(&unit->table_lock);
    }
    if (path->resolved.space == NULL) {
        count_owned(&port->uncached);
    }
    return true;
}

bool ciommu_resolve(struct ciommu_port *port, const struct lookup *lookup, struct path *path) {
    const uint32_t special = CIOMMU_NO_CACHE | CIOMMU_IMPLIED_PASID | CIOMMU_TRANSLATED;
    bool cache = (lookup->flags & special) == 0;
    bool ats = asks_ats(lookup);
    uint64_t requester = ciommu_requester(lookup->source, lookup->pasid);
    if (!admits_ats(port->unit, lookup, path)) {
        return false;
    }
    const struct resolved *known = cache ? port_binding(port, requester) : NULL;
    if (known != NULL && (!ats || known->device_tlb)) {
        path->resolved = *known;
        path->shape = &known->space->shape;
        return true;
    }
    const struct attachment *attachment = NULL;
    if (path->source != NULL) {
        attachment = ciommu_source_attachment(path->source, lookup->pasid);
    }
    if (attachment != NULL) {
        return take_attachment(port, lookup, attachment, cache, path);
    }
    if (cache && unit_binding(port, requester, &path->resolved)) {
        path->shape = &path->resolved.space->shape;
        /* A refusal is walked, so that FPD is what it was where the walk ended. */
        return !ats || path->resolved.device_tlb || walk_binding(port, lookup, false, path);
    }
    return walk_binding(port, lookup, cache, path);
}
