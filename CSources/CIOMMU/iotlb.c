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

#define PAGE_NUMBER_BITS 45u
#define PAGE_NUMBER_MASK ((UINT64_C(1) << PAGE_NUMBER_BITS) - 1)
#define OUTPUT_MASK ((UINT64_C(1) << 40) - 1)
#define RIGHTS_SHIFT 40u
#define SIZE_SHIFT 46u
#define ATTRIBUTES_SHIFT 52u
#define TAG_HIGH_SHIFT 55u
#define TAG_LOW_BITS 19u
#define STRIPES_MOST 4096u

static_assert(sizeof(struct wide_word) * IOTLB_WAYS == 64, "a set is one cache line");
static_assert(TAG_LOW_BITS + 64 - TAG_HIGH_SHIFT == IOTLB_TAG_BITS,
              "the halves hold the whole tag");

/* CRC32C spreads strided page numbers over the sets; a multiplicative hash resonates with some
 * strides. */
static inline uint64_t hash_wide(uint64_t value) {
#if defined(__x86_64__)
    uint64_t crc = 0;
    __asm__("crc32q %1, %0" : "+r"(crc) : "r"(value));
    return crc;
#else
    return value;
#endif
}

/* Full avalanche: xor-shift and multiply, three rounds. */
static inline uint64_t hash_portable(uint64_t value) {
    value ^= value >> 33;
    value *= UINT64_C(0xff51afd7ed558ccd);
    value ^= value >> 33;
    value *= UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

static inline uint64_t set_index(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                                 uint32_t page_lg2) {
    uint64_t page =
        (iova >> 12 & PAGE_NUMBER_MASK) >> (page_lg2 - 12); /* the bits that low_half keeps */
    uint64_t key = page ^ (uint64_t)tag << 36 ^ (uint64_t)page_lg2 << 30;
    return (iotlb->wide ? hash_wide(key) : hash_portable(key)) & iotlb->set_mask;
}

uint64_t ciommu_iotlb_set(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                          uint32_t page_lg2) {
    return set_index(iotlb, tag, iova, page_lg2);
}

static inline uint64_t low_half(uint32_t tag, uint64_t iova, uint32_t page_lg2) {
    uint64_t page = iova >> page_lg2 << (page_lg2 - 12) & PAGE_NUMBER_MASK;
    return page | (uint64_t)tag << PAGE_NUMBER_BITS;
}

/* The part of the high half that a lookup compares. */
static inline uint64_t high_key(uint32_t tag, uint32_t page_lg2) {
    return (uint64_t)page_lg2 << SIZE_SHIFT | (uint64_t)(tag >> TAG_LOW_BITS) << TAG_HIGH_SHIFT;
}

#define HIGH_KEY_MASK (UINT64_C(63) << SIZE_SHIFT | UINT64_C(0x1ff) << TAG_HIGH_SHIFT)

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
    happens_before(entry); /* the store is a release; pairs with ciommu_iotlb_lookup */
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

static inline bool matches(struct wide_word entry, uint64_t low, uint64_t key, uint32_t needed) {
    return entry.low == low && (entry.high & HIGH_KEY_MASK) == key &&
           (entry.high >> RIGHTS_SHIFT & 63) != 0 &&
           (needed & ~(uint32_t)(entry.high >> RIGHTS_SHIFT)) == 0;
}

static inline void decode(struct wide_word entry, uint32_t page_lg2, struct leaf *out) {
    out->address = (entry.high & OUTPUT_MASK) << 12;
    out->rights = (uint32_t)(entry.high >> RIGHTS_SHIFT & 63);
    out->page_lg2 = page_lg2;
    out->attributes = (uint32_t)(entry.high >> ATTRIBUTES_SHIFT & 7);
}

bool ciommu_iotlb_lookup(const struct iotlb *iotlb, uint32_t tag, uint64_t iova, uint32_t page_lg2,
                         uint32_t needed, struct leaf *out) {
    uint64_t set = set_index(iotlb, tag, iova, page_lg2);
    const struct wide_word *ways = &iotlb->entries[set * IOTLB_WAYS];
    uint64_t low = low_half(tag, iova, page_lg2);
    uint64_t key = high_key(tag, page_lg2);
    if (likely(iotlb->wide)) {
        for (unsigned way = 0; way < IOTLB_WAYS; way++) {
            struct wide_word entry =
                MUTANT(TORN_ENTRY) ? load_halves(&ways[way]) : load_wide(&ways[way]);
            if (matches(entry, low, key, needed)) {
                happens_after(&ways[way]); /* the load is an acquire; pairs with store_entry */
                decode(entry, page_lg2, out);
                return true;
            }
        }
        return false;
    }
    uint32_t before = load_acquire(&iotlb->sequences[set]);
    for (unsigned way = 0; way < IOTLB_WAYS && (before & 1) == 0; way++) {
        struct wide_word entry = load_halves(&ways[way]);
        if (matches(entry, low, key, needed)) {
            fence_acquire(); /* pairs with store_entry */
            happens_after(&ways[way]);
            decode(entry, page_lg2, out);
            return load_relaxed(&iotlb->sequences[set]) == before;
        }
    }
    return false;
}

static bool stripe_try_lock(uint32_t *stripe) {
    return load_relaxed(stripe) == 0 && exchange_acquire(stripe, 1) == 0;
}

/* Invalidators only. The holder stores one entry; it may be preempted meanwhile, so spinning gives
 * way. */
static void stripe_lock(uint32_t *stripe) {
    for (unsigned spins = 1; !stripe_try_lock(stripe); spins++) {
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
        if (entry.low == low && (entry.high & HIGH_KEY_MASK) == key) {
            return way;
        }
        if (entry.high == 0) {
            choice = way;
        }
    }
    return choice;
}

void ciommu_iotlb_insert(struct iotlb *iotlb, uint32_t tag, uint64_t iova, const struct leaf *leaf,
                         const uint64_t *generation, uint64_t expected, uint64_t seed) {
    uint64_t set = set_index(iotlb, tag, iova, leaf->page_lg2);
    uint32_t *stripe = &iotlb->stripes[set & iotlb->stripe_mask];
    if (!stripe_try_lock(stripe)) {
        return;
    }
    /* Pairs with the bump in space.c: bumped before this load = the walk may be old. */
    if (load_seq_cst(generation) == expected || MUTANT(INSERT_UNCHECKED)) {
        yield_point(CIOMMU_YIELD_INSERTING);
        struct wide_word *ways = &iotlb->entries[set * IOTLB_WAYS];
        uint64_t key = high_key(tag, leaf->page_lg2);
        struct wide_word value = {
            .low = low_half(tag, iova, leaf->page_lg2),
            .high = (leaf->address >> 12 & OUTPUT_MASK) |
                    (uint64_t)(leaf->rights & 63) << RIGHTS_SHIFT | key |
                    (uint64_t)(leaf->attributes & 7) << ATTRIBUTES_SHIFT,
        };
        store_entry(iotlb, set, &ways[victim(ways, value.low, key, seed)], value);
    }
    stripe_unlock(stripe);
}

void ciommu_iotlb_clear_page(struct iotlb *iotlb, uint32_t tag, uint64_t iova, uint32_t page_lg2) {
    uint64_t set = set_index(iotlb, tag, iova, page_lg2);
    struct wide_word *ways = &iotlb->entries[set * IOTLB_WAYS];
    uint64_t low = low_half(tag, iova, page_lg2);
    uint64_t key = high_key(tag, page_lg2);
    uint32_t *stripe = &iotlb->stripes[set & iotlb->stripe_mask];
    stripe_lock(stripe);
    for (unsigned way = 0; way < IOTLB_WAYS; way++) {
        struct wide_word entry = load_halves(&ways[way]);
        if (entry.low == low && (entry.high & HIGH_KEY_MASK) == key) {
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
