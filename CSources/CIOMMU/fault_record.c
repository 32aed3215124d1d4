/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_record.c - a port's side of the fault rings: recording a fault for its owners; emptying a
 * ring without queues. The protocols stand in fault_ring.h and faults.h.
 */
#include "alloc.h"
#include "faults.h"
#include "unit.h"

#include <string.h>

#define SIZE_LEAST 8u /* of a fault that is taken: its size and its reason */

/* ---- Recording ---- */

/* It has no place. */
static void lose(struct ciommu_port *port, struct ciommu_fault_queue *queue) {
    store_relaxed(&port->ring.lost, port->ring.lost + 1);
    if (queue != NULL) { /* both pair with ciommu_faults_pass */
        (void)add_release(&queue->lost, MUTANT(FAULT_LOSS_UNCOUNTED) ? 0 : 1);
        (void)add_release(&port->unit->faults.losses, 1);
    }
}

/* Records it for one queue, or for whoever empties the ring. */
static bool record_for(struct ciommu_port *port, struct ciommu_fault_queue *queue,
                       const struct ciommu_fault *fault) {
    struct fault_ring *ring = &port->ring;
    if (queue != NULL && load_relaxed(&queue->notifies) != 0) {
        port->head.leave_work |= LEAVE_WAKES; /* also for a loss, which will be told */
    }
    const struct faults *faults = &port->unit->faults;
    bool admitted = queue == NULL ? !fault_ring_is_full(ring)
                                  : ciommu_fault_ring_admits(ring, queue->number,
                                                             load_relaxed(&faults->classes));
    if (!admitted) {
        lose(port, queue);
        return false;
    }
    struct fault_slot *slot = fault_ring_slot(ring, ring->head);
    ciommu_fault_pack(fault, slot);
    slot->queue = queue;
    slot->lost = queue != NULL ? (uint32_t)load_relaxed(&queue->lost) : (uint32_t)ring->lost;
    slot->time = queue != NULL ? ciommu_fault_time() : 0;
    slot->stamp = add_seq_cst(&port->unit->faults.stamp, 1);
    if (queue != NULL) {
        ciommu_fault_ring_note(ring, queue->number);
    }
    store_release(&ring->head, ring->head + 1); /* pairs with the collector */
    return true;
}

/* The queue that a device's faults go to; `device` may be NULL. */
static struct ciommu_fault_queue *queue_of(const struct faults *faults,
                                           const struct ciommu_device *device) {
    struct ciommu_fault_queue *queue = device == NULL ? NULL : load_acquire(&device->faults);
    return queue != NULL ? queue : load_acquire(&faults->rest); /* pair with publish */
}

static bool record_queued(struct ciommu_port *port, const struct ciommu_device *device,
                          const struct ciommu_fault *fault) {
    struct ciommu_fault_queue *queue = queue_of(&port->unit->faults, device);
    if (queue == NULL) {
        count_owned(&port->orphans);
        return false;
    }
    return record_for(port, queue, fault);
}

void ciommu_faults_record(struct ciommu_port *port, const struct source *source,
                          const struct ciommu_device *device, struct ciommu_fault *fault) {
    fault->sequence = port->ring.head + port->ring.lost;
    fault->flags |= CIOMMU_FAULT_RECORDED;
    bool recorded = false;
    bool everybody = (fault->flags & CIOMMU_FAULT_AMBIGUOUS) != 0 && device != NULL &&
                     device->config.policy == CIOMMU_SHARED_PASID_ALL;
    if (!faults_have_queues(&port->unit->faults)) {
        recorded = record_for(port, NULL, fault);
    } else if (!everybody) {
        recorded = record_queued(port, device, fault);
    } else {
        struct ciommu_fault copy = *fault;
        for (; device != NULL; device = ciommu_source_younger(source, fault->pasid, device)) {
            copy.device = device->config.id;
            recorded = record_queued(port, device, &copy) || recorded;
        }
    }
    fault->flags &= recorded ? UINT32_MAX : ~CIOMMU_FAULT_RECORDED;
}

/* ---- Emptying a ring without queues ---- */

/* The sequence of a record: the ring's position, and what it had lost before. */
static uint64_t sequence_of(const struct fault_ring *ring, const struct fault_slot *slot) {
    uint64_t lost = load_relaxed(&ring->lost);
    uint64_t before = slot->queue != NULL ? lost : lost - (uint32_t)((uint32_t)lost - slot->lost);
    return ring->tail + before;
}

uint32_t ciommu_port_take_faults(struct ciommu_port *port, struct ciommu_fault *faults,
                                 uint32_t capacity, uint64_t *lost) {
    struct fault_ring *ring = &port->ring;
    struct faults *shared = &port->unit->faults;
    uint32_t taken = 0;
    uint32_t size = capacity == 0 ? 0 : faults[0].size; /* of each, as the caller knows it */
    capacity = size < SIZE_LEAST ? 0 : capacity;
    pthread_mutex_lock(&shared->lock);
    uint64_t head = load_acquire(&ring->head); /* pairs with record_for */
    while (ring->tail != head && taken < capacity) {
        const struct fault_slot *slot = fault_ring_slot(ring, ring->tail);
        struct ciommu_fault fault;
        ciommu_fault_unpack(slot, &fault);
        fault.sequence = sequence_of(ring, slot);
        fault.size = size;
        memcpy((unsigned char *)faults + (size_t)taken * size, &fault,
               size < sizeof fault ? size : sizeof fault);
        store_release(&ring->tail, ring->tail + 1); /* pairs with record_for */
        taken++;
    }
    store_release(&shared->taken, shared->taken + taken);
    if (lost != NULL) {
        *lost = load_relaxed(&ring->lost);
    }
    pthread_mutex_unlock(&shared->lock);
    return taken;
}

void ciommu_faults_recycle(struct ciommu_port *port) {
    struct fault_ring *ring = &port->ring;
    struct faults *faults = &port->unit->faults;
    pthread_mutex_lock(&faults->lock);
    if (faults->first == NULL) {
        uint64_t untaken = ring->head - ring->tail;
        store_relaxed(&ring->lost, ring->lost + untaken);
        store_release(&ring->tail, ring->head);
        store_release(&faults->taken, faults->taken + untaken);
    }
    pthread_mutex_unlock(&faults->lock);
}
