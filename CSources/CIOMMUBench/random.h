/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * random.h - random numbers that a seed repeats (SplitMix64). Not for anything that needs good
 * ones.
 */
#ifndef CIOMMU_BENCH_RANDOM_H
#define CIOMMU_BENCH_RANDOM_H

#include <stdint.h>

static inline uint64_t bench_random(uint64_t *seed) {
    uint64_t mixed = *seed += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* A number below `bound`, from the 32 bits given. */
static inline uint64_t bench_below(uint64_t bits, uint64_t bound) {
    return (bits & 0xffffffffu) * bound >> 32;
}

#endif
