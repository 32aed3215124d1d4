/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * short_way.h - what nearly every request meets: the first level; then a binding that the port
 * remembers, a leaf from a known leaf table, the IOTLB or a quick walk, and the answer. All of it
 * is inlined into the entry points for one address (translate.c) and for many (translate_many.c).
 * What does not fit here is answered by ciommu_answer_miss, from the beginning.
 *
 * The first level is asked inside a section, the rest inside a section and under the RCU read
 * lock. What makes the fills safe against invalidations stands in space.h and iotlb.h; here is the
 * order that those rest on: generation before tag before walk_generation before the first probe or
 * read (way_open).
 *
 * Neither the device table, nor `enabled`, nor who is blocked is looked at: whoever changes them
 * moves tablegen and then ugen, and nothing is remembered of who is blocked (translate.c), so a
 * section that began after the change has forgotten the binding (port.h), and one that began before
 * may keep to it. The RCU lock keeps the shape, host-made tables and the memory map; the counters
 * of a space lie in a pool that is never freed.
 */
#ifndef CIOMMU_SHORT_WAY_H
#define CIOMMU_SHORT_WAY_H

#include "quick_walk.h"
#include "resolve.h"

/* Below, `stays` says that the section goes on after the call, so that the host pointer is of use.
 */

/* ---- First level ---- */

/* May the first level answer such a request, and is it one whose fields need no further check
 * once the first level knows its source id and PASID? */
static always_inline bool asks_first_level(uint32_t access, uint32_t flags) {
    return ((flags & ~CIOMMU_NO_FAULT) | (access & ~ACCESS_ALL)) == 0 &&
           (access & ACCESS_RIGHTS) != 0;
}

static always_inline void answer_hit(const struct ciommu_first_level_entry *entry, uint64_t iova,
                                     uint32_t access, bool stays, struct ciommu_result *out) {
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->address = entry->address + (iova & 0xfff);
    out->mask = (UINT64_C(1) << entry->page_lg2) - 1;
    out->page_lg2 = entry->page_lg2;
    out->rights = ciommu_first_level_rights(entry, access);
    out->host = stays ? ciommu_first_level_host(entry, iova, access) : NULL;
    out->contiguous = entry->last - iova + 1;
    out->attributes = entry->attributes;
}

/* Host memory of an answer's address. */
struct backing {
    unsigned char *host; /* NULL = none */
    uint32_t rights;     /* 0 = none */
};

/* Where the port keeps answers for the page of `iova`. */
static always_inline struct ciommu_first_level_entry *
first_level_slot(struct ciommu_port *port, uint64_t requester, uint64_t iova) {
    return ciommu_first_level_place(&port->head, iova >> 12, ciommu_first_level_salt(requester));
}

/* Keeps an answer for the port. `rights` are those of the halves that the requester may use. */
static always_inline void
first_level_fill(struct ciommu_port *port, struct ciommu_first_level_entry *entry,
                 uint64_t requester, uint64_t iova, uint32_t rights, uint32_t space,
                 uint64_t generation, struct backing backing, const struct ciommu_result *out) {
    if (port->unit->port_sizes.first_level == 0) {
        return;
    }
    uint64_t offset = iova & 0xfff;
    entry->page = iova >> 12;
    entry->requester = requester;
    entry->epoch = port->head.epoch;
    entry->address = out->address - offset;
    entry->host = (unsigned char *)((uintptr_t)backing.host - offset);
    entry->last = iova + (out->contiguous - 1);
    entry->generation = MUTANT(FILL_STAMPED_LATE)
                            ? load_acquire(&port->unit->spaces.pool[space].generation)
                            : generation;
    entry->space = space;
    entry->rights = (uint8_t)rights;
    entry->page_lg2 = (uint8_t)out->page_lg2;
    entry->host_rights = (uint8_t)backing.rights;
    entry->attributes = (uint8_t)out->attributes;
}

/* ---- The binding ---- */

/* Reads and writes of user privilege without special flags. */
static always_inline bool is_plain(uint32_t access, uint32_t flags) {
    return ((flags & ~CIOMMU_NO_FAULT) | (access & ~(CIOMMU_READ | CIOMMU_WRITE))) == 0 &&
           access != 0;
}

/* What a mutant loads before the generation. */
static always_inline uint64_t early_walk_generation(const struct ciommu_space *space, bool wanted) {
    return wanted && space != NULL ? load_acquire(&space->walk_generation) : 0;
}

/* Loads what stands between a binding and its leaves. */
static always_inline void way_load(const struct grant *grant, struct way *way) {
    struct ciommu_space *space = grant->space;
    const uint64_t walk_early = early_walk_generation(space, MUTANT(WALKGEN_EARLY));
    const uint64_t parent_early =
        early_walk_generation(space->parent, MUTANT(PARENT_WALKGEN_EARLY));
    yield_point(CIOMMU_YIELD_RESOLVED);
    way->grant = grant;
    way->generation = load_acquire(&space->generation);
    yield_point(CIOMMU_YIELD_GENERATION_READ);
    way->tag = load_acquire(&space->tag);
    way->walk_generation = load_acquire(&space->walk_generation);
    way->parent_walk_generation =
        space->parent == NULL ? 0 : load_acquire(&space->parent->walk_generation);
    if (MUTANT(WALKGEN_EARLY)) {
        way->walk_generation = walk_early;
    } else if (MUTANT(PARENT_WALKGEN_EARLY)) {
        way->parent_walk_generation = parent_early;
    }
    /* Retired meanwhile: the generation may be the one that its retirement left, which no
     * invalidation will ever move. Nothing of this answer may be kept. */
    bool alive = load_acquire(&space->birth) == grant->birth || MUTANT(ALIVE_ONCE);
    way->space = likely(alive) ? space : NULL;
}

/* The requester's way, if the port remembers its binding. False: the short way ends. */
static always_inline bool way_open(struct ciommu_port *port, uint64_t requester, struct way *way) {
    const struct binding_slot *slot = port_binding(port, requester);
    if (unlikely(slot == NULL || !slot->grant.short_way)) {
        return false;
    }
    way_load(&slot->grant, way);
    return way->space != NULL;
}

/* Is the address one that the binding translates, and no message? */
static always_inline bool way_leads_to(const struct way *way, uint64_t iova) {
    const struct grant *grant = way->grant;
    bool inside = ((iova + grant->bias) & grant->outside) == 0 || MUTANT(SHORT_WAY_WIDTH);
    return likely(inside && (!in_interrupt_range(iova) || MUTANT(SHORT_WAY_INTERRUPTS)));
}

/* ---- The leaf ---- */

/* The sizes that a space uses besides its smallest; the leaf packed (leaf.h), 0 = none. What is not
 * inlined gives a word, so that a leaf stays in registers. */
uint64_t ciommu_iotlb_larger(const struct iotlb *iotlb, uint32_t tag, uint64_t sizes, uint64_t iova,
                             uint32_t needed);

/* The leaf that the IOTLB keeps, with the `needed` rights, or none. */
static always_inline struct leaf iotlb_leaf(struct ciommu_port *port, const struct way *way,
                                            uint64_t iova, uint32_t needed) {
    const struct iotlb *iotlb = &port->unit->iotlb;
    uint64_t sizes = page_sizes(load_acquire(&way->space->sizes));
    if (iotlb->entries == NULL || way->tag == 0 || sizes == 0) {
        return NO_LEAF;
    }
    yield_point(CIOMMU_YIELD_PROBING);
    uint32_t tag = (uint32_t)way->tag;
    struct leaf leaf = iotlb_lookup(iotlb, tag, iova, (uint32_t)__builtin_ctzll(sizes), needed);
    sizes &= sizes - 1;
    if (!leaf_exists(leaf) && sizes != 0) {
        leaf = leaf_unpack(ciommu_iotlb_larger(iotlb, tag, sizes, iova, needed));
    }
    /* Tags are finite: after a renewal this one may be another space's. The whole word is compared,
     * which never repeats. */
    bool same = load_acquire(&way->space->tag) == way->tag || MUTANT(TAG_UNCHECKED);
    return likely(same) ? leaf : NO_LEAF;
}

/* Keeps a leaf that was walked under way->generation in the IOTLB, where there is one. */
void ciommu_iotlb_fill(struct ciommu_port *port, const struct way *way, uint64_t iova,
                       struct leaf leaf);

/* After a walk: what a mutant loads late. */
static always_inline void way_walked(struct way *way) {
    yield_point(CIOMMU_YIELD_WALKED);
    if (MUTANT(LATE_GENERATION)) {
        way->generation = load_acquire(&way->space->generation);
        way->tag = load_acquire(&way->space->tag);
    }
}

static always_inline struct quick_stage quick_stage_of(struct ciommu_port *port,
                                                       const struct way *way, enum quick_kind kind,
                                                       uint32_t access) {
    const struct space_shape *shape = way->grant->shape;
    const struct stage_shape *stage = kind == QUICK_SECOND ? &shape->second : &shape->first;
    return quick_stage(port, stage, kind, way->space, way->walk_generation, access);
}

/* Meaningful for nested spaces. */
static always_inline struct quick_parent quick_parent_of(const struct way *way) {
    return (struct quick_parent){&way->grant->shape->second, way->space->parent,
                                 way->parent_walk_generation};
}

/* May leaf tables in the walk cache be read? A nested space has two of them to find; the IOTLB
 * knows the end of both at once and is asked instead where there is one. */
static always_inline bool reads_known_tables(const struct ciommu_port *port,
                                             const struct grant *grant) {
    return grant->quick && port->walks != NULL &&
           (grant->tables_first || port->unit->iotlb.entries == NULL);
}

/* The leaf table of an address if the walk cache knows it, with what was granted above it. */
static always_inline const struct walk_entry *known_leaf_table(const struct ciommu_port *port,
                                                               const struct way *way, uint64_t iova,
                                                               uint32_t access) {
    return known_table(port, way->space, way->walk_generation, iova, access | CIOMMU_READ, 0);
}

/* The leaf of an address in its known leaf table, or none. */
static always_inline struct leaf leaf_in_table(const struct quick_stage *walk, enum quick_kind kind,
                                               const struct quick_parent *parent, struct way *way,
                                               const unsigned char *table, uint32_t rights,
                                               uint64_t iova) {
    uint64_t entry = quick_load(table, iova, 0);
    struct leaf leaf = quick_leaf(walk, kind, entry, 0, UINT64_MAX, rights);
    leaf = quick_finish(walk, kind, parent, iova, leaf);
    way_walked(way);
    return leaf;
}

/* The leaf if its table is known, or none. */
static always_inline struct leaf known_leaf(struct ciommu_port *port, struct way *way,
                                            enum quick_kind kind, uint64_t iova, uint32_t access) {
    const struct walk_entry *known = known_leaf_table(port, way, iova, access);
    if (unlikely(known == NULL)) {
        return NO_LEAF;
    }
    const struct quick_stage walk = quick_stage_of(port, way, kind, access);
    const struct quick_parent parent = quick_parent_of(way);
    return leaf_in_table(&walk, kind, &parent, way, known->host, known->rights, iova);
}

/* Where the output is the input. */
static always_inline struct leaf leaf_of_itself(uint64_t iova) {
    return (struct leaf){.address = iova & ~UINT64_C(0xfff),
                         .rights = RIGHTS_BOTH(CIOMMU_READ | CIOMMU_WRITE),
                         .page_lg2 = 12};
}

/* A quick walk from the deepest known table. The leaf, packed, which the IOTLB keeps, or 0. */
uint64_t ciommu_walk_quickly(struct ciommu_port *port, struct way *way, uint64_t iova,
                             uint32_t access);

/* The leaf of a plain request, or none: then the request goes the long way. */
static always_inline struct leaf way_leaf(struct ciommu_port *port, struct way *way, uint64_t iova,
                                          uint32_t access) {
    const struct grant *grant = way->grant;
    if (grant->passes) {
        return leaf_of_itself(iova);
    }
    if (grant->tables_first && grant->quick && port->walks != NULL) {
        struct leaf leaf = grant->shape->kind == SPACE_SECOND
                               ? known_leaf(port, way, QUICK_SECOND, iova, access)
                               : known_leaf(port, way, QUICK_FIRST, iova, access);
        if (likely(leaf_exists(leaf))) {
            count_owned(&port->page_walks);
            return leaf;
        }
    }
    struct leaf leaf = iotlb_leaf(port, way, iova, access << grant->shift);
    if (likely(leaf_exists(leaf))) {
        count_owned(&port->iotlb_hits);
        return leaf;
    }
    return grant->quick ? leaf_unpack(ciommu_walk_quickly(port, way, iova, access)) : NO_LEAF;
}

/* ---- The answer ---- */

static always_inline bool covers_interrupts(uint64_t first, uint64_t mask) {
    return first <= INTERRUPT_LAST && first + mask >= INTERRUPT_FIRST;
}

/* How the interrupt range cuts an answer. */
struct cuts {
    bool run;  /* a run of untranslated requests without PASID ends below it */
    bool page; /* what a device stores of a page must not cover it */
};

/* From a leaf to the answer, but its rights: adds host memory, and how far both run on. Memory is
 * registered in pages, and no page of 4 KiB lies partly in the interrupt range; larger ones can end
 * early for either reason. */
static always_inline struct backing answer_leaf(struct ciommu_port *port, uint64_t iova,
                                                uint32_t access, struct leaf leaf, struct cuts cuts,
                                                bool stays, struct ciommu_result *out) {
    struct memory_window *window = &port->windows[1];
    uint64_t mask = leaf_mask(leaf);
    uint32_t page_lg2 = leaf.page_lg2;
    uint64_t address = leaf.address | (iova & mask);
    struct backing backing = {ciommu_memory_host(port->unit->memory, window, address), 0};
    backing.rights = likely(backing.host != NULL) ? window->rights : 0;
    uint64_t more = ~iova & 0xfff;
    if (unlikely(page_lg2 != 12)) {
        bool splits = covers_interrupts(leaf.address, mask);
        if (cuts.page && covers_interrupts(iova & ~mask, mask)) {
            page_lg2 = 12;
            mask = 0xfff;
        }
        more = backing.host == NULL || splits ? more : ~iova & mask;
        uint64_t backed =
            backing.host == NULL ? more : window->length - 1 - (address - window->first);
        more = backed < more ? backed : more;
        if (cuts.run && iova < INTERRUPT_FIRST && iova + more >= INTERRUPT_FIRST) {
            more = INTERRUPT_FIRST - 1 - iova;
        }
    }

    out->outcome = CIOMMU_TRANSLATED_OK;
    out->address = address;
    out->mask = mask;
    out->page_lg2 = page_lg2;
    out->host = stays && (access & CIOMMU_WRITE & ~backing.rights) == 0 ? backing.host : NULL;
    out->contiguous = more + 1;
    out->attributes = leaf.attributes;
    return backing;
}

/* Answers with a leaf of the way, and keeps the answer for the port. */
static always_inline void answer_found(struct ciommu_port *port, const struct way *way,
                                       struct ciommu_first_level_entry *slot, uint64_t requester,
                                       uint64_t iova, uint32_t access, struct leaf leaf, bool stays,
                                       struct ciommu_result *out) {
    const struct grant *grant = way->grant;
    const struct cuts cuts = {.run = !grant->explicit_pasid};
    yield_point(CIOMMU_YIELD_ANSWERING);
    leaf.attributes |= grant->attributes;
    leaf.rights &= MUTANT(SHORT_WAY_USABLE) ? UINT32_MAX : grant->usable;
    uint32_t own = leaf.rights >> grant->shift & ACCESS_RIGHTS;
    struct backing backing = answer_leaf(port, iova, access, leaf, cuts, stays, out);
    out->rights = own;
    first_level_fill(port, slot, requester, iova,
                     grant->explicit_pasid ? leaf.rights : RIGHTS_BOTH(own), way->space->index,
                     way->generation, backing, out);
}

/* The short way past the first level. False: nothing is answered. */
static always_inline bool answer_shortly(struct ciommu_port *port, uint64_t requester,
                                         uint64_t iova, uint32_t access, uint32_t flags,
                                         struct ciommu_result *out) {
    struct way way;
    if (unlikely(!is_plain(access, flags) || !way_open(port, requester, &way) ||
                 !way_leads_to(&way, iova))) {
        return false;
    }
    struct leaf leaf = way_leaf(port, &way, iova, access);
    if (unlikely(!leaf_exists(leaf))) {
        return false;
    }
    answer_found(port, &way, first_level_slot(port, requester, iova), requester, iova, access, leaf,
                 true, out);
    return true;
}

/* Everything past the first level: the short way, or the long one. */
void ciommu_answer_miss(struct ciommu_port *port, const struct lookup *lookup,
                        struct ciommu_result *out);

/* The long way alone. */
void ciommu_answer_slowly(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out);

#endif
