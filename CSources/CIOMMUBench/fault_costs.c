/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_costs.c - what it costs the translating thread that a fault is kept for somebody.
 */
#include "fault_stores.h"

#include <ciommu_domains.h>
#include <ciommu_faults.h>

#include <stdlib.h>

#define SOURCE 0x42u
#define MOST 256u
#define QUOTA 1024u
#define READ 64u

struct bench_faults {
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_port *port;
    struct ciommu_fault_queue *queue;
    struct fault_stores *stores;
    uint64_t sequence;
};

struct bench_faults *bench_faults_create(void) {
    struct bench_faults *faults = bench_zeroed(1, sizeof *faults);
    struct ciommu_unit_config unit;
    struct ciommu_fault_queue_config queue;
    const struct ciommu_device_config device = {.size = sizeof device, .source = SOURCE, .id = 1};
    ciommu_unit_config_init(&unit);
    unit.fault_entries = 2 * MOST;
    ciommu_fault_queue_config_init(&queue);
    queue.quota = QUOTA;
    CHECK(ciommu_memory_create(&faults->memory));
    CHECK(ciommu_unit_create(&unit, faults->memory, &faults->unit));
    CHECK(ciommu_device_create(faults->unit, NULL, &device, &faults->device));
    CHECK(ciommu_port_create(faults->unit, &faults->port));
    CHECK(ciommu_fault_queue_create(faults->unit, faults->device, &queue, &faults->queue));
    faults->stores = fault_stores_create();
    return faults;
}

void bench_faults_destroy(struct bench_faults *faults) {
    if (faults == NULL) {
        return;
    }
    ciommu_fault_queue_destroy(faults->queue);
    CHECK(ciommu_port_destroy(faults->port));
    CHECK(ciommu_device_destroy(faults->device, NULL));
    CHECK(ciommu_unit_destroy(faults->unit));
    CHECK(ciommu_memory_destroy(faults->memory));
    fault_stores_destroy(faults->stores);
    free(faults);
}

/* Nothing is attached to the device, so the request faults. */
static INLINE void fault(struct bench_faults *faults, uint32_t flags,
                         struct ciommu_result *result) {
    uint64_t address = (faults->sequence++ % 65536) << 12; /* below the interrupt range */
    CHECK(ciommu_translate(faults->unit, faults->port, SOURCE, CIOMMU_NO_PASID, address,
                           CIOMMU_READ, flags, result));
}

static uint32_t read_engine(struct bench_faults *faults) {
    struct ciommu_fault_record records[READ];
    uint32_t events = 0;
    uint32_t count;
    do {
        for (uint32_t index = 0; index < READ; index++) {
            records[index].size = sizeof records[index];
        }
        count = ciommu_fault_read(faults->queue, records, READ);
        for (uint32_t index = 0; index < count; index++) {
            events +=
                records[index].kind == CIOMMU_RECORD_FAULT ? (uint32_t)records[index].count : 0;
        }
    } while (count == READ);
    return events;
}

static void check_arrival(struct bench_faults *faults, enum bench_fault_store store,
                          uint32_t count) {
    uint32_t events = store == BENCH_FAULT_NOWHERE  ? count
                      : store == BENCH_FAULT_ENGINE ? read_engine(faults)
                                                    : fault_stores_drain(faults->stores, store);
    if (events != count) {
        bench_fail("faults were lost");
    }
}

uint64_t bench_faults_record(struct bench_faults *faults, enum bench_fault_store store,
                             uint32_t count) {
    struct ciommu_result result = {.size = sizeof result};
    uint32_t flags = store == BENCH_FAULT_ENGINE ? 0 : CIOMMU_NO_FAULT;
    bool elsewhere = store > BENCH_FAULT_ENGINE;
    uint64_t wrong = count > MOST;
    uint64_t begin = bench_now();
    for (uint32_t index = 0; index < count; index++) {
        fault(faults, flags, &result);
        wrong |= result.outcome ^ CIOMMU_FAULT;
        if (elsewhere) {
            wrong |= !fault_stores_put(faults->stores, store, &result.fault);
        }
    }
    uint64_t end = bench_now();
    bench_must_be_right(wrong);
    check_arrival(faults, store, count);
    return end - begin;
}
