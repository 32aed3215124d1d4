/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * translate.c - the way of one request, top to bottom: first level -> binding -> IOTLB -> walk ->
 * fill -> answer. The short way, which nearly every request takes, stands in short_way.h; here are
 * the long way, for every request there is, and the entry points for one address.
 */
#include "short_way.h"
#include "answer.h"
#include "tracepoints.h"

/* Requests whose answers the first level must not serve to plain ones. */
#define UNCACHED_FLAGS                                                                             \
    (CIOMMU_NO_CACHE | CIOMMU_IMPLIED_PASID | CIOMMU_TRANSLATED | CIOMMU_TRANSLATION_REQUEST)

/* ---- What the binding allows ---- */

/* A device that did not drop what it was asked to drop (device_tlb.h). The counter is loaded inside
 * the section, which began after the last block that matters to it and so saw its ugen. */
static always_inline bool is_blocked_device(const struct ciommu_unit *unit,
                                            const struct lookup *lookup) {
    return unlikely(load_relaxed(&unit->tlbs_blocked) != 0) &&
           ciommu_device_tlb_blocks(&unit->tlbs, lookup->source, tagged_pasid(lookup));
}

/* Settles privilege and execution; the fault code, or 0. `*access` becomes what the tables are
 * asked. */
static uint32_t admit(const struct ciommu_unit *unit, const struct resolved *resolved,
                      const struct grant *grant, uint32_t *access) {
    if (grant->shift != 0 && !resolved->supervisor_allowed) {
        return VTD_SUPERVISOR_DISABLED;
    }
    if ((*access & CIOMMU_EXECUTE) != 0) {
        bool execute =
            grant->explicit_pasid && unit->caps.revision == CIOMMU_VTD_3 && !grant->passes;
        if (execute && !resolved->execute_allowed) {
            return VTD_EXECUTE_DISABLED;
        }
        if (!execute) {
            *access = (*access & ~CIOMMU_EXECUTE) | CIOMMU_READ;
        }
    }
    return 0;
}

/* Pass-through, and translated requests: the output is the input. The fault code, or 0. */
static uint32_t pass_through(const struct lookup *lookup, const struct grant *grant,
                             struct leaf *leaf) {
    if ((lookup->iova & grant->outside) != 0) {
        return grant->legacy ? VTD_INPUT_RANGE : VTD_PT_RANGE;
    }
    if ((grant->explicit_pasid || is_ats(lookup)) && in_interrupt_range(lookup->iova)) {
        return grant->legacy ? VTD_INTERRUPT_RESULT : VTD_SM_INTERRUPT_RESULT;
    }
    *leaf = leaf_of_itself(lookup->iova);
    return 0;
}

/* ---- The leaf ---- */

static const struct ciommu_format *format_of(const struct space_shape *shape) {
    return shape->kind == SPACE_SECOND ? &ciommu_vtd_second_stage : &ciommu_vtd_first_stage;
}

/* Walks the paging structures, and keeps the leaf in the IOTLB. False: the fault is answered.
 * `*complete`: every accessed bit that the path needs is set, so the answer may be kept. */
static bool walk_leaf(struct ciommu_port *port, const struct lookup *lookup, struct way *way,
                      uint32_t access, struct leaf *leaf, bool *complete,
                      struct ciommu_result *out) {
    const struct grant *grant = way->grant;
    struct ciommu_space *space = way->space;
    struct walker walker = {
        .port = port,
        .memory = port->unit->memory,
        .shape = grant->shape,
        .space = space,
        .parent = space == NULL ? NULL : space->parent,
        .walk_generation = way->walk_generation,
        .parent_walk_generation = way->parent_walk_generation,
        .access = access,
        .privileged = grant->shift != 0,
        .update = (lookup->flags & CIOMMU_NO_AD) == 0 && (lookup->access & ACCESS_RIGHTS) != 0,
        .trace = lookup->trace,
        .complete = true,
    };
    count_owned(&port->page_walks);
    bool found = format_of(grant->shape)->walk(&walker, lookup->iova, leaf);
    tracepoint_walk(port->id, grant->shape->domain, lookup->iova, found ? leaf->page_lg2 : 0);
    if (!found) {
        yield_point(CIOMMU_YIELD_WALKED);
        ciommu_answer_fault(port, lookup, &walker.fault, grant->fault_disabled, out);
        return false;
    }
    *complete = walker.complete;
    if (space == NULL) {
        yield_point(CIOMMU_YIELD_WALKED);
        return true;
    }
    way_walked(way);
    if (walker.complete) {
        ciommu_iotlb_fill(port, way, lookup->iova, *leaf);
    }
    return true;
}

/* Finds the leaf of a paged space, in the IOTLB or by walking. False: the fault is answered. A
 * probe needs no particular right, but an entry without any for the half that counts (user or
 * privileged) denies, and denials are walked. */
static bool find_leaf(struct ciommu_port *port, const struct lookup *lookup, struct way *way,
                      uint32_t access, struct leaf *leaf, bool *complete,
                      struct ciommu_result *out) {
    uint32_t shift = way->grant->shift;
    if (way->space != NULL) {
        *leaf = iotlb_leaf(port, way, lookup->iova, access << shift);
        if ((leaf->rights >> shift & ACCESS_RIGHTS) != 0) {
            count_owned(&port->iotlb_hits);
            *complete = true; /* what the IOTLB holds is */
            return true;
        }
    }
    return walk_leaf(port, lookup, way, access, leaf, complete, out);
}

/* ---- Answers ---- */

/* A translation request for what an untranslated request would make a message. */
static bool asks_for_interrupts(const struct lookup *lookup) {
    return asks_ats(lookup) && !carries_pasid(lookup) && in_interrupt_range(lookup->iova);
}

/* A run ends below the interrupt range where a request for it would be a message; a device that
 * stores a page that covers it would use that for messages too. */
static struct cuts cuts_of(const struct lookup *lookup, bool explicit_pasid) {
    return (struct cuts){.run = !explicit_pasid && !is_ats(lookup),
                         .page = !explicit_pasid && asks_ats(lookup)};
}

/* Lets the device store the answer after the section (port.h). */
static void give_token(const struct ciommu_port *port, const struct ciommu_space *space,
                       uint64_t generation, struct ciommu_result *out) {
    out->token = (struct ciommu_ats_token){
        .ugen = port->head.seen_ugen,
        .tables = port->seen_tablegen,
        .generation = generation,
        .space = space == NULL ? UINT32_MAX : space->index,
        .unit = port->unit->number,
    };
}

/* Answers a request that was admitted. */
static void answer_granted(struct ciommu_port *port, const struct lookup *lookup, struct way *way,
                           uint32_t access, struct ciommu_result *out) {
    const struct grant *grant = way->grant;
    bool complete = true;
    struct leaf leaf;
    if (grant->passes) {
        uint32_t code = pass_through(lookup, grant, &leaf);
        if (code != 0) {
            const struct walk_fault fault = {.code = code, .level = CIOMMU_NO_LEVEL};
            ciommu_answer_fault(port, lookup, &fault, grant->fault_disabled, out);
            return;
        }
    } else if (!find_leaf(port, lookup, way, access, &leaf, &complete, out)) {
        return;
    }
    yield_point(CIOMMU_YIELD_ANSWERING);
    leaf.attributes |= grant->attributes;
    leaf.rights &= grant->usable;
    uint32_t own = leaf.rights >> grant->shift & ACCESS_RIGHTS;
    struct backing backing = answer_leaf(port, lookup->iova, lookup->access, leaf,
                                         cuts_of(lookup, grant->explicit_pasid), true, out);
    out->rights = own;
    if (complete && way->space != NULL && (lookup->flags & UNCACHED_FLAGS) == 0) {
        uint64_t requester = ciommu_requester(lookup->source, lookup->pasid);
        first_level_fill(port, first_level_slot(port, requester, lookup->iova), requester,
                         lookup->iova, grant->explicit_pasid ? leaf.rights : RIGHTS_BOTH(own),
                         way->space->index, way->generation, backing, out);
    }
    if (asks_ats(lookup)) {
        give_token(port, way->space, way->generation, out);
    }
}

/* Translation is disabled: everything passes, nothing is checked. */
static void answer_disabled(struct ciommu_port *port, const struct lookup *lookup,
                            struct ciommu_result *out) {
    const uint32_t rights = CIOMMU_READ | CIOMMU_WRITE;
    struct backing backing =
        answer_leaf(port, lookup->iova, lookup->access, leaf_of_itself(lookup->iova),
                    cuts_of(lookup, carries_pasid(lookup)), true, out);
    out->rights = rights;
    if (asks_ats(lookup)) {
        out->attributes |= CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY;
        out->token.unit = 0;
    }
    if ((lookup->flags & UNCACHED_FLAGS) == 0) {
        uint64_t generation = load_acquire(&port->unit->spaces.pool[0].generation);
        uint64_t requester = ciommu_requester(lookup->source, lookup->pasid);
        first_level_fill(port, first_level_slot(port, requester, lookup->iova), requester,
                         lookup->iova, RIGHTS_BOTH(rights), 0, generation, backing, out);
    }
}

/* A binding was found. */
static void answer_resolved(struct ciommu_port *port, const struct lookup *lookup,
                            const struct path *path, struct ciommu_result *out) {
    const struct resolved *resolved = &path->resolved;
    bool explicit_pasid = carries_pasid(lookup);
    bool privileged =
        explicit_pasid ? (lookup->access & CIOMMU_PRIVILEGED) != 0 : resolved->privileged;
    struct grant grant;
    ciommu_grant(port->unit, resolved, path->shape, explicit_pasid, privileged, &grant);
    uint32_t access = lookup->access & ACCESS_RIGHTS;
    struct walk_fault fault = {.code = admit(port->unit, resolved, &grant, &access),
                               .level = CIOMMU_NO_LEVEL};
    if (fault.code != 0) {
        ciommu_answer_fault(port, lookup, &fault, grant.fault_disabled, out);
        return;
    }
    struct way way = {.grant = &grant};
    /* Beyond what the space translates there is a fault, whatever the IOTLB holds: it keeps too
     * few bits to tell. */
    if (grant.space != NULL &&
        (grant.passes || ((lookup->iova + grant.bias) & grant.outside) == 0)) {
        way_load(&grant, &way);
    }
    answer_granted(port, lookup, &way, access, out);
}

void ciommu_answer_slowly(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out) {
    struct ciommu_unit *unit = port->unit;
    struct path path;
    path.walker = (struct walker){.port = port, .memory = unit->memory, .trace = lookup->trace};
    path.tablegen = load_seq_cst(&unit->tablegen);
    path.source = ciommu_source_find(&unit->devices, lookup->source);
    if (in_interrupt_range(lookup->iova) && meets_interrupts(lookup)) {
        ciommu_answer_interrupt(lookup, out);
    } else if (is_blocked_device(unit, lookup)) {
        const struct vtd_request request = {0, lookup->source, lookup->pasid, lookup->flags};
        (void)ciommu_vtd_resolve_blocked(unit, &request, &path.walker, &path.resolved);
        ciommu_answer_fault(port, lookup, &path.walker.fault, path.resolved.fault_disabled, out);
    } else if (path.source == NULL && load_seq_cst(&unit->enabled) == 0) {
        if (asks_for_interrupts(lookup)) {
            ciommu_answer_untranslated_only(lookup, out);
        } else {
            answer_disabled(port, lookup, out);
        }
    } else if (!ciommu_resolve(port, lookup, &path)) {
        ciommu_answer_fault(port, lookup, &path.walker.fault, path.resolved.fault_disabled, out);
    } else if (asks_for_interrupts(lookup)) {
        ciommu_answer_untranslated_only(lookup, out);
    } else {
        answer_resolved(port, lookup, &path, out);
    }
}

void ciommu_answer_miss(struct ciommu_port *port, const struct lookup *lookup,
                        struct ciommu_result *out) {
    count_owned(&port->lookups_slow);
    tracepoint_miss(port->id, lookup->source, lookup->pasid, lookup->iova, lookup->access);
    if (unlikely(!answer_shortly(port, ciommu_requester(lookup->source, lookup->pasid),
                                 lookup->iova, lookup->access, lookup->flags, out))) {
        ciommu_answer_slowly(port, lookup, out);
    }
}

void ciommu_lookup_answer(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out) {
    if (asks_first_level(lookup->access, lookup->flags)) {
        const struct ciommu_first_level_entry *entry = ciommu_first_level_find(
            port, lookup->source, lookup->pasid, lookup->iova, lookup->access);
        if (entry != NULL) {
            answer_hit(entry, lookup->iova, lookup->access, true, out);
            return;
        }
    }
    ciommu_rcu_lock();
    ciommu_answer_miss(port, lookup, out);
    ciommu_rcu_unlock();
}

/* ---- Entry points for single addresses ---- */

/* A section of its own, or the caller's; then the host pointer stays. */
static void translate_through(struct ciommu_port *port, const struct lookup *lookup,
                              struct ciommu_result *out) {
    bool inside = port_is_inside(port);
    port_enter(port);
    ciommu_lookup_answer(port, lookup, out);
    port_leave(port);
    if (!inside) {
        out->host = NULL; /* address-only: no section keeps it valid */
    }
}

/* Through a port of the unit's pool. */
static enum ciommu_status translate_borrowed(struct ciommu_unit *unit, const struct lookup *lookup,
                                             struct ciommu_result *out) {
    struct ciommu_port *port = ciommu_port_borrow(unit);
    if (port == NULL) {
        return CIOMMU_NO_PORT;
    }
    struct lookup asked = *lookup;
    if (!faults_have_queues(&unit->faults)) {
        asked.flags |= CIOMMU_NO_FAULT; /* nobody takes faults from a borrowed port; the caller has
                                           this one in hand */
    }
    translate_through(port, &asked, out);
    ciommu_port_give_back(port);
    return CIOMMU_OK;
}

static enum ciommu_status translate_one(struct ciommu_unit *unit, struct ciommu_port *port,
                                        const struct lookup *lookup, struct ciommu_result *out) {
    enum ciommu_status status = lookup_check(lookup);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (port == NULL) {
        return translate_borrowed(unit, lookup, out);
    }
    translate_through(port, lookup, out);
    return CIOMMU_OK;
}

/* What the first level does not answer, and arguments that are refused. */
static __attribute__((noinline)) enum ciommu_status
translate_elsewhere(struct ciommu_unit *unit, struct ciommu_port *port, uint32_t source,
                    uint32_t pasid, uint64_t iova, uint32_t access, uint32_t flags,
                    struct ciommu_result *out) {
    if (unit == NULL || out == NULL || out->size < sizeof *out ||
        (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    const struct lookup lookup = {source, pasid, iova, access, flags, NULL};
    return translate_one(unit, port, &lookup, out);
}

/* What the first level does not answer, inside the section that asked it. */
static __attribute__((noinline)) enum ciommu_status
translate_missed(struct ciommu_port *port, uint32_t source, uint32_t pasid, uint64_t iova,
                 uint32_t access, uint32_t flags, struct ciommu_result *out) {
    enum ciommu_status status = CIOMMU_OK;
    ciommu_rcu_lock();
    /* A requester that the port remembers has a source id and a PASID in range. */
    if (likely(answer_shortly(port, ciommu_requester(source, pasid), iova, access, flags, out))) {
        count_owned(&port->lookups_slow);
        tracepoint_miss(port->id, source, pasid, iova, access);
    } else {
        const struct lookup lookup = {source, pasid, iova, access, flags, NULL};
        status = lookup_check(&lookup);
        if (status == CIOMMU_OK) {
            count_owned(&port->lookups_slow);
            tracepoint_miss(port->id, source, pasid, iova, access);
            ciommu_answer_slowly(port, &lookup, out);
        }
    }
    ciommu_rcu_unlock();
    port_leave(port);
    if (!port_is_inside(port) && status == CIOMMU_OK) {
        out->host = NULL;
    }
    return status;
}

enum ciommu_status ciommu_translate(struct ciommu_unit *unit, struct ciommu_port *port,
                                    uint32_t source, uint32_t pasid, uint64_t iova, uint32_t access,
                                    uint32_t flags, struct ciommu_result *out) {
    if (unlikely(port == NULL || port->unit != unit || out == NULL || out->size < sizeof *out ||
                 !asks_first_level(access, flags))) {
        return translate_elsewhere(unit, port, source, pasid, iova, access, flags, out);
    }
    port_enter(port);
    const struct ciommu_first_level_entry *entry =
        ciommu_first_level_find(port, source, pasid, iova, access);
    if (unlikely(entry == NULL)) {
        return translate_missed(port, source, pasid, iova, access, flags, out);
    }
    answer_hit(entry, iova, access, port->head.depth > 1, out);
    port_leave(port);
    return CIOMMU_OK;
}

/* ---- Traces ---- */

void ciommu_trace_step(struct trace *trace, uint32_t table, uint32_t level, uint64_t address,
                       uint64_t input, const uint64_t *words, uint32_t count) {
    if (trace->count < trace->capacity) {
        struct ciommu_step *step = &trace->steps[trace->count];
        *step = (struct ciommu_step){
            .table = table, .level = level, .words = count, .address = address, .input = input};
        for (uint32_t word = 0; word < count; word++) {
            step->word[word] = words[word];
        }
    }
    trace->count++;
}

enum ciommu_status ciommu_trace(struct ciommu_unit *unit, struct ciommu_port *port, uint32_t source,
                                uint32_t pasid, uint64_t iova, uint32_t access, uint32_t flags,
                                struct ciommu_step *steps, uint32_t capacity, uint32_t *count,
                                struct ciommu_result *out) {
    if (unit == NULL || out == NULL || out->size < sizeof *out || count == NULL ||
        (capacity != 0 && steps == NULL) || (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct trace trace = {steps, capacity, 0};
    struct lookup lookup = {
        source, pasid, iova, access, flags | CIOMMU_NO_CACHE | CIOMMU_NO_FAULT | CIOMMU_NO_AD,
        &trace};
    enum ciommu_status status = translate_one(unit, port, &lookup, out);
    if (status == CIOMMU_OK) {
        *count = trace.count;
    }
    return status;
}
