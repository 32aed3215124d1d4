/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * walk.h - the plain table walk of the baselines: straight C, four levels, second stage or nested.
 * Checks presence and rights, sets no accessed bits. A baseline knows each requester's tables from
 * an array, so that nothing of its time goes into device tables.
 */
#ifndef CIOMMU_BENCH_WALK_H
#define CIOMMU_BENCH_WALK_H

#include "world.h"

#define WALK_RIGHTS UINT64_C(3)   /* second stage: R, W */
#define WALK_LARGE UINT64_C(0x80) /* a leaf above level 0 */
#define WALK_ADDRESS UINT64_C(0xffffffffff000)
#define WALK_FAILED UINT64_MAX

/* What a lookup gives; one place in memory for everything that a device needs. */
struct bench_answer {
    uint64_t address; /* WALK_FAILED: no such page, or not for this access */
    unsigned char *host;
    uint32_t rights;
    uint32_t page_lg2;
};

static INLINE uint64_t walk_load(const struct bench_world *world, uint64_t table, uint64_t input,
                                 unsigned level) {
    const uint64_t *words = (const uint64_t *)(const void *)(world->ram + table);
    return __atomic_load_n(&words[input >> (12 + 9 * level) & 511], __ATOMIC_RELAXED);
}

/* The 4 KiB page of `input` behind a second stage: address | rights, or 0. */
static INLINE uint64_t walk_second(const struct bench_world *world, uint64_t root, uint64_t input) {
    uint64_t table = root;
    uint64_t rights = WALK_RIGHTS;
#pragma GCC unroll 4
    for (unsigned step = 0; step < 4; step++) {
        unsigned level = 3 - step;
        uint64_t entry = walk_load(world, table, input, level);
        rights &= entry;
        if (rights == 0) {
            return 0;
        }
        table = entry & WALK_ADDRESS;
        if (level != 0 && (entry & WALK_LARGE) != 0) {
            uint64_t inside = (UINT64_C(1) << (12 + 9 * level)) - 1;
            return ((table & ~inside) | (input & inside & ~(BENCH_PAGE - 1))) | rights;
        }
    }
    return table | rights;
}

/* The same through a first stage whose tables and pages lie behind the second. */
static INLINE uint64_t walk_nested(const struct bench_world *world, const struct bench_roots *roots,
                                   uint64_t input) {
    uint64_t guest = roots->first; /* guest-physical */
    uint64_t first = WALK_RIGHTS;  /* P, R/W */
#pragma GCC unroll 4
    for (unsigned step = 0; step < 4; step++) {
        unsigned level = 3 - step;
        uint64_t table = walk_second(world, roots->second, guest);
        if (table == 0) {
            return 0;
        }
        uint64_t entry = walk_load(world, table & WALK_ADDRESS, input, level);
        first &= entry;
        if ((first & 1) == 0) {
            return 0;
        }
        guest = entry & WALK_ADDRESS;
        if (level != 0 && (entry & WALK_LARGE) != 0) {
            uint64_t inside = (UINT64_C(1) << (12 + 9 * level)) - 1;
            guest = (guest & ~inside) | (input & inside & ~(BENCH_PAGE - 1));
            break;
        }
    }
    uint64_t page = walk_second(world, roots->second, guest);
    return page & (WALK_ADDRESS | first); /* P of the first stage lies where R does */
}

/* The 4 KiB page of `iova` in an address space: output address | rights (R 1, W 2); 0 if there is
 * none. */
static INLINE uint64_t bench_walk(const struct bench_world *world, uint32_t space, uint64_t iova) {
    const struct bench_roots *roots = &world->roots[space];
    return roots->first == 0 ? walk_second(world, roots->second, iova)
                             : walk_nested(world, roots, iova);
}

/* From a page (address | rights) to the answer for a byte. */
static INLINE void bench_answer_from(const struct bench_world *world, uint64_t page,
                                     const struct ciommu_request *request,
                                     struct bench_answer *answer) {
    uint64_t address = (page & WALK_ADDRESS) | (request->iova & (BENCH_PAGE - 1));
    bool granted = (request->access & ~page & WALK_RIGHTS) == 0;
    answer->address = granted ? address : WALK_FAILED;
    answer->host = (unsigned char *)world->data + (address - BENCH_DATA);
    answer->rights = (uint32_t)(page & WALK_RIGHTS);
    answer->page_lg2 = 12;
}

#endif
