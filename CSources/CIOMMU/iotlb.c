/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * iotlb.c - the shared translation cache. The protocol stands in iotlb.h.
 */
#define _GNU_SOURCE
#include "iotlb.h"
#include "alloc.h"

#include <assert.h>
#include <sched.h>
#include <string.h>

#define STRIPES_MOST 4096u

static_assert(sizeof(struct wide_word) * IOTLB_WAYS == 64, "a set is one cache line");
static_assert(IOTLB_TAG_LOW_BITS + 64 - IOTLB_TAG_HIGH_SHIFT == IOTLB_TAG_BITS,
              "the halves hold the whole tag");
static_assert(IOTLB_WAYS == 4, "select_wide compares four");

enum ciommu_status ciommu_iotlb_init(struct iotlb *iotlb, uint32_t entries, bool portable) {
    memset(iotlb, 0, sizeof *iotlb);
    if (entries == 0) {
        return CIOMMU_OK;
    }
    uint64_t sets = entries / IOTLB_WAYS;
    uint64_t stripes = sets < STRIPES_MOST ? sets : STRIPES_MOST;
    uint64_t bytes = (uint64_t)entries * sizeof(struct wide_word);
    iotlb->wide = processor_has_wide_loads() && !portable;
    iotlb->set_mask = sets - 1;
    iotlb->stripe_mask = stripes - 1;
    iotlb->entries = ciommu_allocate(bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE, bytes);
    iotlb->stripes = ciommu_allocate(CACHE_LINE, stripes * sizeof *iotlb->stripes);
    iotlb->sequences =
        iotlb->wide ? NULL : ciommu_allocate(CACHE_LINE, sets * sizeof *iotlb->sequences);
    if (iotlb->entries == NULL || iotlb->stripes == NULL ||
        (!iotlb->wide && iotlb->sequences == NULL)) {
        ciommu_iotlb_fini(iotlb);
        return CIOMMU_NO_MEMORY;
    }
    return CIOMMU_OK;
}

void ciommu_iotlb_fini(struct iotlb *iotlb) {
    ciommu_free(iotlb->entries);
    ciommu_free(iotlb->stripes);
    ciommu_free(iotlb->sequences);
    memset(iotlb, 0, sizeof *iotlb);
}

/* Loads way by halves; coherent only inside a sequence bracket (or, as a mutant, not at all). */
static inline struct wide_word load_halves(const struct wide_word *entry) {
    struct wide_word value;
    value.low = load_relaxed(&entry->low);
    value.high = load_relaxed(&entry->high);
    return value;
}

static inline void store_halves(struct wide_word *entry, struct wide_word value) {
    store_relaxed(&entry->low, value.low);
    yield_point(CIOMMU_YIELD_HALF_STORED);
    store_relaxed(&entry->high, value.high);
}

static inline void store_entry(struct iotlb *iotlb, uint64_t set, struct wide_word *entry,
                               struct wide_word value) {
    /* The store is a release; pairs with iotlb.h: iotlb_find. */
    happens_before(&iotlb->entries[set * IOTLB_WAYS]);
    if (iotlb->wide && !MUTANT(TORN_ENTRY)) {
        store_wide(entry, value);
        return;
    }
    if (iotlb->wide) {
        store_halves(entry, value);
        return;
    }
    uint32_t *sequence = &iotlb->sequences[set];
    store_relaxed(sequence, load_relaxed(sequence) + 1);
    fence_release(); /* the odd counter before the halves; pairs with the reader's acquire fence */
    store_halves(entry, value);
    store_release(sequence, load_relaxed(sequence) + 1);
}

static inline bool matches(struct wide_word entry, uint64_t low, uint64_t key) {
    return entry.low == low && (entry.high & iotlb_key_mask.high) == key;
}

uint64_t ciommu_iotlb_find_halves(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                                  uint32_t page_lg2) {
    uint64_t set = iotlb_set(iotlb, tag, iova, page_lg2);
    const struct wide_word *ways = &iotlb->entries[set * IOTLB_WAYS];
    uint64_t low = iotlb_low(tag, iova, page_lg2);
    uint64_t key = iotlb_high_key(tag, page_lg2);
    bool bracketed = !iotlb->wide; /* a mutant is not */
    uint32_t before = bracketed ? load_acquire(&iotlb->sequences[set]) : 0;
    for (unsigned way = 0; way < IOTLB_WAYS && ((before & 1) == 0 || MUTANT(SEQUENCE_UNCHECKED));
         way++) {
        struct wide_word entry = load_halves(&ways[way]);
        if (matches(entry, low, key)) {
            fence_acquire(); /* pairs with store_entry */
            happens_after(ways);
            bool whole = !bracketed || load_relaxed(&iotlb->sequences[set]) == before ||
                         MUTANT(SEQUENCE_UNCHECKED);
            return whole ? entry.high : 0;
        }
    }
    return 0;
}

static bool stripe_try_lock(uint32_t *stripe) {
    return load_relaxed(stripe) == 0 && exchange_acquire(stripe, 1) == 0;
}

/* Invalidators only. The holder stores one entry; it may be preempted meanwhile, so spinning gives
 * way. */
static void stripe_lock(uint32_t *stripe) {
    for (unsigned spins = 1; !stripe_try_lock(stripe); spins++) {
        yield_point(CIOMMU_YIELD_STRIPE_BUSY);
        if (spins % 64 == 0) {
            sched_yield();
        } else {
            cpu_relax();
        }
    }
}

static void stripe_unlock(uint32_t *stripe) {
    store_release(stripe, 0);
}

/* The way to overwrite: the same page, else an empty one, else any. Under the stripe. */
static unsigned victim(const struct wide_word *ways, uint64_t low, uint64_t key, uint64_t seed) {
    unsigned choice = (unsigned)seed % IOTLB_WAYS;
    for (unsigned way = 0; way < IOTLB_WAYS; way++) {
        struct wide_word entry = load_halves(&ways[way]);
        if (matches(entry, low, key)) {
            return way;
        }
        if (entry.high == 0) {
            choice = way;
        }
    }
    return choice;
}

void ciommu_iotlb_insert(struct iotlb *iotlb, uint32_t tag, uint64_t iova, struct leaf leaf,
                         const uint64_t *generation, uint64_t expected, uint64_t seed) {
    uint64_t set = iotlb_set(iotlb, tag, iova, leaf.page_lg2);
    uint32_t *stripe = &iotlb->stripes[set & iotlb->stripe_mask];
    if (!stripe_try_lock(stripe)) {
        return;
    }
    /* Pairs with the bump in space.c: bumped before this load = the walk may be old. */
    if (load_seq_cst(generation) == expected || MUTANT(INSERT_UNCHECKED)) {
        yield_point(CIOMMU_YIELD_INSERTING);
        struct wide_word *ways = &iotlb->entries[set * IOTLB_WAYS];
        uint64_t key = iotlb_high_key(tag, leaf.page_lg2);
        struct wide_word value = {.low = iotlb_low(tag, iova, leaf.page_lg2),
                                  .high = leaf_pack(leaf) | key};
        store_entry(iotlb, set, &ways[victim(ways, value.low, key, seed)], value);
    }
    stripe_unlock(stripe);
}

void ciommu_iotlb_clear_page(struct iotlb *iotlb, uint32_t tag, uint64_t iova, uint32_t page_lg2) {
    uint64_t set = iotlb_set(iotlb, tag, iova, page_lg2);
    struct wide_word *ways = &iotlb->entries[set * IOTLB_WAYS];
    uint64_t low = iotlb_low(tag, iova, page_lg2);
    uint64_t key = iotlb_high_key(tag, page_lg2);
    uint32_t *stripe = &iotlb->stripes[set & iotlb->stripe_mask];
    stripe_lock(stripe);
    for (unsigned way = 0; way < IOTLB_WAYS; way++) {
        struct wide_word entry = load_halves(&ways[way]);
        if (matches(entry, low, key)) {
            store_entry(iotlb, set, &ways[way], (struct wide_word){0, 0});
        }
    }
    stripe_unlock(stripe);
}

void ciommu_iotlb_clear(struct iotlb *iotlb) {
    if (iotlb->entries == NULL) {
        return;
    }
    for (uint64_t set = 0; set <= iotlb->set_mask; set++) {
        uint32_t *stripe = &iotlb->stripes[set & iotlb->stripe_mask];
        stripe_lock(stripe);
        for (unsigned way = 0; way < IOTLB_WAYS; way++) {
            store_entry(iotlb, set, &iotlb->entries[set * IOTLB_WAYS + way],
                        (struct wide_word){0, 0});
        }
        stripe_unlock(stripe);
    }
}
