/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cost.h - the loops of SwiftCost as a C host would write them, over a world of their own: one
 * device with a paging domain of 64 pages, the same that SwiftCost makes in Swift. Every loop
 * returns the sum of the output addresses.
 */
#ifndef COST_H
#define COST_H

#include <ciommu.h>
#include <stdint.h>

#define COST_PAGES 64u
#define COST_SOURCE 8u
#define COST_BATCH 32u
#define COST_INPUT 0x100000000ull
#define COST_OUTPUT 0x10000000000ull

struct cost_world;

struct cost_world *cost_world_create(void);
void cost_world_destroy(struct cost_world *world);

/* A section for each translation: ciommu_translate, and the inlined first level before it. */
uint64_t cost_single_call(struct cost_world *world, const uint64_t *iovas, uint64_t count);
uint64_t cost_single_inline(struct cost_world *world, const uint64_t *iovas, uint64_t count);

/* One section around all. */
uint64_t cost_section_call(struct cost_world *world, const uint64_t *iovas, uint64_t count);
uint64_t cost_section_inline(struct cost_world *world, const uint64_t *iovas, uint64_t count);

/* Batches of 32; `count` is a multiple of that. */
uint64_t cost_batch(struct cost_world *world, const struct ciommu_request *requests,
                    uint64_t count);

/* An access of 64 bytes whose first 8 are loaded; returns the sum of what was loaded. The inlined
 * first level before ciommu_translate_range. */
uint64_t cost_access_inline(struct cost_world *world, const uint64_t *iovas, uint64_t count);

/* Monotonic nanoseconds. */
uint64_t cost_now(void);

/* Calls `body`: what callgrind is told to collect. */
void cost_collect(void (*body)(void *context), void *context);

#endif
