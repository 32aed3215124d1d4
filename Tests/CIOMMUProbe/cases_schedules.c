/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_schedules.c - the races between one translation and one invalidation that the protocol's
 * rules are about, each as the one order of steps that it takes. Threads stop each other at yield
 * points; without them there is nothing to do.
 */
#define _GNU_SOURCE
#include "case_bench.h"
#include "debug.h"

#include <pthread.h>
#include <sched.h>

#ifdef CIOMMU_INTERNAL_CHECKS

#define IOVA (3 * BENCH_PAGE)
#define OLD (BENCH_TABLES + 3u)
#define NEW (BENCH_TABLES + 50u)

/* Who stops where. The guest changes the page before its invalidation begins. */
static struct schedule {
    struct case_bench *bench;
    struct probe_case_result *result;
    uint32_t reader_at;  /* where the translation lets the invalidation begin; COUNT = before it */
    uint32_t changer_at; /* where the invalidation waits for the translation's section to end */
    uint32_t begun;
    uint32_t reached;
    uint32_t released;
    pthread_t changer;
} schedule;

static void wait_for(const uint32_t *flag) {
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
}

static void *change(void *context) {
    (void)context;
    case_bench_invalidate(schedule.bench, BENCH_INVALIDATE_PASID_PAGE(0, IOVA), schedule.result);
    return NULL;
}

/* Returns when the invalidation has come to its point. */
static void begin_change(void) {
    schedule.begun = 1;
    __atomic_store_n(case_bench_entry(schedule.bench, BENCH_FIRST_0, 3),
                     NEW * BENCH_PAGE | BENCH_LEAF, __ATOMIC_RELEASE);
    probe_expect(schedule.result, pthread_create(&schedule.changer, NULL, change, NULL) == 0,
                 "no thread");
    wait_for(&schedule.reached);
}

static void stop(enum ciommu_yield_point point) {
    if (schedule.begun == 0 && point == schedule.reader_at) {
        begin_change();
    } else if (schedule.begun != 0 && point == schedule.changer_at &&
               pthread_equal(pthread_self(), schedule.changer)) {
        __atomic_store_n(&schedule.reached, 1, __ATOMIC_RELEASE);
        wait_for(&schedule.released);
    }
}

static void expect_new(struct case_bench *bench, struct probe_case_result *result) {
    for (uint32_t time = 0; time < 3; time++) {
        struct ciommu_result out;
        bool fine = case_bench_ask(bench, 0, IOVA, CIOMMU_READ, &out);
        probe_expect(result, fine && out.address == NEW * BENCH_PAGE,
                     "what an invalidation covered is back");
    }
}

static void run(struct case_bench *bench, uint32_t reader_at, uint32_t changer_at,
                struct probe_case_result *result) {
    struct ciommu_result out;
    schedule = (struct schedule){
        .bench = bench, .result = result, .reader_at = reader_at, .changer_at = changer_at};
    /* The binding is known, a page size in use, and the page itself perhaps in the IOTLB. */
    bool warm = case_bench_ask(bench, 0, 0, CIOMMU_READ, &out);
    if (reader_at == CIOMMU_YIELD_COUNT) {
        out.size = sizeof out;
        warm = ciommu_translate(bench->unit, NULL, 0, CIOMMU_NO_PASID, IOVA, CIOMMU_READ, 0,
                                &out) == CIOMMU_OK &&
               warm;
    }
    probe_expect(result, warm, "a page is not read");
    __atomic_store_n(&ciommu_yield_hook, stop, __ATOMIC_RELEASE);
    if (reader_at == CIOMMU_YIELD_COUNT) {
        begin_change();
    }
    bool fine = case_bench_ask(bench, 0, IOVA, CIOMMU_READ, &out);
    probe_expect(result,
                 fine && (out.address == OLD * BENCH_PAGE || out.address == NEW * BENCH_PAGE),
                 "a page is neither where it was nor where it is");
    probe_expect(result, schedule.begun != 0, "the translation did not come by");
    __atomic_store_n(&schedule.released, 1, __ATOMIC_RELEASE);
    if (schedule.begun != 0) {
        pthread_join(schedule.changer, NULL);
    }
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    expect_new(bench, result);
}

static void check_between(struct case_bench *bench, struct probe_case_result *result) {
    run(bench, CIOMMU_YIELD_WALKED, CIOMMU_YIELD_CLEARED, result);
}

static void check_after(struct case_bench *bench, struct probe_case_result *result) {
    run(bench, CIOMMU_YIELD_WALKED, CIOMMU_YIELD_BEFORE_DRAIN, result);
}

static void check_before(struct case_bench *bench, struct probe_case_result *result) {
    run(bench, CIOMMU_YIELD_COUNT, CIOMMU_YIELD_BUMPED, result);
}
#else
static void check_between(struct case_bench *bench, struct probe_case_result *result) {
    (void)bench;
    (void)result;
}

static void check_after(struct case_bench *bench, struct probe_case_result *result) {
    check_between(bench, result);
}

static void check_before(struct case_bench *bench, struct probe_case_result *result) {
    check_between(bench, result);
}
#endif

static void between(struct probe_case_result *result) {
    case_bench_with_caches(result, check_between);
}

static void after(struct probe_case_result *result) {
    case_bench_with_caches(result, check_after);
}

static void before(struct probe_case_result *result) {
    case_bench_with_caches(result, check_before);
}

static const struct probe_case rows[] = {
    {"walked before, kept between the scan and the last bump", between},
    {"walked before, kept after everything is bumped", after},
    {"copied from an entry that is not cleared yet", before},
};

const struct case_table cases_of_schedules = {rows, sizeof rows / sizeof *rows};
