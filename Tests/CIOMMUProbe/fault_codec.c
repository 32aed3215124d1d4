/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_codec.c - the fault-recording register, field by field; and allocations that fail in the
 * life of fault queues.
 */
#include "fault_world.h"
#include "alloc.h"

#include <limits.h>
#include <string.h>

/* ---- Fields, by their positions in the specification [FORMATS-VTD B7] ---- */

static uint64_t bits(const uint64_t words[2], uint32_t last, uint32_t first) {
    return words[first / 64] >> first % 64 & (UINT64_MAX >> (63 - (last - first)));
}

static struct ciommu_fault some_fault(void) {
    return (struct ciommu_fault){
        .size = sizeof(struct ciommu_fault),
        .reason = CIOMMU_FAULT_PERMISSION,
        .code = 0x86,
        .source = 0x1234,
        .pasid = CIOMMU_NO_PASID,
        .access = CIOMMU_READ,
        .level = CIOMMU_NO_LEVEL,
        .address = UINT64_C(0xfedcba9876543210),
    };
}

static void every_field(struct fault_world *world) {
    for (uint32_t turn = 0; turn < 16u * 5 * 3; turn++) {
        struct ciommu_fault fault = some_fault();
        fault.access = turn % 16;
        fault.request = turn / 16 % 5;
        fault.pasid = turn / 80 == 0 ? CIOMMU_NO_PASID : turn / 80 == 1 ? 0 : CIOMMU_PASID_MAX;
        uint64_t words[2] = {UINT64_MAX, UINT64_MAX};
        EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 64, words), CIOMMU_OK);
        bool writes = (fault.access & CIOMMU_WRITE) != 0;
        bool reads = (fault.access & (CIOMMU_READ | CIOMMU_EXECUTE)) != 0 || !writes;
        bool dma = fault.request < CIOMMU_REQUEST_PAGE;
        bool page = fault.request == CIOMMU_REQUEST_PAGE;
        bool explicit_pasid = fault.pasid != CIOMMU_NO_PASID;
        EXPECT_EQUAL(world, bits(words, 11, 0), 0);
        EXPECT_EQUAL(world, bits(words, 63, 12),
                     fault.request == CIOMMU_REQUEST_INTERRUPT ? (fault.address & 0xffff) << 36
                                                               : UINT64_C(0xfedcba9876543));
        EXPECT_EQUAL(world, bits(words, 79, 64), 0x1234);
        EXPECT_EQUAL(world, bits(words, 91, 80), 0);
        EXPECT_EQUAL(world, bits(words, 92, 92), page || (dma && reads && writes)); /* T2 */
        EXPECT_EQUAL(world, bits(words, 93, 93), explicit_pasid && (fault.access & 8) != 0);
        EXPECT_EQUAL(world, bits(words, 94, 94), explicit_pasid && (fault.access & 4) != 0);
        EXPECT_EQUAL(world, bits(words, 95, 95), explicit_pasid);
        EXPECT_EQUAL(world, bits(words, 103, 96), 0x86);
        EXPECT_EQUAL(world, bits(words, 123, 104), explicit_pasid ? fault.pasid : 0);
        EXPECT_EQUAL(world, bits(words, 125, 124), dma ? fault.request : 0);
        EXPECT_EQUAL(world, bits(words, 126, 126), dma && reads); /* T1 */
        EXPECT_EQUAL(world, bits(words, 127, 127), 1);
    }
}

static void the_register_of_a_real_fault(struct fault_world *world) {
    struct ciommu_result result = {.size = sizeof result};
    (void)ciommu_translate(world->unit, world->port, 0x107, 0x54321, UINT64_C(0x7fff12345678),
                           CIOMMU_WRITE | CIOMMU_PRIVILEGED, CIOMMU_TRANSLATED, &result);
    uint64_t words[2];
    EXPECT_EQUAL(world, ciommu_fault_frcd(&result.fault, 48, words), CIOMMU_OK);
    EXPECT_EQUAL(world, words[0], UINT64_C(0x7fff12345000));
    EXPECT_EQUAL(world, bits(words, 79, 64), 0x107);
    EXPECT_EQUAL(world, bits(words, 103, 96), result.fault.code);
    EXPECT_EQUAL(world, bits(words, 123, 104), 0x54321);
    EXPECT_EQUAL(world, bits(words, 125, 124), 2);
    EXPECT_EQUAL(world, bits(words, 95, 92), 10); /* PP, PRIV; no EXE, no T2 */
}

static void what_has_no_register(struct fault_world *world) {
    uint64_t words[2] = {7, 7};
    struct ciommu_fault fault = some_fault();
    EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 11, words), CIOMMU_INVALID_ARGUMENT);
    EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 65, words), CIOMMU_INVALID_ARGUMENT);
    EXPECT_EQUAL(world, ciommu_fault_frcd(NULL, 64, words), CIOMMU_INVALID_ARGUMENT);
    EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 64, NULL), CIOMMU_INVALID_ARGUMENT);
    fault.source = 0x10000;
    EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 64, words), CIOMMU_UNSUPPORTED);
    fault = some_fault();
    fault.code = 0; /* DMA is aborted: there is no code for it */
    EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 64, words), CIOMMU_UNSUPPORTED);
    fault.code = 0x100;
    EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 64, words), CIOMMU_UNSUPPORTED);
    EXPECT_EQUAL(world, words[0] + words[1], 14);
    fault = some_fault();
    EXPECT_EQUAL(world, ciommu_fault_frcd(&fault, 12, words), CIOMMU_OK);
    EXPECT_EQUAL(world, words[0], 0);
}

const struct fault_named_case fault_codec_cases[] = {
    {"every field of the register", every_field},
    {"the register of a real fault", the_register_of_a_real_fault},
    {"what has no register", what_has_no_register},
    {NULL, NULL},
};

/* ---- Allocations that fail ---- */

#ifdef CIOMMU_INTERNAL_CHECKS
static void ignore(void *context) {
    (void)context;
}

/* One life; the number of wrong answers. `*refused`: something answered "no memory". */
static uint64_t live(struct ciommu_unit *unit, struct ciommu_port *port, bool *refused) {
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    struct ciommu_fault_queue *queues[3] = {NULL, NULL, NULL};
    enum ciommu_status statuses[3];
    uint64_t errors = 0;
    config.reports = 8;
    statuses[0] = ciommu_fault_queue_create(unit, NULL, &config, &queues[0]);
    config.ready = ignore;
    statuses[1] = ciommu_fault_queue_create_software(unit, 5, &config, &queues[1]);
    statuses[2] = ciommu_fault_queue_create_software(unit, 6, &config, &queues[2]);
    struct ciommu_result result = {.size = sizeof result};
    (void)ciommu_translate(unit, port, 1, CIOMMU_NO_PASID, 0, CIOMMU_READ, 0, &result);
    for (uint32_t queue = 0; queue < 3; queue++) {
        bool made = statuses[queue] == CIOMMU_OK;
        *refused = *refused || statuses[queue] == CIOMMU_NO_MEMORY;
        errors += !made && statuses[queue] != CIOMMU_NO_MEMORY;
        errors += made != (queues[queue] != NULL);
    }
    if (queues[0] != NULL) {
        errors += fault_next(queues[0]).kind != CIOMMU_RECORD_FAULT;
    }
    for (uint32_t queue = 0; queue < 3; queue++) {
        ciommu_fault_queue_destroy(queues[queue]);
    }
    return errors;
}
#endif

uint64_t probe_fault_failure_errors(uint32_t *lives) {
#ifdef CIOMMU_INTERNAL_CHECKS
    uint64_t errors = 0;
    bool refused = true;
    *lives = 0;
    for (; refused && *lives < 1000; ++*lives) {
        struct probe_fault_result result = {0};
        struct fault_world world = {.result = &result};
        if (!fault_world_create(&world, 128, 4)) {
            return errors + 1;
        }
        refused = false;
        ciommu_allocations_left = (int)*lives;
        errors += live(world.unit, world.port, &refused);
        ciommu_allocations_left = -1;
        fault_world_destroy(&world);
        errors += result.failures;
    }
    return errors;
#else
    *lives = 0;
    return UINT64_MAX;
#endif
}
