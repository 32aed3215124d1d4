/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * iotlb.h - the shared translation cache: set-associative, lock-free for readers, output addresses
 * only (never host pointers). Knows tags, pages and entries; which tag is alive and which
 * generation is current is the address space's affair.
 *
 * An entry is 16 bytes:
 *   low   bits 44:0   input page number (56:12 of the address; low bits of a larger page are zero)
 *         bits 63:45  tag, low 19 bits
 *   high  bits 39:0   output page number (51:12)
 *         bits 45:40  rights: user R W X, privileged R W X; zero = empty
 *         bits 51:46  page size, log2
 *         bits 54:52  attributes
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
#include "wide.h"

#define IOTLB_WAYS 4u
#define IOTLB_TAG_BITS 28u
#define IOTLB_TAG_MAX ((1u << IOTLB_TAG_BITS) - 1)

/* Rights as caches keep them: bits 0-2 user R W X, bits 3-5 privileged R W X. */
#define RIGHTS_USER(rights) ((rights) & 7u)
#define RIGHTS_PRIVILEGED(rights) ((rights) >> 3 & 7u)
#define RIGHTS_BOTH(rights) ((rights) | (rights) << 3)

/* A leaf, whichever cache it comes from. `address` is the output address of the page's first byte.
 */
struct leaf {
    uint64_t address;
    uint32_t rights;
    uint32_t page_lg2;
    uint32_t attributes;
};

struct iotlb {
    struct wide_word *entries; /* sets * IOTLB_WAYS, one cache line a set; NULL = no IOTLB */
    uint64_t set_mask;
    uint32_t *stripes;   /* spin words, held for a few stores */
    uint32_t *sequences; /* portable mode: one per set; NULL in wide mode */
    uint64_t stripe_mask;
    bool wide; /* 16-byte loads and CRC32C are there */
};

/* `entries` is 0 or a power of two, at least IOTLB_WAYS. */
enum ciommu_status ciommu_iotlb_init(struct iotlb *iotlb, uint32_t entries, bool portable);
void ciommu_iotlb_fini(struct iotlb *iotlb);

/* Looks for the page of `iova` at one size, with at least the `needed` rights. */
bool ciommu_iotlb_lookup(const struct iotlb *iotlb, uint32_t tag, uint64_t iova, uint32_t page_lg2,
                         uint32_t needed, struct leaf *out);

/* Inserts unless the stripe is busy or `*generation` is no longer `expected`. `seed` picks the
 * victim. */
void ciommu_iotlb_insert(struct iotlb *iotlb, uint32_t tag, uint64_t iova, const struct leaf *leaf,
                         const uint64_t *generation, uint64_t expected, uint64_t seed);

/* Clears the entry of the page that holds `iova` at this size. */
void ciommu_iotlb_clear_page(struct iotlb *iotlb, uint32_t tag, uint64_t iova, uint32_t page_lg2);

/* Clears everything: when tags run out. */
void ciommu_iotlb_clear(struct iotlb *iotlb);

/* The set that a page falls into; for tests of the distribution. */
uint64_t ciommu_iotlb_set(const struct iotlb *iotlb, uint32_t tag, uint64_t iova,
                          uint32_t page_lg2);

#endif
