/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_parents.c - the device-TLB of a parent function beside those of its slices: who is
 * asked about which PASID, who is blocked and reported, and how a slice's takes over.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#define PASID TLB_FIRST_PASID
#define SIBLING (2 * TLB_FIRST_PASID)
#define FREE (3 * TLB_FIRST_PASID) /* in nobody's slice */

/* The parent's own device-TLB, beside those of the bench. */
struct parent {
    struct fake_device fake;
    struct ciommu_device_tlb_config config;
};

static void make_parent(struct tlb_bench *bench, struct parent *parent) {
    struct ciommu_device_config config = {
        .size = sizeof config, .source = TLB_SOURCE, .id = 5, .share = CIOMMU_SHARE_PARENT};
    *parent = (struct parent){.fake = {.bench = bench}};
    parent->config = tlb_config(&bench->devices[0]);
    parent->config.flags = CIOMMU_DEVICE_TLB_OTHER_PASIDS;
    parent->config.device = 5;
    parent->config.context = &parent->fake;
    EXPECT(bench,
           ciommu_device_create(bench->unit, NULL, &config, &parent->fake.device) == CIOMMU_OK);
    EXPECT(bench,
           ciommu_device_tlb_create(bench->unit, &parent->config, &parent->fake.tlb) == CIOMMU_OK);
}

static void unmake_parent(struct tlb_bench *bench, struct parent *parent) {
    parent->fake.manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_destroy(parent->fake.device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_destroy(parent->fake.tlb, NULL) == CIOMMU_OK);
}

/* How often the parent and the two slices were asked since the last time. */
static bool asked(struct tlb_bench *bench, struct parent *parent, uint32_t of_parent,
                  uint32_t first, uint32_t second) {
    bool same = tlb_count(&parent->fake) == of_parent && tlb_count(&bench->devices[0]) == first &&
                tlb_count(&bench->devices[1]) == second;
    tlb_forget(&parent->fake);
    tlb_forget(&bench->devices[0]);
    tlb_forget(&bench->devices[1]);
    return same;
}

static enum ciommu_status drop(struct tlb_bench *bench, uint32_t mask, uint32_t pasid,
                               uint32_t stages) {
    const struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_DEVICE_TLB,
        .pasid = pasid,
        .source = TLB_SOURCE,
        .source_mask = mask,
        .stages = stages,
        .last = UINT64_MAX,
    };
    return ciommu_invalidate(bench->unit, bench->port, &what);
}

static void who_is_asked(struct tlb_bench *bench) {
    struct parent parent;
    make_parent(bench, &parent);
    EXPECT(bench, asked(bench, &parent, 0, 0, 0));
    /* By name, exactly and with a mask. */
    for (uint32_t mask = 0; mask < 8; mask += 7) {
        EXPECT(bench, drop(bench, mask, PASID + 1, 0) == CIOMMU_OK);
        EXPECT(bench, asked(bench, &parent, 0, 1, 0));
        EXPECT(bench, drop(bench, mask, FREE, 0) == CIOMMU_OK);
        EXPECT(bench, asked(bench, &parent, 1, 0, 0));
        EXPECT(bench, drop(bench, mask, CIOMMU_ANY, CIOMMU_STAGES_UNTAGGED) == CIOMMU_OK);
        EXPECT(bench, asked(bench, &parent, 1, 0, 0));
        EXPECT(bench, drop(bench, mask, CIOMMU_ANY, 0) == CIOMMU_OK);
        EXPECT(bench, tlb_heard_everything(&parent.fake, 0));
        EXPECT(bench, asked(bench, &parent, 1, 1, 1));
    }
    /* By what is attached. */
    EXPECT(bench, ciommu_device_attach(parent.fake.device, CIOMMU_NO_PASID, bench->parent) == 0);
    EXPECT(bench, ciommu_device_attach(parent.fake.device, FREE, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == 0);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_OK);
    EXPECT(bench, asked(bench, &parent, 2, 1, 0));
    EXPECT(bench, ciommu_device_detach(bench->devices[0].device, NULL, PASID) == CIOMMU_OK);
    EXPECT(bench, asked(bench, &parent, 0, 1, 0));
    EXPECT(bench, ciommu_device_reset(bench->devices[1].device, NULL) == CIOMMU_OK);
    EXPECT(bench, asked(bench, &parent, 0, 0, 1));
    EXPECT(bench, ciommu_device_reset(parent.fake.device, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_heard_everything(&parent.fake, 0) && asked(bench, &parent, 1, 0, 0));
    unmake_parent(bench, &parent);
}

/* A slice without a device-TLB of its own is the parent's; with one, the slice is asked. */
static void who_takes_over(struct tlb_bench *bench) {
    struct parent parent;
    struct fake_device *slice = &bench->devices[0];
    struct ciommu_device_tlb_config config = tlb_config(slice);
    make_parent(bench, &parent);
    EXPECT(bench, ciommu_device_tlb_destroy(slice->tlb, NULL) == CIOMMU_OK);
    EXPECT(bench, asked(bench, &parent, 0, 1, 0));
    EXPECT(bench, ciommu_device_attach(slice->device, PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), CIOMMU_TRANSLATION_REQUEST) ==
                      CIOMMU_TRANSLATED_OK);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(&parent.fake, 0, PASID, tlb_at(3), tlb_at(4) - 1));
    EXPECT(bench, asked(bench, &parent, 1, 0, 0));
    EXPECT(bench, ciommu_device_reset(slice->device, NULL) == CIOMMU_OK);
    EXPECT(bench, asked(bench, &parent, 1, 0, 0));
    EXPECT(bench, ciommu_device_attach(slice->device, PASID, bench->parent) == CIOMMU_OK);
    /* What the parent holds of the slice ends first. */
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &slice->tlb) == CIOMMU_OK);
    EXPECT(bench, tlb_heard_everything(&parent.fake, 0) && asked(bench, &parent, 1, 0, 0));
    EXPECT(bench, tlb_unmap(bench, bench->parent, 4, 1) == CIOMMU_OK);
    EXPECT(bench, asked(bench, &parent, 0, 1, 0));
    /* A parent's place is taken once, and by nobody else's whole source. */
    struct ciommu_device_tlb *other = NULL;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &parent.config, &other) == CIOMMU_OVERLAP);
    config.flags = CIOMMU_DEVICE_TLB_ALL_PASIDS;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &other) == CIOMMU_OVERLAP);
    config.flags = CIOMMU_DEVICE_TLB_ALL_PASIDS | CIOMMU_DEVICE_TLB_OTHER_PASIDS;
    EXPECT(bench,
           ciommu_device_tlb_create(bench->unit, &config, &other) == CIOMMU_INVALID_ARGUMENT);
    unmake_parent(bench, &parent);
}

/* While a slice's takes over, an unmap asks both. */
static struct tlb_bench *joining;

static void unmap_meanwhile(struct fake_device *device,
                            const struct ciommu_device_tlb_request *request) {
    if (request->global == 1) {
        device->hook = NULL;
        EXPECT(joining, tlb_unmap(joining, joining->parent, 5, 1) == CIOMMU_OK);
    }
}

static void both_are_asked(struct tlb_bench *bench) {
    struct parent parent;
    struct fake_device *slice = &bench->devices[0];
    struct ciommu_device_tlb_config config = tlb_config(slice);
    make_parent(bench, &parent);
    EXPECT(bench, ciommu_device_tlb_destroy(slice->tlb, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(slice->device, PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench, asked(bench, &parent, 0, 1, 0));
    joining = bench;
    parent.fake.hook = unmap_meanwhile;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &slice->tlb) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(&parent.fake, 1, PASID, tlb_at(5), tlb_at(6) - 1));
    EXPECT(bench, tlb_heard(slice, 0, PASID, tlb_at(5), tlb_at(6) - 1));
    EXPECT(bench, asked(bench, &parent, 2, 1, 0));
    unmake_parent(bench, &parent);
}

/* Nothing is made when the parent, or a section, may still hold something. */
static void nobody_takes_over(struct tlb_bench *bench) {
    struct parent parent;
    struct fake_device *slice = &bench->devices[0];
    struct ciommu_device_tlb_config config = tlb_config(slice);
    struct ciommu_device_tlb *made = NULL;
    make_parent(bench, &parent);
    EXPECT(bench, ciommu_device_tlb_destroy(slice->tlb, NULL) == CIOMMU_OK);
    slice->tlb = NULL;
    EXPECT(bench, ciommu_device_attach(slice->device, PASID, bench->parent) == CIOMMU_OK);
    tlb_forget(slice);
    parent.fake.manner = ANSWERS_NEVER;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &made) == CIOMMU_TIMED_OUT);
    EXPECT(bench, made == NULL && ciommu_device_tlb_is_blocked(parent.fake.tlb));
    EXPECT(bench, asked(bench, &parent, 1, 0, 0));
    /* Its PASIDs are still the parent's, and blocked with it. */
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), 0) == CIOMMU_FAULT);
    EXPECT(bench, ciommu_device_attach(bench->devices[1].device, SIBLING, bench->parent) == 0);
    EXPECT(bench, tlb_translate(bench, SIBLING, tlb_at(3), 0) == CIOMMU_TRANSLATED_OK);
    parent.fake.manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &slice->tlb) == CIOMMU_OK);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), 0) == CIOMMU_TRANSLATED_OK);
    EXPECT(bench, ciommu_device_tlb_is_blocked(parent.fake.tlb));
    EXPECT(bench, ciommu_device_tlb_retry(parent.fake.tlb, NULL) == CIOMMU_OK);
    unmake_parent(bench, &parent);
}

/* Is exactly this one named? */
static void is_named(struct tlb_bench *bench, const struct ciommu_batch_result *result,
                     uint32_t index, uint32_t pasid, uint64_t device) {
    const struct ciommu_batch_failure *failure = &result->failures[0];
    EXPECT(bench, result->failed == 1 && failure->index == index && failure->device == device);
    EXPECT(bench, failure->flags == CIOMMU_BATCH_HAS_DEVICE && failure->pasid == pasid);
}

/* Who is late is named and blocked, and nobody else. */
static void who_is_late(struct tlb_bench *bench) {
    struct parent parent;
    make_parent(bench, &parent);
    EXPECT(bench, ciommu_device_attach(parent.fake.device, FREE, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == 0);
    uint64_t words[2][4] = {{8 | (uint64_t)TLB_SOURCE << 16 | (uint64_t)PASID << 32, 0x5000},
                            {8 | (uint64_t)TLB_SOURCE << 16 | (uint64_t)FREE << 32, 0x5000}};
    struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_256,
        .entry_length = 32,
        .count = 2,
        .entries = words,
    };
    struct ciommu_batch_failure failures[4];
    struct ciommu_batch_result result = {
        .size = sizeof result, .capacity = 4, .failures = failures};
    parent.fake.manner = ANSWERS_NEVER;
    EXPECT(bench,
           ciommu_batch_apply(bench->unit, bench->port, &batch, NULL, &result) == CIOMMU_TIMED_OUT);
    is_named(bench, &result, 1, FREE, 5);
    EXPECT(bench, ciommu_device_tlb_is_blocked(parent.fake.tlb));
    EXPECT(bench, !ciommu_device_tlb_is_blocked(bench->devices[0].tlb));
    EXPECT(bench, tlb_translate(bench, FREE, tlb_at(3), 0) == CIOMMU_FAULT);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), 0) == CIOMMU_TRANSLATED_OK);
    parent.fake.manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(parent.fake.tlb, NULL) == CIOMMU_OK);
    bench->devices[0].manner = ANSWERS_NEVER;
    EXPECT(bench,
           ciommu_batch_apply(bench->unit, bench->port, &batch, NULL, &result) == CIOMMU_TIMED_OUT);
    is_named(bench, &result, 0, PASID, 1000);
    EXPECT(bench, !ciommu_device_tlb_is_blocked(parent.fake.tlb));
    EXPECT(bench, tlb_translate(bench, FREE, tlb_at(3), 0) == CIOMMU_TRANSLATED_OK);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), 0) == CIOMMU_FAULT);
    unmake_parent(bench, &parent);
}

/* A request while the slice's is asked for the last time: what ports keep of it was resolved before
 * its PASIDs are the parent's again. */
static void use_meanwhile(struct fake_device *device,
                          const struct ciommu_device_tlb_request *request) {
    if (request->global == 1) {
        device->hook = NULL;
        EXPECT(device->bench,
               tlb_translate(device->bench, PASID, tlb_at(3), 0) == CIOMMU_TRANSLATED_OK);
    }
}

/* What a slice leaves is its parent's, and blocked with it from then on. */
static void a_slice_leaves(struct tlb_bench *bench) {
    struct parent parent;
    struct fake_device *slice = &bench->devices[0];
    make_parent(bench, &parent);
    EXPECT(bench, ciommu_device_attach(slice->device, PASID, bench->parent) == CIOMMU_OK);
    parent.fake.manner = ANSWERS_NEVER;
    EXPECT(bench, drop(bench, 0, FREE, 0) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(parent.fake.tlb));
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), 0) == CIOMMU_TRANSLATED_OK);
    slice->hook = use_meanwhile;
    EXPECT(bench, ciommu_device_tlb_destroy(slice->tlb, NULL) == CIOMMU_OK);
    slice->tlb = NULL;
    EXPECT(bench, slice->hook == NULL);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), 0) == CIOMMU_FAULT); /* first level */
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(4), 0) == CIOMMU_FAULT); /* short way */
    parent.fake.manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(parent.fake.tlb, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(3), 0) == CIOMMU_TRANSLATED_OK);
    unmake_parent(bench, &parent);
}

const struct tlb_case tlb_parent_cases[] = {
    {"a parent and its slices", who_is_asked, 0, 0, 0, false},
    {"a slice takes over from its parent", who_takes_over, 0, 0, 0, false},
    {"an unmap while a slice takes over", both_are_asked, 0, 0, 0, false},
    {"a parent that does not let go", nobody_takes_over, 0, 0, 0, true},
    {"a parent or its slice is late", who_is_late, 0, 0, 0, true},
    {"a slice leaves a blocked parent", a_slice_leaves, 0, 0, 0, true},
};
const uint32_t tlb_parent_count = sizeof tlb_parent_cases / sizeof tlb_parent_cases[0];
