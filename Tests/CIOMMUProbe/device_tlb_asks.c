/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_asks.c - which device hears of which change, and exactly what.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#include <stdlib.h>
#include <string.h>

#define PASID TLB_FIRST_PASID
#define SIBLING (2 * TLB_FIRST_PASID)

static void forget(struct tlb_bench *bench) {
    tlb_forget(&bench->devices[0]);
    tlb_forget(&bench->devices[1]);
}

static bool heard_nothing(struct tlb_bench *bench) {
    return tlb_count(&bench->devices[0]) == 0 && tlb_count(&bench->devices[1]) == 0;
}

static void mappings(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_domain *domain = bench->parent;
    uint64_t bitmap[1] = {0};
    EXPECT(bench, tlb_unmap(bench, domain, 0, 1) == CIOMMU_OK && heard_nothing(bench));
    EXPECT(bench, ciommu_device_attach(device->device, PASID + 1, domain) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID + 3, bench->other) == CIOMMU_OK);
    EXPECT(bench, tlb_map(bench, domain, 0, 1) == CIOMMU_OK && heard_nothing(bench));
    EXPECT(bench, ciommu_domain_protect(domain, bench->port, tlb_at(4), TLB_PAGE, CIOMMU_READ) ==
                      CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 0, PASID + 1, tlb_at(4), tlb_at(5) - 1));
    EXPECT(bench, ciommu_domain_protect(domain, bench->port, tlb_at(4), TLB_PAGE,
                                        CIOMMU_READ | CIOMMU_WRITE) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 1);
    EXPECT(bench, ciommu_dirty_start(domain, bench->port, 0) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 1, PASID + 1, 0, (UINT64_C(1) << 48) - 1));
    EXPECT(bench, ciommu_dirty_read(domain, bench->port, tlb_at(0), 8 * TLB_PAGE, TLB_PAGE, bitmap,
                                    CIOMMU_DIRTY_NO_CLEAR) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 2);
    EXPECT(bench, ciommu_dirty_read(domain, bench->port, tlb_at(0), 8 * TLB_PAGE, TLB_PAGE, bitmap,
                                    0) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 2, PASID + 1, tlb_at(0), tlb_at(8) - 1));
    EXPECT(bench, ciommu_dirty_stop(domain, bench->port) == CIOMMU_OK && tlb_count(device) == 3);
    EXPECT(bench, tlb_unmap(bench, domain, 6, 2) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 3, PASID + 1, tlb_at(6), tlb_at(8) - 1));
    /* Nothing is there any more; somebody else's unmap may still be waiting. */
    EXPECT(bench, tlb_unmap(bench, domain, 6, 2) == CIOMMU_OK && tlb_count(device) == 5);
    EXPECT(bench, ciommu_domain_unmap(domain, bench->port, 0, UINT64_MAX, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 5, PASID + 1, 0, (UINT64_C(1) << 48) - 1));
    EXPECT(bench, tlb_count(device) == 6 && tlb_count(&bench->devices[1]) == 0);
}

static void attachments(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct fake_device *sibling = &bench->devices[1];
    EXPECT(bench, ciommu_device_attach(device->device, PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID + 1, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(sibling->device, SIBLING, bench->parent) == CIOMMU_OK);
    EXPECT(bench, heard_nothing(bench));
    EXPECT(bench,
           ciommu_device_replace(device->device, bench->port, PASID, bench->other) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 0, PASID, 0, TLB_EVERYTHING));
    /* Of the old domain it hears no more, of the new one it does. */
    EXPECT(bench, tlb_unmap(bench, bench->parent, 1, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 1, PASID + 1, tlb_at(1), tlb_at(2) - 1));
    EXPECT(bench, tlb_unmap(bench, bench->other, 1, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 2, PASID, tlb_at(1), tlb_at(2) - 1));
    EXPECT(bench, ciommu_device_detach(device->device, bench->port, PASID) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 3, PASID, 0, TLB_EVERYTHING) && tlb_count(device) == 4);
    EXPECT(bench, tlb_count(sibling) == 1);
    forget(bench);
    EXPECT(bench, ciommu_device_reset(device->device, bench->port) == CIOMMU_OK);
    EXPECT(bench, tlb_heard_everything(device, 0) && tlb_count(device) == 1);
    EXPECT(bench, tlb_count(sibling) == 0);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 1 && tlb_count(sibling) == 1);
    forget(bench);
    EXPECT(bench, ciommu_device_destroy(sibling->device, bench->port) == CIOMMU_OK);
    sibling->device = NULL;
    EXPECT(bench, tlb_heard_everything(sibling, 0) && tlb_count(device) == 0);
    EXPECT(bench, ciommu_domain_destroy(bench->parent) == CIOMMU_OK);
    bench->parent = NULL;
}

static void bound_tables(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_pasid_table table = {
        .size = sizeof table, .model = CIOMMU_MODEL_VTD, .levels = 2, .pasid_bits = 20};
    table.address = TLB_OUTPUT;
    EXPECT(bench, ciommu_device_bind(device->device, bench->port, &table) == CIOMMU_OK);
    EXPECT(bench, heard_nothing(bench));
    EXPECT(bench, ciommu_device_unbind(device->device, bench->port) == CIOMMU_OK);
    EXPECT(bench, tlb_heard_everything(device, 0) && tlb_count(&bench->devices[1]) == 0);
    EXPECT(bench, ciommu_unit_reset(bench->unit) == CIOMMU_OK);
    EXPECT(bench, tlb_heard_everything(device, 1));
    EXPECT(bench, tlb_heard_everything(&bench->devices[1], 0));
}

static void nested(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct fake_device *sibling = &bench->devices[1];
    struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = tlb_at(0)};
    struct ciommu_domain *children[3] = {NULL};
    for (uint32_t child = 0; child < 3; child++) {
        EXPECT(bench, ciommu_nested_create(bench->parent, &config, &children[child]) == CIOMMU_OK);
    }
    EXPECT(bench, ciommu_device_attach(device->device, PASID, children[0]) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID + 1, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(sibling->device, SIBLING, children[1]) == CIOMMU_OK);
    EXPECT(bench,
           ciommu_nested_invalidate(children[0], bench->port, 0x7000, 0x8fff, true) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 0, PASID, 0x7000, 0x8fff) && tlb_count(device) == 1);
    EXPECT(bench, tlb_count(sibling) == 0);
    EXPECT(bench, ciommu_nested_invalidate(children[2], NULL, 0, UINT64_MAX, true) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 1 && tlb_count(sibling) == 0);
    /* A parent's address selects no address of the children. */
    forget(bench);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 5, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 0, PASID, 0, TLB_EVERYTHING));
    EXPECT(bench, tlb_heard(device, 1, PASID + 1, tlb_at(5), tlb_at(6) - 1));
    EXPECT(bench, tlb_heard(sibling, 0, SIBLING, 0, TLB_EVERYTHING));
    EXPECT(bench, tlb_count(device) == 2 && tlb_count(sibling) == 1);
    EXPECT(bench, ciommu_device_reset(device->device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_reset(sibling->device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(children[1]) == CIOMMU_OK);
    forget(bench);
    EXPECT(bench, ciommu_device_attach(sibling->device, SIBLING, children[2]) == CIOMMU_OK);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 6, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 0 && tlb_count(sibling) == 1);
    EXPECT(bench, ciommu_device_reset(sibling->device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(children[0]) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(children[2]) == CIOMMU_OK);
}

/* More than a round holds: a whole source id, some PASIDs of the parent, some of children. */
static void crowds(struct tlb_bench *bench) {
    const uint32_t crowd = 200;
    struct fake_device *device = &bench->devices[0];
    struct ciommu_device_tlb_config tlb = tlb_config(device);
    struct ciommu_device_config config = {.size = sizeof config, .source = 0x55, .id = 5};
    struct ciommu_nested_config nest = {
        .size = sizeof nest, .address_width = 48, .pgtbl_addr = tlb_at(0)};
    struct ciommu_domain **children = calloc(crowd, sizeof *children);
    struct ciommu_device *whole = NULL;
    struct ciommu_device_tlb *handle = NULL;
    tlb.source = 0x55;
    tlb.flags = CIOMMU_DEVICE_TLB_ALL_PASIDS;
    EXPECT(bench, ciommu_device_create(bench->unit, NULL, &config, &whole) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &tlb, &handle) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(whole, CIOMMU_NO_PASID, bench->parent) == CIOMMU_OK);
    for (uint32_t pasid = 0; pasid < crowd; pasid++) {
        struct ciommu_domain **child = &children[pasid];
        EXPECT(bench, ciommu_nested_create(bench->parent, &nest, child) == CIOMMU_OK);
        EXPECT(bench, ciommu_device_attach(whole, 2 * pasid, bench->parent) == CIOMMU_OK);
        EXPECT(bench, ciommu_device_attach(whole, 2 * pasid + 1, *child) == CIOMMU_OK);
    }
    EXPECT(bench, tlb_unmap(bench, bench->parent, 7, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 2 * crowd + 1);
    bool heard[2 * 200 + 1] = {false};
    for (uint32_t number = 0; number < 2 * crowd + 1; number++) {
        const struct ciommu_device_tlb_request *request = &device->log[number];
        bool child = request->pasid != CIOMMU_NO_PASID && request->pasid % 2 == 1;
        uint32_t place = request->pasid == CIOMMU_NO_PASID ? 2 * crowd : request->pasid;
        EXPECT(bench, place <= 2 * crowd && !heard[place] && request->global == 0);
        EXPECT(bench, request->first == (child ? 0 : tlb_at(7)));
        EXPECT(bench, request->last == (child ? TLB_EVERYTHING : tlb_at(8) - 1));
        heard[place <= 2 * crowd ? place : 0] = true;
    }
    EXPECT(bench, ciommu_device_destroy(whole, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_destroy(handle, NULL) == CIOMMU_OK);
    for (uint32_t child = 0; child < crowd; child++) {
        EXPECT(bench, ciommu_domain_destroy(children[child]) == CIOMMU_OK);
    }
    free(children);
}

/* A parent function beside its slices: requests without PASID have a device-TLB of their own. */
static void parents(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_device_tlb_config tlb = tlb_config(device);
    struct ciommu_device_config config = {
        .size = sizeof config, .source = TLB_SOURCE, .id = 5, .share = CIOMMU_SHARE_PARENT};
    struct ciommu_device *parent = NULL;
    struct ciommu_device_tlb *handle = NULL;
    tlb.first_pasid = tlb.last_pasid = CIOMMU_NO_PASID;
    EXPECT(bench, ciommu_device_create(bench->unit, NULL, &config, &parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &tlb, &handle) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(parent, CIOMMU_NO_PASID, bench->other) == CIOMMU_OK);
    EXPECT(bench, tlb_unmap(bench, bench->other, 3, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 0, CIOMMU_NO_PASID, tlb_at(3), tlb_at(4) - 1));
    EXPECT(bench, ciommu_device_reset(parent, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_heard_everything(device, 1) && tlb_count(device) == 2);
    EXPECT(bench, tlb_count(&bench->devices[1]) == 0);
    EXPECT(bench, ciommu_device_destroy(parent, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_destroy(handle, NULL) == CIOMMU_OK);
}

/* An unmap returns only after the device that was detached meanwhile was asked. */
struct detaching {
    struct tlb_bench *bench;
    uint32_t detached;
};
static struct detaching detaching;

static void *detach(void *argument) {
    struct tlb_bench *bench = argument;
    EXPECT(bench, ciommu_device_detach(bench->devices[0].device, NULL, PASID) == CIOMMU_OK);
    return NULL;
}

static void stall(struct fake_device *device, const struct ciommu_device_tlb_request *request) {
    (void)device;
    if (request->last == TLB_EVERYTHING) {
        __atomic_store_n(&detaching.detached, 1, __ATOMIC_RELEASE);
        tlb_nap(100);
    }
}

static void unmap_beside_detach(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    pthread_t thread;
    detaching = (struct detaching){.bench = bench};
    EXPECT(bench, ciommu_device_attach(device->device, PASID, bench->parent) == CIOMMU_OK);
    device->hook = stall;
    pthread_create(&thread, NULL, detach, bench);
    while (__atomic_load_n(&detaching.detached, __ATOMIC_ACQUIRE) == 0) {
        tlb_nap(1);
    }
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 1, PASID, tlb_at(3), tlb_at(4) - 1));
    EXPECT(bench, ciommu_domain_destroy(bench->parent) == CIOMMU_IN_USE);
    pthread_join(thread, NULL);
    device->hook = NULL;
}

const struct tlb_case tlb_ask_cases[] = {
    {"mappings", mappings, 0, 0, 0, false},
    {"attachments", attachments, 0, 0, 0, false},
    {"bound tables and unit reset", bound_tables, 0, 0, 0, false},
    {"nested domains and their parent", nested, 0, 0, 0, false},
    {"more attachments than a round holds", crowds, 0, 0, 0, false},
    {"a parent function", parents, 0, 0, 0, false},
    {"an unmap beside a detach", unmap_beside_detach, 0, 0, 0, false},
};
const uint32_t tlb_ask_count = sizeof tlb_ask_cases / sizeof tlb_ask_cases[0];
