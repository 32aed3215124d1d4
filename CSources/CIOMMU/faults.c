/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * faults.c - the collector: rings are merged by stamp into the queues; notices. The protocol stands
 * in faults.h.
 */
#include "faults.h"
#include "alloc.h"
#include "unit.h"

#include <string.h>

void ciommu_faults_init(struct faults *faults) {
    pthread_mutex_init(&faults->lock, NULL);
    pthread_cond_init(&faults->given, NULL);
}

void ciommu_faults_fini(struct faults *faults) {
    ciommu_free(faults->heap);
    pthread_mutex_destroy(&faults->lock);
    pthread_cond_destroy(&faults->given);
}

/* ---- The heap: the ring with the oldest record first ---- */

static void sift_down(struct faults *faults, uint32_t index) {
    struct fault_ring **heap = faults->heap;
    struct fault_ring *moved = heap[index];
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= faults->heap_count) {
            break;
        }
        if (child + 1 < faults->heap_count && heap[child + 1]->stamp < heap[child]->stamp) {
            child++;
        }
        if (moved->stamp <= heap[child]->stamp) {
            break;
        }
        heap[index] = heap[child];
        index = child;
    }
    heap[index] = moved;
}

static void push(struct faults *faults, struct fault_ring *ring) {
    uint32_t index = faults->heap_count++;
    while (index != 0 && faults->heap[(index - 1) / 2]->stamp > ring->stamp) {
        faults->heap[index] = faults->heap[(index - 1) / 2];
        index = (index - 1) / 2;
    }
    faults->heap[index] = ring;
}

/* The stamp of the ring's next record; false at its end, and where the limit is reached. */
static bool look(struct fault_ring *ring, uint64_t limit) {
    if (ring->tail == ring->end) {
        return false;
    }
    ring->stamp = fault_ring_slot(ring, ring->tail)->stamp;
    return ring->stamp < limit;
}

static void look_first(struct faults *faults, struct fault_ring *ring, uint64_t limit) {
    ring->end = load_acquire(&ring->head); /* pairs with the producer's publication */
    if (look(ring, limit)) {
        push(faults, ring);
    }
}

/* ---- A pass: faults.lock ---- */

static void list_notice(struct faults *faults, struct ciommu_fault_queue *queue) {
    if (load_relaxed(&queue->notifies) == 0 || queue->is_noticed) {
        return;
    }
    queue->is_noticed = true;
    queue->next_notice = NULL;
    if (faults->last_notice != NULL) {
        faults->last_notice->next_notice = queue;
    } else {
        faults->first_notice = queue;
    }
    faults->last_notice = queue;
    store_relaxed(&faults->notices, faults->notices + 1);
}

/* Tells the queue of losses up to `lost`. */
static void tell(struct faults *faults, struct ciommu_fault_queue *queue, uint64_t lost) {
    if (lost > queue->lost_told) {
        uint64_t count = lost - queue->lost_told;
        queue->lost_told = lost;
        if (ciommu_fault_queue_lose(queue, count)) {
            list_notice(faults, queue);
        }
    }
}

static void deliver(struct faults *faults, const struct fault_slot *slot,
                    const struct ciommu_fault *fault) {
    struct ciommu_fault_queue *queue = slot->queue;
    if (queue == NULL) {
        store_relaxed(&faults->orphans, faults->orphans + 1);
        return;
    }
    /* The slot has the low half; it is not less than what was told unless a younger record, of
     * another thread, came first. */
    int32_t ahead = (int32_t)(slot->lost - (uint32_t)queue->lost_told);
    if (ahead > 0) {
        tell(faults, queue, queue->lost_told + (uint32_t)ahead);
    }
    if (ciommu_fault_queue_append(queue, fault, slot->time)) {
        list_notice(faults, queue);
    }
}

/* Takes the oldest record out of a ring. */
static void take(struct faults *faults, struct fault_ring *ring) {
    struct fault_slot slot;
    struct ciommu_fault fault;
    if (MUTANT(FAULT_SLOT_FREED_EARLY)) {
        store_release(&ring->tail, ring->tail + 1);
        yield_point(CIOMMU_YIELD_FAULT_FREED);
        slot = *fault_ring_slot(ring, ring->tail - 1);
        ciommu_fault_unpack(&slot, &fault);
    } else {
        slot = *fault_ring_slot(ring, ring->tail);
        if (ring->faults != NULL) {
            fault = ring->faults[ring->tail & ring->mask];
        } else {
            ciommu_fault_unpack(&slot, &fault);
        }
        store_release(&ring->tail, ring->tail + 1); /* pairs with the producer */
    }
    deliver(faults, &slot, &fault);
}

static uint64_t merge(struct faults *faults, uint64_t limit) {
    uint64_t count = 0;
    while (faults->heap_count != 0) {
        struct fault_ring *ring = faults->heap[0];
        take(faults, ring);
        count++;
        if (!look(ring, limit)) {
            faults->heap[0] = faults->heap[--faults->heap_count];
        }
        if (faults->heap_count > 1) {
            sift_down(faults, 0);
        }
    }
    return count;
}

bool ciommu_faults_pass(struct ciommu_unit *unit) {
    struct faults *faults = &unit->faults;
    if (faults->first == NULL) {
        return false; /* what is in the rings is for ciommu_port_take_faults */
    }
    uint64_t losses = load_acquire(&faults->losses);
    bool lossy = losses != faults->losses_seen;
    for (struct ciommu_fault_queue *queue = faults->first; lossy && queue != NULL;
         queue = queue->next) {
        queue->lost_seen = load_acquire(&queue->lost); /* pairs with faults_record: lose */
    }
    uint64_t limit = load_seq_cst(&faults->stamp); /* before any ring is looked at */
    if (MUTANT(FAULT_LIMIT_LATE)) {
        limit = UINT64_MAX;
    }
    uint32_t ports = load_acquire(&unit->ports.count);
    for (uint32_t slot = 0; slot < ports; slot++) {
        look_first(faults, &load_acquire(&unit->ports.slots[slot])->ring, limit);
        yield_point(CIOMMU_YIELD_FAULT_RING_READ);
    }
    for (struct ciommu_fault_queue *queue = faults->first; queue != NULL; queue = queue->next) {
        if (queue->reports.slots != NULL) {
            look_first(faults, &queue->reports, limit);
        }
    }
    uint64_t count = merge(faults, limit);
    for (struct ciommu_fault_queue *queue = faults->first; lossy && queue != NULL;
         queue = queue->next) {
        tell(faults, queue, queue->lost_seen);
    }
    store_release(&faults->losses_seen, losses);
    store_release(&faults->taken, faults->taken + count);
    return count != 0 || lossy;
}

/* Is there something that no pass has seen? The stamp first: what it counts was there before. */
static bool is_due(const struct faults *faults) {
    uint64_t stamp = load_acquire(&faults->stamp);
    uint64_t losses = load_acquire(&faults->losses);
    return load_acquire(&faults->taken) < stamp || load_acquire(&faults->losses_seen) < losses;
}

bool ciommu_faults_move(struct ciommu_unit *unit) {
    struct faults *faults = &unit->faults;
    if (!faults_have_queues(faults) || !is_due(faults)) {
        return false;
    }
    pthread_mutex_lock(&faults->lock);
    bool found = ciommu_faults_pass(unit);
    pthread_mutex_unlock(&faults->lock);
    return found;
}

/* ---- Notices ---- */

static struct ciommu_fault_queue *next_notice(struct faults *faults) {
    struct ciommu_fault_queue *queue = faults->first_notice;
    if (queue != NULL) {
        faults->first_notice = queue->next_notice;
        if (faults->first_notice == NULL) {
            faults->last_notice = NULL;
        }
        queue->is_noticed = false;
        store_relaxed(&faults->notices, faults->notices - 1);
    }
    return queue;
}

/* Gives one queue its notice; the lock is given up meanwhile. The queue may go in it. */
static void give(struct faults *faults, struct ciommu_fault_queue *queue) {
    if (queue->notice != NULL) {
        queue->notice->again = true; /* whoever is at it lists it anew */
        return;
    }
    struct fault_notice notice = {.queue = queue, .thread = pthread_self()};
    queue->notice = &notice;
    pthread_mutex_unlock(&faults->lock);
    ciommu_fault_queue_signal(queue);
    if (queue->config.ready != NULL && load_relaxed(&queue->readable) != 0) {
        queue->config.ready(queue->config.context);
    }
    pthread_mutex_lock(&faults->lock);
    if (notice.queue == NULL) {
        return; /* destroyed in it */
    }
    queue->notice = NULL;
    if (notice.again) {
        list_notice(faults, queue); /* behind the others */
    }
    pthread_cond_broadcast(&faults->given);
}

bool ciommu_faults_collect(struct ciommu_unit *unit) {
    struct faults *faults = &unit->faults;
    bool found = ciommu_faults_move(unit);
    if (load_relaxed(&faults->notices) == 0) {
        return found;
    }
    pthread_mutex_lock(&faults->lock);
    /* Those that are listed now: what comes meanwhile has its turn after another pass. */
    for (uint32_t count = faults->notices; count != 0; count--) {
        struct ciommu_fault_queue *queue = next_notice(faults);
        if (queue == NULL) {
            break;
        }
        found = true;
        give(faults, queue);
    }
    pthread_mutex_unlock(&faults->lock);
    return found;
}

void ciommu_faults_wake(struct ciommu_unit *unit) {
    if (load_relaxed(&unit->faults.notices) != 0) {
        events_wake(&unit->events);
    }
}
