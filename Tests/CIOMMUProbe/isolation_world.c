/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * isolation_world.c - making the guests, their domains and devices; see isolation_world.h.
 */
#define _GNU_SOURCE
#include "isolation_world.h"
#include "audit.h"

#include <stdlib.h>
#include <string.h>

#define RW (CIOMMU_READ | CIOMMU_WRITE)
#define FIRST_FLAGS UINT64_C(0x67) /* P, R/W, U/S, A, D */
#define NESTED_TABLES 64u          /* page numbers of ram: four levels */
#define BOUND_TABLES 68u
#define BOUND_DIRECTORY 72u
#define BOUND_PASIDS 73u
#define BOUND_DOMAIN_ID 5u /* the same for both guests */

uint64_t iso_stamp(uint32_t guest, uint32_t domain, uint32_t page, uint32_t word) {
    return UINT64_C(0x15) << 56 | (uint64_t)guest << 48 | (uint64_t)domain << 40 |
           (uint64_t)page << 32 | word;
}

static uint64_t *page_at(const struct iso_guest *guest, uint32_t page) {
    return (uint64_t *)(void *)(guest->ram + page * ISO_PAGE);
}

uint64_t *iso_host(const struct iso_guest *guest, uint32_t domain, uint32_t page) {
    return page_at(guest, domain * ISO_PAGES + page);
}

static uint64_t output_of(const struct iso_guest *guest, uint32_t page) {
    return guest->output + page * ISO_PAGE;
}

uint64_t iso_tag(const struct iso_device *device) {
    return UINT64_C(0x100000000) + device->id * ISO_PAGE;
}

static enum ciommu_status map(struct ciommu_domain *domain, uint64_t iova, uint64_t address,
                              uint32_t pages) {
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = RW,
                                           .iova = iova,
                                           .length = pages * ISO_PAGE,
                                           .address = address};
    return ciommu_domain_map(domain, &mapping);
}

/* Four levels of a first stage from page `tables` of ram on, which is at `base` for the walk. The
 * pages of `domain` are at `data` for it. */
static void build_first_stage(struct iso_guest *guest, uint32_t tables, uint64_t base,
                              uint64_t data) {
    for (uint32_t level = 3; level > 0; level--) {
        uint32_t number = 3 - level;
        page_at(guest, tables + number)[ISO_IOVA >> (12 + 9 * level) & 511] =
            (base + (number + 1) * ISO_PAGE) | FIRST_FLAGS;
    }
    for (uint32_t page = 0; page < ISO_PAGES; page++) {
        page_at(guest, tables + 3)[page] = (data + page * ISO_PAGE) | FIRST_FLAGS;
    }
}

/* The guest's own PASID table: PASIDs 0...3 have the same space. */
static void build_bound(struct iso_guest *guest) {
    build_first_stage(guest, BOUND_TABLES, output_of(guest, BOUND_TABLES),
                      output_of(guest, ISO_BOUND * ISO_PAGES));
    page_at(guest, BOUND_DIRECTORY)[0] = output_of(guest, BOUND_PASIDS) | 1;
    for (uint32_t pasid = 0; pasid < 4; pasid++) {
        uint64_t *entry = page_at(guest, BOUND_PASIDS) + pasid * 8;
        entry[0] = 1 | 1 << 6;
        entry[1] = BOUND_DOMAIN_ID | UINT64_C(1) << 23;
        entry[2] = output_of(guest, BOUND_TABLES);
    }
    guest->table = (struct ciommu_pasid_table){.size = sizeof guest->table,
                                               .model = CIOMMU_MODEL_VTD,
                                               .levels = 2,
                                               .pasid_bits = 6,
                                               .address = output_of(guest, BOUND_DIRECTORY)};
}

static enum ciommu_status make_domains(struct iso_guest *guest) {
    struct ciommu_paging_config paging;
    ciommu_paging_config_init(&paging);
    enum ciommu_status status = CIOMMU_OK;
    for (uint32_t domain = 0; domain < ISO_DOMAINS && status == CIOMMU_OK; domain++) {
        uint64_t output = output_of(guest, domain * ISO_PAGES);
        for (uint32_t word = 0; word < ISO_PAGES * 512; word++) {
            iso_host(guest, domain, 0)[word] =
                iso_stamp(guest->number, domain, word / 512, word % 512);
        }
        iso_rest(guest, domain);
        if (domain == ISO_NESTED || domain == ISO_BOUND) {
            continue;
        }
        status = ciommu_paging_create(guest->unit, &paging, &guest->domains[domain]);
        status =
            status != CIOMMU_OK ? status : map(guest->domains[domain], ISO_IOVA, output, ISO_PAGES);
    }
    paging.flags = CIOMMU_PAGING_NEST_PARENT;
    status =
        status != CIOMMU_OK ? status : ciommu_paging_create(guest->unit, &paging, &guest->parent);
    if (status != CIOMMU_OK) {
        return status;
    }
    build_first_stage(guest, NESTED_TABLES, ISO_TABLES, ISO_TABLES + 4 * ISO_PAGE);
    build_bound(guest);
    const struct ciommu_nested_config nested = {
        .size = sizeof nested, .address_width = 48, .pgtbl_addr = ISO_TABLES};
    status = map(guest->parent, ISO_TABLES, output_of(guest, NESTED_TABLES), 4);
    status = status != CIOMMU_OK ? status
                                 : map(guest->parent, ISO_TABLES + 4 * ISO_PAGE,
                                       output_of(guest, ISO_NESTED * ISO_PAGES), ISO_PAGES);
    return status != CIOMMU_OK
               ? status
               : ciommu_nested_create(guest->parent, &nested, &guest->domains[ISO_NESTED]);
}

/* ---- Devices ---- */

static enum ciommu_status make_slice_parts(struct iso_guest *guest, struct iso_device *device) {
    const struct ciommu_page_interface_config pages = {
        .size = sizeof pages,
        .source = device->source,
        .first_pasid = device->first,
        .last_pasid = device->first + ISO_SLICE - 1,
        .groups = 16,
        .pages = 32,
        .device = device->id,
        .handler = iso_hear,
        .context = device,
    };
    struct ciommu_message_store_config messages;
    ciommu_message_store_config_init(&messages);
    messages.entries = 2;
    uint32_t index;
    enum ciommu_status status = ciommu_page_interface_create(guest->unit, &pages, &device->pages);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_message_store_create(device->device, &messages, &device->messages);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_message_allocate(device->messages, device->first, 0, &index);
    status = status != CIOMMU_OK ? status
                                 : ciommu_message_program(device->messages, NULL, index,
                                                          UINT64_C(0xfee00000) | device->id << 12,
                                                          (uint32_t)device->id);
    return status != CIOMMU_OK ? status : ciommu_message_arm(device->messages, index);
}

static enum ciommu_status make_device(struct iso_guest *guest, uint32_t number) {
    struct iso_device *device = &guest->devices[number];
    device->world = guest->world;
    device->guest = guest->number;
    device->number = number;
    device->id = 1 + guest->number * ISO_DEVICES + number;
    device->sliced = number == 2 || number == 3;
    device->source =
        device->sliced ? ISO_SLICED : 0x100u + 8 * (guest->number * ISO_DEVICES + number);
    /* Slices of the guests lie between one another. */
    device->first = device->sliced ? ISO_SLICE * (1 + 2 * (number - 2) + guest->number) : 0;
    device->points[0].pasid = device->sliced ? device->first : CIOMMU_NO_PASID;
    device->points[1].pasid = device->sliced ? device->first + 1 : 3;
    for (uint32_t point = 0; point < ISO_POINTS; point++) {
        device->points[point].states[0] = ISO_NOTHING;
    }
    const struct ciommu_device_config config = {
        .size = sizeof config,
        .source = device->source,
        .id = device->id,
        .share = device->sliced ? CIOMMU_SHARE_SLICE : CIOMMU_SHARE_WHOLE,
        .first_pasid = device->first,
        .last_pasid = device->sliced ? device->first + ISO_SLICE - 1 : 0,
    };
    struct ciommu_fault_queue_config faults;
    ciommu_fault_queue_config_init(&faults);
    enum ciommu_status status = ciommu_device_create(guest->unit, NULL, &config, &device->device);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_fault_queue_create(guest->unit, device->device, &faults, &device->faults);
    return status != CIOMMU_OK || !device->sliced ? status : make_slice_parts(guest, device);
}

/* ---- Guests ---- */

static enum ciommu_status make_unit(struct iso_world *world, uint32_t number,
                                    const struct probe_isolation_settings *settings) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = settings->iotlb_entries;
    config.first_level_entries = settings->first_level_entries;
    config.walk_cache_entries = settings->walk_cache_entries;
    config.flags = settings->portable ? CIOMMU_UNIT_NO_WIDE_LOADS : 0;
    config.drain_timeout = UINT64_C(60000000000);
    config.ports = 32;
    config.bindings = 128;
    config.spaces = 64;
    config.domains = 64;
    enum ciommu_status status = ciommu_memory_create(&world->memories[number]);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_unit_create(&config, world->memories[number], &world->units[number]);
    return status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->units[number], true);
}

static enum ciommu_status make_guest(struct iso_world *world, uint32_t number) {
    struct iso_guest *guest = &world->guests[number];
    uint32_t unit = world->split ? number : 0;
    guest->world = world;
    guest->number = number;
    guest->unit = world->units[unit];
    guest->output = ISO_OUTPUT + (world->split ? 0 : number * UINT64_C(0x1000000));
    guest->ram = aligned_alloc(ISO_PAGE, ISO_RAM_PAGES * ISO_PAGE);
    if (guest->ram == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    memset(guest->ram, 0, ISO_RAM_PAGES * ISO_PAGE);
    const struct ciommu_memory_range range = {.size = sizeof range,
                                              .rights = RW,
                                              .address = guest->output,
                                              .length = ISO_RAM_PAGES * ISO_PAGE,
                                              .host = guest->ram};
    uint32_t first = 0x200 + 0x100 * number;
    enum ciommu_status status = ciommu_memory_add(world->memories[unit], &range);
    status = status != CIOMMU_OK ? status : make_domains(guest);
    for (uint32_t device = 0; device < ISO_DEVICES && status == CIOMMU_OK; device++) {
        status = make_device(guest, device);
    }
    const struct ciommu_page_queue_config queue = {
        .size = sizeof queue, .groups = 64, .pages = 64, .timeout = UINT64_MAX};
    for (uint32_t domain = 0; domain < ISO_NESTED && status == CIOMMU_OK; domain++) {
        status = ciommu_page_queue_create(guest->unit, guest->domains[domain], &queue,
                                          &guest->queues[domain]);
    }
    return status != CIOMMU_OK
               ? status
               : ciommu_namespace_create(guest->unit, first, first + ISO_HOST_PASIDS - 1,
                                         &guest->space);
}

enum ciommu_status iso_world_create(struct iso_world *world,
                                    const struct probe_isolation_settings *settings) {
    enum ciommu_status status = CIOMMU_OK;
    world->split = settings->split;
    for (uint32_t unit = 0; unit < (world->split ? ISO_GUESTS : 1) && status == CIOMMU_OK; unit++) {
        status = make_unit(world, unit, settings);
    }
    for (uint32_t number = 0; number < ISO_GUESTS && status == CIOMMU_OK; number++) {
        status = make_guest(world, number);
    }
    return status;
}

static void unmake_guest(struct iso_guest *guest) {
    for (uint32_t number = 0; number < ISO_DEVICES; number++) {
        struct iso_device *device = &guest->devices[number];
        (void)ciommu_message_store_destroy(device->messages, NULL);
        (void)ciommu_device_destroy(device->device, NULL);
        ciommu_page_interface_destroy(device->pages);
        ciommu_fault_queue_destroy(device->faults);
    }
    ciommu_namespace_destroy(guest->space);
    for (uint32_t domain = 0; domain < ISO_NESTED; domain++) {
        ciommu_page_queue_destroy(guest->queues[domain]);
    }
    for (uint32_t domain = 0; domain < ISO_DOMAINS; domain++) {
        (void)ciommu_domain_destroy(guest->domains[domain]);
    }
    (void)ciommu_domain_destroy(guest->parent);
}

void iso_world_destroy(struct iso_world *world) {
    for (uint32_t number = 0; number < ISO_GUESTS && world->units[number] != NULL; number++) {
        ciommu_audit(ciommu_audit_unit(world->units[number]));
    }
    for (uint32_t number = 0; number < ISO_GUESTS; number++) {
        unmake_guest(&world->guests[number]);
    }
    for (uint32_t number = 0; number < ISO_GUESTS; number++) {
        (void)ciommu_unit_destroy(world->units[number]);
        (void)ciommu_memory_destroy(world->memories[number]);
    }
    for (uint32_t number = 0; number < ISO_GUESTS; number++) {
        free(world->guests[number].ram);
    }
}
