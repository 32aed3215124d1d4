/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * atomics.h - the only way to touch shared words: the memory order is part of the name. Macros,
 * because they are generic over the word; each evaluates its arguments once. The words are plain
 * types (no _Atomic), so that the fixed-layout prefix of a port can be shared with C++ and Swift.
 */
#ifndef CIOMMU_ATOMICS_H
#define CIOMMU_ATOMICS_H

#include <stdint.h>

#define load_relaxed(word) __atomic_load_n((word), __ATOMIC_RELAXED)
#define load_acquire(word) __atomic_load_n((word), __ATOMIC_ACQUIRE)
#define load_seq_cst(word) __atomic_load_n((word), __ATOMIC_SEQ_CST)
#define store_relaxed(word, value) __atomic_store_n((word), (value), __ATOMIC_RELAXED)
#define store_release(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)
#define store_seq_cst(word, value) __atomic_store_n((word), (value), __ATOMIC_SEQ_CST)
#define exchange_acquire(word, value) __atomic_exchange_n((word), (value), __ATOMIC_ACQUIRE)
#define exchange_seq_cst(word, value) __atomic_exchange_n((word), (value), __ATOMIC_SEQ_CST)
#define add_seq_cst(word, value) __atomic_fetch_add((word), (value), __ATOMIC_SEQ_CST)
#define add_relaxed(word, value) __atomic_fetch_add((word), (value), __ATOMIC_RELAXED)
#define add_release(word, value) __atomic_fetch_add((word), (value), __ATOMIC_RELEASE)
#define or_seq_cst(word, value) __atomic_fetch_or((word), (value), __ATOMIC_SEQ_CST)
#define and_seq_cst(word, value) __atomic_fetch_and((word), (value), __ATOMIC_SEQ_CST)
#define compare_exchange_seq_cst(word, expected, desired)                                          \
    __atomic_compare_exchange_n((word), (expected), (desired), false, __ATOMIC_SEQ_CST,            \
                                __ATOMIC_SEQ_CST)

/* Counters that one thread writes and any may read: a plain increment without a race. */
#define count_owned(word) store_relaxed((word), load_relaxed(word) + 1)

/* Orders everything before against everything after, in all threads that also fence or use seq_cst
 * operations. */
#define fence_seq_cst() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)

/* Edges that ThreadSanitizer cannot see, because they run through liburcu or through an instruction
 * in assembly. */
#if defined(__SANITIZE_THREAD__)
#define CIOMMU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CIOMMU_TSAN 1
#endif
#endif

#ifdef CIOMMU_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define happens_before(edge) __tsan_release((void *)(uintptr_t)(edge))
#define happens_after(edge) __tsan_acquire((void *)(uintptr_t)(edge))
#else
#define happens_before(edge) ((void)(edge))
#define happens_after(edge) ((void)(edge))
#endif

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#endif
