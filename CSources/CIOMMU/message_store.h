/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_store.h - a device's own store of interrupt messages: entries that are tied to
 * PASIDs. Making and allocating is in message_store.c, what changes an entry in
 * message_change.c, delivery in message_deliver.c, the guest's view in message_slot.c.
 *
 * Protocol (message entries)
 *   Control      one word holds the state of an entry and its PASID, and is stored whole: no
 *                reader sees one without the other, so nothing is armed before its PASID is there.
 *   Readers      lock-free, inside a section: load `control` (seq_cst); if it says armed and the
 *                PASID matches, read message and namespace (plain loads) and look the PASID up.
 *   Writers      under the store's lock; `busy` keeps others away from an entry while its changer
 *                waits, without the lock, for sections.
 *   Publication  store to `control` (seq_cst): armed, after message and namespace were written.
 *   Changes      what readers of an armed entry read is written only while it is not armed and a
 *                drain has succeeded since it last was; `undrained` says that one is due. The
 *                drain pairs with enter and leave (port.h). ugen need not move: ports keep nothing
 *                of an entry, and `control` is loaded seq_cst after enter's exchange.
 *   Pending      a reader that finds an entry masked sets the bit of the entry's phase, then loads
 *                `control` again; who unmasks stores `control`, then takes the bit. All seq_cst:
 *                one of the two sees the other, and exactly one takes the bit. If it is the
 *                reader, it begins again.
 *   Phase        changes with the PASID, after a drain. So the bit of the phase that begins can be
 *                cleared before, because no reader that could set it is left; and what readers
 *                with the old PASID set later is the old phase's and is never looked at.
 *   Freeing      retired, drain, free. Timed out: it stays retired, with the ugen that was stored
 *                then, until every open section has seen that ugen (ciommu_ports_horizon).
 *   Guarantee    after a change answered CIOMMU_OK no section uses what was there before it.
 *   Stale        a section that began before the change may use it until it ends.
 *   Order        table lock, then the store's lock. Nothing waits for sections under either.
 */
#ifndef CIOMMU_MESSAGE_STORE_H
#define CIOMMU_MESSAGE_STORE_H

#include "ciommu_interrupts.h"
#include "unit.h"

/* Bits of `control`. */
#define CONTROL_STATE UINT64_C(7) /* enum ciommu_message_state */
#define CONTROL_CHECKED UINT64_C(8)
#define CONTROL_PHASE UINT64_C(0x10)
#define CONTROL_GUEST UINT64_C(0x20) /* the PASID comes from a namespace */
#define CONTROL_PASID_SHIFT 32u

/* One cache line. */
struct message_entry {
    uint64_t control; /* writers under lock; readers seq_cst */
    uint32_t pending; /* a bit per phase; anybody, seq_cst */
    /* Under lock, and by readers of an armed entry. */
    uint32_t data;
    uint64_t address;
    const struct ciommu_namespace *space; /* with CONTROL_GUEST */
    uint32_t guest;
    /* Lock. */
    bool busy;
    bool undrained; /* no drain has succeeded since it was armed */
    bool rearm;     /* the call that made it busy will arm it again */
    uint64_t ugen;  /* of a retired one: free when every open section has seen it */
} __attribute__((aligned(64)));

struct ciommu_message_store {
    struct message_entry *entries; /* constant, like all up to `lock` */
    uint32_t count;
    struct ciommu_device *device;
    struct ciommu_unit *unit;
    pthread_mutex_t lock;
    uint32_t allocated;                /* lock */
    uint32_t retired;                  /* lock */
    struct ciommu_message_store *next; /* of the device; table lock */
    uint64_t outcomes[CIOMMU_MESSAGE_FAULT + 1] __attribute__((aligned(64))); /* relaxed counters */
};

static inline uint32_t control_state(uint64_t control) {
    return (uint32_t)(control & CONTROL_STATE);
}

static inline uint32_t control_pasid(uint64_t control) {
    return (uint32_t)(control >> CONTROL_PASID_SHIFT);
}

/* The bit of `pending` that belongs to the entry's phase. */
static inline uint32_t control_pending(uint64_t control) {
    return (control & CONTROL_PHASE) != 0 ? 2 : 1;
}

/* The same entry in another state. */
static inline uint64_t control_with(uint64_t control, enum ciommu_message_state state) {
    return (control & ~CONTROL_STATE) | (uint64_t)state;
}

/* A PASID as a call names it, looked up and found to be the device's. */
struct message_pasid {
    uint32_t host; /* CIOMMU_NO_PASID: unchecked */
    uint32_t guest;
    const struct ciommu_namespace *space; /* NULL: not a guest's */
};

/* Looks it up; the refusals of ciommu_message_allocate and _allocate_guest. Takes the table lock.
 */
enum ciommu_status ciommu_message_resolve(const struct ciommu_message_store *store,
                                          struct message_pasid *pasid);

/* Puts the PASID into an entry that readers do not look into; the control bits that go with it.
 * Lock. */
uint64_t ciommu_message_place(struct message_entry *entry, const struct message_pasid *pasid);

/* May the caller wait for sections? */
enum ciommu_status ciommu_message_check_port(const struct ciommu_message_store *store,
                                             const struct ciommu_port *port);

/* Changes an entry's message, whatever its state, and leaves that state; from allocated to
 * programmed. `mask` names the bits of `address` and `data` that are taken. */
struct message_change {
    uint64_t address;
    uint64_t address_mask;
    uint32_t data;
    uint32_t data_mask;
    bool armed; /* also of an armed entry: mask, drain, change, unmask */
};
enum ciommu_status ciommu_message_change(struct ciommu_message_store *store, uint32_t index,
                                         const struct message_change *change, bool *pending);

/* Masks all that is armed and forgets what is pending: the device is being reset. Table lock; the
 * drain is the caller's. */
void ciommu_message_stores_mask(struct ciommu_device *device);
/* Forgets, after that drain, what sections from before it noted in masked entries. Table lock. */
void ciommu_message_stores_forget(struct ciommu_device *device);

#endif
