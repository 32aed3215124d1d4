/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * space.c - the pool of address spaces and their invalidation. The protocol stands in space.h.
 */
#include "space.h"
#include "alloc.h"

#include <pthread.h>
#include <string.h>

/* Implementation: a range of more pages than this is dropped as a whole space, because a fresh tag
 * costs one store and clearing costs a stripe per page and size. */
#define RANGE_PAGES_MOST 512u

enum ciommu_status ciommu_spaces_init(struct spaces *spaces, uint32_t limit, uint32_t host_limit,
                                      struct iotlb *iotlb, pthread_mutex_t *lock) {
    memset(spaces, 0, sizeof *spaces);
    uint32_t count = limit + host_limit + 1;
    uint32_t buckets = 16;
    while (buckets < count && buckets < 65536) {
        buckets *= 2;
    }
    spaces->iotlb = iotlb;
    spaces->lock = lock;
    spaces->count = count;
    spaces->limit = limit;
    spaces->host_limit = host_limit;
    spaces->bucket_mask = buckets - 1;
    spaces->pool = ciommu_reserve(count * sizeof *spaces->pool);
    spaces->buckets = ciommu_allocate(CACHE_LINE, buckets * sizeof *spaces->buckets);
    if (spaces->pool == NULL || spaces->buckets == NULL) {
        ciommu_spaces_fini(spaces);
        return CIOMMU_NO_MEMORY;
    }

    spaces->next_tag = 1;
    spaces->top = 1;
    spaces->pool[0].alive = true;
    spaces->pool[0].references = 1;
    spaces->pool[0].generation = 1;
    return CIOMMU_OK;
}

void ciommu_spaces_fini(struct spaces *spaces) {
    ciommu_free(spaces->pool);
    ciommu_free(spaces->buckets);
    memset(spaces, 0, sizeof *spaces);
}

static struct ciommu_space **bucket_of(struct spaces *spaces, uint32_t domain) {
    return &spaces->buckets[(domain ^ domain >> 16) & spaces->bucket_mask];
}

/* The next tag, and with it how often they were renewed. */
static uint64_t take_tag(struct spaces *spaces) {
    return spaces->renewals << 32 | spaces->next_tag++;
}

/* Tags are finite. When they run out every space loses its tag (0 = keep away from the IOTLB), the
 * IOTLB is emptied, and only then the tags are dealt out anew: whoever still looks for a tag that
 * is now somebody else's finds, after the hit, that its own has changed (short_way.h); even if a
 * later renewal has dealt it the same number again. */
static void renew_tags(struct spaces *spaces) {
    for (uint32_t index = 1; index < spaces->top; index++) {
        store_seq_cst(&spaces->pool[index].tag, 0);
        (void)add_seq_cst(&spaces->pool[index].generation, MUTANT(RENEWAL_UNBUMPED) ? 0 : 1);
    }
    if (!MUTANT(RENEWAL_KEEPS_ENTRIES)) {
        ciommu_iotlb_clear(spaces->iotlb);
    }
    spaces->next_tag = 1;
    spaces->renewals++;
    for (uint32_t index = 1; index < spaces->top; index++) {
        struct ciommu_space *space = &spaces->pool[index];
        if (space->alive) {
            /* The IOTLB was emptied first; pairs with short_way.h: way_load. */
            store_release(&space->tag, take_tag(spaces));
        }
        (void)add_seq_cst(&space->generation, MUTANT(RENEWAL_UNBUMPED) ? 0 : 1);
    }
}

static void fresh_tag(struct spaces *spaces, struct ciommu_space *space) {
    if (spaces->next_tag > IOTLB_TAG_MAX) {
        renew_tags(spaces);
        return; /* this space has got one like every other that is alive */
    }
    store_release(&space->tag, take_tag(spaces));
}

void ciommu_spaces_renew_tags(struct spaces *spaces) {
    if (spaces->next_tag > IOTLB_TAG_MAX) {
        renew_tags(spaces);
    }
}

static struct ciommu_space *find(struct spaces *spaces, const struct space_shape *shape) {
    struct ciommu_space *space = *bucket_of(spaces, shape->domain);
    while (space != NULL && memcmp(&space->shape, shape, sizeof *shape) != 0) {
        space = space->domain_next;
    }
    return space;
}

static bool is_host_made(const struct space_shape *shape) {
    return shape->domain >= HOST_DOMAIN_FIRST;
}

/* A slot that came back, or one that was never used; NULL = none is left. */
static struct ciommu_space *take_slot(struct spaces *spaces) {
    struct ciommu_space *space = spaces->free;
    if (space != NULL) {
        spaces->free = space->free_next;
    } else if (spaces->top < spaces->count) {
        space = &spaces->pool[spaces->top];
        space->index = spaces->top++;
        space->owner = spaces;
    }
    return space;
}

static struct ciommu_space *make(struct spaces *spaces, const struct space_shape *shape,
                                 struct ciommu_space *parent) {
    uint32_t *used = is_host_made(shape) ? &spaces->host_used : &spaces->used;
    bool full = *used == (is_host_made(shape) ? spaces->host_limit : spaces->limit);
    if (full || spaces->next_tag > IOTLB_TAG_MAX) {
        return NULL; /* a resolver does not renew tags: that takes time and locks */
    }
    struct ciommu_space *space = take_slot(spaces);
    if (space == NULL) {
        return NULL;
    }
    ++*used;
    space->alive = true;
    space->references = 0;
    space->shape = *shape;
    space->parent = parent;
    space->children = NULL;
    store_relaxed(&space->sizes, 0);
    store_release(&space->walk_generation, space->walk_generation + 1);
    fresh_tag(spaces, space);
    (void)add_seq_cst(&space->generation, 1);
    struct ciommu_space **bucket = bucket_of(spaces, shape->domain);
    space->domain_next = *bucket;
    *bucket = space;
    if (parent != NULL) {
        parent->references++;
        space->sibling_next = parent->children;
        parent->children = space;
    }
    return space;
}

/* The shape of a nested space's second stage on its own. */
static struct space_shape parent_shape(const struct space_shape *shape) {
    struct space_shape parent;
    memset(&parent, 0, sizeof parent);
    parent.kind = SPACE_SECOND;
    parent.domain = shape->domain;
    parent.second = shape->second;
    return parent;
}

struct ciommu_space *ciommu_spaces_acquire(struct spaces *spaces, const struct space_shape *shape) {
    if (shape->kind == SPACE_IDENTITY) {
        return &spaces->pool[0];
    }
    struct ciommu_space *space = find(spaces, shape);
    if (space == NULL) {
        struct ciommu_space *parent = NULL;
        if (shape->kind == SPACE_NESTED) {
            struct space_shape second = parent_shape(shape);
            parent = ciommu_spaces_acquire(spaces, &second);
            if (parent == NULL) {
                return NULL;
            }
        }
        space = make(spaces, shape, parent);
        if (parent != NULL) {
            ciommu_spaces_release(spaces, parent); /* the child holds its own reference */
        }
    }
    if (space != NULL) {
        space->references++;
    }
    return space;
}

struct ciommu_space *ciommu_spaces_make(struct spaces *spaces, const struct space_shape *shape,
                                        struct ciommu_space *parent) {
    ciommu_spaces_renew_tags(spaces);
    struct ciommu_space *space = make(spaces, shape, parent);
    if (space != NULL) {
        space->references++;
    }
    return space;
}

/* Under the lock. */
static void give_slot_back(struct spaces *spaces, struct ciommu_space *space) {
    space->free_next = spaces->free;
    spaces->free = space;
    --*(is_host_made(&space->shape) ? &spaces->host_used : &spaces->used);
}

static void slot_returns(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct ciommu_space *space = caa_container_of(head, struct ciommu_space, rcu);
    struct spaces *spaces = space->owner;
    pthread_mutex_lock(spaces->lock);
    give_slot_back(spaces, space);
    pthread_mutex_unlock(spaces->lock);
    ciommu_rcu_callback_ends(&spaces->deferrals);
}

static void unlink_from(struct ciommu_space **link, struct ciommu_space *space, bool sibling) {
    while (*link != space) {
        link = sibling ? &(*link)->sibling_next : &(*link)->domain_next;
    }
    *link = sibling ? space->sibling_next : space->domain_next;
}

void ciommu_spaces_release(struct spaces *spaces, struct ciommu_space *space) {
    if (space->index == 0 || --space->references != 0) {
        return;
    }
    unlink_from(bucket_of(spaces, space->shape.domain), space, false);
    struct ciommu_space *parent = space->parent;
    if (parent != NULL) {
        unlink_from(&parent->children, space, true);
    }
    space->alive = false;
    /* Pairs with resolve.h: a binding that names the old life is dead, and so is every first-level
     * entry. */
    (void)add_seq_cst(&space->birth, MUTANT(BIRTH_KEPT) ? 0 : 1);
    (void)add_seq_cst(&space->generation, MUTANT(DEATH_UNBUMPED) ? 0 : 1);
    if (MUTANT(SPACE_REUSED_EARLY)) {
        give_slot_back(spaces, space);
    } else {
        ciommu_rcu_defer(&spaces->deferrals, &space->rcu, slot_returns);
    }
    if (parent != NULL) {
        ciommu_spaces_release(spaces, parent);
    }
}

/* Whoever writes a generation holds the table lock, so it takes no exchange. Pairs with the acquire
 * loads in short_way.h: way_load, and through ugen with ciommu_port_revalidate. */
static void bump(uint64_t *generation) {
    store_release(generation, *generation + 1);
}

/* Nothing here is seq_cst, because nothing has to be read back: whatever an old walk inserts from
 * now on carries the old tag, which nobody looks for once the sections from before have ended. */
static void invalidate_whole(struct spaces *spaces, struct ciommu_space *space) {
    if (!MUTANT(WHOLE_KEEPS_WALKGEN)) {
        bump(&space->walk_generation);
    }
    /* Before the tag: who has seen the new tag adds its size after this store. */
    if (!MUTANT(SIZES_RESET_LATE)) {
        store_relaxed(&space->sizes, 0);
    }
    if (!MUTANT(TAG_KEPT)) {
        fresh_tag(spaces, space);
    }
    if (MUTANT(SIZES_RESET_LATE)) {
        yield_point(CIOMMU_YIELD_BUMPED);
        store_relaxed(&space->sizes, 0);
    }
    yield_point(CIOMMU_YIELD_RETAGGED);
    if (!MUTANT(WHOLE_KEEPS_GENERATION)) {
        bump(&space->generation);
    }
}

/* Everything that rests on this space's second stage: a parent address selects no child address, so
 * children die whole. */
static void invalidate_children(struct spaces *spaces, struct ciommu_space *parent) {
    if (MUTANT(NO_CHILDREN)) {
        return;
    }
    for (struct ciommu_space *child = parent->children; child != NULL;
         child = child->sibling_next) {
        if (!MUTANT(CHILD_KEEPS_WALKGEN)) {
            bump(&child->walk_generation);
        }
        if (!MUTANT(CHILD_KEEPS_TAG)) {
            fresh_tag(spaces, child);
        }
        yield_point(CIOMMU_YIELD_RETAGGED);
        if (!MUTANT(CHILD_KEEPS_GENERATION)) {
            bump(&child->generation);
        }
    }
}

/* Clears a page range at every size of the mask. */
static void clear_range(struct iotlb *iotlb, uint32_t tag, uint64_t sizes, uint64_t first,
                        uint64_t last) {
    for (; sizes != 0; sizes &= MUTANT(SUPERPAGE_MISSED) ? 0 : sizes - 1) {
        uint32_t page_lg2 = (uint32_t)__builtin_ctzll(sizes);
        uint64_t step = UINT64_C(1) << page_lg2;
        uint64_t page = first & ~(step - 1);
        ciommu_iotlb_clear_page(iotlb, tag, page, page_lg2);
        while (last - page >= step) {
            page += step;
            ciommu_iotlb_clear_page(iotlb, tag, page, page_lg2);
        }
    }
}

/* Guests may leave the upper half of a first-stage address unextended. False when the range wraps,
 * or crosses from one half into the other: what lies beyond the middle is extended otherwise. */
static bool canonical_range(const struct ciommu_space *space, uint64_t *first, uint64_t *last) {
    if (space->shape.kind == SPACE_SECOND) {
        return true;
    }
    uint32_t unused = 64 - space->shape.first.input_bits;
    uint64_t size = *last - *first;
    uint64_t end = (uint64_t)((int64_t)(*last << unused) >> unused);
    *first = (uint64_t)((int64_t)(*first << unused) >> unused);
    *last = *first + size;
    return *last >= *first && *last == end;
}

/* Size - 1 of the largest first-stage leaf that the IOTLB may hold parts of; 0 = of none. */
static uint64_t largest_cut(uint64_t sizes) {
    uint64_t cuts = sizes >> SPACE_CUTS_SHIFT;
    return cuts == 0 ? 0 : (UINT64_C(1) << (63 - __builtin_clzll(cuts))) - 1;
}

static bool is_large(uint64_t first, uint64_t last) {
    return (last - first) >> 12 >= RANGE_PAGES_MOST; /* the difference is one short of the size */
}

/* Clears the ways of all ranges of a set. False: they reach into leaves of which there are too many
 * parts. */
static bool clear_ranges(struct spaces *spaces, struct ciommu_space *space, uint64_t sizes,
                         const struct ciommu_invalidation *set, uint32_t count) {
    uint64_t cut = largest_cut(sizes);
    uint64_t before[2] = {1, 0};
    for (uint32_t index = MUTANT(RANGE_FORGOTTEN) && count > 1; index < count; index++) {
        uint64_t first = set[index].first;
        uint64_t last = set[index].last;
        (void)canonical_range(space, &first, &last); /* it is: needs_whole */
        first &= ~cut;
        last |= cut;
        if (cut != 0 && is_large(first, last)) {
            return false;
        }
        /* Else it is another page of the same leaf. */
        if (first != before[0] || last != before[1]) {
            clear_range(spaces->iotlb, (uint32_t)space->tag, page_sizes(sizes), first, last);
        }
        before[0] = first;
        before[1] = last;
    }
    return true;
}

/* All ranges of a set, between one pair of bumps. */
static void invalidate_ranges(struct spaces *spaces, struct ciommu_space *space,
                              const struct ciommu_invalidation *set, uint32_t count,
                              bool leaf_only) {
    if (!leaf_only && !MUTANT(KEEP_WALKGEN)) {
        bump(&space->walk_generation);
    }
    /* Both this and the load of `sizes` seq_cst: pairs with quick_walk.c: ciommu_iotlb_fill. */
    if (!MUTANT(BUMP_AFTER_SCAN)) {
        (void)add_seq_cst(&space->generation, 1);
    }
    yield_point(CIOMMU_YIELD_BUMPED);
    uint64_t sizes = spaces->iotlb->entries == NULL ? 0 : load_seq_cst(&space->sizes);
    if (sizes != 0 && !clear_ranges(spaces, space, sizes, set, count)) {
        invalidate_whole(spaces, space);
        return;
    }
    yield_point(CIOMMU_YIELD_CLEARED);
    if (!MUTANT(ONE_BUMP)) {
        bump(&space->generation);
    }
}

void ciommu_space_forget_walks(struct ciommu_space *space) {
    bump(&space->walk_generation);
}

/* Must the whole space go for this? */
static bool needs_whole(const struct spaces *spaces, const struct ciommu_space *space,
                        const struct ciommu_invalidation *what) {
    uint64_t first = what->first;
    uint64_t last = what->last;
    if (first == 0 && last == UINT64_MAX) {
        return true;
    }
    if ((what->stages & CIOMMU_STAGES_SECOND) != 0 && space->shape.kind != SPACE_SECOND) {
        return true; /* a parent address selects no address of this space */
    }
    bool large = is_large(first, last) && spaces->iotlb->entries != NULL;
    return large || !canonical_range(space, &first, &last);
}

void ciommu_space_invalidate(struct spaces *spaces, struct ciommu_space *space,
                             const struct ciommu_invalidation *set, uint32_t count) {
    bool whole = false;
    bool leaf_only = true;
    for (uint32_t index = 0; index < count && !whole; index++) {
        whole = needs_whole(spaces, space, &set[index]);
        leaf_only = leaf_only && set[index].leaf_only != 0;
    }
    if (MUTANT(CHILD_FIRST)) {
        invalidate_children(spaces, space);
        yield_point(CIOMMU_YIELD_PARENT_DONE);
    }
    if (whole) {
        invalidate_whole(spaces, space);
    } else {
        invalidate_ranges(spaces, space, set, count, leaf_only);
    }
    if (space->children != NULL && !MUTANT(CHILD_FIRST)) {
        yield_point(CIOMMU_YIELD_PARENT_DONE);
        invalidate_children(spaces, space);
    }
}

static bool covers(const struct ciommu_invalidation *what, const struct ciommu_space *space) {
    if (what->domain != CIOMMU_ANY && space->shape.domain != what->domain) {
        return false;
    }
    bool second = (what->stages & CIOMMU_STAGES_SECOND) != 0;
    bool same_pasid = what->pasid == CIOMMU_ANY || space->shape.pasid == what->pasid ||
                      is_host_made(&space->shape); /* it may be attached to any PASID */
    switch (space->shape.kind) {
    case SPACE_SECOND:
        return second;
    case SPACE_NESTED:
        /* A change of the second stage reaches it through its parent, whatever its PASID. */
        return !second && same_pasid;
    default:
        return what->stages == CIOMMU_STAGES_SECOND || same_pasid;
    }
}

void ciommu_spaces_invalidate(struct spaces *spaces, const struct ciommu_invalidation *set,
                              uint32_t count) {
    if (set->domain != CIOMMU_ANY) {
        for (struct ciommu_space *space = *bucket_of(spaces, set->domain); space != NULL;
             space = space->domain_next) {
            if (covers(set, space)) {
                ciommu_space_invalidate(spaces, space, set, count);
            }
        }
        return;
    }
    for (uint32_t index = 1; index < spaces->top; index++) {
        struct ciommu_space *space = &spaces->pool[index];
        if (space->alive && covers(set, space)) {
            ciommu_space_invalidate(spaces, space, set, count);
        }
    }
}
