/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_ring.c - places in a ring, and packing. The protocol stands in fault_ring.h.
 */
#include "fault_ring.h"
#include "alloc.h"

#include <assert.h>

static_assert(sizeof(struct fault_slot) == 64, "one cache line");

bool ciommu_fault_ring_init(struct fault_ring *ring, uint32_t entries, bool reports) {
    ring->mask = entries - 1;
    ring->share = reports ? 0 : entries / FAULT_SHARE_DIVISOR;
    ring->slots = ciommu_allocate(CACHE_LINE, entries * sizeof *ring->slots);
    if (reports) {
        ring->faults = ciommu_allocate(CACHE_LINE, entries * sizeof *ring->faults);
    }
    if (ring->share != 0) {
        ring->recent =
            ciommu_allocate(CACHE_LINE, FAULT_CLASSES * ring->share * sizeof *ring->recent);
    }
    return ring->slots != NULL && (!reports || ring->faults != NULL) &&
           (ring->share == 0 || ring->recent != NULL);
}

void ciommu_fault_ring_fini(struct fault_ring *ring) {
    ciommu_free(ring->slots);
    ciommu_free(ring->faults);
    ciommu_free(ring->recent);
}

bool ciommu_fault_ring_admits(const struct fault_ring *ring, uint32_t number, uint32_t classes) {
    uint64_t tail = load_acquire(&ring->tail); /* pairs with the consumer */
    uint64_t used = ring->head - tail;
    if (used > ring->mask || used + (uint64_t)classes * ring->share <= ring->mask) {
        return used <= ring->mask;
    }
    /* The class's b-th last record ended at this position: is it out of the ring? */
    uint32_t class = number % FAULT_CLASSES;
    return ring->recent[class * ring->share + ring->turn[class]] <= tail;
}

void ciommu_fault_ring_note(struct fault_ring *ring, uint32_t number) {
    if (ring->share != 0) {
        uint32_t class = number % FAULT_CLASSES;
        uint32_t turn = ring->turn[class];
        ring->recent[class * ring->share + turn] = ring->head + 1;
        ring->turn[class] = turn + 1 == ring->share ? 0 : turn + 1;
    }
}

/* ---- Packing ---- */

/* As they are packed. */
#define NO_LEVEL 7u
#define NO_PASID_BIT (CIOMMU_PASID_MAX + 1)
#define REASON_SHIFT 24u

void ciommu_fault_pack(const struct ciommu_fault *fault, struct fault_slot *slot) {
    uint32_t level = fault->level < NO_LEVEL ? fault->level : NO_LEVEL;
    slot->address = fault->address;
    slot->entry_address = fault->entry_address;
    slot->device = fault->device;
    slot->source = fault->source;
    slot->pasid = (fault->pasid == CIOMMU_NO_PASID ? NO_PASID_BIT : fault->pasid) |
                  fault->reason << REASON_SHIFT;
    slot->code = (uint8_t)fault->code;
    slot->rights = (uint8_t)(fault->access | fault->found << 4);
    slot->place = (uint8_t)(fault->stage | fault->request << 2 | level << 5);
    slot->flags = (uint8_t)fault->flags;
}

void ciommu_fault_unpack(const struct fault_slot *slot, struct ciommu_fault *fault) {
    uint32_t level = slot->place >> 5;
    *fault = (struct ciommu_fault){
        .size = sizeof *fault,
        .reason = slot->pasid >> REASON_SHIFT,
        .code = slot->code,
        .stage = slot->place & 3u,
        .source = slot->source,
        .pasid =
            (slot->pasid & NO_PASID_BIT) != 0 ? CIOMMU_NO_PASID : slot->pasid & CIOMMU_PASID_MAX,
        .access = slot->rights & 15u,
        .found = slot->rights >> 4,
        .flags = slot->flags,
        .level = level == NO_LEVEL ? CIOMMU_NO_LEVEL : level,
        .address = slot->address,
        .entry_address = slot->entry_address,
        .device = slot->device,
        .request = slot->place >> 2 & 7u,
    };
}
