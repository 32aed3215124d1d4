/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_world.c - numbers of elements and pages, the memory map, the host's domains. The guest's
 * tables are in history_tables.c. See history_world.h.
 */
#define _GNU_SOURCE
#include "history_tables.h"
#include "audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE_OUTPUTS (2u * HISTORY_LARGE_PAGES)
#define DRAIN_FOREVER UINT64_C(60000000000)

/* ---- Numbers ---- */

uint32_t history_leaf(const struct history_space *space, uint32_t page) {
    return space->leaves + (space->together ? 0 : page);
}

uint32_t history_parent(const struct history_space *space, uint32_t page, uint32_t side) {
    return space->parents + (space->parent_count == 1 ? 0 : 2 * page + side);
}

uint64_t history_iova(uint32_t space, uint32_t page) {
    return HISTORY_IOVA + (space == HISTORY_LARGE ? HISTORY_LARGE_STEP : 1) * page * HISTORY_PAGE;
}

uint32_t history_output(const struct history_world *world, uint32_t space, uint32_t page,
                        uint32_t side, uint32_t parent_side) {
    const struct history_space *at = &world->spaces[space];
    if (space == HISTORY_LARGE) {
        return at->outputs + side * HISTORY_LARGE_PAGES + page * HISTORY_LARGE_STEP;
    }
    return at->outputs + (at->parents == HISTORY_NO_ELEMENT ? 2 * page + side
                                                            : 2 * (2 * page + side) + parent_side);
}

uint64_t history_stamp(uint32_t output, uint32_t copy) {
    return UINT64_C(0x5eed000000000000) | (uint64_t)output << 8 | copy;
}

static bool is_large(const struct history_world *world, uint32_t output) {
    const struct history_space *large = &world->spaces[HISTORY_LARGE];
    return output >= large->outputs && output < large->outputs + large->output_count;
}

/* The large space's pages are the last ones, with two ranges; each other space's are whole ranges.
 */
uint32_t history_memory(const struct history_world *world, uint32_t output) {
    uint32_t large = world->spaces[HISTORY_LARGE].outputs;
    return world->memories + (is_large(world, output)
                                  ? world->memory_count - 2 + (output - large) / HISTORY_LARGE_PAGES
                                  : output / HISTORY_RANGE_PAGES);
}

void history_range(const struct history_world *world, uint32_t element, uint32_t *first,
                   uint32_t *count) {
    uint32_t number = element - world->memories;
    uint32_t small = world->memory_count - 2;
    *count = number < small ? HISTORY_RANGE_PAGES : HISTORY_LARGE_PAGES;
    *first = number < small
                 ? number * HISTORY_RANGE_PAGES
                 : world->spaces[HISTORY_LARGE].outputs + (number - small) * HISTORY_LARGE_PAGES;
}

static void number_spaces(struct history_world *world) {
    static const char *const names[HISTORY_SPACES] = {
        "paging",       "large",       "slot x",       "slot y",       "nested",
        "guest second", "guest first", "guest tables", "guest nested", "guest nested tables",
        "bound x",      "bound y",
    };
    uint32_t element = 0;
    uint32_t output = 0;
    for (uint32_t number = 0; number < HISTORY_SPACES; number++) {
        struct history_space *space = &world->spaces[number];
        bool tables = number == HISTORY_NESTED_TABLES;
        bool nested = tables || number == HISTORY_NESTED || number == HISTORY_NESTED_GUEST;
        space->name = names[number];
        space->together = number == HISTORY_TABLES;
        space->leaves = element;
        element += space->together ? 1 : HISTORY_PAGES;
        space->parents = nested ? element : HISTORY_NO_ELEMENT;
        space->parent_count = tables ? 1 : nested ? 2 * HISTORY_PAGES : 0;
        element += space->parent_count;
        space->output_count = (nested ? 4 : 2) * HISTORY_PAGES;
        if (number != HISTORY_LARGE) {
            space->outputs = output;
            output += space->output_count;
        }
    }
    /* 2 MiB of output addresses each, aligned. */
    struct history_space *large = &world->spaces[HISTORY_LARGE];
    large->outputs = (output + HISTORY_LARGE_PAGES - 1) & ~(HISTORY_LARGE_PAGES - 1);
    large->output_count = LARGE_OUTPUTS;
    world->output_count = large->outputs + LARGE_OUTPUTS;
    world->bindings[0] = element++;
    world->bindings[1] = element++;
    world->memories = element;
    world->memory_count = output / HISTORY_RANGE_PAGES + 2;
    world->elements = element + world->memory_count;
    for (uint32_t at = 0; at < world->elements; at++) {
        world->now[at] = (struct history_state){.rights = HISTORY_RW};
    }
}

static void name_targets(struct history_world *world) {
    const uint32_t none = HISTORY_NO_ELEMENT;
    const uint32_t memory = PROBE_HISTORY_MEMORY;
    const uint32_t guest = PROBE_HISTORY_GUEST;
    const uint32_t devices = PROBE_HISTORY_DEVICES;
    const uint32_t own = HISTORY_GUEST_SOURCE;
    const uint32_t its = HISTORY_GUEST_DEVICE_SOURCE;
    const struct history_target targets[HISTORY_TARGETS] = {
        {HISTORY_SOURCE, 1, none, HISTORY_PAGING, PROBE_HISTORY_MAPPINGS | memory},
        {HISTORY_SOURCE, 2, none, HISTORY_LARGE, PROBE_HISTORY_MAPPINGS | memory},
        {HISTORY_SLOT_SOURCE, 1, world->bindings[0], HISTORY_SLOT_X, PROBE_HISTORY_ATTACHMENTS},
        {HISTORY_SOURCE, CIOMMU_NO_PASID, none, HISTORY_NESTED, PROBE_HISTORY_PARENTS},
        {own, 1, none, HISTORY_SECOND, guest},
        {own, 2, none, HISTORY_FIRST, guest},
        {own, 3, none, HISTORY_TABLES, guest},
        {own, 4, none, HISTORY_NESTED_GUEST, guest},
        {own, 8, none, HISTORY_NESTED_TABLES, guest},
        {own, HISTORY_BOUND_PASID, world->bindings[1], HISTORY_BOUND_X, guest},
        {own, 6, none, HISTORY_BOUND_X, guest},
        {own, 7, none, HISTORY_BOUND_Y, guest},
        {HISTORY_DEVICE_SOURCE, 1, none, HISTORY_PAGING, devices},
        {HISTORY_DEVICE_SOURCE, 2, none, HISTORY_NESTED, devices},
        {its, 1, none, HISTORY_SECOND, devices},
        {its, 2, none, HISTORY_FIRST, devices},
        {its, 4, none, HISTORY_NESTED_GUEST, devices},
    };
    memcpy(world->targets, targets, sizeof targets);
    for (uint32_t at = 0; at < HISTORY_TARGETS && world->settings->legacy; at++) {
        struct history_target *target = &world->targets[at];
        if (target->source == HISTORY_GUEST_SOURCE) { /* each PASID becomes a device */
            bool second = target->space == HISTORY_SECOND || target->space == HISTORY_TABLES ||
                          target->space >= HISTORY_BOUND_X;
            target->source = HISTORY_LEGACY_SOURCE + 8 * target->pasid;
            target->pasid = CIOMMU_NO_PASID;
            target->mix = second ? guest : 0;
        }
    }
}

const char *history_element_name(void *context, uint32_t element) {
    static char text[48];
    const struct history_world *world = context;
    text[0] = 0;
    for (uint32_t number = 0; number < HISTORY_SPACES; number++) {
        const struct history_space *space = &world->spaces[number];
        uint32_t leaves = space->together ? 1 : HISTORY_PAGES;
        if (element >= space->leaves && element < space->leaves + leaves) {
            (void)snprintf(text, sizeof text, "%s page %u", space->name, element - space->leaves);
        } else if (space->parents != HISTORY_NO_ELEMENT && element >= space->parents &&
                   element < space->parents + space->parent_count) {
            (void)snprintf(text, sizeof text, "%s parent page %u", space->name,
                           element - space->parents);
        }
    }
    if (element == world->bindings[0] || element == world->bindings[1]) {
        (void)snprintf(text, sizeof text, "%s",
                       element == world->bindings[0] ? "attachment" : "PASID-table entry");
    } else if (element >= world->memories) {
        (void)snprintf(text, sizeof text, "memory range %u", element - world->memories);
    }
    return text;
}

/* ---- Memory ---- */

static enum ciommu_status add_range(struct history_world *world, uint64_t address, void *host,
                                    uint64_t length, bool replace) {
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = HISTORY_RW,
        .address = address,
        .length = length,
        .host = host,
    };
    return replace ? ciommu_memory_replace(world->memory, &range)
                   : ciommu_memory_add(world->memory, &range);
}

enum ciommu_status history_add_range(struct history_world *world, uint32_t element, uint32_t copy,
                                     bool replace) {
    uint32_t first;
    uint32_t count;
    history_range(world, element, &first, &count);
    return add_range(world, HISTORY_OUTPUT + first * HISTORY_PAGE,
                     world->copies[copy] + first * HISTORY_PAGE, count * HISTORY_PAGE, replace);
}

static void stamp(struct history_world *world, uint32_t output) {
    for (uint32_t copy = 0; copy < 2; copy++) {
        *(uint64_t *)(void *)(world->copies[copy] + output * HISTORY_PAGE) =
            history_stamp(output, copy);
    }
}

static enum ciommu_status make_memory(struct history_world *world) {
    uint64_t bytes = world->output_count * HISTORY_PAGE;
    uint64_t all = 2 * bytes + HISTORY_TABLE_BYTES;
    unsigned char *host =
        mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED) {
        return CIOMMU_NO_MEMORY;
    }
    world->copies[0] = host;
    world->copies[1] = host + bytes;
    world->tables = host + 2 * bytes;
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    for (uint32_t at = 0; at < world->memory_count && status == CIOMMU_OK; at++) {
        status = history_add_range(world, world->memories + at, 0, false);
    }
    for (uint32_t output = 0; output < world->output_count; output++) {
        bool sample = output >= world->spaces[HISTORY_LARGE].outputs &&
                      (output - world->spaces[HISTORY_LARGE].outputs) % HISTORY_LARGE_STEP == 0;
        if (sample || !is_large(world, output)) {
            stamp(world, output);
        }
    }
    return status != CIOMMU_OK
               ? status
               : add_range(world, HISTORY_TABLE_BASE, world->tables, HISTORY_TABLE_BYTES, false);
}

static enum ciommu_status make_unit(struct history_world *world) {
    const struct probe_history_settings *settings = world->settings;
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = settings->iotlb_entries;
    config.first_level_entries = settings->first_level_entries;
    config.walk_cache_entries = settings->walk_cache_entries;
    config.flags = settings->portable ? CIOMMU_UNIT_NO_WIDE_LOADS : 0;
    config.drain_timeout = DRAIN_FOREVER;
    return ciommu_unit_create(&config, world->memory, &world->unit);
}

/* ---- The host's domains ---- */

static enum ciommu_status map(struct ciommu_domain *domain, uint64_t iova, uint64_t address,
                              uint64_t pages) {
    const struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = HISTORY_RW,
        .iova = iova,
        .length = pages * HISTORY_PAGE,
        .address = address,
    };
    return ciommu_domain_map(domain, &mapping);
}

static uint64_t address_of(uint32_t output) {
    return HISTORY_OUTPUT + output * HISTORY_PAGE;
}

static enum ciommu_status make_paging(struct history_world *world, uint32_t space, uint32_t flags,
                                      struct ciommu_domain **out) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    config.flags = flags;
    enum ciommu_status status = ciommu_paging_create(world->unit, &config, out);
    if (space == HISTORY_LARGE && status == CIOMMU_OK) {
        return map(*out, HISTORY_IOVA, address_of(history_output(world, space, 0, 0, 0)),
                   HISTORY_LARGE_PAGES);
    }
    bool nested = space == HISTORY_NESTED;
    for (uint32_t page = 0; page < (nested ? 2 : 1) * HISTORY_PAGES && status == CIOMMU_OK;
         page++) {
        uint32_t output = nested ? history_output(world, space, page / 2, page % 2, 0)
                                 : history_output(world, space, page, 0, 0);
        status = map(*out, (nested ? HISTORY_GUEST : HISTORY_IOVA) + page * HISTORY_PAGE,
                     address_of(output), 1);
    }
    return status;
}

static enum ciommu_status make_domains(struct history_world *world) {
    enum ciommu_status status = make_paging(world, HISTORY_PAGING, 0, &world->paging);
    status = status != CIOMMU_OK ? status : make_paging(world, HISTORY_LARGE, 0, &world->large);
    status = status != CIOMMU_OK ? status : make_paging(world, HISTORY_SLOT_X, 0, &world->slots[0]);
    status = status != CIOMMU_OK ? status : make_paging(world, HISTORY_SLOT_Y, 0, &world->slots[1]);
    status = status != CIOMMU_OK
                 ? status
                 : make_paging(world, HISTORY_NESTED, CIOMMU_PAGING_NEST_PARENT, &world->parent);
    uint64_t root = history_build_first(world, HISTORY_NESTED);
    status = status != CIOMMU_OK ? status
                                 : map(world->parent, HISTORY_TABLE_BASE, HISTORY_TABLE_BASE,
                                       HISTORY_TABLE_BYTES / HISTORY_PAGE);
    const struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = root};
    return status != CIOMMU_OK ? status
                               : ciommu_nested_create(world->parent, &config, &world->child);
}

static enum ciommu_status make_device(struct history_world *world, uint32_t source,
                                      struct ciommu_device **out) {
    const struct ciommu_device_config config = {
        .size = sizeof config, .source = source, .id = source, .share = CIOMMU_SHARE_WHOLE};
    return ciommu_device_create(world->unit, NULL, &config, out);
}

static enum ciommu_status make_devices(struct history_world *world) {
    enum ciommu_status status = make_device(world, HISTORY_SOURCE, &world->device);
    status =
        status != CIOMMU_OK ? status : make_device(world, HISTORY_SLOT_SOURCE, &world->slot_device);
    status = status != CIOMMU_OK ? status
                                 : make_device(world, HISTORY_DEVICE_SOURCE, &world->ats_device);
    if (status != CIOMMU_OK) {
        return status;
    }
    const struct {
        struct ciommu_device *device;
        uint32_t pasid;
        struct ciommu_domain *domain;
    } attachments[] = {
        {world->device, 1, world->paging},
        {world->device, 2, world->large},
        {world->device, CIOMMU_NO_PASID, world->child},
        {world->slot_device, 1, world->slots[0]},
        {world->ats_device, 1, world->paging},
        {world->ats_device, 2, world->child},
    };
    for (uint32_t at = 0; at < sizeof attachments / sizeof attachments[0]; at++) {
        enum ciommu_status answer = ciommu_device_attach(
            attachments[at].device, attachments[at].pasid, attachments[at].domain);
        status = status != CIOMMU_OK ? status : answer;
    }
    return status;
}

enum ciommu_status history_world_create(struct history_world *world,
                                        const struct probe_history_settings *settings) {
    memset(world, 0, sizeof *world);
    world->settings = settings;
    world->clock = 1;
    number_spaces(world);
    name_targets(world);
    enum ciommu_status status = make_memory(world);
    status = status != CIOMMU_OK ? status : make_unit(world);
    status = status != CIOMMU_OK ? status : make_domains(world);
    status = status != CIOMMU_OK ? status : make_devices(world);
    if (status == CIOMMU_OK) {
        history_build_guest(world);
        status = ciommu_unit_set_root(world->unit, world->roots[0]);
    }
    return status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
}

void history_world_destroy(struct history_world *world) {
    ciommu_audit(ciommu_audit_unit(world->unit));
    (void)ciommu_device_destroy(world->device, NULL);
    (void)ciommu_device_destroy(world->slot_device, NULL);
    (void)ciommu_device_destroy(world->ats_device, NULL);
    (void)ciommu_domain_destroy(world->child);
    struct ciommu_domain *domains[] = {world->parent, world->slots[0], world->slots[1],
                                       world->large, world->paging};
    for (uint32_t at = 0; at < sizeof domains / sizeof domains[0]; at++) {
        (void)ciommu_domain_destroy(domains[at]);
    }
    (void)ciommu_unit_destroy(world->unit);
    (void)ciommu_memory_destroy(world->memory);
    if (world->copies[0] != NULL) {
        (void)munmap(world->copies[0],
                     2 * world->output_count * HISTORY_PAGE + HISTORY_TABLE_BYTES);
    }
}
