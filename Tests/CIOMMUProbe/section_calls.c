/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * section_calls.c - cases of every call that waits for sections, while one is open: at the deadline
 * it answers CIOMMU_TIMED_OUT, nothing is claimed and nothing is given to anybody else, and when
 * the section ends everything goes on.
 */
#include "section_world.h"

/* ---- Queues of descriptors ---- */

/* An invalidation, and a wait that stores 0x77 at SECTION_STATUS. */
static void fill_queue(uint64_t queue[4]) {
    queue[0] = 2 | 3 << 4 | (uint64_t)SECTION_DOMAIN << 16;
    queue[1] = SECTION_IOVA;
    queue[2] = 5 | 1 << 5 | UINT64_C(0x77) << 32;
    queue[3] = SECTION_STATUS;
}

static void a_wait_completes_nothing(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_SOURCE);
    uint64_t queue[4];
    fill_queue(queue);
    struct ciommu_descriptor_result result = {.size = sizeof result};
    EXPECT(world, ciommu_invalidate_descriptor(world->unit, world->caller, queue, false, &result) ==
                      CIOMMU_TIMED_OUT);
    result = (struct ciommu_descriptor_result){.size = sizeof result};
    EXPECT(world, ciommu_invalidate_descriptor(world->unit, world->caller, queue + 2, false,
                                               &result) == CIOMMU_TIMED_OUT);
    EXPECT(world, result.kind == CIOMMU_DESCRIPTOR_WAIT);
    EXPECT(world, result.port_id == ciommu_port_id(world->port));
    section_release(world);
    EXPECT(world, ciommu_invalidate_descriptor(world->unit, world->caller, queue + 2, false,
                                               &result) == CIOMMU_OK);
    EXPECT(world, result.wait_data == 0x77 && result.wait_address == SECTION_STATUS);
}

static enum ciommu_status apply(struct section_world *world, const uint64_t queue[4],
                                struct ciommu_batch_failure *failure,
                                struct ciommu_batch_result *result) {
    struct ciommu_batch batch = {.size = sizeof batch,
                                 .format = CIOMMU_BATCH_VTD_128,
                                 .entry_length = 16,
                                 .count = 2,
                                 .entries = queue};
    *result =
        (struct ciommu_batch_result){.size = sizeof *result, .capacity = 1, .failures = failure};
    return ciommu_batch_apply(world->unit, world->caller, &batch, NULL, result);
}

static void a_batch_stores_no_status(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_SOURCE);
    uint64_t queue[4];
    fill_queue(queue);
    struct ciommu_batch_failure failure = {0};
    struct ciommu_batch_result result;
    EXPECT(world, apply(world, queue, &failure, &result) == CIOMMU_TIMED_OUT);
    EXPECT(world, result.error == CIOMMU_BATCH_TIMEOUT && result.failed == 1);
    EXPECT(world, (failure.flags & CIOMMU_BATCH_PORT) != 0);
    EXPECT(world, failure.port_id == ciommu_port_id(world->port));
    EXPECT(world, guest_load(&world->ram, SECTION_STATUS) == 0);
    section_release(world);
    EXPECT(world, apply(world, queue, &failure, &result) == CIOMMU_OK);
    EXPECT(world, (guest_load(&world->ram, SECTION_STATUS) & UINT32_MAX) == 0x77);
}

static void an_inner_invalidation_is_late(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_SOURCE);
    struct ciommu_invalidation what = {.size = sizeof what,
                                       .domain = CIOMMU_ANY,
                                       .pasid = CIOMMU_ANY,
                                       .source = CIOMMU_ANY,
                                       .stages = CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND,
                                       .last = UINT64_MAX};
    for (what.kind = CIOMMU_INVALIDATE_CONTEXT; what.kind <= CIOMMU_INVALIDATE_TRANSLATIONS;
         what.kind++) {
        EXPECT(world, ciommu_invalidate(world->unit, NULL, &what) == CIOMMU_TIMED_OUT);
    }
    what.kind = CIOMMU_INVALIDATE_TRANSLATIONS;
    EXPECT(world, ciommu_invalidate(world->unit, world->port, &what) == CIOMMU_IN_SECTION);
    section_release(world);
    EXPECT(world, ciommu_invalidate(world->unit, NULL, &what) == CIOMMU_OK);
}

/* ---- Registers ---- */

static void registers_are_late(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_SOURCE);
    EXPECT(world, ciommu_unit_set_root(world->unit, 0) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_unit_set_translation(world->unit, true) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_unit_set_interrupt_table(world->unit, world->caller, 0, false, false) ==
                      CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_unit_reset(world->unit) == CIOMMU_TIMED_OUT);
    EXPECT(world, section_holds(world));
    section_release(world);
    EXPECT(world, ciommu_unit_reset(world->unit) == CIOMMU_OK);
}

/* ---- Mappings ---- */

static void mappings_are_late(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_HOST_SOURCE);
    uint64_t bitmap = 0;
    uint64_t unmapped = 0;
    EXPECT(world, ciommu_domain_protect(world->domain, world->caller, SECTION_IOVA, TABLE_PAGE,
                                        CIOMMU_READ) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_dirty_start(world->domain, world->caller, 0) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_dirty_read(world->domain, world->caller, SECTION_IOVA, SECTION_DATA_BYTES,
                                    TABLE_PAGE, &bitmap, 0) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_domain_unmap(world->domain, world->caller, SECTION_IOVA, TABLE_PAGE,
                                      &unmapped) == CIOMMU_TIMED_OUT);
    EXPECT(world, unmapped == TABLE_PAGE);
    EXPECT(world, section_holds(world));
    struct ciommu_result found = {.size = sizeof found};
    EXPECT(world,
           ciommu_translate(world->unit, world->caller, SECTION_HOST_SOURCE, CIOMMU_NO_PASID,
                            SECTION_IOVA, CIOMMU_READ, CIOMMU_NO_FAULT, &found) == CIOMMU_OK);
    EXPECT(world, found.outcome == CIOMMU_FAULT); /* for others it is gone */
    /* What waits only for itself is not late. */
    struct ciommu_mapping mapping = {.size = sizeof mapping,
                                     .rights = SECTION_RW,
                                     .iova = SECTION_IOVA,
                                     .length = TABLE_PAGE,
                                     .address = SECTION_DATA};
    EXPECT(world, ciommu_domain_map(world->domain, &mapping) == CIOMMU_OK);
    /* An unmap that finds nothing may follow one that another thread has under way. */
    EXPECT(world, ciommu_domain_unmap(world->domain, world->caller, UINT64_C(1) << 31, TABLE_PAGE,
                                      &unmapped) == CIOMMU_TIMED_OUT);
    section_release(world);
    EXPECT(world, ciommu_domain_unmap(world->domain, world->caller, SECTION_IOVA,
                                      SECTION_DATA_BYTES, &unmapped) == CIOMMU_OK);
    EXPECT(world, unmapped == SECTION_DATA_BYTES);
    EXPECT(world, ciommu_dirty_stop(world->domain, world->caller) == CIOMMU_OK);
}

/* ---- Attachments ---- */

static void attachments_are_late(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_HOST_SOURCE);
    EXPECT(world, ciommu_device_replace(world->device, world->caller, CIOMMU_NO_PASID,
                                        world->other) == CIOMMU_TIMED_OUT);
    EXPECT(world,
           ciommu_device_detach(world->device, world->caller, SECTION_PASID) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_device_attach(world->device, SECTION_PASID, world->other) == CIOMMU_OK);
    EXPECT(world, ciommu_device_reset(world->device, world->caller) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_device_domain(world->device, CIOMMU_NO_PASID) == NULL);
    struct ciommu_pasid_table table = {.size = sizeof table,
                                       .model = CIOMMU_MODEL_VTD,
                                       .levels = 2,
                                       .pasid_bits = 20,
                                       .address = TABLE_PAGE};
    EXPECT(world, ciommu_device_bind(world->device, world->caller, &table) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_device_unbind(world->device, world->caller) == CIOMMU_TIMED_OUT);
    EXPECT(world, section_holds(world));
    section_release(world);
    EXPECT(world, ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domain) == CIOMMU_OK);
    EXPECT(world, ciommu_device_detach(world->device, world->caller, CIOMMU_NO_PASID) == CIOMMU_OK);
}

static void devices_are_late(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_HOST_SOURCE);
    struct ciommu_device_config config = {.size = sizeof config,
                                          .source = SECTION_HOST_SOURCE + 8,
                                          .id = 2,
                                          .share = CIOMMU_SHARE_WHOLE};
    struct ciommu_device *device = NULL;
    EXPECT(world,
           ciommu_device_create(world->unit, world->caller, &config, &device) == CIOMMU_TIMED_OUT);
    EXPECT(world, device != NULL);
    EXPECT(world, ciommu_device_destroy(device, world->caller) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_device_destroy(world->device, world->caller) == CIOMMU_TIMED_OUT);
    world->device = NULL;
    EXPECT(world, section_holds(world));
    section_release(world);
    EXPECT(world, ciommu_unit_drain(world->unit, NULL) == CIOMMU_OK);
}

/* ---- The memory map ---- */

static void memory_is_not_given_back(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_SOURCE);
    unsigned char *fresh = world->ram.host + SECTION_TABLES / 2;
    struct ciommu_memory_range range = {.size = sizeof range,
                                        .rights = SECTION_RW,
                                        .address = SECTION_DATA,
                                        .length = SECTION_DATA_BYTES,
                                        .host = fresh};
    EXPECT(world, ciommu_memory_replace(world->memory, &range) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_memory_remove(world->memory, SECTION_DATA, SECTION_DATA_BYTES) ==
                      CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_memory_drain(world->memory) == CIOMMU_TIMED_OUT);
    EXPECT(world, section_holds(world));
    struct ciommu_result found = {.size = sizeof found};
    ciommu_port_enter(world->caller);
    EXPECT(world,
           ciommu_translate(world->unit, world->caller, SECTION_SOURCE, CIOMMU_NO_PASID,
                            SECTION_IOVA, CIOMMU_READ, CIOMMU_NO_FAULT, &found) == CIOMMU_OK);
    EXPECT(world, found.outcome == CIOMMU_TRANSLATED_OK && found.host == NULL);
    ciommu_port_leave(world->caller);
    EXPECT(world, ciommu_memory_add(world->memory, &range) == CIOMMU_TIMED_OUT);
    section_release(world);
    EXPECT(world, ciommu_memory_drain(world->memory) == CIOMMU_OK);
    EXPECT(world,
           ciommu_memory_remove(world->memory, SECTION_DATA, SECTION_DATA_BYTES) == CIOMMU_OK);
}

/* ---- PASIDs ---- */

static void a_pasid_is_not_reused(struct section_world *world) {
    struct ciommu_namespace *space = NULL;
    uint32_t host = 100;
    EXPECT(world, ciommu_namespace_create(world->unit, 100, 101, &space) == CIOMMU_OK);
    EXPECT(world, ciommu_namespace_bind(space, 1, &host) == CIOMMU_OK);
    section_stop(world, true, SECTION_ASLEEP, SECTION_SOURCE);
    EXPECT(world, ciommu_namespace_unbind(space, world->caller, 1) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_namespace_host(space, 1) == CIOMMU_NO_PASID);
    EXPECT(world, ciommu_namespace_bind(space, 2, &host) == CIOMMU_OCCUPIED);
    host = CIOMMU_NO_PASID;
    EXPECT(world, ciommu_namespace_bind(space, 2, &host) == CIOMMU_OK && host == 101);
    host = CIOMMU_NO_PASID;
    EXPECT(world, ciommu_namespace_bind(space, 3, &host) == CIOMMU_NO_SPACE);
    section_release(world);
    EXPECT(world, ciommu_namespace_bind(space, 3, &host) == CIOMMU_OK && host == 100);
    ciommu_namespace_destroy(space);
}

/* ---- Interrupt messages ---- */

static void a_message_is_not_reused(struct section_world *world) {
    struct ciommu_message_store_config config;
    ciommu_message_store_config_init(&config);
    config.entries = 1;
    struct ciommu_message_store *store = NULL;
    uint32_t index = 0;
    EXPECT(world, ciommu_message_store_create(world->device, &config, &store) == CIOMMU_OK);
    EXPECT(world, ciommu_message_allocate(store, SECTION_PASID, 0, &index) == CIOMMU_OK);
    EXPECT(world, ciommu_message_program(store, NULL, index, 0xfee00000, 1) == CIOMMU_OK);
    EXPECT(world, ciommu_message_arm(store, index) == CIOMMU_OK);
    section_stop(world, true, SECTION_ASLEEP, SECTION_HOST_SOURCE);
    struct ciommu_message_info info = {.size = sizeof info};
    EXPECT(world, ciommu_message_set_pasid(store, world->caller, index, SECTION_PASID + 1) ==
                      CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_message_read_info(store, index, &info) == CIOMMU_OK);
    EXPECT(world, info.pasid == SECTION_PASID && info.state == CIOMMU_MESSAGE_MASKED);
    EXPECT(world, ciommu_message_mask(store, world->caller, index) == CIOMMU_TIMED_OUT);
    EXPECT(world,
           ciommu_message_program(store, world->caller, index, 0xfee00000, 2) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_message_slot_write(store, world->caller, index, CIOMMU_SLOT_DATA, 4, 3,
                                            NULL) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_message_free(store, world->caller, index) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_message_read_info(store, index, &info) == CIOMMU_OK);
    EXPECT(world, info.state == CIOMMU_MESSAGE_RETIRED);
    EXPECT(world, ciommu_message_allocate(store, SECTION_PASID, 0, &index) == CIOMMU_NO_SPACE);
    section_release(world);
    EXPECT(world, ciommu_message_allocate(store, SECTION_PASID, 0, &index) == CIOMMU_OK);
    EXPECT(world, ciommu_message_store_destroy(store, world->caller) == CIOMMU_OK);
}

/* ---- Device-TLBs ---- */

/* A device that is asked. */
struct asked {
    struct ciommu_unit *unit;
    uint32_t times;
};

static void answer(void *context, const struct ciommu_device_tlb_request *request) {
    struct asked *asked = context;
    asked->times++;
    (void)ciommu_device_tlb_answer(asked->unit, request->id, true);
}

/* A device answers, and yet the section is late: nothing is complete. */
static void a_devices_answer_is_not_enough(struct section_world *world) {
    struct asked asked = {world->unit, 0};
    struct ciommu_device_tlb_config config = {.size = sizeof config,
                                              .flags = CIOMMU_DEVICE_TLB_ALL_PASIDS,
                                              .source = SECTION_HOST_SOURCE,
                                              .pfsid = SECTION_HOST_SOURCE,
                                              .queue_depth = 8,
                                              .timeout = UINT64_C(60000000000),
                                              .device = 1,
                                              .handler = answer,
                                              .context = &asked};
    struct ciommu_device_tlb *tlb = NULL;
    EXPECT(world, ciommu_device_tlb_create(world->unit, &config, &tlb) == CIOMMU_OK);
    section_stop(world, true, SECTION_ASLEEP, SECTION_HOST_SOURCE);
    EXPECT(world, ciommu_domain_unmap(world->domain, world->caller, SECTION_IOVA, TABLE_PAGE,
                                      NULL) == CIOMMU_TIMED_OUT);
    EXPECT(world, !ciommu_device_tlb_is_blocked(tlb));
    uint32_t before = asked.times;
    uint32_t port_id = UINT32_MAX;
    EXPECT(world, ciommu_unit_drain(world->unit, &port_id) == CIOMMU_TIMED_OUT);
    EXPECT(world, port_id == ciommu_port_id(world->port));
    section_release(world);
    /* What the section stored late must go too: the device is asked once more. */
    EXPECT(world, ciommu_unit_drain(world->unit, NULL) == CIOMMU_OK);
    EXPECT(world, asked.times > before && before > 0);
    EXPECT(world, ciommu_device_tlb_destroy(tlb, world->caller) == CIOMMU_OK);
}

const struct section_named_case section_call_cases[] = {
    {"a wait descriptor completes nothing", a_wait_completes_nothing},
    {"a batch stores no status and names the port", a_batch_stores_no_status},
    {"inner invalidations are late", an_inner_invalidation_is_late},
    {"changes of registers are late", registers_are_late},
    {"changes of mappings are late", mappings_are_late},
    {"changes of attachments are late", attachments_are_late},
    {"devices come and go late", devices_are_late},
    {"memory is not given back", memory_is_not_given_back},
    {"a host PASID is not reused", a_pasid_is_not_reused},
    {"an interrupt message is not reused", a_message_is_not_reused},
    {"a device's answer is not enough", a_devices_answer_is_not_enough},
    {0},
};
