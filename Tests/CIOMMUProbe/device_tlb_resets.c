/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_resets.c - devices that were blocked and are reset while sections from before may
 * still store what they were given.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#define PASID TLB_FIRST_PASID

/* A section from before the block stores its answer after the device was cleared, and the unmap of
 * that page asks nobody who is blocked. Then the device holds it, and must not be let go on. */
static void before_the_block_is_settled(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_result stored = {.size = sizeof stored};
    EXPECT(bench, ciommu_device_attach(device->device, PASID, bench->parent) == CIOMMU_OK);
    ciommu_port_enter(device->port);
    EXPECT(bench, ciommu_translate(bench->unit, device->port, TLB_SOURCE, PASID, tlb_at(3),
                                   CIOMMU_READ, CIOMMU_TRANSLATION_REQUEST, &stored) == CIOMMU_OK);
    EXPECT(bench, stored.outcome == CIOMMU_TRANSLATED_OK);
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 5, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    /* The host clears the device here; then the section stores `stored`, and ends. */
    ciommu_port_leave(device->port);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, bench->port) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    /* And once more. */
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, bench->port) == CIOMMU_OK);
    EXPECT(bench, !ciommu_device_tlb_is_blocked(device->tlb));
    device->manner = ANSWERS_AT_ONCE;
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(4), 0) == CIOMMU_TRANSLATED_OK);
}

const struct tlb_case tlb_reset_cases[] = {
    {"a reset before the block is settled", before_the_block_is_settled, 0, 0, 1, true},
};
const uint32_t tlb_reset_count = sizeof tlb_reset_cases / sizeof tlb_reset_cases[0];
