/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hostile_world.c - building the hostile guest's memory; see hostile_world.h.
 */
#define _GNU_SOURCE
#include "hostile_world.h"

#include <stdlib.h>
#include <string.h>

#define RW (CIOMMU_READ | CIOMMU_WRITE)
#define FIRST_FLAGS UINT64_C(7)  /* P, R/W, U/S */
#define SECOND_FLAGS UINT64_C(3) /* R, W */
#define LARGE UINT64_C(0x80)
#define BEYOND (UINT64_C(1) << 50) /* the host's address width */
#define SECOND_RESERVED (UINT64_C(1) << 62)
#define INTERRUPTS UINT64_C(0xfee00000)
#define LEVELS_MOST 5u
#define GIB UINT64_C(0x40000000) /* nothing is there */
#define COUNT(list) ((uint32_t)(sizeof(list) / sizeof(list)[0]))

uint64_t hostile_input(const struct hostile_world *world, uint32_t page) {
    const uint64_t top = world->levels > 4 ? UINT64_C(1) << 48 : 0;
    const uint64_t upper = top | UINT64_C(1) << 39 | UINT64_C(1) << 30 | UINT64_C(1) << 21;
    return upper | (uint64_t)(page + 1) << 12;
}

uint64_t hostile_stamp(uint64_t address) {
    return UINT64_C(0x5eed) << 48 | (address & ~(HOSTILE_PAGE - 1));
}

uint64_t *hostile_word(const struct hostile_world *world, uint64_t address) {
    unsigned char *byte = NULL;
    if (address - HOSTILE_RAM < HOSTILE_RAM_PAGES * HOSTILE_PAGE) {
        byte = world->ram + (address - HOSTILE_RAM);
    } else if (address - HOSTILE_LENT < HOSTILE_LENT_PAGES * HOSTILE_PAGE) {
        byte = world->lent + (address - HOSTILE_LENT);
    } else if (address - HOSTILE_ROM < HOSTILE_ROM_PAGES * HOSTILE_PAGE) {
        byte = world->rom + (address - HOSTILE_ROM);
    }
    return (uint64_t *)(void *)byte;
}

uint64_t hostile_marks(const struct hostile_world *world, uint64_t value) {
    if (world->kind == PROBE_HOSTILE_LEGACY || (value & 3) == 0) {
        return 0;
    }
    if (world->kind == PROBE_HOSTILE_FIRST) {
        return (value & 1) != 0 ? 0x60 : 0;
    }
    /* Nested, a table of one stage may be read as one of the other. */
    return world->kind == PROBE_HOSTILE_SECOND ? 0x300 : 0x360;
}

struct hostile_switch *hostile_find(const struct hostile_world *world, uint64_t address) {
    for (uint32_t index = 0; index < world->switch_count; index++) {
        if (world->switches[index].address == address) {
            return (struct hostile_switch *)&world->switches[index];
        }
    }
    return NULL;
}

/* ---- Building ---- */

static void store(struct hostile_world *world, uint64_t address, uint64_t value) {
    *hostile_word(world, address) = value;
}

static uint64_t new_page(struct hostile_world *world) {
    uint64_t page = world->next;
    world->next += HOSTILE_PAGE;
    return page;
}

/* Value 0 is the one that the flipper puts there most often. */
static void add_switch(struct hostile_world *world, uint64_t address, bool paging,
                       const uint64_t *values, uint32_t count) {
    struct hostile_switch *added = &world->switches[world->switch_count++];
    added->address = address;
    added->count = count;
    added->paging = paging;
    added->last = values[0];
    memcpy(added->values, values, count * sizeof values[0]);
    store(world, address, values[0]);
}

static uint64_t flags_of(const struct hostile_world *world) {
    return world->kind >= PROBE_HOSTILE_FIRST ? FIRST_FLAGS : SECOND_FLAGS;
}

uint64_t hostile_leaf(const struct hostile_world *world, uint64_t address) {
    return address | flags_of(world);
}

/* Entries 1...8 lead to data pages. */
static void fill_leaves(struct hostile_world *world, uint64_t table) {
    for (uint32_t page = 0; page < HOSTILE_INPUTS; page++) {
        store(world, table + (page + 1) * 8,
              hostile_leaf(world, world->data + page * HOSTILE_PAGE));
    }
}

static void switch_leaves(struct hostile_world *world, uint64_t table) {
    for (uint32_t page = 0; page < HOSTILE_INPUTS; page++) {
        uint64_t flags = flags_of(world);
        uint64_t next = world->data + (page + 1) % HOSTILE_INPUTS * HOSTILE_PAGE;
        const uint64_t values[] = {
            hostile_leaf(world, world->data + page * HOSTILE_PAGE),
            next | flags,
            next | (flags & ~UINT64_C(2)),
            0,
            INTERRUPTS | flags,
            (world->lent_table + (page + 1) * HOSTILE_PAGE) | flags,
            table | flags,
            HOSTILE_HOLE | flags,
            next | flags | BEYOND,
        };
        add_switch(world, table + (page + 1) * 8, true, values, COUNT(values));
    }
}

/* The tables that translate hostile_input, of the stage that devices' addresses meet first. */
static void build_tree(struct hostile_world *world, uint64_t roots[2]) {
    uint64_t flags = flags_of(world);
    uint64_t table[2][LEVELS_MOST]; /* [which][level] */
    for (uint32_t level = 0; level < world->levels; level++) {
        table[0][level] = new_page(world);
        table[1][level] = new_page(world);
    }
    roots[0] = table[0][world->levels - 1];
    roots[1] = table[1][world->levels - 1];
    const uint64_t top[] = {
        table[0][2] | flags,  table[1][2] | flags,         roots[0] | flags,         0,
        HOSTILE_HOLE | flags, table[0][2] | flags | LARGE, roots[0] | flags | BEYOND};
    const uint64_t third[] = {table[0][1] | flags,
                              table[1][1] | flags,
                              table[0][2] | flags,
                              roots[0] | flags,
                              GIB | flags | LARGE,
                              (GIB + 0x2000) | flags | LARGE,
                              0};
    const uint64_t second[] = {table[0][0] | flags,         table[1][0] | flags,
                               world->lent_table | flags,   HOSTILE_ROM | flags,
                               world->changeling | flags,   table[0][1] | flags,
                               HOSTILE_RAM | flags | LARGE, (HOSTILE_RAM + 0x2000) | flags | LARGE,
                               HOSTILE_HOLE | flags};
    const uint64_t other[] = {table[1][0] | flags, table[0][0] | flags, world->data | flags,
                              table[0][2] | flags};
    add_switch(world, table[0][3] + 8, true, top, COUNT(top));
    add_switch(world, table[0][2] + 8, true, third, COUNT(third));
    add_switch(world, table[0][1] + 8, true, second, COUNT(second));
    add_switch(world, table[1][1] + 8, true, other, COUNT(other));
    store(world, table[1][3] + 8, table[1][2] | flags);
    if (world->levels > 4) {
        const uint64_t fifth[] = {table[0][3] | flags,
                                  table[1][3] | flags,
                                  roots[0] | flags,
                                  0,
                                  HOSTILE_HOLE | flags,
                                  table[0][3] | flags | LARGE,
                                  table[0][3] | flags | BEYOND};
        add_switch(world, roots[0] + 8, true, fifth, COUNT(fifth));
        store(world, roots[1] + 8, table[1][3] | flags);
    }
    store(world, table[1][2] + 8, table[1][1] | flags);
    switch_leaves(world, table[0][0]);
    fill_leaves(world, table[1][0]);
    fill_leaves(world, HOSTILE_ROM);
    fill_leaves(world, world->changeling);
    fill_leaves(world, world->lent_table);
}

/* A second stage that maps all memory to itself, but for its switches. */
static void build_parent(struct hostile_world *world) {
    const uint64_t flags = SECOND_FLAGS;
    uint64_t top = new_page(world);
    uint64_t third = new_page(world);
    uint64_t second = new_page(world);
    const uint64_t starts[] = {HOSTILE_RAM, HOSTILE_LENT, HOSTILE_ROM};
    const uint32_t pages[] = {HOSTILE_RAM_PAGES, HOSTILE_LENT_PAGES, HOSTILE_ROM_PAGES};
    uint64_t leaves[3];
    for (uint32_t region = 0; region < 3; region++) {
        leaves[region] = new_page(world);
        store(world, second + (starts[region] >> 21 & 511) * 8, leaves[region] | flags);
        for (uint32_t page = 0; page < pages[region]; page++) {
            store(world, leaves[region] + page * 8, (starts[region] + page * HOSTILE_PAGE) | flags);
        }
    }
    const uint64_t tops[] = {third | flags, top | flags, 0, third | flags | SECOND_RESERVED,
                             HOSTILE_HOLE | flags};
    const uint64_t rams[] = {leaves[0] | flags, HOSTILE_RAM | flags | LARGE,
                             (HOSTILE_RAM + HOSTILE_PAGE) | flags | LARGE, leaves[1] | flags};
    add_switch(world, top, true, tops, COUNT(tops));
    add_switch(world, second + (HOSTILE_RAM >> 21 & 511) * 8, true, rams, COUNT(rams));
    store(world, third, second | flags);
    /* The pages of first-stage tables: of both roots, and of a leaf table. */
    for (uint32_t page = 0; page < 2; page++) {
        uint64_t table = world->first[page];
        const uint64_t values[] = {table | flags, table | 1, world->first[page ^ 1] | flags, 0};
        add_switch(world, leaves[0] + ((table - HOSTILE_RAM) >> 12) * 8, true, values,
                   COUNT(values));
    }
    for (uint32_t page = 0; page < 4; page++) {
        uint64_t data = world->data + page * HOSTILE_PAGE;
        const uint64_t values[] = {data | flags, data | 1, (data + HOSTILE_PAGE) | flags,
                                   world->lent_table | flags, data | 2};
        add_switch(world, leaves[0] + ((data - HOSTILE_RAM) >> 12) * 8, true, values,
                   COUNT(values));
    }
    world->second[0] = top;
    world->second[1] = top;
}

/* The address width of the second stage, as context and PASID entries have it. */
static uint64_t width_of_second(const struct hostile_world *world) {
    return world->kind >= PROBE_HOSTILE_FIRST ? 2 : world->levels - 2;
}

static uint64_t build_legacy(struct hostile_world *world) {
    uint64_t root_table = new_page(world);
    uint64_t contexts = new_page(world);
    uint64_t entry = world->second[0] | 1;
    const uint64_t values[] = {entry,          world->second[1] | 1, 0,
                               entry | 3 << 2, entry | 2 << 2,       entry | 1 << 4};
    store(world, root_table, contexts | 1);
    store(world, contexts + HOSTILE_SOURCE * 16 + 8,
          width_of_second(world) | (uint64_t)HOSTILE_DOMAIN << 8);
    add_switch(world, contexts + HOSTILE_SOURCE * 16, false, values, COUNT(values));
    return root_table;
}

static uint64_t build_scalable(struct hostile_world *world) {
    uint64_t root_table = new_page(world);
    uint64_t contexts = new_page(world);
    uint64_t directories[2] = {new_page(world), new_page(world)};
    uint64_t tables[2] = {new_page(world), new_page(world)};
    uint64_t context = contexts + HOSTILE_SOURCE * 32;
    uint64_t slot = (uint64_t)(HOSTILE_PASID >> 6) * 8;
    uint64_t type = world->kind == PROBE_HOSTILE_FIRST    ? 1
                    : world->kind == PROBE_HOSTILE_SECOND ? 2
                                                          : 3;
    uint64_t marks = type == 1 ? 0 : UINT64_C(1) << 9; /* SSADE */
    uint64_t width = width_of_second(world) << 2;
    uint64_t low = 1 | width | type << 6 | marks;
    uint64_t five = world->levels > 4 ? 1 << 2 : 0; /* FSPM */
    const uint64_t firsts[] = {world->first[0] | five, world->first[1] | five};
    const uint64_t contexts_values[] = {directories[0] | 9, directories[1] | 9, 0,
                                        directories[0] | 9 | 1 << 5};
    const uint64_t directory_values[] = {tables[0] | 1,      tables[1] | 1,    0,
                                         directories[0] | 1, HOSTILE_HOLE | 1, tables[0] | 9};
    const uint64_t low_values[] = {world->second[0] | low,
                                   world->second[1] | low,
                                   0,
                                   world->second[0] | 1 | width | 4 << 6,
                                   world->second[0] | 1 | width,
                                   world->second[0] | low | 1 << 10};
    store(world, root_table, contexts | 1);
    store(world, directories[1] + slot, tables[0] | 1);
    add_switch(world, context, false, contexts_values, COUNT(contexts_values));
    add_switch(world, directories[0] + slot, false, directory_values, COUNT(directory_values));
    for (uint32_t table = 0; table < 2; table++) {
        uint64_t entry = tables[table] + (uint64_t)(HOSTILE_PASID & 63) * 64;
        store(world, entry, low_values[0]);
        store(world, entry + 8, HOSTILE_DOMAIN | UINT64_C(1) << 23); /* PWSNP */
        store(world, entry + 16, firsts[0]);
    }
    uint64_t entry = tables[0] + (uint64_t)(HOSTILE_PASID & 63) * 64;
    add_switch(world, entry, false, low_values, COUNT(low_values));
    if (type != 2) {
        add_switch(world, entry + 16, false, firsts, COUNT(firsts));
    }
    return root_table | UINT64_C(1) << 10;
}

static uint64_t build(struct hostile_world *world) {
    world->next = HOSTILE_RAM + HOSTILE_PAGE;
    world->data = new_page(world);
    world->next += (HOSTILE_INPUTS - 1) * HOSTILE_PAGE;
    world->changeling = new_page(world);
    world->lent_table = HOSTILE_LENT;
    for (uint32_t page = 0; page < HOSTILE_INPUTS; page++) {
        for (uint64_t byte = 0; byte < HOSTILE_PAGE; byte += 8) {
            uint64_t data = world->data + page * HOSTILE_PAGE;
            uint64_t lent = world->lent_table + (page + 1) * HOSTILE_PAGE;
            store(world, data + byte, hostile_stamp(data));
            store(world, lent + byte, hostile_stamp(lent));
        }
    }
    build_tree(world, world->kind >= PROBE_HOSTILE_FIRST ? world->first : world->second);
    if (world->kind == PROBE_HOSTILE_NESTED) {
        build_parent(world);
    }
    return world->kind == PROBE_HOSTILE_LEGACY ? build_legacy(world) : build_scalable(world);
}

/* ---- The unit ---- */

static enum ciommu_status add_range(struct hostile_world *world, uint64_t address, uint32_t pages,
                                    void *host, uint32_t rights) {
    const struct ciommu_memory_range range = {.size = sizeof range,
                                              .rights = rights,
                                              .address = address,
                                              .length = pages * HOSTILE_PAGE,
                                              .host = host};
    return ciommu_memory_add(world->memory, &range);
}

enum ciommu_status hostile_lend(struct hostile_world *world) {
    return add_range(world, HOSTILE_LENT, HOSTILE_LENT_PAGES, world->lent, RW);
}

static enum ciommu_status make_unit(struct hostile_world *world,
                                    const struct probe_hostile_settings *settings,
                                    uint64_t rtaddr) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.host_address_width = 46;
    config.iotlb_entries = settings->iotlb_entries;
    config.first_level_entries = settings->first_level_entries;
    config.walk_cache_entries = settings->walk_cache_entries;
    config.bindings = 8;
    config.spaces = 8;
    config.drain_timeout = UINT64_C(60000000000);
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status
                                 : add_range(world, HOSTILE_RAM, HOSTILE_RAM_PAGES, world->ram, RW);
    status = status != CIOMMU_OK
                 ? status
                 : add_range(world, HOSTILE_ROM, HOSTILE_ROM_PAGES, world->rom, CIOMMU_READ);
    status = status != CIOMMU_OK ? status : hostile_lend(world);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_root(world->unit, rtaddr);
    return status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
}

static unsigned char *zeroed(uint32_t pages) {
    unsigned char *memory = aligned_alloc(HOSTILE_PAGE, pages * HOSTILE_PAGE);
    if (memory != NULL) {
        memset(memory, 0, pages * HOSTILE_PAGE);
    }
    return memory;
}

int hostile_world_create(struct hostile_world *world,
                         const struct probe_hostile_settings *settings) {
    memset(world, 0, sizeof *world);
    world->kind = settings->kind;
    world->levels = settings->levels;
    world->ram = zeroed(HOSTILE_RAM_PAGES);
    world->lent = zeroed(HOSTILE_LENT_PAGES);
    world->rom = zeroed(HOSTILE_ROM_PAGES);
    world->initial = (uint64_t *)(void *)zeroed(HOSTILE_RAM_PAGES + HOSTILE_ROM_PAGES);
    bool fine =
        world->ram != NULL && world->lent != NULL && world->rom != NULL && world->initial != NULL;
    for (uint32_t number = 0; number < HOSTILE_INPUTS * 2 && fine; number++) {
        world->answers[number / 2][number % 2] = calloc(1, sizeof(struct hostile_answers));
        fine = world->answers[number / 2][number % 2] != NULL;
    }
    if (!fine) {
        return CIOMMU_NO_MEMORY;
    }
    uint64_t rtaddr = build(world);
    size_t bytes = HOSTILE_RAM_PAGES * HOSTILE_PAGE;
    memcpy(world->initial, world->ram, bytes);
    memcpy(world->initial + bytes / 8, world->rom, HOSTILE_ROM_PAGES * HOSTILE_PAGE);
    for (uint32_t page = 0; page < HOSTILE_INPUTS; page++) {
        hostile_enumerate(world, hostile_input(world, page), CIOMMU_READ, world->answers[page][0]);
        hostile_enumerate(world, hostile_input(world, page), CIOMMU_WRITE, world->answers[page][1]);
    }
    return (int)make_unit(world, settings, rtaddr);
}

void hostile_world_destroy(struct hostile_world *world) {
    (void)ciommu_unit_destroy(world->unit);
    (void)ciommu_memory_destroy(world->memory);
    for (uint32_t number = 0; number < HOSTILE_INPUTS * 2; number++) {
        free(world->answers[number / 2][number % 2]);
    }
    free(world->ram);
    free(world->lent);
    free(world->rom);
    free(world->initial);
}
