/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tlb_round.c - one round of asking devices: merge, send, wait, block, report. The protocol stands
 * in tlb_round.h.
 */
#define _GNU_SOURCE
#include "tlb_round.h"
#include "invalidate.h"
#include "unit.h"

#include <time.h>

#define SLICE UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* ---- Collecting ---- */

bool ciommu_tlb_round_add(struct tlb_round *round, struct ciommu_device_tlb *tlb,
                          const struct tlb_want *want) {
    uint32_t blocked = load_acquire(&tlb->blocked);
    if (blocked != TLB_WORKING && !want->forced) {
        round->unsettled = round->unsettled || blocked == TLB_BLOCKING;
        return true;
    }
    if (round->count == TLB_ROUND_MOST) {
        return false;
    }
    struct device_tlbs *tlbs = &round->unit->tlbs;
    pthread_mutex_lock(&tlbs->lock);
    tlb->users++;
    pthread_mutex_unlock(&tlbs->lock);
    round->items[round->count++] = (struct tlb_item){
        .tlb = tlb,
        .first = want->first,
        .last = want->last,
        .pasid = want->pasid,
        .index = want->index,
        .global = want->global,
        .forced = want->forced,
        .deadline = UINT64_MAX,
    };
    return true;
}

/* ---- Merging ---- */

static bool comes_before(const struct tlb_item *left, const struct tlb_item *right) {
    if (left->tlb->serial != right->tlb->serial) {
        return left->tlb->serial < right->tlb->serial;
    }
    if (left->global != right->global) {
        return left->global;
    }
    if (left->pasid != right->pasid) {
        return left->pasid < right->pasid;
    }
    /* The longest first, so that one for everything leads. */
    return left->first != right->first ? left->first < right->first : left->last > right->last;
}

/* By device, PASID and address. Mostly sorted already. */
static void sort(struct tlb_round *round) {
    for (uint32_t index = 1; index < round->count; index++) {
        struct tlb_item item = round->items[index];
        uint32_t at = index;
        for (; at > 0 && comes_before(&item, &round->items[at - 1]); at--) {
            round->items[at] = round->items[at - 1];
        }
        round->items[at] = item;
    }
}

/* Can the leader's request stand for the item too? */
static bool leads(const struct tlb_item *leader, const struct tlb_item *item) {
    if (leader->tlb != item->tlb) {
        return false;
    }
    bool everything = leader->global && leader->first == 0 && leader->last == UINT64_MAX;
    bool same = leader->global == item->global && leader->pasid == item->pasid;
    return everything || (same && (leader->last == UINT64_MAX || item->first <= leader->last + 1));
}

static void merge(struct tlb_round *round) {
    uint32_t leader = 0;
    sort(round);
    for (uint32_t index = 0; index < round->count; index++) {
        struct tlb_item *item = &round->items[index];
        struct tlb_item *before = &round->items[leader];
        if (index != 0 && leads(before, item)) {
            before->last = item->last > before->last ? item->last : before->last;
            round->merged++;
        } else {
            leader = index;
        }
        item->leader = leader;
    }
}

/* ---- Sending and waiting ---- */

static uint64_t later(uint64_t now, uint64_t time) {
    return now + time < now ? UINT64_MAX : now + time;
}

/* Has the time of a request, or of its wait for a slot, passed? */
static bool is_late(struct tlb_item *item, uint64_t now) {
    item->left = item->deadline > now ? item->deadline - now : 0;
    return item->left == 0;
}

/* How long a request waits for a slot: its own time beyond that of the slowest in front of it, so
 * that a sibling that says nothing is found late before those who wait behind it. tlbs.lock. */
static uint64_t patience(const struct ciommu_device_tlb *tlb) {
    uint64_t slowest = 0;
    for (uint32_t slot = 0; slot < tlb->function->depth; slot++) {
        const struct tlb_slot *open = &tlb->function->slots[slot];
        if (open->id != 0 && open->tlb->config.timeout > slowest) {
            slowest = open->tlb->config.timeout;
        }
    }
    return later(slowest, tlb->config.timeout);
}

/* Takes a slot if there is one; true: the request is open and to be sent. tlbs.lock. */
static bool try_open(struct tlb_round *round, struct tlb_item *item, uint64_t now) {
    struct ciommu_device_tlb *tlb = item->tlb;
    uint32_t blocked = load_acquire(&tlb->blocked);
    if (tlb->presence != TLB_PRESENT) {
        item->state = tlb->presence == TLB_GONE ? TLB_ITEM_DONE : TLB_ITEM_LATE;
        return false;
    }
    if (blocked != TLB_WORKING && !item->forced) {
        item->state = TLB_ITEM_SKIPPED;
        round->unsettled = round->unsettled || blocked == TLB_BLOCKING;
        return false;
    }
    item->slot = ciommu_device_tlb_open(tlb, item, now);
    if (item->slot != NULL) {
        item->state = TLB_ITEM_OPEN;
        item->deadline = later(now, tlb->config.timeout);
        item->left = tlb->config.timeout;
        return true;
    }
    if (item->deadline == UINT64_MAX || item->ended != tlb->function->ended) {
        item->ended = tlb->function->ended;
        item->deadline = later(now, patience(tlb));
    }
    if (is_late(item, now)) {
        tlb->timeouts++;
        item->state = TLB_ITEM_LATE;
    }
    return false;
}

/* Calls the handler of an open request. Outside locks. */
static void send(const struct tlb_item *item, uint64_t id) {
    const struct ciommu_device_tlb_config *config = &item->tlb->config;
    const struct ciommu_device_tlb_request request = {
        .size = sizeof request,
        .source = config->source,
        .pasid = item->global ? CIOMMU_NO_PASID : item->pasid,
        .global = item->global,
        .id = id,
        .first = item->first,
        .last = item->last,
    };
    config->handler(config->context, &request);
}

/* One look at an item: sends it, finds it answered, or too late. True if it is not over. */
static bool advance(struct tlb_round *round, struct tlb_item *item) {
    struct device_tlbs *tlbs = &round->unit->tlbs;
    uint64_t now = ciommu_device_tlb_now(item->tlb);
    bool sends = false;
    uint64_t id = 0;
    pthread_mutex_lock(&tlbs->lock);
    if (item->state == TLB_ITEM_WAITING) {
        sends = try_open(round, item, now);
        id = sends ? item->slot->id : 0;
    } else if (item->state == TLB_ITEM_OPEN && is_late(item, now)) {
        item->tlb->timeouts++;
        ciommu_device_tlb_close(tlbs, item->slot, TLB_ITEM_LATE);
    }
    bool going = item->state == TLB_ITEM_WAITING || item->state == TLB_ITEM_OPEN;
    pthread_mutex_unlock(&tlbs->lock);
    if (sends) {
        send(item, id);
    }
    return going;
}

/* Sleeps until something ends, at most `time`. tlbs.lock. */
static void sleep_for(struct device_tlbs *tlbs, uint64_t time) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t nanoseconds = (uint64_t)until.tv_nsec + time % SECOND;
    until.tv_sec += (time_t)(time / SECOND + nanoseconds / SECOND);
    until.tv_nsec = (long)(nanoseconds % SECOND);
    (void)pthread_cond_timedwait(&tlbs->moved, &tlbs->lock, &until);
}

/* One pass over all leaders. False: everything is over. `*longest` is how long to sleep at most. */
static bool pass(struct tlb_round *round, uint64_t *longest) {
    bool going = false;
    *longest = 3600 * SECOND;
    for (uint32_t index = 0; index < round->count; index++) {
        struct tlb_item *item = &round->items[index];
        if (item->leader != index || !advance(round, item)) {
            continue;
        }
        going = true;
        uint64_t most = item->tlb->config.clock != NULL ? SLICE : item->left;
        *longest = most < *longest ? most : *longest;
    }
    return going;
}

static void wait_for_all(struct tlb_round *round) {
    struct device_tlbs *tlbs = &round->unit->tlbs;
    uint64_t longest;
    pthread_mutex_lock(&tlbs->lock);
    for (;;) {
        uint64_t events = tlbs->events;
        pthread_mutex_unlock(&tlbs->lock);
        if (!pass(round, &longest)) {
            return;
        }
        pthread_mutex_lock(&tlbs->lock);
        if (tlbs->events == events) {
            sleep_for(tlbs, longest);
        }
    }
}

/* ---- Failing ---- */

static bool has_failed(const struct tlb_item *item) {
    return item->state == TLB_ITEM_LATE || item->state == TLB_ITEM_REFUSED;
}

/* Blocks whoever did not answer as it must. Choice: a device that says that it could not drop
 * something is blocked as one that says nothing, because both may go on using it. */
static void block_failed(struct tlb_round *round) {
    struct ciommu_unit *unit = round->unit;
    bool failed = false;
    for (uint32_t index = 0; index < round->count; index++) {
        failed = failed || has_failed(&round->items[index]);
    }
    if (!failed && !round->unsettled) {
        return;
    }
    pthread_mutex_lock(&unit->table_lock);
    if (failed) {
        ciommu_unit_begin_table_change(unit);
        for (uint32_t index = 0; index < round->count; index++) {
            struct tlb_item *item = &round->items[index];
            if (has_failed(item)) {
                (void)ciommu_device_tlb_block(item->tlb);
                item->blocks = item->tlb->blocks;
            }
        }
        ciommu_unit_finish_table_change(unit);
    }
    pthread_mutex_unlock(&unit->table_lock);
    if (ciommu_unit_settle(unit, &round->port_id) != CIOMMU_OK) {
        round->late = true;
        return;
    }
    yield_point(CIOMMU_YIELD_BLOCK_SETTLED);
    pthread_mutex_lock(&unit->table_lock);
    for (uint32_t index = 0; index < round->count; index++) {
        const struct tlb_item *item = &round->items[index];
        if (has_failed(item)) {
            ciommu_device_tlb_blocked(item->tlb, item->blocks);
        }
    }
    pthread_mutex_unlock(&unit->table_lock);
}

static void report(struct tlb_round *round, const struct tlb_item *item) {
    const struct tlb_item *leader = &round->items[item->leader];
    const struct ciommu_device_tlb_config *config = &item->tlb->config;
    if (!has_failed(leader)) {
        return;
    }
    round->failed++;
    const struct ciommu_batch_failure failure = {
        .index = item->index,
        .error = leader->state == TLB_ITEM_LATE ? CIOMMU_BATCH_TIMEOUT : CIOMMU_BATCH_COMPLETION,
        .flags = CIOMMU_BATCH_HAS_DEVICE,
        .source = config->source,
        .pasid = item->global ? CIOMMU_NO_PASID : item->pasid,
        .device = config->device,
    };
    if (round->report != NULL) {
        round->report(round->context, &failure);
    }
}

void ciommu_tlb_round_ask(struct tlb_round *round) {
    struct device_tlbs *tlbs = &round->unit->tlbs;
    if (round->count != 0) {
        merge(round);
        wait_for_all(round);
    }
    block_failed(round);
    for (uint32_t index = 0; index < round->count; index++) {
        report(round, &round->items[index]);
    }
    if (round->count != 0) {
        pthread_mutex_lock(&tlbs->lock);
        for (uint32_t index = 0; index < round->count; index++) {
            ciommu_device_tlb_let_go(tlbs, round->items[index].tlb);
        }
        pthread_mutex_unlock(&tlbs->lock);
    }
    round->count = 0;
    round->unsettled = false;
}
