/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * case_bench.c - see case_bench.h.
 */
#include "case_bench.h"

#include <stdlib.h>
#include <string.h>

#define BYTES (BENCH_PAGES * BENCH_PAGE)

uint64_t *case_bench_entry(struct case_bench *bench, uint32_t page, uint32_t index) {
    return &bench->ram[page * (BENCH_PAGE / 8) + index];
}

static void set(struct case_bench *bench, uint32_t page, uint32_t index, uint64_t value) {
    *case_bench_entry(bench, page, index) = value;
}

static void build(struct case_bench *bench) {
    set(bench, 1, 0, 2 * BENCH_PAGE | 1); /* root: contexts */
    for (uint32_t device = 0; device < 8; device++) {
        set(bench, 2, device * 4, 3 * BENCH_PAGE | 1);
        set(bench, 2, device * 4 + 1, device);                           /* RID_PASID */
        set(bench, 8, device * 8 + 1, (device + 1) | UINT64_C(1) << 23); /* DID, PWSNP */
        set(bench, 8, device * 8 + 2, BENCH_FIRST_3 * BENCH_PAGE);
        uint64_t type = device == BENCH_NESTED   ? 3 << 6 | 2 << 2 | 9 * BENCH_PAGE
                        : device == BENCH_SECOND ? 2 << 6 | 2 << 2 | 9 * BENCH_PAGE
                                                 : 1 << 6;
        set(bench, 8, device * 8, type | 1);
    }
    set(bench, 3, 0, 8 * BENCH_PAGE | 1); /* directory: PASID table */
    set(bench, BENCH_FIRST_3, 0, BENCH_FIRST_2 * BENCH_PAGE | BENCH_ENTRY);
    set(bench, BENCH_FIRST_2, 0, BENCH_FIRST_1 * BENCH_PAGE | BENCH_ENTRY);
    set(bench, BENCH_FIRST_1, 0, BENCH_FIRST_0 * BENCH_PAGE | BENCH_ENTRY);
    for (uint32_t page = 0; page < 32; page++) {
        set(bench, BENCH_FIRST_0, page, (BENCH_TABLES + page) * BENCH_PAGE | BENCH_LEAF);
    }
    for (uint32_t level = 0; level < 3; level++) {
        set(bench, 9 + level, 0, (10 + level) * BENCH_PAGE | 3); /* second stage: R, W */
    }
    for (uint32_t page = 0; page < BENCH_PAGES; page++) {
        set(bench, BENCH_SECOND_0, page, page * BENCH_PAGE | 3);
    }
}

static enum ciommu_status add(struct case_bench *bench, uint64_t address, uint64_t length) {
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = CIOMMU_READ | CIOMMU_WRITE,
        .address = address,
        .length = length,
        .host = (unsigned char *)bench->ram + address,
    };
    return ciommu_memory_add(bench->memory, &range);
}

bool case_bench_make(struct case_bench *bench, const struct ciommu_unit_config *config,
                     struct probe_case_result *result) {
    const uint64_t tables = BENCH_TABLES * BENCH_PAGE;
    memset(bench, 0, sizeof *bench);
    bench->ram = aligned_alloc(BENCH_PAGE, BYTES);
    bench->other = aligned_alloc(BENCH_PAGE, BYTES);
    bool fine = bench->ram != NULL && bench->other != NULL;
    if (fine) {
        memset(bench->ram, 0, BYTES);
        memset(bench->other, 0, BYTES);
        build(bench);
    }
    fine = fine && ciommu_memory_create(&bench->memory) == CIOMMU_OK &&
           add(bench, 0, tables) == CIOMMU_OK && add(bench, tables, BYTES - tables) == CIOMMU_OK &&
           ciommu_unit_create(config, bench->memory, &bench->unit) == CIOMMU_OK &&
           ciommu_port_create(bench->unit, &bench->port) == CIOMMU_OK &&
           ciommu_unit_set_root(bench->unit, BENCH_PAGE | 1 << 10) == CIOMMU_OK &&
           ciommu_unit_set_translation(bench->unit, true) == CIOMMU_OK;
    probe_expect(result, fine, "the bench is made");
    return fine;
}

void case_bench_unmake(struct case_bench *bench) {
    (void)ciommu_port_destroy(bench->port);
    (void)ciommu_unit_destroy(bench->unit);
    (void)ciommu_memory_destroy(bench->memory);
    free(bench->ram);
    free(bench->other);
}

bool case_bench_ask(struct case_bench *bench, uint32_t device, uint64_t iova, uint32_t access,
                    struct ciommu_result *out) {
    *out = (struct ciommu_result){.size = sizeof *out, .outcome = CIOMMU_FAULT};
    return ciommu_translate(bench->unit, bench->port, device, CIOMMU_NO_PASID, iova, access, 0,
                            out) == CIOMMU_OK &&
           out->outcome == CIOMMU_TRANSLATED_OK;
}

void case_bench_invalidate(struct case_bench *bench, uint64_t low, uint64_t high,
                           struct probe_case_result *result) {
    const uint64_t words[4] = {low, high, 0, 0};
    struct ciommu_descriptor_result told = {.size = sizeof told};
    bool fine = ciommu_invalidate_descriptor(bench->unit, NULL, words, true, &told) == CIOMMU_OK;
    probe_expect(result, fine, "an invalidation is refused");
}

void case_bench_with_caches(struct probe_case_result *result,
                            void (*check)(struct case_bench *, struct probe_case_result *)) {
    for (uint32_t set = 0; set < 8; set++) {
        struct ciommu_unit_config config;
        ciommu_unit_config_init(&config);
        config.walk_cache_entries = (set & 1) != 0 ? config.walk_cache_entries : 0;
        config.iotlb_entries = (set & 2) != 0 ? config.iotlb_entries : 0;
        config.first_level_entries = (set & 4) != 0 ? config.first_level_entries : 0;
        struct case_bench bench;
        if (case_bench_make(&bench, &config, result)) {
            check(&bench, result);
        }
        case_bench_unmake(&bench);
    }
}
