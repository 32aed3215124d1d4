/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_world.c - building the worlds of poison_world.h.
 */
#define _GNU_SOURCE
#include "poison_world.h"
#include "audit.h"

#include <string.h>
#include <sys/mman.h>

#define RAM_BYTES (UINT64_C(4) << 20)
#define DATA_BASE (UINT64_C(16) << 30)
#define GUEST_BASE (UINT64_C(64) << 30)

#define HUGE_LG2 30u

static const char *const kind_names[PROBE_POISON_KINDS] = {
    "legacy, 3 levels",       "legacy, 4 levels",       "legacy, 5 levels",
    "first stage, 4 levels",  "first stage, 5 levels",  "second stage, 3 levels",
    "second stage, 4 levels", "second stage, 5 levels", "nested, 4 levels",
    "nested, 5 levels",       "host's paging domain",   "nested over a host's domain",
    "pass-through",           "scalable pass-through",  "host's identity domain",
};

const char *probe_poison_name(uint32_t kind) {
    return kind < PROBE_POISON_KINDS ? kind_names[kind] : "";
}

uint64_t poison_iova(const struct poison_world *world, uint32_t page) {
    return poison_passes(world)
               ? poison_output(world, page, 0)
               : POISON_IOVA + ((uint64_t)page << world->stride_lg2) + world->offset;
}

uint64_t poison_output(const struct poison_world *world, uint32_t page, uint32_t side) {
    uint64_t number = side == 2 ? 2 * world->pages : side * world->pages + page;
    return DATA_BASE + (number << world->stride_lg2) + world->offset;
}

uint64_t poison_guest(const struct poison_world *world, uint32_t page, uint32_t guest_side) {
    uint64_t number = guest_side == 2 ? 2 * world->pages : guest_side * world->pages + page;
    return GUEST_BASE + (number << world->stride_lg2) + world->offset;
}

uint64_t poison_spot(const struct poison_world *world, uint32_t spot) {
    uint64_t mask = (UINT64_C(1) << world->page_lg2) - 1;
    return (spot * UINT64_C(0x2a9d5000) & mask & ~(TABLE_PAGE - 1)) + spot * UINT64_C(64);
}

uint64_t poison_stamp(uint32_t page, uint32_t side, uint32_t spot) {
    return UINT64_C(0x5eed000000000000) | (uint64_t)page << 16 | side << 8 | spot;
}

bool poison_may_fault(const struct poison_world *world) {
    return world->kind == PROBE_POISON_HOST || world->kind == PROBE_POISON_NESTED_HOST;
}

static unsigned char *data_of(const struct poison_world *world, uint32_t page, uint32_t side) {
    return world->data + (poison_output(world, page, side) - DATA_BASE);
}

static uint64_t *word_of(const struct poison_world *world, uint32_t page, uint32_t side,
                         uint64_t offset) {
    return (uint64_t *)(void *)(data_of(world, page, side) + offset);
}

/* The place is ready to be led to. */
static void stamp(const struct poison_world *world, uint32_t page, uint32_t side) {
    for (uint32_t spot = 0; spot < POISON_SPOTS; spot++) {
        *word_of(world, page, side, poison_spot(world, spot)) = poison_stamp(page, side, spot);
    }
}

/* Nobody may use it any more. */
static void poison(const struct poison_world *world, uint32_t page, uint32_t side) {
    for (uint32_t spot = 0; spot < POISON_SPOTS; spot++) {
        *word_of(world, page, side, poison_spot(world, spot)) = POISON_VALUE;
    }
    for (uint32_t own = 0; own < world->writers; own++) {
        *word_of(world, page, side, poison_word(own)) = POISON_VALUE;
    }
}

/* Has anybody written there since? */
static void expect_poison(const struct poison_world *world, uint32_t page, uint32_t side) {
    for (uint32_t at = 0; at < POISON_SPOTS + world->writers; at++) {
        uint64_t offset =
            at < POISON_SPOTS ? poison_spot(world, at) : poison_word(at - POISON_SPOTS);
        uint64_t found = *word_of(world, page, side, offset);
        if (found != POISON_VALUE) {
            crowd_report(world->run, "written late: page %u, side %u, offset %llx holds %llx", page,
                         side, (unsigned long long)offset, (unsigned long long)found);
            return;
        }
    }
}

/* ---- Memory ---- */

static enum ciommu_status add_range(struct poison_world *world, uint64_t address, uint64_t length,
                                    void *host) {
    struct ciommu_memory_range range = {.size = sizeof range,
                                        .rights = POISON_RW,
                                        .address = address,
                                        .length = length,
                                        .host = host};
    return ciommu_memory_add(world->memory, &range);
}

/* In a pass-through world every page is a range of its own. */
static enum ciommu_status make_memory(struct poison_world *world) {
    world->data_bytes = (UINT64_C(2) * world->pages + 1) << world->stride_lg2;
    world->data = mmap(NULL, world->data_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (world->data == MAP_FAILED) {
        world->data = NULL;
        return CIOMMU_NO_MEMORY;
    }
    if (!guest_ram_init(&world->ram, RAM_BYTES)) {
        return CIOMMU_NO_MEMORY;
    }
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : add_range(world, 0, RAM_BYTES, world->ram.host);
    if (!poison_passes(world)) {
        return status != CIOMMU_OK ? status
                                   : add_range(world, DATA_BASE, world->data_bytes, world->data);
    }
    for (uint32_t page = 0; page < world->pages && status == CIOMMU_OK; page++) {
        status = add_range(world, poison_output(world, page, 0), UINT64_C(1) << world->page_lg2,
                           data_of(world, page, 0));
    }
    return status;
}

/* ---- Tables of the guest ---- */

static void map_pages(struct poison_world *world, const struct guest_tree *tree) {
    for (uint32_t page = 0; page < world->pages; page++) {
        guest_map(&world->ram, tree, poison_iova(world, page), poison_output(world, page, 0),
                  tree->page_lg2);
    }
}

static uint64_t build_nested(struct poison_world *world, uint32_t levels) {
    struct guest_ram *ram = &world->ram;
    world->second = guest_tree_make(ram, levels, SECOND_FLAGS);
    for (uint32_t page = 0; page < WINDOW_PAGES; page++) {
        guest_map(ram, &world->second, POISON_WINDOW + page * TABLE_PAGE, world->window.pages[page],
                  12);
    }
    world->second.page_lg2 = world->second_lg2;
    guest_map(ram, &world->second, poison_guest(world, 0, 2), poison_output(world, 0, 2),
              world->second_lg2);
    for (uint32_t page = 0; page < world->pages; page++) {
        guest_map(ram, &world->first, poison_iova(world, page), poison_guest(world, page, 0),
                  world->first_lg2);
        for (uint32_t side = 0; side < 2; side++) {
            guest_map(ram, &world->second, poison_guest(world, page, side),
                      poison_output(world, page, side), world->second_lg2);
        }
    }
    return guest_scalable(&world->ram, POISON_SOURCE, POISON_PASID, POISON_DOMAIN, SCALABLE_NESTED,
                          &world->first, &world->second, &world->entry);
}

/* Builds the guest's tables; what goes into RTADDR. */
static uint64_t build_guest(struct poison_world *world) {
    struct guest_ram *ram = &world->ram;
    uint32_t kind = world->kind;
    if (kind <= PROBE_POISON_LEGACY_5) {
        world->second = guest_tree_make(ram, 3 + kind - PROBE_POISON_LEGACY_3, SECOND_FLAGS);
        world->second.page_lg2 = world->second_lg2;
        map_pages(world, &world->second);
        return guest_legacy(ram, POISON_SOURCE, POISON_DOMAIN, LEGACY_UNTRANSLATED, &world->second,
                            &world->entry);
    }
    if (kind == PROBE_POISON_IDENTITY) {
        return guest_legacy(ram, POISON_SOURCE, POISON_DOMAIN, LEGACY_PASS, NULL, &world->entry);
    }
    if (kind == PROBE_POISON_PASS) {
        world->pasid = POISON_PASID;
        return guest_scalable(ram, POISON_SOURCE, POISON_PASID, POISON_DOMAIN, SCALABLE_PASS, NULL,
                              NULL, &world->entry);
    }
    if (kind >= PROBE_POISON_SECOND_3 && kind <= PROBE_POISON_SECOND_5) {
        world->second = guest_tree_make(ram, 3 + kind - PROBE_POISON_SECOND_3, SECOND_FLAGS);
        world->second.page_lg2 = world->second_lg2;
        map_pages(world, &world->second);
        return guest_scalable(ram, POISON_SOURCE, 0, POISON_DOMAIN, SCALABLE_SECOND, NULL,
                              &world->second, &world->entry);
    }
    uint32_t levels = kind == PROBE_POISON_FIRST_5 || kind == PROBE_POISON_NESTED_5 ? 5 : 4;
    world->pasid = POISON_PASID;
    if (poison_is_nested(world)) {
        guest_window_init(ram, &world->window, POISON_WINDOW);
    }
    world->first = guest_tree_behind(ram, poison_is_nested(world) ? &world->window : NULL, levels,
                                     FIRST_FLAGS);
    world->first.page_lg2 = world->first_lg2;
    if (poison_is_nested(world)) {
        return build_nested(world, levels);
    }
    map_pages(world, &world->first);
    return guest_scalable(ram, POISON_SOURCE, POISON_PASID, POISON_DOMAIN, SCALABLE_FIRST,
                          &world->first, NULL, &world->entry);
}

static bool is_host(const struct poison_world *world) {
    return poison_may_fault(world) || world->kind == PROBE_POISON_HOST_PASS;
}

static void choose_sizes(struct poison_world *world, const struct probe_stress_settings *settings) {
    uint32_t first = settings->page_lg2;
    uint32_t second = settings->second_lg2 == 0 ? first : settings->second_lg2;
    world->first_lg2 = first;
    world->second_lg2 = second;
    world->page_lg2 = first < second ? first : second;
    world->stride_lg2 = first < second ? second : first;
    world->offset = first == second ? 0 : UINT64_C(5) << world->page_lg2;
}

int poison_world_create(struct poison_world *world, struct crowd_run *run) {
    memset(world, 0, sizeof *world);
    world->run = run;
    world->kind = run->settings->kind;
    choose_sizes(world, run->settings);
    world->pages = world->stride_lg2 == HUGE_LG2 ? 2 : POISON_PAGES;
    world->pasid = CIOMMU_NO_PASID;
    world->writers = crowd_size(run);
    enum ciommu_status status = make_memory(world);
    if (status == CIOMMU_OK) {
        poison(world, 0, 2);
    }
    for (uint32_t page = 0; page < world->pages && status == CIOMMU_OK; page++) {
        poison(world, page, 0);
        poison(world, page, 1);
        stamp(world, page, 0);
    }
    struct ciommu_unit_config config;
    crowd_unit_config(run, &config);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (is_host(world)) {
        status = poison_build_host(world);
    } else {
        world->rtaddr = build_guest(world);
        status = ciommu_unit_set_root(world->unit, world->rtaddr);
    }
    poison_make_traps(world);
    return status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
}

void poison_world_destroy(struct poison_world *world) {
    ciommu_audit(ciommu_audit_unit(world->unit));
    (void)ciommu_device_destroy(world->device, NULL);
    (void)ciommu_domain_destroy(world->child);
    (void)ciommu_domain_destroy(world->parent);
    (void)ciommu_unit_destroy(world->unit);
    (void)ciommu_memory_destroy(world->memory);
    guest_ram_fini(&world->ram);
    if (world->data != NULL) {
        (void)munmap(world->data, world->data_bytes);
    }
}

/* ---- Changes ---- */

static enum ciommu_status replace_memory(struct poison_world *world, uint32_t page, uint32_t side) {
    struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = POISON_RW,
        .address = poison_output(world, page, 0),
        .length = UINT64_C(1) << world->page_lg2,
        .host = data_of(world, page, side),
    };
    return ciommu_memory_replace(world->memory, &range);
}

enum ciommu_status poison_change(struct poison_world *world, uint32_t page, uint64_t random) {
    uint64_t next = world->started[page] + 1;
    uint32_t side = (uint32_t)(next & 1);
    expect_poison(world, page, side);
    expect_poison(world, 0, 2);
    stamp(world, page, side);
    __atomic_store_n(&world->started[page], next, __ATOMIC_SEQ_CST);
    enum ciommu_status status;
    switch (world->kind) {
    case PROBE_POISON_IDENTITY:
    case PROBE_POISON_PASS:
    case PROBE_POISON_HOST_PASS:
        status = random % 4 == 0 && !is_host(world) ? poison_exchange(world, NULL, random >> 2)
                                                    : CIOMMU_OK;
        status = status != CIOMMU_OK ? status : replace_memory(world, page, side);
        break;
    case PROBE_POISON_HOST:
    case PROBE_POISON_NESTED_HOST:
        status = poison_change_host(world, page, side, random);
        break;
    default:
        status = poison_lead(world, page, side, random);
    }
    __atomic_store_n(&world->finished[page], next, __ATOMIC_SEQ_CST);
    if (status == CIOMMU_OK) {
        poison(world, page, side ^ 1);
    }
    return status;
}
