/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_hosts.c - what is explored of domains of the host: one change each.
 */
#include "explore_world.h"

#ifdef CIOMMU_INTERNAL_CHECKS

static enum ciommu_status map_host(struct ciommu_domain *domain, uint32_t page, uint32_t side,
                                   uint64_t length) {
    struct ciommu_mapping mapping = {.size = sizeof mapping,
                                     .rights = EXPLORE_RW,
                                     .iova = explore_iova(page),
                                     .length = length,
                                     .address = explore_output(page, side)};
    return ciommu_domain_map(domain, &mapping);
}

static enum ciommu_status build_hosts(struct explore_world *world, uint64_t length) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    struct ciommu_device_config device = {
        .size = sizeof device, .source = EXPLORE_SOURCE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    enum ciommu_status status = CIOMMU_OK;
    for (uint32_t side = 0; side < 2 && status == CIOMMU_OK; side++) {
        status = ciommu_paging_create(world->unit, &config, &world->domains[side]);
        status = status != CIOMMU_OK ? status : map_host(world->domains[side], 0, side, length);
    }
    status = status != CIOMMU_OK ? status
                                 : ciommu_device_create(world->unit, NULL, &device, &world->device);
    return status != CIOMMU_OK
               ? status
               : ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domains[0]);
}

static enum ciommu_status build_host(struct explore_world *world) {
    return build_hosts(world, EXPLORE_PAGES * TABLE_PAGE);
}

static enum ciommu_status build_host_large(struct explore_world *world) {
    return build_hosts(world, EXPLORE_DATA_BYTES / 2);
}

static enum ciommu_status remap(struct explore_world *world, uint32_t page, uint32_t side) {
    enum ciommu_status status =
        ciommu_domain_unmap(world->domains[0], NULL, explore_iova(page), TABLE_PAGE, NULL);
    explore_at(EXPLORE_STORED);
    return status != CIOMMU_OK ? status : map_host(world->domains[0], page, side, TABLE_PAGE);
}

/* Writes are refused at side 1. */
static enum ciommu_status protect(struct explore_world *world, uint32_t page, uint32_t side) {
    return ciommu_domain_protect(world->domains[0], NULL, explore_iova(page), TABLE_PAGE,
                                 side == 1 ? CIOMMU_READ : EXPLORE_RW);
}

/* ---- A host's parent under a guest's first stage ---- */

static enum ciommu_status map_parent(struct explore_world *world, uint64_t guest, uint64_t output,
                                     uint64_t length) {
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = EXPLORE_RW,
                                           .iova = guest,
                                           .length = length,
                                           .address = output};
    return ciommu_domain_map(world->domains[0], &mapping);
}

static enum ciommu_status build_parent(struct explore_world *world) {
    struct guest_ram *ram = &world->shared->ram;
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    config.flags = CIOMMU_PAGING_NEST_PARENT;
    const struct ciommu_device_config device = {
        .size = sizeof device, .source = EXPLORE_SOURCE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    world->first = guest_tree_make(ram, 4, FIRST_FLAGS);
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        guest_map(ram, &world->first, explore_iova(page), EXPLORE_GUEST + page * TABLE_PAGE, 12);
    }
    const struct ciommu_nested_config child = {
        .size = sizeof child, .address_width = 48, .pgtbl_addr = world->first.root};
    enum ciommu_status status = ciommu_paging_create(world->unit, &config, &world->domains[0]);
    status = status != CIOMMU_OK
                 ? status
                 : map_parent(world, EXPLORE_GUEST, explore_output(0, 0), 2 * TABLE_PAGE);
    status = status != CIOMMU_OK ? status : map_parent(world, 0, 0, ram->next);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_nested_create(world->domains[0], &child, &world->domains[1]);
    status = status != CIOMMU_OK ? status
                                 : ciommu_device_create(world->unit, NULL, &device, &world->device);
    return status != CIOMMU_OK
               ? status
               : ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domains[1]);
}

static enum ciommu_status remap_parent(struct explore_world *world, uint32_t page, uint32_t side) {
    uint64_t guest = EXPLORE_GUEST + page * TABLE_PAGE;
    enum ciommu_status status =
        ciommu_domain_unmap(world->domains[0], NULL, guest, TABLE_PAGE, NULL);
    explore_at(EXPLORE_STORED);
    return status != CIOMMU_OK ? status
                               : map_parent(world, guest, explore_output(page, side), TABLE_PAGE);
}

static enum ciommu_status replace(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    return ciommu_device_replace(world->device, NULL, CIOMMU_NO_PASID, world->domains[side]);
}

static enum ciommu_status detach(struct explore_world *world, uint32_t page, uint32_t side) {
    (void)page;
    return side == 1 ? ciommu_device_detach(world->device, NULL, CIOMMU_NO_PASID)
                     : ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domains[0]);
}

/* Splits a large page, whose other parts stay. */
static void split(struct explore_world *world) {
    enum ciommu_status status =
        ciommu_domain_unmap(world->domains[0], NULL, explore_iova(EXPLORE_PAGES), TABLE_PAGE, NULL);
    if (status != CIOMMU_OK) {
        explore_fail(world, "the unmap answered: %s", ciommu_status_text(status));
    }
}

/* Fills the hole again: the parts become one page. */
static void merge(struct explore_world *world) {
    enum ciommu_status status = map_host(world->domains[0], EXPLORE_PAGES, 0, TABLE_PAGE);
    if (status != CIOMMU_OK) {
        explore_fail(world, "the map answered: %s", ciommu_status_text(status));
    }
}

static enum ciommu_status build_host_hole(struct explore_world *world) {
    enum ciommu_status status = build_host_large(world);
    if (status == CIOMMU_OK) {
        split(world);
    }
    return status;
}

const struct explore_scenario explore_host_scenarios[] = {
    {.name = "page of the host unmapped and mapped",
     .build = build_host,
     .lead = remap,
     .warmth = EXPLORE_OTHER_WARM,
     .walk_cache = 4,
     .may_fault = true},
    {.name = "large page of the host split",
     .build = build_host_large,
     .lead = remap,
     .act = split,
     .walk_cache = 4,
     .may_fault = true},
    {.name = "large page of the host merged",
     .build = build_host_hole,
     .lead = remap,
     .act = merge,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .may_fault = true},
    {.name = "domain of the host replaced",
     .build = build_host,
     .lead = replace,
     .warmth = EXPLORE_OTHER_WARM,
     .walk_cache = 4,
     .whole = true},
    {.name = "domain of the host detached",
     .build = build_host,
     .lead = detach,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .whole = true,
     .ends_absent = true},
    {.name = "page of the host protected",
     .build = build_host,
     .lead = protect,
     .warmth = EXPLORE_WARM,
     .walk_cache = 4,
     .access = CIOMMU_WRITE,
     .ends_absent = true},
    {.name = "page of a host's parent remapped, known to the first level",
     .build = build_parent,
     .lead = remap_parent,
     .warmth = EXPLORE_WARM,
     .walk_cache = 16,
     .may_fault = true},
    {.name = "page of a host's parent remapped, known to the IOTLB",
     .build = build_parent,
     .lead = remap_parent,
     .warmth = EXPLORE_OTHER_WARM,
     .may_fault = true},
    {.name = NULL},
};

#else
/* ISO C wants something in every file. */
typedef int explore_hosts_are_off;
#endif
