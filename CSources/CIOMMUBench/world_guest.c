/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world_guest.c - device tables as a guest writes them: legacy context entries, or scalable-mode
 * PASID entries [FORMATS-VTD A].
 */
#include "world.h"

#define PRESENT UINT64_C(1)
#define FOUR_LEVELS UINT64_C(2) /* AW */
#define PASID_ENABLE (UINT64_C(1) << 3)
#define SCALABLE_MODE (UINT64_C(1) << 10) /* RTADDR.TTM */

/* PGTT of a PASID entry. */
enum stages { FIRST_ONLY = 1, SECOND_ONLY = 2, NESTED = 3, PASS_THROUGH = 4 };

/* The domain id of an address space. */
static uint64_t domain_of(uint32_t space) {
    return space + 1;
}

static uint64_t table_at(struct bench_world *world, uint64_t entry) {
    uint64_t *word = bench_tables_word(world, entry);
    *word = *word != 0 ? *word : bench_tables_new(world) | PRESENT;
    return *word & ~(BENCH_PAGE - 1);
}

static void write_pasid_entry(struct bench_world *world, uint64_t entry, uint32_t space) {
    static const enum stages stages[] = {
        [BENCH_GUEST_SECOND] = SECOND_ONLY,
        [BENCH_GUEST_FIRST] = FIRST_ONLY,
        [BENCH_GUEST_NESTED] = NESTED,
        [BENCH_GUEST_PASS] = PASS_THROUGH,
    };
    const struct bench_roots *roots = &world->roots[space];
    uint64_t *words = bench_tables_word(world, entry);
    words[0] =
        roots->second | (uint64_t)stages[world->config.way] << 6 | FOUR_LEVELS << 2 | PRESENT;
    words[1] = domain_of(space);
    words[2] = roots->first;
}

static uint64_t build_scalable(struct bench_world *world) {
    uint64_t root = bench_tables_new(world);
    for (uint32_t index = 0; index < world->config.sources; index++) {
        uint32_t source = bench_source(index);
        uint64_t contexts = table_at(world, root + source / 128 * 8);
        uint64_t directory = bench_tables_new(world);
        *bench_tables_word(world, contexts + source % 128 * 32) =
            directory | PRESENT | (world->config.pasids != 0 ? PASID_ENABLE : 0);
        /* Requests without PASID have PASID 0. */
        uint32_t first = world->config.pasids != 0 ? 1 : 0;
        for (uint32_t pasid = first; pasid < first + (first ? world->config.pasids : 1); pasid++) {
            uint64_t table = table_at(world, directory + pasid / 64 * 8);
            uint32_t space = bench_space(world, source, first ? pasid : CIOMMU_NO_PASID);
            write_pasid_entry(world, table + pasid % 64 * 64, space);
        }
    }
    return root | SCALABLE_MODE;
}

static uint64_t build_legacy(struct bench_world *world) {
    bool pass = world->config.way == BENCH_GUEST_PASS;
    uint64_t root = bench_tables_new(world);
    for (uint32_t index = 0; index < world->config.sources; index++) {
        uint32_t source = bench_source(index);
        uint32_t space = bench_space(world, source, CIOMMU_NO_PASID);
        uint64_t contexts = table_at(world, root + source / 256 * 16);
        uint64_t *words = bench_tables_word(world, contexts + source % 256 * 16);
        words[0] = (pass ? 2 << 2 : world->roots[space].second) | PRESENT;
        words[1] = FOUR_LEVELS | domain_of(space) << 8;
    }
    return root;
}

void bench_guest_open(struct bench_world *world) {
    enum bench_way way = world->config.way;
    for (uint32_t space = 0; space < world->spaces; space++) {
        if (way == BENCH_GUEST_SECOND) {
            world->roots[space].second = bench_tables_second(world, space);
        } else if (way != BENCH_GUEST_PASS) {
            world->roots[space].first = bench_tables_first(world, space);
        }
    }
    uint64_t under = way == BENCH_GUEST_NESTED ? bench_tables_under(world) : 0;
    for (uint32_t space = 0; space < world->spaces && under != 0; space++) {
        world->roots[space].second = under;
    }
    bool legacy =
        world->config.pasids == 0 && (way == BENCH_GUEST_SECOND || way == BENCH_GUEST_PASS);
    uint64_t root = legacy ? build_legacy(world) : build_scalable(world);
    CHECK(ciommu_unit_set_root(world->unit, root));
    CHECK(ciommu_unit_set_translation(world->unit, true));
}
