/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_nothing_more.c - calls that only ask, convert or copy, while every request for memory is
 * refused.
 */
#include "inject_world.h"

#define PASID 24u
#define GUEST 7u /* bound in the world's namespace */
#define GROUP 5u
#define FINE(world, call) EXPECT((world), (call) == CIOMMU_OK)

static void ask_the_unit(struct inject_world *world) {
    struct ciommu_unit_config config;
    struct ciommu_invalidation_statistics counts = {.size = sizeof counts};
    struct ciommu_device_tlb_statistics asked = {.size = sizeof asked};
    ciommu_unit_config_init(&config);
    EXPECT(world, ciommu_capabilities_check(config.cap, config.ecap, config.revision,
                                            config.host_address_width) == NULL);
    EXPECT(world, ciommu_status_text(CIOMMU_NO_MEMORY) != NULL);
    EXPECT(world, ciommu_fault_code_name(0x25) != NULL && ciommu_fault_code_text(0x25) != NULL);
    ciommu_unit_invalidation_statistics(world->unit, &counts);
    EXPECT(world, counts.batches == 1);
    ciommu_device_tlb_read_statistics(world->tlb, &asked);
    EXPECT(world, asked.requests != 0 && asked.open == 0);
    ciommu_unit_set_coarse_timeouts(world->unit, true);
    ciommu_unit_set_coarse_timeouts(world->unit, false);
    EXPECT(world, ciommu_domain_kind(world->nested) == CIOMMU_DOMAIN_NESTED);
    EXPECT(world, ciommu_domain_id(world->nested) == ciommu_domain_id(world->mapped));
    EXPECT(world, ciommu_domain_kind(ciommu_domain_blocked(world->unit)) == CIOMMU_DOMAIN_BLOCKED);
    EXPECT(world,
           ciommu_domain_kind(ciommu_domain_identity(world->unit)) == CIOMMU_DOMAIN_IDENTITY);
}

static void ask_a_port(struct inject_world *world) {
    struct ciommu_result result = {.size = sizeof result};
    struct ciommu_fault fault = {.size = sizeof fault};
    uint64_t words[2] = {0, 0};
    uint64_t value = 99;
    uint64_t done = 0;
    uint64_t lost = 1;
    FINE(world, ciommu_output_write(world->port, INJECT_RAM + 64, &value, sizeof value, &done));
    value = 0;
    FINE(world, ciommu_output_read(world->port, INJECT_RAM + 64, &value, sizeof value, &done));
    EXPECT(world, value == 99 && done == sizeof value);
    value = 0;
    FINE(world, ciommu_output_write(world->port, INJECT_RAM + 64, &value, sizeof value, &done));
    ciommu_port_enter(world->port);
    FINE(world, ciommu_translate(world->unit, world->port, INJECT_WHOLE, CIOMMU_NO_PASID,
                                 INJECT_IOVA, CIOMMU_READ, CIOMMU_TRANSLATION_REQUEST, &result));
    EXPECT(world, ciommu_ats_token_valid(world->port, &result.token));
    ciommu_port_leave(world->port);
    FINE(world, ciommu_translate(world->unit, world->port, INJECT_WHOLE, CIOMMU_NO_PASID, 0x1000,
                                 CIOMMU_READ, CIOMMU_NO_FAULT, &result));
    FINE(world, ciommu_fault_frcd(&result.fault, 48, words));
    EXPECT(world, words[0] == 0x1000);
    (void)ciommu_port_take_faults(world->port, &fault, 1, &lost);
    EXPECT(world, lost == 0);
    (void)ciommu_port_id(world->port); /* returns */
}

static void ask_about_messages(struct inject_world *world) {
    struct ciommu_message_info info = {.size = sizeof info};
    struct ciommu_interrupt interrupt = {.size = sizeof interrupt};
    uint32_t host = ciommu_namespace_host(world->space, GUEST);
    uint32_t index = 0;
    uint64_t value = 1;
    EXPECT(world, ciommu_namespace_guest(world->space, host) == GUEST);
    FINE(world, ciommu_message_allocate_guest(world->store, world->space, GUEST, &index));
    FINE(world, ciommu_message_read_info(world->store, index, &info));
    EXPECT(world, info.guest == GUEST && info.pasid == host);
    FINE(world, ciommu_message_slot_read(world->store, index, CIOMMU_SLOT_DATA, 4, &value));
    EXPECT(world, value == 0);
    FINE(world,
         ciommu_message_set_guest_pasid(world->store, world->port, index, world->space, GUEST));
    FINE(world, ciommu_message_free(world->store, world->port, index));
    FINE(world, ciommu_unit_set_interrupt_table(world->unit, world->port, INJECT_RAM, true, false));
    ciommu_port_enter(world->port);
    FINE(world, ciommu_interrupt_remap(world->port, INJECT_WHOLE, 0xfee00010, 0, CIOMMU_NO_FAULT,
                                       &interrupt));
    ciommu_port_leave(world->port);
    EXPECT(world, interrupt.outcome == CIOMMU_INTERRUPT_BLOCKED);
    FINE(world, ciommu_unit_set_interrupt_table(world->unit, world->port, 0, false, false));
}

static void hear(void *context, const struct ciommu_page_answer *answer) {
    (void)answer;
    ++*(uint32_t *)context;
}

static void ask_about_pages(struct inject_world *world) {
    const struct ciommu_page_request request = {
        .size = sizeof request,
        .pasid = PASID,
        .address = INJECT_IOVA,
        .access = CIOMMU_READ,
        .group = GROUP,
        .flags = CIOMMU_PAGE_LAST,
    };
    const struct ciommu_page asked = {.address = INJECT_IOVA, .access = CIOMMU_READ};
    struct ciommu_page page;
    struct ciommu_page_group group = {.size = sizeof group, .capacity = 1, .pages = &page};
    struct ciommu_page_interface_statistics counts = {.size = sizeof counts};
    uint64_t words[4] = {0};
    const uint64_t response[4] = {9}; /* a page-group response */
    uint32_t numbers[3] = {1, 1, 1};
    uint32_t heard = 0;
    enum ciommu_page_code code = CIOMMU_PAGE_FAILURE;
    ciommu_page_descriptor(INJECT_WHOLE, &request, words);
    EXPECT(world, (words[1] & ~UINT64_C(4095)) == INJECT_IOVA);
    FINE(world,
         ciommu_page_response_decode(response, &numbers[0], &numbers[1], &numbers[2], &code));
    EXPECT(world, numbers[0] == 0 && code == CIOMMU_PAGE_SUCCESS);
    FINE(world, ciommu_page_request(world->interface, world->port, &request));
    FINE(world, ciommu_page_read(world->pages, &group));
    FINE(world, ciommu_page_respond_by_group(world->pages, INJECT_WHOLE, PASID, GROUP,
                                             CIOMMU_PAGE_SUCCESS));
    FINE(world,
         ciommu_page_request_group(world->interface, world->port, PASID, &asked, 1, hear, &heard));
    FINE(world, ciommu_page_read(world->pages, &group));
    FINE(world, ciommu_page_respond(world->pages, group.cookie, CIOMMU_PAGE_SUCCESS));
    EXPECT(world, heard == 1);
    ciommu_page_interface_read_statistics(world->interface, &counts);
    EXPECT(world, counts.groups == 2 && counts.open == 0);
    EXPECT(world, !ciommu_page_queue_overflowed(world->pages));
    ciommu_page_queue_acknowledge(world->pages);
}

void inject_ask_without_memory(struct inject_world *world) {
    ask_the_unit(world);
    ask_a_port(world);
    ask_about_messages(world);
    ask_about_pages(world);
}
