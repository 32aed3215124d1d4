/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_table.c - the interrupt-remapping table as a whole: its register, where it lies, the
 * order of checks, what is recorded and for whom, and what waits for sections.
 */
#include "message_bench.h"

#include <string.h>

#define PRESENT UINT64_C(1)
#define FPD UINT64_C(2)
#define NOBODY 0x5555u
#define COMPATIBLE UINT64_C(0xfee01004) /* destination 1, logical */

/* ---- The register ---- */

static void disabled(struct message_bench *bench) {
    struct ciommu_interrupt got = bench_remap(bench, NOBODY, UINT64_C(0xfee78abc), 0x98765432);
    EXPECT(bench, got.outcome == CIOMMU_INTERRUPT_PASSED);
    EXPECT(bench, got.address == UINT64_C(0xfee78abc) && got.data == 0x98765432);
    /* What a guest put elsewhere is no interrupt, and must not become a write of the host. */
    const uint64_t elsewhere[] = {0, 1, 0xfedfffff, 0xfef00000, UINT64_C(0x1fee00000), UINT64_MAX};
    for (uint32_t index = 0; index < sizeof elsewhere / sizeof *elsewhere; index++) {
        EXPECT_AT(bench, bench_code(bench, NOBODY, elsewhere[index], 5) == 0x20, index);
    }
    EXPECT(bench, ciommu_unit_set_interrupt_table(bench->unit, NULL, BENCH_TABLE | 7, false,
                                                  true) == CIOMMU_OK);
    EXPECT(bench, bench_remap(bench, NOBODY, bench_message(1, true), 5).outcome ==
                      CIOMMU_INTERRUPT_PASSED);
    bench_table(bench, 7, false, false);
    EXPECT(bench, bench_code(bench, NOBODY, COMPATIBLE, 5) == 0x25);
    EXPECT(bench, ciommu_unit_reset(bench->unit) == CIOMMU_OK);
    EXPECT(bench, bench_remap(bench, NOBODY, COMPATIBLE, 5).outcome == CIOMMU_INTERRUPT_PASSED);
}

static void compatibility(struct message_bench *bench) {
    for (uint32_t round = 0; round < 4; round++) {
        bool eime = (round & 1) != 0;
        bool allowed = (round & 2) != 0;
        bench_table(bench, 7, eime, allowed);
        struct ciommu_interrupt got =
            bench_remap(bench, NOBODY, COMPATIBLE | 0x7f << 5, 0x4000 | 0x8000 | 5 << 8 | 0x41);
        if (!eime && allowed) {
            EXPECT_AT(bench, got.outcome == CIOMMU_INTERRUPT_PASSED, round);
            EXPECT(bench, got.address == (COMPATIBLE | 0x7f << 5) && got.data == 0xc541);
            EXPECT(bench, got.vector == 0x41 && got.delivery_mode == 5 && got.level == 1);
            EXPECT(bench, got.destination == 0x7f01 && got.logical == 1);
            EXPECT(bench, got.redirection_hint == 0);
        } else {
            EXPECT_AT(bench, got.fault.code == 0x25 && got.fault.address == 0, round);
        }
        EXPECT_AT(bench, bench_code(bench, NOBODY, COMPATIBLE | UINT64_C(1) << 40, 0) == 0x20,
                  round);
    }
}

static void no_capability(struct message_bench *bench) {
    EXPECT(bench, ciommu_unit_set_interrupt_table(bench->unit, bench->port, BENCH_TABLE, true,
                                                  true) == CIOMMU_UNSUPPORTED);
}

/* Without ECAP.EIM the bit means nothing: destinations have 8 bits. */
static void no_extended_mode(struct message_bench *bench) {
    bench_table(bench, 7, true, true);
    bench_put(bench, 1, PRESENT | UINT64_C(0xab) << 40, 0);
    EXPECT(bench, bench_remap(bench, NOBODY, bench_message(1, false), 0).destination == 0xab);
    EXPECT(bench, bench_remap(bench, NOBODY, COMPATIBLE, 0).outcome == CIOMMU_INTERRUPT_PASSED);
}

/* ---- Where it lies ---- */

static void latch(struct message_bench *bench, uint64_t irta) {
    EXPECT_AT(bench,
              ciommu_unit_set_interrupt_table(bench->unit, bench->port, irta, true, false) ==
                  CIOMMU_OK,
              irta);
}

static void beyond_memory(struct message_bench *bench) {
    const uint64_t nowhere[] = {0,
                                UINT64_C(1) << 51,
                                UINT64_C(1) << 52,
                                UINT64_C(1) << 63,
                                UINT64_C(0xfffffffffffff000),
                                BENCH_RAM - 0x1000};
    for (uint32_t at = 0; at < sizeof nowhere / sizeof nowhere[0]; at++) {
        latch(bench, nowhere[at] | 7);
        struct ciommu_interrupt got = bench_remap(bench, NOBODY, bench_message(3, false), 0);
        EXPECT_AT(bench, got.fault.code == 0x23 && got.fault.address == 3, at);
        EXPECT_AT(bench, got.fault.entry_address == nowhere[at] + 48, at);
        EXPECT_AT(bench, bench_recorded(bench, NULL) == 1, at);
    }
    /* The table begins in memory and ends beyond it. */
    latch(bench, (BENCH_RAM + BENCH_RAM_BYTES - 0x1000) | 15);
    uint64_t last = BENCH_RAM_BYTES / 16 - 1;
    bench_put(bench, (uint32_t)last, PRESENT | 0x55 << 16, 0);
    EXPECT(bench, bench_remap(bench, NOBODY, bench_message(255, false), 0).vector == 0x55);
    EXPECT(bench, bench_code(bench, NOBODY, bench_message(256, false), 0) == 0x23);
    EXPECT(bench, bench_code(bench, NOBODY, bench_message(0xffff, false), 0) == 0x23);
}

/* Host memory need only be aligned to 8: the entry is then read in two parts. */
static void odd_host_memory(struct message_bench *bench) {
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = CIOMMU_READ,
        .address = UINT64_C(0x10000000),
        .length = 0x1000,
        .host = bench->ram + 8,
    };
    EXPECT(bench, ciommu_memory_add(bench->memory, &range) == CIOMMU_OK);
    latch(bench, range.address | 7);
    uint64_t words[] = {PRESENT | 0x66 << 16, 1 << 18 | 0x1a3b};
    memcpy(bench->ram + 8 + 16, words, sizeof words);
    EXPECT(bench, bench_remap(bench, 0x1a3b, bench_message(1, false), 0).vector == 0x66);
    EXPECT(bench, bench_code(bench, 0x1a3c, bench_message(1, false), 0) == 0x26);
    EXPECT(bench, ciommu_memory_remove(bench->memory, range.address, range.length) == CIOMMU_OK);
    EXPECT(bench, bench_code(bench, 0x1a3b, bench_message(1, false), 0) == 0x23);
}

/* ---- Order, FPD, records ---- */

/* Each row breaks its own rule and every later one that it can: the first must win. */
static void order(struct message_bench *bench) {
    bench_table(bench, 3, false, false);
    uint64_t everything = 0x7000 | UINT64_C(1) << 63;
    bench_put(bench, 1, everything, 1 << 18);           /* absent, reserved, source */
    bench_put(bench, 2, everything | PRESENT, 1 << 18); /* reserved, source */
    bench_put(bench, 3, PRESENT, 1 << 18);
    bench_put(bench, 4, PRESENT, 1 << 18 | 0x5555);
    const struct {
        uint64_t address;
        uint32_t data;
        uint32_t code;
    } rows[] = {
        {COMPATIBLE | UINT64_C(1) << 32, 0x10000, 0x20}, /* before compatibility format */
        {bench_message(0x7fff, true), 0x10000, 0x20},    /* before the index */
        {COMPATIBLE, 0x10000, 0x25},
        {bench_message(16, false), 0, 0x21},
        {bench_message(1, false), 0, 0x22},
        {bench_message(2, false), 0, 0x24},
        {bench_message(3, false), 0, 0x26},
        {bench_message(4, false), 0, 0},
    };
    for (uint32_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        EXPECT_AT(bench,
                  bench_code(bench, NOBODY, rows[row].address, rows[row].data) == rows[row].code,
                  row);
    }
    latch(bench, (UINT64_C(1) << 40) | 3); /* the index before the read */
    EXPECT(bench, bench_code(bench, NOBODY, bench_message(16, false), 0) == 0x21);
    EXPECT(bench, bench_code(bench, NOBODY, bench_message(15, false), 0) == 0x23);
}

static void fault_processing(struct message_bench *bench) {
    bench_table(bench, 3, false, false);
    bench_put(bench, 1, FPD, 0);
    bench_put(bench, 2, FPD | PRESENT | 0x1000, 0);
    bench_put(bench, 3, FPD | PRESENT, 1 << 18);
    bench_put(bench, 4, FPD | PRESENT | 0x8000, 0);
    const uint32_t codes[] = {0, 0x22, 0x24, 0x26, 0x24};
    for (uint32_t index = 1; index < 5; index++) {
        struct ciommu_interrupt got = bench_remap(bench, NOBODY, bench_message(index, false), 0);
        EXPECT_AT(bench, got.fault.code == codes[index], index);
        EXPECT_AT(bench, (got.fault.flags & CIOMMU_FAULT_SUPPRESSED) != 0, index);
        EXPECT_AT(bench, (got.fault.flags & CIOMMU_FAULT_RECORDED) == 0, index);
    }
    EXPECT(bench, bench_recorded(bench, NULL) == 0);
    for (uint32_t index = 0; index < 16; index++) {
        bench_put(bench, index, FPD, 0); /* entries do not matter to the others */
    }
    const struct {
        uint64_t address;
        uint32_t data;
        uint32_t code;
        uint32_t index;
    } rows[] = {
        {COMPATIBLE | UINT64_C(1) << 32, 0, 0x20, 0},
        {bench_message(1, true), 0x10000, 0x20, 0},
        {bench_message(16, false), 0, 0x21, 16},
        {COMPATIBLE, 0, 0x25, 0},
    };
    for (uint32_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct ciommu_fault fault = {0};
        EXPECT_AT(bench,
                  bench_code(bench, 0x4321, rows[row].address, rows[row].data) == rows[row].code,
                  row);
        EXPECT_AT(bench, bench_recorded(bench, &fault) == 1, row);
        EXPECT_AT(bench, fault.code == rows[row].code && fault.address == rows[row].index, row);
        EXPECT_AT(bench, fault.request == CIOMMU_REQUEST_INTERRUPT && fault.source == 0x4321, row);
        EXPECT_AT(bench, fault.pasid == CIOMMU_NO_PASID && fault.device == 0, row);
    }
}

static void attribution(struct message_bench *bench) {
    struct ciommu_fault fault = {0};
    bench_table(bench, 3, false, false);
    EXPECT(bench, bench_code(bench, BENCH_SOURCE, bench_message(1, false), 0) == 0x22);
    EXPECT(bench, bench_recorded(bench, &fault) == 1);
    EXPECT(bench, fault.device == 7 && (fault.flags & CIOMMU_FAULT_HAS_DEVICE) != 0);
    EXPECT(bench, bench_code(bench, BENCH_SHARED, bench_message(1, false), 0) == 0x22);
    EXPECT(bench, bench_recorded(bench, &fault) == 1 && fault.device == 8);
    EXPECT(bench, fault.entry_address == BENCH_TABLE + 16);
    EXPECT(bench, fault.reason == CIOMMU_FAULT_CONFIG_ABSENT);
    /* Of a store, the virtual device is known, not only its source id. */
    uint32_t index = bench_entry(bench, bench->slices, BENCH_SLICE_FIRST, false);
    EXPECT(bench, ciommu_message_program(bench->slices, NULL, index, bench_message(2, false), 0) ==
                      CIOMMU_OK);
    EXPECT(bench, ciommu_message_arm(bench->slices, index) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, bench->slices, index, BENCH_SLICE_FIRST, NULL) ==
                      CIOMMU_MESSAGE_FAULT);
    EXPECT(bench, bench_recorded(bench, &fault) == 1 && fault.device == 9);
    EXPECT(bench, fault.code == 0x22 && fault.address == 2);
    bench_put(bench, 2, PRESENT | 0x99 << 16, 1 << 18 | BENCH_SHARED);
    uint32_t data = 0;
    EXPECT(bench, bench_raise(bench, bench->slices, index, BENCH_SLICE_FIRST, &data) ==
                      CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, data == 0x4099);
    for (uint32_t code = 0x20; code <= 0x26; code++) {
        EXPECT_AT(bench, strcmp(ciommu_fault_code_name(code), "IR") == 0, code);
    }
    EXPECT(bench, ciommu_fault_code_name(0x27)[0] == 0 && ciommu_fault_code_name(0x1f)[0] == 0);
}

static void arguments(struct message_bench *bench) {
    struct ciommu_interrupt out = {.size = sizeof out};
    struct ciommu_port *port = bench->port;
    EXPECT(bench, ciommu_interrupt_remap(port, 0, 0, 0, 0, &out) == CIOMMU_INVALID_ARGUMENT);
    ciommu_port_enter(port);
    EXPECT(bench, ciommu_interrupt_remap(NULL, 0, 0, 0, 0, &out) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, ciommu_interrupt_remap(port, 0x10000, 0, 0, 0, &out) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, ciommu_interrupt_remap(port, 0, 0, 0, 2, &out) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, ciommu_interrupt_remap(port, 0, 0, 0, 0, NULL) == CIOMMU_INVALID_ARGUMENT);
    out.size--;
    EXPECT(bench, ciommu_interrupt_remap(port, 0, 0, 0, 0, &out) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench,
           ciommu_unit_set_interrupt_table(bench->unit, port, 0, true, true) == CIOMMU_IN_SECTION);
    ciommu_port_leave(port);
    EXPECT(bench,
           ciommu_unit_set_interrupt_table(NULL, NULL, 0, true, true) == CIOMMU_INVALID_ARGUMENT);
    bench_table(bench, 0, false, false);
    out.size = sizeof out;
    ciommu_port_enter(port);
    EXPECT(bench, ciommu_interrupt_remap(port, 0, bench_message(9, false), 0, CIOMMU_NO_FAULT,
                                         &out) == CIOMMU_OK);
    ciommu_port_leave(port);
    EXPECT(bench, out.fault.code == 0x21 && bench_recorded(bench, NULL) == 0);
}

/* ---- What waits: an open section times out at once ---- */

static void waits(struct message_bench *bench) {
    const uint64_t words[] = {0x4, 0, 0x25, 0}; /* interrupt-entry cache, global; wait, SW */
    struct ciommu_descriptor_result one = {.size = sizeof one};
    struct ciommu_batch_result result = {.size = sizeof result};
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_128,
        .entry_length = 16,
        .count = 2,
        .entries = words,
    };
    struct ciommu_unit *unit = bench->unit;
    bench_table(bench, 7, false, false);
    EXPECT(bench, ciommu_invalidate_descriptor(unit, bench->port, words, false, &one) == CIOMMU_OK);
    EXPECT(bench, ciommu_batch_apply(unit, bench->port, &batch, NULL, &result) == CIOMMU_OK);
    ciommu_port_enter(bench->other);
    EXPECT(bench, ciommu_unit_set_interrupt_table(unit, bench->port, BENCH_TABLE, true, false) ==
                      CIOMMU_TIMED_OUT);
    EXPECT(bench,
           ciommu_invalidate_descriptor(unit, bench->port, words, false, &one) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_batch_apply(unit, bench->port, &batch, NULL, &result) == CIOMMU_TIMED_OUT);
    EXPECT(bench, result.failed == 1 && result.error == CIOMMU_BATCH_TIMEOUT);
    ciommu_port_leave(bench->other);
    EXPECT(bench,
           bench_code(bench, NOBODY, bench_message(2, false), 0) == 0x21); /* it is latched */
}

const struct message_case message_table_cases[] = {
    {.name = "remapping is off", .run = disabled},
    {.name = "compatibility format", .run = compatibility},
    {.name = "a unit without ECAP.IR", .run = no_capability, .ecap_without = 8},
    {.name = "a unit without ECAP.EIM", .run = no_extended_mode, .ecap_without = 16},
    {.name = "a table beyond memory", .run = beyond_memory},
    {.name = "a table in memory aligned to 8", .run = odd_host_memory},
    {.name = "the order of checks", .run = order},
    {.name = "FPD and what is recorded", .run = fault_processing},
    {.name = "faults name their device", .run = attribution},
    {.name = "arguments of remapping", .run = arguments},
    {.name = "changes of the table wait for sections", .run = waits},
};
const uint32_t message_table_count = sizeof message_table_cases / sizeof message_table_cases[0];
