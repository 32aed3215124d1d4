/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * rcu.h - object lifetime, by liburcu (flavour bp: no thread registration, because ports move
 * between threads). The only header that includes <urcu/...>. Loads and stores stay C11
 * (atomics.h); liburcu supplies read sections, grace periods and callbacks.
 *
 * Read sections are short and never contain a callback of the host. Under ThreadSanitizer liburcu
 * is not inlined, because its barriers are invisible to the tool; a read unlock is annotated as a
 * release and the end of a grace period as an acquire instead.
 */
#ifndef CIOMMU_RCU_H
#define CIOMMU_RCU_H

#if defined(__SANITIZE_THREAD__)
#define CIOMMU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CIOMMU_TSAN 1
#endif
#endif

#if !defined(CIOMMU_TSAN) && !defined(_LGPL_SOURCE)
#define _LGPL_SOURCE
#endif
#define URCU_API_MAP
#include <urcu/urcu-bp.h>

#ifdef CIOMMU_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
extern char ciommu_rcu_edge;
#endif

typedef void (*ciommu_rcu_callback)(struct rcu_head *head);

static inline void ciommu_rcu_lock(void) {
    urcu_bp_read_lock();
}

static inline void ciommu_rcu_unlock(void) {
#ifdef CIOMMU_TSAN
    __tsan_release(&ciommu_rcu_edge);
#endif
    urcu_bp_read_unlock();
}

/* First statement of every callback: the grace period is over. */
static inline void ciommu_rcu_callback_begins(void) {
#ifdef CIOMMU_TSAN
    __tsan_acquire(&ciommu_rcu_edge);
#endif
}

/* Runs `callback` on liburcu's thread after every present read section has ended. Does not
 * allocate; may wake that thread. */
void ciommu_rcu_defer(struct rcu_head *head, ciommu_rcu_callback callback);

/* Starts liburcu's callback thread, so that no later deferral needs memory. Once per process is
 * enough; repeating is harmless. */
void ciommu_rcu_prepare(void);

/* Waits until every deferred callback has run. Never from a callback or a read section. */
void ciommu_rcu_barrier(void);

#endif
