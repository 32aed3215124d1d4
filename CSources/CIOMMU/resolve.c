/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * resolve.c - see resolve.h.
 */
#include "resolve.h"

static bool is_alive(const struct resolved *resolved) {
    return load_acquire(&resolved->space->birth) == resolved->birth ||
           MUTANT(BIRTH_UNCHECKED); /* pairs with ciommu_spaces_release */
}

/* Revision 4 has no execute right; an entry of this binding never grants what the binding
 * forbids. */
static uint32_t usable_rights(const struct ciommu_unit *unit, const struct resolved *resolved,
                              const struct space_shape *shape, bool explicit_pasid) {
    bool execute = unit->caps.revision == CIOMMU_VTD_3 && resolved->execute_allowed &&
                   explicit_pasid && shape->kind != SPACE_IDENTITY;
    uint32_t rights = execute ? ACCESS_RIGHTS : CIOMMU_READ | CIOMMU_WRITE;
    bool privileged = !explicit_pasid || resolved->supervisor_allowed;
    return privileged ? RIGHTS_BOTH(rights) : rights;
}

void ciommu_grant(const struct ciommu_unit *unit, const struct resolved *resolved,
                  const struct space_shape *shape, bool explicit_pasid, bool privileged,
                  struct grant *out) {
    *out = (struct grant){
        .space = resolved->space,
        .birth = resolved->birth,
        .shape = shape,
        .attributes = resolved->attributes,
        .usable = usable_rights(unit, resolved, shape, explicit_pasid),
        .shift = privileged ? 3 : 0,
        .explicit_pasid = explicit_pasid,
        .passes = shape->kind == SPACE_IDENTITY,
        .short_way = !privileged || resolved->supervisor_allowed,
        .quick = !privileged || shape->kind == SPACE_SECOND,
        .tables_first = shape->kind == SPACE_SECOND || shape->kind == SPACE_FIRST,
        .fault_disabled = resolved->fault_disabled,
        .legacy = resolved->legacy,
    };
    if (out->passes) {
        out->outside = unit->caps.high_mask;
    } else if (shape->kind == SPACE_SECOND) {
        out->outside = ~shape->second.input_last; /* which is 2^n - 1 */
    } else { /* canonical: after the addition only the low bits are left */
        out->bias = UINT64_C(1) << (shape->first.input_bits - 1);
        out->outside = ~((out->bias << 1) - 1);
    }
}

static void remember_binding(struct ciommu_port *port, uint64_t requester,
                             const struct resolved *resolved) {
    struct binding_slot *slot = &port->bindings[binding_slot(requester)];
    bool explicit_pasid = requester >> 32 != CIOMMU_NO_PASID;
    slot->requester = requester;
    slot->resolved = *resolved;
    ciommu_grant(port->unit, resolved, &resolved->space->shape, explicit_pasid,
                 !explicit_pasid && resolved->privileged, &slot->grant);
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
    if (MUTANT(TABLEGEN_LATE)) {
        tablegen = load_seq_cst(&unit->tablegen);
    }
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
    const struct binding_slot *known = cache ? port_binding(port, requester) : NULL;
    if (known != NULL && (!ats || known->resolved.device_tlb)) {
        path->resolved = known->resolved;
        path->shape = &known->resolved.space->shape;
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
