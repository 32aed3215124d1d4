/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tree.c - a reader-writer lock over an ordered map. Hits read under the lock, misses walk and
 * insert under the write lock.
 */
#include "baseline.h"
#include "ordered_map.h"

#include <pthread.h>
#include <stdlib.h>

#define PAGE_BITS 36u /* of a page number; the requester's lies above */

struct tree {
    struct bench_baseline base;
    pthread_rwlock_t lock __attribute__((aligned(64)));
    struct ordered_map map __attribute__((aligned(64)));
};

static INLINE struct tree *tree_of(struct bench_baseline *baseline) {
    return (struct tree *)baseline;
}

static INLINE int64_t key_of(const struct bench_world *world,
                             const struct ciommu_request *request) {
    uint64_t requester = bench_requester(world, request->source, request->pasid);
    return (int64_t)(requester << PAGE_BITS | request->iova >> 12);
}

/* Gives the read lock up, and takes it again afterwards. */
static __attribute__((noinline)) uint64_t walk_and_add(struct tree *tree,
                                                       const struct ciommu_request *request) {
    pthread_rwlock_unlock(&tree->lock);
    pthread_rwlock_wrlock(&tree->lock);
    uint64_t page = bench_walk_request(tree->base.world, request);
    if (page != 0) {
        map_insert(&tree->map, key_of(tree->base.world, request), page);
    }
    pthread_rwlock_unlock(&tree->lock);
    pthread_rwlock_rdlock(&tree->lock);
    return page;
}

/* ---- Steps ---- */

static INLINE void enter(struct bench_baseline *baseline) {
    pthread_rwlock_rdlock(&tree_of(baseline)->lock);
}

static INLINE void leave(struct bench_baseline *baseline) {
    pthread_rwlock_unlock(&tree_of(baseline)->lock);
}

static INLINE uint64_t one(struct bench_baseline *baseline, const struct ciommu_request *request) {
    struct tree *tree = tree_of(baseline);
    uint64_t page = tree->map.find_one(&tree->map, key_of(baseline->world, request));
    return page != 0 ? page : walk_and_add(tree, request);
}

static INLINE void group(struct bench_baseline *baseline, const struct ciommu_request *requests,
                         uint64_t *pages, uint32_t count) {
    struct tree *tree = tree_of(baseline);
    int64_t keys[BENCH_BATCH_SIZE];
    for (uint32_t index = 0; index < count; index++) {
        keys[index] = key_of(baseline->world, &requests[index]);
    }
    tree->map.find(&tree->map, keys, pages, count);
    for (uint32_t index = 0; index < count; index++) {
        if (pages[index] == 0) {
            pages[index] = walk_and_add(tree, &requests[index]);
        }
    }
}

static const struct bench_steps steps = {enter, leave, group, one};

/* ---- The design ---- */

static struct bench_baseline *create(uint64_t pages) {
    struct tree *tree = aligned_alloc(64, sizeof *tree);
    if (tree == NULL || pthread_rwlock_init(&tree->lock, NULL) != 0) {
        bench_fail("no memory");
    }
    map_init(&tree->map, pages);
    return &tree->base;
}

static void destroy(struct bench_baseline *baseline) {
    struct tree *tree = tree_of(baseline);
    map_fini(&tree->map);
    pthread_rwlock_destroy(&tree->lock);
    free(tree);
}

static uint64_t translate(struct bench_baseline *baseline, enum bench_manner manner,
                          const struct ciommu_request *requests, const uint64_t *answers,
                          uint32_t count) {
    return bench_baseline_loop(baseline, &steps, manner, requests, answers, count);
}

static void remove_keys(struct tree *tree, int64_t first, int64_t last) {
    pthread_rwlock_wrlock(&tree->lock);
    map_remove(&tree->map, first, last);
    pthread_rwlock_unlock(&tree->lock);
}

static void invalidate_page(struct bench_baseline *baseline, uint64_t iova) {
    remove_keys(tree_of(baseline), (int64_t)(iova >> 12), (int64_t)(iova >> 12));
}

static void invalidate_domain(struct bench_baseline *baseline) {
    struct tree *tree = tree_of(baseline);
    if (baseline->world->requesters > 1) {
        remove_keys(tree, 0, (INT64_C(1) << PAGE_BITS) - 1);
        return;
    }
    pthread_rwlock_wrlock(&tree->lock);
    map_clear(&tree->map);
    pthread_rwlock_unlock(&tree->lock);
}

const struct bench_functions bench_tree = {create, destroy, translate, invalidate_page,
                                           invalidate_domain};
