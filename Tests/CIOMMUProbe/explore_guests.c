/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_guests.c - what is explored of tables of a guest, and of the memory map: one change each.
 */
#include "explore_world.h"

#ifdef CIOMMU_INTERNAL_CHECKS

#include "unit.h"

#define PASID 5u
#define DOMAIN_BITS ((uint64_t)EXPLORE_DOMAIN << 16)
#define PASID_BITS ((uint64_t)PASID << 32)
#define LEAF_ONLY UINT64_C(0x40)

static enum ciommu_status send(struct explore_world *world, uint64_t low, uint64_t high) {
    const uint64_t words[4] = {low, high, 0, 0};
    bool wide = world->first.root != 0; /* scalable mode */
    struct ciommu_descriptor_result result = {.size = sizeof result};
    return ciommu_invalidate_descriptor(world->unit, NULL, words, wide, &result);
}

static void store(struct explore_world *world, uint64_t slot, uint64_t value) {
    guest_write(&world->shared->ram, slot, value);
    explore_at(EXPLORE_STORED);
}

/* ---- Legacy mode: a second stage ---- */

static void map_both(struct explore_world *world, const struct guest_tree *tree, uint32_t side) {
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        guest_map(&world->shared->ram, tree, explore_iova(page), explore_output(page, side), 12);
    }
}

static enum ciommu_status build_legacy(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->second = guest_tree_make(ram, 3, SECOND_FLAGS);
    map_both(world, &world->second, 0);
    return ciommu_unit_set_root(world->unit,
                                guest_legacy(ram, EXPLORE_SOURCE, EXPLORE_DOMAIN,
                                             LEGACY_UNTRANSLATED, &world->second, &world->entry));
}

static void store_leaf(struct explore_world *world, const struct guest_tree *tree, uint64_t input,
                       uint64_t output) {
    store(world, guest_slot(&world->shared->ram, tree, input, 0), guest_leaf(tree, output, 12));
}

static enum ciommu_status lead_page(struct explore_world *world, uint32_t page, uint32_t side) {
    store_leaf(world, &world->second, explore_iova(page), explore_output(page, side));
    return send(world, 2 | 3 << 4 | DOMAIN_BITS, explore_iova(page) | LEAF_ONLY);
}

static enum ciommu_status lead_domain(struct explore_world *world, uint32_t page, uint32_t side) {
    store_leaf(world, &world->second, explore_iova(page), explore_output(page, side));
    return send(world, 2 | 2 << 4 | DOMAIN_BITS, 0);
}

/* Invalidates the domain in the schedule, and the page alone in the change after it. */
static enum ciommu_status lead_domain_first(struct explore_world *world, uint32_t page,
                                            uint32_t side) {
    return side == 1 ? lead_domain(world, page, side) : lead_page(world, page, side);
}

static void change_twice(struct explore_world *world) {
    explore_change(world, 0);
    explore_change(world, 0);
}

/* The next fresh tag is none: all are dealt out anew. */
static enum ciommu_status lead_renewal(struct explore_world *world, uint32_t page, uint32_t side) {
    world->unit->spaces.next_tag = IOTLB_TAG_MAX + 1;
    return lead_domain_first(world, page, side);
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
    enum ciommu_status status = build_legacy(world);
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
    store(world, guest_slot(&world->shared->ram, &world->second, EXPLORE_IOVA, 1),
          world->tables[side]);
}

static enum ciommu_status lead_table_domain(struct explore_world *world, uint32_t page,
                                            uint32_t side) {
    (void)page;
    store_table(world, side);
    return send(world, 2 | 2 << 4 | DOMAIN_BITS, 0);
}

static enum ciommu_status lead_table(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    store_table(world, side);
    return send(world, 2 | 3 << 4 | DOMAIN_BITS, EXPLORE_IOVA | 9);
}

/* ---- Context and PASID-table entries ---- */

/* Two more devices hold the spaces of both domains, so that a binding that should be gone still
 * finds its space alive. */
static enum ciommu_status build_contexts_unknown(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->second = guest_tree_make(ram, 3, SECOND_FLAGS);
    world->other = guest_tree_make(ram, 3, SECOND_FLAGS);
    map_both(world, &world->second, 0);
    map_both(world, &world->other, 1);
    uint64_t rtaddr = guest_legacy(ram, EXPLORE_SOURCE, EXPLORE_DOMAIN, LEGACY_UNTRANSLATED,
                                   &world->second, &world->entry);
    (void)guest_legacy_more(ram, rtaddr, EXPLORE_SOURCE + 8, EXPLORE_DOMAIN, LEGACY_UNTRANSLATED,
                            &world->second);
    (void)guest_legacy_more(ram, rtaddr, EXPLORE_SOURCE + 16, EXPLORE_OTHER_DOMAIN,
                            LEGACY_UNTRANSLATED, &world->other);
    return ciommu_unit_set_root(world->unit, rtaddr);
}

/* What the n-th device beside the reader's does. */
static enum ciommu_status ask_beside(struct explore_world *world, uint32_t device) {
    struct ciommu_result result = {.size = sizeof result};
    return ciommu_translate(world->unit, world->ports[EXPLORE_THREADS - 1],
                            EXPLORE_SOURCE + 8 * device, CIOMMU_NO_PASID, EXPLORE_IOVA, CIOMMU_READ,
                            0, &result);
}

static enum ciommu_status build_contexts(struct explore_world *world) {
    enum ciommu_status status = build_contexts_unknown(world);
    for (uint32_t device = 1; device <= 2 && status == CIOMMU_OK; device++) {
        status = ask_beside(world, device);
    }
    return status;
}

static enum ciommu_status lead_context(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    store(world, world->entry, (side == 0 ? world->second.root : world->other.root) | 1);
    return send(world, 1 | 3 << 4 | DOMAIN_BITS | (uint64_t)EXPLORE_SOURCE << 32, 0);
}

static enum ciommu_status build_pasid(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->pasid = PASID;
    world->first = guest_tree_make(ram, 4, FIRST_FLAGS);
    world->other = guest_tree_make(ram, 4, FIRST_FLAGS);
    map_both(world, &world->first, 0);
    map_both(world, &world->other, 1);
    return ciommu_unit_set_root(world->unit,
                                guest_scalable(ram, EXPLORE_SOURCE, PASID, EXPLORE_DOMAIN,
                                               SCALABLE_FIRST, &world->first, NULL, &world->entry));
}

static enum ciommu_status lead_pasid(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    store(world, world->entry + 16, side == 0 ? world->first.root : world->other.root);
    enum ciommu_status status = send(world, 7 | 1 << 4 | DOMAIN_BITS | PASID_BITS, 0);
    return status != CIOMMU_OK ? status : send(world, 6 | 2 << 4 | DOMAIN_BITS | PASID_BITS, 0);
}

/* ---- Nested ---- */

static enum ciommu_status build_nested(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    world->pasid = PASID;
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
        world->unit, guest_scalable(ram, EXPLORE_SOURCE, PASID, EXPLORE_DOMAIN, SCALABLE_NESTED,
                                    &world->first, &world->second, &world->entry));
}

static enum ciommu_status lead_first(struct explore_world *world, uint32_t page, uint32_t side) {
    store_leaf(world, &world->first, explore_iova(page),
               EXPLORE_GUEST + (page + 16 * side) * TABLE_PAGE);
    return send(world, 6 | 3 << 4 | DOMAIN_BITS | PASID_BITS, explore_iova(page) | LEAF_ONLY);
}

static enum ciommu_status lead_second(struct explore_world *world, uint32_t page, uint32_t side) {
    uint64_t guest = EXPLORE_GUEST + page * TABLE_PAGE;
    store_leaf(world, &world->second, guest, explore_output(page, side));
    return send(world, 2 | 3 << 4 | DOMAIN_BITS, guest | LEAF_ONLY);
}

static enum ciommu_status lead_second_table(struct explore_world *world, uint32_t page,
                                            uint32_t side) {
    (void)page;
    store(world, guest_slot(&world->shared->ram, &world->second, EXPLORE_GUEST, 1),
          world->tables[side]);
    return send(world, 2 | 3 << 4 | DOMAIN_BITS, EXPLORE_GUEST | 9);
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

/* ---- Bindings that make room ---- */

/* What the worker does when the pool of bindings is full: it takes them away and moves no tablegen.
 */
static void evict(struct explore_world *world) {
    const struct ciommu_invalidation everything = {
        .size = sizeof everything,
        .kind = CIOMMU_INVALIDATE_CONTEXT,
        .domain = CIOMMU_ANY,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .last = UINT64_MAX,
    };
    pthread_mutex_lock(&world->unit->table_lock);
    ciommu_bindings_remove(&world->unit->bindings, &everything);
    pthread_mutex_unlock(&world->unit->table_lock);
}

/* The reader's port has asked, the binding and its space are gone, and another domain has got the
 * space's place. */
static enum ciommu_status build_taken(struct explore_world *world) {
    enum ciommu_status status = build_contexts_unknown(world);
    if (status == CIOMMU_OK) {
        explore_look(world, world->ports[0], 0);
        evict(world);
        ciommu_rcu_barrier();
        status = ask_beside(world, 2);
    }
    return status;
}

static void look_beside(struct explore_world *world) {
    (void)ask_beside(world, 2);
}

/* The reader's tag is what the other domain gets when tags are dealt out anew: in order. */
static enum ciommu_status build_tags(struct explore_world *world) {
    enum ciommu_status status = build_contexts_unknown(world);
    world->unit->spaces.next_tag = 5;
    status = status != CIOMMU_OK ? status : ask_beside(world, 2);
    world->unit->spaces.next_tag = 1;
    return status;
}

static void renew_for_another(struct explore_world *world) {
    struct ciommu_result result = {.size = sizeof result};
    pthread_mutex_lock(&world->unit->table_lock);
    world->unit->spaces.next_tag = IOTLB_TAG_MAX + 1;
    pthread_mutex_unlock(&world->unit->table_lock);
    (void)send(world, 2 | 2 << 4 | (uint64_t)EXPLORE_OTHER_DOMAIN << 16, 0);
    for (uint32_t page = EXPLORE_PAGES; page-- > 0;) { /* the second one's size is seen again */
        (void)ciommu_translate(world->unit, world->ports[EXPLORE_THREADS - 1], EXPLORE_SOURCE + 16,
                               CIOMMU_NO_PASID, explore_iova(page), CIOMMU_READ, 0, &result);
        if (result.address != explore_output(page, 1)) {
            explore_fail(world, "another domain's page led to %llx",
                         (unsigned long long)result.address);
        }
    }
}

/* And another device, of the other domain, gets one. */
static void evict_for_another(struct explore_world *world) {
    evict(world);
    (void)ask_beside(world, 2);
}

const struct explore_scenario explore_guest_scenarios[] = {
    {.name = "page remapped, known to the first level",
     .build = build_legacy,
     .lead = lead_page,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4},
    {.name = "page remapped, known to the IOTLB",
     .build = build_legacy,
     .lead = lead_page,
     .warmth = EXPLORE_OTHER_WARM},
    {.name = "page remapped, nothing known", .build = build_legacy, .lead = lead_page},
    {.name = "page remapped, binding known",
     .build = build_legacy,
     .lead = lead_page,
     .warmth = EXPLORE_BOUND,
     .walk_cache = 4},
    {.name = "page remapped, no first level",
     .build = build_legacy,
     .lead = lead_page,
     .warmth = EXPLORE_WARM,
     .no_first_level = true},
    {.name = "page remapped beside a batch",
     .build = build_legacy,
     .lead = lead_page,
     .warmth = EXPLORE_OTHER_WARM,
     .batch = true},
    {.name = "page remapped beside two sections",
     .build = build_legacy,
     .lead = lead_page,
     .warmth = EXPLORE_OTHER_WARM,
     .sections = 2},
    {.name = "domain invalidated", .build = build_legacy, .lead = lead_domain_first},
    {.name = "domain invalidated, then a page",
     .build = build_legacy,
     .lead = lead_domain_first,
     .act = change_twice,
     .warmth = EXPLORE_BOUND},
    {.name = "tags renewed",
     .build = build_legacy,
     .lead = lead_renewal,
     .warmth = EXPLORE_OTHER_WARM},
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
     .lead = lead_context,
     .warmth = EXPLORE_WARM,
     .whole = true},
    {.name = "context entry changed, not known",
     .build = build_contexts,
     .lead = lead_context,
     .whole = true},
    {.name = "PASID-table entry changed",
     .build = build_pasid,
     .lead = lead_pasid,
     .walk_cache = 4,
     .whole = true},
    {.name = "nested, first stage remapped",
     .build = build_nested,
     .lead = lead_first,
     .warmth = EXPLORE_OTHER_WARM,
     .walk_cache = 4},
    {.name = "nested, second stage remapped",
     .build = build_nested,
     .lead = lead_second,
     .warmth = EXPLORE_OTHER_WARM,
     .walk_cache = 4},
    {.name = "nested, second-stage table exchanged",
     .build = build_nested,
     .lead = lead_second_table,
     .warmth = EXPLORE_WARM,
     .walk_cache = 16,
     .whole = true},
    {.name = "nested, second-stage table exchanged, no first level",
     .build = build_nested,
     .lead = lead_second_table,
     .warmth = EXPLORE_WARM,
     .walk_cache = 16,
     .whole = true,
     .no_first_level = true},
    {.name = "memory replaced",
     .build = build_legacy,
     .lead = lead_memory,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .whole = true},
    {.name = "binding evicted",
     .build = build_legacy,
     .lead = lead_page,
     .act = evict,
     .warmth = EXPLORE_OTHER_WARM},
    {.name = "binding evicted, and another takes its place",
     .build = build_contexts_unknown,
     .lead = lead_context,
     .act = evict_for_another,
     .warmth = EXPLORE_OTHER_WARM,
     .whole = true},
    {.name = "binding evicted long ago, its space another's",
     .build = build_taken,
     .lead = lead_context,
     .act = look_beside,
     .whole = true},
    {.name = "tags renewed, and another gets the reader's",
     .build = build_tags,
     .lead = lead_page,
     .act = renew_for_another,
     .warmth = EXPLORE_BOUND},
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
     .build = build_nested,
     .lead = lead_second_table,
     .warmth = EXPLORE_NEAR,
     .walk_cache = 16,
     .whole = true},
    {.name = "page remapped beside two readers",
     .build = build_legacy,
     .lead = lead_page,
     .warmth = EXPLORE_BOUND,
     .readers = 2},
    {.name = NULL},
};

#else
/* ISO C wants something in every file. */
typedef int explore_guests_are_off;
#endif
