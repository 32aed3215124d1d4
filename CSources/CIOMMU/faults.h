/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * faults.h - from the rings to the queues: what a unit's producers share, and the collector.
 *
 * Protocol (fault order)
 *   Producers    under the RCU read lock they find the queue that a fault is for, from its device
 *                or the unit; refused by the ring they count it in `queue->lost`, then in `losses`
 *                (both release). Else they fill a slot, note how many the queue had lost, take
 *                `stamp` (seq_cst fetch-add), publish the slot. No lock, no waiting.
 *   Collector    the holder of `lock`. A pass loads `losses`, and if it moved every queue's `lost`;
 *                then `limit` = stamp; then looks at every ring; takes from each the records with
 *                stamp < limit, merged by stamp; last it tells the queues of the losses it loaded.
 *   Order        If recording F1 returned before recording F2 began, then F1's slot was published
 *                before F2's stamp was taken, hence stamp(F1) < stamp(F2). A pass that takes F2 has
 *                stamp(F2) < limit, so its load of the stamp synchronises with F2's fetch-add, and
 *                it sees F1 in the ring that it looks at afterwards: F1 comes first. A limit that
 *                were loaded after the rings would let F2 in and miss F1.
 *   No waiting   A producer that is preempted between its stamp and its publication holds back
 *                nobody: whatever is delivered meanwhile is concurrent with it (its call has not
 *                returned), so coming after that is as good an order.
 *   Loss         A record that notes a larger `lost` than the queue was told brings the difference
 *                along, before itself: those were lost before it. Losses that a pass loaded at its
 *                beginning are told at its end: every record that precedes one of them was
 *                published, with a stamp below `limit`, before the loss was counted, so it is in
 *                that pass or an earlier one; and every record that follows it notes it. So a gap
 *                stands where the faults are missing.
 *   Which queue  is decided when the fault happens, so that later changes of devices and ids cannot
 *                misdirect it. Slots name their queue by pointer: destroying a queue unlinks it,
 *                waits for a grace period (whoever found it has published by then), and makes a
 *                pass; then no slot names it, and it is freed.
 *   Counting     every record takes one stamp, and `taken` counts those consumed, in whatever way.
 *                taken = stamp: every ring is empty, and no pass is needed to know it.
 *   Notices      a pass lists the queues that owe one (`lock`); the event thread, or a poll, gives
 *                them one after the other, outside locks: one call for each queue that had become
 *                readable, however much is in it.
 *   Locks        unit->table_lock -> faults.lock -> queue->lock; ports_lock -> faults.lock;
 *                report_lock and fd_lock alone. Producers take none.
 */
#ifndef CIOMMU_FAULTS_INTERNAL_H
#define CIOMMU_FAULTS_INTERNAL_H

#include "fault_queue.h"

struct source;
struct ciommu_port;

/* A notice that is being given; on the stack of whoever gives it. */
struct fault_notice {
    struct ciommu_fault_queue *queue; /* NULL once destroyed from inside it */
    pthread_t thread;
    bool again;
};

struct faults {
    /* Producers. */
    uint64_t stamp __attribute__((aligned(64)));
    uint64_t losses; /* of records for queues, in any ring */

    /* Read by producers; table lock. */
    struct ciommu_fault_queue *rest __attribute__((aligned(64))); /* the unit's; readers acquire */
    uint32_t count;   /* queues; also written under `lock` */
    uint32_t classes; /* of queues, in rings: the most there ever were; `lock` */
    uint32_t sources; /* rings: ports that may exist, and queues with reports */

    /* Collector. */
    pthread_mutex_t lock __attribute__((aligned(64)));
    pthread_cond_t given; /* a notice has been given */
    uint64_t taken;       /* store-release at the end of a pass */
    uint64_t losses_seen; /* the same */
    uint64_t orphans;     /* collected for no queue; others load it relaxed */
    struct ciommu_fault_queue *first;
    struct ciommu_fault_queue *first_notice;
    struct ciommu_fault_queue *last_notice;
    uint32_t notices;         /* in that list; others load it relaxed */
    struct fault_ring **heap; /* `sources` places; NULL before the first queue */
    uint32_t heap_count;
    uint32_t numbers[2048]; /* bits: queue numbers in use */
};

void ciommu_faults_init(struct faults *faults);
void ciommu_faults_fini(struct faults *faults);

/* Is there a queue of a device in software with this id? Table lock. */
bool ciommu_faults_know(struct faults *faults, uint64_t id);

/* The device goes: its queue belongs to nobody. Table lock. */
void ciommu_faults_forget(struct ciommu_device *device);

/* Records a fault of a request of `source` (may be NULL), attributed to `device` (may be NULL), for
 * everybody whom it concerns; fills its sequence and CIOMMU_FAULT_RECORDED. Under the RCU read
 * lock; the port's owner. */
void ciommu_faults_record(struct ciommu_port *port, const struct source *source,
                          const struct ciommu_device *device, struct ciommu_fault *fault);

/* Are there queues? Then faults without a port in anybody's hand are recorded, too. */
static inline bool faults_have_queues(const struct faults *faults) {
    return load_relaxed(&faults->count) != 0;
}

/* Moves what is in the rings to the queues; true if there was anything. */
bool ciommu_faults_move(struct ciommu_unit *unit);

/* A pass, with `lock` held. */
bool ciommu_faults_pass(struct ciommu_unit *unit);

/* The ring of a port that changes hands: without queues it is emptied, and what was in it is lost.
 */
void ciommu_faults_recycle(struct ciommu_port *port);

/* Wakes whoever gives notices, if there are any to be given. Outside locks and sections. */
void ciommu_faults_wake(struct ciommu_unit *unit);

#endif
