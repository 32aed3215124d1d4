/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * leaf.h - a translation, and the same in one word, as the IOTLB keeps it:
 *
 *   bits 39:0   output page number (51:12 of the address)
 *        45:40  rights: user R W X, privileged R W X; zero = no leaf
 *        51:46  page size, log2
 *        54:52  attributes
 *        63:55  the IOTLB's own; zero elsewhere
 */
#ifndef CIOMMU_LEAF_H
#define CIOMMU_LEAF_H

#include <stdbool.h>
#include <stdint.h>

#define LEAF_ADDRESS_MASK ((UINT64_C(1) << 40) - 1)
#define LEAF_RIGHTS_SHIFT 40u
#define LEAF_SIZE_SHIFT 46u
#define LEAF_ATTRIBUTES_SHIFT 52u
#define LEAF_BITS 55u

/* Rights as caches keep them: bits 0-2 user R W X, bits 3-5 privileged R W X. */
#define RIGHTS_USER(rights) ((rights) & 7u)
#define RIGHTS_PRIVILEGED(rights) ((rights) >> 3 & 7u)
#define RIGHTS_BOTH(rights) ((rights) | (rights) << 3)
#define RIGHTS_ALL 63u

/* `address` is the output address of the page's first byte. Without rights it is none. `cut` is the
 * size of the first-stage leaf of which this is a part, where the second stage's page is smaller;
 * 0 = it is all of it, or it comes from a cache. */
struct leaf {
    uint64_t address;
    uint32_t rights;
    uint32_t page_lg2;
    uint32_t attributes;
    uint32_t cut;
};

#define NO_LEAF ((struct leaf){.page_lg2 = 12})

static inline uint64_t leaf_pack(struct leaf leaf) {
    return (leaf.address >> 12 & LEAF_ADDRESS_MASK) | (uint64_t)leaf.rights << LEAF_RIGHTS_SHIFT |
           (uint64_t)leaf.page_lg2 << LEAF_SIZE_SHIFT |
           (uint64_t)leaf.attributes << LEAF_ATTRIBUTES_SHIFT;
}

static inline struct leaf leaf_unpack(uint64_t word) {
    return (struct leaf){
        .address = (word & LEAF_ADDRESS_MASK) << 12,
        .rights = (uint32_t)(word >> LEAF_RIGHTS_SHIFT & 63),
        .page_lg2 = (uint32_t)(word >> LEAF_SIZE_SHIFT & 63),
        .attributes = (uint32_t)(word >> LEAF_ATTRIBUTES_SHIFT & 7),
    };
}

/* Out of memory, where a call has left it, into registers: assigned as a whole, the compiler would
 * keep what it is assigned to in memory, too. */
static inline struct leaf leaf_copy(const struct leaf *leaf) {
    return (struct leaf){.address = leaf->address,
                         .rights = leaf->rights,
                         .page_lg2 = leaf->page_lg2,
                         .attributes = leaf->attributes,
                         .cut = leaf->cut};
}

static inline bool leaf_exists(struct leaf leaf) {
    return leaf.rights != 0;
}

/* Page size - 1. */
static inline uint64_t leaf_mask(struct leaf leaf) {
    return (UINT64_C(1) << leaf.page_lg2) - 1;
}

/* What `cut` is of the part of a first-stage leaf in a page of the second stage. */
static inline uint32_t leaf_cut(uint32_t first_lg2, uint32_t second_lg2) {
    return second_lg2 < first_lg2 ? 1u << first_lg2 : 0;
}

/* The output address of `input`. */
static inline uint64_t leaf_output(struct leaf leaf, uint64_t input) {
    return leaf.address | (input & leaf_mask(leaf));
}

#endif
