/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_slots.c - one device, eight places to attach to (no PASID, and seven PASIDs), two domains
 * for each. PROBE_DOMAIN_REPLACE only replaces: then a fault is always wrong. PROBE_DOMAIN_ATTACH
 * attaches, detaches, replaces, resets the device, makes it anew, and makes domains anew in a pool
 * that is so small that their places in it are soon another's.
 *
 * State: two bits a place.
 */
#include "domain_world.h"
#include "harness.h"

#define PAGES 4u

enum slot { DETACHED = 0, FIRST = 1, SECOND = 2 };

static enum slot slot_of(uint64_t state, uint32_t slot) {
    return (enum slot)(state >> (2 * slot) & 3);
}

static uint64_t with_slot(uint64_t state, uint32_t slot, enum slot value) {
    return (state & ~(UINT64_C(3) << (2 * slot))) | (uint64_t)value << (2 * slot);
}

static uint32_t pasid_of(uint32_t slot) {
    return slot == 0 ? CIOMMU_NO_PASID : slot * 77;
}

static struct ciommu_domain *domain_of(const struct domain_world *world, uint32_t slot,
                                       enum slot value) {
    return world->domains[slot * 2 + (value == SECOND)];
}

static uint64_t output_of(uint32_t slot, enum slot value, uint32_t page) {
    return DOMAIN_OUTPUT + (((slot * 2 + (value == SECOND)) * PAGES) + page) * DOMAIN_PAGE;
}

static void restore(struct domain_world *world, uint32_t slot, enum slot value) {
    for (uint32_t page = 0; page < PAGES && value != DETACHED; page++) {
        domain_restore(world, output_of(slot, value, page));
    }
}

static void poison(struct domain_world *world, uint32_t slot, enum slot value) {
    for (uint32_t page = 0; page < PAGES && value != DETACHED; page++) {
        domain_poison(world, output_of(slot, value, page));
    }
}

static enum ciommu_status make_domain(struct domain_world *world, uint32_t slot, enum slot value) {
    struct ciommu_domain **domain = &world->domains[slot * 2 + (value == SECOND)];
    enum ciommu_status status = CIOMMU_NO_SPACE;
    /* A destroyed domain's place is free again after a grace period. */
    for (uint32_t attempt = 0; attempt < 5000 && status == CIOMMU_NO_SPACE; attempt++) {
        status = domain_paging(world, 0, 0, domain);
        if (status == CIOMMU_NO_SPACE) {
            probe_nap(1000000);
        }
    }
    return status != CIOMMU_OK ? status
                               : domain_map(*domain, DOMAIN_IOVA, output_of(slot, value, 0),
                                            PAGES * DOMAIN_PAGE, DOMAIN_RW);
}

/* One that is attached nowhere gives way to a new one. */
static enum ciommu_status remake_domain(struct domain_world *world, uint32_t slot,
                                        enum slot value) {
    enum ciommu_status status = ciommu_domain_destroy(domain_of(world, slot, value));
    world->domains[slot * 2 + (value == SECOND)] = NULL;
    return status != CIOMMU_OK ? status : make_domain(world, slot, value);
}

static enum ciommu_status build(struct domain_world *world) {
    enum ciommu_status status = CIOMMU_OK;
    uint64_t state = 0;
    for (uint32_t slot = 0; slot < DOMAIN_SLOTS && status == CIOMMU_OK; slot++) {
        for (enum slot value = FIRST; value <= SECOND && status == CIOMMU_OK; value++) {
            status = make_domain(world, slot, value);
        }
        restore(world, slot, FIRST);
        poison(world, slot, SECOND);
        status = status != CIOMMU_OK ? status
                                     : ciommu_device_attach(world->device, pasid_of(slot),
                                                            domain_of(world, slot, FIRST));
        state = with_slot(state, slot, FIRST);
    }
    world->states[0] = state;
    return status;
}

/* Everything is detached at once. */
static enum ciommu_status detach_all(struct domain_world *world, bool remake) {
    uint64_t before = domain_state(world);
    domain_begin(world, 0);
    enum ciommu_status status;
    if (remake) {
        status = ciommu_device_destroy(world->device, NULL);
        world->device = NULL;
        status = status != CIOMMU_OK ? status : domain_device(world);
    } else {
        status = ciommu_device_reset(world->device, NULL);
    }
    domain_finish(world);
    for (uint32_t slot = 0; slot < DOMAIN_SLOTS && status == CIOMMU_OK; slot++) {
        poison(world, slot, slot_of(before, slot));
    }
    return status;
}

static enum ciommu_status change(struct domain_world *world, uint64_t random) {
    bool only_replace = world->kind == PROBE_DOMAIN_REPLACE;
    if (!only_replace && random % 128 < 2) {
        return detach_all(world, random % 128 == 0);
    }
    uint32_t slot = (uint32_t)(random >> 8) % DOMAIN_SLOTS;
    uint64_t before = domain_state(world);
    enum slot old = slot_of(before, slot);
    enum slot other = old == FIRST ? SECOND : FIRST;
    enum slot next = other;
    if (!only_replace && old != DETACHED && (random >> 16) % 2 == 0) {
        next = DETACHED;
    } else if (old == DETACHED) {
        next = (random >> 16) % 2 == 0 ? FIRST : SECOND;
    }
    uint32_t pasid = pasid_of(slot);
    restore(world, slot, next);
    domain_begin(world, with_slot(before, slot, next));
    enum ciommu_status status;
    if (next == DETACHED) {
        status = ciommu_device_detach(world->device, NULL, pasid);
    } else if (old == DETACHED) {
        status = ciommu_device_attach(world->device, pasid, domain_of(world, slot, next));
    } else {
        status = ciommu_device_replace(world->device, NULL, pasid, domain_of(world, slot, next));
    }
    domain_finish(world);
    if (status == CIOMMU_OK) {
        poison(world, slot, old);
        if (old != DETACHED && (random >> 20) % 4 == 0) {
            status = remake_domain(world, slot, old);
        }
    }
    return status;
}

static void ask(const struct domain_world *world, uint64_t random,
                struct domain_question *question) {
    (void)world;
    question->pasid = pasid_of((uint32_t)(random >> 8) % DOMAIN_SLOTS);
    question->iova = DOMAIN_IOVA + (random >> 32) % PAGES * DOMAIN_PAGE;
    question->payload = true;
}

static struct domain_expected expect(const struct domain_world *world, uint64_t state,
                                     const struct domain_question *question) {
    (void)world;
    uint32_t slot = question->pasid == CIOMMU_NO_PASID ? 0 : question->pasid / 77;
    uint32_t page = (uint32_t)((question->iova - DOMAIN_IOVA) / DOMAIN_PAGE);
    enum slot value = slot_of(state, slot);
    if (value == DETACHED) {
        return (struct domain_expected){0, 0};
    }
    return (struct domain_expected){output_of(slot, value, page), DOMAIN_RW};
}

const struct domain_plan domain_slots = {build, change, ask, expect};
