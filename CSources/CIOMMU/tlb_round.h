/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tlb_round.h - asking many devices at once to drop translations, and waiting for all of them. On
 * the stack of the invalidating thread; needs no memory.
 *
 * Protocol (rounds)
 *   Collecting   under the table lock, which keeps a device-TLB linked until the item holds it.
 *   Asking       neighbouring ranges of one device and PASID become one request. Every request that
 *                finds a slot is sent before anything is waited for; the others are sent as slots
 *                fall free, while the sent ones run. A slot's item belongs to tlbs.lock until it is
 *                closed, then to the round again.
 *   Deadlines    from asking to answering, by the device-TLB's clock. A request that waits for a
 *                slot times out if its physical function ends nothing for its own time and the
 *                longest time of those in flight together; each end begins the wait anew. Slots are
 *                not handed out in order.
 *   Sleeping     on tlbs.moved, never if `events` moved since the pass over the items began; in
 *                slices of a millisecond while a clock of the host's is waited by.
 *   Ending       late and refusing devices are blocked, and their block is settled, before anything
 *                is reported or the round returns. A blocked device is not asked: it can use
 *                nothing, so it neither delays the round nor fails it.
 */
#ifndef CIOMMU_TLB_ROUND_H
#define CIOMMU_TLB_ROUND_H

#include "device_tlb.h"

#define TLB_ROUND_MOST 128u

enum tlb_item_state {
    TLB_ITEM_WAITING = 0, /* for a slot */
    TLB_ITEM_OPEN,
    TLB_ITEM_DONE,
    TLB_ITEM_SKIPPED, /* blocked */
    TLB_ITEM_LATE,
    TLB_ITEM_REFUSED /* the device could not */
};

struct tlb_item {
    struct ciommu_device_tlb *tlb;
    uint64_t first;
    uint64_t last;
    uint32_t pasid;
    uint32_t index;  /* of the batch's entry */
    uint32_t leader; /* position of the item whose request stands for this one's */
    bool global;
    bool forced;    /* asked although it is blocked */
    uint32_t state; /* enum tlb_item_state; tlbs.lock while it is open */
    struct tlb_slot *slot;
    uint64_t deadline; /* UINT64_MAX: not known yet */
    uint64_t ended;    /* of the physical function, when the wait for a slot began */
    uint64_t left;     /* nanoseconds to the deadline, when it was last looked at */
    uint64_t blocks;   /* of a failed one: which of its blocks this round settles */
};

/* Hears of each item that failed, outside locks and sections. */
typedef void (*tlb_report)(void *context, const struct ciommu_batch_failure *failure);

struct tlb_round {
    struct ciommu_unit *unit;
    tlb_report report; /* may be NULL */
    void *context;
    uint32_t count;
    uint32_t failed; /* items, since the beginning */
    uint32_t merged;
    bool unsettled; /* somebody else's block is not settled yet */
    bool late;      /* a block could not be settled: a section may still use what it holds */
    uint32_t port_id;
    struct tlb_item items[TLB_ROUND_MOST];
};

static inline void tlb_round_init(struct tlb_round *round, struct ciommu_unit *unit,
                                  tlb_report report, void *context) {
    round->unit = unit;
    round->report = report;
    round->context = context;
    round->count = 0;
    round->failed = 0;
    round->merged = 0;
    round->unsettled = false;
    round->late = false;
    round->port_id = 0;
}

static inline enum ciommu_status tlb_round_status(const struct tlb_round *round) {
    return round->failed == 0 && !round->late ? CIOMMU_OK : CIOMMU_TIMED_OUT;
}

/* What one device is to drop. */
struct tlb_want {
    uint64_t first;
    uint64_t last;
    uint32_t pasid;
    uint32_t index;
    bool global;
    bool forced;
};

/* Adds one; false if the round is full. Table lock. */
bool ciommu_tlb_round_add(struct tlb_round *round, struct ciommu_device_tlb *tlb,
                          const struct tlb_want *want);

/* Asks, waits, blocks, reports; empty afterwards. Outside every lock and section. */
void ciommu_tlb_round_ask(struct tlb_round *round);

#endif
