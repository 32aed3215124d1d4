/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pasid_pool.c - see pasid_pool.h.
 */
#include "pasid_pool.h"
#include "alloc.h"
#include "debug.h"

#define WORD_BITS 64u
#define ALL_ONES UINT64_MAX

/* Words for `bits` bits. */
static uint32_t words_for(uint32_t bits) {
    return (bits + WORD_BITS - 1) / WORD_BITS;
}

static uint64_t bit_of(uint32_t index) {
    return UINT64_C(1) << (index % WORD_BITS);
}

enum ciommu_status ciommu_pasid_pool_init(struct pasid_pool *pool, uint32_t first, uint32_t last) {
    *pool = (struct pasid_pool){.first = first, .count = last - first + 1};
    uint32_t words = words_for(pool->count);
    pool->words = ciommu_allocate(CACHE_LINE, words * sizeof *pool->words);
    pool->full = ciommu_allocate(CACHE_LINE, words_for(words) * sizeof *pool->full);
    if (pool->words == NULL || pool->full == NULL) {
        ciommu_pasid_pool_fini(pool);
        return CIOMMU_NO_MEMORY;
    }
    return CIOMMU_OK;
}

void ciommu_pasid_pool_fini(struct pasid_pool *pool) {
    ciommu_free(pool->words);
    ciommu_free(pool->full);
    *pool = (struct pasid_pool){0};
}

bool ciommu_pasid_pool_contains(const struct pasid_pool *pool, uint32_t pasid) {
    return pasid >= pool->first && pasid - pool->first < pool->count;
}

bool ciommu_pasid_pool_is_taken(const struct pasid_pool *pool, uint32_t pasid) {
    ciommu_assert(ciommu_pasid_pool_contains(pool, pasid));
    uint32_t index = pasid - pool->first;
    return (pool->words[index / WORD_BITS] & bit_of(index)) != 0;
}

/* The first clear bit at or after `from`, or `bits`: those behind the end are clear. from <= bits.
 */
static uint32_t first_clear(const uint64_t *words, uint32_t bits, uint32_t from) {
    uint64_t mask = ALL_ONES << (from % WORD_BITS);
    for (uint32_t word = from / WORD_BITS; word < words_for(bits); word++, mask = ALL_ONES) {
        uint64_t clear = ~words[word] & mask;
        if (clear != 0) {
            return word * WORD_BITS + (uint32_t)__builtin_ctzll(clear);
        }
    }
    return bits;
}

/* Index of the first free PASID at or after `from`, or `count`. from <= count. */
static uint32_t first_free(const struct pasid_pool *pool, uint32_t from) {
    uint32_t words = words_for(pool->count);
    uint32_t word = from / WORD_BITS;
    uint64_t here = word < words ? ~pool->words[word] & ALL_ONES << (from % WORD_BITS) : 0;
    if (here == 0 && word + 1 < words) {
        word = first_clear(pool->full, words, word + 1);
        here = word < words ? ~pool->words[word] : 0;
    }
    return here == 0 ? pool->count : word * WORD_BITS + (uint32_t)__builtin_ctzll(here);
}

bool ciommu_pasid_pool_find(const struct pasid_pool *pool, uint32_t *pasid) {
    if (pool->taken == pool->count) {
        return false;
    }
    uint32_t index = first_free(pool, pool->next);
    index = index == pool->count ? first_free(pool, 0) : index;
    *pasid = pool->first + index;
    return true;
}

void ciommu_pasid_pool_take(struct pasid_pool *pool, uint32_t pasid) {
    ciommu_assert(!ciommu_pasid_pool_is_taken(pool, pasid));
    uint32_t index = pasid - pool->first;
    uint32_t word = index / WORD_BITS;
    pool->words[word] |= bit_of(index);
    if (pool->words[word] == ALL_ONES) {
        pool->full[word / WORD_BITS] |= bit_of(word);
    }
    pool->next = index + 1; /* may be `count`: the search then begins anew */
    pool->taken++;
}

void ciommu_pasid_pool_give(struct pasid_pool *pool, uint32_t pasid) {
    ciommu_assert(ciommu_pasid_pool_is_taken(pool, pasid));
    uint32_t index = pasid - pool->first;
    uint32_t word = index / WORD_BITS;
    pool->words[word] &= ~bit_of(index);
    pool->full[word / WORD_BITS] &= ~bit_of(word);
    pool->taken--;
}
