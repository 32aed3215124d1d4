/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * observer.c - who hears of invalidations.
 *
 * Protocol (observers): the list is guarded by observers_lock, which is never held during a call. A
 * caller counts itself into `running` of the observer it is about to call; removal marks, waits for
 * `running` to fall to zero, and unlinks. A node is unlinked only while nobody runs it, so the
 * teller's position stays valid.
 */
#include "invalidate.h"
#include "alloc.h"

#include <sched.h>

enum ciommu_status ciommu_observer_add(struct ciommu_unit *unit, ciommu_observer observer,
                                       void *context, uint32_t *id) {
    if (unit == NULL || observer == NULL || id == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct observer *node = ciommu_allocate(CACHE_LINE, sizeof *node);
    if (node == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    node->call = observer;
    node->context = context;
    pthread_mutex_lock(&unit->observers_lock);
    node->id = ++unit->next_observer;
    node->next = unit->observers;
    store_release(&unit->observers, node); /* pairs with pending.c: make_room */
    *id = node->id;
    pthread_mutex_unlock(&unit->observers_lock);
    return CIOMMU_OK;
}

enum ciommu_status ciommu_observer_remove(struct ciommu_unit *unit, uint32_t id) {
    if (unit == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    pthread_mutex_lock(&unit->observers_lock);
    struct observer *node = unit->observers;
    while (node != NULL && (node->id != id || node->removed)) {
        node = node->next;
    }
    if (node == NULL) {
        pthread_mutex_unlock(&unit->observers_lock);
        return CIOMMU_NOT_FOUND;
    }
    node->removed = true;
    while (node->running != 0) {
        pthread_mutex_unlock(&unit->observers_lock);
        sched_yield();
        pthread_mutex_lock(&unit->observers_lock);
    }
    struct observer **link = &unit->observers;
    while (*link != node) {
        link = &(*link)->next;
    }
    store_release(link, node->next); /* pairs with pending.c: make_room */
    pthread_mutex_unlock(&unit->observers_lock);
    ciommu_free(node);
    return CIOMMU_OK;
}

void ciommu_observers_tell(struct ciommu_unit *unit, const struct ciommu_invalidation *what) {
    pthread_mutex_lock(&unit->observers_lock);
    for (struct observer *node = unit->observers, *next; node != NULL; node = next) {
        if (node->removed) {
            next = node->next;
            continue;
        }
        node->running++;
        pthread_mutex_unlock(&unit->observers_lock);
        node->call(node->context, what);
        pthread_mutex_lock(&unit->observers_lock);
        node->running--;
        next = node->next; /* nodes before this one may be gone; this one was pinned until now */
    }
    pthread_mutex_unlock(&unit->observers_lock);
}
