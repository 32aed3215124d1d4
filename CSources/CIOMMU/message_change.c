/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_change.c - what becomes of an allocated entry: programmed, armed, masked, given another
 * PASID, freed. The protocol stands in message_store.h.
 */
#include "message_store.h"

#define STATE_BIT(name) (1u << CIOMMU_MESSAGE_##name)
#define STATES_LIVE                                                                                \
    (STATE_BIT(ALLOCATED) | STATE_BIT(PROGRAMMED) | STATE_BIT(ARMED) | STATE_BIT(MASKED))

enum ciommu_status ciommu_message_check_port(const struct ciommu_message_store *store,
                                             const struct ciommu_port *port) {
    if (store == NULL || (port != NULL && port->unit != store->unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    return ports_wait_for_caller(&store->unit->ports, port) ? CIOMMU_IN_SECTION : CIOMMU_OK;
}

/* ---- Steps; lock ---- */

/* Takes the lock if the entry is there, is in one of `states` and nobody waits with it. */
static enum ciommu_status begin(struct ciommu_message_store *store, uint32_t index, uint32_t states,
                                struct message_entry **out) {
    if (store == NULL || index >= store->count) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct message_entry *entry = &store->entries[index];
    pthread_mutex_lock(&store->lock);
    bool fits = (states >> control_state(entry->control) & 1) != 0;
    if (entry->busy || !fits) {
        enum ciommu_status status = entry->busy ? CIOMMU_IN_USE : CIOMMU_BAD_STATE;
        pthread_mutex_unlock(&store->lock);
        return status;
    }
    *out = entry;
    return CIOMMU_OK;
}

static void end(struct ciommu_message_store *store) {
    pthread_mutex_unlock(&store->lock);
}

/* Stops deliveries that begin later. */
static void hide(struct message_entry *entry) {
    if (control_state(entry->control) == CIOMMU_MESSAGE_ARMED) {
        entry->undrained = true;
        store_seq_cst(&entry->control, control_with(entry->control, CIOMMU_MESSAGE_MASKED));
    }
}

/* Waits, without the lock, for deliveries that began earlier. */
static enum ciommu_status settle(struct ciommu_message_store *store, struct message_entry *entry) {
    entry->busy = true;
    pthread_mutex_unlock(&store->lock);
    enum ciommu_status status = ciommu_unit_wait(store->unit);
    pthread_mutex_lock(&store->lock);
    entry->busy = false;
    if (status == CIOMMU_OK) {
        entry->undrained = false;
    }
    return status;
}

/* Arms: the one store that lets readers see the entry, PASID and state together. */
static void expose(struct message_entry *entry, uint64_t control, bool *pending) {
    uint32_t bit = control_pending(control);
    if (MUTANT(MESSAGE_ARMED_EARLY)) {
        store_seq_cst(&entry->control,
                      control_with(control, CIOMMU_MESSAGE_ARMED) & ~CONTROL_CHECKED);
        yield_point(CIOMMU_YIELD_MESSAGE_ARMED);
    }
    store_seq_cst(&entry->control, control_with(control, CIOMMU_MESSAGE_ARMED));
    uint32_t raised = and_seq_cst(&entry->pending, ~bit); /* pairs with message_deliver.c: note */
    if (pending != NULL) {
        *pending = (raised & bit) != 0;
    }
}

/* ---- Message ---- */

enum ciommu_status ciommu_message_change(struct ciommu_message_store *store, uint32_t index,
                                         const struct message_change *change, bool *pending) {
    struct message_entry *entry;
    uint32_t states = change->armed ? STATES_LIVE : STATES_LIVE & ~STATE_BIT(ARMED);
    enum ciommu_status status = begin(store, index, states, &entry);
    if (status != CIOMMU_OK) {
        return status;
    }
    entry->rearm = control_state(entry->control) == CIOMMU_MESSAGE_ARMED;
    hide(entry);
    if (entry->undrained) {
        status = settle(store, entry);
    }
    if (status == CIOMMU_OK) {
        entry->address =
            (entry->address & ~change->address_mask) | (change->address & change->address_mask);
        entry->data = (entry->data & ~change->data_mask) | (change->data & change->data_mask);
        if (entry->rearm) {
            expose(entry, entry->control, pending);
        } else if (control_state(entry->control) == CIOMMU_MESSAGE_ALLOCATED) {
            store_seq_cst(&entry->control, control_with(entry->control, CIOMMU_MESSAGE_PROGRAMMED));
        }
    }
    end(store);
    return status;
}

enum ciommu_status ciommu_message_program(struct ciommu_message_store *store,
                                          struct ciommu_port *port, uint32_t index,
                                          uint64_t address, uint32_t data) {
    const struct message_change change = {
        .address = address,
        .address_mask = UINT64_MAX,
        .data = data,
        .data_mask = UINT32_MAX,
    };
    enum ciommu_status status = ciommu_message_check_port(store, port);
    return status != CIOMMU_OK ? status : ciommu_message_change(store, index, &change, NULL);
}

/* ---- Arming and masking ---- */

enum ciommu_status ciommu_message_arm(struct ciommu_message_store *store, uint32_t index) {
    struct message_entry *entry;
    enum ciommu_status status = begin(store, index, STATE_BIT(PROGRAMMED), &entry);
    if (status == CIOMMU_OK) {
        expose(entry, entry->control, NULL);
        end(store);
    }
    return status;
}

enum ciommu_status ciommu_message_mask(struct ciommu_message_store *store, struct ciommu_port *port,
                                       uint32_t index) {
    struct message_entry *entry;
    enum ciommu_status status = ciommu_message_check_port(store, port);
    if (status == CIOMMU_OK) {
        status = begin(store, index, STATE_BIT(ARMED) | STATE_BIT(MASKED), &entry);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    entry->rearm = false;
    hide(entry);
    if (entry->undrained && !MUTANT(MESSAGE_MASK_NO_DRAIN)) {
        status = settle(store, entry);
    }
    end(store);
    return status;
}

enum ciommu_status ciommu_message_unmask(struct ciommu_message_store *store, uint32_t index,
                                         bool *pending) {
    struct message_entry *entry;
    enum ciommu_status status = begin(store, index, STATE_BIT(MASKED), &entry);
    if (status == CIOMMU_OK) {
        expose(entry, entry->control, pending);
        end(store);
    }
    return status;
}

/* ---- PASID ---- */

static enum ciommu_status set_pasid(struct ciommu_message_store *store, struct ciommu_port *port,
                                    uint32_t index, struct message_pasid *pasid) {
    struct message_entry *entry;
    enum ciommu_status status = ciommu_message_check_port(store, port);
    if (status == CIOMMU_OK) {
        status = ciommu_message_resolve(store, pasid);
    }
    if (status == CIOMMU_OK) {
        status = begin(store, index, STATES_LIVE, &entry);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    uint32_t state = control_state(entry->control);
    bool seen = state == CIOMMU_MESSAGE_ARMED || state == CIOMMU_MESSAGE_MASKED;
    if ((entry->control & CONTROL_CHECKED) == 0) {
        end(store);
        return CIOMMU_BAD_STATE;
    }
    entry->rearm = state == CIOMMU_MESSAGE_ARMED;
    hide(entry);
    if (seen && !MUTANT(MESSAGE_NO_DRAIN)) {
        status = settle(store, entry);
    }
    if (status == CIOMMU_OK) {
        uint64_t control = ciommu_message_place(entry, pasid) | (~entry->control & CONTROL_PHASE) |
                           control_state(entry->control);
        (void)and_seq_cst(&entry->pending, ~control_pending(control));
        if (entry->rearm) {
            expose(entry, control, NULL);
        } else {
            store_seq_cst(&entry->control, control);
        }
    }
    end(store);
    return status;
}

enum ciommu_status ciommu_message_set_pasid(struct ciommu_message_store *store,
                                            struct ciommu_port *port, uint32_t index,
                                            uint32_t pasid) {
    struct message_pasid named = {.host = pasid, .guest = CIOMMU_NO_PASID};
    return pasid > CIOMMU_PASID_MAX ? CIOMMU_INVALID_ARGUMENT
                                    : set_pasid(store, port, index, &named);
}

enum ciommu_status ciommu_message_set_guest_pasid(struct ciommu_message_store *store,
                                                  struct ciommu_port *port, uint32_t index,
                                                  const struct ciommu_namespace *space,
                                                  uint32_t guest) {
    struct message_pasid named = {.guest = guest, .space = space};
    return space == NULL || guest > CIOMMU_PASID_MAX ? CIOMMU_INVALID_ARGUMENT
                                                     : set_pasid(store, port, index, &named);
}

/* ---- Freeing ---- */

enum ciommu_status ciommu_message_free(struct ciommu_message_store *store, struct ciommu_port *port,
                                       uint32_t index) {
    struct message_entry *entry;
    /* Without a port it must not fail: whoever lets go of an entry has nobody to tell. */
    enum ciommu_status status = port != NULL ? ciommu_message_check_port(store, port) : CIOMMU_OK;
    if (status == CIOMMU_OK) {
        status = begin(store, index, STATES_LIVE, &entry);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    uint32_t state = control_state(entry->control);
    bool seen = state == CIOMMU_MESSAGE_ARMED || state == CIOMMU_MESSAGE_MASKED;
    entry->rearm = false;
    store->allocated--;
    store_seq_cst(&entry->control, CIOMMU_MESSAGE_RETIRED);
    if (seen && !MUTANT(MESSAGE_FREED_EARLY)) {
        store->retired++;
        status = settle(store, entry);
        store->retired -= status == CIOMMU_OK;
    }
    if (status == CIOMMU_OK) {
        store_seq_cst(&entry->control, CIOMMU_MESSAGE_FREE);
    } else {
        entry->ugen = add_seq_cst(&store->unit->ugen, 1) + 1; /* pairs with ciommu_ports_horizon */
    }
    end(store);
    return status;
}
