/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_caches.c - what must be gone after a change: entries of the IOTLB, known tables, host
 * pointers, tags. One thread; the races are the stress worlds'.
 */
#include "case_bench.h"
#include "audit.h"
#include "ciommu_invalidation.h"
#include "debug.h"
#include "probe.h"
#include "unit.h"

#include <sched.h>
#include <string.h>

/* The page of `iova` lies in data page `page`. */
static void expect_at(struct case_bench *bench, uint32_t device, uint64_t iova, uint64_t page,
                      const char *what, struct probe_case_result *result) {
    for (uint32_t time = 0; time < 2; time++) {
        struct ciommu_result out;
        bool fine = case_bench_ask(bench, device, iova, CIOMMU_READ, &out);
        probe_expect(result, fine && out.address == page * BENCH_PAGE, what);
    }
}

/* ---- Invalidations ---- */

enum { AFRESH_PAGE, AFRESH_PASID, AFRESH_DOMAIN, AFRESH_ALL, AFRESH_KINDS };

static void invalidate(struct case_bench *bench, uint32_t kind, uint64_t iova,
                       struct probe_case_result *result) {
    switch (kind) {
    case AFRESH_PAGE:
        case_bench_invalidate(bench, BENCH_INVALIDATE_PASID_PAGE(0, iova), result);
        break;
    case AFRESH_PASID:
        case_bench_invalidate(bench, BENCH_INVALIDATE_PASID(0), result);
        break;
    case AFRESH_DOMAIN:
        case_bench_invalidate(bench, BENCH_INVALIDATE_DOMAIN(1), result);
        break;
    default:
        case_bench_invalidate(bench, BENCH_INVALIDATE_ALL, result);
    }
}

/* A small page, and a page in the middle of a large one. */
static void check_afresh(struct case_bench *bench, struct probe_case_result *result) {
    uint64_t *small = case_bench_entry(bench, BENCH_FIRST_0, 3);
    uint64_t *large = case_bench_entry(bench, BENCH_FIRST_1, 1);
    for (uint32_t kind = 0; kind < AFRESH_KINDS; kind++) {
        uint64_t page = BENCH_TABLES + 10 + kind;
        expect_at(bench, 0, 0, BENCH_TABLES, "a page is not where it should be", result);
        expect_at(bench, 0, 3 * BENCH_PAGE, *small / BENCH_PAGE, "a page is not found", result);
        *small = page * BENCH_PAGE | BENCH_LEAF;
        invalidate(bench, kind, 3 * BENCH_PAGE, result);
        expect_at(bench, 0, 0, BENCH_TABLES, "a page is not where it should be", result);
        expect_at(bench, 0, 3 * BENCH_PAGE, page, "a page is stale", result);

        *large = BENCH_LEAF | BENCH_LARGE;
        invalidate(bench, AFRESH_ALL, 0, result);
        expect_at(bench, 0, 0, BENCH_TABLES, "a page is not where it should be", result);
        expect_at(bench, 0, 0x200000 + 5 * BENCH_PAGE, 5, "a large page is not found", result);
        *large = BENCH_LEAF | BENCH_LARGE | UINT64_C(0x200000);
        invalidate(bench, kind, 0x200000 + 5 * BENCH_PAGE, result);
        expect_at(bench, 0, 0x200000 + 5 * BENCH_PAGE, 512 + 5, "a large page is stale", result);
    }
}

static void afresh(struct probe_case_result *result) {
    case_bench_with_caches(result, check_afresh);
}

/* Two ranges that do not touch, in one segment. */
static void check_ranges(struct case_bench *bench, struct probe_case_result *result) {
    const uint32_t pages[3] = {1, 9, 20};
    uint64_t entries[3][4] = {{0}};
    for (uint32_t index = 0; index < 3; index++) {
        uint64_t iova = pages[index] * BENCH_PAGE;
        expect_at(bench, 0, iova, BENCH_TABLES + pages[index], "a page is not found", result);
        *case_bench_entry(bench, BENCH_FIRST_0, pages[index]) =
            (BENCH_TABLES + 40 + index) * BENCH_PAGE | BENCH_LEAF;
        const uint64_t words[2] = {BENCH_INVALIDATE_PASID_PAGE(0, iova)};
        memcpy(entries[2 - index], words, sizeof words);
    }
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_256,
        .entries = entries,
        .entry_length = sizeof entries[0],
        .count = 3,
    };
    struct ciommu_batch_result told = {.size = sizeof told};
    probe_expect(result,
                 ciommu_batch_apply(bench->unit, NULL, &batch, NULL, &told) == CIOMMU_OK &&
                     told.handled == 3,
                 "a batch is refused");
    for (uint32_t index = 0; index < 3; index++) {
        expect_at(bench, 0, pages[index] * BENCH_PAGE, BENCH_TABLES + 40 + index,
                  "a page of a batch is stale", result);
    }
}

static void ranges(struct probe_case_result *result) {
    case_bench_with_caches(result, check_ranges);
}

/* ---- Parents ---- */

/* The second stage moves a data page, and then the first stage's leaf table. */
static void check_child(struct case_bench *bench, struct probe_case_result *result) {
    expect_at(bench, BENCH_NESTED, BENCH_PAGE, BENCH_TABLES + 1, "a page is not found", result);
    *case_bench_entry(bench, BENCH_SECOND_0, BENCH_TABLES + 1) = 60 * BENCH_PAGE | 3;
    case_bench_invalidate(
        bench, BENCH_INVALIDATE_PAGES(BENCH_NESTED + 1, (BENCH_TABLES + 1) * BENCH_PAGE | 1 << 6),
        result);
    expect_at(bench, BENCH_NESTED, BENCH_PAGE, 60, "a parent's page is stale", result);

    uint64_t *moved = case_bench_entry(bench, BENCH_SPARE, 0);
    memcpy(moved, case_bench_entry(bench, BENCH_FIRST_0, 0), BENCH_PAGE);
    moved[2] = (BENCH_TABLES + 30) * BENCH_PAGE | BENCH_LEAF;
    expect_at(bench, BENCH_NESTED, 2 * BENCH_PAGE, BENCH_TABLES + 2, "a page is not found", result);
    *case_bench_entry(bench, BENCH_SECOND_0, BENCH_FIRST_0) = BENCH_SPARE * BENCH_PAGE | 3;
    case_bench_invalidate(
        bench, BENCH_INVALIDATE_PAGES(BENCH_NESTED + 1, BENCH_FIRST_0 * BENCH_PAGE | 1 << 6),
        result);
    expect_at(bench, BENCH_NESTED, 2 * BENCH_PAGE, BENCH_TABLES + 30,
              "a table that its parent moved is still read", result);
}

static void parents(struct probe_case_result *result) {
    case_bench_with_caches(result, check_child);
}

/* ---- Memory ---- */

static void replace(struct case_bench *bench, uint64_t first, uint64_t pages,
                    struct probe_case_result *result) {
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = CIOMMU_READ | CIOMMU_WRITE,
        .address = first * BENCH_PAGE,
        .length = pages * BENCH_PAGE,
        .host = (unsigned char *)bench->other + first * BENCH_PAGE,
    };
    probe_expect(result, ciommu_memory_replace(bench->memory, &range) == CIOMMU_OK,
                 "memory is not replaced");
}

/* Data and tables move to other host memory; what was there is then overwritten. */
static void check_memory(struct case_bench *bench, struct probe_case_result *result) {
    expect_at(bench, 0, BENCH_PAGE, BENCH_TABLES + 1, "a page is not found", result);
    replace(bench, BENCH_TABLES, BENCH_PAGES - BENCH_TABLES, result);
    struct ciommu_result out;
    ciommu_port_enter(bench->port);
    bool fine = case_bench_ask(bench, 0, BENCH_PAGE, CIOMMU_READ, &out);
    ciommu_port_leave(bench->port);
    const unsigned char *host =
        (const unsigned char *)bench->other + (BENCH_TABLES + 1) * BENCH_PAGE;
    probe_expect(result, fine && out.host == host, "a host pointer is stale");

    memcpy(bench->other, bench->ram, BENCH_TABLES * BENCH_PAGE);
    replace(bench, 0, BENCH_TABLES, result);
    memset(bench->ram, 0, BENCH_TABLES * BENCH_PAGE);
    expect_at(bench, 0, BENCH_PAGE, BENCH_TABLES + 1, "a page is lost", result);
    expect_at(bench, 0, 2 * BENCH_PAGE, BENCH_TABLES + 2, "an old table is read", result);
    expect_at(bench, BENCH_NESTED, BENCH_PAGE, BENCH_TABLES + 1, "a page is lost", result);
}

static void memory(struct probe_case_result *result) {
    case_bench_with_caches(result, check_memory);
}

/* ---- Tags ---- */

#ifdef CIOMMU_INTERNAL_CHECKS
/* Between device 1's load of its tag and its look into the IOTLB all tags are renewed, device 0
 * gets that tag, and puts the same page into the IOTLB. */
static struct {
    struct case_bench *bench;
    struct ciommu_port *port;
    struct ciommu_space *spaces[2];
    pthread_t thread;
    uint32_t due;
    bool twice;
    bool uncleared; /* the IOTLB is as it was before the second renewal */
} renewal;

static void *invalidate_first(void *context) {
    (void)context;
    const uint64_t words[4] = {BENCH_INVALIDATE_PASID(0), 0, 0};
    struct ciommu_descriptor_result told = {.size = sizeof told};
    (void)ciommu_invalidate_descriptor(renewal.bench->unit, NULL, words, true, &told);
    return NULL;
}

/* A second renewal, after device 1's look: what that finds stays until the next one. Device 1 gets
 * the tag that it had, because device 0's space is none for that time. */
static void renew_again(struct ciommu_unit *unit) {
    struct iotlb none = {0};
    ciommu_audits_end(); /* device 0's space keeps no tag */
    pthread_mutex_lock(&unit->table_lock);
    unit->spaces.iotlb = &none;
    renewal.spaces[0]->alive = false;
    unit->spaces.next_tag = IOTLB_TAG_MAX + 1;
    ciommu_spaces_renew_tags(&unit->spaces);
    renewal.spaces[0]->alive = true;
    unit->spaces.iotlb = &unit->iotlb;
    renewal.uncleared = true;
    pthread_mutex_unlock(&unit->table_lock);
}

static void renew(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_PROBING && renewal.uncleared) {
        renewal.uncleared = false;
        ciommu_iotlb_clear(&renewal.bench->unit->iotlb);
    }
    if (point != CIOMMU_YIELD_PROBING || renewal.due == 0) {
        return;
    }
    renewal.due = 0;
    struct ciommu_unit *unit = renewal.bench->unit;
    pthread_mutex_lock(&unit->table_lock);
    unit->spaces.next_tag = IOTLB_TAG_MAX + 1;
    pthread_mutex_unlock(&unit->table_lock);
    pthread_create(&renewal.thread, NULL, invalidate_first, NULL); /* it waits for our section */
    while ((uint32_t)__atomic_load_n(&renewal.spaces[0]->tag, __ATOMIC_ACQUIRE) != 1) {
        sched_yield();
    }
    pthread_mutex_lock(&unit->table_lock); /* the generations are moved too */
    pthread_mutex_unlock(&unit->table_lock);
    struct ciommu_result out = {.size = sizeof out};
    (void)ciommu_translate(unit, renewal.port, 0, CIOMMU_NO_PASID, 3 * BENCH_PAGE, CIOMMU_READ, 0,
                           &out);
    if (renewal.twice) {
        renew_again(unit);
    }
}

static void renew_beside(struct probe_case_result *result, bool twice) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.walk_cache_entries = 0;
    config.first_level_entries = 0;
    struct case_bench bench;
    if (case_bench_make(&bench, &config, result) &&
        ciommu_port_create(bench.unit, &renewal.port) == CIOMMU_OK) {
        /* The same first stage, but for the leaf table. */
        for (uint32_t level = 0; level < 3; level++) {
            *case_bench_entry(&bench, BENCH_SPARE + level, 0) =
                (BENCH_SPARE + level + 1) * BENCH_PAGE | BENCH_ENTRY;
        }
        *case_bench_entry(&bench, BENCH_SPARE + 3, 3) = 70 * BENCH_PAGE | BENCH_LEAF;
        *case_bench_entry(&bench, 8, 8 + 2) = BENCH_SPARE * BENCH_PAGE;
        expect_at(&bench, 0, 3 * BENCH_PAGE, BENCH_TABLES + 3, "a page is not found", result);
        expect_at(&bench, 1, 3 * BENCH_PAGE, 70, "a page is not found", result);
        renewal.bench = &bench;
        renewal.spaces[0] = &bench.unit->spaces.pool[1];
        renewal.spaces[1] = &bench.unit->spaces.pool[2];
        /* Renewed, the first one has tag 1: which is now the second one's. */
        pthread_mutex_lock(&bench.unit->table_lock);
        renewal.spaces[0]->tag = 100;
        renewal.spaces[1]->tag = 1;
        ciommu_iotlb_clear(&bench.unit->iotlb);
        pthread_mutex_unlock(&bench.unit->table_lock);
        renewal.due = 1;
        renewal.twice = twice;
        __atomic_store_n(&ciommu_yield_hook, renew, __ATOMIC_RELEASE);
        expect_at(&bench, 1, 3 * BENCH_PAGE, 70, "a tag was another's", result);
        __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
        probe_expect(result, renewal.due == 0, "the IOTLB was not asked");
        if (renewal.due == 0) {
            pthread_join(renewal.thread, NULL);
        }
        (void)ciommu_port_destroy(renewal.port);
    }
    case_bench_unmake(&bench);
}
#else
static void renew_beside(struct probe_case_result *result, bool twice) {
    (void)result; /* nothing can come in between */
    (void)twice;
}
#endif

static void tags(struct probe_case_result *result) {
    renew_beside(result, false);
}

static void tags_again(struct probe_case_result *result) {
    renew_beside(result, true);
}

static const struct probe_case rows[] = {
    {"what was invalidated is read anew", afresh},
    {"every range of a batch is dropped", ranges},
    {"a parent's change reaches its child", parents},
    {"host pointers die with the memory map", memory},
    {"a renewed tag is another's", tags},
    {"a tag that comes back is not the same", tags_again},
};

const struct case_table cases_of_caches = {rows, sizeof rows / sizeof *rows};
