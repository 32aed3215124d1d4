/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_changes.c - calls that change an object and need memory for it.
 */
#include "inject_world.h"
#include "domain_probe.h"

#define RW (CIOMMU_READ | CIOMMU_WRITE)
#define LENGTH (INJECT_PAGES * INJECT_PAGE)
#define OTHER_RAM UINT64_C(0x900000000)
#define FAR_PASID 0x12345u /* in a directory and a leaf of its own */
#define TWO_MIB (UINT64_C(2) << 20)
#define FAR_IOVA (UINT64_C(77) << 30)

/* ---- The memory map ---- */

static struct ciommu_memory_range range_of(struct inject_world *world, uint64_t address) {
    return (struct ciommu_memory_range){sizeof(struct ciommu_memory_range), RW, address, LENGTH,
                                        address == INJECT_RAM ? world->ram : world->spare};
}

static enum ciommu_status add_memory(struct inject_world *world) {
    const struct ciommu_memory_range range = range_of(world, OTHER_RAM);
    return ciommu_memory_add(world->memory, &range);
}

static enum ciommu_status place_memory(struct inject_world *world) {
    const struct ciommu_memory_range range = range_of(world, OTHER_RAM);
    uint64_t address = 1;
    enum ciommu_status status =
        ciommu_memory_place(world->memory, &range, OTHER_RAM, UINT64_MAX, 12, 0, &address);
    EXPECT(world, address == (status == CIOMMU_OK ? OTHER_RAM : 1));
    return status;
}

static enum ciommu_status remove_other(struct inject_world *world) {
    return ciommu_memory_remove(world->memory, OTHER_RAM, LENGTH);
}

static enum ciommu_status replace_memory(struct inject_world *world) {
    struct ciommu_memory_range range = range_of(world, INJECT_RAM);
    range.host = world->spare;
    return ciommu_memory_replace(world->memory, &range);
}

static enum ciommu_status replace_back(struct inject_world *world) {
    const struct ciommu_memory_range range = range_of(world, INJECT_RAM);
    return ciommu_memory_replace(world->memory, &range);
}

static enum ciommu_status remove_memory(struct inject_world *world) {
    return ciommu_memory_remove(world->memory, INJECT_RAM, LENGTH);
}

static enum ciommu_status add_back(struct inject_world *world) {
    const struct ciommu_memory_range range = range_of(world, INJECT_RAM);
    return ciommu_memory_add(world->memory, &range);
}

static void hear_no_writes(void *context, uint64_t address, uint64_t length) {
    (void)context;
    (void)address;
    (void)length;
}

static enum ciommu_status set_log(struct inject_world *world) {
    return ciommu_memory_set_dirty_log(world->memory, hear_no_writes, NULL);
}

static enum ciommu_status clear_log(struct inject_world *world) {
    return ciommu_memory_set_dirty_log(world->memory, NULL, NULL);
}

/* ---- Mappings ---- */

static enum ciommu_status map_at(struct ciommu_domain *domain, uint64_t iova, uint64_t length) {
    const struct ciommu_mapping mapping = {
        .size = sizeof mapping, .rights = RW, .iova = iova, .length = length, .address = TWO_MIB};
    return ciommu_domain_map(domain, &mapping);
}

/* Takes every page for tables that can be had without memory. */
static void exhaust_tables(struct inject_world *world) {
    enum ciommu_status status = CIOMMU_OK;
    (void)probe_allocations(0);
    for (uint64_t at = 0; at < 256 && status == CIOMMU_OK; at++) {
        status = map_at(world->other, at << 30, INJECT_PAGE);
    }
    (void)probe_allocations(-1);
    EXPECT(world, status == CIOMMU_NO_MEMORY);
}

static enum ciommu_status map_far(struct inject_world *world) {
    return map_at(world->mapped, FAR_IOVA - INJECT_PAGE, 2 * INJECT_PAGE);
}

static enum ciommu_status unmap_far(struct inject_world *world) {
    return ciommu_domain_unmap(world->mapped, world->port, FAR_IOVA - INJECT_PAGE, 2 * INJECT_PAGE,
                               NULL);
}

/* ---- Attachments ---- */

static enum ciommu_status attach(struct inject_world *world) {
    return ciommu_device_attach(world->parent, CIOMMU_NO_PASID, world->nested);
}

static enum ciommu_status detach(struct inject_world *world) {
    return ciommu_device_detach(world->parent, world->port, CIOMMU_NO_PASID);
}

static enum ciommu_status attach_pasid(struct inject_world *world) {
    return ciommu_device_attach(world->parent, FAR_PASID, world->mapped);
}

static enum ciommu_status detach_pasid(struct inject_world *world) {
    return ciommu_device_detach(world->parent, world->port, FAR_PASID);
}

static void prepare_sharer(struct inject_world *world) {
    const struct ciommu_device_config config =
        inject_slice_config(100, INJECT_FIRST, INJECT_LAST + 9);
    EXPECT(world,
           ciommu_device_create(world->unit, NULL, &config, &world->new_device) == CIOMMU_OK);
}

static enum ciommu_status attach_shared(struct inject_world *world) {
    return ciommu_device_attach(world->new_device, INJECT_PASID, world->mapped);
}

/* Gone with its device, so that the next one needs memory for its name again. */
static enum ciommu_status detach_shared(struct inject_world *world) {
    enum ciommu_status status = ciommu_device_detach(world->new_device, world->port, INJECT_PASID);
    status = status != 0 ? status : ciommu_device_detach(world->slice, world->port, INJECT_PASID);
    return status != 0 ? status : ciommu_device_attach(world->slice, INJECT_PASID, world->mapped);
}

static enum ciommu_status replace(struct inject_world *world) {
    return ciommu_device_replace(world->whole, world->port, CIOMMU_NO_PASID, world->other);
}

static enum ciommu_status replace_again(struct inject_world *world) {
    return ciommu_device_replace(world->whole, world->port, CIOMMU_NO_PASID, world->mapped);
}

static enum ciommu_status bind(struct inject_world *world) {
    const struct ciommu_pasid_table table = {.size = sizeof table,
                                             .model = CIOMMU_MODEL_VTD,
                                             .levels = 2,
                                             .pasid_bits = 20,
                                             .address = INJECT_RAM};
    return ciommu_device_bind(world->parent, world->port, &table);
}

static enum ciommu_status unbind(struct inject_world *world) {
    return ciommu_device_unbind(world->parent, world->port);
}

static enum ciommu_status bind_guest(struct inject_world *world) {
    uint32_t host = CIOMMU_NO_PASID;
    enum ciommu_status status = ciommu_namespace_bind(world->space, 0x54321, &host);
    EXPECT(world, (status == CIOMMU_OK) == (host != CIOMMU_NO_PASID));
    return status;
}

static enum ciommu_status unbind_guest(struct inject_world *world) {
    return ciommu_namespace_unbind(world->space, world->port, 0x54321);
}

/* ---- Submission ---- */

static void complete(void *context, enum ciommu_status status,
                     const struct ciommu_batch_result *result) {
    struct inject_world *world = context;
    EXPECT(world, status == CIOMMU_OK && result->handled == 1);
    (void)__atomic_fetch_add(&world->completed, 1, __ATOMIC_RELEASE);
}

/* The first one starts the thread. */
static enum ciommu_status submit(struct inject_world *world) {
    const uint64_t entry[2] = {1 | UINT64_C(1) << 4, 0}; /* context cache, global */
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_128,
        .entry_length = 16,
        .count = 1,
        .entries = entry,
    };
    enum ciommu_status status =
        ciommu_batch_submit(world->unit, world->port, &batch, NULL, 4, complete, world);
    ciommu_batch_finish(world->unit); /* also where nothing was submitted */
    return status;
}

static enum ciommu_status count_back(struct inject_world *world) {
    return __atomic_sub_fetch(&world->completed, 1, __ATOMIC_ACQUIRE) == 0 ? CIOMMU_OK
                                                                           : CIOMMU_BAD_STATE;
}

const struct inject_operation inject_changes[] = {
    {"add memory", add_memory, remove_other, NULL},
    {"place memory", place_memory, remove_other, NULL},
    {"replace memory", replace_memory, replace_back, NULL},
    {"remove memory", remove_memory, add_back, NULL},
    {"dirty log", set_log, clear_log, NULL},
    {"map", map_far, unmap_far, exhaust_tables},
    {"attach", attach, detach, NULL},
    {"attach to a PASID", attach_pasid, detach_pasid, NULL},
    {"attach to a shared PASID", attach_shared, detach_shared, prepare_sharer},
    {"replace", replace, replace_again, NULL},
    {"bind a PASID table", bind, unbind, NULL},
    {"bind a guest's PASID", bind_guest, unbind_guest, NULL},
    {"submit a batch", submit, count_back, NULL},
};
const uint32_t inject_change_count = sizeof inject_changes / sizeof inject_changes[0];
