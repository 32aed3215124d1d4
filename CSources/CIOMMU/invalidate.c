/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * invalidate.c - the one inner invalidation: tables and spaces change under the table lock, then
 * ugen moves, then the ports drain, then devices are asked (tlb_ask.h), then observers hear. Native
 * entries are decoded in descriptor_vtd.c. Protocols: space.h, binding.h, unit.h.
 */
#include "invalidate.h"
#include "tlb_ask.h"
#include "tracepoints.h"

/* A drain covers the time-outs that were counted before it began. */
static enum ciommu_status drain(struct ciommu_unit *unit, uint32_t *port_id) {
    uint64_t owed = load_seq_cst(&unit->drain_timeouts);
    (void)add_relaxed(&unit->drains, 1);
    tracepoint_drain(unit);
    enum ciommu_status status = ciommu_ports_drain(&unit->ports, port_id);
    tracepoint_drained(unit, status);
    if (status != CIOMMU_OK) {
        (void)add_seq_cst(&unit->drain_timeouts, 1);
    } else if (load_relaxed(&unit->made_up) != owed) {
        store_release(&unit->made_up, owed); /* an older value costs one more drain */
    }
    return status;
}

enum ciommu_status ciommu_unit_make_up(struct ciommu_unit *unit, uint32_t *port_id) {
    bool owes = load_acquire(&unit->made_up) != load_seq_cst(&unit->drain_timeouts);
    return owes ? drain(unit, port_id) : CIOMMU_OK;
}

enum ciommu_status ciommu_unit_wait(struct ciommu_unit *unit) {
    fence_seq_cst(); /* pairs with enter */
    return drain(unit, NULL);
}

enum ciommu_status ciommu_unit_settle(struct ciommu_unit *unit, uint32_t *port_id) {
    if (MUTANT(UGEN_OUTSIDE_LOCK)) {
        yield_point(CIOMMU_YIELD_TABLE_CHANGED);
    }
    bool kept = MUTANT(UGEN_KEPT) || MUTANT(EARLY_UGEN);
    (void)add_seq_cst(&unit->ugen, kept ? 0 : 1); /* pairs with enter */
    yield_point(CIOMMU_YIELD_BEFORE_DRAIN);
    if (MUTANT(NO_DRAIN)) {
        return CIOMMU_OK;
    }
    return drain(unit, port_id);
}

void ciommu_unit_begin_table_change(struct ciommu_unit *unit) {
    store_seq_cst(&unit->tablegen, unit->tablegen + 1); /* odd: no resolver publishes */
}

void ciommu_unit_finish_table_change(struct ciommu_unit *unit) {
    store_seq_cst(&unit->tablegen, unit->tablegen + 1);
    /* Still under the lock: whoever finds the change made (an attach where this detached, a destroy
     * of the domain) may promise something to sections that begin later. */
    (void)add_seq_cst(&unit->ugen, MUTANT(UGEN_OUTSIDE_LOCK) ? 0 : 1);
}

void ciommu_unit_forget_source(struct ciommu_unit *unit, uint32_t source) {
    const struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_CONTEXT,
        .domain = CIOMMU_ANY,
        .pasid = CIOMMU_ANY,
        .source = source,
        .last = UINT64_MAX,
    };
    ciommu_bindings_remove(&unit->bindings, &what);
}

void ciommu_unit_change_tables(struct ciommu_unit *unit, const struct ciommu_invalidation *what) {
    ciommu_unit_begin_table_change(unit);
    ciommu_bindings_remove(&unit->bindings, what);
    yield_point(CIOMMU_YIELD_TABLES_CHANGING);
    ciommu_unit_finish_table_change(unit);
}

static enum ciommu_status check(const struct ciommu_invalidation *what) {
    bool known =
        what->kind >= CIOMMU_INVALIDATE_CONTEXT && what->kind <= CIOMMU_INVALIDATE_DEVICE_TLB;
    bool stages =
        what->kind != CIOMMU_INVALIDATE_TRANSLATIONS ||
        (what->stages != 0 && (what->stages & ~(CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND)) == 0);
    return known && stages && what->first <= what->last ? CIOMMU_OK : CIOMMU_INVALID_ARGUMENT;
}

enum ciommu_status ciommu_unit_apply(struct ciommu_unit *unit, struct ciommu_port *port,
                                     const struct ciommu_invalidation *what, uint32_t *port_id) {
    if (ports_wait_for_caller(&unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    enum ciommu_status status = CIOMMU_OK;
    (void)add_relaxed(&unit->invalidations, 1);
    tracepoint_invalidate(what);
    if (MUTANT(EARLY_UGEN)) {
        (void)add_seq_cst(&unit->ugen, 1);
        yield_point(CIOMMU_YIELD_BEFORE_DRAIN);
    }
    if (what->kind != CIOMMU_INVALIDATE_DEVICE_TLB) {
        pthread_mutex_lock(&unit->table_lock);
        if (what->kind == CIOMMU_INVALIDATE_TRANSLATIONS) {
            ciommu_spaces_invalidate(&unit->spaces, what, 1);
        } else {
            ciommu_unit_change_tables(unit, what);
        }
        pthread_mutex_unlock(&unit->table_lock);
        status = ciommu_unit_settle(unit, port_id);
    } else {
        const struct tlb_target target = {.kind = TLB_OF_INVALIDATION, .what = what};
        status = ciommu_tlbs_ask(unit, &target);
    }
    ciommu_observers_tell(unit, what);
    return status;
}

enum ciommu_status ciommu_unit_end_change(struct ciommu_unit *unit,
                                          const struct ciommu_invalidation *what,
                                          const struct tlb_target *target) {
    (void)add_relaxed(&unit->invalidations, 1);
    tracepoint_invalidate(what);
    enum ciommu_status status = ciommu_tlbs_settle(unit, target);
    ciommu_observers_tell(unit, what);
    return status;
}

enum ciommu_status ciommu_invalidate(struct ciommu_unit *unit, struct ciommu_port *port,
                                     const struct ciommu_invalidation *invalidation) {
    if (unit == NULL || invalidation == NULL || invalidation->size < sizeof *invalidation ||
        (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = check(invalidation);
    return status != CIOMMU_OK ? status : ciommu_unit_apply(unit, port, invalidation, NULL);
}
