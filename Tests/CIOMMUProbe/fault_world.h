/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_world.h - a unit whose devices have nothing attached, so that every request faults; and
 * checks that are counted.
 */
#ifndef PROBE_FAULT_WORLD_H
#define PROBE_FAULT_WORLD_H

#include "fault_probe.h"
#include "ciommu_faults.h"

#define FAULT_SOURCE 0x100u /* source ids begin here */
#define FAULT_SLICE 16u     /* PASIDs of a slice */
#define FAULT_NONE CIOMMU_NO_PASID

struct fault_world {
    struct probe_fault_result *result;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
};

/* Counts a failed expectation; the first one is kept. */
void fault_expect(struct probe_fault_result *result, bool fine, const char *what);
void fault_expect_equal(struct probe_fault_result *result, uint64_t found, uint64_t wanted,
                        const char *what);
#define EXPECT(world, condition) fault_expect((world)->result, (condition), #condition)
#define EXPECT_EQUAL(world, found, wanted)                                                         \
    fault_expect_equal((world)->result, (uint64_t)(found), (uint64_t)(wanted), #found)

/* A unit with `ring` fault entries a port, and one port. */
bool fault_world_create(struct fault_world *world, uint32_t ring, uint32_t ports);
void fault_world_destroy(struct fault_world *world);

/* Devices: the whole source id, its parent, the n-th slice of FAULT_SLICE PASIDs, or any slice. */
struct ciommu_device *fault_whole(struct fault_world *world, uint64_t id, uint32_t source);
struct ciommu_device *fault_parent(struct fault_world *world, uint64_t id, uint32_t source);
struct ciommu_device *fault_slice(struct fault_world *world, uint64_t id, uint32_t source,
                                  uint32_t number);
struct ciommu_device *fault_shared(struct fault_world *world, uint64_t id, uint32_t source,
                                   uint32_t first, uint32_t last, uint32_t policy);

/* A queue of a device (NULL: the unit's) without notices. */
struct ciommu_fault_queue *fault_queue(struct fault_world *world, struct ciommu_device *device,
                                       uint32_t quota, uint32_t flags);

/* One request that faults; its fault. */
struct ciommu_fault fault_make(struct fault_world *world, struct ciommu_port *port, uint32_t source,
                               uint32_t pasid, uint64_t address);

/* Reads one record; kind 0 when there is none. */
struct ciommu_fault_record fault_next(struct ciommu_fault_queue *queue);

/* The next record must be a fault at `address`, or a loss of `count`, with number `sequence`. */
void fault_expect_fault(struct fault_world *world, struct ciommu_fault_queue *queue,
                        uint64_t sequence, uint64_t address);
void fault_expect_loss(struct fault_world *world, struct ciommu_fault_queue *queue,
                       uint64_t sequence, uint64_t count);
void fault_expect_nothing(struct fault_world *world, struct ciommu_fault_queue *queue);

typedef void (*fault_case)(struct fault_world *world);

/* fault_queues.c, fault_routes.c, fault_wakes.c, fault_codec.c, inject_faults.c */
struct fault_named_case {
    const char *name;
    fault_case run;
};
extern const struct fault_named_case fault_queue_cases[];
extern const struct fault_named_case fault_route_cases[];
extern const struct fault_named_case fault_wake_cases[];
extern const struct fault_named_case fault_codec_cases[];
extern const struct fault_named_case fault_inject_cases[];

#endif
