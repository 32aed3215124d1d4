/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_marks.c - accessed bits of a nested first stage while the guest moves the table that they
 * lie in: only memory that the second stage lets be written is ever marked.
 */
#include "case_bench.h"
#include "debug.h"

#include <string.h>

/* The first stage's leaf table is a copy on page OLD, which may be read; then one on NEW, which may
 * be written too. They differ in where page MOVED leads. */
#define OLD 40u
#define NEW 41u
#define WARM 1u
#define MOVED 2u
#define TARGET (BENCH_TABLES + 50u)

#define READABLE UINT64_C(1)
#define WRITABLE UINT64_C(3)
#define ACCESSED UINT64_C(0x20)

/* Searches of the memory map that one request makes at most, and a few. */
#define SEARCHES 24u

static uint64_t *place_of_table(struct case_bench *bench) {
    return case_bench_entry(bench, BENCH_SECOND_0, BENCH_FIRST_0);
}

static void lay_out(struct case_bench *bench, struct probe_case_result *result) {
    const uint64_t *table = case_bench_entry(bench, BENCH_FIRST_0, 0);
    memcpy(case_bench_entry(bench, OLD, 0), table, BENCH_PAGE);
    memcpy(case_bench_entry(bench, NEW, 0), table, BENCH_PAGE);
    *case_bench_entry(bench, OLD, MOVED) &= ~ACCESSED;
    *case_bench_entry(bench, NEW, MOVED) = (TARGET * BENCH_PAGE | BENCH_LEAF) & ~ACCESSED;
    *place_of_table(bench) = OLD * BENCH_PAGE | READABLE;
    case_bench_invalidate(bench, BENCH_INVALIDATE_ALL, result);
}

static void move_table(struct case_bench *bench) {
    __atomic_store_n(place_of_table(bench), NEW * BENCH_PAGE | WRITABLE, __ATOMIC_RELEASE);
}

struct heard {
    struct probe_case_result *result;
    uint32_t times;
};

static void hear(void *context, uint64_t address, uint64_t length) {
    struct heard *heard = context;
    heard->times++;
    probe_expect(heard->result, address == NEW * BENCH_PAGE + MOVED * 8 && length == 8,
                 "the dirty log hears of another page");
}

/* The request that needs the mark. */
static bool ask(struct case_bench *bench, struct probe_case_result *result) {
    struct heard heard = {.result = result};
    struct ciommu_result out;
    (void)ciommu_memory_set_dirty_log(bench->memory, hear, &heard);
    bool fine = case_bench_ask(bench, BENCH_NESTED, MOVED * BENCH_PAGE, CIOMMU_READ, &out);
    (void)ciommu_memory_set_dirty_log(bench->memory, NULL, NULL);
    bool marked = (*case_bench_entry(bench, NEW, MOVED) & ACCESSED) != 0;
    probe_expect(result, (*case_bench_entry(bench, OLD, MOVED) & ACCESSED) == 0,
                 "a page was marked that may not be written");
    probe_expect(result, marked == fine && heard.times == (fine ? 1 : 0),
                 "an answer without its mark, or the other way round");
    probe_expect(result, !fine || out.address == TARGET * BENCH_PAGE,
                 "an entry answers that was not marked");
    return fine;
}

/* The table that is known is not the one that is there by now. */
static void check_known(struct case_bench *bench, struct probe_case_result *result) {
    struct ciommu_result out;
    lay_out(bench, result);
    bool fine = case_bench_ask(bench, BENCH_NESTED, WARM * BENCH_PAGE, CIOMMU_READ, &out);
    probe_expect(result, fine && out.address == (BENCH_TABLES + WARM) * BENCH_PAGE,
                 "a page is not read");
    probe_expect(result, !ask(bench, result), "a table that may not be written was marked");
    move_table(bench);
    probe_expect(result, ask(bench, result), "the table that is there was not marked");
}

static void known(struct probe_case_result *result) {
    case_bench_with_caches(result, check_known);
}

#ifdef CIOMMU_INTERNAL_CHECKS
static struct case_bench *moving;
static uint32_t searches;
static uint32_t moves_at;

static void move_at_search(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_SEARCHING && ++searches == moves_at) {
        move_table(moving);
    }
}

/* Between the opening of the table and the mark, or anywhere else on the way. */
static void check_moved(struct case_bench *bench, struct probe_case_result *result) {
    moving = bench;
    for (moves_at = 1; moves_at <= SEARCHES; moves_at++) {
        lay_out(bench, result);
        searches = 0;
        __atomic_store_n(&ciommu_yield_hook, move_at_search, __ATOMIC_RELEASE);
        (void)ask(bench, result);
        __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
        probe_expect(result, searches != 0, "no search of the memory map");
        probe_expect(result, moves_at != SEARCHES || searches < SEARCHES,
                     "a request searches more often than it was tried");
    }
}

static void moved(struct probe_case_result *result) {
    case_bench_with_caches(result, check_moved);
}
#endif

static const struct probe_case rows[] = {
    {"a known table has moved", known},
#ifdef CIOMMU_INTERNAL_CHECKS
    {"a table moves while it is walked", moved},
#endif
};

const struct case_table cases_of_marks = {rows, sizeof rows / sizeof *rows};
