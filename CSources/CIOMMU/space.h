/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * space.h - address spaces: what a walk depends on (the shape), and the generations that make
 * cached answers die.
 *
 * Protocol (address space)
 *   Readers      inside a section and the RCU read lock: check `birth` against the one their
 *                binding holds, load `generation` (acquire) before anything that it must cover,
 *                then `tag`, then `walk_generation`; then check `birth` again, because the
 *                generation of a retired space never moves; then probe or walk. After an IOTLB hit
 *                check `tag` again: tags are finite, and after a renewal the same tag may be
 *                another space's.
 *   Writers      under the unit's table lock: everything but `sizes` (inserters set bits).
 *   Whole        walk_generation++, sizes forgotten, fresh tag, generation++, each visible before
 *                the next. Release stores: old walks can only insert under the old tag.
 *   Ranges       any number of them at once. walk_generation++ unless only leaves changed;
 *                generation++ (seq_cst); then `sizes` is loaded (seq_cst) and the IOTLB ways of all
 *                ranges are cleared; then generation++ again (release), because a first level may
 *                have copied an entry between the first bump and its clearing. The first bump and
 *                that load stand against an inserter's two steps (ciommu_iotlb_fill): size
 *                bit, then generation. All four are in the one order of seq_cst operations, so
 *                either its bit is seen here, or the bump there; no fence is needed besides. An
 *                inserter that saw no bump holds the stripe from then on, or had it before the
 *                clearing did.
 *   Cut leaves   a large first-stage leaf over smaller pages of the second stage is in the IOTLB in
 *                parts, and one page that the guest invalidates takes all of it. Which sizes were
 *                cut stands in the same word as `sizes`, set by the same step of the inserter and
 *                seen by the same load, so what holds of a size bit holds of these. Ranges are
 *                widened to the largest of them, and make the space go whole where that is too
 *                much. Observers and devices hear of the range as it was given.
 *   Children     of a parent only after all that: walk_generation++, fresh tag, generation++.
 *   Sections     see all of it through ugen, which moves (seq_cst) after it (unit.h).
 *   Removal      `birth`++ and `generation`++ and the slot goes to call_rcu. Slots live in a fixed
 *                pool and keep their counters for ever, so that a first-level entry which outlives
 *                its space finds another generation, never freed memory.
 *   Guarantee    generations never repeat in a slot; a tag is used once until the tags run out
 *                (space.c: renew_tags), and then differs in its high half, which the IOTLB does not
 *                keep.
 */
#ifndef CIOMMU_SPACE_H
#define CIOMMU_SPACE_H

#include "iotlb.h"
#include "rcu.h"

#define LEVELS_MOST 5u
#define NO_ROOT UINT64_MAX

/* Domain ids from here on are of domains that the host made; a guest's entries hold 16 bits. */
#define HOST_DOMAIN_FIRST 0x10000u

enum space_kind {
    SPACE_IDENTITY = 0, /* pass-through, or translation disabled */
    SPACE_FIRST,        /* first stage alone */
    SPACE_SECOND,       /* second stage alone */
    SPACE_NESTED        /* first stage over a second stage */
};

/* Page sizes are below 2^32, so both masks fit into one word. */
#define SPACE_CUTS_SHIFT 32u

/* The half of ciommu_space.sizes that says which sizes to look for. */
static inline uint64_t page_sizes(uint64_t sizes) {
    return (uint32_t)sizes;
}

/* Native codes of the conditions that a second-stage walk meets: legacy and scalable mode differ.
 */
struct second_stage_codes {
    uint8_t input;
    uint8_t top_access;
    uint8_t access;
    uint8_t absent_read;
    uint8_t absent_write;
    uint8_t read;
    uint8_t write;
    uint8_t execute;
    uint8_t reserved;
    uint8_t interrupt;
    uint8_t ad_snoop;
    uint8_t ad_failed;
};

/* One stage's part of a shape. Immutable. */
struct stage_shape {
    uint64_t roots[2];     /* table addresses; two for formats that select by address, the second
                              NO_ROOT in VT-d */
    uint64_t input_last;   /* second stage: highest legal input; nested first stage: highest legal
                              table address */
    uint64_t address_mask; /* bits of an entry that hold an address */
    uint64_t
        reserved_table[LEVELS_MOST]; /* bits that must be zero in an entry that points to a table */
    uint64_t reserved_leaf[LEVELS_MOST]; /* the same in a leaf; includes the size bit where the size
                                            is unsupported */
    uint64_t address_fault; /* nested first stage: address bits above MGAW, a fault of their own */
    uint64_t accessed; /* bits to set when an entry is used; 0 = accessed and dirty bits are off */
    uint64_t dirty;    /* bit to set in a leaf on a write */
    uint64_t snoop;    /* leaf bit that asks for snooping; 0 = none */
    const struct second_stage_codes *codes; /* second stage */
    bool host_tables; /* second stage: the host's own structures (paging.h), addressed by pointer */
    uint8_t levels;
    uint8_t input_bits;              /* first stage: canonical width */
    bool snooped;                    /* accessed and dirty updates are possible */
    bool write_protect;              /* WPE */
    bool execute_disable;            /* XD counts (rev 3 with NXE) */
    bool supervisor_execute_protect; /* SMEP (rev 3) */
    bool execute;                    /* second stage: X bit counts (rev 3 with SSEE) */
};

/* Everything that a walk depends on; all of it together is the identity of an address space. Built
 * by context_vtd.c, zero-filled first so that it compares as bytes. */
struct space_shape {
    uint32_t kind;       /* enum space_kind */
    uint32_t domain;     /* domain id */
    uint32_t pasid;      /* tags first-stage spaces of a guest's PASID table; 0 otherwise */
    uint32_t attributes; /* CIOMMU_ATTRIBUTE_* of every answer */
    struct stage_shape first;
    struct stage_shape second;
};

struct ciommu_space {
    /* Read on every slow lookup; written by invalidators under the table lock, `sizes` by
     * inserters. */
    uint64_t generation;
    uint64_t walk_generation;
    uint64_t sizes; /* bit n: a leaf of 2^n bytes may be in the IOTLB; bit n + SPACE_CUTS_SHIFT: a
                       part of a first-stage leaf of that size */
    uint64_t birth; /* moves when the slot is retired */
    uint64_t tag;   /* low half: the IOTLB's, 0 = none; high half: renewals */
    uint32_t index; /* constant: position in the pool */
    struct ciommu_space *parent; /* constant while alive: the second stage of a nested space */
    struct space_shape shape;    /* constant while alive */

    /* Table lock. */
    uint32_t references; /* bindings, plus children */
    bool alive;
    struct ciommu_space *domain_next; /* chain of the domain's hash bucket */
    struct ciommu_space *children;    /* of a parent */
    struct ciommu_space *sibling_next;
    struct ciommu_space *free_next;
    struct spaces *owner; /* constant */
    struct rcu_head rcu;
} __attribute__((aligned(64)));

/* The pool of a unit, and the ways to find a space. Table lock, but for reading a slot's counters.
 */
struct spaces {
    struct ciommu_space *pool;     /* count slots; slot 0 is the identity space and never dies */
    struct ciommu_space **buckets; /* by domain id */
    struct ciommu_space *free;
    uint32_t bucket_mask;
    uint32_t count;
    uint32_t top;        /* slots from here on were never used, nor touched */
    uint32_t limit;      /* of spaces cached for guests' tables */
    uint32_t used;       /* of those */
    uint32_t host_limit; /* of spaces of the host's domains */
    uint32_t host_used;  /* of those */
    uint32_t next_tag;
    uint64_t renewals; /* of the tags */
    struct iotlb *iotlb;
    struct deferrals deferrals;
    pthread_mutex_t
        *lock; /* constant: the table lock, for slots that come back from a grace period */
};

/* `limit` spaces can be cached besides the identity space and `host_limit` of the host's domains.
 */
enum ciommu_status ciommu_spaces_init(struct spaces *spaces, uint32_t limit, uint32_t host_limit,
                                      struct iotlb *iotlb, pthread_mutex_t *lock);
/* Nothing is in use or deferred any more. */
void ciommu_spaces_fini(struct spaces *spaces);

/* The space of this shape with one more reference: found, or made if a slot is free; NULL
 * otherwise. Table lock. */
struct ciommu_space *ciommu_spaces_acquire(struct spaces *spaces, const struct space_shape *shape);
/* A new space of a host's domain, with one reference, over `parent` (NULL = none); NULL when
 * `host_limit` is reached. Table lock. */
struct ciommu_space *ciommu_spaces_make(struct spaces *spaces, const struct space_shape *shape,
                                        struct ciommu_space *parent);
/* Gives a reference back; the last one retires the space. Table lock. */
void ciommu_spaces_release(struct spaces *spaces, struct ciommu_space *space);

/* Deals the tags out anew if they have run out; ciommu_spaces_acquire makes no space before. Table
 * lock, never by a resolver. */
void ciommu_spaces_renew_tags(struct spaces *spaces);

/* Invalidates one space, and what rests on it, as far as a set says (ranges, stages, leaf_only):
 * `count` invalidations, at least one, that differ in nothing but range and leaf_only. Table lock;
 * draining is the caller's. */
void ciommu_space_invalidate(struct spaces *spaces, struct ciommu_space *space,
                             const struct ciommu_invalidation *set, uint32_t count);

/* Lets every walk cache forget the space's tables. Table lock. */
void ciommu_space_forget_walks(struct ciommu_space *space);

/* Invalidates what such a set covers (kind TRANSLATIONS). Table lock; draining is the caller's. */
void ciommu_spaces_invalidate(struct spaces *spaces, const struct ciommu_invalidation *set,
                              uint32_t count);

#endif
