/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * quick_walk.h - walks that meet nothing unusual: every entry is present, grants the access, has
 * its accessed and dirty bits, no reserved bit, and lies in registered memory. Whatever else they
 * meet they give up, change nothing and decide nothing: the walk of walk.h then begins at the top
 * and judges. So no fault is found here, and nothing is wrong if this gives up too often.
 *
 * The rules about the guest's changes are those of walk.h: every entry is loaded once and judged
 * from that value, and a walk has at most five levels a stage. A walk can be made step by step, so
 * that several of them wait for memory together.
 *
 * Both formats have W in bit 1, and a leaf above the lowest level is marked by bit 7.
 */
#ifndef CIOMMU_QUICK_WALK_H
#define CIOMMU_QUICK_WALK_H

#include "leaf.h"
#include "unit.h"
#include "walk.h"

#define QUICK_WRITE 2u

/* Which tables; constant at every call, so that all of it is inlined. */
enum quick_kind { QUICK_SECOND, QUICK_FIRST, QUICK_NESTED };

#define QUICK_EXECUTE_DISABLE (UINT64_C(1) << 63)

/* A walk under way: the table whose entry is read next. */
struct quick {
    uint64_t input;
    const unsigned char *table;
    uint64_t entry;   /* where the way down ended above the lowest level; 0 = at no leaf */
    uint64_t granted; /* AND of the entries so far; of XD, where it is absent (first stage) */
    uint32_t rights;  /* granted above the first table */
    uint32_t level;
};

/* What the walk of one stage needs besides its position. */
struct quick_stage {
    struct ciommu_port *port;
    const struct stage_shape *stage;
    const struct ciommu_space *space; /* whose walk-cache entries are used */
    uint64_t walk_generation;         /* of it, read before the walk */
    uint32_t access;                  /* READ, WRITE, or both */
    bool remembers;                   /* there is a walk cache */
    uint32_t always;                  /* rights that every entry grants which has the wanted bits */
    uint64_t wanted;                  /* bits that every entry must have */
    uint64_t wanted_leaf;             /* the same of a leaf */
};

/* What a nested walk needs of its second stage. */
struct quick_parent {
    const struct stage_shape *stage;
    const struct ciommu_space *space;
    uint64_t walk_generation;
};

static always_inline struct quick_stage
quick_stage(struct ciommu_port *port, const struct stage_shape *stage, enum quick_kind kind,
            const struct ciommu_space *space, uint64_t walk_generation, uint32_t access) {
    uint64_t read = kind == QUICK_SECOND ? UINT64_C(1) : UINT64_C(5); /* R; P and U/S */
    uint64_t accessed = MUTANT(QUICK_WITHOUT_A) ? 0 : stage->accessed;
    uint64_t wanted = read | accessed | (access & CIOMMU_WRITE);
    /* X follows R where its bit does not count. Where writes are not protected, W is the
     * privileged half's. */
    uint32_t always = kind == QUICK_SECOND ? RIGHTS_BOTH(stage->execute ? 0u : CIOMMU_EXECUTE)
                                           : RIGHTS_BOTH(CIOMMU_READ | CIOMMU_EXECUTE) |
                                                 (stage->write_protect ? 0u : CIOMMU_WRITE << 3);
    return (struct quick_stage){
        .port = port,
        .stage = stage,
        .space = space,
        .walk_generation = walk_generation,
        .access = access,
        .remembers = port->walks != NULL,
        .always = always,
        .wanted = wanted,
        .wanted_leaf =
            wanted | ((access & CIOMMU_WRITE) != 0 && !MUTANT(QUICK_WITHOUT_D) ? stage->dirty : 0),
    };
}

/* What an entry adds to `granted`. */
static always_inline uint64_t quick_grants(enum quick_kind kind, uint64_t entry) {
    return kind == QUICK_SECOND ? entry : entry ^ QUICK_EXECUTE_DISABLE;
}

/* The rights of entries which have the wanted bits. */
static always_inline uint32_t quick_rights(const struct quick_stage *walk, enum quick_kind kind,
                                           uint64_t granted) {
    if (kind == QUICK_SECOND) {
        return RIGHTS_BOTH((uint32_t)granted & 7) | walk->always;
    }
    uint32_t rights = RIGHTS_BOTH((uint32_t)granted & QUICK_WRITE) | walk->always;
    bool denied = walk->stage->execute_disable && (granted & QUICK_EXECUTE_DISABLE) == 0;
    return unlikely(denied) ? rights & ~(uint32_t)RIGHTS_BOTH(CIOMMU_EXECUTE) : rights;
}

static always_inline uint64_t quick_load(const unsigned char *table, uint64_t input,
                                         uint32_t level) {
    return load_guest((const uint64_t *)(const void *)(table + entry_offset(input, level)));
}

/* The leaf that an entry makes below what was `granted` and the `rights` above that, or none. */
static always_inline struct leaf quick_leaf(const struct quick_stage *walk, enum quick_kind kind,
                                            uint64_t entry, uint32_t level, uint64_t granted,
                                            uint32_t rights) {
    const struct stage_shape *stage = walk->stage;
    uint64_t wanted = walk->wanted_leaf;
    uint64_t refused =
        MUTANT(QUICK_RESERVED) ? 0 : stage->reserved_leaf[level] | stage->address_fault;
    if (unlikely((entry & (wanted | refused)) != wanted)) {
        return NO_LEAF;
    }
    rights &=
        quick_rights(walk, kind, granted & quick_grants(kind, entry)) |
        (MUTANT(QUICK_UPPER_RIGHTS) ? quick_rights(walk, kind, quick_grants(kind, entry)) : 0);
    if ((stage->dirty & ~entry) != 0 && !MUTANT(RIGHTS_WITHOUT_D)) {
        rights &= ~(uint32_t)RIGHTS_BOTH(CIOMMU_WRITE);
    }
    if (kind != QUICK_SECOND && unlikely(stage->supervisor_execute_protect)) {
        rights &= ~(uint32_t)(CIOMMU_EXECUTE << 3);
    }
    uint32_t page_lg2 = level_shift(level);
    return (struct leaf){
        .address = entry & stage->address_mask & ~((UINT64_C(1) << page_lg2) - 1),
        .rights = rights,
        .page_lg2 = page_lg2,
        .attributes = (entry & stage->snoop) != 0 ? CIOMMU_ATTRIBUTE_SNOOP : 0,
    };
}

/* Host memory of a table whose output address is known, or NULL. */
static always_inline unsigned char *quick_host(const struct quick_stage *walk, uint64_t address) {
    return ciommu_memory_host(walk->port->unit->memory, &walk->port->windows[0], address);
}

/* The leaf of `input` in the second stage, or none; no rule about the interrupt
 * range. Not inlined: a nested walk asks for up to six. */
struct leaf ciommu_quick_second(struct ciommu_port *port, const struct quick_parent *parent,
                                uint64_t input, uint32_t access);

/* Where `guest` lies, as the second stage says; its leaf, or none. */
static always_inline struct leaf quick_output(const struct quick_stage *walk,
                                              const struct quick_parent *parent, uint64_t guest,
                                              uint32_t access) {
    if (unlikely(guest > parent->stage->input_last)) {
        return NO_LEAF;
    }
    return ciommu_quick_second(walk->port, parent, guest, access);
}

/* Opens the table that `address` names; NULL = give up. Its output address, where the walk cache
 * keeps it, goes into `*output`. */
static always_inline const unsigned char *quick_open(const struct quick_stage *walk,
                                                     enum quick_kind kind,
                                                     const struct quick_parent *parent,
                                                     uint64_t address, uint64_t *output) {
    *output = address;
    if (kind == QUICK_SECOND && walk->stage->host_tables) {
        return (const unsigned char *)(uintptr_t)address; /* alive under the RCU read lock */
    }
    if (kind == QUICK_NESTED) {
        struct leaf leaf = quick_output(walk, parent, address, CIOMMU_READ);
        if (unlikely(!leaf_exists(leaf))) {
            return NULL;
        }
        *output = leaf_output(leaf, address);
    }
    return quick_host(walk, *output);
}

/* Finds the deepest table in the walk cache that leads to `input`, or the root. False: give up. */
static always_inline bool quick_begin(const struct quick_stage *walk, enum quick_kind kind,
                                      const struct quick_parent *parent, uint64_t input,
                                      struct quick *quick) {
    quick->input = input;
    quick->granted = UINT64_MAX;
    if (walk->remembers) {
        for (uint32_t level = 0; level < 2; level++) {
            const struct walk_entry *known =
                known_table(walk->port, walk->space, walk->walk_generation, input,
                            walk->access | CIOMMU_READ, level);
            if (known != NULL) {
                quick->table = known->host;
                quick->level = level;
                quick->rights = known->rights;
                return true;
            }
        }
    }
    uint64_t output;
    quick->level = walk->stage->levels - 1u;
    quick->rights = RIGHTS_ALL;
    quick->table = quick_open(walk, kind, parent, walk->stage->roots[0], &output);
    return quick->table != NULL;
}

/* Keeps the table that the walk has come to, whose output address is `output`. */
static always_inline void quick_remember(const struct quick_stage *walk, enum quick_kind kind,
                                         const struct quick *quick, uint64_t guest,
                                         uint64_t output) {
    bool host_tables = kind == QUICK_SECOND && walk->stage->host_tables;
    const struct table table = {
        .host = (unsigned char *)(uintptr_t)quick->table,
        .address = output,
        .guest = guest,
        .host_rights = host_tables ? CIOMMU_READ | CIOMMU_WRITE : walk->port->windows[0].rights,
    };
    remember_table(walk->port, walk->space, walk->walk_generation, quick->input, &table,
                   quick->level, quick->rights & quick_rights(walk, kind, quick->granted));
}

/* Goes from a table above the lowest level to the one below. False: no table is below, or none
 * that a quick walk enters; quick->entry says which. */
static always_inline bool quick_down(const struct quick_stage *walk, enum quick_kind kind,
                                     const struct quick_parent *parent, struct quick *quick) {
    const struct stage_shape *stage = walk->stage;
    uint64_t entry = quick_load(quick->table, quick->input, quick->level);
    uint64_t refused = stage->reserved_table[quick->level] | stage->address_fault | LARGE_PAGE;
    if (unlikely((entry & (walk->wanted | refused)) != walk->wanted)) {
        quick->entry = entry;
        return false;
    }
    if (MUTANT(ENTRY_READ_TWICE)) {
        entry = quick_load(quick->table, quick->input, quick->level);
    }
    uint64_t output;
    const unsigned char *table =
        quick_open(walk, kind, parent, entry & stage->address_mask, &output);
    if (unlikely(table == NULL)) {
        quick->entry = 0; /* no leaf */
        return false;
    }
    quick->table = table;
    quick->granted &= quick_grants(kind, entry);
    quick->level--;
    if (quick->level < 2 && walk->remembers) {
        quick_remember(walk, kind, quick, entry & stage->address_mask, output);
    }
    return true;
}

/* The leaf where the way down has ended, or none. */
static always_inline struct leaf quick_end(const struct quick_stage *walk, enum quick_kind kind,
                                           const struct quick *quick) {
    uint64_t entry = quick->entry;
    if (likely(quick->level == 0)) {
        entry = quick_load(quick->table, quick->input, 0);
        return quick_leaf(walk, kind, entry, 0, quick->granted, quick->rights);
    }
    if ((entry & LARGE_PAGE) == 0 || quick->level > LARGE_LEVEL_MOST) {
        return NO_LEAF;
    }
    return quick_leaf(walk, kind, entry, quick->level, quick->granted, quick->rights);
}

/* The second stage's leaf for `guest` if its leaf table is known, or none. */
static always_inline struct leaf quick_known(struct ciommu_port *port,
                                             const struct quick_parent *parent, uint64_t guest,
                                             uint32_t access) {
    const struct quick_stage walk = quick_stage(port, parent->stage, QUICK_SECOND, parent->space,
                                                parent->walk_generation, access);
    if (!walk.remembers || unlikely(guest > parent->stage->input_last)) {
        return NO_LEAF;
    }
    const struct walk_entry *known =
        known_table(port, parent->space, parent->walk_generation, guest, access | CIOMMU_READ, 0);
    if (unlikely(known == NULL)) {
        return NO_LEAF;
    }
    return quick_leaf(&walk, QUICK_SECOND, quick_load(known->host, guest, 0), 0, UINT64_MAX,
                      known->rights);
}

/* The rest of a translation whose own stage found `leaf`: the second stage, and the interrupt
 * range. The leaf, or none. */
static always_inline struct leaf quick_finish(const struct quick_stage *walk, enum quick_kind kind,
                                              const struct quick_parent *parent, uint64_t input,
                                              struct leaf leaf) {
    if (!leaf_exists(leaf)) {
        return leaf;
    }
    uint64_t output = leaf_output(leaf, input);
    if (kind == QUICK_NESTED) {
        struct leaf second = quick_known(walk->port, parent, output, walk->access);
        if (unlikely(!leaf_exists(second))) {
            const struct leaf walked = quick_output(walk, parent, output, walk->access);
            second = leaf_copy(&walked);
        }
        output = leaf_output(second, output);
        leaf.cut = leaf_cut(leaf.page_lg2, second.page_lg2);
        leaf.page_lg2 = second.page_lg2 < leaf.page_lg2 ? second.page_lg2 : leaf.page_lg2;
        leaf.address = output & ~leaf_mask(leaf);
        leaf.rights &= second.rights; /* none, if there is no second leaf */
        leaf.attributes |= second.attributes;
    }
    return unlikely(in_interrupt_range(output) && !MUTANT(QUICK_INTERRUPTS)) ? NO_LEAF : leaf;
}

/* The leaf of `input` in one stage (QUICK_NESTED: in the first, whose tables are found through the
 * second), or none. */
static always_inline struct leaf quick_walk(const struct quick_stage *walk, enum quick_kind kind,
                                            const struct quick_parent *parent, uint64_t input) {
    struct quick quick;
    if (unlikely(!quick_begin(walk, kind, parent, input, &quick))) {
        return NO_LEAF;
    }
    while (quick.level != 0 && quick_down(walk, kind, parent, &quick)) {
    }
    return quick_end(walk, kind, &quick);
}

#endif
