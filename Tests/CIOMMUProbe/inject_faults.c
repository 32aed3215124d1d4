/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_faults.c - the descriptor of a fault queue is full, and stays full: the event thread is
 * not held up, and no record is lost.
 */
#define _GNU_SOURCE
#include "fault_world.h"
#include "harness.h"

#include <poll.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define LONG 20000 /* milliseconds that nothing takes */
#define FULL UINT64_C(0xfffffffffffffffe)

static bool is_readable(int descriptor, int milliseconds) {
    struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
    return poll(&wanted, 1, milliseconds) == 1;
}

static bool fill(int descriptor) {
    const uint64_t word = FULL;
    return write(descriptor, &word, sizeof word) == sizeof word;
}

static void others_are_noticed(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *full = fault_queue(world, device, 16, 0);
    struct ciommu_fault_queue *rest = fault_queue(world, NULL, 16, 0);
    int descriptors[2] = {-1, -1};
    EXPECT_EQUAL(world, ciommu_fault_queue_fd(full, &descriptors[0]), CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_fault_queue_fd(rest, &descriptors[1]), CIOMMU_OK);
    EXPECT(world, fill(descriptors[0]));
    for (uint32_t number = 0; number < 20; number++) {
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, number * PAGE);
        (void)fault_make(world, world->port, 1, FAULT_NONE, number * PAGE);
        EXPECT(world, is_readable(descriptors[1], LONG));
        fault_expect_fault(world, rest, number, number * PAGE);
    }
    for (uint32_t number = 0; number < 16; number++) {
        fault_expect_fault(world, full, number, number * PAGE);
    }
    fault_expect_loss(world, full, 16, 4); /* over its quota */
    fault_expect_nothing(world, full);
    ciommu_fault_queue_destroy(full);
    ciommu_fault_queue_destroy(rest);
    (void)ciommu_device_destroy(device, NULL);
}

const struct fault_named_case fault_inject_cases[] = {
    {"a full descriptor leaves the others alone", others_are_noticed},
    {NULL, NULL},
};
