/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * namespace.c - PASID namespaces: making, binding, unbinding, looking up. The protocol stands in
 * namespace.h.
 */
#include "namespace.h"
#include "alloc.h"
#include "debug.h"

#include <string.h>

/* Implementation: room of a quarantine when it is made. */
#define QUARANTINE_LEAST 8u

/* ---- A PASID as a value of a pasid_table: neither NULL nor odd ---- */

static void *as_value(uint32_t pasid) {
    return (void *)(((uintptr_t)pasid + 1) << 1);
}

static uint32_t as_pasid(const void *value) {
    return value == NULL ? CIOMMU_NO_PASID : (uint32_t)(((uintptr_t)value >> 1) - 1);
}

/* ---- Quarantine. Under lock ---- */

/* Makes room for `needed` entries in all. */
static bool quarantine_reserve(struct quarantine *quarantine, uint32_t needed) {
    if (needed <= quarantine->capacity) {
        return true;
    }
    uint32_t capacity =
        quarantine->capacity == 0 ? QUARANTINE_LEAST : 2 * quarantine->capacity; /* one more fits */
    struct quarantined *ring = ciommu_allocate(CACHE_LINE, capacity * sizeof *ring);
    if (ring == NULL) {
        return false;
    }
    for (uint32_t entry = 0; entry < quarantine->count; entry++) {
        ring[entry] = quarantine->ring[(quarantine->head + entry) & (quarantine->capacity - 1)];
    }
    ciommu_free(quarantine->ring);
    *quarantine = (struct quarantine){ring, capacity, 0, quarantine->count};
    return true;
}

static void quarantine_add(struct quarantine *quarantine, uint32_t host, uint64_t ugen) {
    ciommu_assert(quarantine->count < quarantine->capacity);
    uint32_t entry = (quarantine->head + quarantine->count) & (quarantine->capacity - 1);
    quarantine->ring[entry] = (struct quarantined){ugen, host};
    quarantine->count++;
}

/* The host PASID is free. With the last one the quarantine's memory goes as well. */
static void give_back(struct ciommu_namespace *space, uint32_t host) {
    ciommu_pasid_pool_give(&space->pool, host);
    if (space->pool.taken == 0) {
        ciommu_free(space->quarantine.ring);
        space->quarantine = (struct quarantine){0};
    }
}

/* Ends the quarantine of every host PASID whose sections have ended. Waits for nothing. */
static void release_ended(struct ciommu_namespace *space) {
    struct quarantine *quarantine = &space->quarantine;
    if (quarantine->count == 0) {
        return;
    }
    uint64_t horizon =
        MUTANT(QUARANTINE_IGNORED) ? UINT64_MAX : ciommu_ports_horizon(&space->unit->ports);
    while (quarantine->count != 0 && quarantine->ring[quarantine->head].ugen <= horizon) {
        uint32_t host = quarantine->ring[quarantine->head].host;
        quarantine->head = (quarantine->head + 1) & (quarantine->capacity - 1);
        quarantine->count--;
        give_back(space, host);
    }
}

/* ---- Life ---- */

static enum ciommu_status check_range(const struct ciommu_unit *unit, uint32_t first,
                                      uint32_t last) {
    if (first > last || last > PASID_LAST) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool offered = unit->caps.pasid && (uint64_t)last >> unit->caps.pasid_bits == 0;
    return offered ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

static void free_namespace(struct ciommu_namespace *space) {
    ciommu_rcu_wait(&space->deferrals);
    ciommu_pasid_table_fini(&space->hosts);
    ciommu_pasid_table_fini(&space->guests);
    ciommu_pasid_pool_fini(&space->pool);
    ciommu_free(space->quarantine.ring);
    pthread_mutex_destroy(&space->lock);
    ciommu_free(space);
}

/* Under namespaces_lock. */
static bool overlaps(const struct ciommu_unit *unit, uint32_t first, uint32_t last) {
    for (const struct ciommu_namespace *space = unit->namespaces; space != NULL;
         space = space->next) {
        const struct pasid_pool *pool = &space->pool;
        if (first <= pool->first + (pool->count - 1) && pool->first <= last) {
            return true;
        }
    }
    return false;
}

enum ciommu_status ciommu_namespace_create(struct ciommu_unit *unit, uint32_t first, uint32_t last,
                                           struct ciommu_namespace **out) {
    if (unit == NULL || out == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = check_range(unit, first, last);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_namespace *space = ciommu_allocate(CACHE_LINE, sizeof *space);
    if (space == NULL || pthread_mutex_init(&space->lock, NULL) != 0) {
        ciommu_free(space);
        return CIOMMU_NO_MEMORY;
    }
    space->unit = unit;
    ciommu_pasid_table_init(&space->hosts, &space->deferrals);
    ciommu_pasid_table_init(&space->guests, &space->deferrals);
    status = ciommu_pasid_pool_init(&space->pool, first, last);
    if (status == CIOMMU_OK) {
        pthread_mutex_lock(&unit->namespaces_lock);
        if (overlaps(unit, first, last)) {
            status = CIOMMU_OVERLAP;
        } else {
            space->next = unit->namespaces;
            unit->namespaces = space;
        }
        pthread_mutex_unlock(&unit->namespaces_lock);
    }
    if (status != CIOMMU_OK) {
        free_namespace(space);
        return status;
    }
    *out = space;
    return CIOMMU_OK;
}

void ciommu_namespace_destroy(struct ciommu_namespace *space) {
    if (space == NULL) {
        return;
    }
    struct ciommu_unit *unit = space->unit;
    pthread_mutex_lock(&unit->namespaces_lock);
    struct ciommu_namespace **link = &unit->namespaces;
    while (*link != space) {
        link = &(*link)->next;
    }
    *link = space->next;
    pthread_mutex_unlock(&unit->namespaces_lock);
    free_namespace(space);
}

/* ---- Binding ---- */

/* Picks a host PASID that is free: `wanted`, or any. Under lock. */
static enum ciommu_status choose(const struct ciommu_namespace *space, uint32_t wanted,
                                 uint32_t *host) {
    if (wanted == CIOMMU_NO_PASID) {
        return ciommu_pasid_pool_find(&space->pool, host) ? CIOMMU_OK : CIOMMU_NO_SPACE;
    }
    if (!ciommu_pasid_pool_contains(&space->pool, wanted)) {
        return CIOMMU_NOT_OWNED;
    }
    *host = wanted;
    return ciommu_pasid_pool_is_taken(&space->pool, wanted) ? CIOMMU_OCCUPIED : CIOMMU_OK;
}

/* All the memory that the pair and its end will need. Under lock. */
static bool make_room(struct ciommu_namespace *space, uint32_t guest, uint32_t host) {
    if (ciommu_pasid_table_reserve(&space->hosts, guest, guest) == CIOMMU_OK &&
        ciommu_pasid_table_reserve(&space->guests, host, host) == CIOMMU_OK &&
        quarantine_reserve(&space->quarantine, space->pool.taken + 1)) {
        return true;
    }
    ciommu_pasid_table_unreserve(&space->hosts, guest, guest);
    ciommu_pasid_table_unreserve(&space->guests, host, host);
    return false;
}

static enum ciommu_status bind_locked(struct ciommu_namespace *space, uint32_t guest,
                                      uint32_t *host) {
    release_ended(space);
    uint32_t chosen = CIOMMU_NO_PASID;
    enum ciommu_status status = choose(space, *host, &chosen);
    if (status == CIOMMU_NOT_OWNED) {
        return status;
    }
    if (pasid_table_find(&space->hosts, guest) != NULL) {
        return CIOMMU_OCCUPIED;
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    if (!make_room(space, guest, chosen)) {
        return CIOMMU_NO_MEMORY;
    }
    ciommu_pasid_pool_take(&space->pool, chosen);
    ciommu_pasid_table_set(&space->guests, chosen, as_value(guest));
    ciommu_pasid_table_set(&space->hosts, guest, as_value(chosen));
    *host = chosen;
    return CIOMMU_OK;
}

enum ciommu_status ciommu_namespace_bind(struct ciommu_namespace *space, uint32_t guest,
                                         uint32_t *host) {
    if (space == NULL || host == NULL || guest > PASID_LAST ||
        (*host > PASID_LAST && *host != CIOMMU_NO_PASID)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    pthread_mutex_lock(&space->lock);
    enum ciommu_status status = bind_locked(space, guest, host);
    pthread_mutex_unlock(&space->lock);
    return status;
}

/* Clears both directions; the host PASID that was bound, still taken, or CIOMMU_NO_PASID. Under
 * lock. */
static uint32_t take_out(struct ciommu_namespace *space, uint32_t guest) {
    uint32_t host = as_pasid(pasid_table_find(&space->hosts, guest));
    if (host != CIOMMU_NO_PASID) {
        ciommu_pasid_table_set(&space->hosts, guest, NULL);
        ciommu_pasid_table_set(&space->guests, host, NULL);
    }
    return host;
}

enum ciommu_status ciommu_namespace_unbind(struct ciommu_namespace *space, struct ciommu_port *port,
                                           uint32_t guest) {
    if (space == NULL || guest > PASID_LAST || (port != NULL && port->unit != space->unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (ports_wait_for_caller(&space->unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    pthread_mutex_lock(&space->lock);
    release_ended(space);
    uint32_t host = take_out(space, guest);
    pthread_mutex_unlock(&space->lock);
    if (host == CIOMMU_NO_PASID) {
        return CIOMMU_NOT_FOUND;
    }
    enum ciommu_status status = CIOMMU_OK;
    if (!MUTANT(PASID_REUSED_EARLY)) {
        status = ciommu_unit_settle(space->unit, NULL);
    }
    pthread_mutex_lock(&space->lock);
    if (status == CIOMMU_OK) {
        give_back(space, host);
    } else {
        quarantine_add(&space->quarantine, host, load_seq_cst(&space->unit->ugen));
    }
    pthread_mutex_unlock(&space->lock);
    return status;
}

/* ---- Lookups ---- */

static uint32_t look_up(const struct pasid_table *table, uint32_t pasid) {
    ciommu_rcu_lock();
    uint32_t found = as_pasid(pasid_table_find(table, pasid));
    ciommu_rcu_unlock();
    return found;
}

uint32_t ciommu_namespace_host(const struct ciommu_namespace *space, uint32_t guest) {
    return space == NULL ? CIOMMU_NO_PASID : look_up(&space->hosts, guest);
}

uint32_t ciommu_namespace_guest(const struct ciommu_namespace *space, uint32_t host) {
    return space == NULL ? CIOMMU_NO_PASID : look_up(&space->guests, host);
}

uint32_t ciommu_namespace_next(const struct ciommu_namespace *space, uint32_t guest) {
    if (space == NULL) {
        return CIOMMU_NO_PASID;
    }
    pthread_mutex_t *lock = (pthread_mutex_t *)&space->lock; /* const for the caller only */
    void *value;
    pthread_mutex_lock(lock);
    bool found = ciommu_pasid_table_next(&space->hosts, &guest, &value);
    pthread_mutex_unlock(lock);
    return found ? guest : CIOMMU_NO_PASID;
}
