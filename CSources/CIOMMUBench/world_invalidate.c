/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world_invalidate.c - invalidations of a world's first requester, as its owner would make them.
 */
#include "world.h"

/* Takes the right to write away and gives it back: only the first drops anything. */
static void flip_rights(struct ciommu_domain *domain, uint64_t iova, uint64_t length) {
    CHECK(ciommu_domain_protect(domain, NULL, iova, length, CIOMMU_READ));
    CHECK(ciommu_domain_protect(domain, NULL, iova, length, CIOMMU_READ | CIOMMU_WRITE));
}

/* first...last of the first requester's space. */
static void invalidate(struct bench_world *world, uint64_t first, uint64_t last, bool all) {
    struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_TRANSLATIONS,
        .domain = 1,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = all ? CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND : CIOMMU_STAGES_SECOND,
        .leaf_only = !all,
        .first = first,
        .last = last,
    };
    switch (world->config.way) {
    case BENCH_GUEST_FIRST:
    case BENCH_GUEST_NESTED:
        if (!all) {
            what.pasid = world->config.pasids == 0 ? 0 : 1;
            what.stages = CIOMMU_STAGES_FIRST;
        }
        __attribute__((fallthrough));
    case BENCH_GUEST_SECOND:
        CHECK(ciommu_invalidate(world->unit, NULL, &what));
        return;
    case BENCH_HOST_SECOND:
        if (all) {
            first = world->first_iova;
            last = first + ((uint64_t)world->config.pages << world->apart_lg2) - 1;
        }
        flip_rights(world->domains[0], first, last - first + 1);
        return;
    case BENCH_HOST_NESTED:
        CHECK(ciommu_nested_invalidate(world->domains[0], NULL, first, last, !all));
        return;
    default:
        bench_fail("pass-through has no invalidation");
    }
}

void bench_world_invalidate_page(struct bench_world *world, uint64_t iova) {
    uint64_t mask = (UINT64_C(1) << world->config.page_lg2) - 1;
    invalidate(world, iova & ~mask, iova | mask, false);
}

void bench_world_invalidate_domain(struct bench_world *world) {
    invalidate(world, 0, UINT64_MAX, true);
}
