/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * translate.c - the way of a request, top to bottom: first level -> binding -> IOTLB -> walk ->
 * fill -> answer or fault.
 *
 * Runs inside a section. A first-level hit is done after one comparison; the rest runs under the
 * RCU read lock. What makes the fill safe against invalidations stands in space.h and iotlb.h; here
 * is the order that those rest on: generation before tag before walk_generation before the first
 * probe or read.
 */
#include "translate.h"
#include "context_vtd.h"
#include "tracepoints.h"

/* Requests whose answers the first level must not serve to plain ones. */
#define UNCACHED_FLAGS                                                                             \
    (CIOMMU_NO_CACHE | CIOMMU_IMPLIED_PASID | CIOMMU_TRANSLATED | CIOMMU_TRANSLATION_REQUEST)

/* The tables' word for one lookup. */
struct path {
    struct walker walker;
    const struct source *source; /* the host's devices of this source id, or NULL */
    uint64_t tablegen; /* loaded before `source`: what is published must rest on no older table */
    struct resolved resolved;
    struct space_shape uncached_shape; /* where the shape lies when no space could be had */
    const struct space_shape *shape;
};

enum ciommu_status ciommu_lookup_check(const struct lookup *lookup) {
    bool pasid_ok = lookup->pasid <= CIOMMU_PASID_MAX || lookup->pasid == CIOMMU_NO_PASID;
    bool kinds = (lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0 &&
                 (lookup->flags & CIOMMU_TRANSLATED) != 0;
    bool implied = (lookup->flags & CIOMMU_IMPLIED_PASID) != 0 && lookup->pasid == CIOMMU_NO_PASID;
    if (!pasid_ok || kinds || implied || lookup->source > 0xffff ||
        (lookup->access & ~ACCESS_ALL) != 0 || (lookup->flags & ~REQUEST_FLAGS_ALL) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    return CIOMMU_OK;
}

/* ---- Answers ---- */

static uint32_t request_kind(const struct lookup *lookup) {
    if ((lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0) {
        return CIOMMU_REQUEST_TRANSLATION;
    }
    return (lookup->flags & CIOMMU_TRANSLATED) != 0 ? CIOMMU_REQUEST_TRANSLATED
                                                    : CIOMMU_REQUEST_UNTRANSLATED;
}

static void answer_fault(struct ciommu_port *port, const struct lookup *lookup,
                         const struct walk_fault *fault, bool fault_disabled,
                         struct ciommu_result *out) {
    const struct fault_code *row = ciommu_fault_code(fault->code);
    bool suppressed = fault->code == 0 || (fault_disabled && row->qualified);
    bool completes = (lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0 && row->recoverable;
    out->outcome = CIOMMU_FAULT;
    out->address = 0;
    out->mask = 0;
    out->page_lg2 = 0;
    out->rights = 0;
    out->host = NULL;
    out->contiguous = 1;
    out->attributes = 0;
    out->token.unit = 0;
    out->fault = (struct ciommu_fault){
        .size = sizeof out->fault,
        .reason = fault->code == 0 ? (uint32_t)CIOMMU_FAULT_ABORTED : row->reason,
        .code = fault->code,
        .stage = fault->stage,
        .source = lookup->source,
        .pasid = (lookup->flags & CIOMMU_IMPLIED_PASID) != 0 ? CIOMMU_NO_PASID : lookup->pasid,
        .access = lookup->access,
        .found = fault->found,
        .flags = (suppressed ? CIOMMU_FAULT_SUPPRESSED : 0) |
                 (row->recoverable ? CIOMMU_FAULT_RECOVERABLE : 0),
        .level = fault->level,
        .address = lookup->iova,
        .entry_address = fault->entry_address,
        .request = request_kind(lookup),
    };
    const struct source *source = ciommu_source_find(&port->unit->devices, lookup->source);
    const struct ciommu_device *device =
        source == NULL ? NULL : ciommu_source_attribute(source, &out->fault);
    count_owned(&port->faults);
    bool probe = (lookup->access & ACCESS_RIGHTS) == 0;
    if (!suppressed && !completes && !probe && (lookup->flags & CIOMMU_NO_FAULT) == 0) {
        ciommu_faults_record(port, source, device, &out->fault);
    }
    tracepoint_fault(&out->fault);
}

static void answer_interrupt(const struct lookup *lookup, struct ciommu_result *out) {
    out->outcome = CIOMMU_INTERRUPT;
    out->address = lookup->iova;
    out->mask = 0xfff;
    out->page_lg2 = 12;
    out->rights = CIOMMU_WRITE;
    out->host = NULL;
    out->contiguous = INTERRUPT_LAST - lookup->iova + 1;
    out->attributes = 0;
    out->token.unit = 0;
}

static bool carries_pasid(const struct lookup *lookup) {
    return lookup->pasid != CIOMMU_NO_PASID && (lookup->flags & CIOMMU_IMPLIED_PASID) == 0;
}

static bool asks_ats(const struct lookup *lookup) {
    return (lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0;
}

/* A translation request for what an untranslated request would make a message. */
static bool asks_for_interrupts(const struct lookup *lookup) {
    return asks_ats(lookup) && !carries_pasid(lookup) && in_interrupt_range(lookup->iova);
}

/* The device gets no translation: its untranslated request is a message. The reasons stand with
 * CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY. */
static void answer_untranslated_only(const struct lookup *lookup, struct ciommu_result *out) {
    answer_interrupt(lookup, out);
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->attributes = CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY;
}

/* Requests to the interrupt range are messages unless a PASID or ATS makes them DMA. */
static bool meets_interrupts(const struct lookup *lookup) {
    bool ats = (lookup->flags & (CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED)) != 0;
    return !carries_pasid(lookup) && !ats;
}

/* Would a device that stores a page of this size use it for the interrupt range too? */
static bool hides_interrupts(const struct lookup *lookup, uint64_t mask) {
    uint64_t first = lookup->iova & ~mask;
    return asks_ats(lookup) && !carries_pasid(lookup) && first <= INTERRUPT_LAST &&
           first + mask >= INTERRUPT_FIRST;
}

/* Would a run from the looked-up address to `last` reach into the interrupt range from below? */
static bool turns_interrupt(const struct lookup *lookup, uint64_t last) {
    return lookup->iova < INTERRUPT_FIRST && last >= INTERRUPT_FIRST && meets_interrupts(lookup);
}

/* From a leaf to the answer: adds host memory, and how far both run on. */
static void answer_leaf(struct ciommu_port *port, const struct lookup *lookup,
                        const struct leaf *leaf, bool privileged, struct ciommu_result *out) {
    struct memory_window *window = &port->windows[1];
    uint64_t mask = (UINT64_C(1) << leaf->page_lg2) - 1;
    uint64_t address = leaf->address | (lookup->iova & mask);
    unsigned char *host = ciommu_memory_host(port->unit->memory, window, address);
    bool splits = leaf->address <= INTERRUPT_LAST && leaf->address + mask >= INTERRUPT_FIRST;
    uint32_t page_lg2 = leaf->page_lg2;
    if (hides_interrupts(lookup, mask)) {
        page_lg2 = 12;
        mask = 0xfff;
    }
    uint64_t last = lookup->iova | (host == NULL || splits ? 0xfff : mask);
    if (host != NULL && window->last - address < last - lookup->iova) {
        last = lookup->iova + (window->last - address);
    }
    if (turns_interrupt(lookup, last)) {
        last = INTERRUPT_FIRST - 1;
    }
    bool reachable = host != NULL && (lookup->access & CIOMMU_WRITE & ~window->rights) == 0;
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->address = address;
    out->mask = mask;
    out->page_lg2 = page_lg2;
    out->rights = privileged ? RIGHTS_PRIVILEGED(leaf->rights) : RIGHTS_USER(leaf->rights);
    out->host = reachable ? host : NULL;
    out->contiguous = last - lookup->iova + 1;
    out->attributes = leaf->attributes;
    out->token.unit = 0;
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

/* ---- First level ---- */

static bool first_level_answers(struct ciommu_port *port, const struct lookup *lookup,
                                struct ciommu_result *out) {
    struct ciommu_segment segment;
    if ((lookup->flags & ~CIOMMU_NO_FAULT) != 0 || (lookup->access & ACCESS_RIGHTS) == 0 ||
        !ciommu_first_level_lookup(port, lookup->source, lookup->pasid, lookup->iova,
                                   lookup->access, &segment)) {
        return false;
    }
    const struct ciommu_port_head *head = &port->head;
    uint64_t slot = ciommu_first_level_slot(lookup->iova >> 12,
                                            ciommu_requester(lookup->source, lookup->pasid));
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->address = segment.address;
    out->mask = (UINT64_C(1) << segment.page_lg2) - 1;
    out->page_lg2 = segment.page_lg2;
    out->rights = segment.rights;
    out->host = segment.host;
    out->contiguous = segment.length;
    out->attributes = head->first_level[slot & head->first_level_mask].attributes;
    out->token.unit = 0;
    return true;
}

/* Keeps an answer for the port. `rights` are those of the halves that the requester may use. */
static void first_level_fill(struct ciommu_port *port, const struct lookup *lookup,
                             const struct leaf *leaf, uint32_t rights, uint32_t space,
                             uint64_t generation, const struct ciommu_result *out) {
    struct ciommu_port_head *head = &port->head;
    if (port->unit->port_sizes.first_level == 0) {
        return;
    }
    uint64_t requester = ciommu_requester(lookup->source, lookup->pasid);
    uint64_t page = lookup->iova >> 12;
    const struct memory_window *window = &port->windows[1];
    bool backed = out->address - window->first <= window->last - window->first &&
                  window->first <= window->last;
    uint64_t base = out->address & ~UINT64_C(0xfff);
    struct ciommu_first_level_entry *entry =
        &head->first_level[ciommu_first_level_slot(page, requester) & head->first_level_mask];
    entry->page = page;
    entry->requester = requester;
    entry->epoch = head->epoch;
    entry->address = base;
    entry->host = backed ? window->host + (base - window->first) : NULL;
    entry->last = lookup->iova + (out->contiguous - 1);
    entry->generation = generation;
    entry->space = space;
    entry->rights = (uint8_t)rights;
    entry->page_lg2 = (uint8_t)leaf->page_lg2;
    entry->host_rights = backed ? (uint8_t)window->rights : 0;
    entry->attributes = (uint8_t)leaf->attributes;
}

/* ---- Binding ---- */

static bool is_alive(const struct resolved *resolved) {
    return load_acquire(&resolved->space->birth) ==
           resolved->birth; /* pairs with ciommu_spaces_release */
}

static struct binding_slot *binding_slot(struct ciommu_port *port, uint64_t requester) {
    return &port->bindings[(requester ^ requester >> 4 ^ requester >> 32) % BINDING_SLOTS];
}

static void remember_binding(struct ciommu_port *port, uint64_t requester,
                             const struct resolved *resolved) {
    struct binding_slot *slot = binding_slot(port, requester);
    slot->requester = requester;
    slot->resolved = *resolved;
}

/* What the port remembers of the requester. */
static bool port_binding(struct ciommu_port *port, uint64_t requester, struct resolved *out) {
    const struct binding_slot *slot = binding_slot(port, requester);
    if (slot->requester != requester || !is_alive(&slot->resolved)) {
        return false;
    }
    *out = slot->resolved;
    return true;
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

/* The PASID that the device's own translations are tagged with. */
static uint32_t tagged_pasid(const struct lookup *lookup) {
    return carries_pasid(lookup) ? lookup->pasid : CIOMMU_NO_PASID;
}

/* A device that did not drop what it was asked to drop (device_tlb.h). The counter is loaded inside
 * the section, which began after the last block that matters to it and so saw its ugen. */
static bool is_blocked_device(const struct ciommu_unit *unit, const struct lookup *lookup) {
    return unlikely(load_relaxed(&unit->tlbs_blocked) != 0) &&
           ciommu_device_tlb_blocks(&unit->tlbs, lookup->source, tagged_pasid(lookup));
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

static void answer_blocked(struct ciommu_port *port, const struct lookup *lookup, struct path *path,
                           struct ciommu_result *out) {
    const struct vtd_request request = {0, lookup->source, lookup->pasid, lookup->flags};
    (void)ciommu_vtd_resolve_blocked(port->unit, &request, &path->walker, &path->resolved);
    answer_fault(port, lookup, &path->walker.fault, path->resolved.fault_disabled, out);
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

static bool resolve(struct ciommu_port *port, const struct lookup *lookup, struct path *path) {
    const uint32_t special = CIOMMU_NO_CACHE | CIOMMU_IMPLIED_PASID | CIOMMU_TRANSLATED;
    bool cache = (lookup->flags & special) == 0;
    bool ats = asks_ats(lookup);
    uint64_t requester = ciommu_requester(lookup->source, lookup->pasid);
    if (!admits_ats(port->unit, lookup, path)) {
        return false;
    }
    if (cache && port_binding(port, requester, &path->resolved) &&
        (!ats || path->resolved.device_tlb)) {
        path->shape = &path->resolved.space->shape;
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

/* ---- What the binding allows ---- */

/* Settles privilege and execution; the fault code, or 0. */
static uint32_t admit(const struct ciommu_unit *unit, const struct lookup *lookup,
                      bool explicit_pasid, struct path *path) {
    struct walker *walker = &path->walker;
    const struct resolved *resolved = &path->resolved;
    walker->access = lookup->access & ACCESS_RIGHTS;
    /* Privilege and execution belong to the PASID prefix; without it privilege is RID_PRIV and
     * execution is a read. */
    walker->privileged =
        explicit_pasid ? (lookup->access & CIOMMU_PRIVILEGED) != 0 : resolved->privileged;
    bool execute = explicit_pasid && unit->caps.revision == CIOMMU_VTD_3 &&
                   path->shape->kind != SPACE_IDENTITY;
    if (walker->privileged && !resolved->supervisor_allowed) {
        return VTD_SUPERVISOR_DISABLED;
    }
    if ((walker->access & CIOMMU_EXECUTE) != 0) {
        if (execute && !resolved->execute_allowed) {
            return VTD_EXECUTE_DISABLED;
        }
        if (!execute) {
            walker->access = (walker->access & ~CIOMMU_EXECUTE) | CIOMMU_READ;
        }
    }
    return 0;
}

/* Pass-through, and translated requests: the output is the input. The fault code, or 0. */
static uint32_t pass_through(const struct ciommu_unit *unit, const struct lookup *lookup,
                             bool explicit_pasid, bool legacy, struct leaf *leaf) {
    if ((lookup->iova & unit->caps.high_mask) != 0) {
        return legacy ? VTD_INPUT_RANGE : VTD_PT_RANGE;
    }
    bool ats = (lookup->flags & (CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED)) != 0;
    if ((explicit_pasid || ats) && in_interrupt_range(lookup->iova)) {
        return legacy ? VTD_INTERRUPT_RESULT : VTD_SM_INTERRUPT_RESULT;
    }
    *leaf = (struct leaf){lookup->iova & ~UINT64_C(0xfff), RIGHTS_BOTH(CIOMMU_READ | CIOMMU_WRITE),
                          12, 0};
    return 0;
}

/* ---- IOTLB and walk ---- */

/* A probe needs no particular right, but an entry without any for its `half` (user or privileged)
 * denies, and denials are walked. */
static bool iotlb_answers(struct ciommu_port *port, const struct ciommu_space *space, uint32_t tag,
                          uint64_t iova, uint32_t needed, uint32_t half, struct leaf *leaf) {
    const struct iotlb *iotlb = &port->unit->iotlb;
    if (iotlb->entries == NULL || tag == 0) {
        return false;
    }
    uint64_t sizes = load_acquire(&space->sizes);
    while (sizes != 0) {
        uint32_t page_lg2 = (uint32_t)__builtin_ctzll(sizes);
        sizes &= sizes - 1;
        if (ciommu_iotlb_lookup(iotlb, tag, iova, page_lg2, needed, leaf) &&
            (leaf->rights & half) != 0) {
            /* Tags are finite: after a renewal this one may be another space's. */
            return load_acquire(&space->tag) == tag;
        }
    }
    return false;
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

/* Revision 4 has no execute right; an entry of this binding never grants what the binding forbids.
 */
static uint32_t usable_rights(const struct ciommu_unit *unit, const struct path *path,
                              bool explicit_pasid, uint32_t rights) {
    const struct resolved *resolved = &path->resolved;
    bool execute = unit->caps.revision == CIOMMU_VTD_3 && resolved->execute_allowed &&
                   explicit_pasid && path->shape->kind != SPACE_IDENTITY;
    rights &= execute ? 63u : (uint32_t)~RIGHTS_BOTH(CIOMMU_EXECUTE) & 63u;
    if (!explicit_pasid) {
        uint32_t own = resolved->privileged ? RIGHTS_PRIVILEGED(rights) : RIGHTS_USER(rights);
        return RIGHTS_BOTH(own);
    }
    return resolved->supervisor_allowed ? rights : RIGHTS_USER(rights);
}

/* Finds the leaf of a paged space, in the IOTLB or by walking. False: walker->fault. `*generation`
 * is what the leaf was found under. */
static bool find_leaf(struct ciommu_port *port, const struct lookup *lookup, struct path *path,
                      uint64_t *generation, struct leaf *leaf) {
    struct walker *walker = &path->walker;
    struct ciommu_space *space = path->resolved.space;
    uint32_t tag = 0;
    walker->shape = path->shape;
    walker->complete = true; /* what the IOTLB holds is */
    if (space != NULL) {
        yield_point(CIOMMU_YIELD_RESOLVED);
        *generation = load_acquire(&space->generation);
        yield_point(CIOMMU_YIELD_GENERATION_READ);
        tag = load_acquire(&space->tag);
        walker->walk_generation = load_acquire(&space->walk_generation);
        walker->parent_walk_generation =
            space->parent == NULL ? 0 : load_acquire(&space->parent->walk_generation);
        /* Retired meanwhile: the generation may be the one that its retirement left, which no
         * invalidation will ever move. Nothing of this answer may be kept. */
        if (!is_alive(&path->resolved) && !MUTANT(ALIVE_ONCE)) {
            path->resolved.space = space = NULL;
        }
    }
    if (space != NULL && !is_input(path->shape, lookup->iova)) {
        path->resolved.space = space = NULL; /* a fault, whatever the IOTLB holds */
    }
    if (space != NULL) {
        walker->space = space;
        walker->parent = space->parent;
        uint32_t shift = walker->privileged ? 3 : 0;
        uint32_t needed = walker->access << shift;
        if (iotlb_answers(port, space, tag, lookup->iova, needed, 7u << shift, leaf)) {
            count_owned(&port->iotlb_hits);
            leaf->attributes |= path->resolved.attributes;
            return true;
        }
    }
    count_owned(&port->page_walks);
    bool found = format_of(path->shape)->walk(walker, lookup->iova, leaf);
    tracepoint_walk(port->id, path->shape->domain, lookup->iova, found ? leaf->page_lg2 : 0);
    yield_point(CIOMMU_YIELD_WALKED);
    if (!found) {
        return false;
    }
    if (space != NULL && MUTANT(LATE_GENERATION)) {
        *generation = load_acquire(&space->generation);
        tag = load_acquire(&space->tag);
    }
    if (space != NULL && walker->complete) {
        iotlb_fill(port, space, tag, *generation, lookup->iova, leaf);
    }
    leaf->attributes |= path->resolved.attributes;
    return true;
}

static void answer_translated(struct ciommu_port *port, const struct lookup *lookup,
                              struct path *path, bool explicit_pasid, bool cache,
                              struct ciommu_result *out) {
    struct walker *walker = &path->walker;
    struct leaf leaf;
    uint64_t generation = load_acquire(&port->unit->spaces.pool[0].generation);
    uint32_t index = 0;
    if (path->shape->kind == SPACE_IDENTITY) {
        uint32_t code =
            pass_through(port->unit, lookup, explicit_pasid, path->resolved.legacy, &leaf);
        walker->complete = true;
        if (code != 0) {
            walker->fault = (struct walk_fault){.code = code, .level = CIOMMU_NO_LEVEL};
            answer_fault(port, lookup, &walker->fault, path->resolved.fault_disabled, out);
            return;
        }
        leaf.attributes |= path->resolved.attributes;
    } else if (!find_leaf(port, lookup, path, &generation, &leaf)) {
        answer_fault(port, lookup, &walker->fault, path->resolved.fault_disabled, out);
        return;
    }
    if (path->resolved.space != NULL) {
        index = path->resolved.space->index;
    }
    leaf.rights = usable_rights(port->unit, path, explicit_pasid, leaf.rights);
    answer_leaf(port, lookup, &leaf, walker->privileged, out);
    if (cache && path->resolved.space != NULL && walker->complete) {
        first_level_fill(port, lookup, &leaf, leaf.rights, index, generation, out);
    }
    if (asks_ats(lookup)) {
        give_token(port, path->resolved.space, generation, out);
    }
}

/* Translation is disabled: everything passes, nothing is checked. */
static void answer_disabled(struct ciommu_port *port, const struct lookup *lookup,
                            struct ciommu_result *out) {
    struct leaf leaf = {lookup->iova & ~UINT64_C(0xfff), RIGHTS_BOTH(CIOMMU_READ | CIOMMU_WRITE),
                        12, 0};
    answer_leaf(port, lookup, &leaf, false, out);
    if (asks_ats(lookup)) {
        out->attributes |= CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY;
    }
    if ((lookup->flags & UNCACHED_FLAGS) == 0) {
        uint64_t generation = load_acquire(&port->unit->spaces.pool[0].generation);
        first_level_fill(port, lookup, &leaf, leaf.rights, 0, generation, out);
    }
}

/* Everything past the first level. */
static void answer_slowly(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out) {
    struct ciommu_unit *unit = port->unit;
    bool explicit_pasid = carries_pasid(lookup);
    count_owned(&port->lookups_slow);
    tracepoint_miss(port->id, lookup->source, lookup->pasid, lookup->iova, lookup->access);
    if (in_interrupt_range(lookup->iova) && meets_interrupts(lookup)) {
        answer_interrupt(lookup, out);
        return;
    }
    struct path path;
    path.walker = (struct walker){
        .port = port,
        .memory = unit->memory,
        .update = (lookup->flags & CIOMMU_NO_AD) == 0 && (lookup->access & ACCESS_RIGHTS) != 0,
        .trace = lookup->trace,
    };
    ciommu_rcu_lock();
    path.tablegen = load_seq_cst(&unit->tablegen);
    path.source = ciommu_source_find(&unit->devices, lookup->source);
    if (is_blocked_device(unit, lookup)) {
        answer_blocked(port, lookup, &path, out);
    } else if (path.source == NULL && load_seq_cst(&unit->enabled) == 0) {
        if (asks_for_interrupts(lookup)) {
            answer_untranslated_only(lookup, out);
        } else {
            answer_disabled(port, lookup, out);
        }
    } else if (!resolve(port, lookup, &path)) {
        answer_fault(port, lookup, &path.walker.fault, path.resolved.fault_disabled, out);
    } else if (asks_for_interrupts(lookup)) {
        answer_untranslated_only(lookup, out);
    } else {
        uint32_t code = admit(unit, lookup, explicit_pasid, &path);
        if (code != 0) {
            struct walk_fault fault = {.code = code, .level = CIOMMU_NO_LEVEL};
            answer_fault(port, lookup, &fault, path.resolved.fault_disabled, out);
        } else {
            answer_translated(port, lookup, &path, explicit_pasid,
                              (lookup->flags & UNCACHED_FLAGS) == 0, out);
        }
    }
    ciommu_rcu_unlock();
}

void ciommu_lookup_answer(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out) {
    if (!first_level_answers(port, lookup, out)) {
        answer_slowly(port, lookup, out);
    }
}

/* ---- Entry points for single addresses ---- */

static enum ciommu_status translate_one(struct ciommu_unit *unit, struct ciommu_port *port,
                                        const struct lookup *lookup, struct ciommu_result *out) {
    enum ciommu_status status = ciommu_lookup_check(lookup);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_port *used = port != NULL ? port : ciommu_port_borrow(unit);
    if (used == NULL) {
        return CIOMMU_NO_PORT;
    }
    struct lookup asked = *lookup;
    if (port == NULL && !faults_have_queues(&unit->faults)) {
        asked.flags |= CIOMMU_NO_FAULT; /* nobody takes faults from a borrowed port; the caller has
                                           this one in hand */
    }
    bool inside = port_is_inside(used);
    ciommu_port_enter(used);
    ciommu_lookup_answer(used, &asked, out);
    ciommu_port_leave(used);
    if (!inside) {
        out->host = NULL; /* address-only: no section keeps it valid */
    }
    if (port == NULL) {
        ciommu_port_give_back(used);
    }
    return CIOMMU_OK;
}

enum ciommu_status ciommu_translate(struct ciommu_unit *unit, struct ciommu_port *port,
                                    uint32_t source, uint32_t pasid, uint64_t iova, uint32_t access,
                                    uint32_t flags, struct ciommu_result *out) {
    if (unit == NULL || out == NULL || out->size < sizeof *out ||
        (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct lookup lookup = {source, pasid, iova, access, flags, NULL};
    return translate_one(unit, port, &lookup, out);
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
    ciommu_port_enter(port);
    for (; index < count; index++) {
        const struct ciommu_request *request = &requests[index];
        struct lookup lookup = {request->source, request->pasid, request->iova,
                                request->access, request->flags, NULL};
        status = results[index].size < sizeof results[index] ? CIOMMU_INVALID_ARGUMENT
                                                             : ciommu_lookup_check(&lookup);
        if (status != CIOMMU_OK) {
            break;
        }
        ciommu_lookup_answer(port, &lookup, &results[index]);
        if (!inside) {
            results[index].host = NULL;
        }
    }
    ciommu_port_leave(port);
    if (done != NULL) {
        *done = index;
    }
    return status;
}

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
