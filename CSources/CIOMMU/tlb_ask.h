/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tlb_ask.h - which devices an invalidation or a change concerns, and the end of a change that may
 * concern any: drain, then ask. Everything costs one load where a unit has no device-TLB.
 */
#ifndef CIOMMU_TLB_ASK_H
#define CIOMMU_TLB_ASK_H

#include "tlb_round.h"
#include "unit.h"

enum tlb_target_kind {
    TLB_OF_NOTHING = 0,
    TLB_OF_DOMAIN,       /* first...last of each PASID that the domain is attached to, and all of
                            each PASID that a nested child of it is attached to */
    TLB_OF_PASID,        /* all of (source, pasid) */
    TLB_OF_DEVICE,       /* everything that the device's own device-TLBs hold */
    TLB_OF_INVALIDATION, /* what a device-TLB invalidation names */
    TLB_OF_UNIT          /* everything of everybody */
};

struct tlb_target {
    enum tlb_target_kind kind;
    struct ciommu_domain *domain;
    uint64_t first;
    uint64_t last;
    uint32_t source;
    uint32_t pasid;
    struct ciommu_device_config device;
    const struct ciommu_invalidation *what;
};

static inline bool tlbs_exist(const struct ciommu_unit *unit) {
    return load_acquire(&unit->tlbs.count) != 0;
}

static inline struct tlb_target tlb_of_domain(struct ciommu_domain *domain, uint64_t first,
                                              uint64_t last) {
    return (struct tlb_target){
        .kind = TLB_OF_DOMAIN, .domain = domain, .first = first, .last = last};
}

static inline struct tlb_target tlb_of_pasid(uint32_t source, uint32_t pasid) {
    return (struct tlb_target){.kind = TLB_OF_PASID, .source = source, .pasid = pasid};
}

static inline struct tlb_target tlb_of_device(const struct ciommu_device *device) {
    return (struct tlb_target){
        .kind = TLB_OF_DEVICE, .source = device->config.source, .device = device->config};
}

/* Adds what a target means to a round, on behalf of entry `index`; asks whenever the round is full.
 * Outside locks and sections. */
void ciommu_tlb_round_collect(struct tlb_round *round, const struct tlb_target *target,
                              uint32_t index);

/* Asks and waits: CIOMMU_OK, or CIOMMU_TIMED_OUT if a device did not answer as it must. */
enum ciommu_status ciommu_tlbs_ask(struct ciommu_unit *unit, const struct tlb_target *target);

/* ciommu_unit_settle, and then the devices. */
enum ciommu_status ciommu_tlbs_settle(struct ciommu_unit *unit, const struct tlb_target *target);

/* ciommu_unit_drain: settles, and asks for what an earlier drain that timed out left open. */
enum ciommu_status ciommu_tlbs_drain(struct ciommu_unit *unit, uint32_t *port_id);

/* Devices were asked, or are about to be, although a drain timed out. */
void ciommu_tlbs_owe(struct ciommu_unit *unit);
/* Was it said so, and not made up for? */
bool ciommu_tlbs_owed(struct ciommu_unit *unit);

#endif
