/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * events.c - the unit's event thread. The protocol stands in events.h.
 */
#define _GNU_SOURCE /* sem_clockwait */
#include "events.h"
#include "alloc.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)

/* No sleep is longer than this. */
#define SLEEP_MOST (3600 * SECOND)

void ciommu_events_init(struct events *events) {
    memset(events, 0, sizeof *events);
    sem_init(&events->wake, 0, 0);
    pthread_mutex_init(&events->lock, NULL);
}

void ciommu_events_fini(struct events *events) {
    if (events->running) {
        store_release(&events->ending, 1);
        (void)sem_post(&events->wake);
        pthread_join(events->thread, NULL);
    }
    pthread_mutex_destroy(&events->lock);
    sem_destroy(&events->wake);
}

uint64_t ciommu_unit_poll(struct ciommu_unit *unit) {
    (void)ciommu_faults_collect(unit);
    ciommu_faults_wake(unit); /* notices that came due while this thread gave others */
    return ciommu_pages_expire(unit, true);
}

/* Waits for a wake-up, or until the deadline. */
static void sleep_until_woken(struct events *events, uint64_t nanoseconds) {
    if (nanoseconds > SLEEP_MOST) {
        nanoseconds = SLEEP_MOST;
    }
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    uint64_t fraction = (uint64_t)end.tv_nsec + nanoseconds % SECOND;
    end.tv_sec += (time_t)(nanoseconds / SECOND + fraction / SECOND);
    end.tv_nsec = (long)(fraction % SECOND);
    while (sem_clockwait(&events->wake, CLOCK_MONOTONIC, &end) != 0 && errno == EINTR) {
    }
}

static void *serve(void *context) {
    struct ciommu_unit *unit = context;
    struct events *events = &unit->events;
    while (load_acquire(&events->ending) == 0) {
        if (ciommu_faults_collect(unit)) {
            (void)ciommu_pages_expire(unit, false);
            continue;
        }
        store_relaxed(&events->asleep, 1);
        fence_seq_cst(); /* pairs with events_wake */
        bool found = ciommu_faults_collect(unit);
        uint64_t next = ciommu_pages_expire(unit, false);
        if (!found && next != 0) {
            sleep_until_woken(events, next);
        }
        store_relaxed(&events->asleep, 0);
    }
    return NULL;
}

enum ciommu_status ciommu_events_start(struct ciommu_unit *unit) {
    struct events *events = &unit->events;
    pthread_mutex_lock(&events->lock);
    if (!events->running) {
        events->running =
            !ciommu_is_denied() && pthread_create(&events->thread, NULL, serve, unit) == 0;
    }
    bool running = events->running;
    pthread_mutex_unlock(&events->lock);
    return running ? CIOMMU_OK : CIOMMU_NO_MEMORY;
}
