/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_stores.c - see fault_stores.h. No store allocates when an event comes.
 */
#include "fault_stores.h"
#include "ordered_map.h"

#include <urcu/compiler.h>
#include <urcu/wfcqueue.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct mutex_queue {
    pthread_mutex_t lock;
    uint32_t first;
    uint32_t count;
    struct event events[EVENTS];
};

/* Events by number; a number's place in the array is its remainder. */
struct event_tree {
    pthread_rwlock_t lock;
    struct ordered_map map;
    int64_t first;
    int64_t end;
    struct event events[EVENTS];
};

struct queue_node {
    struct cds_wfcq_node link;
    struct event event;
} __attribute__((aligned(64)));

/* Nodes are taken in turn; one is free again once its event was read, and events are read in
 * order. */
struct wait_free_queue {
    struct __cds_wfcq_head head __attribute__((aligned(64)));
    uint64_t read; /* atomic; by the reader */
    struct cds_wfcq_tail tail __attribute__((aligned(64)));
    uint64_t taken __attribute__((aligned(64))); /* atomic */
    struct queue_node nodes[EVENTS];
};

struct fault_stores {
    struct mutex_queue queue __attribute__((aligned(64)));
    struct event_tree tree __attribute__((aligned(64)));
    struct wait_free_queue wait_free;
};

struct fault_stores *fault_stores_create(void) {
    struct fault_stores *stores = aligned_alloc(64, sizeof *stores);
    if (stores == NULL) {
        bench_fail("no memory");
    }
    memset(stores, 0, sizeof *stores);
    pthread_mutex_init(&stores->queue.lock, NULL);
    pthread_rwlock_init(&stores->tree.lock, NULL);
    map_init(&stores->tree.map, 4 * EVENTS);
    __cds_wfcq_init(&stores->wait_free.head, &stores->wait_free.tail);
    return stores;
}

void fault_stores_destroy(struct fault_stores *stores) {
    map_fini(&stores->tree.map);
    pthread_rwlock_destroy(&stores->tree.lock);
    pthread_mutex_destroy(&stores->queue.lock);
    free(stores);
}

/* ---- Ring under a mutex ---- */

static bool put_queue(struct mutex_queue *queue, const struct ciommu_fault *fault) {
    uint64_t time = bench_now();
    pthread_mutex_lock(&queue->lock);
    bool room = queue->count < EVENTS;
    if (room) {
        queue->events[(queue->first + queue->count++) % EVENTS] = (struct event){time, *fault};
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

static uint32_t drain_queue(struct mutex_queue *queue) {
    uint32_t events = 0;
    uint64_t last = 0;
    pthread_mutex_lock(&queue->lock);
    for (; queue->count > 0; queue->count--, events++) {
        const struct event *event = &queue->events[queue->first];
        bench_must_be_right(event->time < last || event->fault.reason == CIOMMU_FAULT_NONE);
        last = event->time;
        queue->first = (queue->first + 1) % EVENTS;
    }
    pthread_mutex_unlock(&queue->lock);
    return events;
}

/* ---- Ordered map ---- */

static bool put_tree(struct event_tree *tree, const struct ciommu_fault *fault) {
    uint64_t time = bench_now();
    pthread_rwlock_wrlock(&tree->lock);
    bool room = tree->end - tree->first < EVENTS;
    if (room) {
        uint64_t place = (uint64_t)tree->end % EVENTS;
        tree->events[place] = (struct event){time, *fault};
        map_insert(&tree->map, tree->end++, place + 1);
    }
    pthread_rwlock_unlock(&tree->lock);
    return room;
}

static uint32_t drain_tree(struct event_tree *tree) {
    uint32_t events = 0;
    pthread_rwlock_wrlock(&tree->lock);
    for (; tree->first < tree->end; tree->first++, events++) {
        uint64_t place = tree->map.find_one(&tree->map, tree->first);
        bench_must_be_right(place == 0 ||
                            tree->events[place - 1].fault.reason == CIOMMU_FAULT_NONE);
    }
    map_clear(&tree->map);
    pthread_rwlock_unlock(&tree->lock);
    return events;
}

/* ---- Wait-free queue ---- */

static bool put_wait_free(struct wait_free_queue *queue, const struct ciommu_fault *fault) {
    uint64_t time = bench_now();
    /* Full if all nodes are on their way, or, with several producers, nearly so. */
    uint64_t read = __atomic_load_n(&queue->read, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&queue->taken, __ATOMIC_RELAXED) - read >= EVENTS - 64) {
        return false;
    }
    uint64_t number = __atomic_fetch_add(&queue->taken, 1, __ATOMIC_RELAXED);
    struct queue_node *node = &queue->nodes[number % EVENTS];
    node->event = (struct event){time, *fault};
    cds_wfcq_node_init(&node->link);
    (void)cds_wfcq_enqueue(&queue->head, &queue->tail, &node->link);
    return true;
}

static uint32_t drain_wait_free(struct wait_free_queue *queue) {
    uint32_t events = 0;
    struct cds_wfcq_node *link;
    while ((link = __cds_wfcq_dequeue_blocking(&queue->head, &queue->tail)) != NULL) {
        const struct queue_node *node = caa_container_of(link, struct queue_node, link);
        bench_must_be_right(node->event.fault.reason == CIOMMU_FAULT_NONE);
        __atomic_store_n(&queue->read, queue->read + 1, __ATOMIC_RELEASE);
        events++;
    }
    return events;
}

/* ---- Any ---- */

bool fault_stores_put(struct fault_stores *stores, enum bench_fault_store which,
                      const struct ciommu_fault *fault) {
    switch (which) {
    case BENCH_FAULT_MUTEX_QUEUE:
        return put_queue(&stores->queue, fault);
    case BENCH_FAULT_TREE:
        return put_tree(&stores->tree, fault);
    default:
        return put_wait_free(&stores->wait_free, fault);
    }
}

uint32_t fault_stores_drain(struct fault_stores *stores, enum bench_fault_store which) {
    switch (which) {
    case BENCH_FAULT_MUTEX_QUEUE:
        return drain_queue(&stores->queue);
    case BENCH_FAULT_TREE:
        return drain_tree(&stores->tree);
    default:
        return drain_wait_free(&stores->wait_free);
    }
}
