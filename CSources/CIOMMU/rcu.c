/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * rcu.c - the out-of-line half of rcu.h.
 */
#include "rcu.h"

#ifdef CIOMMU_TSAN
char ciommu_rcu_edge;
#endif

void ciommu_rcu_defer(struct rcu_head *head, ciommu_rcu_callback callback) {
#ifdef CIOMMU_TSAN
    __tsan_release(&ciommu_rcu_edge);
#endif
    urcu_bp_call_rcu(head, callback);
}

void ciommu_rcu_prepare(void) {
    (void)urcu_bp_get_default_call_rcu_data();
}

void ciommu_rcu_barrier(void) {
    urcu_bp_barrier();
#ifdef CIOMMU_TSAN
    __tsan_acquire(&ciommu_rcu_edge);
#endif
}
