/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * rcu.c - the out-of-line half of rcu.h.
 */
#include "rcu.h"
#include "alloc.h"

#include <pthread.h>
#include <sched.h>

char ciommu_rcu_edge;
uint32_t ciommu_rcu_prepared;

void ciommu_rcu_defer(struct deferrals *deferrals, struct rcu_head *head,
                      ciommu_rcu_callback callback) {
    (void)add_relaxed(&deferrals->pending, 1);
    happens_before(&ciommu_rcu_edge);
    urcu_bp_call_rcu(head, callback);
}

static void *end_at_once(void *context) {
    return context;
}

/* liburcu ends the process where it gets no thread, so one is asked for here first. The system
 * keeps its stack for the next one. */
static bool can_start_thread(void) {
    pthread_t thread;
    if (ciommu_is_denied() || pthread_create(&thread, NULL, end_at_once, NULL) != 0) {
        return false;
    }
    (void)pthread_join(thread, NULL);
    return true;
}

bool ciommu_rcu_prepare(void) {
    if (load_acquire(&ciommu_rcu_prepared) == 0) {
        if (!can_start_thread()) {
            return false;
        }
        (void)urcu_bp_get_default_call_rcu_data();
        store_release(&ciommu_rcu_prepared, 1);
    }
    return true;
}

void ciommu_rcu_synchronize(void) {
    urcu_bp_synchronize_rcu();
    happens_after(&ciommu_rcu_edge);
}

void ciommu_rcu_barrier(void) {
    urcu_bp_barrier();
    happens_after(&ciommu_rcu_edge);
}

void ciommu_rcu_wait(const struct deferrals *deferrals) {
    while (load_acquire(&deferrals->pending) != 0) {
        sched_yield();
    }
}
