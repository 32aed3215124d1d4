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

/* As the native descriptor of a guest says it. */
static void invalidate_guest(struct bench_world *world, enum bench_scope scope, uint64_t first,
                             uint64_t last) {
    struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_TRANSLATIONS,
        .domain = scope == BENCH_SCOPE_GLOBAL ? CIOMMU_ANY : 1,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND,
        .first = first,
        .last = last,
    };
    if (scope < BENCH_SCOPE_DOMAIN) {
        bool first_stage = world->config.way != BENCH_GUEST_SECOND;
        what.stages = first_stage ? CIOMMU_STAGES_FIRST : CIOMMU_STAGES_SECOND;
        what.pasid = !first_stage ? CIOMMU_ANY : world->config.pasids == 0 ? 0 : 1;
        what.leaf_only = scope != BENCH_SCOPE_PASID;
    }
    CHECK(ciommu_invalidate(world->unit, NULL, &what));
}

uint64_t bench_world_invalidate(struct bench_world *world, enum bench_scope scope, uint64_t iova) {
    uint64_t size =
        scope == BENCH_SCOPE_RANGE ? 512 * BENCH_PAGE : UINT64_C(1) << world->config.page_lg2;
    bool whole = scope > BENCH_SCOPE_RANGE;
    uint64_t first = whole ? 0 : iova & ~(size - 1);
    uint64_t last = whole ? UINT64_MAX : first + size - 1;
    if (bench_is_pass(world->config.way)) {
        bench_fail("pass-through has no invalidation");
    }
    uint64_t begin = bench_now();
    if (!bench_is_host(world->config.way)) {
        invalidate_guest(world, scope, first, last);
    } else if (world->config.way == BENCH_HOST_NESTED) {
        CHECK(ciommu_nested_invalidate(world->domains[0], NULL, first, last, !whole));
    } else {
        uint64_t end = world->first_iova + ((uint64_t)world->config.pages << world->apart_lg2);
        first = whole ? world->first_iova : first;
        flip_rights(world->domains[0], first, (whole || end < last ? end : last + 1) - first);
    }
    return bench_now() - begin;
}

void bench_world_invalidate_page(struct bench_world *world, uint64_t iova) {
    (void)bench_world_invalidate(world, BENCH_SCOPE_PAGE, iova);
}

void bench_world_invalidate_domain(struct bench_world *world) {
    (void)bench_world_invalidate(world, BENCH_SCOPE_DOMAIN, 0);
}
