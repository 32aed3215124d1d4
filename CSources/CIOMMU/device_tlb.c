/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb.c - the registry of device-TLBs, their open requests, and blocking. The protocol
 * stands in device_tlb.h; the calls that make and end device-TLBs are in device_tlb_life.c.
 */
#define _GNU_SOURCE
#include "device_tlb.h"
#include "alloc.h"
#include "invalidate.h"
#include "tlb_round.h"
#include "unit.h"

#include <string.h>
#include <time.h>

void ciommu_device_tlbs_init(struct device_tlbs *tlbs) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&tlbs->lock, NULL);
    pthread_cond_init(&tlbs->moved, &attributes);
    pthread_condattr_destroy(&attributes);
}

void ciommu_device_tlbs_fini(struct device_tlbs *tlbs) {
    ciommu_rcu_wait(&tlbs->deferrals);
    pthread_mutex_destroy(&tlbs->lock);
    pthread_cond_destroy(&tlbs->moved);
    ciommu_free(tlbs->recent);
}

/* ---- Who ---- */

struct ciommu_device_tlb *ciommu_device_tlb_find(const struct device_tlbs *tlbs, uint32_t source,
                                                 uint32_t pasid) {
    const struct tlb_source *entry = load_acquire(&tlbs->buckets[source % TLB_BUCKETS]);
    while (entry != NULL && entry->id != source) {
        entry = load_acquire(&entry->next);
    }
    if (entry == NULL) {
        return NULL;
    }
    struct ciommu_device_tlb *own = pasid == CIOMMU_NO_PASID
                                        ? load_acquire(&entry->untagged)
                                        : pasid_table_find(&entry->ranges, pasid);
    return own != NULL ? own : load_acquire(&entry->whole);
}

/* ---- Blocking ---- */

bool ciommu_device_tlb_blocks(const struct device_tlbs *tlbs, uint32_t source, uint32_t pasid) {
    const struct ciommu_device_tlb *tlb = ciommu_device_tlb_find(tlbs, source, pasid);
    if (tlb == NULL || MUTANT(TLB_NOT_BLOCKED)) {
        return false;
    }
    const struct ciommu_device_tlb *parent = ciommu_device_tlb_companion(tlb);
    return load_acquire(&tlb->blocked) != TLB_WORKING ||
           (parent != NULL && load_acquire(&parent->blocked) != TLB_WORKING);
}

bool ciommu_device_tlb_block(struct ciommu_device_tlb *tlb) {
    if (tlb->blocked != TLB_WORKING || !tlb->linked) {
        return false;
    }
    tlb->blocks++;
    store_release(&tlb->blocked, TLB_BLOCKING);
    /* Loaded relaxed by translate.c, after the section saw the ugen that follows. */
    (void)add_seq_cst(&tlb->unit->tlbs_blocked, 1);
    return true;
}

void ciommu_device_tlb_blocked(struct ciommu_device_tlb *tlb, uint64_t blocks) {
    bool same = tlb->blocks == blocks || MUTANT(TLB_BLOCK_MISTAKEN);
    if (same && tlb->blocked == TLB_BLOCKING) {
        store_release(&tlb->blocked, TLB_BLOCKED); /* pairs with tlb_round.c: is_blocked */
    }
}

/* ---- Requests ---- */

static uint64_t monotonic(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

uint64_t ciommu_device_tlb_now(const struct ciommu_device_tlb *tlb) {
    return tlb->config.clock != NULL ? tlb->config.clock(tlb->config.clock_context) : monotonic();
}

struct tlb_slot *ciommu_device_tlb_open(struct ciommu_device_tlb *tlb, struct tlb_item *item,
                                        uint64_t now) {
    struct device_tlbs *tlbs = &tlb->unit->tlbs;
    struct tlb_function *function = tlb->function;
    if (function->open == function->depth) {
        return NULL;
    }
    struct tlb_slot *slot = function->slots;
    while (slot->id != 0) {
        slot++;
    }
    *slot = (struct tlb_slot){++tlbs->last_id, tlb, item, now};
    tlbs->recent[slot->id % TLB_RECENT] = (struct tlb_recent){slot->id, tlb, slot};
    function->open++;
    tlb->open++;
    tlb->requests++;
    return slot;
}

void ciommu_device_tlb_close(struct device_tlbs *tlbs, struct tlb_slot *slot, uint32_t state) {
    slot->item->state = state;
    slot->id = 0;
    slot->tlb->open--;
    slot->tlb->function->open--;
    slot->tlb->function->ended++;
    tlbs->events++;
    pthread_cond_broadcast(&tlbs->moved);
}

void ciommu_device_tlb_let_go(struct device_tlbs *tlbs, struct ciommu_device_tlb *tlb) {
    tlb->users--;
    if (tlb->presence != TLB_PRESENT) {
        pthread_cond_broadcast(&tlbs->moved); /* pairs with ciommu_device_tlb_destroy */
    }
}

/* The open request, or NULL. */
static struct tlb_slot *find_open(struct device_tlbs *tlbs, uint64_t id) {
    if (id == 0 || id > tlbs->last_id) {
        return NULL;
    }
    const struct tlb_recent *recent = &tlbs->recent[id % TLB_RECENT];
    if (recent->id == id) {
        return recent->tlb != NULL && recent->slot->id == id ? recent->slot : NULL;
    }
    /* Older than the last 1,024 requests, and perhaps still open. */
    for (struct tlb_function *function = tlbs->functions; function != NULL;
         function = function->next) {
        for (uint32_t slot = 0; slot < function->depth; slot++) {
            if (function->slots[slot].id == id) {
                return &function->slots[slot];
            }
        }
    }
    return NULL;
}

static struct ciommu_device_tlb *find_owner(const struct device_tlbs *tlbs, uint64_t id) {
    const struct tlb_recent *recent = tlbs->recent == NULL ? NULL : &tlbs->recent[id % TLB_RECENT];
    return recent != NULL && id != 0 && recent->id == id ? recent->tlb : NULL;
}

/* CIOMMU_MUTANT_TLB_LATE_ACCEPTED: a newer request of the same device. */
static struct tlb_slot *find_newer(struct device_tlbs *tlbs, uint64_t id) {
    const struct ciommu_device_tlb *tlb = find_owner(tlbs, id);
    for (uint32_t slot = 0; tlb != NULL && slot < tlb->function->depth; slot++) {
        struct tlb_slot *other = &tlb->function->slots[slot];
        if (other->id > id && other->tlb == tlb) {
            return other;
        }
    }
    return NULL;
}

static void count_round_trip(struct ciommu_device_tlb *tlb, uint64_t sent, uint64_t now) {
    uint64_t time = now > sent ? now - sent : 0; /* a clock of the host's may do anything */
    uint32_t lg2 = time == 0 ? 0 : 63 - (uint32_t)__builtin_clzll(time);
    tlb->round_trip[lg2 < TLB_ROUND_TRIPS ? lg2 : TLB_ROUND_TRIPS - 1]++;
}

static void count_late(struct device_tlbs *tlbs, uint64_t id) {
    struct ciommu_device_tlb *tlb = find_owner(tlbs, id);
    if (tlb != NULL) {
        tlb->late_answers++;
    }
}

enum ciommu_status ciommu_device_tlb_answer(struct ciommu_unit *unit, uint64_t id, bool fine) {
    if (unit == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct device_tlbs *tlbs = &unit->tlbs;
    enum ciommu_status status = CIOMMU_NOT_FOUND;
    pthread_mutex_lock(&tlbs->lock);
    struct tlb_slot *slot = find_open(tlbs, id);
    if (slot == NULL && MUTANT(TLB_LATE_ACCEPTED)) {
        slot = find_newer(tlbs, id);
        id = slot != NULL ? slot->id : id;
    }
    if (slot != NULL) {
        struct ciommu_device_tlb *tlb = slot->tlb;
        uint64_t sent = slot->sent;
        tlb->users++; /* across the host's clock */
        pthread_mutex_unlock(&tlbs->lock);
        uint64_t now = ciommu_device_tlb_now(tlb);
        pthread_mutex_lock(&tlbs->lock);
        if (slot->id == id) {
            count_round_trip(tlb, sent, now);
            tlb->answers++;
            tlb->errors += !fine;
            ciommu_device_tlb_close(tlbs, slot, fine ? TLB_ITEM_DONE : TLB_ITEM_REFUSED);
            status = CIOMMU_OK;
        }
        ciommu_device_tlb_let_go(tlbs, tlb);
    }
    if (status != CIOMMU_OK) {
        count_late(tlbs, id);
    }
    pthread_mutex_unlock(&tlbs->lock);
    return status;
}
