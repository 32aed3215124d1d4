/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_bench.c - see message_bench.h; and the cases one by one.
 */
#define _GNU_SOURCE
#include "message_bench.h"
#include "probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void message_expect(struct message_bench *bench, bool condition, const char *text, const char *file,
                    int line, uint64_t at) {
    if (!condition && bench->result->failures++ == 0) {
        const char *name = strrchr(file, '/');
        (void)snprintf(bench->result->first, sizeof bench->result->first,
                       "%s:%d (at %" PRIu64 "): %s", name == NULL ? file : name + 1, line, at,
                       text);
    }
}

/* ---- The guest's side ---- */

void bench_put(struct message_bench *bench, uint32_t index, uint64_t low, uint64_t high) {
    memcpy(bench->ram + (size_t)index * 16, &low, 8);
    memcpy(bench->ram + (size_t)index * 16 + 8, &high, 8);
}

void bench_table(struct message_bench *bench, uint64_t size, bool eime, bool compatibility) {
    uint64_t irta = BENCH_TABLE | size | (eime ? BENCH_EIME : 0);
    EXPECT(bench, ciommu_unit_set_interrupt_table(bench->unit, bench->port, irta, true,
                                                  compatibility) == CIOMMU_OK);
}

uint64_t bench_message(uint32_t handle, bool shv) {
    return UINT64_C(0xfee00010) | (uint64_t)(handle & 0x7fff) << 5 |
           (uint64_t)(handle >> 15 & 1) << 2 | (shv ? 8 : 0);
}

struct ciommu_interrupt bench_remap(struct message_bench *bench, uint32_t source, uint64_t address,
                                    uint32_t data) {
    struct ciommu_interrupt interrupt;
    memset(&interrupt, 0xa5, sizeof interrupt);
    interrupt.size = sizeof interrupt;
    ciommu_port_enter(bench->port);
    enum ciommu_status status =
        ciommu_interrupt_remap(bench->port, source, address, data, 0, &interrupt);
    ciommu_port_leave(bench->port);
    EXPECT_AT(bench, status == CIOMMU_OK, address);
    return interrupt;
}

uint32_t bench_code(struct message_bench *bench, uint32_t source, uint64_t address, uint32_t data) {
    struct ciommu_interrupt interrupt = bench_remap(bench, source, address, data);
    return interrupt.outcome == CIOMMU_INTERRUPT_BLOCKED ? interrupt.fault.code : 0;
}

uint32_t bench_recorded(struct message_bench *bench, struct ciommu_fault *last) {
    struct ciommu_fault faults[64];
    for (uint32_t index = 0; index < 64; index++) {
        faults[index].size = sizeof faults[index];
    }
    uint32_t count = ciommu_port_take_faults(bench->port, faults, 64, NULL);
    if (count != 0 && last != NULL) {
        *last = faults[count - 1];
    }
    return count;
}

/* ---- Stores ---- */

uint32_t bench_raise(struct message_bench *bench, struct ciommu_message_store *store,
                     uint32_t index, uint32_t pasid, uint32_t *data) {
    struct ciommu_delivery delivery = {.size = sizeof delivery, .outcome = UINT32_MAX};
    ciommu_port_enter(bench->port);
    enum ciommu_status status = ciommu_message_deliver(bench->port, store, index, pasid, &delivery);
    ciommu_port_leave(bench->port);
    EXPECT(bench, status == CIOMMU_OK);
    if (data != NULL && delivery.outcome == CIOMMU_MESSAGE_DELIVER) {
        *data = delivery.interrupt.data;
    }
    return delivery.outcome;
}

uint32_t bench_entry(struct message_bench *bench, struct ciommu_message_store *store,
                     uint32_t pasid, bool armed) {
    uint32_t index = UINT32_MAX;
    uint32_t flags = pasid == CIOMMU_NO_PASID ? CIOMMU_MESSAGE_UNCHECKED : 0;
    EXPECT(bench, ciommu_message_allocate(store, pasid, flags, &index) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_program(store, bench->port, index, UINT64_C(0xfee00000),
                                         0x100 + index) == CIOMMU_OK);
    EXPECT(bench, !armed || ciommu_message_arm(store, index) == CIOMMU_OK);
    return index;
}

struct ciommu_message_info bench_info(const struct ciommu_message_store *store, uint32_t index) {
    struct ciommu_message_info info = {.size = sizeof info};
    (void)ciommu_message_read_info(store, index, &info);
    return info;
}

struct ciommu_device *bench_device(struct message_bench *bench, uint64_t id, uint32_t source,
                                   uint32_t share, uint32_t first, uint32_t last) {
    const struct ciommu_device_config config = {
        .size = sizeof config,
        .source = source,
        .id = id,
        .share = share,
        .first_pasid = first,
        .last_pasid = last,
    };
    struct ciommu_device *device = NULL;
    EXPECT(bench, ciommu_device_create(bench->unit, bench->port, &config, &device) == CIOMMU_OK);
    return device;
}

struct ciommu_message_store *bench_store(struct message_bench *bench, struct ciommu_device *device,
                                         uint32_t entries) {
    struct ciommu_message_store_config config;
    struct ciommu_message_store *store = NULL;
    ciommu_message_store_config_init(&config);
    config.entries = entries;
    EXPECT(bench, ciommu_message_store_create(device, &config, &store) == CIOMMU_OK);
    return store;
}

/* ---- The bench ---- */

static enum ciommu_status make(struct message_bench *bench, const struct message_case *what,
                               bool portable) {
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = CIOMMU_READ | CIOMMU_WRITE,
        .address = BENCH_RAM,
        .length = BENCH_RAM_BYTES,
        .host = bench->ram,
    };
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 1024;
    config.ecap &= ~what->ecap_without;
    config.flags = portable ? CIOMMU_UNIT_NO_WIDE_LOADS : 0;
    config.drain_timeout = what->patient ? UINT64_C(60000000000) : 0;
    enum ciommu_status status = ciommu_memory_create(&bench->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(bench->memory, &range);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, bench->memory, &bench->unit);
    status = status != CIOMMU_OK ? status : ciommu_port_create(bench->unit, &bench->port);
    return status != CIOMMU_OK ? status : ciommu_port_create(bench->unit, &bench->other);
}

static void make_devices(struct message_bench *bench, const struct message_case *what) {
    bench->whole = bench_device(bench, 7, BENCH_SOURCE, CIOMMU_SHARE_WHOLE, 0, 0);
    bench->store = bench_store(bench, bench->whole, BENCH_ENTRIES);
    bench->parent = bench_device(bench, 8, BENCH_SHARED, CIOMMU_SHARE_PARENT, 0, 0);
    bench->parents = bench_store(bench, bench->parent, BENCH_ENTRIES);
    if (what->ecap_without == 0) {
        bench->slice = bench_device(bench, 9, BENCH_SHARED, CIOMMU_SHARE_SLICE, BENCH_SLICE_FIRST,
                                    BENCH_SLICE_LAST);
        bench->slices = bench_store(bench, bench->slice, BENCH_ENTRIES);
    }
}

static void unmake(struct message_bench *bench) {
    EXPECT(bench, ciommu_message_store_destroy(bench->store, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_store_destroy(bench->parents, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_store_destroy(bench->slices, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_destroy(bench->whole, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_destroy(bench->slice, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_destroy(bench->parent, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_destroy(bench->unit) == CIOMMU_OK);
    EXPECT(bench, ciommu_memory_destroy(bench->memory) == CIOMMU_OK);
}

static const struct message_case *find_case(uint32_t number) {
    const struct {
        const struct message_case *cases;
        uint32_t count;
    } lists[] = {
        {message_remap_cases, message_remap_count}, {message_table_cases, message_table_count},
        {message_state_cases, message_state_count}, {message_pasid_cases, message_pasid_count},
        {message_slot_cases, message_slot_count},
    };
    for (uint32_t list = 0; list < sizeof lists / sizeof lists[0]; list++) {
        if (number < lists[list].count) {
            return &lists[list].cases[number];
        }
        number -= lists[list].count;
    }
    return NULL;
}

uint32_t probe_message_count(void) {
    return message_remap_count + message_table_count + message_state_count + message_pasid_count +
           message_slot_count;
}

const char *probe_message_name(uint32_t number) {
    const struct message_case *what = find_case(number);
    return what == NULL ? "" : what->name;
}

void probe_message_case(uint32_t number, uint32_t mutant, bool portable,
                        struct probe_message_result *result) {
    const struct message_case *what = find_case(number);
    struct message_bench bench = {.result = result};
    memset(result, 0, sizeof *result);
    bench.ram = aligned_alloc(4096, BENCH_RAM_BYTES);
    memset(bench.ram, 0, BENCH_RAM_BYTES);
    enum ciommu_status status = make(&bench, what, portable);
    EXPECT(&bench, status == CIOMMU_OK);
    if (status == CIOMMU_OK) {
        make_devices(&bench, what);
        probe_set_mutant(mutant);
        what->run(&bench);
        probe_set_mutant(0);
    }
    unmake(&bench);
    free(bench.ram);
}
