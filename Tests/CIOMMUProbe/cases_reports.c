/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_reports.c - what the host and the guest are told: the dirty log of the engine's own
 * writes, and wait descriptors.
 */
#include "batch_probe.h"
#include "case_bench.h"
#include "ciommu_invalidation.h"
#include "harness.h"

#include <pthread.h>

/* ---- The dirty log ---- */

struct heard {
    uint64_t first;
    uint64_t last;
};

static void hear(void *context, uint64_t address, uint64_t length) {
    struct heard *heard = context;
    heard->first = address < heard->first ? address : heard->first;
    heard->last = address + length > heard->last ? address + length : heard->last;
}

static void marks_are_heard(struct probe_case_result *result) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    struct case_bench bench;
    if (case_bench_make(&bench, &config, result)) {
        struct heard heard = {UINT64_MAX, 0};
        struct ciommu_result out;
        (void)ciommu_memory_set_dirty_log(bench.memory, hear, &heard);
        *case_bench_entry(&bench, BENCH_FIRST_0, 2) &= ~UINT64_C(0x60);
        bool fine = case_bench_ask(&bench, 0, 2 * BENCH_PAGE, CIOMMU_WRITE, &out);
        const uint64_t entry = BENCH_FIRST_0 * BENCH_PAGE + 2 * 8;
        probe_expect(result, fine, "a page is not written");
        probe_expect(result, heard.first <= entry && heard.last >= entry + 8,
                     "the dirty log did not hear of a mark");
        (void)ciommu_memory_set_dirty_log(bench.memory, NULL, NULL);
    }
    case_bench_unmake(&bench);
}

/* ---- Waits ---- */

struct applying {
    struct case_bench *bench;
    uint32_t begun;
    enum ciommu_status status;
    pthread_t thread;
};

#define STATUS_PAGE 100u

static void *apply(void *context) {
    struct applying *applying = context;
    const uint64_t entries[2][4] = {
        {BENCH_INVALIDATE_PASID_PAGE(0, 0), 0, 0},
        {5 | 1 << 5 | UINT64_C(0x600d) << 32, STATUS_PAGE * BENCH_PAGE, 0, 0},
    };
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_256,
        .entries = entries,
        .entry_length = sizeof entries[0],
        .count = 2,
    };
    struct ciommu_batch_result told = {.size = sizeof told};
    __atomic_store_n(&applying->begun, 1, __ATOMIC_SEQ_CST);
    applying->status = ciommu_batch_apply(applying->bench->unit, NULL, &batch, NULL, &told);
    return NULL;
}

/* While a section is open nobody is told; how long one looks decides only whether a broken rule is
 * noticed at the first attempt. */
static void waits_are_late(struct probe_case_result *result) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.drain_timeout = UINT64_C(60000000000);
    struct case_bench bench;
    if (case_bench_make(&bench, &config, result)) {
        struct applying applying = {.bench = &bench};
        struct ciommu_result out;
        const uint32_t *status =
            (const uint32_t *)(const void *)case_bench_entry(&bench, STATUS_PAGE, 0);
        ciommu_port_enter(bench.port);
        (void)case_bench_ask(&bench, 0, 0, CIOMMU_READ, &out);
        pthread_create(&applying.thread, NULL, apply, &applying);
        while (__atomic_load_n(&applying.begun, __ATOMIC_SEQ_CST) == 0) {
            probe_nap(100000);
        }
        for (uint32_t look = 0; look < 20; look++) {
            probe_nap(1000000);
            probe_expect(result, probe_load(status) == 0, "a wait is told inside a section");
        }
        ciommu_port_leave(bench.port);
        pthread_join(applying.thread, NULL);
        probe_expect(result, applying.status == CIOMMU_OK && probe_load(status) == 0x600d,
                     "a wait is not told");
    }
    case_bench_unmake(&bench);
}

static const struct probe_case rows[] = {
    {"the dirty log hears of A and D", marks_are_heard},
    {"a wait is told after its drain", waits_are_late},
};

const struct case_table cases_of_reports = {rows, sizeof rows / sizeof *rows};
