/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_routes.c - cases of ownership: whose queue a fault goes to, over the lives of devices,
 * queues and ports.
 */
#include "fault_world.h"
#include "ciommu_interrupts.h"

#define PAGE UINT64_C(4096)

static uint64_t orphans(struct fault_world *world) {
    struct ciommu_statistics statistics = {.size = sizeof statistics};
    ciommu_unit_statistics(world->unit, &statistics);
    return statistics.faults_orphaned;
}

/* The device of the next fault, its flags checked. */
static uint64_t next_device(struct fault_world *world, struct ciommu_fault_queue *queue,
                            uint32_t flags) {
    struct ciommu_fault_record record = fault_next(queue);
    EXPECT_EQUAL(world, record.kind, CIOMMU_RECORD_FAULT);
    const uint32_t looked_at = CIOMMU_FAULT_AMBIGUOUS | CIOMMU_FAULT_UNCLAIMED |
                               CIOMMU_FAULT_HAS_DEVICE | CIOMMU_FAULT_FROM_DEVICE;
    EXPECT_EQUAL(world, record.fault.flags & looked_at, flags);
    return record.fault.device;
}

#define HAS_DEVICE CIOMMU_FAULT_HAS_DEVICE

/* Siblings on one source id get their own; PASIDs of nobody's slice are the parent's. */
static void siblings_get_their_own(struct fault_world *world) {
    struct ciommu_device *parent = fault_parent(world, 1, FAULT_SOURCE);
    struct ciommu_device *first = fault_slice(world, 2, FAULT_SOURCE, 1);
    struct ciommu_device *second = fault_slice(world, 3, FAULT_SOURCE, 2);
    struct ciommu_fault_queue *queues[3] = {fault_queue(world, parent, 10, 0),
                                            fault_queue(world, first, 10, 0),
                                            fault_queue(world, second, 10, 0)};
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_SLICE, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, 2 * FAULT_SLICE, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, 9 * FAULT_SLICE, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, 2 * FAULT_SLICE - 1, 0);
    EXPECT_EQUAL(world, next_device(world, queues[1], HAS_DEVICE), 2);
    EXPECT_EQUAL(world, next_device(world, queues[1], HAS_DEVICE), 2);
    EXPECT_EQUAL(world, next_device(world, queues[2], HAS_DEVICE), 3);
    EXPECT_EQUAL(world, next_device(world, queues[0], HAS_DEVICE), 1);
    EXPECT_EQUAL(world, next_device(world, queues[0], HAS_DEVICE | CIOMMU_FAULT_UNCLAIMED), 1);
    for (uint32_t queue = 0; queue < 3; queue++) {
        fault_expect_nothing(world, queues[queue]);
        ciommu_fault_queue_destroy(queues[queue]);
    }
    (void)ciommu_device_destroy(second, NULL);
    (void)ciommu_device_destroy(first, NULL);
    (void)ciommu_device_destroy(parent, NULL);
}

/* The device's queue, the parent's, the unit's, nobody's. */
static void the_chain_of_queues(struct fault_world *world) {
    struct ciommu_device *slice = fault_slice(world, 2, FAULT_SOURCE, 1);
    struct ciommu_fault_queue *rest = fault_queue(world, NULL, 10, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_SLICE, 0);     /* without a queue */
    (void)fault_make(world, world->port, FAULT_SOURCE, 5 * FAULT_SLICE, 0); /* without a parent */
    (void)fault_make(world, world->port, FAULT_SOURCE + 9, FAULT_NONE, 0);  /* without a device */
    EXPECT_EQUAL(world, next_device(world, rest, HAS_DEVICE), 2);
    EXPECT_EQUAL(world, next_device(world, rest, CIOMMU_FAULT_UNCLAIMED), 0);
    EXPECT_EQUAL(world, next_device(world, rest, 0), 0);
    struct ciommu_fault_queue *own = fault_queue(world, slice, 10, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_SLICE, 0);
    EXPECT_EQUAL(world, next_device(world, own, HAS_DEVICE), 2);
    fault_expect_nothing(world, rest);
    ciommu_fault_queue_destroy(rest);
    EXPECT_EQUAL(world, orphans(world), 0);
    struct ciommu_fault fault = fault_make(world, world->port, FAULT_SOURCE + 9, FAULT_NONE, 0);
    EXPECT_EQUAL(world, fault.flags & CIOMMU_FAULT_RECORDED, 0);
    EXPECT_EQUAL(world, orphans(world), 1);
    fault_expect_nothing(world, own);
    struct ciommu_fault_queue *second = NULL;
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    EXPECT_EQUAL(world, ciommu_fault_queue_create(world->unit, slice, &config, &second),
                 CIOMMU_OCCUPIED);
    ciommu_fault_queue_destroy(own);
    (void)ciommu_device_destroy(slice, NULL);
}

/* Two slices that overlap under a policy, a parent, each with a queue. */
static void policy(struct fault_world *world, uint32_t policy, const uint32_t received[3]) {
    struct ciommu_device *devices[3] = {fault_parent(world, 1, FAULT_SOURCE),
                                        fault_shared(world, 2, FAULT_SOURCE, 10, 29, policy),
                                        fault_shared(world, 3, FAULT_SOURCE, 20, 39, policy)};
    struct ciommu_fault_queue *queues[3];
    for (uint32_t device = 0; device < 3; device++) {
        queues[device] = fault_queue(world, devices[device], 10, 0);
    }
    (void)fault_make(world, world->port, FAULT_SOURCE, 10, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, 25, PAGE);
    (void)fault_make(world, world->port, FAULT_SOURCE, 39, 0);
    EXPECT_EQUAL(world, next_device(world, queues[1], HAS_DEVICE), 2);
    for (uint32_t device = 0; device < 3; device++) {
        if (received[device] != 0) {
            EXPECT_EQUAL(world,
                         next_device(world, queues[device], HAS_DEVICE | CIOMMU_FAULT_AMBIGUOUS),
                         device + 1);
        }
    }
    EXPECT_EQUAL(world, next_device(world, queues[2], HAS_DEVICE), 3);
    for (uint32_t device = 0; device < 3; device++) {
        fault_expect_nothing(world, queues[device]);
        ciommu_fault_queue_destroy(queues[device]);
    }
    for (uint32_t device = 3; device-- > 0;) {
        (void)ciommu_device_destroy(devices[device], NULL);
    }
}

static void an_ambiguous_fault_is_the_first_ones(struct fault_world *world) {
    policy(world, CIOMMU_SHARED_PASID_FIRST, (const uint32_t[]){0, 1, 0});
}

static void an_ambiguous_fault_is_everybodys(struct fault_world *world) {
    policy(world, CIOMMU_SHARED_PASID_ALL, (const uint32_t[]){0, 1, 1});
}

static void an_ambiguous_fault_is_the_parents(struct fault_world *world) {
    policy(world, CIOMMU_SHARED_PASID_PARENT, (const uint32_t[]){1, 0, 0});
}

/* Of many candidates, some without a queue: each gets one, at its own queue or the unit's. */
static void everybody_is_everybody(struct fault_world *world) {
    struct ciommu_device *devices[20];
    struct ciommu_fault_queue *queues[20] = {NULL};
    struct ciommu_fault_queue *rest = fault_queue(world, NULL, 100, 0);
    for (uint32_t number = 0; number < 20; number++) {
        devices[number] =
            fault_shared(world, number, FAULT_SOURCE, number, 19, CIOMMU_SHARED_PASID_ALL);
        queues[number] = number % 3 == 0 ? NULL : fault_queue(world, devices[number], 10, 0);
    }
    (void)fault_make(world, world->port, FAULT_SOURCE, 17, PAGE); /* of the first 18 */
    for (uint32_t number = 0; number < 20; number++) {
        struct ciommu_fault_queue *queue = queues[number] != NULL ? queues[number] : rest;
        if (number < 18) {
            EXPECT_EQUAL(world, next_device(world, queue, HAS_DEVICE | CIOMMU_FAULT_AMBIGUOUS),
                         number);
        }
    }
    for (uint32_t number = 0; number < 20; number++) {
        if (queues[number] != NULL) {
            fault_expect_nothing(world, queues[number]);
        }
        ciommu_fault_queue_destroy(queues[number]);
        (void)ciommu_device_destroy(devices[number], NULL);
    }
    fault_expect_nothing(world, rest);
    ciommu_fault_queue_destroy(rest);
}

static void a_device_may_go_before_its_faults(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 10, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, PAGE);
    (void)ciommu_device_destroy(device, NULL);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 2 * PAGE); /* the guest's now */
    device = fault_whole(world, 7, FAULT_SOURCE);                             /* the same id */
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 3 * PAGE);
    struct ciommu_fault_queue *later = fault_queue(world, device, 10, 0);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 4 * PAGE);
    fault_expect_fault(world, queue, 0, PAGE);
    fault_expect_nothing(world, queue);
    fault_expect_fault(world, later, 0, 4 * PAGE);
    fault_expect_nothing(world, later);
    EXPECT_EQUAL(world, orphans(world), 2);
    ciommu_fault_queue_destroy(queue);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 5 * PAGE);
    fault_expect_fault(world, later, 1, 5 * PAGE);
    EXPECT_EQUAL(world, ciommu_unit_destroy(world->unit), CIOMMU_IN_USE);
    (void)ciommu_device_destroy(device, NULL);
    EXPECT_EQUAL(world, ciommu_unit_destroy(world->unit), CIOMMU_IN_USE); /* a queue is left */
    ciommu_fault_queue_destroy(later);
}

static void a_queue_may_go_before_its_faults(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *rest = fault_queue(world, NULL, 100, 0);
    for (uint64_t round = 0; round < 100; round++) {
        struct ciommu_fault_queue *queue = fault_queue(world, device, 10, 0);
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, PAGE);
        ciommu_fault_queue_destroy(queue); /* with the fault in the ring */
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, (round + 2) * PAGE);
        fault_expect_fault(world, rest, round, (round + 2) * PAGE);
    }
    fault_expect_nothing(world, rest);
    ciommu_fault_queue_destroy(rest);
    (void)ciommu_device_destroy(device, NULL);
}

/* A port is given back with faults in its ring, and its next owner fills it further. */
static void a_port_may_go_before_its_faults(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 1000, 0);
    for (uint64_t number = 0; number < 200; number++) {
        struct ciommu_port *port = NULL;
        EXPECT_EQUAL(world, ciommu_port_create(world->unit, &port), CIOMMU_OK);
        (void)fault_make(world, port, FAULT_SOURCE, FAULT_NONE, number * PAGE);
        EXPECT_EQUAL(world, ciommu_port_destroy(port), CIOMMU_OK);
        if (number % 50 == 49) {
            for (uint64_t read = number - 49; read <= number; read++) {
                fault_expect_fault(world, queue, read, read * PAGE);
            }
        }
    }
    fault_expect_nothing(world, queue);
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(device, NULL);
}

/* Without queues the ring is the host's; what is in it when the first queue comes is nobody's. */
static void without_queues_the_ring_is_the_hosts(struct fault_world *world) {
    struct ciommu_fault faults[64];
    uint64_t lost = 0;
    for (uint32_t index = 0; index < 64; index++) {
        faults[index].size = sizeof faults[index];
    }
    for (uint64_t number = 0; number < 70; number++) {
        EXPECT_EQUAL(world, fault_make(world, world->port, 1, FAULT_NONE, number * PAGE).sequence,
                     number);
    }
    EXPECT_EQUAL(world, ciommu_unit_poll(world->unit), UINT64_MAX);
    EXPECT_EQUAL(world, ciommu_port_take_faults(world->port, faults, 40, &lost), 40);
    EXPECT_EQUAL(world, lost, 6);
    EXPECT_EQUAL(world, faults[39].sequence, 39);
    (void)fault_make(world, world->port, 1, FAULT_NONE, 99 * PAGE);
    EXPECT_EQUAL(world, ciommu_port_take_faults(world->port, faults, 64, &lost), 25);
    EXPECT_EQUAL(world, faults[24].sequence, 70);
    EXPECT_EQUAL(world, faults[24].address, 99 * PAGE);
    (void)fault_make(world, world->port, 1, FAULT_NONE, 0);
    struct ciommu_fault_queue *rest = fault_queue(world, NULL, 10, 0);
    (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE);
    fault_expect_fault(world, rest, 0, PAGE);
    EXPECT_EQUAL(world, orphans(world), 1);
    (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE);
    EXPECT_EQUAL(world, ciommu_port_take_faults(world->port, faults, 64, &lost), 1);
    fault_expect_nothing(world, rest); /* it was taken away */
    (void)fault_make(world, world->port, 1, FAULT_NONE, 2 * PAGE);
    fault_expect_fault(world, rest, 1, 2 * PAGE);
    ciommu_fault_queue_destroy(rest);
}

/* A message that remapping blocks is a fault of its device, in order with its DMA. */
static void blocked_interrupts_come_too(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 10, 0);
    EXPECT_EQUAL(
        world, ciommu_unit_set_interrupt_table(world->unit, NULL, UINT64_C(0x100000), true, false),
        CIOMMU_OK);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, PAGE);
    struct ciommu_interrupt interrupt = {.size = sizeof interrupt};
    ciommu_port_enter(world->port);
    EXPECT_EQUAL(world,
                 ciommu_interrupt_remap(world->port, FAULT_SOURCE,
                                        UINT64_C(0xfee00010) | 0x1234 << 5, 0, 0, &interrupt),
                 CIOMMU_OK);
    ciommu_port_leave(world->port);
    EXPECT_EQUAL(world, interrupt.outcome, CIOMMU_INTERRUPT_BLOCKED);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 2 * PAGE);
    fault_expect_fault(world, queue, 0, PAGE);
    struct ciommu_fault_record record = fault_next(queue);
    EXPECT_EQUAL(world, record.fault.request, CIOMMU_REQUEST_INTERRUPT);
    EXPECT_EQUAL(world, record.fault.address, 0x1234);
    EXPECT_EQUAL(world, record.fault.code, interrupt.fault.code);
    EXPECT_EQUAL(world, record.fault.reason, interrupt.fault.reason);
    EXPECT_EQUAL(world, record.fault.device, 7);
    uint64_t words[2];
    EXPECT_EQUAL(world, ciommu_fault_frcd(&record.fault, 48, words), CIOMMU_OK);
    EXPECT_EQUAL(world, words[0], UINT64_C(0x1234) << 48);
    fault_expect_fault(world, queue, 2, 2 * PAGE);
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(device, NULL);
}

const struct fault_named_case fault_route_cases[] = {
    {"siblings get their own", siblings_get_their_own},
    {"the chain of queues", the_chain_of_queues},
    {"an ambiguous fault is the first one's", an_ambiguous_fault_is_the_first_ones},
    {"an ambiguous fault is everybody's", an_ambiguous_fault_is_everybodys},
    {"an ambiguous fault is the parent's", an_ambiguous_fault_is_the_parents},
    {"everybody is everybody", everybody_is_everybody},
    {"blocked interrupts come too", blocked_interrupts_come_too},
    {"a device may go before its faults", a_device_may_go_before_its_faults},
    {"a queue may go before its faults", a_queue_may_go_before_its_faults},
    {"a port may go before its faults", a_port_may_go_before_its_faults},
    {"without queues the ring is the host's", without_queues_the_ring_is_the_hosts},
    {NULL, NULL},
};
