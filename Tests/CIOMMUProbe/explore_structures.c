/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_structures.c - what is explored of the tables above page tables: the root, a scalable
 * context entry, a PASID directory; of a first stage's tables that its second stage moves; of
 * accessed bits; and of memory that is removed.
 */
#include "explore_guests.h"

#ifdef CIOMMU_INTERNAL_CHECKS

#define ENTRY_ADDRESS UINT64_C(0xffffffffff000)
#define ACCESSED UINT64_C(0x20)
#define WALKS_SNOOP (UINT64_C(1) << 23) /* PWSNP: without it accessed bits are not set */
#define SIDE_PAGES 16u                  /* nested: from a page of side 0 to that of side 1 */

/* ---- The tables above ---- */

/* Drops all that was made of the tables below a context entry, or below a directory. */
static enum ciommu_status forget(struct explore_world *world, uint64_t descriptor) {
    enum ciommu_status status = explore_send(world, descriptor, 0);
    return status != CIOMMU_OK ? status : explore_send(world, 2 | 1 << 4, 0);
}

/* One more device in scalable mode, whose requests keep the space behind a PASID table alive, so
 * that a binding that should be gone would still find it. */
static enum ciommu_status keep(struct explore_world *world, uint32_t device, uint64_t pasids) {
    struct guest_ram *ram = &world->shared->ram;
    struct ciommu_result result = {.size = sizeof result};
    uint64_t directory = guest_table(ram);
    guest_write(ram, directory, pasids | 1);
    guest_write(ram, world->entry + UINT64_C(32) * device,
                directory | (world->tables[0] & ~ENTRY_ADDRESS));
    return ciommu_translate(world->unit, world->ports[EXPLORE_THREADS - 1], EXPLORE_SOURCE + device,
                            EXPLORE_PASID, EXPLORE_IOVA, CIOMMU_READ, 0, &result);
}

/* tables[]: for each side, what a context entry's first word says. */
static enum ciommu_status build_directories(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    enum ciommu_status status = explore_build_pasid(world);
    uint64_t pasids = world->entry & ~(TABLE_PAGE - 1);
    uint64_t copy = guest_table(ram);
    guest_copy(ram, copy, pasids);
    guest_write(ram, copy + UINT64_C(64) * EXPLORE_PASID + 16, world->other.root);
    uint64_t directory = guest_table(ram);
    guest_write(ram, directory, copy | 1);
    /* explore_build_pasid makes root, contexts, directory and PASID table in this order. */
    world->entry = pasids - 2 * TABLE_PAGE + UINT64_C(32) * EXPLORE_SOURCE;
    world->tables[0] = guest_load(ram, world->entry);
    world->tables[1] = directory | (world->tables[0] & ~ENTRY_ADDRESS);
    status = status != CIOMMU_OK ? status : keep(world, 1, pasids);
    return status != CIOMMU_OK ? status : keep(world, 2, copy);
}

static enum ciommu_status lead_scalable_context(struct explore_world *world, uint32_t page,
                                                uint32_t side) {
    (void)page;
    explore_store(world, world->entry, world->tables[side]);
    return forget(world, 1 | 3 << 4 | (uint64_t)EXPLORE_SOURCE << 32);
}

static enum ciommu_status lead_directory(struct explore_world *world, uint32_t page,
                                         uint32_t side) {
    struct guest_ram *ram = &world->shared->ram;
    uint64_t own = world->tables[0] & ENTRY_ADDRESS;
    uint64_t other = world->tables[1] & ENTRY_ADDRESS;
    uint64_t first = guest_load(ram, own);
    (void)page;
    (void)side; /* they are exchanged */
    explore_store(world, own, guest_load(ram, other));
    guest_write(ram, other, first);
    return forget(world, 7 | 3 << 4);
}

/* tables[]: for each side, RTADDR. */
static enum ciommu_status build_roots(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    uint64_t entry;
    enum ciommu_status status = explore_build_legacy(world);
    world->other = guest_tree_make(ram, 3, SECOND_FLAGS);
    explore_map_both(world, &world->other, 1);
    world->tables[0] = (world->entry & ~(TABLE_PAGE - 1)) - TABLE_PAGE;
    world->tables[1] = guest_legacy(ram, EXPLORE_SOURCE, EXPLORE_OTHER_DOMAIN, LEGACY_UNTRANSLATED,
                                    &world->other, &entry);
    return status;
}

static enum ciommu_status lead_root(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    explore_at(EXPLORE_STORED);
    return ciommu_unit_set_root(world->unit, world->tables[side]);
}

/* ---- A first stage's table, moved by the second stage ---- */

/* Two pages hold the first stage's leaf table, one for each side; tables[]: their addresses. */
static enum ciommu_status build_moved(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    enum ciommu_status status = explore_build_nested(world);
    uint64_t slot = guest_slot(ram, &world->first, EXPLORE_IOVA, 0);
    world->tables[0] = slot & ~(TABLE_PAGE - 1);
    world->tables[1] = guest_table(ram);
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        guest_write(
            ram, world->tables[1] + page * UINT64_C(8),
            guest_leaf(&world->first, EXPLORE_GUEST + (page + SIDE_PAGES) * TABLE_PAGE, 12));
    }
    guest_write(ram, guest_slot(ram, &world->second, 0, 1), 0); /* was one page of 2 MiB */
    uint64_t end = ram->next + 2 * TABLE_PAGE;
    for (uint64_t table = 0; table < end; table += TABLE_PAGE) {
        guest_map(ram, &world->second, table, table, 12);
    }
    return status;
}

static enum ciommu_status lead_moved(struct explore_world *world, uint32_t page, uint32_t side) {
    uint64_t guest = world->tables[0];
    (void)page;
    explore_store(world, guest_slot(&world->shared->ram, &world->second, guest, 0),
                  guest_leaf(&world->second, world->tables[side], 12));
    return explore_send(world, 2 | 3 << 4 | EXPLORE_DOMAIN_BITS, guest | EXPLORE_LEAF_ONLY);
}

/* ---- Accessed bits ---- */

static enum ciommu_status build_unmarked(struct explore_world *world) {
    enum ciommu_status status = explore_build_pasid(world);
    guest_write(&world->shared->ram, world->entry + 8, WALKS_SNOOP | EXPLORE_DOMAIN);
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        uint64_t slot = guest_slot(&world->shared->ram, &world->first, explore_iova(page), 0);
        guest_write(&world->shared->ram, slot, guest_load(&world->shared->ram, slot) & ~ACCESSED);
    }
    return status;
}

static enum ciommu_status lead_unmarked(struct explore_world *world, uint32_t page, uint32_t side) {
    uint64_t leaf = guest_leaf(&world->first, explore_output(page, side), 12);
    explore_store(world, guest_slot(&world->shared->ram, &world->first, explore_iova(page), 0),
                  leaf & ~ACCESSED);
    return explore_send(world, 6 | 3 << 4 | EXPLORE_DOMAIN_BITS | EXPLORE_PASID_BITS,
                        explore_iova(page) | EXPLORE_LEAF_ONLY);
}

/* ---- Memory ---- */

static enum ciommu_status lead_removed(struct explore_world *world, uint32_t page, uint32_t side) {
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = EXPLORE_RW,
        .address = explore_output(0, 0),
        .length = EXPLORE_DATA_BYTES / 2,
        .host = world->shared->data,
    };
    (void)page;
    return side == 1 ? ciommu_memory_remove(world->memory, range.address, range.length)
                     : ciommu_memory_add(world->memory, &range);
}

const struct explore_scenario explore_structure_scenarios[] = {
    {.name = "scalable context entry changed, known",
     .build = build_directories,
     .lead = lead_scalable_context,
     .warmth = EXPLORE_WARM,
     .whole = true},
    {.name = "scalable context entry changed, not known",
     .build = build_directories,
     .lead = lead_scalable_context,
     .whole = true},
    {.name = "PASID directory changed, known",
     .build = build_directories,
     .lead = lead_directory,
     .warmth = EXPLORE_WARM,
     .whole = true},
    {.name = "PASID directory changed, not known",
     .build = build_directories,
     .lead = lead_directory,
     .whole = true},
    {.name = "root table changed, known",
     .build = build_roots,
     .lead = lead_root,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .whole = true},
    {.name = "root table changed, not known",
     .build = build_roots,
     .lead = lead_root,
     .walk_cache = 4,
     .whole = true},
    {.name = "nested, first stage's table moved, known to the walk cache",
     .build = build_moved,
     .lead = lead_moved,
     .warmth = EXPLORE_NEAR,
     .walk_cache = 16,
     .whole = true},
    {.name = "nested, first stage's table moved, known to the IOTLB",
     .build = build_moved,
     .lead = lead_moved,
     .warmth = EXPLORE_OTHER_WARM,
     .whole = true},
    {.name = "accessed bit set beside a remap",
     .build = build_unmarked,
     .lead = lead_unmarked,
     .warmth = EXPLORE_BOUND,
     .walk_cache = 4},
    {.name = "memory removed",
     .build = explore_build_legacy,
     .lead = lead_removed,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .whole = true,
     .ends_absent = true},
    {.name = NULL},
};

#else
/* ISO C wants something in every file. */
typedef int explore_structures_are_off;
#endif
