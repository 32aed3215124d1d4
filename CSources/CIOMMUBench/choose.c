/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * choose.c - which requests a loop makes.
 */
#include "random.h"
#include "world.h"

void bench_world_choose(const struct bench_world *world, uint64_t *seed, uint32_t skew,
                        struct ciommu_request *requests, uint64_t *answers, uint32_t count) {
    const struct bench_world_config *config = &world->config;
    uint32_t pages = config->pages;
    uint32_t favourites = pages / 100 != 0 ? pages / 100 : 1;
    uint32_t pasids = config->pasids == 0 ? 1 : config->pasids;
    uint64_t offset_mask = (UINT64_C(1) << config->page_lg2) - 8;
    for (uint32_t index = 0; index < count; index++) {
        uint64_t which = bench_random(seed);
        uint64_t where = bench_random(seed);
        uint32_t requester = (uint32_t)bench_below(which >> 32, world->requesters);
        bool favoured = skew != 0 && bench_below(which, 100) < skew;
        uint64_t page = bench_below(where >> 32, favoured ? favourites : pages);
        uint64_t offset = where & offset_mask & 0x3ffffff8;
        uint32_t source = bench_source(requester / pasids);
        uint32_t pasid = bench_pasid(world, requester % pasids);
        requests[index] = (struct ciommu_request){
            .source = source,
            .pasid = pasid,
            .iova = bench_iova(world, page) + offset,
            .length = 1,
            .access = CIOMMU_READ,
        };
        if (answers != NULL) {
            answers[index] = bench_output(world, bench_space(world, source, pasid), page) + offset;
        }
    }
}
