/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_cuts.c - large leaves of a nested first stage over a second stage of smaller pages: caches
 * hold them in parts, and an invalidation of one page takes all parts with it.
 */
#define _GNU_SOURCE
#include "case_bench.h"
#include "debug.h"

#include <pthread.h>
#include <sched.h>

#define MIB2 (UINT64_C(1) << 21)
#define GIB (UINT64_C(1) << 30)
#define SECOND_2 10u
#define SECOND_1 11u
#define PAGES_ELSEWHERE BENCH_SPARE /* leaf table of the second stage */
#define LARGE_HERE (BENCH_SPARE + 1)
#define LARGE_ELSEWHERE (BENCH_SPARE + 2)
#define PAGES_FAR (BENCH_SPARE + 3)
#define SHIFT 64u

/* A large leaf of the first stage, and where its parts lie while it points to guest address `old`,
 * and when it points to `other`. */
struct cut {
    uint32_t table; /* of the leaf */
    uint64_t iova;
    uint64_t old;
    uint64_t other;
    uint64_t part; /* size of the second stage's pages */
    uint64_t old_output;
    uint64_t other_output;
};

static const struct cut cuts[] = {
    {BENCH_FIRST_1, MIB2, 0, MIB2, BENCH_PAGE, 0, SHIFT *BENCH_PAGE},
    {BENCH_FIRST_2, GIB, 0, GIB, BENCH_PAGE, 0, SHIFT *BENCH_PAGE},
    {BENCH_FIRST_2, GIB, 2 * GIB, 4 * GIB, MIB2, 0, 8 * MIB2},
};

static void lay_out(struct case_bench *bench) {
    for (uint32_t page = 0; page < SHIFT; page++) {
        *case_bench_entry(bench, PAGES_ELSEWHERE, page) = (page + SHIFT) * BENCH_PAGE | 3;
    }
    for (uint32_t large = 0; large < 8; large++) {
        *case_bench_entry(bench, LARGE_HERE, large) = large * MIB2 | 3 | BENCH_LARGE;
        *case_bench_entry(bench, LARGE_ELSEWHERE, large) = (large + 8) * MIB2 | 3 | BENCH_LARGE;
    }
    *case_bench_entry(bench, PAGES_FAR, 0) = PAGES_ELSEWHERE * BENCH_PAGE | 3;
    *case_bench_entry(bench, SECOND_1, 1) = PAGES_ELSEWHERE * BENCH_PAGE | 3;
    *case_bench_entry(bench, SECOND_2, 1) = PAGES_FAR * BENCH_PAGE | 3;
    *case_bench_entry(bench, SECOND_2, 2) = LARGE_HERE * BENCH_PAGE | 3;
    *case_bench_entry(bench, SECOND_2, 4) = LARGE_ELSEWHERE * BENCH_PAGE | 3;
}

/* Points the large leaf, which is entry 1 of its table, to a guest address. */
static void point(struct case_bench *bench, const struct cut *cut, uint64_t guest) {
    __atomic_store_n(case_bench_entry(bench, cut->table, 1), guest | BENCH_LEAF | BENCH_LARGE,
                     __ATOMIC_RELEASE);
}

static void expect_part(struct case_bench *bench, const struct cut *cut, uint64_t part,
                        uint64_t output, struct probe_case_result *result) {
    struct ciommu_result out;
    uint64_t offset = part * cut->part;
    bool fine = case_bench_ask(bench, BENCH_NESTED, cut->iova + offset, CIOMMU_READ, &out);
    probe_expect(result, fine && out.address == output + offset && out.mask == cut->part - 1,
                 "a part of a large leaf is not where it is");
}

/* What an observer hears is the page that the guest named. */
static void hear(void *context, const struct ciommu_invalidation *what) {
    uint64_t *heard = context;
    heard[0] = what->first;
    heard[1] = what->last;
}

static void check_parts(struct case_bench *bench, struct probe_case_result *result) {
    uint32_t observer = 0;
    uint64_t heard[2] = {0};
    lay_out(bench);
    probe_expect(result, ciommu_observer_add(bench->unit, hear, heard, &observer) == CIOMMU_OK,
                 "no observer");
    for (uint32_t index = 0; index < sizeof cuts / sizeof *cuts; index++) {
        const struct cut *cut = &cuts[index];
        uint64_t named = cut->iova + 5 * cut->part;
        point(bench, cut, cut->old);
        case_bench_invalidate(bench, BENCH_INVALIDATE_PASID(BENCH_NESTED), result);
        for (uint32_t part = 0; part < 8; part++) {
            expect_part(bench, cut, part, cut->old_output, result);
        }
        point(bench, cut, cut->other);
        case_bench_invalidate(bench, BENCH_INVALIDATE_PASID_PAGE(BENCH_NESTED, named), result);
        probe_expect(result, heard[0] == named && heard[1] == named + BENCH_PAGE - 1,
                     "an observer hears of something else");
        for (uint32_t part = 0; part < 8; part++) {
            expect_part(bench, cut, part, cut->other_output, result);
        }
    }
    probe_expect(result, ciommu_observer_remove(bench->unit, observer) == CIOMMU_OK,
                 "no observer to remove");
}

static void parts(struct probe_case_result *result) {
    case_bench_with_caches(result, check_parts);
}

/* Several pages of one leaf in a batch, and a leaf that comes after it. */
static void check_whole_leaves(struct case_bench *bench, struct probe_case_result *result) {
    const struct cut *cut = &cuts[0];
    struct ciommu_result out;
    lay_out(bench);
    point(bench, cut, cut->old);
    expect_part(bench, cut, 0, cut->old_output, result);
    /* Leaves that were not cut stay apart: a page of the lowest level next to them. */
    bool fine = case_bench_ask(bench, BENCH_NESTED, 3 * BENCH_PAGE, CIOMMU_READ, &out);
    probe_expect(result, fine, "a page is not read");
    *case_bench_entry(bench, BENCH_FIRST_0, 3) = (BENCH_TABLES + 50) * BENCH_PAGE | BENCH_LEAF;
    case_bench_invalidate(bench, BENCH_INVALIDATE_PASID_PAGE(BENCH_NESTED, 3 * BENCH_PAGE), result);
    fine = case_bench_ask(bench, BENCH_NESTED, 3 * BENCH_PAGE, CIOMMU_READ, &out);
    probe_expect(result, fine && out.address == (BENCH_TABLES + 50) * BENCH_PAGE,
                 "a page beside a large leaf is kept");
    *case_bench_entry(bench, BENCH_FIRST_0, 3) = (BENCH_TABLES + 3) * BENCH_PAGE | BENCH_LEAF;
    /* The second stage's change takes everything, and the parts are found to be parts again. */
    case_bench_invalidate(bench, BENCH_INVALIDATE_DOMAIN(BENCH_NESTED + 1), result);
    expect_part(bench, cut, 0, cut->old_output, result);
    point(bench, cut, cut->other);
    case_bench_invalidate(
        bench, BENCH_INVALIDATE_PASID_PAGE(BENCH_NESTED, cut->iova + MIB2 - BENCH_PAGE), result);
    expect_part(bench, cut, 0, cut->other_output, result);
}

static void whole_leaves(struct probe_case_result *result) {
    case_bench_with_caches(result, check_whole_leaves);
}

#ifdef CIOMMU_INTERNAL_CHECKS

/* ---- A part is kept while an invalidation of another one runs ---- */

static struct meeting {
    struct case_bench *bench;
    struct probe_case_result *result;
    uint32_t begun;
    uint32_t met; /* the invalidation has cleared what it clears, or waits for the inserter */
    pthread_t changer;
} meeting;

static void *change(void *context) {
    (void)context;
    case_bench_invalidate(meeting.bench,
                          BENCH_INVALIDATE_PASID_PAGE(BENCH_NESTED, cuts[0].iova + 5 * BENCH_PAGE),
                          meeting.result);
    return NULL;
}

static void meet(enum ciommu_yield_point point_met) {
    if (meeting.begun == 0 && point_met == CIOMMU_YIELD_INSERTING) {
        meeting.begun = 1;
        point(meeting.bench, &cuts[0], cuts[0].other);
        probe_expect(meeting.result, pthread_create(&meeting.changer, NULL, change, NULL) == 0,
                     "no thread");
        while (__atomic_load_n(&meeting.met, __ATOMIC_ACQUIRE) == 0) {
            sched_yield();
        }
    } else if (meeting.begun != 0 &&
               (point_met == CIOMMU_YIELD_STRIPE_BUSY || point_met == CIOMMU_YIELD_CLEARED)) {
        __atomic_store_n(&meeting.met, 1, __ATOMIC_RELEASE);
    }
}

static void inserted_beside(struct probe_case_result *result) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    struct case_bench bench;
    if (case_bench_make(&bench, &config, result)) {
        struct ciommu_result out;
        lay_out(&bench);
        point(&bench, &cuts[0], cuts[0].old);
        /* The binding is known, and the parts' size in use, of a leaf that is whole. */
        bool fine = case_bench_ask(&bench, BENCH_NESTED, 0, CIOMMU_READ, &out);
        probe_expect(result, fine, "a page is not read");
        meeting = (struct meeting){.bench = &bench, .result = result};
        __atomic_store_n(&ciommu_yield_hook, meet, __ATOMIC_RELEASE);
        expect_part(&bench, &cuts[0], 0, cuts[0].old_output, result);
        probe_expect(result, meeting.begun != 0, "nothing was inserted");
        if (meeting.begun != 0) {
            pthread_join(meeting.changer, NULL);
        }
        __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
        for (uint32_t time = 0; time < 3; time++) {
            expect_part(&bench, &cuts[0], 0, cuts[0].other_output, result);
        }
    }
    case_bench_unmake(&bench);
}
#endif

static const struct probe_case rows[] = {
    {"a page takes all parts of its leaf", parts},
    {"leaves beside parts, and parts anew", whole_leaves},
#ifdef CIOMMU_INTERNAL_CHECKS
    {"a part is kept while another is invalidated", inserted_beside},
#endif
};

const struct case_table cases_of_cuts = {rows, sizeof rows / sizeof *rows};
