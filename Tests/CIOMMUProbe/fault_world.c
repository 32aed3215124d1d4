/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_world.c - see fault_world.h; and the list of cases.
 */
#include "fault_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void fault_expect(struct probe_fault_result *result, bool fine, const char *what) {
    if (!fine && result->failures++ == 0) {
        (void)snprintf(result->first, sizeof result->first, "not: %s", what);
    }
}

void fault_expect_equal(struct probe_fault_result *result, uint64_t found, uint64_t wanted,
                        const char *what) {
    if (found != wanted && result->failures++ == 0) {
        (void)snprintf(result->first, sizeof result->first,
                       "%" PRIu64 " instead of %" PRIu64 ": %s", found, wanted, what);
    }
}

bool fault_world_create(struct fault_world *world, uint32_t ring, uint32_t ports) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.fault_entries = ring;
    config.ports = ports;
    config.pool_ports = 1;
    config.iotlb_entries = 0;
    config.domains = 16;
    config.drain_timeout = UINT64_C(60000000000);
    return ciommu_memory_create(&world->memory) == CIOMMU_OK &&
           ciommu_unit_create(&config, world->memory, &world->unit) == CIOMMU_OK &&
           ciommu_unit_set_translation(world->unit, true) == CIOMMU_OK &&
           ciommu_port_create(world->unit, &world->port) == CIOMMU_OK;
}

void fault_world_destroy(struct fault_world *world) {
    EXPECT_EQUAL(world, ciommu_port_destroy(world->port), CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_unit_destroy(world->unit), CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_memory_destroy(world->memory), CIOMMU_OK);
}

static struct ciommu_device *make(struct fault_world *world,
                                  const struct ciommu_device_config *config) {
    struct ciommu_device *device = NULL;
    EXPECT_EQUAL(world, ciommu_device_create(world->unit, NULL, config, &device), CIOMMU_OK);
    return device;
}

struct ciommu_device *fault_whole(struct fault_world *world, uint64_t id, uint32_t source) {
    const struct ciommu_device_config config = {
        .size = sizeof config, .source = source, .id = id, .share = CIOMMU_SHARE_WHOLE};
    return make(world, &config);
}

struct ciommu_device *fault_parent(struct fault_world *world, uint64_t id, uint32_t source) {
    const struct ciommu_device_config config = {
        .size = sizeof config, .source = source, .id = id, .share = CIOMMU_SHARE_PARENT};
    return make(world, &config);
}

struct ciommu_device *fault_shared(struct fault_world *world, uint64_t id, uint32_t source,
                                   uint32_t first, uint32_t last, uint32_t policy) {
    const struct ciommu_device_config config = {
        .size = sizeof config,
        .source = source,
        .id = id,
        .share = CIOMMU_SHARE_SLICE,
        .policy = policy,
        .first_pasid = first,
        .last_pasid = last,
    };
    return make(world, &config);
}

struct ciommu_device *fault_slice(struct fault_world *world, uint64_t id, uint32_t source,
                                  uint32_t number) {
    return fault_shared(world, id, source, number * FAULT_SLICE,
                        number * FAULT_SLICE + FAULT_SLICE - 1, CIOMMU_SHARED_PASID_REFUSED);
}

struct ciommu_fault_queue *fault_queue(struct fault_world *world, struct ciommu_device *device,
                                       uint32_t quota, uint32_t flags) {
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    config.quota = quota;
    config.flags = flags;
    struct ciommu_fault_queue *queue = NULL;
    EXPECT_EQUAL(world, ciommu_fault_queue_create(world->unit, device, &config, &queue), CIOMMU_OK);
    return queue;
}

struct ciommu_fault fault_make(struct fault_world *world, struct ciommu_port *port, uint32_t source,
                               uint32_t pasid, uint64_t address) {
    struct ciommu_result result = {.size = sizeof result};
    EXPECT_EQUAL(
        world, ciommu_translate(world->unit, port, source, pasid, address, CIOMMU_READ, 0, &result),
        CIOMMU_OK);
    EXPECT_EQUAL(world, result.outcome, CIOMMU_FAULT);
    return result.fault;
}

struct ciommu_fault_record fault_next(struct ciommu_fault_queue *queue) {
    struct ciommu_fault_record record = {.size = sizeof record};
    (void)ciommu_fault_read(queue, &record, 1);
    return record;
}

void fault_expect_fault(struct fault_world *world, struct ciommu_fault_queue *queue,
                        uint64_t sequence, uint64_t address) {
    struct ciommu_fault_record record = fault_next(queue);
    EXPECT_EQUAL(world, record.kind, CIOMMU_RECORD_FAULT);
    EXPECT_EQUAL(world, record.sequence, sequence);
    EXPECT_EQUAL(world, record.count, 1);
    EXPECT_EQUAL(world, record.fault.address, address);
    EXPECT_EQUAL(world, record.fault.sequence, sequence);
}

void fault_expect_loss(struct fault_world *world, struct ciommu_fault_queue *queue,
                       uint64_t sequence, uint64_t count) {
    struct ciommu_fault_record record = fault_next(queue);
    EXPECT_EQUAL(world, record.kind, CIOMMU_RECORD_LOSS);
    EXPECT_EQUAL(world, record.sequence, sequence);
    EXPECT_EQUAL(world, record.count, count);
}

void fault_expect_nothing(struct fault_world *world, struct ciommu_fault_queue *queue) {
    EXPECT_EQUAL(world, fault_next(queue).kind, 0);
}

/* ---- The list ---- */

static const struct fault_named_case *const lists[] = {
    fault_queue_cases, fault_route_cases, fault_wake_cases, fault_codec_cases, fault_inject_cases};

static const struct fault_named_case *case_at(uint32_t number) {
    for (uint32_t list = 0; list < sizeof lists / sizeof *lists; list++) {
        for (uint32_t index = 0; lists[list][index].name != NULL; index++) {
            if (number-- == 0) {
                return &lists[list][index];
            }
        }
    }
    return NULL;
}

uint32_t probe_fault_count(void) {
    uint32_t count = 0;
    while (case_at(count) != NULL) {
        count++;
    }
    return count;
}

const char *probe_fault_name(uint32_t number) {
    const struct fault_named_case *found = case_at(number);
    return found == NULL ? "" : found->name;
}

void probe_fault_case(uint32_t number, struct probe_fault_result *result) {
    memset(result, 0, sizeof *result);
    const struct fault_named_case *found = case_at(number);
    struct fault_world world = {.result = result};
    if (found == NULL || !fault_world_create(&world, 64, 8)) {
        fault_expect(result, false, "there is such a case, and a world");
        return;
    }
    found->run(&world);
    fault_world_destroy(&world);
}
