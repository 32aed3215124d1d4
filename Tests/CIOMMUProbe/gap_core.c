/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_core.c - refused arguments of memory maps, units, devices and domains; observers, small
 * exchanges, and PASIDs that devices share.
 */
#include "gap.h"

#define REFUSED(world, call) EXPECT((world), (call) == CIOMMU_INVALID_ARGUMENT)
#define RW (CIOMMU_READ | CIOMMU_WRITE)

static void memory_maps(struct inject_world *world) {
    const uint64_t before = inject_digest(world);
    uint64_t address;
    const struct ciommu_memory_range wraps = {sizeof wraps, RW, UINT64_MAX - 4095, 8192,
                                              world->spare};
    const struct ciommu_memory_range nowhere = {sizeof nowhere, RW, 0x5000, 4096, world->spare};
    REFUSED(world, ciommu_memory_create(NULL));
    EXPECT(world, ciommu_memory_destroy(NULL) == CIOMMU_OK);
    EXPECT(world, ciommu_memory_destroy(world->memory) == CIOMMU_IN_USE);
    EXPECT(world, ciommu_memory_add(world->memory, &wraps) == CIOMMU_WRAPS);
    EXPECT(world, ciommu_memory_replace(world->memory, &nowhere) == CIOMMU_NOT_FOUND);
    REFUSED(world, ciommu_memory_add(NULL, &nowhere));
    REFUSED(world, ciommu_memory_replace(NULL, &nowhere));
    REFUSED(world, ciommu_memory_remove(NULL, 0, 4096));
    REFUSED(world, ciommu_memory_remove(world->memory, 0, 0));
    EXPECT(world, ciommu_memory_remove(world->memory, UINT64_MAX, 2) == CIOMMU_WRAPS);
    EXPECT(world, ciommu_memory_remove(world->memory, 0x5000, 4096) == CIOMMU_NOT_FOUND);
    REFUSED(world, ciommu_memory_drain(NULL));
    REFUSED(world, ciommu_memory_set_dirty_log(NULL, NULL, NULL));
    REFUSED(world, ciommu_memory_locate(world->memory, NULL, 1, CIOMMU_READ, &address));
    EXPECT(world, inject_digest(world) == before);
}

static void devices_and_domains(struct inject_world *world) {
    const uint64_t before = inject_digest(world);
    struct ciommu_unit_config config;
    struct ciommu_unit *unit = NULL;
    struct ciommu_port *port = NULL;
    struct ciommu_device *device = NULL;
    const struct ciommu_device_config whole = {.size = sizeof whole, .source = 1, .id = 1000};
    struct ciommu_pasid_table table = {.size = 0};
    ciommu_unit_config_init(&config);
    REFUSED(world, ciommu_unit_create(NULL, world->memory, &unit));
    REFUSED(world, ciommu_unit_create(&config, NULL, &unit));
    REFUSED(world, ciommu_port_create(NULL, &port));
    REFUSED(world, ciommu_port_create(world->unit, NULL));
    REFUSED(world, ciommu_device_create(NULL, NULL, &whole, &device));
    REFUSED(world, ciommu_device_create(world->unit, NULL, NULL, &device));
    REFUSED(world, ciommu_device_detach(world->whole, NULL, CIOMMU_PASID_MAX + 1));
    REFUSED(world, ciommu_device_reset(NULL, NULL));
    REFUSED(world, ciommu_device_bind(world->parent, NULL, NULL));
    REFUSED(world, ciommu_device_bind(world->parent, NULL, &table)); /* without its size */
    EXPECT(world, !ciommu_device_bound(NULL, &table) && !ciommu_device_bound(world->parent, NULL));
    EXPECT(world, ciommu_device_domain(NULL, 1) == NULL);
    EXPECT(world, ciommu_device_domain(world->whole, CIOMMU_PASID_MAX + 1) == NULL);
    REFUSED(world, ciommu_dirty_start(ciommu_domain_identity(world->unit), NULL, 0));
    REFUSED(world, ciommu_dirty_stop(ciommu_domain_identity(world->unit), NULL));
    ciommu_port_enter(world->port);
    EXPECT(world, ciommu_device_destroy(world->parent, world->port) == CIOMMU_IN_SECTION);
    ciommu_port_leave(world->port);
    ciommu_unit_statistics(NULL, NULL);
    EXPECT(world, unit == NULL && port == NULL && device == NULL);
    EXPECT(world, inject_digest(world) == before);
}

/* ---- Observers ---- */

static void count(void *context, const struct ciommu_invalidation *invalidation) {
    (void)invalidation;
    ++*(uint32_t *)context;
}

static void observers(struct inject_world *world) {
    uint32_t heard[3] = {0};
    uint32_t ids[3];
    const struct ciommu_invalidation what = {.size = sizeof what,
                                             .kind = CIOMMU_INVALIDATE_CONTEXT,
                                             .domain = CIOMMU_ANY,
                                             .pasid = CIOMMU_ANY,
                                             .source = CIOMMU_ANY,
                                             .last = UINT64_MAX};
    REFUSED(world, ciommu_observer_add(NULL, count, NULL, &ids[0]));
    REFUSED(world, ciommu_observer_add(world->unit, NULL, NULL, &ids[0]));
    REFUSED(world, ciommu_observer_remove(NULL, 1));
    for (uint32_t number = 0; number < 3; number++) {
        EXPECT(world, ciommu_observer_add(world->unit, count, &heard[number], &ids[number]) == 0);
    }
    for (uint32_t gone = 0; gone < 3; gone++) { /* oldest first */
        EXPECT(world, ciommu_invalidate(world->unit, world->port, &what) == CIOMMU_OK);
        EXPECT(world, ciommu_observer_remove(world->unit, ids[gone]) == CIOMMU_OK);
        EXPECT(world, ciommu_observer_remove(world->unit, ids[gone]) == CIOMMU_NOT_FOUND);
    }
    EXPECT(world, ciommu_invalidate(world->unit, world->port, &what) == CIOMMU_OK);
    EXPECT(world, heard[0] == 1 && heard[1] == 2 && heard[2] == 3);
}

/* ---- Exchanges of every size ---- */

static void exchanges(struct inject_world *world) {
    for (uint64_t length = 1; length <= 8; length *= 2) {
        const struct ciommu_request request = {
            INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA + 8 * length, length, RW, 0};
        struct ciommu_progress progress = {.size = sizeof progress};
        uint64_t expected = 0;
        bool exchanged = false;
        EXPECT(world, ciommu_compare_exchange(world->port, &request, &expected, 0x5a, &exchanged,
                                              &progress) == CIOMMU_OK);
        EXPECT(world, exchanged && world->ram[8 * length] == 0x5a);
        EXPECT(world, ciommu_compare_exchange(world->port, &request, &expected, 1, &exchanged,
                                              &progress) == CIOMMU_OK);
        EXPECT(world, !exchanged && expected == 0x5a && world->ram[8 * length] == 0x5a);
    }
}

/* ---- PASIDs that devices share ---- */

static void shared_places(struct inject_world *world) {
    const struct ciommu_device_config config = inject_slice_config(100, INJECT_FIRST, INJECT_LAST);
    const struct ciommu_pasid_table table = {.size = sizeof table,
                                             .model = CIOMMU_MODEL_VTD,
                                             .levels = 2,
                                             .pasid_bits = 20,
                                             .address = INJECT_RAM};
    struct ciommu_device *second = NULL;
    EXPECT(world, ciommu_device_create(world->unit, NULL, &config, &second) == CIOMMU_OK);
    /* The other one has attached something in the slice. */
    EXPECT(world, ciommu_device_bind(second, NULL, &table) == CIOMMU_IN_USE);
    for (uint32_t time = 0; time < 2; time++) { /* the second time in the place that was left */
        EXPECT(world, ciommu_device_attach(second, INJECT_PASID, world->mapped) == CIOMMU_OK);
        EXPECT(world, ciommu_device_domain(second, INJECT_PASID) == world->mapped);
        EXPECT(world, ciommu_device_detach(second, NULL, INJECT_PASID) == CIOMMU_OK);
    }
    EXPECT(world, ciommu_device_domain(world->slice, INJECT_PASID) == world->mapped);
    EXPECT(world, ciommu_device_detach(world->slice, NULL, INJECT_PASID) == CIOMMU_OK);
    EXPECT(world, ciommu_device_bind(second, NULL, &table) == CIOMMU_OK);
    EXPECT(world, ciommu_device_attach(world->slice, INJECT_PASID, world->mapped) == CIOMMU_IN_USE);
    EXPECT(world, ciommu_device_destroy(second, NULL) == CIOMMU_OK);
}

const struct gap_case gap_core_cases[] = {
    {"arguments of memory maps", memory_maps},
    {"arguments of units, devices and domains", devices_and_domains},
    {"observers come and go", observers},
    {"exchanges of every size", exchanges},
    {"a shared PASID is attached again", shared_places},
};
const uint32_t gap_core_count = sizeof gap_core_cases / sizeof gap_core_cases[0];
