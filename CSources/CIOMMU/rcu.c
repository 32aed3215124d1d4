/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * rcu.c - the out-of-line half of rcu.h.
 */
#include "rcu.h"

#include <sched.h>

char ciommu_rcu_edge;

void ciommu_rcu_defer(struct deferrals *deferrals, struct rcu_head *head,
                      ciommu_rcu_callback callback) {
    (void)add_relaxed(&deferrals->pending, 1);
    happens_before(&ciommu_rcu_edge);
    urcu_bp_call_rcu(head, callback);
}

void ciommu_rcu_prepare(void) {
    (void)urcu_bp_get_default_call_rcu_data();
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
