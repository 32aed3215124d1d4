/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_silence.c - a device never answers, whatever change asks it: the change returns, is made,
 * and is safe; the device is blocked alone, and works again when it has answered.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#define PASID TLB_FIRST_PASID
#define SIBLING (2 * TLB_FIRST_PASID)
#define KEPT 9u /* a page that no change concerns */

static struct fake_device *silent(struct tlb_bench *bench) {
    return &bench->devices[0];
}

static void attach(struct tlb_bench *bench, struct ciommu_domain *domain) {
    EXPECT(bench, ciommu_device_attach(silent(bench)->device, PASID, domain) == CIOMMU_OK);
    EXPECT(bench,
           ciommu_device_attach(bench->devices[1].device, SIBLING, bench->parent) == CIOMMU_OK);
    EXPECT(bench, tlb_translate(bench, SIBLING, tlb_at(KEPT), 0) == CIOMMU_TRANSLATED_OK);
}

/* Every kind of request of the device faults, its sibling's do not. */
static void expect_blocked(struct tlb_bench *bench) {
    const uint32_t flags[] = {0, CIOMMU_TRANSLATION_REQUEST, CIOMMU_TRANSLATED};
    const struct ciommu_device_tlb_statistics counts = tlb_statistics(silent(bench));
    EXPECT(bench, counts.timeouts != 0 && counts.open == 0);
    EXPECT(bench, ciommu_device_tlb_is_blocked(silent(bench)->tlb));
    for (uint32_t kind = 0; kind < 3; kind++) {
        EXPECT(bench, tlb_translate(bench, PASID, tlb_at(KEPT), flags[kind]) == CIOMMU_FAULT);
    }
    EXPECT(bench, !ciommu_device_tlb_is_blocked(bench->devices[1].tlb));
}

/* `change` asks the device, which says nothing. */
static void survive(struct tlb_bench *bench, enum ciommu_status (*change)(struct tlb_bench *)) {
    uint32_t asked = tlb_count(silent(bench));
    silent(bench)->manner = ANSWERS_NEVER;
    EXPECT(bench, change(bench) == CIOMMU_TIMED_OUT);
    EXPECT(bench, tlb_count(silent(bench)) > asked);
    expect_blocked(bench);
    /* It fails nobody from now on, and is asked nothing. */
    asked = tlb_count(silent(bench));
    EXPECT(bench, tlb_unmap(bench, bench->parent, 60, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_count(silent(bench)) == asked);
    silent(bench)->manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(silent(bench)->tlb, bench->port) == CIOMMU_OK);
    EXPECT(bench, !ciommu_device_tlb_is_blocked(silent(bench)->tlb));
}

static uint32_t translate(struct tlb_bench *bench, uint32_t page) {
    return tlb_translate(bench, PASID, tlb_at(page), 0);
}

/* ---- Mappings ---- */

static enum ciommu_status protect(struct tlb_bench *bench) {
    return ciommu_domain_protect(bench->parent, bench->port, tlb_at(3), TLB_PAGE, CIOMMU_WRITE);
}

static void protects(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    survive(bench, protect);
    EXPECT(bench, translate(bench, 3) == CIOMMU_FAULT); /* tlb_translate reads */
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_TRANSLATED_OK);
}

static enum ciommu_status unmap_everything(struct tlb_bench *bench) {
    return ciommu_domain_unmap(bench->other, bench->port, 0, UINT64_MAX, NULL);
}

static void unmaps_everything(struct tlb_bench *bench) {
    attach(bench, bench->other);
    survive(bench, unmap_everything);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_FAULT);
}

static enum ciommu_status read_dirty(struct tlb_bench *bench) {
    uint64_t bitmap[1] = {0};
    enum ciommu_status status = ciommu_dirty_read(bench->parent, bench->port, tlb_at(0),
                                                  TLB_PAGES * TLB_PAGE, TLB_PAGE, bitmap, 0);
    EXPECT(bench, bitmap[0] == UINT64_C(1) << 5); /* cleared, so told */
    return status;
}

static void reads_dirty_pages(struct tlb_bench *bench) {
    struct ciommu_result result = {.size = sizeof result};
    attach(bench, bench->parent);
    EXPECT(bench, ciommu_dirty_start(bench->parent, bench->port, 0) == CIOMMU_OK);
    EXPECT(bench, ciommu_translate(bench->unit, bench->port, TLB_SOURCE, PASID, tlb_at(5),
                                   CIOMMU_WRITE, 0, &result) == CIOMMU_OK);
    survive(bench, read_dirty);
    uint64_t bitmap[1] = {0};
    EXPECT(bench, ciommu_dirty_read(bench->parent, bench->port, tlb_at(0), TLB_PAGES * TLB_PAGE,
                                    TLB_PAGE, bitmap, 0) == CIOMMU_OK);
    EXPECT(bench, bitmap[0] == 0);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_TRANSLATED_OK);
}

static enum ciommu_status start_tracking(struct tlb_bench *bench) {
    return ciommu_dirty_start(bench->parent, bench->port, 0);
}

static void starts_tracking(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    survive(bench, start_tracking);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_TRANSLATED_OK);
}

/* ---- Attachments ---- */

static enum ciommu_status replace(struct tlb_bench *bench) {
    return ciommu_device_replace(silent(bench)->device, bench->port, PASID, bench->other);
}

static void replaces(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    EXPECT(bench, tlb_unmap(bench, bench->other, 2, 1) == CIOMMU_OK);
    survive(bench, replace);
    EXPECT(bench, ciommu_device_domain(silent(bench)->device, PASID) == bench->other);
    EXPECT(bench, translate(bench, 2) == CIOMMU_FAULT);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_TRANSLATED_OK);
}

static enum ciommu_status detach(struct tlb_bench *bench) {
    return ciommu_device_detach(silent(bench)->device, bench->port, PASID);
}

static void detaches(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    survive(bench, detach);
    EXPECT(bench, ciommu_device_domain(silent(bench)->device, PASID) == NULL);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_FAULT);
}

static enum ciommu_status reset(struct tlb_bench *bench) {
    return ciommu_device_reset(silent(bench)->device, bench->port);
}

static void resets(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    survive(bench, reset);
    EXPECT(bench, ciommu_device_domain(silent(bench)->device, PASID) == NULL);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_FAULT);
}

static enum ciommu_status destroy(struct tlb_bench *bench) {
    struct ciommu_device *device = silent(bench)->device;
    silent(bench)->device = NULL;
    return ciommu_device_destroy(device, bench->port);
}

static void destroys(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    survive(bench, destroy);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_FAULT);
    /* Nothing of it is left that keeps a domain in use. */
    EXPECT(bench, ciommu_device_reset(bench->devices[1].device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(bench->parent) == CIOMMU_OK);
    bench->parent = NULL;
}

static enum ciommu_status unbind(struct tlb_bench *bench) {
    return ciommu_device_unbind(silent(bench)->device, bench->port);
}

static void unbinds(struct tlb_bench *bench) {
    const struct ciommu_pasid_table table = {.size = sizeof table,
                                             .model = CIOMMU_MODEL_VTD,
                                             .levels = 2,
                                             .pasid_bits = 20,
                                             .address = TLB_OUTPUT};
    struct ciommu_pasid_table bound = {.size = sizeof bound};
    EXPECT(bench,
           ciommu_device_attach(bench->devices[1].device, SIBLING, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_bind(silent(bench)->device, bench->port, &table) == CIOMMU_OK);
    survive(bench, unbind);
    EXPECT(bench, !ciommu_device_bound(silent(bench)->device, &bound));
}

/* ---- Parents and the whole unit ---- */

static enum ciommu_status unmap_parent(struct tlb_bench *bench) {
    return tlb_unmap(bench, bench->parent, 3, 1);
}

static void parents_change(struct tlb_bench *bench) {
    const struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = tlb_at(0)};
    struct ciommu_domain *nested = NULL;
    EXPECT(bench, ciommu_nested_create(bench->parent, &config, &nested) == CIOMMU_OK);
    attach(bench, nested);
    survive(bench, unmap_parent);
    EXPECT(bench, tlb_translate(bench, SIBLING, tlb_at(3), 0) == CIOMMU_FAULT);
    EXPECT(bench, detach(bench) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(nested) == CIOMMU_OK);
}

static struct ciommu_domain *guest;

static enum ciommu_status invalidate_nested(struct tlb_bench *bench) {
    return ciommu_nested_invalidate(guest, bench->port, 0x1000, 0x1fff, true);
}

static void guests_invalidate(struct tlb_bench *bench) {
    const struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = tlb_at(0)};
    EXPECT(bench, ciommu_nested_create(bench->parent, &config, &guest) == CIOMMU_OK);
    attach(bench, guest);
    survive(bench, invalidate_nested);
    EXPECT(bench, detach(bench) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(guest) == CIOMMU_OK);
}

static enum ciommu_status reset_unit(struct tlb_bench *bench) {
    return ciommu_unit_reset(bench->unit);
}

static void units_are_reset(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    survive(bench, reset_unit);
    EXPECT(bench, ciommu_device_domain(silent(bench)->device, PASID) == NULL);
    EXPECT(bench, ciommu_device_attach(silent(bench)->device, PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_TRANSLATED_OK);
}

/* Both say nothing: one call blocks both, and waits for them together. */
static void all_are_silent(struct tlb_bench *bench) {
    attach(bench, bench->parent);
    uint64_t begun = bench->time;
    silent(bench)->manner = ANSWERS_NEVER;
    bench->devices[1].manner = ANSWERS_NEVER;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, bench->time == begun + 2 * bench->timeout); /* each let it pass once */
    EXPECT(bench, ciommu_device_tlb_is_blocked(silent(bench)->tlb));
    EXPECT(bench, ciommu_device_tlb_is_blocked(bench->devices[1].tlb));
    EXPECT(bench, tlb_translate(bench, SIBLING, tlb_at(KEPT), 0) == CIOMMU_FAULT);
    for (uint32_t number = 0; number < 2; number++) {
        bench->devices[number].manner = ANSWERS_AT_ONCE;
        EXPECT(bench, ciommu_device_tlb_retry(bench->devices[number].tlb, NULL) == CIOMMU_OK);
    }
    EXPECT(bench, translate(bench, 3) == CIOMMU_FAULT);
    EXPECT(bench, translate(bench, KEPT) == CIOMMU_TRANSLATED_OK);
}

const struct tlb_case tlb_silence_cases[] = {
    {"silence in a protect", protects, 0, 0, 0, true},
    {"silence when everything is unmapped", unmaps_everything, 0, 0, 0, true},
    {"silence in a round of dirty pages", reads_dirty_pages, 0, 0, 0, true},
    {"silence when tracking starts", starts_tracking, 0, 0, 0, true},
    {"silence in a replace", replaces, 0, 0, 0, true},
    {"silence in a detach", detaches, 0, 0, 0, true},
    {"silence in a reset of the device", resets, 0, 0, 0, true},
    {"silence when the device is destroyed", destroys, 0, 0, 0, true},
    {"silence when a table is unbound", unbinds, 0, 0, 0, true},
    {"silence when a parent changes", parents_change, 0, 0, 0, true},
    {"silence when a guest invalidates", guests_invalidate, 0, 0, 0, true},
    {"silence in a reset of the unit", units_are_reset, 0, 0, 0, true},
    {"silence of everybody", all_are_silent, 0, 0, 0, true},
    {"silence by the system's clock, in a detach", detaches, 0, 5, 0, false},
};
const uint32_t tlb_silence_count = sizeof tlb_silence_cases / sizeof tlb_silence_cases[0];
