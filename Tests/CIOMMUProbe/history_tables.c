/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_tables.c - a guest's root, context and PASID tables and paging structures [FORMATS-VTD
 * A], and where the entries are that its changes write. Shares no code with the walker.
 */
#include "history_tables.h"

#define SECOND_RW UINT64_C(3)
#define FIRST_ALL UINT64_C(0x67) /* P, R/W, U/S, A, D */
#define WRITABLE UINT64_C(2)     /* of both kinds of entries */
#define SCALABLE (UINT64_C(1) << 10)
#define ADDRESS UINT64_C(0x000ffffffffff000)

#define PASID_FIRST UINT64_C(1)
#define PASID_SECOND UINT64_C(2)
#define PASID_NESTED UINT64_C(3)
#define PASID_WIDTH (UINT64_C(2) << 2) /* four levels */

static uint64_t *word_at(struct history_world *world, uint64_t address) {
    return (uint64_t *)(void *)(world->tables + (address - HISTORY_TABLE_BASE));
}

static uint64_t new_table(struct history_world *world) {
    uint64_t table = HISTORY_TABLE_BASE + world->next_table;
    world->next_table += HISTORY_PAGE;
    return table;
}

/* The entry for `input` at `level` of a four-level tree; tables above it are made. */
static uint64_t *entry_of(struct history_world *world, uint64_t root, uint64_t input,
                          uint32_t level, uint64_t flags) {
    uint64_t table = root;
    for (uint32_t at = 3; at > level; at--) {
        uint64_t *entry = word_at(world, table + (input >> (12 + 9 * at) & 511) * 8);
        if (*entry == 0) {
            *entry = new_table(world) | flags;
        }
        table = *entry & ADDRESS;
    }
    return word_at(world, table + (input >> (12 + 9 * level) & 511) * 8);
}

static uint64_t output_address(const struct history_world *world, uint32_t space, uint32_t page,
                               uint32_t side, uint32_t parent_side) {
    return HISTORY_OUTPUT + history_output(world, space, page, side, parent_side) * HISTORY_PAGE;
}

static void set_entry(struct history_world *world, uint32_t element, uint64_t *word, uint64_t side0,
                      uint64_t side1) {
    world->entries[element] = (struct history_entry){word, {side0, side1}};
    *word = side0;
}

void history_store(struct history_world *world, uint32_t element, uint32_t side, uint32_t rights) {
    const struct history_entry *entry = &world->entries[element];
    bool writable = (rights & CIOMMU_WRITE) != 0;
    uint64_t value = entry->sides[side];
    bool is_table = element == world->spaces[HISTORY_TABLES].leaves ||
                    element == world->spaces[HISTORY_NESTED_TABLES].parents;
    value = rights == 0 ? 0 : writable || is_table ? value : value & ~WRITABLE;
    __atomic_store_n(entry->word, value, __ATOMIC_RELEASE);
}

/* Leaves of single-stage spaces. */
static uint64_t build_leaves(struct history_world *world, uint32_t space, uint64_t flags) {
    uint64_t root = new_table(world);
    for (uint32_t page = 0; page < HISTORY_PAGES; page++) {
        set_entry(world, history_leaf(&world->spaces[space], page),
                  entry_of(world, root, history_iova(space, page), 0, flags),
                  output_address(world, space, page, 0, 0) | flags,
                  output_address(world, space, page, 1, 0) | flags);
    }
    return root;
}

static uint64_t build_leaf_table(struct history_world *world, uint32_t side) {
    uint64_t table = new_table(world);
    for (uint32_t page = 0; page < HISTORY_PAGES; page++) {
        *word_at(world, table + page * 8) =
            output_address(world, HISTORY_TABLES, page, side, 0) | SECOND_RW;
    }
    return table;
}

static uint64_t build_exchanged(struct history_world *world) {
    uint64_t root = new_table(world);
    uint64_t tables[2] = {build_leaf_table(world, 0), build_leaf_table(world, 1)};
    set_entry(world, world->spaces[HISTORY_TABLES].leaves,
              entry_of(world, root, HISTORY_IOVA, 1, SECOND_RW), tables[0] | SECOND_RW,
              tables[1] | SECOND_RW);
    return root;
}

uint64_t history_build_first(struct history_world *world, uint32_t space) {
    uint64_t root = new_table(world);
    for (uint32_t page = 0; page < HISTORY_PAGES; page++) {
        uint64_t side0 = HISTORY_GUEST + 2 * page * HISTORY_PAGE;
        set_entry(world, history_leaf(&world->spaces[space], page),
                  entry_of(world, root, history_iova(space, page), 0, FIRST_ALL), side0 | FIRST_ALL,
                  (side0 + HISTORY_PAGE) | FIRST_ALL);
    }
    return root;
}

/* Two leaf tables for all of the parent's pages. */
static void build_parent_tables(struct history_world *world, uint64_t root) {
    const uint32_t space = HISTORY_NESTED_TABLES;
    uint64_t tables[2] = {new_table(world), new_table(world)};
    for (uint32_t page = 0; page < 4 * HISTORY_PAGES; page++) {
        *word_at(world, tables[page % 2] + page / 2 * 8) =
            output_address(world, space, page / 4, page / 2 % 2, page % 2) | SECOND_RW;
    }
    set_entry(world, world->spaces[space].parents,
              entry_of(world, root, HISTORY_GUEST, 1, SECOND_RW), tables[0] | SECOND_RW,
              tables[1] | SECOND_RW);
}

/* The second stage of a guest's nested space: its pages, and the tables of the first. */
static uint64_t build_parent(struct history_world *world, uint32_t space) {
    uint64_t root = new_table(world);
    if (space == HISTORY_NESTED_TABLES) {
        build_parent_tables(world, root);
    }
    for (uint32_t page = 0; page < 2 * HISTORY_PAGES && space == HISTORY_NESTED_GUEST; page++) {
        set_entry(world, world->spaces[space].parents + page,
                  entry_of(world, root, HISTORY_GUEST + page * HISTORY_PAGE, 0, SECOND_RW),
                  output_address(world, space, page / 2, page % 2, 0) | SECOND_RW,
                  output_address(world, space, page / 2, page % 2, 1) | SECOND_RW);
    }
    for (uint64_t at = 0; at < HISTORY_TABLE_BYTES; at += HISTORY_PAGE) {
        uint64_t address = HISTORY_TABLE_BASE + at;
        *entry_of(world, root, address, 0, SECOND_RW) = address | SECOND_RW;
    }
    return root;
}

static uint64_t *pasid_entry(struct history_world *world, uint64_t table, uint32_t pasid,
                             uint32_t domain) {
    uint64_t *entry = word_at(world, table + pasid * UINT64_C(64));
    entry[1] = domain;
    return entry;
}

static uint64_t second_word(uint64_t root, uint64_t kind) {
    return root | kind << 6 | PASID_WIDTH | 1;
}

static void build_nested(struct history_world *world, uint64_t table, uint32_t space,
                         uint32_t pasid) {
    uint64_t first = history_build_first(world, space);
    uint64_t parent = build_parent(world, space);
    uint64_t *entry = pasid_entry(world, table, pasid, pasid);
    entry[2] = first;
    entry[0] = second_word(parent, PASID_NESTED);
}

static void build_pasids(struct history_world *world, uint64_t table) {
    uint64_t second = build_leaves(world, HISTORY_SECOND, SECOND_RW);
    uint64_t first = build_leaves(world, HISTORY_FIRST, FIRST_ALL);
    uint64_t tables = build_exchanged(world);
    uint64_t x = build_leaves(world, HISTORY_BOUND_X, SECOND_RW);
    uint64_t y = build_leaves(world, HISTORY_BOUND_Y, SECOND_RW);
    pasid_entry(world, table, 1, 1)[0] = second_word(second, PASID_SECOND);
    uint64_t *entry = pasid_entry(world, table, 2, 2);
    entry[2] = first;
    entry[0] = PASID_FIRST << 6 | 1;
    pasid_entry(world, table, 3, 3)[0] = second_word(tables, PASID_SECOND);
    build_nested(world, table, HISTORY_NESTED_GUEST, 4);
    build_nested(world, table, HISTORY_NESTED_TABLES, 8);
    uint64_t word_x = second_word(x, PASID_SECOND);
    uint64_t word_y = second_word(y, PASID_SECOND);
    set_entry(world, world->bindings[1], pasid_entry(world, table, HISTORY_BOUND_PASID, 5), word_x,
              word_y);
    pasid_entry(world, table, 6, 5)[0] = word_x;
    pasid_entry(world, table, 7, 5)[0] = word_y;
}

static uint64_t *context_entry(struct history_world *world, uint64_t contexts, uint32_t number,
                               uint32_t domain) {
    const uint64_t four_levels = 2;
    uint64_t *entry =
        word_at(world, contexts + (HISTORY_LEGACY_SOURCE + 8 * number) * UINT64_C(16));
    entry[1] = (uint64_t)domain << 8 | four_levels;
    return entry;
}

/* Legacy mode knows second stages alone; what is a PASID otherwise is a device here. */
static uint64_t build_legacy(struct history_world *world) {
    uint64_t root = new_table(world);
    uint64_t contexts = new_table(world);
    uint64_t second = build_leaves(world, HISTORY_SECOND, SECOND_RW);
    uint64_t tables = build_exchanged(world);
    uint64_t x = build_leaves(world, HISTORY_BOUND_X, SECOND_RW);
    uint64_t y = build_leaves(world, HISTORY_BOUND_Y, SECOND_RW);
    context_entry(world, contexts, 1, 1)[0] = second | 1;
    context_entry(world, contexts, 3, 3)[0] = tables | 1;
    set_entry(world, world->bindings[1], context_entry(world, contexts, HISTORY_BOUND_PASID, 5),
              x | 1, y | 1);
    context_entry(world, contexts, 6, 5)[0] = x | 1;
    context_entry(world, contexts, 7, 5)[0] = y | 1;
    *word_at(world, root) = contexts | 1;
    return root;
}

static uint64_t build_scalable(struct history_world *world) {
    const uint64_t device_tlb = 4;
    const uint64_t pasids = 8;
    uint64_t root = new_table(world);
    uint64_t contexts = new_table(world);
    uint64_t directory = new_table(world);
    uint64_t table = new_table(world);
    build_pasids(world, table);
    *word_at(world, directory) = table | 1;
    *word_at(world, contexts + HISTORY_GUEST_SOURCE * 32) = directory | pasids | 1;
    *word_at(world, contexts + HISTORY_GUEST_DEVICE_SOURCE * 32) =
        directory | pasids | device_tlb | 1;
    *word_at(world, root) = contexts | 1;
    return root | SCALABLE;
}

void history_build_guest(struct history_world *world) {
    world->roots[0] = world->settings->legacy ? build_legacy(world) : build_scalable(world);
    uint64_t copy = new_table(world);
    *word_at(world, copy) = *word_at(world, world->roots[0] & ADDRESS);
    world->roots[1] = copy | (world->roots[0] & SCALABLE);
}
