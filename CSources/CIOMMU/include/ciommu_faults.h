/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_faults.h - faults reach their owners: queues of fault records, by device.
 *
 * Flow: a request that is refused leaves a record in its port's ring, without a lock and without
 * waiting. From there records are collected into the queue of the device that the fault is
 * attributed to, by the unit's event thread or by whoever reads a queue; and read from the queue by
 * any thread.
 *
 * Order: the records of one queue are in the order in which the faults happened, as far as anybody
 * could tell it: if one fault's translation returned before another's was called (in one thread, or
 * handed over between threads), it comes first. Whatever is missing is told of at its place.
 *
 * The conventions of ciommu.h and ciommu_domains.h hold.
 */
#ifndef CIOMMU_FAULTS_H
#define CIOMMU_FAULTS_H

#include "ciommu_invalidation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Collects faults from the ports' rings into the queues, answers page-request groups whose deadline
 * has passed, and notifies readers. Called by the unit's event thread, which exists once something
 * wants to be notified; a host that polls, and a test with a clock of its own, call it themselves.
 * Any thread, outside sections. Returns the nanoseconds to the next deadline, UINT64_MAX for none.
 */
CIOMMU_API uint64_t ciommu_unit_poll(struct ciommu_unit *unit);

/* -------------------------------------------------------------------------------------------- */
/* Queues */

struct ciommu_fault_queue;

/* fold a fault into the newest unread record if nothing but the time differs */
#define CIOMMU_FAULT_QUEUE_FOLD 1u

/* Something is there to be read, where nothing was: read until there is nothing left. Called on the
 * unit's event thread (or in ciommu_unit_poll), outside locks and sections, never twice at a time
 * for one queue. It delays the notices of every other queue, so it must be short and must not wait;
 * it may call everything but ciommu_unit_destroy, and destroy its own queue. */
typedef void (*ciommu_fault_ready)(void *context);

struct ciommu_fault_queue_config {
    uint32_t size;
    uint32_t flags;   /* CIOMMU_FAULT_QUEUE_* */
    uint32_t quota;   /* unread records it holds, 1...2^20; 112 bytes each, taken when it is made */
    uint32_t reports; /* places for reports (ciommu_fault_report) that are not collected yet: 0, or
                         a power of two from 2 to 2^16; 144 bytes each */
    ciommu_fault_ready ready; /* may be NULL */
    void *context;
};

/* Fills `config` with defaults: 256 records, no reports, no folding, nobody notified. */
static inline void ciommu_fault_queue_config_init(struct ciommu_fault_queue_config *config);

/* Makes the queue of a device; or, for `device` NULL, the unit's own: it receives the faults that
 * no other queue does, which are those of source ids without devices, of devices without a queue,
 * and of PASIDs in nobody's slice where there is no parent device or it has no queue.
 *
 * Receives what faults from now on. A fault that more than one device may have caused goes to where
 * their policy says [B-A3]: to the device made first, to each of them (`device` of each record is
 * then the receiver), or to the parent. One of a PASID in nobody's slice goes to the parent. A
 * fault without a queue is counted (ciommu_statistics.faults_orphaned). While a unit has any queue,
 * what is in the rings belongs to the queues: ciommu_port_take_faults would take it away from them,
 * a new port's owner inherits its ring, and the faults of ciommu_translate without a port are
 * recorded too. A ring keeps places for the quiet: a queue that has fewer than
 * fault_entries / 128 records in it is not refused, whatever the others do (up to 64 queues;
 * fault_ring.h has the rule and its proof).
 *
 * When the device is destroyed, the queue stays and can be read to its end; it receives nothing
 * new, also from a later device of the same id. CIOMMU_OCCUPIED: the device, or the unit, has a
 * queue. CIOMMU_OTHER_UNIT: the device is another unit's. CIOMMU_NO_SPACE: the unit has 65,536
 * queues. CIOMMU_INVALID_ARGUMENT; CIOMMU_NO_MEMORY, also for the event thread. Not from inside a
 * callback of liburcu. */
CIOMMU_API enum ciommu_status
ciommu_fault_queue_create(struct ciommu_unit *unit, struct ciommu_device *device,
                          const struct ciommu_fault_queue_config *config,
                          struct ciommu_fault_queue **out);

/* Makes the queue of a device in software only, which takes no part in the IOMMU [B-E2]: it holds
 * what that device reports itself. `id` is the host's name for it. `config->reports` of 0 means 64.
 * CIOMMU_EXISTS: a device of the unit or another queue has the id. Otherwise as above. */
CIOMMU_API enum ciommu_status
ciommu_fault_queue_create_software(struct ciommu_unit *unit, uint64_t id,
                                   const struct ciommu_fault_queue_config *config,
                                   struct ciommu_fault_queue **out);

/* Destroys a queue with all that is in it. On return `ready` does not run and never will; called
 * from inside it, it returns while that one call goes on. Later faults go where they would without
 * the queue. Nobody uses the queue any more, its descriptor included. A unit is not destroyed
 * before its queues (CIOMMU_IN_USE). NULL is allowed. */
CIOMMU_API void ciommu_fault_queue_destroy(struct ciommu_fault_queue *queue);

/* What a record tells. */
enum ciommu_record_kind {
    CIOMMU_RECORD_FAULT = 1,
    CIOMMU_RECORD_LOSS = 2 /* faults are missing here: their places in a ring, or the quota, were
                              taken. `fault` is zero */
};

/* One record of a queue. Every fault that was meant for the queue has a number, from 0 on; a record
 * stands for `count` of them from `sequence` on, and the next record begins where it ends. So
 * records tell all that happened: nothing is missing but what a LOSS counts. */
struct ciommu_fault_record {
    uint32_t size;
    uint32_t kind; /* enum ciommu_record_kind */
    uint64_t sequence;
    uint64_t count; /* of a FAULT: 1, or how many were folded into it */
    uint64_t
        first_time; /* CLOCK_MONOTONIC nanoseconds of the first and of the last of them; of a */
    uint64_t
        last_time; /* LOSS: of the records before and after it, 0 and now where there is none */
    struct ciommu_fault fault; /* the first of them; its own `sequence` is that of the record */
};

/* Reads up to `capacity` records, oldest first, and returns how many; less than `capacity` means
 * that nothing is left. Each element's `size` must be set by the caller, to the same value; the
 * elements are that far apart. Collects first, so a host
 * may poll with this alone: it sees every fault whose translation returned before the call. Any
 * thread, outside sections; several share what there is. */
CIOMMU_API uint32_t ciommu_fault_read(struct ciommu_fault_queue *queue,
                                      struct ciommu_fault_record *records, uint32_t capacity);

/* A descriptor (eventfd) that is readable while there is something to be read, for epoll and poll.
 * The same one at each call; it belongs to the queue. The host waits for it and reads records, not
 * the descriptor: ciommu_fault_read resets it. CIOMMU_NO_MEMORY: no descriptor, or no event thread,
 * could be had. */
CIOMMU_API enum ciommu_status ciommu_fault_queue_fd(struct ciommu_fault_queue *queue, int *fd);

/* A device reports a fault of its own to its queue, which must have places for reports
 * (CIOMMU_UNSUPPORTED). It can name only itself: with CIOMMU_FAULT_HAS_DEVICE, `device` must be its
 * id; where it is behind the IOMMU, `source` must be its own and `pasid` none, or in its slice
 * (CIOMMU_NOT_OWNED). The record has CIOMMU_FAULT_FROM_DEVICE, and of the caller's flags
 * CIOMMU_FAULT_RECOVERABLE alone. CIOMMU_INVALID_ARGUMENT: no reason, or one out of range.
 * CIOMMU_NO_SPACE: no place is free; it is counted, and the queue will tell. Any thread, outside
 * sections. */
CIOMMU_API enum ciommu_status ciommu_fault_report(struct ciommu_fault_queue *queue,
                                                  const struct ciommu_fault *fault);

/* Counters since the queue was made. */
struct ciommu_fault_queue_statistics {
    uint32_t size;
    uint32_t unread;      /* records now; a loss that is told before one of them is not counted */
    uint64_t faults;      /* collected, folded and dropped ones included */
    uint64_t folded;      /* of them: into an earlier record */
    uint64_t over_quota;  /* of them: dropped, because the quota was used up */
    uint64_t lost;        /* found no place in a ring, and are not in `faults` */
    uint64_t high_water;  /* most records unread at a time */
    uint64_t reasons[16]; /* of `faults`, by enum ciommu_fault_reason */
};
CIOMMU_API void ciommu_fault_queue_read_statistics(struct ciommu_fault_queue *queue,
                                                   struct ciommu_fault_queue_statistics *out);

/* -------------------------------------------------------------------------------------------- */
/* What a guest's fault-recording registers hold */

/* Encodes a fault as a VT-d fault-recording register, F set: words[0] is bits 63:0, words[1] bits
 * 127:64 [FORMATS-VTD B7]. `address_width` is how many bits of an input address the unit
 * implements, 12...64; those above read as zero. Of an interrupt request `address` is the index in
 * the remapping table. Read together with write is the atomic type, execute is a read with EXE;
 * PASID, PRIV and EXE are there for an explicit PASID only. CIOMMU_UNSUPPORTED: a fault without a
 * VT-d code, or with a source id over 16 bits. CIOMMU_INVALID_ARGUMENT. */
CIOMMU_API enum ciommu_status ciommu_fault_frcd(const struct ciommu_fault *fault,
                                                uint32_t address_width, uint64_t words[2]);

/* -------------------------------------------------------------------------------------------- */

static inline void ciommu_fault_queue_config_init(struct ciommu_fault_queue_config *config) {
    config->size = (uint32_t)sizeof *config;
    config->flags = 0;
    config->quota = 256;
    config->reports = 0;
    config->ready = NULL;
    config->context = NULL;
}

#ifdef __cplusplus
}
#endif
#endif
