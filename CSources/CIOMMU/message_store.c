/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_store.c - making and ending message stores, allocating entries, what a store tells of
 * itself. The protocol stands in message_store.h.
 */
#include "message_store.h"
#include "alloc.h"
#include "debug.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct message_entry) == 64, "one cache line");

/* ---- Life ---- */

enum ciommu_status ciommu_message_store_create(struct ciommu_device *device,
                                               const struct ciommu_message_store_config *config,
                                               struct ciommu_message_store **out) {
    if (device == NULL || config == NULL || out == NULL || config->size < sizeof *config ||
        config->flags != 0 || config->entries == 0 || config->entries > CIOMMU_MESSAGES_MOST) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_message_store *store = ciommu_allocate(CACHE_LINE, sizeof *store);
    if (store == NULL || pthread_mutex_init(&store->lock, NULL) != 0) {
        ciommu_free(store);
        return CIOMMU_NO_MEMORY;
    }
    store->entries = ciommu_allocate(CACHE_LINE, config->entries * sizeof *store->entries);
    if (store->entries == NULL) {
        pthread_mutex_destroy(&store->lock);
        if (!MUTANT(REFUSAL_LEAKS)) {
            ciommu_free(store);
        }
        return CIOMMU_NO_MEMORY;
    }
    store->count = config->entries;
    store->device = device;
    store->unit = device->unit;
    pthread_mutex_lock(&store->unit->table_lock);
    store->next = device->stores;
    device->stores = store;
    pthread_mutex_unlock(&store->unit->table_lock);
    *out = store;
    return CIOMMU_OK;
}

enum ciommu_status ciommu_message_store_destroy(struct ciommu_message_store *store,
                                                struct ciommu_port *port) {
    if (store == NULL) {
        return CIOMMU_OK;
    }
    enum ciommu_status status = port != NULL ? ciommu_message_check_port(store, port) : CIOMMU_OK;
    if (status != CIOMMU_OK) {
        return status;
    }
    pthread_mutex_lock(&store->unit->table_lock);
    struct ciommu_message_store **link = &store->device->stores;
    while (*link != store) {
        link = &(*link)->next;
    }
    *link = store->next;
    pthread_mutex_unlock(&store->unit->table_lock);
    /* No call uses it any more, so only what earlier ones answered may be under way. */
    status = ciommu_unit_wait(store->unit);
    pthread_mutex_destroy(&store->lock);
    ciommu_free(store->entries);
    ciommu_free(store);
    return status;
}

void ciommu_message_stores_mask(struct ciommu_device *device) {
    for (struct ciommu_message_store *store = device->stores; store != NULL; store = store->next) {
        pthread_mutex_lock(&store->lock);
        for (uint32_t index = 0; index < store->count; index++) {
            struct message_entry *entry = &store->entries[index];
            entry->rearm = false;
            store_seq_cst(&entry->pending, 0);
            if (control_state(entry->control) == CIOMMU_MESSAGE_ARMED) {
                entry->undrained = true;
                store_seq_cst(&entry->control, control_with(entry->control, CIOMMU_MESSAGE_MASKED));
            }
        }
        pthread_mutex_unlock(&store->lock);
    }
}

void ciommu_message_stores_forget(struct ciommu_device *device) {
    for (struct ciommu_message_store *store = device->stores; store != NULL; store = store->next) {
        pthread_mutex_lock(&store->lock);
        for (uint32_t index = 0; index < store->count; index++) {
            struct message_entry *entry = &store->entries[index];
            if (control_state(entry->control) == CIOMMU_MESSAGE_MASKED) {
                store_seq_cst(&entry->pending, 0);
            }
        }
        pthread_mutex_unlock(&store->lock);
    }
}

/* ---- PASIDs ---- */

enum ciommu_status ciommu_message_resolve(const struct ciommu_message_store *store,
                                          struct message_pasid *pasid) {
    const struct ciommu_unit *unit = store->unit;
    if (pasid->space != NULL) {
        pasid->host = ciommu_namespace_host(pasid->space, pasid->guest);
        if (pasid->host == CIOMMU_NO_PASID) {
            return CIOMMU_NOT_FOUND;
        }
    }
    if (!unit->caps.pasid || pasid->host >> unit->caps.pasid_bits != 0) {
        return CIOMMU_UNSUPPORTED;
    }
    pthread_mutex_lock(&store->unit->table_lock);
    enum ciommu_status status = ciommu_device_owns(store->device, pasid->host);
    pthread_mutex_unlock(&store->unit->table_lock);
    return status;
}

uint64_t ciommu_message_place(struct message_entry *entry, const struct message_pasid *pasid) {
    if (pasid->host == CIOMMU_NO_PASID) {
        return 0;
    }
    entry->space = pasid->space;
    entry->guest = pasid->guest;
    return CONTROL_CHECKED | (pasid->space != NULL ? CONTROL_GUEST : 0) |
           (uint64_t)pasid->host << CONTROL_PASID_SHIFT;
}

/* ---- Allocating ---- */

/* A retired entry whose sections have ended is free. Lock. */
static bool is_free(struct ciommu_message_store *store, struct message_entry *entry,
                    uint64_t *horizon) {
    uint32_t state = control_state(entry->control);
    if (state != CIOMMU_MESSAGE_RETIRED || entry->busy) {
        return state == CIOMMU_MESSAGE_FREE;
    }
    if (*horizon == 0) {
        *horizon = ciommu_ports_horizon(&store->unit->ports);
    }
    if (entry->ugen > *horizon) {
        return false;
    }
    store->retired--;
    return true;
}

static enum ciommu_status allocate(struct ciommu_message_store *store,
                                   const struct message_pasid *pasid, uint32_t *index) {
    uint64_t horizon = 0;
    enum ciommu_status status = CIOMMU_NO_SPACE;
    pthread_mutex_lock(&store->lock);
    for (uint32_t at = 0; at < store->count && status != CIOMMU_OK; at++) {
        struct message_entry *entry = &store->entries[at];
        if (is_free(store, entry, &horizon)) {
            entry->address = 0;
            entry->data = 0;
            entry->undrained = false;
            store_seq_cst(&entry->pending, 0);
            store_seq_cst(&entry->control,
                          ciommu_message_place(entry, pasid) | CIOMMU_MESSAGE_ALLOCATED);
            store->allocated++;
            *index = at;
            status = CIOMMU_OK;
        }
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum ciommu_status ciommu_message_allocate(struct ciommu_message_store *store, uint32_t pasid,
                                           uint32_t flags, uint32_t *index) {
    bool unchecked = flags == CIOMMU_MESSAGE_UNCHECKED && pasid == CIOMMU_NO_PASID;
    bool checked = flags == 0 && pasid <= CIOMMU_PASID_MAX;
    if (store == NULL || index == NULL || (!unchecked && !checked)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct message_pasid named = {.host = pasid, .guest = CIOMMU_NO_PASID};
    enum ciommu_status status = unchecked ? CIOMMU_OK : ciommu_message_resolve(store, &named);
    return status != CIOMMU_OK ? status : allocate(store, &named, index);
}

enum ciommu_status ciommu_message_allocate_guest(struct ciommu_message_store *store,
                                                 const struct ciommu_namespace *space,
                                                 uint32_t guest, uint32_t *index) {
    if (store == NULL || space == NULL || index == NULL || guest > CIOMMU_PASID_MAX) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct message_pasid named = {.guest = guest, .space = space};
    enum ciommu_status status = ciommu_message_resolve(store, &named);
    return status != CIOMMU_OK ? status : allocate(store, &named, index);
}

/* ---- What a store tells ---- */

static pthread_mutex_t *lock_of(const struct ciommu_message_store *store) {
    return (pthread_mutex_t *)&store->lock; /* const for the caller only */
}

enum ciommu_status ciommu_message_read_info(const struct ciommu_message_store *store,
                                            uint32_t index, struct ciommu_message_info *out) {
    if (store == NULL || index >= store->count || out == NULL || out->size < sizeof *out) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    const struct message_entry *entry = &store->entries[index];
    pthread_mutex_lock(lock_of(store));
    uint64_t control = entry->control;
    uint32_t state = control_state(control);
    bool live = state != CIOMMU_MESSAGE_FREE && state != CIOMMU_MESSAGE_RETIRED;
    bool checked = live && (control & CONTROL_CHECKED) != 0;
    bool pending = live && (load_relaxed(&entry->pending) & control_pending(control)) != 0;
    *out = (struct ciommu_message_info){
        .size = out->size,
        .state = state,
        .flags = live && !checked ? CIOMMU_MESSAGE_UNCHECKED : 0,
        .pasid = checked ? control_pasid(control) : CIOMMU_NO_PASID,
        .guest = checked && (control & CONTROL_GUEST) != 0 ? entry->guest : CIOMMU_NO_PASID,
        .data = live ? entry->data : 0,
        .address = live ? entry->address : 0,
        .pending = pending ? 1 : 0,
    };
    pthread_mutex_unlock(lock_of(store));
    return CIOMMU_OK;
}

void ciommu_message_read_statistics(const struct ciommu_message_store *store,
                                    struct ciommu_message_statistics *out) {
    if (store == NULL || out == NULL) {
        return;
    }
    pthread_mutex_lock(lock_of(store));
    const struct ciommu_message_statistics sum = {
        .size = out->size,
        .entries = store->count,
        .allocated = store->allocated,
        .retired = store->retired,
        .masked = load_relaxed(&store->outcomes[CIOMMU_MESSAGE_IS_MASKED]),
        .not_armed = load_relaxed(&store->outcomes[CIOMMU_MESSAGE_NOT_ARMED]),
        .wrong_pasid = load_relaxed(&store->outcomes[CIOMMU_MESSAGE_WRONG_PASID]),
        .absent_pasid = load_relaxed(&store->outcomes[CIOMMU_MESSAGE_ABSENT_PASID]),
        .revoked = load_relaxed(&store->outcomes[CIOMMU_MESSAGE_REVOKED]),
        .faults = load_relaxed(&store->outcomes[CIOMMU_MESSAGE_FAULT]),
    };
    pthread_mutex_unlock(lock_of(store));
    memcpy(out, &sum, sum.size < sizeof sum ? sum.size : sizeof sum);
}
