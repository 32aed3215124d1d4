/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_objects.c - calls that make an object.
 */
#include "atomics.h"
#include "inject_world.h"
#include "rcu.h"

static void hear_nothing(void *context, const struct ciommu_invalidation *invalidation) {
    (void)context;
    (void)invalidation;
}

static void be_ready(void *context) {
    (void)context;
}

/* What an attempt made must not be set unless it succeeded. */
#define MADE(world, status, object) EXPECT((world), ((status) == CIOMMU_OK) == ((object) != NULL))

/* ---- The unit and what it stands on ---- */

static enum ciommu_status make_memory(struct inject_world *world) {
    enum ciommu_status status = ciommu_memory_create(&world->new_memory);
    MADE(world, status, world->new_memory);
    return status;
}

/* As the first call of a process, which starts a thread. */
static enum ciommu_status make_first_memory(struct inject_world *world) {
    store_relaxed(&ciommu_rcu_prepared, 0);
    enum ciommu_status status = make_memory(world);
    EXPECT(world, status != CIOMMU_OK || load_relaxed(&ciommu_rcu_prepared) != 0);
    return status;
}

static enum ciommu_status end_memory(struct inject_world *world) {
    enum ciommu_status status = ciommu_memory_destroy(world->new_memory);
    world->new_memory = NULL;
    return status;
}

static enum ciommu_status make_unit_of(struct inject_world *world, uint32_t flags) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.flags = flags;
    config.iotlb_entries = 1u << 18; /* of huge pages */
    enum ciommu_status status = ciommu_unit_create(&config, world->memory, &world->new_unit);
    MADE(world, status, world->new_unit);
    return status;
}

static enum ciommu_status make_unit(struct inject_world *world) {
    return make_unit_of(world, 0);
}

static enum ciommu_status make_portable_unit(struct inject_world *world) {
    return make_unit_of(world, CIOMMU_UNIT_NO_WIDE_LOADS);
}

static enum ciommu_status end_unit(struct inject_world *world) {
    enum ciommu_status status = ciommu_unit_destroy(world->new_unit);
    world->new_unit = NULL;
    return status;
}

static enum ciommu_status make_port(struct inject_world *world) {
    enum ciommu_status status = ciommu_port_create(world->unit, &world->new_port);
    MADE(world, status, world->new_port);
    return status;
}

static enum ciommu_status end_port(struct inject_world *world) {
    enum ciommu_status status = ciommu_port_destroy(world->new_port);
    world->new_port = NULL;
    return status;
}

static enum ciommu_status add_observer(struct inject_world *world) {
    return ciommu_observer_add(world->unit, hear_nothing, NULL, &world->new_observer);
}

static enum ciommu_status remove_observer(struct inject_world *world) {
    return ciommu_observer_remove(world->unit, world->new_observer);
}

/* ---- Domains, devices, namespaces ---- */

static enum ciommu_status make_paging(struct inject_world *world) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    enum ciommu_status status = ciommu_paging_create(world->unit, &config, &world->new_domain);
    MADE(world, status, world->new_domain);
    return status;
}

static enum ciommu_status make_nested(struct inject_world *world) {
    const struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = INJECT_RAM};
    enum ciommu_status status = ciommu_nested_create(world->mapped, &config, &world->new_domain);
    MADE(world, status, world->new_domain);
    return status;
}

static enum ciommu_status end_domain(struct inject_world *world) {
    enum ciommu_status status = ciommu_domain_destroy(world->new_domain);
    world->new_domain = NULL;
    return status;
}

static enum ciommu_status make_device(struct inject_world *world,
                                      struct ciommu_device_config config) {
    enum ciommu_status status =
        ciommu_device_create(world->unit, world->port, &config, &world->new_device);
    MADE(world, status, world->new_device);
    return status;
}

static enum ciommu_status make_whole(struct inject_world *world) {
    return make_device(world, (struct ciommu_device_config){
                                  .size = sizeof(struct ciommu_device_config),
                                  .source = 0xff77, /* a page of sources of its own */
                                  .id = 100,
                                  .share = CIOMMU_SHARE_WHOLE,
                              });
}

static enum ciommu_status make_slice(struct inject_world *world) {
    return make_device(world, inject_slice_config(100, 0x4321, 0x6543));
}

static enum ciommu_status make_slice_inside(struct inject_world *world) {
    return make_device(world, inject_slice_config(100, INJECT_FIRST + 2, INJECT_LAST - 2));
}

static enum ciommu_status make_slice_across(struct inject_world *world) {
    return make_device(world, inject_slice_config(100, INJECT_FIRST + 8, 0x1234));
}

static enum ciommu_status end_device(struct inject_world *world) {
    enum ciommu_status status = ciommu_device_destroy(world->new_device, world->port);
    world->new_device = NULL;
    return status;
}

static enum ciommu_status make_space(struct inject_world *world) {
    enum ciommu_status status =
        ciommu_namespace_create(world->unit, 0x2000, 0x8fff, &world->new_space);
    MADE(world, status, world->new_space);
    return status;
}

static enum ciommu_status end_space(struct inject_world *world) {
    ciommu_namespace_destroy(world->new_space);
    world->new_space = NULL;
    return CIOMMU_OK;
}

/* ---- Device-TLBs and message stores ---- */

static enum ciommu_status make_tlb(struct inject_world *world,
                                   struct ciommu_device_tlb_config config) {
    enum ciommu_status status = ciommu_device_tlb_create(world->unit, &config, &world->new_tlb);
    MADE(world, status, world->new_tlb);
    return status;
}

static enum ciommu_status make_whole_tlb(struct inject_world *world) {
    return make_tlb(world, inject_tlb_config(world, INJECT_FREE));
}

static enum ciommu_status make_range_tlb(struct inject_world *world) {
    struct ciommu_device_tlb_config config = inject_tlb_config(world, INJECT_SHARED);
    config.flags = 0;
    config.first_pasid = INJECT_FIRST;
    config.last_pasid = 0x4321;
    return make_tlb(world, config);
}

static enum ciommu_status end_tlb(struct inject_world *world) {
    enum ciommu_status status = ciommu_device_tlb_destroy(world->new_tlb, world->port);
    world->new_tlb = NULL;
    return status;
}

static enum ciommu_status make_store(struct inject_world *world) {
    struct ciommu_message_store_config config;
    ciommu_message_store_config_init(&config);
    enum ciommu_status status =
        ciommu_message_store_create(world->parent, &config, &world->new_store);
    MADE(world, status, world->new_store);
    return status;
}

static enum ciommu_status end_store(struct inject_world *world) {
    enum ciommu_status status = ciommu_message_store_destroy(world->new_store, world->port);
    world->new_store = NULL;
    return status;
}

/* ---- Queues ---- */

static enum ciommu_status make_fault_queue(struct inject_world *world) {
    struct ciommu_fault_queue_config config = inject_fault_config();
    config.ready = be_ready;
    enum ciommu_status status =
        ciommu_fault_queue_create(world->unit, world->parent, &config, &world->new_faults);
    MADE(world, status, world->new_faults);
    return status;
}

static enum ciommu_status make_software_queue(struct inject_world *world) {
    const struct ciommu_fault_queue_config config = inject_fault_config();
    enum ciommu_status status =
        ciommu_fault_queue_create_software(world->unit, 100, &config, &world->new_faults);
    MADE(world, status, world->new_faults);
    return status;
}

static enum ciommu_status end_fault_queue(struct inject_world *world) {
    ciommu_fault_queue_destroy(world->new_faults);
    world->new_faults = NULL;
    return CIOMMU_OK;
}

/* The event thread and the descriptor itself. */
static enum ciommu_status make_fault_descriptor(struct inject_world *world) {
    int descriptor = -1;
    enum ciommu_status status = ciommu_fault_queue_fd(world->new_faults, &descriptor);
    EXPECT(world, (status == CIOMMU_OK) == (descriptor >= 0));
    return status;
}

static void prepare_fault_queue(struct inject_world *world) {
    EXPECT(world, make_software_queue(world) == CIOMMU_OK);
}

static enum ciommu_status renew_fault_queue(struct inject_world *world) {
    (void)end_fault_queue(world);
    return make_software_queue(world);
}

static enum ciommu_status make_interface(struct inject_world *world) {
    const struct ciommu_page_interface_config config = inject_interface_config();
    enum ciommu_status status =
        ciommu_page_interface_create(world->unit, &config, &world->new_interface);
    MADE(world, status, world->new_interface);
    return status;
}

static enum ciommu_status end_interface(struct inject_world *world) {
    ciommu_page_interface_destroy(world->new_interface);
    world->new_interface = NULL;
    return CIOMMU_OK;
}

static enum ciommu_status make_page_queue(struct inject_world *world) {
    const struct ciommu_page_queue_config config = inject_page_config();
    enum ciommu_status status =
        ciommu_page_queue_create(world->unit, NULL, &config, &world->new_pages);
    MADE(world, status, world->new_pages);
    return status;
}

static enum ciommu_status end_page_queue(struct inject_world *world) {
    ciommu_page_queue_destroy(world->new_pages);
    world->new_pages = NULL;
    return CIOMMU_OK;
}

static enum ciommu_status make_page_descriptor(struct inject_world *world) {
    return ciommu_page_queue_descriptor(world->new_pages) >= 0 ? CIOMMU_OK : CIOMMU_NO_MEMORY;
}

static void prepare_page_queue(struct inject_world *world) {
    EXPECT(world, make_page_queue(world) == CIOMMU_OK);
}

static enum ciommu_status renew_page_queue(struct inject_world *world) {
    (void)end_page_queue(world);
    return make_page_queue(world);
}

const struct inject_operation inject_objects[] = {
    {"memory map", make_memory, end_memory, NULL},
    {"first memory map of a process", make_first_memory, end_memory, NULL},
    {"unit", make_unit, end_unit, NULL},
    {"unit without wide loads", make_portable_unit, end_unit, NULL},
    {"port", make_port, end_port, NULL},
    {"observer", add_observer, remove_observer, NULL},
    {"paging domain", make_paging, end_domain, NULL},
    {"nested domain", make_nested, end_domain, NULL},
    {"device", make_whole, end_device, NULL},
    {"slice", make_slice, end_device, NULL},
    {"slice inside another", make_slice_inside, end_device, NULL},
    {"slice across the end of another", make_slice_across, end_device, NULL},
    {"PASID namespace", make_space, end_space, NULL},
    {"device-TLB", make_whole_tlb, end_tlb, NULL},
    {"device-TLB of a range of PASIDs", make_range_tlb, end_tlb, NULL},
    {"message store", make_store, end_store, NULL},
    {"fault queue with notices", make_fault_queue, end_fault_queue, NULL},
    {"fault queue of a device in software", make_software_queue, end_fault_queue, NULL},
    {"descriptor of a fault queue", make_fault_descriptor, renew_fault_queue, prepare_fault_queue},
    {"page-request interface", make_interface, end_interface, NULL},
    {"page-request queue", make_page_queue, end_page_queue, NULL},
    {"descriptor of a page-request queue", make_page_descriptor, renew_page_queue,
     prepare_page_queue},
};
const uint32_t inject_object_count = sizeof inject_objects / sizeof inject_objects[0];
