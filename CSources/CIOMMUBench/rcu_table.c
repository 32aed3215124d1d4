/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * rcu_table.c - liburcu's lock-free hash table, read under RCU (flavour bp, inlined). A miss walks
 * and adds; an invalidation removes and waits for a grace period.
 *
 * The table has two buckets or more for each page, and never grows. Nodes have a cache line each
 * and come from an array; those that were removed lie on a stack, as numbers with a version beside
 * them. A batch fetches buckets, then nodes, ahead of its lookups. The build defines _LGPL_SOURCE,
 * so that liburcu's read sections are inlined.
 */
#include "baseline.h"
#include "cache_key.h"

#include <urcu/urcu-bp.h>
#include <urcu/rculfhash.h>

#include <stdlib.h>
#include <sys/mman.h>

#define SLACK 1024u /* nodes that wait for a grace period */
#define LEAST_BUCKETS 64u
#define CHAIN_FLAGS ((uintptr_t)7) /* liburcu's own, in the pointers of a chain */
#define COLLAPSE 25                /* MADV_COLLAPSE, Linux 6.1 */

struct node {
    struct cds_lfht_node link;
    struct cache_key key;
    uint64_t page; /* address | rights */
    uint32_t next; /* on the stack: number of a node + 1; 0 = end */
} __attribute__((aligned(64)));

struct rcu_table {
    struct bench_baseline base;
    struct cds_lfht *table;
    const struct cds_lfht_node *buckets;
    uint64_t bucket_mask;
    struct node *nodes;
    uint32_t capacity;
    uint32_t used __attribute__((aligned(64))); /* atomic: nodes taken from the array */
    uint64_t stack; /* atomic: version << 32 | number of the first node + 1 */
};

static INLINE struct rcu_table *table_of(struct bench_baseline *baseline) {
    return (struct rcu_table *)baseline;
}

/* ---- Nodes ---- */

static struct node *take_node(struct rcu_table *table) {
    uint64_t top = __atomic_load_n(&table->stack, __ATOMIC_ACQUIRE);
    while ((uint32_t)top != 0) {
        struct node *node = &table->nodes[(uint32_t)top - 1];
        uint64_t below = ((top >> 32) + 1) << 32 | __atomic_load_n(&node->next, __ATOMIC_RELAXED);
        if (__atomic_compare_exchange_n(&table->stack, &top, below, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_ACQUIRE)) {
            return node;
        }
    }
    if (__atomic_load_n(&table->used, __ATOMIC_RELAXED) >= table->capacity) {
        return NULL;
    }
    uint32_t number = __atomic_fetch_add(&table->used, 1, __ATOMIC_RELAXED);
    return number < table->capacity ? &table->nodes[number] : NULL;
}

static void give_node(struct rcu_table *table, struct node *node) {
    uint64_t top = __atomic_load_n(&table->stack, __ATOMIC_RELAXED);
    uint64_t above;
    do {
        __atomic_store_n(&node->next, (uint32_t)top, __ATOMIC_RELAXED);
        above = ((top >> 32) + 1) << 32 | (uint32_t)(node - table->nodes + 1);
    } while (!__atomic_compare_exchange_n(&table->stack, &top, above, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
}

/* ---- Lookups; all inside a read section ---- */

static int matches(struct cds_lfht_node *link, const void *key) {
    return cache_key_equal(&caa_container_of(link, struct node, link)->key, key);
}

static INLINE struct node *find(struct rcu_table *table, const struct cache_key *key) {
    struct cds_lfht_iter iter;
    cds_lfht_lookup(table->table, cache_key_hash(key), matches, key, &iter);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&iter);
    return link == NULL ? NULL : caa_container_of(link, struct node, link);
}

static __attribute__((noinline)) uint64_t walk_and_add(struct rcu_table *table,
                                                       const struct ciommu_request *request,
                                                       const struct cache_key *key) {
    uint64_t page = bench_walk_request(table->base.world, request);
    struct node *node = page == 0 ? NULL : take_node(table);
    if (node == NULL) {
        return page;
    }
    node->key = *key;
    node->page = page;
    struct cds_lfht_node *there =
        cds_lfht_add_unique(table->table, cache_key_hash(key), matches, key, &node->link);
    if (there != &node->link) {
        give_node(table, node); /* nobody saw it */
    }
    return page;
}

static INLINE uint64_t look(struct rcu_table *table, const struct ciommu_request *request,
                            const struct cache_key *key) {
    const struct node *node = find(table, key);
    return node != NULL ? node->page : walk_and_add(table, request, key);
}

/* ---- Steps ---- */

static INLINE void enter(struct bench_baseline *baseline) {
    (void)baseline;
    urcu_bp_read_lock();
}

static INLINE void leave(struct bench_baseline *baseline) {
    (void)baseline;
    urcu_bp_read_unlock();
}

static INLINE uint64_t one(struct bench_baseline *baseline, const struct ciommu_request *request) {
    const struct cache_key key = cache_key_of(request);
    return look(table_of(baseline), request, &key);
}

static INLINE void group(struct bench_baseline *baseline, const struct ciommu_request *requests,
                         uint64_t *pages, uint32_t count) {
    struct rcu_table *table = table_of(baseline);
    struct cache_key keys[BENCH_BATCH_SIZE];
    const struct cds_lfht_node *buckets[BENCH_BATCH_SIZE];
    for (uint32_t index = 0; index < count; index++) {
        keys[index] = cache_key_of(&requests[index]);
        buckets[index] = &table->buckets[cache_key_hash(&keys[index]) & table->bucket_mask];
        __builtin_prefetch(buckets[index]);
    }
    for (uint32_t index = 0; index < count; index++) {
        uintptr_t next = (uintptr_t)__atomic_load_n(&buckets[index]->next, __ATOMIC_RELAXED);
        __builtin_prefetch((const void *)(next & ~CHAIN_FLAGS));
    }
    for (uint32_t index = 0; index < count; index++) {
        pages[index] = look(table, &requests[index], &keys[index]);
    }
}

static const struct bench_steps steps = {enter, leave, group, one};

/* ---- The design ---- */

static struct bench_baseline *create(uint64_t pages) {
    struct rcu_table *table = aligned_alloc(64, sizeof *table);
    if (table == NULL) {
        bench_fail("no memory");
    }
    *table = (struct rcu_table){.capacity = (uint32_t)pages + SLACK};
    uint64_t buckets = LEAST_BUCKETS;
    while (buckets < 2 * pages) {
        buckets *= 2;
    }
    table->bucket_mask = buckets - 1;
    table->nodes = bench_pages(table->capacity * sizeof(struct node), "the RCU table's nodes");
    table->table =
        _cds_lfht_new(buckets, buckets, buckets, 0, &cds_lfht_mm_mmap, &urcu_bp_flavor, NULL);
    if (table->table == NULL) {
        bench_fail("no memory for the RCU table");
    }
    table->buckets = cds_lfht_mm_mmap.bucket_at(table->table, 0); /* one array */
    /* Huge pages for the buckets too, where whole ones lie in them. */
    uintptr_t first = ((uintptr_t)table->buckets + 0x1fffff) & ~(uintptr_t)0x1fffff;
    uintptr_t end = (uintptr_t)(table->buckets + buckets) & ~(uintptr_t)0x1fffff;
    if (first < end) {
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
        (void)madvise((void *)first, end - first, COLLAPSE);
    }
    return &table->base;
}

static void destroy(struct bench_baseline *baseline) {
    struct rcu_table *table = table_of(baseline);
    struct cds_lfht_iter iter;
    urcu_bp_read_lock();
    for (cds_lfht_first(table->table, &iter); cds_lfht_iter_get_node(&iter) != NULL;
         cds_lfht_next(table->table, &iter)) {
        (void)cds_lfht_del(table->table, cds_lfht_iter_get_node(&iter));
    }
    urcu_bp_read_unlock();
    urcu_bp_synchronize_rcu();
    if (cds_lfht_destroy(table->table, NULL) != 0) {
        bench_fail("the RCU table is not empty");
    }
    bench_pages_free(table->nodes, table->capacity * sizeof(struct node));
    free(table);
}

static uint64_t translate(struct bench_baseline *baseline, enum bench_manner manner,
                          const struct ciommu_request *requests, const uint64_t *answers,
                          uint32_t count) {
    return bench_baseline_loop(baseline, &steps, manner, requests, answers, count);
}

/* Takes one page out; NULL if it is not there. */
static struct node *take_out(struct rcu_table *table, const struct cache_key *key) {
    urcu_bp_read_lock();
    struct node *node = find(table, key);
    bool mine = node != NULL && cds_lfht_del(table->table, &node->link) == 0;
    urcu_bp_read_unlock();
    return mine ? node : NULL;
}

/* Who walked before the removal may add after it: once more after the grace period, which ends
 * every such section. */
static void invalidate_page(struct bench_baseline *baseline, uint64_t iova) {
    struct rcu_table *table = table_of(baseline);
    const struct cache_key key = cache_key_first(baseline->world, iova);
    struct node *before = take_out(table, &key);
    urcu_bp_synchronize_rcu();
    if (before != NULL) {
        give_node(table, before);
    }
    struct node *after = take_out(table, &key);
    if (after != NULL) {
        urcu_bp_synchronize_rcu();
        give_node(table, after);
    }
}

/* Takes out all pages of a requester; the nodes hang together by `next`, and the first of them is
 * returned as number + 1. */
static uint32_t take_all_out(struct rcu_table *table, uint64_t requester) {
    struct cds_lfht_iter iter;
    uint32_t list = 0;
    urcu_bp_read_lock();
    for (cds_lfht_first(table->table, &iter); cds_lfht_iter_get_node(&iter) != NULL;
         cds_lfht_next(table->table, &iter)) {
        struct node *node = caa_container_of(cds_lfht_iter_get_node(&iter), struct node, link);
        if (node->key.requester == requester && cds_lfht_del(table->table, &node->link) == 0) {
            node->next = list;
            list = (uint32_t)(node - table->nodes + 1);
        }
    }
    urcu_bp_read_unlock();
    return list;
}

static void give_all(struct rcu_table *table, uint32_t list) {
    while (list != 0) {
        struct node *node = &table->nodes[list - 1];
        list = node->next;
        give_node(table, node);
    }
}

/* As for a page; a walker that began before the removal is waited for first, so that one pass over
 * the table is enough. */
static void invalidate_domain(struct bench_baseline *baseline) {
    struct rcu_table *table = table_of(baseline);
    uint64_t requester = cache_key_first(baseline->world, 0).requester;
    urcu_bp_synchronize_rcu();
    uint32_t list = take_all_out(table, requester);
    urcu_bp_synchronize_rcu();
    give_all(table, list);
}

const struct bench_functions bench_rcu_table = {create, destroy, translate, invalidate_page,
                                                invalidate_domain};
