/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_tables.c - what is explored of a guest's paging structures that move as a whole: one
 * change each.
 */
#include "explore_world.h"

#ifdef CIOMMU_INTERNAL_CHECKS

#define PASID 5u
#define DOMAIN_BITS ((uint64_t)EXPLORE_DOMAIN << 16)
#define LEAF_ONLY UINT64_C(0x40)
#define MOVED (EXPLORE_GUEST + 32 * TABLE_PAGE) /* guest-physical: the first stage's leaf table */

static enum ciommu_status send(struct explore_world *world, uint64_t low, uint64_t high) {
    const uint64_t words[4] = {low, high, 0, 0};
    struct ciommu_descriptor_result result = {.size = sizeof result};
    return ciommu_invalidate_descriptor(world->unit, NULL, words, true, &result);
}

static void store(struct explore_world *world, uint64_t slot, uint64_t value) {
    guest_write(&world->shared->ram, slot, value);
    explore_at(EXPLORE_STORED);
}

/* ---- A first stage's table, moved by its parent ---- */

static enum ciommu_status build_moved(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->pasid = PASID;
    world->first = guest_tree_make(ram, 4, FIRST_FLAGS);
    world->second = guest_tree_make(ram, 4, SECOND_FLAGS);
    guest_map(ram, &world->second, 0, 0, 21); /* the tables */
    for (uint32_t side = 0; side < 2; side++) {
        world->tables[side] = guest_table(ram);
        for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
            uint64_t guest = EXPLORE_GUEST + (page + 16 * side) * TABLE_PAGE;
            guest_map(ram, &world->second, guest, explore_output(page, side), 12);
            guest_write(ram, world->tables[side] + page * UINT64_C(8),
                        guest_leaf(&world->first, guest, 12));
        }
    }
    guest_write(ram, guest_slot(ram, &world->first, EXPLORE_IOVA, 1), MOVED | FIRST_FLAGS);
    guest_map(ram, &world->second, MOVED, world->tables[0], 12);
    return ciommu_unit_set_root(
        world->unit, guest_scalable(ram, EXPLORE_SOURCE, PASID, EXPLORE_DOMAIN, SCALABLE_NESTED,
                                    &world->first, &world->second, &world->entry));
}

static enum ciommu_status lead_moved(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    store(world, guest_slot(&world->shared->ram, &world->second, MOVED, 0),
          guest_leaf(&world->second, world->tables[side], 12));
    return send(world, 2 | 3 << 4 | DOMAIN_BITS, MOVED | LEAF_ONLY);
}

const struct explore_scenario explore_table_scenarios[] = {
    {.name = "nested, first-stage table moved by its parent",
     .build = build_moved,
     .lead = lead_moved,
     .warmth = EXPLORE_WARM,
     .walk_cache = 16,
     .whole = true,
     .no_first_level = true},
    {.name = NULL},
};

#else
/* ISO C wants something in every file. */
typedef int explore_tables_are_off;
#endif
