/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_tables.c - guests' tables in places that few guests put them to: a bound PASID table without
 * device-TLBs, an entry that never stands still, a page that reaches over the interrupt range.
 */
#define _GNU_SOURCE
#include "case_bench.h"
#include "debug.h"
#include "fault.h"
#include "gap.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>

/* ---- Bound tables ---- */

#define DT (UINT64_C(1) << 2)
#define PRS (UINT64_C(1) << 29)
#define IOVA UINT64_C(0x123456000)

static void ask_bound(struct inject_world *world, struct ciommu_unit *unit,
                      struct ciommu_port *port, uint32_t flags, struct ciommu_result *result) {
    *result = (struct ciommu_result){.size = sizeof *result};
    EXPECT(world, ciommu_translate(unit, port, INJECT_WHOLE, 5, IOVA, CIOMMU_READ, flags, result) ==
                      CIOMMU_OK);
}

/* With a device-TLB a translated request passes, whatever the table holds; without, requests of ATS
 * are refused before the table is read. A unit that offers none has none. */
static void requests_of_bound_devices(struct inject_world *world) {
    for (uint32_t with = 0; with < 2; with++) {
        const struct ciommu_device_config whole = {
            .size = sizeof whole, .source = INJECT_WHOLE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
        const struct ciommu_pasid_table table = {.size = sizeof table,
                                                 .model = CIOMMU_MODEL_VTD,
                                                 .levels = 2,
                                                 .pasid_bits = 20,
                                                 .address = INJECT_RAM};
        struct ciommu_unit_config config;
        struct ciommu_unit *unit = NULL;
        struct ciommu_port *port = NULL;
        struct ciommu_device *device = NULL;
        struct ciommu_result result;
        ciommu_unit_config_init(&config);
        config.ecap = with != 0 ? config.ecap : config.ecap & ~(DT | PRS);
        EXPECT(world, ciommu_unit_create(&config, world->memory, &unit) == CIOMMU_OK);
        EXPECT(world, ciommu_port_create(unit, &port) == CIOMMU_OK);
        EXPECT(world, ciommu_device_create(unit, NULL, &whole, &device) == CIOMMU_OK);
        EXPECT(world, ciommu_device_bind(device, NULL, &table) == CIOMMU_OK);
        struct ciommu_device_tlb *tlb = NULL;
        struct ciommu_device_tlb_config answers = inject_tlb_config(world, INJECT_WHOLE);
        answers.context = unit;
        EXPECT(world, ciommu_device_tlb_create(unit, &answers, &tlb) ==
                          (with != 0 ? CIOMMU_OK : CIOMMU_UNSUPPORTED));
        ask_bound(world, unit, port, 0, &result); /* the table is empty */
        EXPECT(world, result.outcome == CIOMMU_FAULT && result.fault.code != VTD_SM_DTE_CLEAR);
        ask_bound(world, unit, port, CIOMMU_TRANSLATED, &result);
        EXPECT(world, (result.outcome == CIOMMU_TRANSLATED_OK) == (with != 0));
        EXPECT(world, with != 0 ? result.address == IOVA : result.fault.code == VTD_SM_DTE_CLEAR);
        ask_bound(world, unit, port, CIOMMU_TRANSLATION_REQUEST, &result);
        EXPECT(world, (result.outcome == CIOMMU_FAULT && result.fault.code == VTD_SM_DTE_CLEAR) ==
                          (with == 0));
        EXPECT(world, ciommu_device_tlb_destroy(tlb, NULL) == CIOMMU_OK);
        EXPECT(world, ciommu_device_destroy(device, NULL) == CIOMMU_OK);
        EXPECT(world, ciommu_port_destroy(port) == CIOMMU_OK);
        EXPECT(world, ciommu_unit_destroy(unit) == CIOMMU_OK);
    }
}

/* ---- Benches of case_bench.h ---- */

static bool make(struct inject_world *world, struct case_bench *bench) {
    struct probe_case_result result = {0};
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    bool made = case_bench_make(bench, &config, &result);
    EXPECT(world, made && result.failures == 0);
    return made;
}

#define GIB (UINT64_C(1) << 30)
#define INTERRUPTS UINT64_C(0xfee00000)

/* A page of 1 GiB around the interrupt range: what runs on ends below it, as what lies behind are
 * messages. */
static void a_page_reaches_over_interrupts(struct inject_world *world) {
    const uint64_t iova = 3 * GIB + BENCH_PAGE;
    struct case_bench bench;
    struct ciommu_result result;
    void *host = mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(world, host != MAP_FAILED);
    if (host != MAP_FAILED && make(world, &bench)) {
        const struct ciommu_memory_range range = {sizeof range, CIOMMU_READ, GIB, GIB, host};
        EXPECT(world, ciommu_memory_add(bench.memory, &range) == CIOMMU_OK);
        *case_bench_entry(&bench, BENCH_FIRST_2, 3) = GIB | BENCH_LEAF | BENCH_LARGE;
        for (uint32_t time = 0; time < 3; time++) { /* walked, then from the caches */
            EXPECT(world, case_bench_ask(&bench, 0, iova, CIOMMU_READ, &result));
            EXPECT(world, result.address == GIB + BENCH_PAGE && result.page_lg2 == 30);
            EXPECT(world, result.contiguous >= BENCH_PAGE);
            EXPECT(world, result.contiguous <= INTERRUPTS - iova);
            EXPECT(world, time != 0 || result.contiguous == INTERRUPTS - iova);
        }
        case_bench_unmake(&bench);
    }
    (void)munmap(host, GIB);
}

#ifdef CIOMMU_INTERNAL_CHECKS
static struct case_bench *restless;
static uint32_t readings;

/* The guest changes the entry of device 0 whenever it was read. */
static void change_entry(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_ENTRY_READ && restless != NULL) {
        readings++;
        uint64_t *entry = case_bench_entry(restless, 8, 2);
        bool first = *entry == BENCH_FIRST_3 * BENCH_PAGE;
        *entry = (first ? BENCH_SPARE : BENCH_FIRST_3) * BENCH_PAGE;
    }
}

/* An entry that changes as often as it is read: the requests are answered, by one of the two, and
 * nothing of it is kept. */
static void an_entry_never_stands_still(struct inject_world *world) {
    struct case_bench bench;
    struct ciommu_result result;
    if (!make(world, &bench)) {
        return;
    }
    for (uint32_t level = 0; level < 3; level++) {
        *case_bench_entry(&bench, BENCH_SPARE + level, 0) =
            (BENCH_SPARE + level + 1) * BENCH_PAGE | BENCH_ENTRY;
    }
    *case_bench_entry(&bench, BENCH_SPARE + 3, 0) = 70 * BENCH_PAGE | BENCH_LEAF;
    restless = &bench;
    __atomic_store_n(&ciommu_yield_hook, change_entry, __ATOMIC_RELEASE);
    for (uint32_t time = 0; time < 3; time++) {
        uint32_t before = readings;
        EXPECT(world, case_bench_ask(&bench, 0, 0, CIOMMU_READ, &result));
        EXPECT(world,
               result.address == BENCH_TABLES * BENCH_PAGE || result.address == 70 * BENCH_PAGE);
        EXPECT(world, readings > before); /* nothing was kept */
        EXPECT(world, bench.unit->bindings.used == 0);
    }
    restless = NULL;
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    *case_bench_entry(&bench, 8, 2) = BENCH_FIRST_3 * BENCH_PAGE;
    EXPECT(world, case_bench_ask(&bench, 0, 0, CIOMMU_READ, &result));
    EXPECT(world, result.address == BENCH_TABLES * BENCH_PAGE && bench.unit->bindings.used == 1);
    case_bench_unmake(&bench);
}
#endif

/* ---- Batches ---- */

/* Batches answer as single requests do, for every kind of space and every set of caches. */
static void check_batches(struct case_bench *bench, struct probe_case_result *result) {
    for (uint32_t device = 0; device <= BENCH_SECOND; device++) {
        struct ciommu_request requests[8];
        struct ciommu_result many[8];
        uint32_t done = 0;
        memset(many, 0, sizeof many);
        for (uint32_t index = 0; index < 8; index++) {
            requests[index] = (struct ciommu_request){
                device, CIOMMU_NO_PASID, index * 3 * BENCH_PAGE + 8, 0, CIOMMU_READ, 0};
            many[index].size = sizeof many[index];
        }
        for (uint32_t time = 0; time < 2; time++) {
            bool fine = ciommu_translate_batch(bench->port, requests, many, 8, &done) == 0;
            probe_expect(result, fine && done == 8, "a batch is not answered");
            for (uint32_t index = 0; index < 8; index++) {
                struct ciommu_result one;
                fine = case_bench_ask(bench, device, requests[index].iova, CIOMMU_READ, &one);
                probe_expect(result, fine && many[index].outcome == CIOMMU_TRANSLATED_OK,
                             "a page is not read");
                probe_expect(result, many[index].address == one.address,
                             "a batch and a single request differ");
            }
        }
    }
}

static void batches_of_every_space(struct inject_world *world) {
    struct probe_case_result result = {0};
    case_bench_with_caches(&result, check_batches);
    EXPECT(world, result.failures == 0);
}

/* A range of the second stage selects no page of the first: the whole of it is dropped. */
static void check_ranges(struct case_bench *bench, struct probe_case_result *result) {
    struct ciommu_result out;
    bool fine = case_bench_ask(bench, 0, 3 * BENCH_PAGE, CIOMMU_READ, &out);
    probe_expect(result, fine && out.address == (BENCH_TABLES + 3) * BENCH_PAGE,
                 "a page is not read");
    *case_bench_entry(bench, BENCH_FIRST_0, 3) = (BENCH_TABLES + 50) * BENCH_PAGE | BENCH_LEAF;
    case_bench_invalidate(bench, BENCH_INVALIDATE_PAGES(1, 20 * BENCH_PAGE), result);
    fine = case_bench_ask(bench, 0, 3 * BENCH_PAGE, CIOMMU_READ, &out);
    probe_expect(result, fine && out.address == (BENCH_TABLES + 50) * BENCH_PAGE,
                 "a page of the first stage is kept");
}

static void ranges_of_the_other_stage(struct inject_world *world) {
    struct probe_case_result result = {0};
    case_bench_with_caches(&result, check_ranges);
    EXPECT(world, result.failures == 0);
}

const struct gap_case gap_table_cases[] = {
    {"requests of bound devices", requests_of_bound_devices},
    {"a page reaches over the interrupt range", a_page_reaches_over_interrupts},
#ifdef CIOMMU_INTERNAL_CHECKS
    {"an entry never stands still", an_entry_never_stands_still},
#endif
    {"batches of every space", batches_of_every_space},
    {"ranges of the other stage", ranges_of_the_other_stage},
};
const uint32_t gap_table_count = sizeof gap_table_cases / sizeof gap_table_cases[0];
