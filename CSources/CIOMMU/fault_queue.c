/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_queue.c - appending, folding, reading, the descriptor. The protocol stands in
 * fault_queue.h.
 */
#define _GNU_SOURCE
#include "fault_queue.h"
#include "alloc.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 16u     /* records read under one hold of the lock */
#define SIZE_LEAST 8u /* of a record: its size and its kind */

uint64_t ciommu_fault_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

bool ciommu_fault_queue_init(struct ciommu_fault_queue *queue) {
    const struct ciommu_fault_queue_config *config = &queue->config;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_mutex_init(&queue->report_lock, NULL);
    pthread_mutex_init(&queue->fd_lock, NULL);
    queue->fd = -1;
    queue->kept = ciommu_allocate(CACHE_LINE, config->quota * sizeof *queue->kept);
    return queue->kept != NULL &&
           (config->reports == 0 || ciommu_fault_ring_init(&queue->reports, config->reports, true));
}

void ciommu_fault_queue_fini(struct ciommu_fault_queue *queue) {
    if (queue->fd >= 0) {
        (void)close(queue->fd);
    }
    ciommu_fault_ring_fini(&queue->reports);
    ciommu_free(queue->kept);
    pthread_mutex_destroy(&queue->lock);
    pthread_mutex_destroy(&queue->report_lock);
    pthread_mutex_destroy(&queue->fd_lock);
}

/* ---- Appending ---- */

static struct fault_kept *kept_at(const struct ciommu_fault_queue *queue, uint32_t index) {
    uint64_t place = (uint64_t)queue->first + index;
    return &queue->kept[place < queue->config.quota ? place : place - queue->config.quota];
}

/* Something became readable, or stays so. Lock. */
static bool announce(struct ciommu_fault_queue *queue) {
    bool edge = !queue->announced;
    queue->announced = true;
    store_relaxed(&queue->readable, 1);
    return edge;
}

static bool is_same(const struct ciommu_fault *left, const struct ciommu_fault *right) {
    return left->address == right->address && left->source == right->source &&
           left->pasid == right->pasid && left->access == right->access &&
           left->code == right->code && left->reason == right->reason &&
           left->entry_address == right->entry_address && left->request == right->request &&
           left->flags == right->flags && left->device == right->device &&
           left->found == right->found && left->stage == right->stage &&
           left->level == right->level;
}

/* Folds it into the newest record, if that is the same and nothing is missing in between. */
static bool fold(struct ciommu_fault_queue *queue, const struct ciommu_fault *fault,
                 uint64_t time) {
    if ((queue->config.flags & CIOMMU_FAULT_QUEUE_FOLD) == 0 || queue->used == 0 ||
        queue->missing != 0) {
        return false;
    }
    struct fault_kept *newest = kept_at(queue, queue->used - 1);
    if (!is_same(&newest->fault, fault)) {
        return false;
    }
    newest->count++;
    newest->last_time = time;
    queue->counters.folded++;
    return true;
}

bool ciommu_fault_queue_append(struct ciommu_fault_queue *queue, const struct ciommu_fault *fault,
                               uint64_t time) {
    pthread_mutex_lock(&queue->lock);
    struct ciommu_fault_queue_statistics *counters = &queue->counters;
    counters->faults++;
    counters->reasons[fault->reason & 15u]++;
    if (fold(queue, fault, time)) {
        /* An unread record is there already. */
    } else if (queue->used == queue->config.quota) {
        queue->missing++;
        counters->over_quota++;
    } else {
        struct fault_kept *kept = kept_at(queue, queue->used++);
        *kept = (struct fault_kept){queue->missing, 1, time, time, *fault};
        queue->missing = 0;
        counters->high_water =
            queue->used > counters->high_water ? queue->used : counters->high_water;
    }
    bool edge = announce(queue);
    pthread_mutex_unlock(&queue->lock);
    return edge;
}

bool ciommu_fault_queue_lose(struct ciommu_fault_queue *queue, uint64_t count) {
    pthread_mutex_lock(&queue->lock);
    queue->missing += count;
    queue->counters.lost += count;
    bool edge = announce(queue);
    pthread_mutex_unlock(&queue->lock);
    return edge;
}

/* ---- Reading ---- */

static void tell_loss(struct ciommu_fault_queue *queue, uint64_t count, uint64_t until,
                      struct ciommu_fault_record *record) {
    *record = (struct ciommu_fault_record){
        .kind = CIOMMU_RECORD_LOSS,
        .sequence = queue->sequence,
        .count = count,
        .first_time = queue->read_time,
        .last_time = until,
    };
}

static void tell_fault(struct ciommu_fault_queue *queue, const struct fault_kept *kept,
                       struct ciommu_fault_record *record) {
    *record = (struct ciommu_fault_record){
        .kind = CIOMMU_RECORD_FAULT,
        .sequence = queue->sequence,
        .count = kept->count,
        .first_time = kept->first_time,
        .last_time = kept->last_time,
        .fault = kept->fault,
    };
    record->fault.sequence = queue->sequence;
}

static bool is_empty(const struct ciommu_fault_queue *queue) {
    return queue->used == 0 && queue->missing == 0;
}

/* The next record, in order, of a queue that is not empty. Lock. */
static void take_one(struct ciommu_fault_queue *queue, struct ciommu_fault_record *record) {
    struct fault_kept *kept = queue->used == 0 ? NULL : kept_at(queue, 0);
    if (kept == NULL) {
        tell_loss(queue, queue->missing, ciommu_fault_time(), record);
        queue->missing = 0;
    } else if (kept->lost_before != 0) {
        tell_loss(queue, kept->lost_before, kept->first_time, record);
        kept->lost_before = 0;
    } else {
        tell_fault(queue, kept, record);
        queue->used--;
        queue->first = queue->first + 1 == queue->config.quota ? 0 : queue->first + 1;
    }
    queue->sequence += record->count;
    queue->read_time = record->last_time;
}

/* Up to CHUNK records under one hold of the lock; `*empty`: nothing is left. */
static uint32_t take_chunk(struct ciommu_fault_queue *queue, unsigned char *records, uint32_t size,
                           uint32_t capacity, bool *empty) {
    uint32_t taken = 0;
    pthread_mutex_lock(&queue->lock);
    while (taken < capacity && taken < CHUNK && !is_empty(queue)) {
        struct ciommu_fault_record record;
        take_one(queue, &record);
        record.size = size;
        memcpy(records + (size_t)taken++ * size, &record,
               size < sizeof record ? size : sizeof record);
    }
    *empty = is_empty(queue);
    if (*empty) {
        queue->announced = false;
        store_relaxed(&queue->readable, 0);
    }
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

uint32_t ciommu_fault_queue_take(struct ciommu_fault_queue *queue,
                                 struct ciommu_fault_record *records, uint32_t capacity) {
    uint32_t taken = 0;
    bool empty = false;
    uint32_t size = capacity == 0 ? 0 : records[0].size; /* of each, as the caller knows it */
    while (taken < capacity && !empty && size >= SIZE_LEAST) {
        taken += take_chunk(queue, (unsigned char *)records + (size_t)taken * size, size,
                            capacity - taken, &empty);
    }
    if (empty) {
        ciommu_fault_queue_signal(queue);
    }
    return taken;
}

void ciommu_fault_queue_signal(struct ciommu_fault_queue *queue) {
    if (load_acquire(&queue->fd) < 0) { /* pairs with ciommu_fault_queue_fd */
        return;
    }
    pthread_mutex_lock(&queue->fd_lock);
    bool readable = load_relaxed(&queue->readable) != 0;
    uint64_t count = 1;
    if (readable) {
        /* Also if it is on: a host that reads the descriptor itself is woken again. Full
         * (EAGAIN) is readable. */
        ssize_t written = write(queue->fd, &count, sizeof count);
        (void)written;
    } else if (queue->fd_on) {
        ssize_t got = read(queue->fd, &count, sizeof count); /* EAGAIN: the host has read it */
        (void)got;
    }
    queue->fd_on = readable;
    pthread_mutex_unlock(&queue->fd_lock);
}

void ciommu_fault_queue_read_statistics(struct ciommu_fault_queue *queue,
                                        struct ciommu_fault_queue_statistics *out) {
    if (queue == NULL || out == NULL) {
        return;
    }
    uint32_t size = out->size;
    pthread_mutex_lock(&queue->lock);
    struct ciommu_fault_queue_statistics now = queue->counters;
    now.unread = queue->used;
    pthread_mutex_unlock(&queue->lock);
    memcpy(out, &now, size < sizeof now ? size : sizeof now);
    out->size = size;
}
