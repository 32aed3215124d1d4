/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * translate_loops.c - measured loops over the engine. Inlining is left to the compiler, as in a
 * host.
 */
#include "world.h"

#include <ciommu_inline.h>

/* One call each; what is wrong with the answers. */
static INLINE uint64_t ask_one(struct bench_world *world, struct ciommu_port *port,
                               const struct ciommu_request *request, uint64_t answer,
                               struct ciommu_result *result) {
    uint64_t status = ciommu_translate(world->unit, port, request->source, request->pasid,
                                       request->iova, request->access, request->flags, result);
    return status | result->outcome | (result->address ^ answer);
}

static uint64_t ask_singly(struct bench_world *world, struct ciommu_port *port,
                           const struct ciommu_request *requests, const uint64_t *answers,
                           uint32_t count) {
    struct ciommu_result result = {.size = sizeof result};
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < count; index++) {
        wrong |= ask_one(world, port, &requests[index], answers[index], &result);
    }
    return wrong;
}

static uint64_t ask_in_batches(struct ciommu_port *port, const struct ciommu_request *requests,
                               const uint64_t *answers, uint32_t count, uint32_t most) {
    struct ciommu_result results[BENCH_BATCH_SIZE];
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < BENCH_BATCH_SIZE; index++) {
        results[index].size = sizeof results[index];
    }
    for (uint32_t begin = 0; begin < count; begin += most) {
        uint32_t size = count - begin < most ? count - begin : most;
        wrong |= ciommu_translate_batch(port, &requests[begin], results, size, NULL);
        for (uint32_t index = 0; index < size; index++) {
            wrong |= results[index].outcome | (results[index].address ^ answers[begin + index]);
        }
    }
    return wrong;
}

static void pass_sections(struct ciommu_port *port, uint32_t count) {
    for (uint32_t index = 0; index < count; index++) {
        ciommu_enter(port);
        ciommu_leave(port);
    }
}

uint64_t bench_world_translate(struct bench_world *world, uint32_t lane, enum bench_manner manner,
                               const struct ciommu_request *requests, const uint64_t *answers,
                               uint32_t count) {
    struct ciommu_port *port = world->ports[lane];
    uint64_t wrong = 0;
    uint64_t begin = bench_now();
    if (manner == BENCH_BATCH || manner == BENCH_BATCH_16) {
        uint32_t most = manner == BENCH_BATCH ? BENCH_BATCH_SIZE : BENCH_BATCH_SIZE / 2;
        wrong = ask_in_batches(port, requests, answers, count, most);
    } else if (manner == BENCH_EMPTY) {
        pass_sections(port, count);
    } else if (manner == BENCH_SECTION) {
        ciommu_port_enter(port);
        wrong = ask_singly(world, port, requests, answers, count);
        ciommu_port_leave(port);
    } else {
        wrong = ask_singly(world, port, requests, answers, count);
    }
    uint64_t end = bench_now();
    bench_must_be_right(wrong);
    return end - begin;
}

/* Pages 0...pages-1 of a requester through a lane. */
static void ask_pages(struct bench_world *world, uint32_t lane, uint32_t requester,
                      uint32_t pages) {
    struct ciommu_result result = {.size = sizeof result};
    uint32_t pasids = world->config.pasids == 0 ? 1 : world->config.pasids;
    uint32_t source = bench_source(requester / pasids);
    uint32_t pasid = bench_pasid(world, requester % pasids);
    uint32_t space = bench_space(world, source, pasid);
    for (uint32_t page = 0; page < pages; page++) {
        const struct ciommu_request request = {.source = source,
                                               .pasid = pasid,
                                               .iova = bench_iova(world, page),
                                               .access = CIOMMU_READ};
        bench_must_be_right(ask_one(world, world->ports[lane], &request,
                                    bench_output(world, space, page), &result));
    }
}

void bench_world_warm(struct bench_world *world) {
    for (uint32_t lane = 0; lane < world->config.lanes; lane++) {
        for (uint32_t requester = 0; requester < world->requesters; requester++) {
            ask_pages(world, lane, requester, world->config.pages);
        }
    }
}

void bench_world_fill(struct bench_world *world, uint32_t pages) {
    (void)bench_world_invalidate(world, BENCH_SCOPE_GLOBAL, 0);
    ask_pages(world, 0, 0, pages < world->config.pages ? pages : world->config.pages);
}

uint64_t bench_loop_alone(const struct ciommu_request *requests, const uint64_t *answers,
                          uint32_t count) {
    uint64_t wrong = 0;
    uint64_t begin = bench_now();
    for (uint32_t index = 0; index < count; index++) {
        uint64_t address = requests[index].iova;
        __asm__ volatile("" : "+r"(address)); /* one at a time, as with a translation */
        wrong |= (address ^ answers[index]) & 7;
    }
    uint64_t end = bench_now();
    bench_must_be_right(wrong);
    return end - begin;
}
