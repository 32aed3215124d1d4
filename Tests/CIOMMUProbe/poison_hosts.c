/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_hosts.c - worlds of poison_world.h over domains of the host: a paging domain, alone or
 * with a guest's first stage over it.
 */
#include "poison_world.h"

/* A page of this length around each address. */
static enum ciommu_status map_host(struct poison_world *world, uint64_t iova, uint64_t output,
                                   uint64_t length) {
    struct ciommu_mapping mapping = {.size = sizeof mapping,
                                     .rights = POISON_RW,
                                     .iova = iova & ~(length - 1),
                                     .length = length,
                                     .address = output & ~(length - 1)};
    return ciommu_domain_map(world->parent, &mapping);
}

/* Where the host's domain has a page: its input address, or the guest's. */
static uint64_t host_input(const struct poison_world *world, uint32_t page, uint32_t guest_side) {
    return world->kind == PROBE_POISON_HOST ? poison_iova(world, page)
                                            : poison_guest(world, page, guest_side);
}

static enum ciommu_status build_child(struct poison_world *world) {
    uint64_t size = UINT64_C(1) << world->second_lg2;
    guest_window_init(&world->ram, &world->window, POISON_WINDOW);
    world->first = guest_tree_behind(&world->ram, &world->window, 4, FIRST_FLAGS);
    world->first.page_lg2 = world->first_lg2;
    enum ciommu_status status =
        map_host(world, poison_guest(world, 0, 2), poison_output(world, 0, 2), size);
    for (uint32_t page = 0; page < WINDOW_PAGES && status == CIOMMU_OK; page++) {
        status = map_host(world, POISON_WINDOW + page * TABLE_PAGE, world->window.pages[page],
                          TABLE_PAGE);
    }
    for (uint32_t page = 0; page < world->pages && status == CIOMMU_OK; page++) {
        guest_map(&world->ram, &world->first, poison_iova(world, page),
                  poison_guest(world, page, 0), world->first_lg2);
        status = map_host(world, poison_guest(world, page, 1), poison_output(world, page, 1), size);
    }
    struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = world->first.root};
    status =
        status != CIOMMU_OK ? status : ciommu_nested_create(world->parent, &config, &world->child);
    world->pasid = POISON_PASID;
    return status;
}

enum ciommu_status poison_build_host(struct poison_world *world) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    config.flags = CIOMMU_PAGING_NEST_PARENT;
    config.largest_page_lg2 = world->second_lg2; /* what lies side by side is not merged */
    struct ciommu_device_config device = {
        .size = sizeof device, .source = POISON_SOURCE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    if (world->kind == PROBE_POISON_HOST_PASS) {
        enum ciommu_status made = ciommu_device_create(world->unit, NULL, &device, &world->device);
        return made != CIOMMU_OK ? made
                                 : ciommu_device_attach(world->device, world->pasid,
                                                        ciommu_domain_identity(world->unit));
    }
    enum ciommu_status status = ciommu_paging_create(world->unit, &config, &world->parent);
    for (uint32_t page = 0; page < world->pages && status == CIOMMU_OK; page++) {
        status = map_host(world, host_input(world, page, 0), poison_output(world, page, 0),
                          UINT64_C(1) << world->second_lg2);
    }
    if (status == CIOMMU_OK && world->kind == PROBE_POISON_NESTED_HOST) {
        status = build_child(world);
    }
    status = status != CIOMMU_OK ? status
                                 : ciommu_device_create(world->unit, NULL, &device, &world->device);
    return status != CIOMMU_OK
               ? status
               : ciommu_device_attach(world->device, world->pasid,
                                      world->child != NULL ? world->child : world->parent);
}

/* ---- Changes ---- */

static enum ciommu_status unmap_host(struct poison_world *world, uint64_t input, uint64_t size) {
    uint64_t unmapped = 0;
    enum ciommu_status status =
        ciommu_domain_unmap(world->parent, NULL, input & ~(size - 1), size, &unmapped);
    if (status == CIOMMU_OK && unmapped != size) {
        crowd_report(world->run, "unmap of %llx took %llx bytes away", (unsigned long long)input,
                     (unsigned long long)unmapped);
    }
    return status;
}

/* Unmaps a page of the host's domain and maps it to `side`. */
static enum ciommu_status remap_host(struct poison_world *world, uint32_t page, uint32_t guest_side,
                                     uint32_t side) {
    uint64_t size = UINT64_C(1) << world->second_lg2;
    uint64_t input = host_input(world, page, guest_side);
    enum ciommu_status status = unmap_host(world, input, size);
    return status != CIOMMU_OK ? status
                               : map_host(world, input, poison_output(world, page, side), size);
}

/* The page under a table of the guest's first stage goes, and another one comes. Nobody tells the
 * guest's first stage. */
static enum ciommu_status move_table(struct poison_world *world, uint32_t page, uint32_t guest_side,
                                     uint64_t random) {
    struct poison_move move = poison_move(world, page, random >> 40);
    bool leads = move.level == poison_leaf_level(&world->first);
    if (leads) {
        poison_lead_in_copy(world, page, guest_side);
    }
    __atomic_store_n(&world->gaps_started, world->gaps_started + 1, __ATOMIC_SEQ_CST);
    enum ciommu_status status = unmap_host(world, move.table, TABLE_PAGE);
    if (status == CIOMMU_OK) {
        poison_moved(world, &move);
        status = map_host(world, move.table, move.now, TABLE_PAGE);
    }
    __atomic_store_n(&world->gaps_finished, world->gaps_started, __ATOMIC_SEQ_CST);
    return leads || status != CIOMMU_OK ? status
                                        : poison_lead_first(world, page, guest_side, random >> 24);
}

enum ciommu_status poison_change_host(struct poison_world *world, uint32_t page, uint32_t side,
                                      uint64_t random) {
    if (world->kind == PROBE_POISON_HOST) {
        return remap_host(world, page, 0, side);
    }
    uint32_t present = world->guest_side[page];
    if (random % 4 < 2) {
        return remap_host(world, page, present, side);
    }
    enum ciommu_status status = remap_host(world, page, present ^ 1, side);
    if (status != CIOMMU_OK) {
        return status;
    }
    return random % 4 == 2 ? poison_lead_first(world, page, present ^ 1, random >> 2)
                           : move_table(world, page, present ^ 1, random >> 2);
}
