/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * mutex_table.c - a mutex around a chained hash table. Misses walk under the lock; the table is
 * flushed whole when it holds 1,024 entries.
 *
 * Nodes have half a cache line and come from an array in the order of their making; a chain is a
 * list of 16-bit numbers, so that all heads take 4 KiB and are cleared in no time.
 */
#include "baseline.h"
#include "cache_key.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1024u
#define HEADS 2048u

struct node {
    struct cache_key key;
    uint64_t page; /* address | rights */
    uint32_t next; /* number of a node + 1; 0 = end */
} __attribute__((aligned(32)));

struct mutex_table {
    struct bench_baseline base;
    pthread_mutex_t lock __attribute__((aligned(64)));
    uint32_t used; /* nodes, removed ones included */
    uint16_t heads[HEADS] __attribute__((aligned(64)));
    struct node nodes[MOST] __attribute__((aligned(64)));
};

static INLINE struct mutex_table *table_of(struct bench_baseline *baseline) {
    return (struct mutex_table *)baseline;
}

static void flush(struct mutex_table *table) {
    table->used = 0;
    memset(table->heads, 0, sizeof table->heads);
}

static INLINE uint16_t *head_of(struct mutex_table *table, const struct cache_key *key) {
    return &table->heads[cache_key_hash(key) % HEADS];
}

static __attribute__((noinline)) uint64_t walk_and_add(struct mutex_table *table,
                                                       const struct ciommu_request *request,
                                                       const struct cache_key *key) {
    uint64_t page = bench_walk_request(table->base.world, request);
    if (page == 0) {
        return 0;
    }
    if (table->used == MOST) {
        flush(table);
    }
    uint16_t *head = head_of(table, key);
    table->nodes[table->used] = (struct node){*key, page, *head};
    *head = (uint16_t)++table->used;
    return page;
}

static INLINE struct node *find(struct mutex_table *table, const struct cache_key *key) {
    for (uint32_t at = *head_of(table, key); at != 0;) {
        struct node *node = &table->nodes[at - 1];
        if (cache_key_equal(&node->key, key)) {
            return node;
        }
        at = node->next;
    }
    return NULL;
}

/* ---- Steps ---- */

static INLINE void enter(struct bench_baseline *baseline) {
    pthread_mutex_lock(&table_of(baseline)->lock);
}

static INLINE void leave(struct bench_baseline *baseline) {
    pthread_mutex_unlock(&table_of(baseline)->lock);
}

static INLINE uint64_t one(struct bench_baseline *baseline, const struct ciommu_request *request) {
    struct mutex_table *table = table_of(baseline);
    const struct cache_key key = cache_key_of(request);
    const struct node *node = find(table, &key);
    return node != NULL ? node->page : walk_and_add(table, request, &key);
}

/* All heads and nodes lie in the first two caches: there is nothing to fetch ahead. */
static INLINE void group(struct bench_baseline *baseline, const struct ciommu_request *requests,
                         uint64_t *pages, uint32_t count) {
    for (uint32_t index = 0; index < count; index++) {
        pages[index] = one(baseline, &requests[index]);
    }
}

static const struct bench_steps steps = {enter, leave, group, one};

/* ---- The design ---- */

static struct bench_baseline *create(uint64_t pages) {
    (void)pages;
    struct mutex_table *table = aligned_alloc(64, sizeof *table);
    if (table == NULL) {
        bench_fail("no memory");
    }
    memset(table, 0, sizeof *table);
    pthread_mutex_init(&table->lock, NULL);
    return &table->base;
}

static void destroy(struct bench_baseline *baseline) {
    pthread_mutex_destroy(&table_of(baseline)->lock);
    free(baseline);
}

static uint64_t translate(struct bench_baseline *baseline, enum bench_manner manner,
                          const struct ciommu_request *requests, const uint64_t *answers,
                          uint32_t count) {
    return bench_baseline_loop(baseline, &steps, manner, requests, answers, count);
}

/* A removed node's place comes free with the next flush. */
static void invalidate_page(struct bench_baseline *baseline, uint64_t iova) {
    struct mutex_table *table = table_of(baseline);
    const struct cache_key key = cache_key_first(baseline->world, iova);
    enter(baseline);
    uint16_t *head = head_of(table, &key);
    struct node *before = NULL;
    for (uint32_t at = *head; at != 0;) {
        struct node *node = &table->nodes[at - 1];
        if (cache_key_equal(&node->key, &key)) {
            if (before == NULL) {
                *head = (uint16_t)node->next;
            } else {
                before->next = node->next;
            }
            break;
        }
        before = node;
        at = node->next;
    }
    leave(baseline);
}

static void invalidate_domain(struct bench_baseline *baseline) {
    enter(baseline);
    flush(table_of(baseline));
    leave(baseline);
}

const struct bench_functions bench_mutex_table = {create, destroy, translate, invalidate_page,
                                                  invalidate_domain};
