/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * translate.c - the way of a request, top to bottom: first level -> binding -> IOTLB -> walk ->
 * fill -> answer.
 *
 * Runs inside a section. A first-level hit is done after one comparison; the rest runs under the
 * RCU read lock. What makes the fill safe against invalidations stands in space.h and iotlb.h; here
 * is the order that those rest on: generation before tag before walk_generation before the first
 * probe or read.
 *
 * A plain request whose binding the port remembers takes the short way (answer_remembered);
 * every other one is resolved first (answer_slowly). Both go on through answer_granted, which is
 * inlined into either, so that what a plain request cannot meet costs it nothing.
 */
#include "answer.h"
#include "resolve.h"
#include "tracepoints.h"

/* Requests whose answers the first level must not serve to plain ones. */
#define UNCACHED_FLAGS                                                                             \
    (CIOMMU_NO_CACHE | CIOMMU_IMPLIED_PASID | CIOMMU_TRANSLATED | CIOMMU_TRANSLATION_REQUEST)

/* Implementation: requests of a batch whose cache lines are fetched ahead of the first answer,
 * and that share an RCU read section. */
#define GROUP 16u

/* One look for a leaf. */
struct attempt {
    struct ciommu_space *space; /* NULL: nothing is taken from caches */
    /* The space's counters, before anything that they cover was read. */
    uint64_t generation;
    uint64_t walk_generation;
    uint64_t parent_walk_generation;
    uint32_t tag;
    uint32_t access; /* READ, WRITE, EXECUTE, as the tables are asked; none = probe */
    bool complete;   /* every accessed bit that the path needs is set: the answer may be kept */
    struct leaf leaf;
};

/* ---- First level ---- */

static always_inline bool first_level_answers(struct ciommu_port *port, const struct lookup *lookup,
                                              struct ciommu_result *out) {
    if ((lookup->flags & ~CIOMMU_NO_FAULT) != 0 || (lookup->access & ACCESS_RIGHTS) == 0) {
        return false;
    }
    const struct ciommu_first_level_entry *entry =
        ciommu_first_level_find(port, lookup->source, lookup->pasid, lookup->iova, lookup->access);
    if (entry == NULL) {
        return false;
    }
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->address = entry->address + (lookup->iova & 0xfff);
    out->mask = (UINT64_C(1) << entry->page_lg2) - 1;
    out->page_lg2 = entry->page_lg2;
    out->rights = ciommu_first_level_rights(entry, lookup->access);
    out->host = ciommu_first_level_host(entry, lookup->iova, lookup->access);
    out->contiguous = entry->last - lookup->iova + 1;
    out->attributes = entry->attributes;
    out->token.unit = 0;
    return true;
}

/* Keeps an answer for the port. `leaf->rights` are those of the halves that the requester may
 * use; `host` is the host's byte of out->address, whatever it permits. */
static always_inline void first_level_fill(struct ciommu_port *port, const struct lookup *lookup,
                                           const struct leaf *leaf, uint32_t space,
                                           uint64_t generation, unsigned char *host,
                                           const struct ciommu_result *out) {
    struct ciommu_port_head *head = &port->head;
    if (port->unit->port_sizes.first_level == 0) {
        return;
    }
    uint64_t requester = ciommu_requester(lookup->source, lookup->pasid);
    uint64_t page = lookup->iova >> 12;
    uint64_t offset = lookup->iova & 0xfff;
    struct ciommu_first_level_entry *entry =
        &head->first_level[ciommu_first_level_slot(page, requester) & head->first_level_mask];
    entry->page = page;
    entry->requester = requester;
    entry->epoch = head->epoch;
    entry->address = out->address - offset;
    entry->host = host != NULL ? host - offset : NULL;
    entry->last = lookup->iova + (out->contiguous - 1);
    entry->generation = generation;
    entry->space = space;
    entry->rights = (uint8_t)leaf->rights;
    entry->page_lg2 = (uint8_t)leaf->page_lg2;
    entry->host_rights = host != NULL ? (uint8_t)port->windows[1].rights : 0;
    entry->attributes = (uint8_t)leaf->attributes;
}

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
static always_inline uint32_t pass_through(const struct lookup *lookup, const struct grant *grant,
                                           uint32_t flags, struct leaf *leaf) {
    if (unlikely((lookup->iova & grant->outside) != 0)) {
        return grant->legacy ? VTD_INPUT_RANGE : VTD_PT_RANGE;
    }
    bool ats = (flags & (CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED)) != 0;
    if ((grant->explicit_pasid || ats) && unlikely(in_interrupt_range(lookup->iova))) {
        return grant->legacy ? VTD_INTERRUPT_RESULT : VTD_SM_INTERRUPT_RESULT;
    }
    leaf->address = lookup->iova & ~UINT64_C(0xfff);
    leaf->rights = RIGHTS_BOTH(CIOMMU_READ | CIOMMU_WRITE);
    leaf->page_lg2 = 12;
    leaf->attributes = 0;
    return 0;
}

/* ---- IOTLB and walk ---- */

/* The sizes that a space uses besides its smallest. */
static __attribute__((noinline)) bool
iotlb_answers_larger(const struct iotlb *iotlb, uint64_t sizes, const struct lookup *lookup,
                     uint32_t shift, struct attempt *attempt) {
    for (; sizes != 0; sizes &= sizes - 1) {
        if (iotlb_lookup(iotlb, attempt->tag, lookup->iova, (uint32_t)__builtin_ctzll(sizes),
                         attempt->access << shift, &attempt->leaf) &&
            (attempt->leaf.rights & 7u << shift) != 0) {
            return true;
        }
    }
    return false;
}

/* A probe needs no particular right, but an entry without any for the half that counts (user or
 * privileged) denies, and denials are walked. */
static always_inline bool iotlb_answers(const struct iotlb *iotlb, const struct lookup *lookup,
                                        uint32_t shift, struct attempt *attempt) {
    if (iotlb->entries == NULL || attempt->tag == 0) {
        return false;
    }
    uint64_t sizes = load_acquire(&attempt->space->sizes);
    if (sizes == 0) {
        return false;
    }
    bool found = iotlb_lookup(iotlb, attempt->tag, lookup->iova, (uint32_t)__builtin_ctzll(sizes),
                              attempt->access << shift, &attempt->leaf) &&
                 (attempt->leaf.rights & 7u << shift) != 0;
    sizes &= sizes - 1;
    if (!found && sizes != 0) {
        struct attempt larger = {.tag = attempt->tag, .access = attempt->access};
        found = iotlb_answers_larger(iotlb, sizes, lookup, shift, &larger);
        attempt->leaf = larger.leaf;
    }
    /* Tags are finite: after a renewal this one may be another space's. */
    return found && load_acquire(&attempt->space->tag) == attempt->tag;
}

static void iotlb_fill(struct ciommu_port *port, struct ciommu_space *space, uint32_t tag,
                       uint64_t generation, uint64_t iova, const struct leaf *leaf) {
    struct iotlb *iotlb = &port->unit->iotlb;
    uint64_t end = leaf->address + ((UINT64_C(1) << leaf->page_lg2) - 1);
    bool splits = leaf->address <= INTERRUPT_LAST && end >= INTERRUPT_FIRST; /* parts of it fault */
    if (iotlb->entries == NULL || tag == 0 || splits) {
        return;
    }
    uint64_t size = UINT64_C(1) << leaf->page_lg2;
    /* The bit is there (seq_cst, whoever set it) before the generation is checked; pairs with
     * space.c: invalidate_ranges. */
    if (!MUTANT(SIZES_LATE) && (load_seq_cst(&space->sizes) & size) == 0) {
        (void)or_seq_cst(&space->sizes, size);
    }
    port->random = port->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    ciommu_iotlb_insert(iotlb, tag, iova, leaf, &space->generation, generation, port->random >> 60);
    if (MUTANT(SIZES_LATE)) {
        yield_point(CIOMMU_YIELD_INSERTING);
        (void)or_seq_cst(&space->sizes, size);
    }
}

static const struct ciommu_format *format_of(const struct space_shape *shape) {
    return shape->kind == SPACE_SECOND ? &ciommu_vtd_second_stage : &ciommu_vtd_first_stage;
}

/* Walks the paging structures, and keeps the leaf in the IOTLB. False: the fault is answered. */
static __attribute__((noinline)) bool walk_leaf(struct ciommu_port *port,
                                                const struct lookup *lookup,
                                                const struct grant *grant, struct attempt *attempt,
                                                struct ciommu_result *out) {
    struct ciommu_space *space = attempt->space;
    struct leaf *leaf = &attempt->leaf;
    struct walker walker = {
        .port = port,
        .memory = port->unit->memory,
        .shape = grant->shape,
        .space = space,
        .parent = space == NULL ? NULL : space->parent,
        .walk_generation = attempt->walk_generation,
        .parent_walk_generation = attempt->parent_walk_generation,
        .access = attempt->access,
        .privileged = grant->shift != 0,
        .update = (lookup->flags & CIOMMU_NO_AD) == 0 && (lookup->access & ACCESS_RIGHTS) != 0,
        .trace = lookup->trace,
        .complete = true,
    };
    count_owned(&port->page_walks);
    bool found = format_of(grant->shape)->walk(&walker, lookup->iova, leaf);
    tracepoint_walk(port->id, grant->shape->domain, lookup->iova, found ? leaf->page_lg2 : 0);
    yield_point(CIOMMU_YIELD_WALKED);
    if (unlikely(!found)) {
        ciommu_answer_fault(port, lookup, &walker.fault, grant->fault_disabled, out);
        return false;
    }
    if (space != NULL && MUTANT(LATE_GENERATION)) {
        attempt->generation = load_acquire(&space->generation);
        attempt->tag = load_acquire(&space->tag);
    }
    if (space != NULL && walker.complete) {
        iotlb_fill(port, space, attempt->tag, attempt->generation, lookup->iova, leaf);
    }
    attempt->complete = walker.complete;
    return true;
}

/* Finds the leaf of a paged space, in the IOTLB or by walking. False: the fault is answered. */
static always_inline bool find_leaf(struct ciommu_port *port, const struct lookup *lookup,
                                    const struct grant *grant, struct attempt *attempt,
                                    struct ciommu_result *out) {
    struct ciommu_space *space = attempt->space;
    attempt->complete = true; /* what the IOTLB holds is */
    if (likely(space != NULL)) {
        yield_point(CIOMMU_YIELD_RESOLVED);
        attempt->generation = load_acquire(&space->generation);
        yield_point(CIOMMU_YIELD_GENERATION_READ);
        attempt->tag = load_acquire(&space->tag);
        attempt->walk_generation = load_acquire(&space->walk_generation);
        attempt->parent_walk_generation =
            space->parent == NULL ? 0 : load_acquire(&space->parent->walk_generation);
        /* Retired meanwhile: the generation may be the one that its retirement left, which no
         * invalidation will ever move. Nothing of this answer may be kept. */
        if (unlikely(load_acquire(&space->birth) != grant->birth) && !MUTANT(ALIVE_ONCE)) {
            attempt->space = NULL;
        } else if (iotlb_answers(&port->unit->iotlb, lookup, grant->shift, attempt)) {
            count_owned(&port->iotlb_hits);
            return true;
        }
    }
    struct attempt walked = *attempt; /* a copy, so that a hit keeps everything in registers */
    if (unlikely(!walk_leaf(port, lookup, grant, &walked, out))) {
        return false;
    }
    *attempt = walked;
    return true;
}

/* ---- Answers ---- */

/* A translation request for what an untranslated request would make a message. */
static bool asks_for_interrupts(const struct lookup *lookup) {
    return asks_ats(lookup) && !carries_pasid(lookup) && in_interrupt_range(lookup->iova);
}

/* Would a device that stores a page of this size use it for the interrupt range too? */
static always_inline bool hides_interrupts(const struct lookup *lookup, bool explicit_pasid,
                                           uint32_t flags, uint64_t mask) {
    uint64_t first = lookup->iova & ~mask;
    return (flags & CIOMMU_TRANSLATION_REQUEST) != 0 && !explicit_pasid &&
           first <= INTERRUPT_LAST && first + mask >= INTERRUPT_FIRST;
}

/* Would a run from the looked-up address to `last` reach into the interrupt range from below? */
static always_inline bool turns_interrupt(const struct lookup *lookup, bool explicit_pasid,
                                          uint32_t flags, uint64_t last) {
    bool ats = (flags & (CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED)) != 0;
    return unlikely(lookup->iova < INTERRUPT_FIRST && last >= INTERRUPT_FIRST) && !explicit_pasid &&
           !ats;
}

/* From a leaf to the answer: adds host memory, and how far both run on. `flags` are those of the
 * request that change it. The host's byte of the address, whatever it permits, or NULL. */
static always_inline unsigned char *answer_leaf(struct ciommu_port *port,
                                                const struct lookup *lookup, bool explicit_pasid,
                                                uint32_t flags, const struct leaf *leaf,
                                                struct ciommu_result *out) {
    struct memory_window *window = &port->windows[1];
    uint64_t mask = (UINT64_C(1) << leaf->page_lg2) - 1;
    uint64_t address = leaf->address | (lookup->iova & mask);
    unsigned char *host = ciommu_memory_host(port->unit->memory, window, address);
    bool splits = leaf->address <= INTERRUPT_LAST && leaf->address + mask >= INTERRUPT_FIRST;
    uint32_t page_lg2 = leaf->page_lg2;
    if (hides_interrupts(lookup, explicit_pasid, flags, mask)) {
        page_lg2 = 12;
        mask = 0xfff;
    }
    uint64_t more = ~lookup->iova & (unlikely(host == NULL || splits) ? 0xfff : mask);
    if (host != NULL) {
        uint64_t backed = window->length - 1 - (address - window->first);
        more = backed < more ? backed : more;
    }
    if (turns_interrupt(lookup, explicit_pasid, flags, lookup->iova + more)) {
        more = INTERRUPT_FIRST - 1 - lookup->iova;
    }
    bool reachable = host != NULL && (lookup->access & CIOMMU_WRITE & ~window->rights) == 0;
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->address = address;
    out->mask = mask;
    out->page_lg2 = page_lg2;
    out->host = reachable ? host : NULL;
    out->contiguous = more + 1;
    out->attributes = leaf->attributes;
    out->token.unit = 0;
    return host;
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

/* Answers a request that was admitted. `flags` are those of the request that may change the
 * answer; the short way knows them when it is compiled. */
static always_inline void answer_granted(struct ciommu_port *port, const struct lookup *lookup,
                                         const struct grant *grant, uint32_t flags,
                                         struct attempt *attempt, struct ciommu_result *out) {
    struct leaf *leaf = &attempt->leaf;
    if (grant->passes) {
        attempt->generation = load_acquire(&port->unit->spaces.pool[0].generation);
        attempt->complete = true;
        uint32_t code = pass_through(lookup, grant, flags, leaf);
        if (unlikely(code != 0)) {
            const struct walk_fault fault = {.code = code, .level = CIOMMU_NO_LEVEL};
            ciommu_answer_fault(port, lookup, &fault, grant->fault_disabled, out);
            return;
        }
    } else if (unlikely(!find_leaf(port, lookup, grant, attempt, out))) {
        return;
    }
    leaf->attributes |= grant->attributes;
    leaf->rights &= grant->usable;
    uint32_t own = leaf->rights >> grant->shift & ACCESS_RIGHTS;
    leaf->rights = grant->explicit_pasid ? leaf->rights : RIGHTS_BOTH(own);
    unsigned char *host = answer_leaf(port, lookup, grant->explicit_pasid, flags, leaf, out);
    out->rights = own;
    if (attempt->complete && attempt->space != NULL && (flags & UNCACHED_FLAGS) == 0) {
        first_level_fill(port, lookup, leaf, attempt->space->index, attempt->generation, host, out);
    }
    if ((flags & CIOMMU_TRANSLATION_REQUEST) != 0) {
        give_token(port, attempt->space, attempt->generation, out);
    }
}

/* Translation is disabled: everything passes, nothing is checked. */
static void answer_disabled(struct ciommu_port *port, const struct lookup *lookup,
                            struct ciommu_result *out) {
    const struct leaf leaf = {lookup->iova & ~UINT64_C(0xfff),
                              RIGHTS_BOTH(CIOMMU_READ | CIOMMU_WRITE), 12, 0};
    unsigned char *host =
        answer_leaf(port, lookup, carries_pasid(lookup), lookup->flags, &leaf, out);
    out->rights = CIOMMU_READ | CIOMMU_WRITE;
    if (asks_ats(lookup)) {
        out->attributes |= CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY;
    }
    if ((lookup->flags & UNCACHED_FLAGS) == 0) {
        uint64_t generation = load_acquire(&port->unit->spaces.pool[0].generation);
        first_level_fill(port, lookup, &leaf, 0, generation, host, out);
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
    struct attempt attempt = {.space = grant.space, .access = lookup->access & ACCESS_RIGHTS};
    struct walk_fault fault = {.code = admit(port->unit, resolved, &grant, &attempt.access),
                               .level = CIOMMU_NO_LEVEL};
    if (fault.code != 0) {
        ciommu_answer_fault(port, lookup, &fault, grant.fault_disabled, out);
        return;
    }
    if (!grant.passes && ((lookup->iova + grant.bias) & grant.outside) != 0) {
        attempt.space = NULL; /* a fault, whatever the IOTLB holds: it keeps too few bits to tell */
    }
    answer_granted(port, lookup, &grant, lookup->flags, &attempt, out);
}

/* Requests that are not plain, and bindings that the port does not remember. Under the RCU read
 * lock. */
static __attribute__((noinline)) void
answer_slowly(struct ciommu_port *port, const struct lookup *lookup, struct ciommu_result *out) {
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

/* The short way: a read or write of user privilege without special flags, through a binding
 * that the port remembers. False: nothing is answered. Under the RCU read lock.
 *
 * Neither the device table nor `enabled` is looked at: whoever changes them moves tablegen and
 * then ugen, so a section that began after the change has forgotten the binding (port.h), and one
 * that began before may keep to it. The RCU lock keeps the shape, host-made tables and the memory
 * map; the counters of a space lie in a pool that is never freed. */
static always_inline bool answer_remembered(struct ciommu_port *port, const struct lookup *lookup,
                                            struct ciommu_result *out) {
    bool plain = (lookup->flags & ~CIOMMU_NO_FAULT) == 0 &&
                 (lookup->access & ~(CIOMMU_READ | CIOMMU_WRITE)) == 0 && lookup->access != 0;
    bool message = in_interrupt_range(lookup->iova) && lookup->pasid == CIOMMU_NO_PASID;
    if (unlikely(!plain || message || load_relaxed(&port->unit->tlbs_blocked) != 0)) {
        return false;
    }
    const struct binding_slot *slot =
        port_binding(port, ciommu_requester(lookup->source, lookup->pasid));
    if (unlikely(slot == NULL || !slot->grant.short_way ||
                 ((lookup->iova + slot->grant.bias) & slot->grant.outside) != 0)) {
        return false;
    }
    struct attempt attempt = {.space = slot->grant.space, .access = lookup->access};
    answer_granted(port, lookup, &slot->grant, 0, &attempt, out);
    return true;
}

/* Everything past the first level. Under the RCU read lock. */
static __attribute__((noinline)) void
answer_miss(struct ciommu_port *port, const struct lookup *lookup, struct ciommu_result *out) {
    count_owned(&port->lookups_slow);
    tracepoint_miss(port->id, lookup->source, lookup->pasid, lookup->iova, lookup->access);
    if (unlikely(!answer_remembered(port, lookup, out))) {
        answer_slowly(port, lookup, out);
    }
}

static always_inline void answer(struct ciommu_port *port, const struct lookup *lookup,
                                 struct ciommu_result *out) {
    if (!first_level_answers(port, lookup, out)) {
        ciommu_rcu_lock();
        answer_miss(port, lookup, out);
        ciommu_rcu_unlock();
    }
}

void ciommu_lookup_answer(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out) {
    answer(port, lookup, out);
}

/* ---- Entry points for single addresses ---- */

/* A section of its own, or the caller's; then the host pointer stays. */
static always_inline void translate_through(struct ciommu_port *port, const struct lookup *lookup,
                                            struct ciommu_result *out) {
    bool inside = port_is_inside(port);
    port_enter(port);
    answer(port, lookup, out);
    port_leave(port);
    if (!inside) {
        out->host = NULL; /* address-only: no section keeps it valid */
    }
}

/* Through a port of the unit's pool. */
static __attribute__((noinline)) enum ciommu_status translate_borrowed(struct ciommu_unit *unit,
                                                                       const struct lookup *lookup,
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

static always_inline enum ciommu_status translate_one(struct ciommu_unit *unit,
                                                      struct ciommu_port *port,
                                                      const struct lookup *lookup,
                                                      struct ciommu_result *out) {
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

enum ciommu_status ciommu_translate(struct ciommu_unit *unit, struct ciommu_port *port,
                                    uint32_t source, uint32_t pasid, uint64_t iova, uint32_t access,
                                    uint32_t flags, struct ciommu_result *out) {
    if (unit == NULL || out == NULL || out->size < sizeof *out ||
        (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    const struct lookup lookup = {source, pasid, iova, access, flags, NULL};
    return translate_one(unit, port, &lookup, out);
}

/* ---- Batches ---- */

/* Brings near what the first look for this request will touch. No part of the protocol: nothing
 * that is loaded here is used. Inside a section. */
static always_inline void fetch_ahead(const struct ciommu_port *port,
                                      const struct ciommu_request *request) {
    const struct ciommu_port_head *head = &port->head;
    const struct iotlb *iotlb = &port->unit->iotlb;
    uint64_t requester = ciommu_requester(request->source, request->pasid);
    uint64_t page = request->iova >> 12;
    const struct ciommu_first_level_entry *entry =
        &head->first_level[ciommu_first_level_slot(page, requester) & head->first_level_mask];
    if (entry->page == page && entry->requester == requester) {
        return;
    }
    const struct binding_slot *slot = &port->bindings[binding_slot(requester)];
    if (slot->requester != requester || iotlb->entries == NULL) {
        return;
    }
    const struct ciommu_space *space = slot->grant.space; /* the pool is never freed */
    uint64_t sizes = load_relaxed(&space->sizes);
    if (sizes != 0) {
        iotlb_prefetch(iotlb, load_relaxed(&space->tag), request->iova,
                       (uint32_t)__builtin_ctzll(sizes));
    }
}

/* Answers requests until the end or the first that is refused; how many were answered. Inside a
 * section. */
static uint32_t answer_group(struct ciommu_port *port, const struct ciommu_request *requests,
                             struct ciommu_result *results, uint32_t count, bool inside,
                             enum ciommu_status *status) {
    for (uint32_t index = 0; index < count; index++) {
        fetch_ahead(port, &requests[index]);
    }
    uint32_t done = 0;
    ciommu_rcu_lock();
    for (; done < count; done++) {
        const struct ciommu_request *request = &requests[done];
        struct ciommu_result *out = &results[done];
        const struct lookup lookup = {request->source, request->pasid, request->iova,
                                      request->access, request->flags, NULL};
        *status = out->size < sizeof *out ? CIOMMU_INVALID_ARGUMENT : lookup_check(&lookup);
        if (unlikely(*status != CIOMMU_OK)) {
            break;
        }
        if (!first_level_answers(port, &lookup, out)) {
            answer_miss(port, &lookup, out);
        }
        if (!inside) {
            out->host = NULL;
        }
    }
    ciommu_rcu_unlock();
    return done;
}

enum ciommu_status ciommu_translate_batch(struct ciommu_port *port,
                                          const struct ciommu_request *requests,
                                          struct ciommu_result *results, uint32_t count,
                                          uint32_t *done) {
    if (port == NULL || (count != 0 && (requests == NULL || results == NULL))) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool inside = port_is_inside(port);
    enum ciommu_status status = CIOMMU_OK;
    uint32_t index = 0;
    port_enter(port);
    while (index < count && status == CIOMMU_OK) {
        uint32_t group = count - index < GROUP ? count - index : GROUP;
        index += answer_group(port, &requests[index], &results[index], group, inside, &status);
    }
    port_leave(port);
    if (done != NULL) {
        *done = index;
    }
    return status;
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
