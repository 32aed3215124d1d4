/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * isolation_events.c - faults, page requests and interrupts of the devices, what their hosts read
 * of them, and what must hold when all is over; see isolation_world.h.
 */
#include "harness.h"
#include "isolation_world.h"

void iso_make_fault(struct ciommu_port *port, struct iso_device *device, uint64_t random) {
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status =
        ciommu_translate(device->world->guests[device->guest].unit, port, device->source,
                         device->points[random % ISO_POINTS].pasid,
                         iso_tag(device) + (random >> 8) % ISO_PAGE, CIOMMU_READ, 0, &result);
    if (status != CIOMMU_OK || result.outcome != CIOMMU_FAULT) {
        device->world->complain(device->world, "no fault (device, status, outcome)", device->id,
                                status, result.outcome);
    }
    (void)__atomic_fetch_add(&device->faulted, 1, __ATOMIC_RELAXED);
}

/* How often a point's group is asked for, and not answered yet. */
static uint32_t *outstanding(struct iso_device *device, uint32_t pasid, uint32_t group) {
    return &device->groups[pasid - device->first][group];
}

void iso_ask_for_page(struct iso_device *device, uint64_t random) {
    const struct ciommu_page_request request = {
        .size = sizeof request,
        .pasid = device->points[random % ISO_POINTS].pasid,
        .address = iso_tag(device),
        .access = CIOMMU_READ,
        .group = (uint32_t)(random >> 8) % ISO_GROUPS,
        .flags = CIOMMU_PAGE_LAST,
    };
    uint32_t *waiting = outstanding(device, request.pasid, request.group);
    (void)__atomic_fetch_add(waiting, 1, __ATOMIC_SEQ_CST);
    enum ciommu_status status = ciommu_page_request(device->pages, NULL, &request);
    if (status == CIOMMU_OK) {
        (void)__atomic_fetch_add(&device->asked, 1, __ATOMIC_RELAXED);
        return;
    }
    (void)__atomic_fetch_sub(waiting, 1, __ATOMIC_SEQ_CST);
    if (status != CIOMMU_NO_SPACE) {
        device->world->complain(device->world, "page request (device, status)", device->id, status,
                                0);
    }
}

void iso_hear(void *context, const struct ciommu_page_answer *answer) {
    struct iso_device *device = context;
    (void)__atomic_fetch_add(&device->answered, 1, __ATOMIC_RELAXED);
    bool mine = answer->device == device->id && answer->source == device->source &&
                answer->pasid - device->first < ISO_POINTS && answer->group < ISO_GROUPS &&
                __atomic_fetch_sub(outstanding(device, answer->pasid, answer->group), 1,
                                   __ATOMIC_SEQ_CST) > 0;
    if (!mine) {
        device->world->complain(device->world, "an answer not asked for (device, pasid, group)",
                                device->id, answer->pasid, answer->group);
    }
}

/* With its own PASID a slice may raise its message, with a sibling's it may not. */
void iso_raise_message(struct ciommu_port *port, struct iso_device *device, uint64_t random) {
    bool own = random % 2 == 0;
    uint32_t pasid = own ? device->first : ISO_SLICE * (1 + (uint32_t)(random >> 8) % 4);
    own = pasid == device->first;
    struct ciommu_delivery delivery = {.size = sizeof delivery};
    enum ciommu_status status = ciommu_message_deliver(port, device->messages, 0, pasid, &delivery);
    bool mine = delivery.interrupt.data == (uint32_t)device->id &&
                delivery.interrupt.address == (UINT64_C(0xfee00000) | device->id << 12);
    bool fine = own ? (delivery.outcome == CIOMMU_MESSAGE_DELIVER && mine) ||
                          delivery.outcome == CIOMMU_MESSAGE_IS_MASKED
                    : delivery.outcome == CIOMMU_MESSAGE_WRONG_PASID;
    if (status != CIOMMU_OK || !fine) {
        device->world->complain(device->world, "a message (device, pasid, outcome)", device->id,
                                pasid, delivery.outcome);
    }
    (void)__atomic_fetch_add(own ? &device->raised : &device->foreign_raises, 1, __ATOMIC_RELAXED);
}

/* ---- Queues ---- */

void iso_read_faults(struct iso_device *device) {
    struct ciommu_fault_record records[16];
    uint32_t count;
    do {
        for (uint32_t index = 0; index < 16; index++) {
            records[index].size = sizeof records[index];
        }
        count = ciommu_fault_read(device->faults, records, 16);
        for (uint32_t index = 0; index < count; index++) {
            const struct ciommu_fault *fault = &records[index].fault;
            device->told += records[index].count;
            if (records[index].kind == CIOMMU_RECORD_FAULT &&
                (fault->device != device->id || fault->source != device->source ||
                 fault->address - iso_tag(device) >= ISO_PAGE)) {
                device->world->complain(device->world, "another device's fault (mine, its, where)",
                                        device->id, fault->device, fault->address);
            }
        }
    } while (count == 16);
}

/* The device that asked named itself in the address; it is this guest's, and this queue's domain is
 * attached to its point: what was asked before is cancelled by the thread that reads here. */
static void judge_group(struct iso_guest *guest, uint32_t domain,
                        const struct ciommu_page_group *group) {
    uint64_t number = group->device - 1 - guest->number * ISO_DEVICES;
    struct iso_device *device = number < ISO_DEVICES ? &guest->devices[number] : NULL;
    if (device == NULL || group->count != 1 || group->source != device->source ||
        group->pages[0].address != iso_tag(device) || group->pasid - device->first >= ISO_POINTS) {
        guest->world->complain(guest->world, "another guest's page request", guest->number,
                               group->device, group->pages[0].address);
        return;
    }
    device->served++;
    uint32_t state = iso_state(&device->points[group->pasid - device->first]);
    if (state != domain) {
        guest->world->complain(guest->world, "another domain's page request (device, its, here)",
                               device->id, state, domain);
    }
}

void iso_answer_pages(struct iso_guest *guest) {
    for (uint32_t domain = 0; domain < ISO_NESTED; domain++) {
        struct ciommu_page pages[4];
        struct ciommu_page_group group = {.size = sizeof group, .capacity = 4, .pages = pages};
        while (ciommu_page_read(guest->queues[domain], &group) == CIOMMU_OK) {
            judge_group(guest, domain, &group);
            (void)ciommu_page_respond(guest->queues[domain], group.cookie, CIOMMU_PAGE_SUCCESS);
        }
    }
}

static void check_device(struct iso_device *device) {
    struct iso_world *world = device->world;
    iso_read_faults(device);
    if (device->told != device->faulted) {
        world->complain(world, "faults (device, told, made)", device->id, device->told,
                        device->faulted);
    }
    if (!device->sliced) {
        return;
    }
    struct ciommu_message_statistics counts = {.size = sizeof counts};
    ciommu_message_read_statistics(device->messages, &counts);
    if (counts.wrong_pasid != device->foreign_raises) {
        world->complain(world, "raises with foreign PASIDs (device, told, made)", device->id,
                        counts.wrong_pasid, device->foreign_raises);
    }
    if (device->answered != device->asked) {
        world->complain(world, "groups (device, answered, asked)", device->id, device->answered,
                        device->asked);
    }
    for (uint32_t group = 0; group < ISO_POINTS * ISO_GROUPS; group++) {
        if (device->groups[group / ISO_GROUPS][group % ISO_GROUPS] != 0) {
            world->complain(world, "a group without its answer (device, point, group)", device->id,
                            group / ISO_GROUPS, group % ISO_GROUPS);
        }
    }
}

void iso_world_check(struct iso_world *world) {
    for (uint32_t number = 0; number < ISO_GUESTS; number++) {
        struct iso_guest *guest = &world->guests[number];
        iso_answer_pages(guest);
        for (uint32_t device = 0; device < ISO_DEVICES; device++) {
            check_device(&guest->devices[device]);
        }
        for (uint32_t word = 0; word < ISO_DOMAINS * ISO_PAGES * 512; word++) {
            uint32_t domain = word / 512 / ISO_PAGES;
            uint64_t found = iso_host(guest, 0, 0)[word];
            if (!iso_may_hold(number, domain, word / 512 % ISO_PAGES, word % 512, found)) {
                world->complain(world, "a page was written by others (guest, word, found)", number,
                                word, found);
            }
        }
    }
}
