/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * events.h - the unit's event thread: carries faults from the ports' rings to their queues and
 * answers page requests whose deadline has passed. Of the host's it runs what must soon return: the
 * notifications that something is there to be read, and the handlers of late page requests. While
 * one of those runs the thread does nothing else.
 *
 * Protocol (sleeping)
 *   Thread       polls; then asleep = 1, full fence, polls again; nothing found: waits for `wake`,
 *                at most until the next deadline. Awake: asleep = 0.
 *   Producers    publish what is to be found, full fence, load `asleep`; whoever exchanges it from
 *                1 to 0 posts `wake`. So a thread that is awake costs a producer no system call,
 *                and nothing published before the thread fell asleep is overlooked.
 */
#ifndef CIOMMU_EVENTS_H
#define CIOMMU_EVENTS_H

#include "atomics.h"
#include "ciommu_faults.h"

#include <pthread.h>
#include <semaphore.h>

struct events {
    uint32_t asleep __attribute__((aligned(64))); /* the protocol above */
    uint32_t ending;                              /* release by fini, acquire by the thread */
    sem_t wake __attribute__((aligned(64)));
    pthread_mutex_t lock; /* starting */
    pthread_t thread;
    bool running; /* lock */
};

void ciommu_events_init(struct events *events);

/* Stops the thread. Nothing is published any more. */
void ciommu_events_fini(struct events *events);

/* Makes sure that the thread runs; CIOMMU_NO_MEMORY if it cannot be started. */
enum ciommu_status ciommu_events_start(struct ciommu_unit *unit);

/* Wakes the thread if it sleeps. After the publication of what it is to find. Never inside a
 * section: it may be a system call. */
static inline void events_wake(struct events *events) {
    fence_seq_cst(); /* pairs with events.c: serve */
    if (load_relaxed(&events->asleep) != 0 && exchange_acquire(&events->asleep, 0) != 0) {
        (void)sem_post(&events->wake);
    }
}

/* The parts of a poll. */
/* Moves what is in the rings to the queues; true if there was anything. */
bool ciommu_faults_collect(struct ciommu_unit *unit);
/* Answers groups that are late; nanoseconds to the next deadline, or UINT64_MAX. `all`: also by
 * clocks of the host's, which mean nothing to a thread that sleeps by the system's. */
uint64_t ciommu_pages_expire(struct ciommu_unit *unit, bool all);

#endif
