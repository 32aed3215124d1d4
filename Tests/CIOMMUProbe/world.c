/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world.c - building and changing the stress worlds.
 */
#define _GNU_SOURCE
#include "world.h"
#include "audit.h"

#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)
#define RAM_BYTES (UINT64_C(32) << 20)
#define BACKGROUND_DOMAINS 2u
#define SS_RW UINT64_C(3)
#define FS_ALL UINT64_C(0x67) /* P, R/W, U/S, A, D */
#define SS_LARGE UINT64_C(0x80)
#define DATA_BASE UINT64_C(0x1000000) /* side 0: 2 MiB aligned; side 1: 4 MiB further */
#define DATA_STRIDE UINT64_C(0x400000)

uint64_t world_stamp(uint32_t page, uint32_t side) {
    return UINT64_C(0x5eed000000000000) | (uint64_t)page << 8 | side;
}

static uint64_t *word_at(struct world *world, uint64_t address) {
    return (uint64_t *)(void *)(world->ram + address);
}

static void guest_store(struct world *world, uint64_t address, uint64_t value) {
    __atomic_store_n(word_at(world, address), value, __ATOMIC_RELEASE);
}

static uint64_t new_table(struct world *world) {
    uint64_t table = world->next_table;
    world->next_table += PAGE;
    return table;
}

/* The table below `table` at `index`, made if absent. `flags` are the bits of the pointing entry.
 */
static uint64_t table_below(struct world *world, uint64_t table, uint64_t index, uint64_t flags) {
    uint64_t slot = table + index * 8;
    if (*word_at(world, slot) == 0) {
        guest_store(world, slot, new_table(world) | flags);
    }
    return *word_at(world, slot) & ~(PAGE - 1);
}

static uint64_t index_of(uint64_t address, uint32_t level) {
    return address >> (12 + 9 * level) & 511;
}

/* Address of the entry for `address` at `level` in a four-level tree. */
static uint64_t entry_slot(struct world *world, uint64_t root, uint64_t address, uint32_t level,
                           uint64_t flags) {
    uint64_t table = root;
    for (uint32_t at = 3; at > level; at--) {
        table = table_below(world, table, index_of(address, at), flags);
    }
    return table + index_of(address, level) * 8;
}

static void map(struct world *world, uint64_t root, uint64_t address, uint64_t output,
                uint64_t flags) {
    guest_store(world, entry_slot(world, root, address, 0, flags), output | flags);
}

static uint64_t iova_of(uint32_t page) {
    return WORLD_IOVA + page * PAGE;
}

static uint64_t output_of(const struct world *world, uint32_t page, uint32_t side) {
    return world->data[side] + page * PAGE;
}

/* Identity second stage over all of ram, but for what the world changes. */
static void map_identity(struct world *world, uint64_t root) {
    for (uint64_t address = 0; address < world->ram_bytes; address += PAGE) {
        map(world, root, address, address, SS_RW);
    }
}

static void set_switch(struct world *world, uint32_t page, uint64_t slot, uint64_t side0,
                       uint64_t side1) {
    world->switches[page] = slot;
    world->entry[0][page] = side0;
    world->entry[1][page] = side1;
    guest_store(world, slot, side0);
}

static void legacy_context(struct world *world, uint64_t contexts, uint32_t source, uint64_t root,
                           uint32_t domain) {
    guest_store(world, contexts + (source & 0xff) * 16 + 8, UINT64_C(2) | (uint64_t)domain << 8);
    guest_store(world, contexts + (source & 0xff) * 16, root | 1);
}

/* One leaf table that maps every page to `side`. */
static uint64_t leaf_table(struct world *world, uint32_t side) {
    uint64_t table = new_table(world);
    for (uint32_t page = 0; page < world->pages; page++) {
        guest_store(world, table + page * 8, output_of(world, page, side) | SS_RW);
    }
    return table;
}

static uint64_t build_legacy(struct world *world) {
    uint64_t root_table = new_table(world);
    uint64_t contexts = new_table(world);
    uint64_t root = new_table(world);
    guest_store(world, root_table, contexts | 1);
    legacy_context(world, contexts, WORLD_DEVICE, root, 1);
    switch (world->kind) {
    case PROBE_TABLES:
    case PROBE_SUPERPAGES: {
        uint64_t slot = entry_slot(world, root, WORLD_IOVA, 1, SS_RW);
        uint64_t other = world->kind == PROBE_TABLES ? leaf_table(world, 1) | SS_RW
                                                     : world->data[1] | SS_RW | SS_LARGE;
        set_switch(world, 0, slot, leaf_table(world, 0) | SS_RW, other);
        break;
    }
    case PROBE_BINDINGS: {
        uint64_t other = new_table(world);
        for (uint32_t page = 0; page < world->pages; page++) {
            map(world, root, iova_of(page), output_of(world, page, 0), SS_RW);
            map(world, other, iova_of(page), output_of(world, page, 1), SS_RW);
        }
        legacy_context(world, contexts, WORLD_DEVICE + 8, root, 1);
        legacy_context(world, contexts, WORLD_DEVICE + 16, other, 1);
        set_switch(world, 0, contexts + WORLD_DEVICE * 16, root | 1, other | 1);
        break;
    }
    default:
        for (uint32_t device = 1; device <= WORLD_NEIGHBOURS; device++) {
            legacy_context(world, contexts, WORLD_DEVICE + 8 * device, root, 1 + device);
        }
        for (uint32_t page = 0; page < world->pages; page++) {
            set_switch(world, page, entry_slot(world, root, iova_of(page), 0, SS_RW),
                       output_of(world, page, 0) | SS_RW, output_of(world, page, 1) | SS_RW);
        }
    }
    return root_table;
}

/* Scalable mode, nested: the first stage maps input pages to guest pages, the second stage maps
 * those to one side or the other. */
static uint64_t build_nested(struct world *world) {
    uint64_t root_table = new_table(world);
    uint64_t contexts = new_table(world);
    uint64_t directory = new_table(world);
    uint64_t pasids = new_table(world);
    uint64_t first = new_table(world);
    uint64_t second = new_table(world);
    const uint64_t guest =
        UINT64_C(0x80000000); /* guest-physical addresses of the data, beyond ram */
    guest_store(world, root_table, contexts | 1);
    guest_store(world, contexts + WORLD_DEVICE * 32, directory | 1);
    guest_store(world, directory, pasids | 1);
    map_identity(world, second);
    for (uint32_t page = 0; page < world->pages; page++) {
        map(world, first, iova_of(page), guest + page * PAGE, FS_ALL);
    }
    if (world->kind == PROBE_NESTED_TABLES) {
        set_switch(world, 0, entry_slot(world, second, guest, 1, SS_RW),
                   leaf_table(world, 0) | SS_RW, leaf_table(world, 1) | SS_RW);
    } else {
        for (uint32_t page = 0; page < world->pages; page++) {
            set_switch(world, page, entry_slot(world, second, guest + page * PAGE, 0, SS_RW),
                       output_of(world, page, 0) | SS_RW, output_of(world, page, 1) | SS_RW);
        }
    }
    guest_store(world, pasids + 8, 1);      /* DID 1 */
    guest_store(world, pasids + 16, first); /* FSPTPTR, four levels */
    guest_store(world, pasids, second | 3 << 6 | 2 << 2 | 1);
    return root_table | UINT64_C(1) << 10;
}

static void fill_side(struct world *world, uint32_t page, uint32_t side, bool poison) {
    uint64_t *words = (uint64_t *)(void *)(world->data_host[side][0] + page * PAGE);
    words[0] = poison ? WORLD_POISON : world_stamp(page, side);
}

static enum ciommu_status add_range(struct world *world, uint64_t address, uint64_t length,
                                    void *host, bool replace) {
    struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = CIOMMU_READ | CIOMMU_WRITE,
        .address = address,
        .length = length,
        .host = host,
    };
    return replace ? ciommu_memory_replace(world->memory, &range)
                   : ciommu_memory_add(world->memory, &range);
}

/* In PROBE_MEMORY the data of side 0 is a range of its own, so that its host memory can be
 * replaced. */
static enum ciommu_status register_memory(struct world *world) {
    if (world->kind != PROBE_MEMORY) {
        return add_range(world, 0, world->ram_bytes, world->ram, false);
    }
    enum ciommu_status status = add_range(world, 0, DATA_BASE, world->ram, false);
    return status != CIOMMU_OK
               ? status
               : add_range(world, DATA_BASE, DATA_STRIDE, world->data_host[0][0], false);
}

/* In PROBE_BINDINGS two more devices hold both domains' spaces, so that a binding which should be
 * gone still finds its space. */
static enum ciommu_status keep_domains_alive(struct world *world) {
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status = CIOMMU_OK;
    for (uint32_t device = 1; device <= 2 && world->kind == PROBE_BINDINGS; device++) {
        enum ciommu_status answer =
            ciommu_translate(world->unit, NULL, WORLD_DEVICE + 8 * device, CIOMMU_NO_PASID,
                             WORLD_IOVA, CIOMMU_READ, 0, &result);
        status = status != CIOMMU_OK ? status : answer;
    }
    return status;
}

int world_create(struct world *world, const struct probe_options *options) {
    memset(world, 0, sizeof *world);
    world->kind = options->world;
    world->pages = options->world == PROBE_CROWD ? WORLD_CROWD_PAGES : WORLD_PAGES;
    world->ram_bytes = RAM_BYTES;
    world->ram = aligned_alloc(PAGE, RAM_BYTES);
    if (world->ram == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    memset(world->ram, 0, RAM_BYTES);
    world->next_table = PAGE;
    for (uint32_t side = 0; side < 2; side++) {
        world->data[side] = DATA_BASE + side * DATA_STRIDE;
        world->data_host[side][0] = world->ram + world->data[side];
        for (uint32_t page = 0; page < world->pages; page++) {
            fill_side(world, page, side, false);
        }
    }
    world->data_host[0][1] =
        world->data_host[1][0]; /* PROBE_MEMORY: side 1 is other host memory for the same address */
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = options->iotlb_entries;
    config.first_level_entries = options->first_level_entries;
    config.walk_cache_entries = options->walk_cache_entries;
    config.flags = options->portable ? CIOMMU_UNIT_NO_WIDE_LOADS : 0;
    if (world->kind == PROBE_EVICTIONS) {
        config.bindings = 3;
        config.spaces = 3;
    }
    config.drain_timeout = UINT64_C(60000000000);
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : register_memory(world);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    if (status != CIOMMU_OK) {
        return status;
    }
    bool nested = world->kind == PROBE_NESTED || world->kind == PROBE_NESTED_TABLES;
    uint64_t rtaddr = nested ? build_nested(world) : build_legacy(world);
    status = ciommu_unit_set_root(world->unit, rtaddr);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
    return status != CIOMMU_OK ? status : keep_domains_alive(world);
}

void world_destroy(struct world *world) {
    ciommu_audit(ciommu_audit_unit(world->unit));
    (void)ciommu_unit_destroy(world->unit);
    (void)ciommu_memory_destroy(world->memory);
    free(world->ram);
}

bool world_flips_together(const struct world *world) {
    return world->kind == PROBE_TABLES || world->kind == PROBE_SUPERPAGES ||
           world->kind == PROBE_BINDINGS || world->kind == PROBE_MEMORY ||
           world->kind == PROBE_NESTED_TABLES;
}

/* The descriptor that a guest would send after the change. */
static enum ciommu_status invalidate(struct world *world, uint32_t page, uint64_t random) {
    bool wide = world->kind == PROBE_NESTED || world->kind == PROBE_NESTED_TABLES;
    uint64_t words[4] = {0};
    const uint64_t domain = UINT64_C(1) << 16;
    uint64_t address = wide ? UINT64_C(0x80000000) + page * PAGE : iova_of(page);
    switch (world->kind) {
    case PROBE_BINDINGS:
        words[0] = 1 | 3 << 4 | (uint64_t)WORLD_DEVICE << 32;
        break;
    case PROBE_TABLES:
    case PROBE_SUPERPAGES:
    case PROBE_NESTED_TABLES:
        words[0] = 2 | 3 << 4 | domain;
        words[1] = (address & ~UINT64_C(0x1fffff)) | 3; /* the world's eight pages, and tables */
        break;
    default:
        words[0] = 2 | 3 << 4 | domain; /* page-selective, leaf only */
        words[1] = address | 1 << 6;
        if (random % 8 == 0) {
            words[0] = 2 | 2 << 4 | domain;
            words[1] = 0;
        } else if (random % 64 == 1) {
            words[0] = 2 | 1 << 4;
            words[1] = 0;
        } else if (random % 8 == 2) {
            words[1] = (address & ~UINT64_C(0x7fff)) | 3; /* eight pages, tables too */
        }
    }
    struct ciommu_descriptor_result result = {.size = sizeof result};
    return ciommu_invalidate_descriptor(world->unit, NULL, words, wide, &result);
}

enum ciommu_status world_change(struct world *world, uint32_t page, uint64_t random) {
    bool together = world_flips_together(world);
    uint32_t first = together ? 0 : page;
    uint32_t last = together ? world->pages - 1 : page;
    uint64_t next = world->started[first] + 1;
    uint32_t side = (uint32_t)(next & 1);
    for (uint32_t at = first; at <= last; at++) {
        if (world->kind != PROBE_BINDINGS) {
            fill_side(world, at, side, false);
        }
        __atomic_store_n(&world->started[at], next, __ATOMIC_SEQ_CST);
    }
    enum ciommu_status status;
    if (world->kind == PROBE_MEMORY) {
        status = add_range(world, DATA_BASE, DATA_STRIDE, world->data_host[side][0], true);
    } else {
        guest_store(world, world->switches[first], world->entry[side][first]);
        status = invalidate(world, page, random);
    }
    for (uint32_t at = first; at <= last; at++) {
        __atomic_store_n(&world->finished[at], next, __ATOMIC_SEQ_CST);
        if (world->kind != PROBE_BINDINGS && status == CIOMMU_OK) {
            fill_side(world, at, side ^ 1, true);
        }
    }
    return status;
}
