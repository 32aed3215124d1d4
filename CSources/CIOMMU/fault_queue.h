/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_queue.h - one owner's faults: what was collected and is unread. Knows nothing of rings and
 * units.
 *
 * Protocol (fault queue)
 *   Appending    the collector (one at a time, faults.h), under `lock`.
 *   Reading      any thread, under `lock`, a few records at a time, so that the collector does not
 *                wait for a long copy. Nothing else is done under it.
 *   Losses       what a record's ring refused is counted in `lost` by producers, and arrives with
 *                the next record or at the end of a pass (faults.h: loss); what the quota refuses
 *                is counted here. Both wait in `missing` until a record is appended, which carries
 *                them (`lost_before`); what no record follows is told last. So they need no place.
 *   Edge         `announced` is set by the first append to a queue that a reader found empty, and
 *                cleared by the reader that finds it empty again. Whoever sets it owes the notice.
 *   Descriptor   `fd_lock` orders looking at `readable` and writing or resetting the eventfd, so
 *                that the last of them agrees with the queue. Every change of `readable` is
 *                followed by ciommu_fault_queue_signal.
 */
#ifndef CIOMMU_FAULT_QUEUE_H
#define CIOMMU_FAULT_QUEUE_H

#include "fault_ring.h"

#include <pthread.h>

struct ciommu_unit;
struct fault_notice;

/* An unread record. */
struct fault_kept {
    uint64_t lost_before; /* missing between the record before and this one */
    uint64_t count;
    uint64_t first_time;
    uint64_t last_time;
    struct ciommu_fault fault;
};

struct ciommu_fault_queue {
    /* Producers. */
    uint64_t lost __attribute__((aligned(64))); /* refused by rings; fetch-add */
    uint32_t notifies; /* somebody wants to hear; set once. Producers load it relaxed */
    uint32_t number;   /* constant: names its classes in rings */

    /* Constant. */
    struct ciommu_unit *unit;
    struct ciommu_fault_queue_config config;
    uint64_t id;                        /* of its device, with `has_id` */
    struct ciommu_device_config device; /* what it may name in reports, with `behind` */
    bool has_id;
    bool behind; /* the IOMMU; else a device in software */
    struct fault_kept *kept;

    pthread_mutex_t report_lock; /* producers of `reports` */
    struct fault_ring reports;   /* no slots: it takes none */

    /* unit->table_lock */
    struct ciommu_device *owner; /* whose pointer leads here; NULL = nobody's, or the unit's */

    /* faults.lock */
    struct ciommu_fault_queue *next;
    struct ciommu_fault_queue *next_notice;
    struct fault_notice *notice; /* the present one */
    bool is_noticed;             /* among those to be notified */
    uint64_t lost_seen;          /* `lost` at the beginning of the pass */
    uint64_t lost_told;          /* of `lost`: given to ciommu_fault_queue_lose */

    /* lock */
    pthread_mutex_t lock __attribute__((aligned(64)));
    uint32_t first;
    uint32_t used;
    uint64_t missing;   /* after the newest record */
    uint64_t sequence;  /* of the next record to be read */
    uint64_t read_time; /* last time of the record read last */
    bool announced;
    struct ciommu_fault_queue_statistics counters;
    uint32_t readable; /* written under it, loaded without: something is there */

    pthread_mutex_t fd_lock __attribute__((aligned(64)));
    int fd;     /* -1 = none */
    bool fd_on; /* readable, as far as we know */
};

/* The buffers, by queue->config. False without memory; what there is goes with _fini. */
bool ciommu_fault_queue_init(struct ciommu_fault_queue *queue);
void ciommu_fault_queue_fini(struct ciommu_fault_queue *queue);

/* Appends a fault, folds it, or counts it as missing. True: the caller owes the notice. */
bool ciommu_fault_queue_append(struct ciommu_fault_queue *queue, const struct ciommu_fault *fault,
                               uint64_t time);
/* The same for `count` faults that found no place in a ring. */
bool ciommu_fault_queue_lose(struct ciommu_fault_queue *queue, uint64_t count);

/* Reads up to `capacity` records. */
uint32_t ciommu_fault_queue_take(struct ciommu_fault_queue *queue,
                                 struct ciommu_fault_record *records, uint32_t capacity);

/* Makes the descriptor agree with the queue. Outside locks. */
void ciommu_fault_queue_signal(struct ciommu_fault_queue *queue);

/* CLOCK_MONOTONIC nanoseconds. */
uint64_t ciommu_fault_time(void);

#endif
