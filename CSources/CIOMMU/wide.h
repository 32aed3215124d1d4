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

/* CIOMMU_PORTABLE builds what other processors get, to be tested on this one. */
#if defined(__x86_64__) && !defined(CIOMMU_PORTABLE)
#define CIOMMU_HAS_AVX_CODE 1
#else
#define CIOMMU_HAS_AVX_CODE 0
#endif

/* Two 64-bit halves; read and written whole. */
struct wide_word {
    uint64_t low;
    uint64_t high;
} __attribute__((aligned(16)));

static inline struct wide_word load_wide(const struct wide_word *word) {
    struct wide_word value;
#if CIOMMU_HAS_AVX_CODE
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
#if CIOMMU_HAS_AVX_CODE
    __asm__ volatile("vmovdqa %1, %%xmm0\n\tvmovdqa %%xmm0, %0"
                     : "=m"(*word)
                     : "m"(value)
                     : "xmm0", "memory");
#else
    *word = value;
#endif
}

/* Of four words in a row, the high half of one that agrees with `key` in the bits of `mask`, or
 * 0. Each word is loaded once, whole, at a moment of its own: two may agree if one was cleared
 * and the other stored meanwhile, so one is taken, never a mixture. Which one agrees decides no
 * branch, because nobody could foresee it. */
static inline uint64_t select_wide(const struct wide_word *words, struct wide_word key,
                                   const struct wide_word *mask) {
    uint64_t high = 0;
#if CIOMMU_HAS_AVX_CODE
#define SELECT(offset)                                                                             \
    "vmovdqa " offset "(%[words]), %%xmm2\n\t"                                                     \
    "vpand %%xmm1, %%xmm2, %%xmm3\n\t"                                                             \
    "vpcmpeqq %%xmm0, %%xmm3, %%xmm3\n\t"                                                          \
    "vpshufd $0x4e, %%xmm3, %%xmm4\n\t"                                                            \
    "vpand %%xmm4, %%xmm3, %%xmm3\n\t"                                                             \
    "vpblendvb %%xmm3, %%xmm2, %%xmm5, %%xmm5\n\t"
    __asm__ volatile(
        "vmovq %[low], %%xmm0\n\t"
        "vpinsrq $1, %[key], %%xmm0, %%xmm0\n\t"
        "vmovdqa %[mask], %%xmm1\n\t"
        "vpxor %%xmm5, %%xmm5, %%xmm5\n\t" SELECT("") SELECT("16") SELECT("32")
            SELECT("48") "vpextrq $1, %%xmm5, %[high]"
        : [high] "=r"(high)
        : [words] "r"(words), [low] "r"(key.low), [key] "r"(key.high), [mask] "m"(*mask)
        : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "memory");
#undef SELECT
#else
    for (unsigned word = 0; word < 4; word++) {
        bool agrees =
            (words[word].low & mask->low) == key.low && (words[word].high & mask->high) == key.high;
        high = agrees ? words[word].high : high;
    }
#endif
    return high;
}

static inline bool processor_has_wide_loads(void) {
#if CIOMMU_HAS_AVX_CODE
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("sse4.2");
#else
    return false;
#endif
}

#endif
