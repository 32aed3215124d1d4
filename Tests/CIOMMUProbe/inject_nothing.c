/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_nothing.c - see inject_probe.h: calls that need no memory, in the order of a life.
 */
#include "inject_world.h"
#include "domain_probe.h"

#include <stdlib.h>
#include <string.h>

#define RW (CIOMMU_READ | CIOMMU_WRITE)
#define LENGTH (INJECT_PAGES * INJECT_PAGE)
#define ASKING 24u /* the PASID whose pages are asked for */
#define FINE(world, call) EXPECT((world), (call) == CIOMMU_OK)

/* ---- Requests ---- */

static void translate(struct inject_world *world) {
    struct ciommu_result result = {.size = sizeof result};
    struct ciommu_result results[2] = {{.size = sizeof result}, {.size = sizeof result}};
    struct ciommu_segment segments[4];
    struct ciommu_step steps[16];
    struct ciommu_progress progress = {.size = sizeof progress};
    uint32_t count = 0;
    const struct ciommu_request requests[2] = {
        {INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA, 4, CIOMMU_READ, 0},
        {INJECT_SHARED, INJECT_PASID, INJECT_IOVA + INJECT_PAGE, 4, CIOMMU_WRITE, 0},
    };
    FINE(world, ciommu_translate(world->unit, NULL, INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA,
                                 CIOMMU_READ, 0, &result));
    EXPECT(world, result.outcome == CIOMMU_TRANSLATED_OK && result.address == INJECT_RAM);
    FINE(world, ciommu_translate(world->unit, world->port, INJECT_FREE, CIOMMU_NO_PASID,
                                 INJECT_IOVA, CIOMMU_READ, 0, &result));
    EXPECT(world, result.outcome == CIOMMU_FAULT); /* through the guest's root table */
    FINE(world, ciommu_trace(world->unit, world->port, INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA,
                             CIOMMU_READ, 0, steps, 16, &count, &result));
    ciommu_port_enter(world->port);
    FINE(world, ciommu_translate_batch(world->port, requests, results, 2, &count));
    EXPECT(world, count == 2 && results[1].address == INJECT_RAM + INJECT_PAGE);
    FINE(world, ciommu_translate_range(world->port, &requests[0], segments, 4, &progress));
    EXPECT(world, progress.done == 4 && progress.segments == 1);
    ciommu_port_leave(world->port);
}

static void copy(struct inject_world *world) {
    struct ciommu_request request = {
        INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA + 16, 8, CIOMMU_WRITE, 0};
    struct ciommu_progress progress = {.size = sizeof progress};
    uint64_t value = 77;
    bool exchanged = false;
    FINE(world, ciommu_write(world->port, &request, &value, &progress));
    request.access = RW;
    FINE(world, ciommu_compare_exchange(world->port, &request, &value, 78, &exchanged, &progress));
    EXPECT(world, exchanged);
    request.access = CIOMMU_READ;
    FINE(world, ciommu_read(world->port, &request, &value, &progress));
    EXPECT(world, value == 78);
}

/* ---- Invalidations ---- */

static void invalidate(struct inject_world *world) {
    struct ciommu_invalidation what = {.size = sizeof what,
                                       .domain = CIOMMU_ANY,
                                       .pasid = CIOMMU_ANY,
                                       .source = CIOMMU_ANY,
                                       .stages = CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND,
                                       .last = UINT64_MAX};
    for (what.kind = CIOMMU_INVALIDATE_CONTEXT; what.kind <= CIOMMU_INVALIDATE_DEVICE_TLB;
         what.kind++) {
        FINE(world, ciommu_invalidate(world->unit, world->port, &what));
    }
    const uint64_t words[4] = {1 | UINT64_C(1) << 4}; /* context cache, global */
    struct ciommu_descriptor_result one = {.size = sizeof one};
    struct ciommu_batch_result many = {.size = sizeof many};
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_128,
        .entry_length = 16,
        .count = 2,
        .entries = (const uint64_t[]){words[0], 0, words[0], 0},
    };
    FINE(world, ciommu_invalidate_descriptor(world->unit, world->port, words, false, &one));
    FINE(world, ciommu_batch_apply(world->unit, world->port, &batch, NULL, &many));
    EXPECT(world, many.handled == 2);
    FINE(world, ciommu_nested_invalidate(world->nested, world->port, 0, UINT64_MAX, false));
    FINE(world, ciommu_device_tlb_retry(world->tlb, world->port));
    FINE(world, ciommu_device_tlb_reset(world->tlb, world->port));
    FINE(world, ciommu_unit_drain(world->unit, NULL));
    FINE(world, ciommu_memory_drain(world->memory));
}

/* ---- Messages, faults, pages ---- */

static void interrupt(struct inject_world *world) {
    struct ciommu_delivery delivery = {.size = sizeof delivery};
    bool pending = false;
    uint32_t index = 0;
    FINE(world, ciommu_message_allocate(world->store, 1, 0, &index));
    FINE(world, ciommu_message_program(world->store, world->port, index, 0xfee00000, 0x41));
    FINE(world, ciommu_message_arm(world->store, index));
    ciommu_port_enter(world->port);
    FINE(world, ciommu_message_deliver(world->port, world->store, index, 1, &delivery));
    ciommu_port_leave(world->port);
    EXPECT(world, delivery.outcome == CIOMMU_MESSAGE_DELIVER);
    FINE(world, ciommu_message_mask(world->store, world->port, index));
    FINE(world, ciommu_message_unmask(world->store, index, &pending));
    FINE(world, ciommu_message_set_pasid(world->store, world->port, index, 2));
    FINE(world, ciommu_message_slot_write(world->store, world->port, index, CIOMMU_SLOT_DATA, 4,
                                          0x42, &pending));
    FINE(world, ciommu_message_free(world->store, world->port, index));
}

static void fault(struct inject_world *world) {
    struct ciommu_result result = {.size = sizeof result};
    struct ciommu_fault_record records[4] = {{.size = sizeof records[0]}};
    struct ciommu_fault own = {
        .size = sizeof own, .reason = CIOMMU_FAULT_NOT_PRESENT, .source = INJECT_WHOLE};
    own.pasid = CIOMMU_NO_PASID;
    for (uint32_t record = 1; record < 4; record++) {
        records[record].size = sizeof records[0];
    }
    FINE(world, ciommu_translate(world->unit, world->port, INJECT_WHOLE, CIOMMU_NO_PASID, 0x1000,
                                 CIOMMU_READ, 0, &result));
    FINE(world, ciommu_fault_report(world->faults, &own));
    EXPECT(world, ciommu_fault_read(world->faults, records, 4) == 2);
    EXPECT(world, records[0].fault.address == 0x1000);
    EXPECT(world, (records[1].fault.flags & CIOMMU_FAULT_FROM_DEVICE) != 0);
}

static void ask_for_pages(struct inject_world *world) {
    const struct ciommu_page_request request = {
        .size = sizeof request,
        .pasid = ASKING,
        .address = INJECT_IOVA,
        .access = CIOMMU_READ,
        .flags = CIOMMU_PAGE_LAST,
    };
    struct ciommu_page page;
    struct ciommu_page_group group = {.size = sizeof group, .capacity = 1, .pages = &page};
    FINE(world, ciommu_page_request(world->interface, world->port, &request));
    FINE(world, ciommu_page_read(world->pages, &group));
    FINE(world, ciommu_page_respond(world->pages, group.cookie, CIOMMU_PAGE_SUCCESS));
    FINE(world, ciommu_page_request(world->interface, world->port, &request));
    (void)ciommu_unit_poll(world->unit);
    ciommu_page_queue_close(world->pages); /* answers what is open */
    ciommu_page_interface_close(world->interface);
}

/* ---- Ends ---- */

static void take_apart(struct inject_world *world) {
    uint64_t bitmap[1] = {0};
    uint64_t unmapped = 0;
    FINE(world, ciommu_dirty_start(world->mapped, world->port, 0));
    FINE(world,
         ciommu_dirty_read(world->mapped, world->port, INJECT_IOVA, LENGTH, 4096, bitmap, 0));
    FINE(world, ciommu_dirty_stop(world->mapped, world->port));
    FINE(world, ciommu_domain_protect(world->mapped, world->port, INJECT_IOVA, LENGTH, 1));
    FINE(world, ciommu_domain_unmap(world->mapped, world->port, INJECT_IOVA, LENGTH, &unmapped));
    EXPECT(world, unmapped == LENGTH);
    FINE(world, ciommu_device_detach(world->slice, world->port, INJECT_PASID));
    FINE(world, ciommu_device_reset(world->whole, world->port));
    FINE(world, ciommu_namespace_unbind(world->space, world->port, 7));
    FINE(world, ciommu_unit_set_root(world->unit, INJECT_RAM));
    FINE(world, ciommu_unit_reset(world->unit));
}

void probe_inject_nothing(struct probe_inject_result *result) {
    struct inject_world *world = calloc(1, sizeof *world);
    if (world != NULL && inject_world_make(world, result)) {
        FINE(world, ciommu_device_attach(world->whole, ASKING, world->other));
        (void)probe_allocations(0);
        translate(world);
        copy(world);
        invalidate(world);
        interrupt(world);
        fault(world);
        inject_ask_without_memory(world);
        ask_for_pages(world);
        take_apart(world);
        inject_world_unmake(world);
        (void)probe_allocations(-1);
    }
    free(world);
}
