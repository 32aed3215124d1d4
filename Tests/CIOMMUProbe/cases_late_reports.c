/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_late_reports.c - a thread is held up between the end of its section and the report of what
 * it wrote: a drain of the memory map does not answer before the dirty log has heard of it.
 */
#define _GNU_SOURCE
#include "case_bench.h"
#include "debug.h"

#include <pthread.h>
#include <sched.h>

#ifdef CIOMMU_INTERNAL_CHECKS

#define PAGE 2u
#define MARKS UINT64_C(0x60) /* A and D */

static struct late {
    struct case_bench *bench;
    pthread_t drainer;
    uint32_t left;    /* the section has ended */
    uint32_t waits;   /* the drain waits for the report */
    uint32_t drained; /* or it does not */
    uint32_t heard;
    enum ciommu_status status;
    uint32_t heard_by_then;
} late;

static void hear(void *context, uint64_t address, uint64_t length) {
    (void)context;
    (void)address;
    (void)length;
    __atomic_store_n(&late.heard, 1, __ATOMIC_RELEASE);
}

static void hold_up(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_LEFT && !pthread_equal(pthread_self(), late.drainer)) {
        __atomic_store_n(&late.left, 1, __ATOMIC_RELEASE);
        while (__atomic_load_n(&late.waits, __ATOMIC_ACQUIRE) == 0 &&
               __atomic_load_n(&late.drained, __ATOMIC_ACQUIRE) == 0) {
            sched_yield();
        }
    } else if (point == CIOMMU_YIELD_DRAINING && __atomic_load_n(&late.left, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&late.waits, 1, __ATOMIC_RELEASE);
    }
}

static void *drain(void *context) {
    (void)context;
    while (__atomic_load_n(&late.left, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
    late.status = ciommu_memory_drain(late.bench->memory);
    late.heard_by_then = __atomic_load_n(&late.heard, __ATOMIC_ACQUIRE);
    __atomic_store_n(&late.drained, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void waits(struct probe_case_result *result) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.drain_timeout = UINT64_C(600000000000);
    struct case_bench bench;
    if (case_bench_make(&bench, &config, result)) {
        struct ciommu_result out;
        late = (struct late){.bench = &bench};
        (void)ciommu_memory_set_dirty_log(bench.memory, hear, NULL);
        *case_bench_entry(&bench, BENCH_FIRST_0, PAGE) &= ~MARKS;
        bool started = pthread_create(&late.drainer, NULL, drain, NULL) == 0;
        probe_expect(result, started, "no thread");
        __atomic_store_n(&ciommu_yield_hook, started ? hold_up : NULL, __ATOMIC_RELEASE);
        bool fine = case_bench_ask(&bench, 0, PAGE * BENCH_PAGE, CIOMMU_WRITE, &out);
        __atomic_store_n(&late.left, 1, __ATOMIC_RELEASE); /* whatever became of it */
        if (started) {
            pthread_join(late.drainer, NULL);
        }
        __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
        probe_expect(result, fine && late.heard != 0, "a page is not written");
        probe_expect(result, late.status == CIOMMU_OK && late.heard_by_then != 0,
                     "a drain is over before a write from before is reported");
        (void)ciommu_memory_set_dirty_log(bench.memory, NULL, NULL);
    }
    case_bench_unmake(&bench);
}
#endif

static const struct probe_case rows[] = {
#ifdef CIOMMU_INTERNAL_CHECKS
    {"a drain waits for what was written", waits},
#endif
    {NULL, NULL},
};

const struct case_table cases_of_late_reports = {rows, sizeof rows / sizeof *rows - 1};
