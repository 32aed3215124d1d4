/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * case_bench.h - a unit with a guest's tables, small enough to write entries by hand. Scalable
 * mode; the device with function number n translates through PASID n.
 *
 *   devices 0...4   one first stage, a domain each
 *   device 5        a first stage over the second stage
 *   device 6        the second stage, which maps the bench's memory to itself
 */
#ifndef PROBE_CASE_BENCH_H
#define PROBE_CASE_BENCH_H

#include "cases.h"
#include "ciommu.h"

#include <stdbool.h>

#define BENCH_PAGE UINT64_C(4096)
#define BENCH_PAGES 128u
#define BENCH_TABLES 32u /* pages up to here hold tables; data begins behind them */
#define BENCH_NESTED 5u
#define BENCH_SECOND 6u

/* Page numbers of the tables. */
#define BENCH_FIRST_3 4u /* first stage, from the root to the leaf table */
#define BENCH_FIRST_2 5u
#define BENCH_FIRST_1 6u
#define BENCH_FIRST_0 7u
#define BENCH_SECOND_0 12u /* leaf table of the second stage */
#define BENCH_SPARE 16u    /* pages for more tables, up to BENCH_TABLES */

#define BENCH_ENTRY UINT64_C(0x27) /* P, R/W, U/S, A */
#define BENCH_LEAF UINT64_C(0x67)  /* and D */
#define BENCH_WRITE UINT64_C(0x02) /* R/W */
#define BENCH_LARGE UINT64_C(0x80)

struct case_bench {
    uint64_t *ram;   /* where output addresses below BENCH_PAGES pages lie at first */
    uint64_t *other; /* as much again */
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
};

/* Input page n of the first stage is data page BENCH_TABLES + n, for n up to 31. */
bool case_bench_make(struct case_bench *bench, const struct ciommu_unit_config *config,
                     struct probe_case_result *result);
void case_bench_unmake(struct case_bench *bench);

/* Calls `check` with benches that have and have not a walk cache, an IOTLB and a first level. */
void case_bench_with_caches(struct probe_case_result *result,
                            void (*check)(struct case_bench *, struct probe_case_result *));

/* The entry `index` of the table in page `page`. */
uint64_t *case_bench_entry(struct case_bench *bench, uint32_t page, uint32_t index);

/* Outcome and answer of one request. */
bool case_bench_ask(struct case_bench *bench, uint32_t device, uint64_t iova, uint32_t access,
                    struct ciommu_result *out);

/* A 256-bit descriptor; a refusal is a failure. */
void case_bench_invalidate(struct case_bench *bench, uint64_t low, uint64_t high,
                           struct probe_case_result *result);

/* Descriptors. */
#define BENCH_INVALIDATE_PAGES(domain, address_and_mask)                                           \
    2 | 3 << 4 | (uint64_t)(domain) << 16, address_and_mask
#define BENCH_INVALIDATE_DOMAIN(domain) 2 | 2 << 4 | (uint64_t)(domain) << 16, 0
#define BENCH_INVALIDATE_ALL 2 | 1 << 4, 0
/* PASID-based: one page, leaf only; and the PASID as a whole. */
#define BENCH_INVALIDATE_PASID_PAGE(device, address)                                               \
    6 | 3 << 4 | (uint64_t)((device) + 1) << 16 | (uint64_t)(device) << 32, (address) | 1 << 6
#define BENCH_INVALIDATE_PASID(device)                                                             \
    6 | 2 << 4 | (uint64_t)((device) + 1) << 16 | (uint64_t)(device) << 32, 0

#endif
