/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_deliver.c - may this work raise that entry, and what is then signalled. Lock-free; the
 * protocol stands in message_store.h.
 */
#include "message_store.h"
#include "remap.h"

/* What `control` says of work with `pasid`. The PASID counts before the mask: what may not
 * raise an entry leaves no trace in it. */
static enum ciommu_message_outcome judge(uint64_t control, uint32_t pasid) {
    uint32_t state = control_state(control);
    if (state != CIOMMU_MESSAGE_ARMED && state != CIOMMU_MESSAGE_MASKED) {
        return CIOMMU_MESSAGE_NOT_ARMED;
    }
    if ((control & CONTROL_CHECKED) != 0 && control_pasid(control) != pasid) {
        return pasid == CIOMMU_NO_PASID ? CIOMMU_MESSAGE_ABSENT_PASID : CIOMMU_MESSAGE_WRONG_PASID;
    }
    return state == CIOMMU_MESSAGE_ARMED ? CIOMMU_MESSAGE_DELIVER : CIOMMU_MESSAGE_IS_MASKED;
}

/* Notes in a masked entry that it was raised. False: it has been unmasked meanwhile and nobody
 * heard of it; `*control` is what it is now. */
static bool note(struct message_entry *entry, uint64_t *control) {
    uint32_t bit = control_pending(*control);
    (void)or_seq_cst(&entry->pending, bit);
    yield_point(CIOMMU_YIELD_MESSAGE_NOTED);
    uint64_t now = load_seq_cst(&entry->control); /* pairs with message_change.c: expose */
    if (control_state(now) != CIOMMU_MESSAGE_ARMED || MUTANT(MESSAGE_NOTE_UNCHECKED)) {
        return true;
    }
    bool same = control_pending(now) == bit;
    if (same && (and_seq_cst(&entry->pending, ~bit) & bit) == 0) {
        return true; /* whoever unmasked took it */
    }
    *control = now;
    return false;
}

/* Is an armed entry's PASID still the device's, and still what the guest's is bound to? */
static bool stands(const struct ciommu_message_store *store, const struct message_entry *entry,
                   uint64_t control) {
    uint32_t pasid = control_pasid(control);
    bool fine = true;
    if ((control & CONTROL_GUEST) != 0) {
        fine = ciommu_namespace_host(entry->space, entry->guest) == pasid;
    }
    if (fine && store->device->config.share == CIOMMU_SHARE_PARENT) {
        ciommu_rcu_lock();
        fine = pasid_table_find(&store->device->source->slices, pasid) == NULL;
        ciommu_rcu_unlock();
    }
    return fine;
}

static enum ciommu_message_outcome deliver(struct ciommu_port *port,
                                           const struct ciommu_message_store *store,
                                           const struct message_entry *entry, uint64_t control,
                                           struct ciommu_interrupt *out) {
    if ((control & CONTROL_CHECKED) != 0 && unlikely(!stands(store, entry, control))) {
        return CIOMMU_MESSAGE_REVOKED;
    }
    const struct interrupt_request request = {
        .address = entry->address,
        .data = entry->data,
        .source = store->device->config.source,
        .device = store->device,
    };
    ciommu_interrupt_apply(port, &request, out);
    return out->outcome == CIOMMU_INTERRUPT_BLOCKED ? CIOMMU_MESSAGE_FAULT : CIOMMU_MESSAGE_DELIVER;
}

enum ciommu_status ciommu_message_deliver(struct ciommu_port *port,
                                          struct ciommu_message_store *store, uint32_t index,
                                          uint32_t pasid, struct ciommu_delivery *out) {
    if (port == NULL || !port_is_inside(port) || store == NULL || port->unit != store->unit ||
        index >= store->count || (pasid > CIOMMU_PASID_MAX && pasid != CIOMMU_NO_PASID) ||
        out == NULL || out->size < sizeof *out) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct message_entry *entry = &store->entries[index];
    uint64_t control = load_seq_cst(&entry->control); /* pairs with the changer's store and drain */
    yield_point(CIOMMU_YIELD_MESSAGE_JUDGED);
    enum ciommu_message_outcome outcome;
    do { /* again only if somebody unmasked the entry meanwhile */
        outcome = judge(control, pasid);
    } while (outcome == CIOMMU_MESSAGE_IS_MASKED && !note(entry, &control));
    if (outcome == CIOMMU_MESSAGE_DELIVER) {
        out->interrupt.size = sizeof out->interrupt;
        outcome = deliver(port, store, entry, control, &out->interrupt);
    }
    if (outcome != CIOMMU_MESSAGE_DELIVER) {
        (void)add_relaxed(&store->outcomes[outcome], 1);
    }
    out->outcome = outcome;
    return CIOMMU_OK;
}
