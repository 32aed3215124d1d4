/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * baseline.c - the usual designs behind one interface.
 */
#include "baseline.h"

#define MOST_CACHED (UINT64_C(1) << 21)

static const struct bench_functions *const designs[] = {
    [BENCH_MUTEX_TABLE] = &bench_mutex_table,
    [BENCH_TREE] = &bench_tree,
    [BENCH_RCU_TABLE] = &bench_rcu_table,
};

struct bench_baseline *bench_baseline_create(const struct bench_world *world,
                                             enum bench_design design, bool caches) {
    enum bench_way way = world->config.way;
    if (way != BENCH_GUEST_SECOND && way != BENCH_GUEST_NESTED) {
        bench_fail("a baseline walks a guest's second stage or nested tables only");
    }
    uint64_t pages = (uint64_t)world->config.pages * world->requesters
                     << (world->config.page_lg2 - 12);
    pages = pages < MOST_CACHED ? pages : MOST_CACHED;
    struct bench_baseline *baseline = designs[design]->create(caches ? pages : 1);
    baseline->world = world;
    baseline->functions = designs[design];
    baseline->caches = caches;
    return baseline;
}

void bench_baseline_destroy(struct bench_baseline *baseline) {
    if (baseline != NULL) {
        baseline->functions->destroy(baseline);
    }
}

uint64_t bench_baseline_translate(struct bench_baseline *baseline, enum bench_manner manner,
                                  const struct ciommu_request *requests, const uint64_t *answers,
                                  uint32_t count) {
    uint64_t begin = bench_now();
    uint64_t wrong = baseline->functions->translate(baseline, manner, requests, answers, count);
    uint64_t end = bench_now();
    bench_must_be_right(wrong);
    return end - begin;
}

void bench_baseline_warm(struct bench_baseline *baseline) {
    const struct bench_world *world = baseline->world;
    uint32_t pasids = world->config.pasids == 0 ? 1 : world->config.pasids;
    for (uint32_t requester = 0; requester < world->requesters; requester++) {
        uint32_t source = bench_source(requester / pasids);
        uint32_t pasid = bench_pasid(world, requester % pasids);
        uint32_t space = bench_space(world, source, pasid);
        for (uint32_t page = 0; page < world->config.pages; page++) {
            const struct ciommu_request request = {.source = source,
                                                   .pasid = pasid,
                                                   .iova = bench_iova(world, page),
                                                   .access = CIOMMU_READ};
            uint64_t answer = bench_output(world, space, page);
            bench_must_be_right(
                baseline->functions->translate(baseline, BENCH_SINGLE, &request, &answer, 1));
        }
    }
}

void bench_baseline_invalidate_page(struct bench_baseline *baseline, uint64_t iova) {
    if (baseline->world->config.page_lg2 != 12) {
        bench_fail("baselines drop pages of 4 KiB only");
    }
    baseline->functions->invalidate_page(baseline, iova);
}

void bench_baseline_invalidate_domain(struct bench_baseline *baseline) {
    baseline->functions->invalidate_domain(baseline);
}
