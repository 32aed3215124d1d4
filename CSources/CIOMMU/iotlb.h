/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * iotlb.h - the shared translation cache: set-associative, lock-free for readers, output addresses
 * only (never host pointers). Knows tags, pages and entries; which tag is alive and which
 * generation is current is the address space's affair.
 *
 * An entry is 16 bytes:
 *   low   bits 44:0   input page number (56:12 of the address; low bits of a larger page are zero)
 *         bits 63:45  tag, low 19 bits
 *   high  bits 54:0   the leaf (leaf.h); without rights = empty
 *         bits 63:55  tag, high 9 bits
 *
 * Protocol (IOTLB fill versus invalidation)
 *   Readers      wait-free: load the entries of one set, each in one 16-byte access, compare, done.
 *                No shared write.
 *   Writers      an inserter takes the set's stripe with a try-lock (busy = it does not insert),
 *                checks that the address space's generation is still the one it loaded before its
 *                walk, and stores the entry whole. An invalidator takes the stripe and clears.
 *   Publication  the 16-byte store. Before the check the inserter sets the page size's bit in the
 *                space's mask; an invalidator bumps and then reads the mask (space.h). All of that
 *                is seq_cst: either it sees the bit, or the inserter sees the bump.
 *   Guarantee    after clear_page returned, no entry of that page and tag is or will be there that
 *                was walked under an older generation. A reader may have copied one before: hence
 *                the second bump (space.c).
 *   Portable     without 16-byte atomic loads a sequence counter per set brackets every store; a
 *                reader that meets an odd or moved counter reports a miss.
 */
#ifndef CIOMMU_IOTLB_H
#define CIOMMU_IOTLB_H

#include "ciommu.h"
#include "atomics.h"
#include "debug.h"
#include "leaf.h"
#include "wide.h"

#define IOTLB_WAYS 4u
#define IOTLB_TAG_BITS 28u
#define IOTLB_TAG_MAX ((1u << IOTLB_TAG_BITS) - 1)

#define IOTLB_PAGE_BITS 45u
#define IOTLB_PAGE_MASK ((UINT64_C(1) << IOTLB_PAGE_BITS) - 1)
#define IOTLB_TAG_HIGH_SHIFT LEAF_BITS
#define IOTLB_TAG_LOW_BITS 19u

struct iotlb {
    struct wide_word *entries; /* sets * IOTLB_WAYS, one cache line a set; NULL = no IOTLB */
    uint64_t set_mask;
    uint32_t *stripes;   /* spin words, held for a few stores */
    uint32_t *sequences; /* portable mode: one per set; NULL in wide mode */
    uint64_t stripe_mask;
    bool wide; /* 16-byte loads and CRC32C are there */
};

static inline uint64_t hash_crc32c(uint64_t value) {
#if CIOMMU_HAS_AVX_CODE
    uint64_t crc = 0;
    __asm__("crc32q %1, %0" : "+r"(crc) : "r"(value));
    return crc;
#else
    return value;
#endif
}

/* Full avalanche: xor-shift and multiply, three rounds. */
static inline uint64_t hash_rounds(uint64_t value) {
    value ^= value >> 33;
    value *= UINT64_C(0xff51afd7ed558ccd);
    value ^= value >> 33;
    value *= UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

/* iotlb_find where entries are loaded by halves. */
uint64_t ciommu_iotlb_find_halves(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                                  uint32_t page_lg2);

/* `entries` is 0 or a power of two, at least IOTLB_WAYS. */
enum ciommu_status ciommu_iotlb_init(struct iotlb *iotlb, uint32_t entries, bool portable);
void ciommu_iotlb_fini(struct iotlb *iotlb);

/* The set that a page falls into. CRC32C spreads strided page numbers over the sets; a
 * multiplicative hash resonates with some strides. */
static inline uint64_t iotlb_set(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                                 uint32_t page_lg2) {
    uint64_t page =
        (iova >> 12 & IOTLB_PAGE_MASK) >> (page_lg2 - 12); /* the bits that iotlb_low keeps */
    uint64_t key = page ^ (uint64_t)tag << 36 ^ (uint64_t)page_lg2 << 30;
    if (MUTANT(RESONATING_HASH)) {
        return key * UINT64_C(0x9e3779b97f4a7c15) & iotlb->set_mask;
    }
    return (likely(iotlb->wide) ? hash_crc32c(key) : hash_rounds(key)) & iotlb->set_mask;
}

static inline uint64_t iotlb_low(uint32_t tag, uint64_t iova, uint32_t page_lg2) {
    uint64_t page = iova >> page_lg2 << (page_lg2 - 12) & IOTLB_PAGE_MASK;
    return page | (uint64_t)tag << IOTLB_PAGE_BITS;
}

/* The part of the high half that a lookup compares. */
static inline uint64_t iotlb_high_key(uint32_t tag, uint32_t page_lg2) {
    return (uint64_t)page_lg2 << LEAF_SIZE_SHIFT | (uint64_t)(tag >> IOTLB_TAG_LOW_BITS)
                                                       << IOTLB_TAG_HIGH_SHIFT;
}

/* What a lookup compares of an entry. */
static const struct wide_word iotlb_key_mask = {
    UINT64_MAX, UINT64_C(63) << LEAF_SIZE_SHIFT | UINT64_C(0x1ff) << IOTLB_TAG_HIGH_SHIFT};

/* The high half of the entry for the page of `iova` at one size, or 0. */
static inline uint64_t iotlb_find(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                                  uint32_t page_lg2) {
    if (unlikely(!iotlb->wide || MUTANT(TORN_ENTRY))) {
        return ciommu_iotlb_find_halves(iotlb, tag, iova, page_lg2);
    }
    const struct wide_word *set =
        &iotlb->entries[iotlb_set(iotlb, tag, iova, page_lg2) * IOTLB_WAYS];
    const struct wide_word key = {iotlb_low(tag, iova, page_lg2), iotlb_high_key(tag, page_lg2)};
    uint64_t high = select_wide(set, key, &iotlb_key_mask);
    happens_after(set); /* the loads are acquires; pairs with iotlb.c: store_entry */
    return high;
}

/* The leaf of the page of `iova` at one size if it has the `needed` rights, or none. */
static inline struct leaf iotlb_lookup(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                                       uint32_t page_lg2, uint32_t needed) {
    struct leaf leaf = leaf_unpack(iotlb_find(iotlb, tag, iova, page_lg2));
    leaf.page_lg2 = page_lg2; /* known to the caller before the entry is there */
    bool grants = (needed & ~leaf.rights) == 0 || MUTANT(IOTLB_GRANTS);
    leaf.rights = grants ? leaf.rights : 0;
    return leaf;
}

/* Fetches the set of a page ahead of its lookup. */
static inline void iotlb_prefetch(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                                  uint32_t page_lg2) {
    __builtin_prefetch(&iotlb->entries[iotlb_set(iotlb, tag, iova, page_lg2) * IOTLB_WAYS]);
}

/* Inserts unless the stripe is busy or `*generation` is no longer `expected`. `seed` picks the
 * victim. */
void ciommu_iotlb_insert(struct iotlb *iotlb, uint32_t tag, uint64_t iova, struct leaf leaf,
                         const uint64_t *generation, uint64_t expected, uint64_t seed);

/* Clears the entry of the page that holds `iova` at this size. */
void ciommu_iotlb_clear_page(struct iotlb *iotlb, uint32_t tag, uint64_t iova, uint32_t page_lg2);

/* Clears everything: when tags run out. */
void ciommu_iotlb_clear(struct iotlb *iotlb);

#endif
