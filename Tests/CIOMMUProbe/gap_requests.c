/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_requests.c - refused arguments of requests, copies, invalidations and mappings;
 * contradictions of capabilities.
 */
#include "gap.h"

#define REFUSED(world, call) EXPECT((world), (call) == CIOMMU_INVALID_ARGUMENT)
#define CAP UINT64_C(0x11f0008c00380e06)  /* ciommu_unit_config_init's */
#define ECAP UINT64_C(0x0033ed9ca4f000df) /* the same */

static void requests(struct inject_world *world) {
    struct ciommu_result result = {.size = sizeof result};
    struct ciommu_progress progress = {.size = sizeof progress};
    struct ciommu_segment segment;
    struct ciommu_request request = {INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA, 8, CIOMMU_READ, 0};
    uint64_t word = 0;
    uint32_t count;
    bool exchanged;
    REFUSED(world, ciommu_translate(NULL, NULL, 1, CIOMMU_NO_PASID, 0, CIOMMU_READ, 0, &result));
    REFUSED(world, ciommu_translate(world->unit, NULL, 1, CIOMMU_NO_PASID, 0, 1, 0, NULL));
    REFUSED(world, ciommu_trace(world->unit, NULL, 1, CIOMMU_NO_PASID, 0, CIOMMU_READ, 0, NULL, 1,
                                &count, &result));
    REFUSED(world, ciommu_translate_range(NULL, &request, &segment, 1, &progress));
    REFUSED(world, ciommu_translate_batch(world->port, NULL, &result, 1, &count));
    REFUSED(world, ciommu_read(NULL, &request, &word, &progress));
    REFUSED(world, ciommu_read(world->port, &request, NULL, &progress));
    REFUSED(world, ciommu_write(world->port, NULL, &word, &progress));
    REFUSED(world, ciommu_compare_exchange(world->port, &request, NULL, 1, &exchanged, &progress));
    request.access = CIOMMU_READ | CIOMMU_WRITE;
    request.length = 3;
    REFUSED(world, ciommu_compare_exchange(world->port, &request, &word, 1, &exchanged, &progress));
    EXPECT(world, world->ram[0] == 0);
}

static void invalidations(struct inject_world *world) {
    struct ciommu_invalidation what = {.size = sizeof what, .kind = 99, .last = UINT64_MAX};
    struct ciommu_descriptor_result result = {.size = sizeof result};
    const struct ciommu_mapping mapping = {.size = 4};
    struct ciommu_mapping next = {.size = 4};
    uint64_t words[4] = {0};
    REFUSED(world, ciommu_invalidate(world->unit, NULL, &what));
    REFUSED(world, ciommu_invalidate(world->unit, NULL, NULL));
    REFUSED(world, ciommu_invalidate_descriptor(world->unit, NULL, NULL, false, &result));
    REFUSED(world, ciommu_invalidate_descriptor(world->unit, NULL, words, false, NULL));
    REFUSED(world, ciommu_domain_map(NULL, &mapping));
    REFUSED(world, ciommu_domain_map(world->mapped, &mapping));
    REFUSED(world, ciommu_domain_unmap(NULL, NULL, 0, 4096, NULL));
    REFUSED(world, ciommu_domain_next(world->mapped, 0, &next));
    REFUSED(world, ciommu_domain_destroy(ciommu_domain_identity(world->unit)));
    REFUSED(world, ciommu_nested_invalidate(world->mapped, NULL, 0, UINT64_MAX, true));
    ciommu_domain_read_statistics(NULL, NULL);
    EXPECT(world, ciommu_unit_destroy(world->unit) == CIOMMU_IN_USE);
}

static void capabilities(struct inject_world *world) {
    EXPECT(world, ciommu_capabilities_check(CAP, ECAP, CIOMMU_VTD_4, 52) == NULL);
    EXPECT(world, ciommu_capabilities_check(CAP, ECAP, 5, 52) != NULL);
    EXPECT(world, ciommu_capabilities_check(CAP | UINT64_C(0x3f) << 16, ECAP, 4, 52) != NULL);
    EXPECT(world, ciommu_capabilities_check(CAP, ECAP & ~(UINT64_C(1) << 46), 4, 52) != NULL);
    const uint64_t stages = UINT64_C(1) << 6 | UINT64_C(3) << 46 | UINT64_C(1) << 26;
    EXPECT(world, ciommu_capabilities_check(CAP, ECAP & ~stages, 4, 52) != NULL);
    /* Of one stage: without A and D of the second stage all is well. */
    const uint64_t second = UINT64_C(1) << 46 | UINT64_C(1) << 26;
    EXPECT(world, ciommu_capabilities_check(CAP, ECAP & ~second, 4, 52) != NULL);
    EXPECT(world,
           ciommu_capabilities_check(CAP, ECAP & ~(second | UINT64_C(1) << 45), 4, 52) == NULL);
}

const struct gap_case gap_request_cases[] = {
    {"arguments of requests and copies", requests},
    {"arguments of invalidations and mappings", invalidations},
    {"contradictions of capabilities", capabilities},
};
const uint32_t gap_request_count = sizeof gap_request_cases / sizeof gap_request_cases[0];
