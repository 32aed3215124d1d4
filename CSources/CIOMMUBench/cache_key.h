/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cache_key.h - the key of the hash tables: (source, PASID, page, level) in two words, and its
 * hash. Pages are cached at 4 KiB, so the level is always 0.
 */
#ifndef CIOMMU_BENCH_CACHE_KEY_H
#define CIOMMU_BENCH_CACHE_KEY_H

#include "world.h"

struct cache_key {
    uint64_t page;      /* page number << 2 | level */
    uint64_t requester; /* PASID << 32 | source */
};

static INLINE struct cache_key cache_key_of(const struct ciommu_request *request) {
    return (struct cache_key){request->iova >> 12 << 2,
                              (uint64_t)request->pasid << 32 | request->source};
}

static INLINE bool cache_key_equal(const struct cache_key *left, const struct cache_key *right) {
    return ((left->page ^ right->page) | (left->requester ^ right->requester)) == 0;
}

/* Both halves of one product of 128 bits: every bit of the key reaches every bit of the hash. */
static INLINE uint32_t cache_key_hash(const struct cache_key *key) {
    unsigned __int128 product = (unsigned __int128)(key->page ^ UINT64_C(0x9e3779b97f4a7c15)) *
                                (key->requester ^ UINT64_C(0xbf58476d1ce4e5b9));
    return (uint32_t)((uint64_t)product >> 32 ^ (uint64_t)(product >> 64) ^ (uint64_t)product);
}

/* The first page of a world's first requester that holds `iova`. */
static INLINE struct cache_key cache_key_first(const struct bench_world *world, uint64_t iova) {
    const struct ciommu_request request = {
        .source = bench_source(0), .pasid = bench_pasid(world, 0), .iova = iova};
    return cache_key_of(&request);
}

#endif
