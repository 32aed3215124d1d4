/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tlb_ask.c - from a change to the devices that it concerns. Lists are walked under the table lock,
 * newest first; when a round is full it is asked outside the lock, and the walk goes on with what
 * is older. What joins a list meanwhile came after the change and needs no asking; what leaves it
 * was asked for everything before (attach.c: ciommu_departures_end).
 */
#include "tlb_ask.h"
#include "invalidate.h"

/* How far a walk came: serials are those of the last ones that were taken. */
struct cursor {
    struct tlb_round *round;
    const struct tlb_target *target;
    uint32_t index;
    bool children; /* the domain itself is done */
    uint64_t child;
    uint64_t serial;
};

/* All below: table lock; false when the round is full. */

/* Whoever holds translations of (source, want->pasid). When the second one finds the round full,
 * the first is asked twice. */
static bool add_owners(struct cursor *cursor, uint32_t source, const struct tlb_want *want) {
    struct ciommu_device_tlb *tlb =
        ciommu_device_tlb_find(&cursor->round->unit->tlbs, source, want->pasid);
    bool alone = tlb == NULL || MUTANT(TLB_PARENT_NOT_ASKED);
    struct ciommu_device_tlb *parent = alone ? NULL : ciommu_device_tlb_companion(tlb);
    return (tlb == NULL || ciommu_tlb_round_add(cursor->round, tlb, want)) &&
           (parent == NULL || ciommu_tlb_round_add(cursor->round, parent, want));
}

static bool add_range(struct cursor *cursor, const struct attachment *attachment, uint64_t first,
                      uint64_t last) {
    const struct tlb_want want = {
        .first = first,
        .last = last,
        .pasid = attachment->requested,
        .index = cursor->index,
    };
    return add_owners(cursor, attachment->source, &want);
}

static bool walk_attachments(struct cursor *cursor, const struct ciommu_domain *domain,
                             uint64_t first, uint64_t last) {
    for (const struct attachment *attachment = domain->newest_attachment; attachment != NULL;
         attachment = attachment->older) {
        if (attachment->serial >= cursor->serial) {
            continue;
        }
        if (!add_range(cursor, attachment, first, last)) {
            return false;
        }
        cursor->serial = attachment->serial;
    }
    return true;
}

static bool walk_domain(struct cursor *cursor) {
    const struct tlb_target *target = cursor->target;
    if (!cursor->children) {
        if (!walk_attachments(cursor, target->domain, target->first, target->last)) {
            return false;
        }
        cursor->children = true;
    }
    for (const struct ciommu_domain *child = target->domain->newest_child; child != NULL;
         child = child->older) {
        if (child->serial > cursor->child) {
            continue;
        }
        if (child->serial < cursor->child) {
            cursor->child = child->serial;
            cursor->serial = UINT64_MAX;
        }
        /* A parent's address selects no input address of the child. */
        if (!walk_attachments(cursor, child, 0, UINT64_MAX)) {
            return false;
        }
    }
    return true;
}

static bool add_everything(struct cursor *cursor, struct ciommu_device_tlb *tlb) {
    const struct tlb_want want = {
        .last = UINT64_MAX,
        .pasid = CIOMMU_NO_PASID,
        .index = cursor->index,
        .global = true,
    };
    return ciommu_tlb_round_add(cursor->round, tlb, &want);
}

static bool add_pasid(struct cursor *cursor) {
    const struct tlb_target *target = cursor->target;
    const struct tlb_want want = {
        .last = UINT64_MAX,
        .pasid = target->pasid,
        .index = cursor->index,
    };
    return add_owners(cursor, target->source, &want);
}

/* Does some PASID of the range have no device-TLB of its own? */
static bool leaves_some(const struct tlb_source *source, uint32_t first, uint32_t last) {
    while (first <= last) {
        const struct ciommu_device_tlb *own = pasid_table_find(&source->ranges, first);
        if (own == NULL || own->joining) {
            return true;
        }
        first = own->config.last_pasid + 1;
    }
    return false;
}

/* May the device-TLB hold translations of the device? A parent's are those that lie in no slice;
 * what begins in a slice is that slice's. A slice without a device-TLB of its own has the parent's.
 */
static bool holds_for(const struct ciommu_unit *unit, const struct ciommu_device_tlb *tlb,
                      const struct ciommu_device_config *device) {
    const struct ciommu_device_tlb_config *config = &tlb->config;
    if (device->share == CIOMMU_SHARE_WHOLE || tlb->place == TLB_OF_SOURCE) {
        return true;
    }
    if (tlb->place == TLB_OF_REST) {
        return device->share == CIOMMU_SHARE_PARENT ||
               leaves_some(tlb->source, device->first_pasid, device->last_pasid);
    }
    if (device->share == CIOMMU_SHARE_SLICE) {
        return config->first_pasid <= device->last_pasid &&
               config->last_pasid >= device->first_pasid;
    }
    const struct source *source = ciommu_source_find(&unit->devices, device->source);
    return source == NULL || pasid_table_find(&source->slices, config->first_pasid) == NULL;
}

/* May the device-TLB hold translations of the PASID (or CIOMMU_NO_PASID) of its source? */
static bool may_hold(const struct cursor *cursor, const struct ciommu_device_tlb *tlb,
                     uint32_t pasid) {
    const struct ciommu_device_tlb *own =
        ciommu_device_tlb_find(&cursor->round->unit->tlbs, tlb->config.source, pasid);
    return own == tlb || (own != NULL && ciommu_device_tlb_companion(own) == tlb);
}

/* What a device-TLB invalidation asks of one device-TLB; true also if that is nothing. */
static bool add_named(struct cursor *cursor, struct ciommu_device_tlb *tlb) {
    const struct ciommu_invalidation *what = cursor->target->what;
    const struct ciommu_device_tlb_config *config = &tlb->config;
    bool any = what->pasid == CIOMMU_ANY;
    bool untagged = any && (what->stages & CIOMMU_STAGES_UNTAGGED) != 0;
    bool source =
        what->source == CIOMMU_ANY || ((what->source ^ config->source) & ~what->source_mask) == 0;
    if (!source || ((!any || untagged) && !may_hold(cursor, tlb, what->pasid))) {
        return true;
    }
    const struct tlb_want want = {
        .first = what->first,
        .last = what->last,
        .pasid = what->pasid,
        .index = cursor->index,
        .global = any && !untagged,
    };
    return ciommu_tlb_round_add(cursor->round, tlb, &want);
}

static bool walk_tlbs(struct cursor *cursor) {
    const struct ciommu_unit *unit = cursor->round->unit;
    const struct tlb_target *target = cursor->target;
    for (struct ciommu_device_tlb *tlb = unit->tlbs.newest; tlb != NULL; tlb = tlb->next) {
        if (tlb->serial >= cursor->serial) {
            continue;
        }
        bool wanted = target->kind == TLB_OF_UNIT || (tlb->config.source == target->source &&
                                                      holds_for(unit, tlb, &target->device));
        bool added = target->kind == TLB_OF_INVALIDATION ? add_named(cursor, tlb)
                     : wanted                            ? add_everything(cursor, tlb)
                                                         : true;
        if (!added) {
            return false;
        }
        cursor->serial = tlb->serial;
    }
    return true;
}

/* Names the invalidation one source id and one PASID, or the requests without? */
static bool is_exact(const struct ciommu_invalidation *what) {
    bool any = what->pasid == CIOMMU_ANY && (what->stages & CIOMMU_STAGES_UNTAGGED) == 0;
    return what->source != CIOMMU_ANY && what->source_mask == 0 && !any;
}

static bool walk_named(struct cursor *cursor) {
    const struct ciommu_invalidation *what = cursor->target->what;
    if (!is_exact(what)) {
        return walk_tlbs(cursor);
    }
    const struct tlb_want want = {
        .first = what->first,
        .last = what->last,
        .pasid = what->pasid,
        .index = cursor->index,
    };
    return add_owners(cursor, what->source, &want);
}

static bool walk(struct cursor *cursor) {
    switch (cursor->target->kind) {
    case TLB_OF_NOTHING:
        return true;
    case TLB_OF_DOMAIN:
        return walk_domain(cursor);
    case TLB_OF_PASID:
        return add_pasid(cursor);
    case TLB_OF_INVALIDATION:
        return walk_named(cursor);
    default:
        return walk_tlbs(cursor);
    }
}

/* ---- Outside locks ---- */

void ciommu_tlb_round_collect(struct tlb_round *round, const struct tlb_target *target,
                              uint32_t index) {
    struct ciommu_unit *unit = round->unit;
    struct cursor cursor = {
        .round = round,
        .target = target,
        .index = index,
        .child = UINT64_MAX,
        .serial = UINT64_MAX,
    };
    for (;;) {
        pthread_mutex_lock(&unit->table_lock);
        bool all = walk(&cursor);
        pthread_mutex_unlock(&unit->table_lock);
        if (all) {
            return;
        }
        ciommu_tlb_round_ask(round);
    }
}

enum ciommu_status ciommu_tlbs_ask(struct ciommu_unit *unit, const struct tlb_target *target) {
    if (!tlbs_exist(unit)) {
        return CIOMMU_OK;
    }
    struct tlb_round round;
    tlb_round_init(&round, unit, NULL, NULL);
    ciommu_tlb_round_collect(&round, target, UINT32_MAX);
    ciommu_tlb_round_ask(&round);
    return tlb_round_status(&round);
}

void ciommu_tlbs_owe(struct ciommu_unit *unit) {
    pthread_mutex_lock(&unit->tlbs.lock);
    unit->tlbs.owed++;
    pthread_mutex_unlock(&unit->tlbs.lock);
}

/* How often it was said so, and `*paid`: how often it was made up for. */
static uint64_t debts(struct device_tlbs *tlbs, uint64_t *paid) {
    pthread_mutex_lock(&tlbs->lock);
    uint64_t owed = tlbs->owed;
    *paid = tlbs->paid;
    pthread_mutex_unlock(&tlbs->lock);
    return owed;
}

static void pay(struct device_tlbs *tlbs, uint64_t owed) {
    pthread_mutex_lock(&tlbs->lock);
    tlbs->paid = owed > tlbs->paid ? owed : tlbs->paid;
    pthread_mutex_unlock(&tlbs->lock);
}

bool ciommu_tlbs_owed(struct ciommu_unit *unit) {
    uint64_t paid;
    return tlbs_exist(unit) && debts(&unit->tlbs, &paid) != paid;
}

enum ciommu_status ciommu_tlbs_settle(struct ciommu_unit *unit, const struct tlb_target *target) {
    enum ciommu_status asked = CIOMMU_OK;
    if (MUTANT(TLB_BEFORE_DRAIN)) {
        asked = ciommu_tlbs_ask(unit, target);
    }
    enum ciommu_status status = ciommu_unit_settle(unit, NULL);
    if (target->kind == TLB_OF_NOTHING || !tlbs_exist(unit)) {
        return status;
    }
    if (!MUTANT(TLB_BEFORE_DRAIN)) {
        asked = ciommu_tlbs_ask(unit, target);
    }
    if (status != CIOMMU_OK) {
        ciommu_tlbs_owe(unit);
    }
    return status != CIOMMU_OK ? status : asked;
}

enum ciommu_status ciommu_tlbs_drain(struct ciommu_unit *unit, uint32_t *port_id) {
    if (!tlbs_exist(unit)) {
        return ciommu_unit_settle(unit, port_id);
    }
    const struct tlb_target everybody = {.kind = TLB_OF_UNIT};
    uint64_t paid;
    uint64_t owed = debts(&unit->tlbs, &paid);
    enum ciommu_status status = ciommu_unit_settle(unit, port_id);
    if (status != CIOMMU_OK || owed == paid) {
        return status;
    }
    if (MUTANT(TLB_PAID_EARLY)) {
        pay(&unit->tlbs, owed);
    }
    status = ciommu_tlbs_ask(unit, &everybody);
    pay(&unit->tlbs, owed); /* also for who did not drop: it is blocked */
    return status;
}
