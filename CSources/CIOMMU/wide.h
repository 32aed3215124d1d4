/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * wide.h - 16-byte accesses that are atomic: aligned vmovdqa is, on every processor with AVX. The
 * instruction stands in assembly because a compiler would call libatomic, and because no flag or
 * target attribute is needed that way. Elsewhere they are two accesses, and whoever uses them has
 * another way to find out whether both belong together.
 */
#ifndef CIOMMU_WIDE_H
#define CIOMMU_WIDE_H

#include <stdbool.h>
#include <stdint.h>

/* Two 64-bit halves; read and written whole. */
struct wide_word {
    uint64_t low;
    uint64_t high;
} __attribute__((aligned(16)));

static inline struct wide_word load_wide(const struct wide_word *word) {
    struct wide_word value;
#if defined(__x86_64__)
    __asm__ volatile("vmovdqa %2, %%xmm0\n\tvmovq %%xmm0, %0\n\tvpextrq $1, %%xmm0, %1"
                     : "=r"(value.low), "=r"(value.high)
                     : "m"(*word)
                     : "xmm0", "memory");
#else
    value = *word;
#endif
    return value;
}

static inline void store_wide(struct wide_word *word, struct wide_word value) {
#if defined(__x86_64__)
    __asm__ volatile("vmovdqa %1, %%xmm0\n\tvmovdqa %%xmm0, %0"
                     : "=m"(*word)
                     : "m"(value)
                     : "xmm0", "memory");
#else
    *word = value;
#endif
}

static inline bool processor_has_wide_loads(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("sse4.2");
#else
    return false;
#endif
}

#endif
