/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cost.c - see cost.h. A miss ends the program: only hits of the first level are measured.
 */
#include "cost.h"

#include <ciommu_domains.h>
#include <ciommu_inline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE UINT64_C(4096)
#define CHECK(call) must_be_ok((call), #call)

struct cost_world {
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    struct ciommu_device *device;
    struct ciommu_domain *domain;
    void *ram;
};

static void must_be_ok(enum ciommu_status status, const char *what) {
    if (status != CIOMMU_OK) {
        fprintf(stderr, "%s: %s\n", what, ciommu_status_text(status));
        exit(1);
    }
}

static __attribute__((noinline, cold)) void fail(void) {
    fputs("a translation that was to be a hit\n", stderr);
    exit(1);
}

struct cost_world *cost_world_create(void) {
    struct cost_world *world = calloc(1, sizeof *world);
    void *ram = aligned_alloc(PAGE, COST_PAGES * PAGE);
    if (world == NULL || ram == NULL) {
        fail();
    }
    memset(ram, 1, COST_PAGES * PAGE);
    world->ram = ram;
    CHECK(ciommu_memory_create(&world->memory));
    const struct ciommu_memory_range range = {.size = sizeof range,
                                              .rights = 3,
                                              .address = COST_OUTPUT,
                                              .length = COST_PAGES * PAGE,
                                              .host = ram};
    CHECK(ciommu_memory_add(world->memory, &range));
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    CHECK(ciommu_unit_create(&config, world->memory, &world->unit));
    const struct ciommu_device_config device = {
        .size = sizeof device, .source = COST_SOURCE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    CHECK(ciommu_device_create(world->unit, NULL, &device, &world->device));
    struct ciommu_paging_config paging;
    ciommu_paging_config_init(&paging);
    CHECK(ciommu_paging_create(world->unit, &paging, &world->domain));
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = 3,
                                           .iova = COST_INPUT,
                                           .length = COST_PAGES * PAGE,
                                           .address = COST_OUTPUT};
    CHECK(ciommu_domain_map(world->domain, &mapping));
    CHECK(ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domain));
    CHECK(ciommu_port_create(world->unit, &world->port));
    struct ciommu_result result = {.size = sizeof result};
    for (uint64_t page = 0; page < COST_PAGES; page++) {
        CHECK(ciommu_translate(world->unit, world->port, COST_SOURCE, CIOMMU_NO_PASID,
                               COST_INPUT + page * PAGE, CIOMMU_READ, 0, &result));
    }
    return world;
}

void cost_world_destroy(struct cost_world *world) {
    CHECK(ciommu_port_destroy(world->port));
    CHECK(ciommu_device_destroy(world->device, NULL));
    CHECK(ciommu_domain_destroy(world->domain));
    CHECK(ciommu_unit_destroy(world->unit));
    CHECK(ciommu_memory_destroy(world->memory));
    free(world->ram);
    free(world);
}

/* ---- Loops ---- */

static inline __attribute__((always_inline)) uint64_t call(struct ciommu_unit *unit,
                                                           struct ciommu_port *port, uint64_t iova,
                                                           struct ciommu_result *result) {
    enum ciommu_status status =
        ciommu_translate(unit, port, COST_SOURCE, CIOMMU_NO_PASID, iova, CIOMMU_READ, 0, result);
    if (status != CIOMMU_OK || result->outcome != CIOMMU_TRANSLATED_OK) {
        fail();
    }
    return result->address;
}

static inline __attribute__((always_inline)) uint64_t look_up(struct ciommu_unit *unit,
                                                              struct ciommu_port *port,
                                                              uint64_t iova) {
    struct ciommu_segment segment;
    if (!ciommu_first_level_lookup(port, COST_SOURCE, CIOMMU_NO_PASID, iova, CIOMMU_READ,
                                   &segment)) {
        struct ciommu_result result = {.size = sizeof result};
        return call(unit, port, iova, &result);
    }
    return segment.address;
}

uint64_t cost_single_call(struct cost_world *world, const uint64_t *iovas, uint64_t count) {
    struct ciommu_result result = {.size = sizeof result};
    uint64_t sum = 0;
    for (uint64_t index = 0; index < count; index++) {
        sum += call(world->unit, world->port, iovas[index], &result);
    }
    return sum;
}

uint64_t cost_single_inline(struct cost_world *world, const uint64_t *iovas, uint64_t count) {
    struct ciommu_unit *unit = world->unit;
    struct ciommu_port *port = world->port;
    uint64_t sum = 0;
    for (uint64_t index = 0; index < count; index++) {
        ciommu_enter(port);
        sum += look_up(unit, port, iovas[index]);
        ciommu_leave(port);
    }
    return sum;
}

uint64_t cost_section_call(struct cost_world *world, const uint64_t *iovas, uint64_t count) {
    struct ciommu_result result = {.size = sizeof result};
    uint64_t sum = 0;
    ciommu_enter(world->port);
    for (uint64_t index = 0; index < count; index++) {
        sum += call(world->unit, world->port, iovas[index], &result);
    }
    ciommu_leave(world->port);
    return sum;
}

uint64_t cost_section_inline(struct cost_world *world, const uint64_t *iovas, uint64_t count) {
    struct ciommu_unit *unit = world->unit;
    struct ciommu_port *port = world->port;
    uint64_t sum = 0;
    ciommu_enter(port);
    for (uint64_t index = 0; index < count; index++) {
        sum += look_up(unit, port, iovas[index]);
    }
    ciommu_leave(port);
    return sum;
}

uint64_t cost_batch(struct cost_world *world, const struct ciommu_request *requests,
                    uint64_t count) {
    struct ciommu_result results[COST_BATCH];
    uint64_t sum = 0;
    for (unsigned index = 0; index < COST_BATCH; index++) {
        results[index].size = sizeof results[index];
    }
    for (uint64_t start = 0; start < count; start += COST_BATCH) {
        if (ciommu_translate_batch(world->port, &requests[start], results, COST_BATCH, NULL) !=
            CIOMMU_OK) {
            fail();
        }
        for (unsigned index = 0; index < COST_BATCH; index++) {
            if (results[index].outcome != CIOMMU_TRANSLATED_OK) {
                fail();
            }
            sum += results[index].address;
        }
    }
    return sum;
}

uint64_t cost_access_inline(struct cost_world *world, const uint64_t *iovas, uint64_t count) {
    struct ciommu_port *port = world->port;
    uint64_t sum = 0;
    for (uint64_t index = 0; index < count; index++) {
        struct ciommu_segment segment;
        ciommu_enter(port);
        if (!ciommu_first_level_lookup(port, COST_SOURCE, CIOMMU_NO_PASID, iovas[index],
                                       CIOMMU_READ, &segment) ||
            segment.length < 64 || segment.host == NULL) {
            fail();
        }
        uint64_t word;
        memcpy(&word, segment.host, sizeof word);
        sum += word;
        ciommu_leave(port);
    }
    return sum;
}

/* ---- Measuring ---- */

uint64_t cost_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

__attribute__((noinline)) void cost_collect(void (*body)(void *context), void *context) {
    body(context);
    __asm__ volatile(""); /* no tail call: callgrind is to see the return */
}
