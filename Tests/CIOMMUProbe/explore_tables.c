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

/* ---- What leads to the PASID table ---- */

/* Two PASID tables, each with a directory; the context entry leads to the first. Returns
 * what goes into RTADDR; `entry` is the context entry. */
static uint64_t build_twice(struct explore_world *world, uint64_t directories[2],
                            uint64_t pasids[2]) {
    struct guest_ram *ram = &world->shared->ram;
    world->pasid = PASID;
    world->first = guest_tree_make(ram, 4, FIRST_FLAGS);
    world->other = guest_tree_make(ram, 4, FIRST_FLAGS);
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        guest_map(ram, &world->first, explore_iova(page), explore_output(page, 0), 12);
        guest_map(ram, &world->other, explore_iova(page), explore_output(page, 1), 12);
    }
    uint64_t rtaddr = guest_scalable(ram, EXPLORE_SOURCE, PASID, EXPLORE_DOMAIN, SCALABLE_FIRST,
                                     &world->first, NULL, &world->entry);
    uint64_t contexts = guest_load(ram, rtaddr & ~(TABLE_PAGE - 1)) & ~(TABLE_PAGE - 1);
    world->entry = contexts + UINT64_C(32) * EXPLORE_SOURCE;
    directories[0] = guest_load(ram, world->entry) & ~(TABLE_PAGE - 1);
    pasids[0] = guest_load(ram, directories[0]) & ~(TABLE_PAGE - 1);
    pasids[1] = guest_table(ram);
    guest_copy(ram, pasids[1], pasids[0]);
    guest_write(ram, pasids[1] + UINT64_C(64) * PASID + 16, world->other.root);
    directories[1] = guest_table(ram);
    guest_write(ram, directories[1], pasids[1] | 1);
    return rtaddr;
}

static enum ciommu_status build_pasids(struct explore_world *world) {
    uint64_t directories[2];
    uint64_t rtaddr = build_twice(world, directories, world->tables);
    world->entry = directories[0];
    return ciommu_unit_set_root(world->unit, rtaddr);
}

static enum ciommu_status lead_pasids(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    store(world, world->entry, world->tables[side] | 1);
    enum ciommu_status status = send(world, 7 | DOMAIN_BITS, 0);
    return status != CIOMMU_OK ? status : send(world, 2 | 2 << 4 | DOMAIN_BITS, 0);
}

static enum ciommu_status build_directories(struct explore_world *world) {
    uint64_t pasids[2];
    return ciommu_unit_set_root(world->unit, build_twice(world, world->tables, pasids));
}

static enum ciommu_status lead_directory(struct explore_world *world, uint32_t page,
                                         uint32_t side) {
    uint64_t low = guest_load(&world->shared->ram, world->entry) & (TABLE_PAGE - 1);
    (void)page;
    store(world, world->entry, world->tables[side] | low);
    enum ciommu_status status =
        send(world, 1 | 3 << 4 | DOMAIN_BITS | (uint64_t)EXPLORE_SOURCE << 32, 0);
    status = status != CIOMMU_OK ? status : send(world, 7 | DOMAIN_BITS, 0);
    return status != CIOMMU_OK ? status : send(world, 2 | 2 << 4 | DOMAIN_BITS, 0);
}

const struct explore_scenario explore_table_scenarios[] = {
    {.name = "nested, first-stage table moved by its parent",
     .build = build_moved,
     .lead = lead_moved,
     .warmth = EXPLORE_WARM,
     .walk_cache = 16,
     .whole = true,
     .no_first_level = true},
    {.name = "PASID table exchanged, not known",
     .build = build_pasids,
     .lead = lead_pasids,
     .whole = true},
    {.name = "PASID directory exchanged, known",
     .build = build_directories,
     .lead = lead_directory,
     .warmth = EXPLORE_OTHER_WARM,
     .whole = true},
    {.name = NULL},
};

#else
/* ISO C wants something in every file. */
typedef int explore_tables_are_off;
#endif
