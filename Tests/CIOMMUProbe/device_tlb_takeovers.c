/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_takeovers.c - devices that the host takes from a guest's tables, or from a parent that
 * such tables are bound to: what their device-TLBs got from there is asked for first.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#define FIRST_PASID 64u
#define SECOND_PASID 96u
#define PASIDS 16u

/* A device-TLB of another source id than the bench's. */
struct taken {
    struct fake_device fake;
    struct ciommu_device_tlb_config config;
};

static void register_tlb(struct tlb_bench *bench, struct taken *taken, uint32_t source,
                         uint32_t flags, uint32_t first_pasid) {
    *taken = (struct taken){.fake = {.bench = bench}};
    taken->config = tlb_config(&bench->devices[0]);
    taken->config.source = source;
    taken->config.pfsid = source;
    taken->config.flags = flags;
    taken->config.first_pasid = first_pasid;
    taken->config.last_pasid = first_pasid + PASIDS - 1;
    taken->config.context = &taken->fake;
    EXPECT(bench,
           ciommu_device_tlb_create(bench->unit, &taken->config, &taken->fake.tlb) == CIOMMU_OK);
}

static void forget_tlb(struct tlb_bench *bench, struct taken *taken) {
    taken->fake.manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_destroy(taken->fake.tlb, NULL) == CIOMMU_OK);
}

static enum ciommu_status take(struct tlb_bench *bench, uint32_t source, uint32_t share,
                               uint32_t first_pasid, struct ciommu_device **device) {
    const struct ciommu_device_config config = {
        .size = sizeof config,
        .source = source,
        .id = source << 8 | first_pasid,
        .share = share,
        .first_pasid = share == CIOMMU_SHARE_SLICE ? first_pasid : 0,
        .last_pasid = share == CIOMMU_SHARE_SLICE ? first_pasid + PASIDS - 1 : 0,
    };
    *device = NULL;
    return ciommu_device_create(bench->unit, bench->port, &config, device);
}

static bool asked(struct taken *taken, uint32_t times) {
    bool fine = tlb_count(&taken->fake) == times &&
                (times == 0 || tlb_heard_everything(&taken->fake, times - 1));
    tlb_forget(&taken->fake);
    return fine;
}

/* Whatever is taken, all of the source id is no longer the guest's. */
static void from_the_guest(struct tlb_bench *bench) {
    for (uint32_t share = CIOMMU_SHARE_WHOLE; share <= CIOMMU_SHARE_SLICE; share++) {
        struct taken taken;
        struct ciommu_device *device;
        uint32_t source = 0x50 + share;
        register_tlb(bench, &taken, source, CIOMMU_DEVICE_TLB_ALL_PASIDS, 0);
        EXPECT(bench, take(bench, source, share, FIRST_PASID, &device) == CIOMMU_OK);
        EXPECT(bench, asked(&taken, 1));
        EXPECT(bench, ciommu_device_destroy(device, bench->port) == CIOMMU_OK);
        forget_tlb(bench, &taken);
    }
    struct taken first;
    struct taken second;
    struct ciommu_device *devices[2];
    register_tlb(bench, &first, 0x60, 0, FIRST_PASID);
    register_tlb(bench, &second, 0x60, 0, SECOND_PASID);
    EXPECT(bench, take(bench, 0x60, CIOMMU_SHARE_SLICE, FIRST_PASID, &devices[0]) == CIOMMU_OK);
    EXPECT(bench, asked(&first, 1) && asked(&second, 1));
    EXPECT(bench, take(bench, 0x60, CIOMMU_SHARE_SLICE, SECOND_PASID, &devices[1]) == CIOMMU_OK);
    EXPECT(bench, asked(&first, 0) && asked(&second, 1));
    EXPECT(bench, tlb_count(&bench->devices[0]) == 0 && tlb_count(&bench->devices[1]) == 0);
    EXPECT(bench, ciommu_device_destroy(devices[0], bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_destroy(devices[1], bench->port) == CIOMMU_OK);
    forget_tlb(bench, &first);
    forget_tlb(bench, &second);
}

/* The table that is bound to a parent has led the slice's PASIDs until now. */
static void from_a_bound_parent(struct tlb_bench *bench) {
    const struct ciommu_pasid_table table = {.size = sizeof table,
                                             .model = CIOMMU_MODEL_VTD,
                                             .levels = 2,
                                             .pasid_bits = 20,
                                             .address = TLB_OUTPUT};
    struct taken taken;
    struct ciommu_device *parent;
    struct ciommu_device *slice;
    register_tlb(bench, &taken, 0x70, CIOMMU_DEVICE_TLB_OTHER_PASIDS, 0);
    EXPECT(bench, take(bench, 0x70, CIOMMU_SHARE_PARENT, 0, &parent) == CIOMMU_OK);
    EXPECT(bench, asked(&taken, 1));
    EXPECT(bench, ciommu_device_bind(parent, bench->port, &table) == CIOMMU_OK);
    tlb_forget(&taken.fake);
    EXPECT(bench, take(bench, 0x70, CIOMMU_SHARE_SLICE, FIRST_PASID, &slice) == CIOMMU_OK);
    EXPECT(bench, asked(&taken, 1));
    EXPECT(bench, ciommu_device_destroy(slice, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_destroy(parent, bench->port) == CIOMMU_OK);
    forget_tlb(bench, &taken);
}

/* The device is made, and blocked until its device-TLB lets go. */
static void from_who_keeps_silent(struct tlb_bench *bench) {
    struct taken taken;
    struct ciommu_device *device;
    register_tlb(bench, &taken, 0x50, CIOMMU_DEVICE_TLB_ALL_PASIDS, 0);
    taken.fake.manner = ANSWERS_NEVER;
    EXPECT(bench, take(bench, 0x50, CIOMMU_SHARE_WHOLE, 0, &device) == CIOMMU_TIMED_OUT);
    EXPECT(bench, device != NULL && ciommu_device_tlb_is_blocked(taken.fake.tlb));
    taken.fake.manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(taken.fake.tlb, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_destroy(device, bench->port) == CIOMMU_OK);
    forget_tlb(bench, &taken);
}

const struct tlb_case tlb_takeover_cases[] = {
    {"a device is taken from the guest", from_the_guest, 0, 0, 0, false},
    {"a slice is taken from a bound parent", from_a_bound_parent, 0, 0, 0, false},
    {"a device is taken that keeps silent", from_who_keeps_silent, 0, 0, 0, true},
};
const uint32_t tlb_takeover_count = sizeof tlb_takeover_cases / sizeof tlb_takeover_cases[0];
