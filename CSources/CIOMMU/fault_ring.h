/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_ring.h - a bounded ring of fault records: one in every port, filled by the translating
 * thread, and one in every queue whose device reports faults of its own. What empties them stands
 * in faults.h.
 *
 * Protocol (fault ring)
 *   Producer     one at a time (the port's owner; the holder of a queue's report_lock): fills a
 *                slot, takes a stamp, stores `head` (release, pairs with the collector's acquire).
 *                Wait-free: it takes no lock, waits for nobody and makes no system call.
 *   Consumer     the holder of the unit's faults.lock: copies a slot, then stores `tail` (release,
 *                pairs with the producer's acquire), so no slot is filled again before it is read.
 *   Stamps       the unit's fetch-add counter: the order of all records. Ascending in a ring.
 *   Places       A ring of N slots, from 128 on, keeps places for the quiet. Queues fall into 64
 *                classes by the lower digits of their numbers, which are given out from 0 on: up to
 *                64 queues have a class each. With c classes in use and b = N / 128, a record is
 *                admitted if less than N - c b slots are used (at least half of them), or if there
 *                is a free one and its class has less than b records in the ring.
 *   Guarantee    a queue whose class has less than b records in the ring is never refused. Proof:
 *                after the last admission by the first rule at most N - c b records were there.
 *                Each later one found less than b of its class, so no class has got more than b of
 *                them, and the queue's own less than b: together less than N - c b + c b = N. So a
 *                flood, however fast, leaves b places for every other class. (When a class comes
 *                into use, this holds from when the ring has once been emptied that far.)
 */
#ifndef CIOMMU_FAULT_RING_H
#define CIOMMU_FAULT_RING_H

#include "atomics.h"
#include "ciommu_faults.h"

#define FAULT_CLASSES 64u
#define FAULT_SHARE_DIVISOR (2 * FAULT_CLASSES) /* b = slots / this */

/* A fault of a translation, packed; one cache line. */
struct fault_slot {
    uint64_t address;
    uint64_t entry_address;
    uint64_t stamp;
    uint64_t time;
    uint64_t device;                  /* with CIOMMU_FAULT_HAS_DEVICE */
    struct ciommu_fault_queue *queue; /* where it goes; outlives the slot (faults.h) */
    uint32_t source;
    uint32_t pasid; /* 20 bits, bit 20 = none | reason << 24 */
    uint32_t lost;  /* low half of what the queue, or without one the ring, had lost before */
    uint8_t code;
    uint8_t rights; /* access | found << 4 */
    uint8_t place;  /* stage | request << 2 | level << 5 */
    uint8_t flags;  /* CIOMMU_FAULT_* */
};

struct fault_ring {
    struct fault_slot *slots;    /* constant, like all up to `share` */
    struct ciommu_fault *faults; /* of reports, beside the slots; NULL in a port's ring */
    uint64_t *recent;            /* producer: end positions of each class's last `share` records */
    uint64_t mask;
    uint32_t share; /* b; 0 = no places are kept */

    uint64_t head __attribute__((aligned(64))); /* producer */
    uint64_t lost;                              /* producer */
    uint32_t turn[FAULT_CLASSES];               /* producer: the oldest of `recent` */

    uint64_t tail __attribute__((aligned(64))); /* consumer, like the rest */
    uint64_t end;                               /* head, as the present pass found it */
    uint64_t stamp;                             /* of the slot at tail, while it is in the heap */
};

/* Takes memory for `entries` slots (a power of two). `reports`: for reported faults, too. False
 * without memory; what there is goes with _fini. */
bool ciommu_fault_ring_init(struct fault_ring *ring, uint32_t entries, bool reports);
void ciommu_fault_ring_fini(struct fault_ring *ring);

/* Is there a place for a record of a queue with this number, if there are `classes`? Producer. */
bool ciommu_fault_ring_admits(const struct fault_ring *ring, uint32_t number, uint32_t classes);
/* Notes that the slot at head is a record of such a queue. Producer. */
void ciommu_fault_ring_note(struct fault_ring *ring, uint32_t number);

static inline struct fault_slot *fault_ring_slot(const struct fault_ring *ring, uint64_t position) {
    return &ring->slots[position & ring->mask];
}

static inline bool fault_ring_is_full(const struct fault_ring *ring) {
    return ring->head - load_acquire(&ring->tail) > ring->mask; /* pairs with the consumer */
}

/* Packs what a slot keeps of a fault: all but queue, lost, time and stamp. */
void ciommu_fault_pack(const struct ciommu_fault *fault, struct fault_slot *slot);
/* The fault in a slot; `sequence` is 0. */
void ciommu_fault_unpack(const struct fault_slot *slot, struct ciommu_fault *fault);

#endif
