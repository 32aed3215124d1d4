/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_guests.c - what is explored of tables of a guest, and of the memory map: one change each.
 */
#include "explore_guests.h"

#ifdef CIOMMU_INTERNAL_CHECKS

enum ciommu_status explore_send(struct explore_world *world, uint64_t low, uint64_t high) {
    const uint64_t words[4] = {low, high, 0, 0};
    bool wide = world->first.root != 0; /* scalable mode */
    struct ciommu_descriptor_result result = {.size = sizeof result};
    return ciommu_invalidate_descriptor(world->unit, NULL, words, wide, &result);
}

void explore_store(struct explore_world *world, uint64_t slot, uint64_t value) {
    guest_write(&world->shared->ram, slot, value);
    explore_at(EXPLORE_STORED);
}

/* ---- Legacy mode: a second stage ---- */

void explore_map_both(struct explore_world *world, const struct guest_tree *tree, uint32_t side) {
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        guest_map(&world->shared->ram, tree, explore_iova(page), explore_output(page, side), 12);
    }
}

enum ciommu_status explore_build_legacy(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->second = guest_tree_make(ram, 3, SECOND_FLAGS);
    explore_map_both(world, &world->second, 0);
    return ciommu_unit_set_root(world->unit,
                                guest_legacy(ram, EXPLORE_SOURCE, EXPLORE_DOMAIN,
                                             LEGACY_UNTRANSLATED, &world->second, &world->entry));
}

static void store_leaf(struct explore_world *world, const struct guest_tree *tree, uint64_t input,
                       uint64_t output) {
    explore_store(world, guest_slot(&world->shared->ram, tree, input, 0),
                  guest_leaf(tree, output, 12));
}

enum ciommu_status explore_lead_page(struct explore_world *world, uint32_t page, uint32_t side) {
    store_leaf(world, &world->second, explore_iova(page), explore_output(page, side));
    return explore_send(world, 2 | 3 << 4 | EXPLORE_DOMAIN_BITS,
                        explore_iova(page) | EXPLORE_LEAF_ONLY);
}

static enum ciommu_status lead_domain(struct explore_world *world, uint32_t page, uint32_t side) {
    store_leaf(world, &world->second, explore_iova(page), explore_output(page, side));
    return explore_send(world, 2 | 2 << 4 | EXPLORE_DOMAIN_BITS, 0);
}

/* Invalidates the domain in the schedule, and the page alone in the change after it. */
enum ciommu_status explore_lead_domain_first(struct explore_world *world, uint32_t page,
                                             uint32_t side) {
    return side == 1 ? lead_domain(world, page, side) : explore_lead_page(world, page, side);
}

static void change_twice(struct explore_world *world) {
    explore_change(world, 0);
    explore_change(world, 0);
}

/* ---- Leaf tables ---- */

static uint64_t leaf_table(struct explore_world *world, const struct guest_tree *tree,
                           uint32_t side) {
    uint64_t table = guest_table(&world->shared->ram);
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        guest_write(&world->shared->ram, table + page * UINT64_C(8),
                    guest_leaf(tree, explore_output(page, side), 12));
    }
    return table | tree->flags;
}

static enum ciommu_status build_tables(struct explore_world *world) {
    enum ciommu_status status = explore_build_legacy(world);
    for (uint32_t side = 0; side < 2; side++) {
        world->tables[side] = leaf_table(world, &world->second, side);
    }
    return status;
}

static enum ciommu_status build_large(struct explore_world *world) {
    enum ciommu_status status = build_tables(world);
    world->tables[1] = guest_leaf(&world->second, explore_output(0, 1), 21);
    return status;
}

static void store_table(struct explore_world *world, uint32_t side) {
    explore_store(world, guest_slot(&world->shared->ram, &world->second, EXPLORE_IOVA, 1),
                  world->tables[side]);
}

static enum ciommu_status lead_table_domain(struct explore_world *world, uint32_t page,
                                            uint32_t side) {
    (void)page;
    store_table(world, side);
    return explore_send(world, 2 | 2 << 4 | EXPLORE_DOMAIN_BITS, 0);
}

static enum ciommu_status lead_table(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    store_table(world, side);
    return explore_send(world, 2 | 3 << 4 | EXPLORE_DOMAIN_BITS, EXPLORE_IOVA | 9);
}

/* ---- Context and PASID-table entries ---- */

/* Two more devices hold the spaces of both domains, so that a binding that should be gone still
 * finds its space alive. */
enum ciommu_status explore_build_contexts(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->second = guest_tree_make(ram, 3, SECOND_FLAGS);
    world->other = guest_tree_make(ram, 3, SECOND_FLAGS);
    explore_map_both(world, &world->second, 0);
    explore_map_both(world, &world->other, 1);
    uint64_t rtaddr = guest_legacy(ram, EXPLORE_SOURCE, EXPLORE_DOMAIN, LEGACY_UNTRANSLATED,
                                   &world->second, &world->entry);
    (void)guest_legacy_more(ram, rtaddr, EXPLORE_SOURCE + 8, EXPLORE_DOMAIN, LEGACY_UNTRANSLATED,
                            &world->second);
    (void)guest_legacy_more(ram, rtaddr, EXPLORE_SOURCE + 16, EXPLORE_OTHER_DOMAIN,
                            LEGACY_UNTRANSLATED, &world->other);
    return ciommu_unit_set_root(world->unit, rtaddr);
}

/* What the n-th device beside the reader's does. */
enum ciommu_status explore_ask_beside(struct explore_world *world, uint32_t device) {
    struct ciommu_result result = {.size = sizeof result};
    return ciommu_translate(world->unit, world->ports[EXPLORE_THREADS - 1],
                            EXPLORE_SOURCE + 8 * device, CIOMMU_NO_PASID, EXPLORE_IOVA, CIOMMU_READ,
                            0, &result);
}

static enum ciommu_status build_contexts(struct explore_world *world) {
    enum ciommu_status status = explore_build_contexts(world);
    for (uint32_t device = 1; device <= 2 && status == CIOMMU_OK; device++) {
        status = explore_ask_beside(world, device);
    }
    return status;
}

enum ciommu_status explore_lead_context(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    explore_store(world, world->entry, (side == 0 ? world->second.root : world->other.root) | 1);
    return explore_send(world, 1 | 3 << 4 | EXPLORE_DOMAIN_BITS | (uint64_t)EXPLORE_SOURCE << 32,
                        0);
}

enum ciommu_status explore_build_pasid(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->pasid = EXPLORE_PASID;
    world->first = guest_tree_make(ram, 4, FIRST_FLAGS);
    world->other = guest_tree_make(ram, 4, FIRST_FLAGS);
    explore_map_both(world, &world->first, 0);
    explore_map_both(world, &world->other, 1);
    return ciommu_unit_set_root(world->unit,
                                guest_scalable(ram, EXPLORE_SOURCE, EXPLORE_PASID, EXPLORE_DOMAIN,
                                               SCALABLE_FIRST, &world->first, NULL, &world->entry));
}

static enum ciommu_status lead_pasid(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    explore_store(world, world->entry + 16, side == 0 ? world->first.root : world->other.root);
    enum ciommu_status status =
        explore_send(world, 7 | 1 << 4 | EXPLORE_DOMAIN_BITS | EXPLORE_PASID_BITS, 0);
    return status != CIOMMU_OK
               ? status
               : explore_send(world, 6 | 2 << 4 | EXPLORE_DOMAIN_BITS | EXPLORE_PASID_BITS, 0);
}

/* ---- Nested ---- */

enum ciommu_status explore_build_nested(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->pasid = EXPLORE_PASID;
    world->first = guest_tree_make(ram, 4, FIRST_FLAGS);
    world->second = guest_tree_make(ram, 4, SECOND_FLAGS);
    guest_map(ram, &world->second, 0, 0, 21); /* the tables */
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        uint64_t guest = EXPLORE_GUEST + page * TABLE_PAGE;
        guest_map(ram, &world->first, explore_iova(page), guest, 12);
        guest_map(ram, &world->second, guest, explore_output(page, 0), 12);
        guest_map(ram, &world->second, guest + 16 * TABLE_PAGE, explore_output(page, 1), 12);
    }
    for (uint32_t side = 0; side < 2; side++) {
        world->tables[side] = leaf_table(world, &world->second, side);
    }
    return ciommu_unit_set_root(
        world->unit, guest_scalable(ram, EXPLORE_SOURCE, EXPLORE_PASID, EXPLORE_DOMAIN,
                                    SCALABLE_NESTED, &world->first, &world->second, &world->entry));
}

static enum ciommu_status lead_first(struct explore_world *world, uint32_t page, uint32_t side) {
    store_leaf(world, &world->first, explore_iova(page),
               EXPLORE_GUEST + (page + 16 * side) * TABLE_PAGE);
    return explore_send(world, 6 | 3 << 4 | EXPLORE_DOMAIN_BITS | EXPLORE_PASID_BITS,
                        explore_iova(page) | EXPLORE_LEAF_ONLY);
}

static enum ciommu_status lead_second(struct explore_world *world, uint32_t page, uint32_t side) {
    uint64_t guest = EXPLORE_GUEST + page * TABLE_PAGE;
    store_leaf(world, &world->second, guest, explore_output(page, side));
    return explore_send(world, 2 | 3 << 4 | EXPLORE_DOMAIN_BITS, guest | EXPLORE_LEAF_ONLY);
}

static enum ciommu_status lead_second_table(struct explore_world *world, uint32_t page,
                                            uint32_t side) {
    (void)page;
    explore_store(world, guest_slot(&world->shared->ram, &world->second, EXPLORE_GUEST, 1),
                  world->tables[side]);
    return explore_send(world, 2 | 3 << 4 | EXPLORE_DOMAIN_BITS, EXPLORE_GUEST | 9);
}

/* ---- The memory map ---- */

/* Side 0's addresses get side 1's memory. */
static enum ciommu_status lead_memory(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = EXPLORE_RW,
        .address = explore_output(0, 0),
        .length = EXPLORE_DATA_BYTES / 2,
        .host = world->shared->data + (explore_output(0, side) - EXPLORE_DATA),
    };
    return ciommu_memory_replace(world->memory, &range);
}

const struct explore_scenario explore_guest_scenarios[] = {
    {.name = "page remapped, known to the first level",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4},
    {.name = "page remapped, known to the IOTLB",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .warmth = EXPLORE_OTHER_WARM},
    {.name = "page remapped, nothing known",
     .build = explore_build_legacy,
     .lead = explore_lead_page},
    {.name = "page remapped, binding known",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .warmth = EXPLORE_BOUND,
     .walk_cache = 4},
    {.name = "page remapped, no first level",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .warmth = EXPLORE_WARM,
     .no_first_level = true},
    {.name = "page remapped beside a batch",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .warmth = EXPLORE_OTHER_WARM,
     .batch = true},
    {.name = "page remapped beside two sections",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .warmth = EXPLORE_OTHER_WARM,
     .sections = 2},
    {.name = "domain invalidated",
     .build = explore_build_legacy,
     .lead = explore_lead_domain_first},
    {.name = "domain invalidated, then a page",
     .build = explore_build_legacy,
     .lead = explore_lead_domain_first,
     .act = change_twice,
     .warmth = EXPLORE_BOUND},
    {.name = "leaf table exchanged, known to the walk cache",
     .build = build_tables,
     .lead = lead_table,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .whole = true},
    {.name = "leaf table exchanged for a large page",
     .build = build_large,
     .lead = lead_table,
     .warmth = EXPLORE_OTHER_WARM,
     .whole = true},
    {.name = "context entry changed, known",
     .build = build_contexts,
     .lead = explore_lead_context,
     .warmth = EXPLORE_WARM,
     .whole = true},
    {.name = "context entry changed, not known",
     .build = build_contexts,
     .lead = explore_lead_context,
     .whole = true},
    {.name = "PASID-table entry changed",
     .build = explore_build_pasid,
     .lead = lead_pasid,
     .walk_cache = 4,
     .whole = true},
    {.name = "nested, first stage remapped",
     .build = explore_build_nested,
     .lead = lead_first,
     .warmth = EXPLORE_OTHER_WARM,
     .walk_cache = 4},
    {.name = "nested, second stage remapped",
     .build = explore_build_nested,
     .lead = lead_second,
     .warmth = EXPLORE_OTHER_WARM,
     .walk_cache = 4},
    {.name = "nested, second-stage table exchanged",
     .build = explore_build_nested,
     .lead = lead_second_table,
     .warmth = EXPLORE_WARM,
     .walk_cache = 16,
     .whole = true},
    {.name = "nested, second-stage table exchanged, no first level",
     .build = explore_build_nested,
     .lead = lead_second_table,
     .warmth = EXPLORE_WARM,
     .walk_cache = 16,
     .whole = true,
     .no_first_level = true},
    {.name = "memory replaced",
     .build = explore_build_legacy,
     .lead = lead_memory,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .whole = true},
    {.name = "leaf table exchanged, nearly known",
     .build = build_tables,
     .lead = lead_table,
     .warmth = EXPLORE_NEAR,
     .walk_cache = 4,
     .whole = true},
    {.name = "leaf table exchanged, domain invalidated",
     .build = build_tables,
     .lead = lead_table_domain,
     .warmth = EXPLORE_NEAR,
     .walk_cache = 4,
     .whole = true},
    {.name = "nested, second-stage table exchanged, nearly known",
     .build = explore_build_nested,
     .lead = lead_second_table,
     .warmth = EXPLORE_NEAR,
     .walk_cache = 16,
     .whole = true},
    {.name = "page remapped beside two readers",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .warmth = EXPLORE_BOUND,
     .readers = 2},
    {.name = NULL},
};

#else
/* ISO C wants something in every file. */
typedef int explore_guests_are_off;
#endif
