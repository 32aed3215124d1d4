/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * baseline.h - what the designs share: their common head, and the measured loop that each of them
 * inlines.
 */
#ifndef CIOMMU_BENCH_BASELINE_H
#define CIOMMU_BENCH_BASELINE_H

#include "walk.h"

/* One design. `pages` is how many pages of 4 KiB there are to cache. */
struct bench_functions {
    struct bench_baseline *(*create)(uint64_t pages);
    void (*destroy)(struct bench_baseline *baseline);
    uint64_t (*translate)(struct bench_baseline *baseline, enum bench_manner manner,
                          const struct ciommu_request *requests, const uint64_t *answers,
                          uint32_t count);
    void (*invalidate_page)(struct bench_baseline *baseline, uint64_t iova);
    void (*invalidate_domain)(struct bench_baseline *baseline);
};

extern const struct bench_functions bench_mutex_table;
extern const struct bench_functions bench_tree;
extern const struct bench_functions bench_rcu_table;

/* First member of every design's structure. */
struct bench_baseline {
    const struct bench_world *world;
    const struct bench_functions *functions;
    bool caches;
};

/* A requester's number: dense, below world->requesters. */
static INLINE uint32_t bench_requester(const struct bench_world *world, uint32_t source,
                                       uint32_t pasid) {
    uint32_t pasids = world->config.pasids;
    return pasids == 0 ? source / 8 - 1 : (source / 8 - 1) * pasids + (pasid - 1);
}

/* The walk of one request. */
static INLINE uint64_t bench_walk_request(const struct bench_world *world,
                                          const struct ciommu_request *request) {
    return bench_walk(world, bench_space(world, request->source, request->pasid), request->iova);
}

/* How a design answers. All are called between enter and leave. */
struct bench_steps {
    void (*enter)(struct bench_baseline *baseline);
    void (*leave)(struct bench_baseline *baseline);
    /* Pages (address | rights) of up to 32 requests. */
    void (*group)(struct bench_baseline *baseline, const struct ciommu_request *requests,
                  uint64_t *pages, uint32_t count);
    uint64_t (*one)(struct bench_baseline *baseline, const struct ciommu_request *request);
};

static INLINE uint64_t bench_ask_one(struct bench_baseline *baseline,
                                     const struct bench_steps *steps,
                                     const struct ciommu_request *request,
                                     struct bench_answer *answer) {
    uint64_t page = baseline->caches ? steps->one(baseline, request)
                                     : bench_walk_request(baseline->world, request);
    bench_answer_from(baseline->world, page, request, answer);
    return answer->address;
}

static INLINE void bench_ask_group(struct bench_baseline *baseline, const struct bench_steps *steps,
                                   const struct ciommu_request *requests,
                                   struct bench_answer *answers, uint32_t count) {
    uint64_t pages[BENCH_BATCH_SIZE];
    if (baseline->caches) {
        steps->group(baseline, requests, pages, count);
    }
    for (uint32_t index = 0; index < count; index++) {
        if (!baseline->caches) {
            pages[index] = bench_walk_request(baseline->world, &requests[index]);
        }
        bench_answer_from(baseline->world, pages[index], &requests[index], &answers[index]);
    }
}

/* The loop of bench_baseline_translate, without clock; what was wrong. */
static INLINE uint64_t bench_baseline_loop(struct bench_baseline *baseline,
                                           const struct bench_steps *steps,
                                           enum bench_manner manner,
                                           const struct ciommu_request *requests,
                                           const uint64_t *answers, uint32_t count) {
    struct bench_answer results[BENCH_BATCH_SIZE];
    uint64_t wrong = 0;
    if (manner == BENCH_BATCH || manner == BENCH_BATCH_16) {
        uint32_t most = manner == BENCH_BATCH ? BENCH_BATCH_SIZE : BENCH_BATCH_SIZE / 2;
        for (uint32_t begin = 0; begin < count; begin += most) {
            uint32_t size = count - begin < most ? count - begin : most;
            steps->enter(baseline);
            bench_ask_group(baseline, steps, &requests[begin], results, size);
            steps->leave(baseline);
            for (uint32_t index = 0; index < size; index++) {
                wrong |= results[index].address ^ answers[begin + index];
            }
        }
        return wrong;
    }
    if (manner == BENCH_SECTION) {
        steps->enter(baseline);
        for (uint32_t index = 0; index < count; index++) {
            wrong |= bench_ask_one(baseline, steps, &requests[index], results) ^ answers[index];
        }
        steps->leave(baseline);
        return wrong;
    }
    for (uint32_t index = 0; index < count; index++) {
        steps->enter(baseline);
        wrong |= bench_ask_one(baseline, steps, &requests[index], results) ^ answers[index];
        steps->leave(baseline);
    }
    return wrong;
}

#endif
