/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_life.c - making and ending device-TLBs, retry and reset of blocked ones, statistics.
 * The protocol stands in device_tlb.h.
 */
#include "alloc.h"
#include "invalidate.h"
#include "tlb_ask.h"

#include <string.h>

/* ---- Sources and functions ---- */

static void free_source(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct tlb_source *source = caa_container_of(head, struct tlb_source, rcu);
    struct deferrals *deferrals = &source->tlbs->deferrals;
    ciommu_pasid_table_fini(&source->ranges);
    ciommu_free(source);
    ciommu_rcu_callback_ends(deferrals);
}

static struct tlb_source **bucket_of(struct device_tlbs *tlbs, uint32_t source) {
    return &tlbs->buckets[source % TLB_BUCKETS];
}

/* The source, made if need be but not published. Table lock. */
static struct tlb_source *obtain_source(struct device_tlbs *tlbs, uint32_t id) {
    struct tlb_source *source = *bucket_of(tlbs, id);
    while (source != NULL && source->id != id) {
        source = source->next;
    }
    if (source == NULL) {
        source = ciommu_allocate(CACHE_LINE, sizeof *source);
        if (source != NULL) {
            source->id = id;
            source->tlbs = tlbs;
            ciommu_pasid_table_init(&source->ranges, &tlbs->deferrals);
        }
    }
    return source;
}

/* Gives back a source that nobody joined. */
static void discard_source(struct tlb_source *source) {
    if (source != NULL && source->members == 0) {
        ciommu_pasid_table_fini(&source->ranges);
        ciommu_free(source);
    }
}

/* Is its place taken? A parent's is what the others leave. */
static bool is_taken(const struct tlb_source *source, const struct ciommu_device_tlb *tlb) {
    const struct ciommu_device_tlb *whole = source->whole;
    const struct ciommu_device_tlb_config *config = &tlb->config;
    switch (tlb->place) {
    case TLB_OF_SOURCE:
        return source->members != 0;
    case TLB_OF_REST:
        return whole != NULL;
    case TLB_OF_UNTAGGED:
        return (whole != NULL && whole->place == TLB_OF_SOURCE) || source->untagged != NULL;
    default:
        return (whole != NULL && whole->place == TLB_OF_SOURCE) ||
               !ciommu_pasid_table_is_clear(&source->ranges, config->first_pasid,
                                            config->last_pasid);
    }
}

static enum ciommu_status join_source(struct tlb_source *source, struct ciommu_device_tlb *tlb) {
    const struct ciommu_device_tlb_config *config = &tlb->config;
    struct device_tlbs *tlbs = source->tlbs;
    if (is_taken(source, tlb)) {
        return CIOMMU_OVERLAP;
    }
    if (tlb->place == TLB_OF_SOURCE || tlb->place == TLB_OF_REST) {
        store_release(&source->whole, tlb); /* pairs with ciommu_device_tlb_find, as all here */
    } else if (tlb->place == TLB_OF_UNTAGGED) {
        store_release(&source->untagged, tlb);
    } else {
        enum ciommu_status status =
            ciommu_pasid_table_reserve(&source->ranges, config->first_pasid, config->last_pasid);
        if (status != CIOMMU_OK) {
            return status;
        }
        ciommu_pasid_table_fill(&source->ranges, config->first_pasid, config->last_pasid, tlb);
    }
    if (source->members++ == 0) {
        struct tlb_source **bucket = bucket_of(tlbs, source->id);
        source->next = *bucket;
        store_release(bucket, source);
    }
    return CIOMMU_OK;
}

static void leave_source(struct ciommu_device_tlb *tlb) {
    struct tlb_source *source = tlb->source;
    const struct ciommu_device_tlb_config *config = &tlb->config;
    if (source->whole == tlb) {
        store_release(&source->whole, NULL);
    } else if (source->untagged == tlb) {
        store_release(&source->untagged, NULL);
    } else {
        ciommu_pasid_table_fill(&source->ranges, config->first_pasid, config->last_pasid, NULL);
    }
    if (--source->members == 0) {
        struct tlb_source **link = bucket_of(source->tlbs, source->id);
        while (*link != source) {
            link = &(*link)->next;
        }
        store_release(link, source->next);
        ciommu_rcu_defer(&source->tlbs->deferrals, &source->rcu, free_source);
    }
}

/* Joins the physical function, which `spare` becomes if there is none (then it is taken). Table
 * lock. */
static enum ciommu_status join_function(struct device_tlbs *tlbs, struct ciommu_device_tlb *tlb,
                                        struct tlb_function **spare, struct tlb_recent **recent) {
    const struct ciommu_device_tlb_config *config = &tlb->config;
    enum ciommu_status status = CIOMMU_OK;
    pthread_mutex_lock(&tlbs->lock);
    struct tlb_function *function = tlbs->functions;
    while (function != NULL && function->pfsid != config->pfsid) {
        function = function->next;
    }
    if (function == NULL) {
        function = *spare;
        *spare = NULL;
        function->pfsid = config->pfsid;
        function->depth = config->queue_depth;
        function->next = tlbs->functions;
        tlbs->functions = function;
    }
    if (function->depth == config->queue_depth) {
        function->members++;
        tlb->function = function;
        if (tlbs->recent == NULL) {
            tlbs->recent = *recent;
            *recent = NULL;
        }
    } else {
        status = CIOMMU_INVALID_ARGUMENT;
    }
    pthread_mutex_unlock(&tlbs->lock);
    return status;
}

/* tlbs.lock. */
static void leave_function(struct device_tlbs *tlbs, struct tlb_function *function) {
    if (--function->members == 0) {
        struct tlb_function **link = &tlbs->functions;
        while (*link != function) {
            link = &(*link)->next;
        }
        *link = function->next;
        ciommu_free(function);
    }
}

/* ---- Making ---- */

static enum ciommu_status check_config(const struct vtd_caps *caps,
                                       const struct ciommu_device_tlb_config *config) {
    bool all = config->flags == CIOMMU_DEVICE_TLB_ALL_PASIDS ||
               config->flags == CIOMMU_DEVICE_TLB_OTHER_PASIDS;
    bool range = config->first_pasid <= config->last_pasid && config->last_pasid <= PASID_LAST;
    bool untagged = config->first_pasid == CIOMMU_NO_PASID && config->last_pasid == CIOMMU_NO_PASID;
    if ((config->flags != 0 && !all) || config->source > 0xffff || config->pfsid > 0xffff ||
        (!all && !range && !untagged) || config->queue_depth < 1 ||
        config->queue_depth > TLB_DEPTH_MOST || config->reserved != 0 || config->handler == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool pasids = all || untagged || (caps->pasid && config->last_pasid >> caps->pasid_bits == 0);
    return caps->device_tlb && pasids ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

static enum tlb_place place_of(const struct ciommu_device_tlb_config *config) {
    return config->flags == CIOMMU_DEVICE_TLB_ALL_PASIDS     ? TLB_OF_SOURCE
           : config->flags == CIOMMU_DEVICE_TLB_OTHER_PASIDS ? TLB_OF_REST
           : config->first_pasid == CIOMMU_NO_PASID          ? TLB_OF_UNTAGGED
                                                             : TLB_OF_RANGE;
}

static enum ciommu_status join(struct ciommu_unit *unit, struct ciommu_device_tlb *tlb,
                               struct tlb_function **spare, struct tlb_recent **recent) {
    struct device_tlbs *tlbs = &unit->tlbs;
    struct tlb_source *source = obtain_source(tlbs, tlb->config.source);
    if (source == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    enum ciommu_status status = join_function(tlbs, tlb, spare, recent);
    if (status == CIOMMU_OK) {
        tlb->source = source;
        tlb->serial = ++tlbs->serial;
        tlb->joining = source->whole != NULL;
        status = join_source(source, tlb);
        if (status != CIOMMU_OK) {
            pthread_mutex_lock(&tlbs->lock);
            leave_function(tlbs, tlb->function);
            pthread_mutex_unlock(&tlbs->lock);
        }
    }
    if (status != CIOMMU_OK) {
        discard_source(source);
        return status;
    }
    tlb->next = tlbs->newest;
    tlb->linked = true;
    tlbs->newest = tlb;
    store_release(&tlbs->count, tlbs->count + 1);
    return CIOMMU_OK;
}

/* What a parent's device-TLB holds of the new one's PASIDs goes, before the parent is no longer
 * asked about them (device_tlb.h: Joining). */
static enum ciommu_status take_over(struct ciommu_device_tlb *tlb) {
    struct ciommu_unit *unit = tlb->unit;
    const struct tlb_want want = {
        .last = UINT64_MAX,
        .pasid = CIOMMU_NO_PASID,
        .index = UINT32_MAX,
        .global = true,
        .forced = true,
    };
    struct tlb_round round;
    tlb_round_init(&round, unit, NULL, NULL);
    enum ciommu_status status = ciommu_unit_settle(unit, NULL);
    pthread_mutex_lock(&unit->table_lock);
    if (status == CIOMMU_OK && tlb->source->whole != NULL) {
        (void)ciommu_tlb_round_add(&round, tlb->source->whole, &want);
    }
    pthread_mutex_unlock(&unit->table_lock);
    ciommu_tlb_round_ask(&round);
    status = status != CIOMMU_OK ? status : tlb_round_status(&round);
    if (status == CIOMMU_OK) {
        pthread_mutex_lock(&unit->table_lock);
        store_release(&tlb->joining, false); /* pairs with ciommu_device_tlb_blocks */
        pthread_mutex_unlock(&unit->table_lock);
    }
    return status;
}

static void forget(struct ciommu_device_tlb *tlb, enum ciommu_status status);

enum ciommu_status ciommu_device_tlb_create(struct ciommu_unit *unit,
                                            const struct ciommu_device_tlb_config *config,
                                            struct ciommu_device_tlb **out) {
    if (unit == NULL || config == NULL || out == NULL || config->size < sizeof *config) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = check_config(&unit->caps, config);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (ports_wait_for_caller(&unit->ports, NULL)) {
        return CIOMMU_IN_SECTION;
    }
    struct ciommu_device_tlb *tlb = ciommu_allocate(CACHE_LINE, sizeof *tlb);
    struct tlb_function *spare = ciommu_allocate(CACHE_LINE, sizeof *spare);
    struct tlb_recent *recent = ciommu_allocate(CACHE_LINE, TLB_RECENT * sizeof *recent);
    status = CIOMMU_NO_MEMORY;
    if (tlb != NULL && spare != NULL && recent != NULL) {
        tlb->unit = unit;
        tlb->config = *config;
        tlb->place = place_of(config);
        if (config->flags != 0) {
            tlb->config.first_pasid = 0;
            tlb->config.last_pasid = PASID_LAST;
        }
        pthread_mutex_lock(&unit->table_lock);
        status = join(unit, tlb, &spare, &recent);
        pthread_mutex_unlock(&unit->table_lock);
    }
    ciommu_free(spare);
    ciommu_free(recent);
    if (status != CIOMMU_OK) {
        ciommu_free(tlb);
        return status;
    }
    if (tlb->joining) { /* by this thread, and ended only by it */
        status = take_over(tlb);
    }
    if (status != CIOMMU_OK) {
        forget(tlb, CIOMMU_OK); /* it was never given anything */
        return status;
    }
    *out = tlb;
    return CIOMMU_OK;
}

/* ---- Retry, reset, end ---- */

static enum ciommu_status check_port(const struct ciommu_device_tlb *tlb,
                                     const struct ciommu_port *port) {
    if (tlb == NULL || (port != NULL && port->unit != tlb->unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    return ports_wait_for_caller(&tlb->unit->ports, port) ? CIOMMU_IN_SECTION : CIOMMU_OK;
}

/* Asks for everything, whether it is blocked or not. */
static enum ciommu_status flush(struct ciommu_device_tlb *tlb) {
    const struct tlb_want want = {
        .last = UINT64_MAX,
        .pasid = CIOMMU_NO_PASID,
        .index = UINT32_MAX,
        .global = true,
        .forced = true,
    };
    struct tlb_round round;
    tlb_round_init(&round, tlb->unit, NULL, NULL);
    enum ciommu_status status = ciommu_unit_settle(tlb->unit, NULL);
    pthread_mutex_lock(&tlb->unit->table_lock);
    (void)ciommu_tlb_round_add(&round, tlb, &want);
    pthread_mutex_unlock(&tlb->unit->table_lock);
    ciommu_tlb_round_ask(&round);
    return status != CIOMMU_OK ? status : tlb_round_status(&round);
}

static uint64_t times_blocked(struct ciommu_device_tlb *tlb) {
    pthread_mutex_lock(&tlb->unit->table_lock);
    uint64_t blocks = tlb->blocks;
    pthread_mutex_unlock(&tlb->unit->table_lock);
    return blocks;
}

/* Table lock. */
static void unblock(struct ciommu_device_tlb *tlb) {
    if (tlb->blocked != TLB_WORKING) {
        store_release(&tlb->blocked, TLB_WORKING);
        (void)add_seq_cst(&tlb->unit->tlbs_blocked, -1);
    }
}

/* It holds nothing, as of a moment when it had been blocked `blocks` times. */
static enum ciommu_status unblock_if(struct ciommu_device_tlb *tlb, uint64_t blocks) {
    pthread_mutex_lock(&tlb->unit->table_lock);
    bool same = tlb->blocks == blocks;
    if (same) {
        unblock(tlb);
    }
    pthread_mutex_unlock(&tlb->unit->table_lock);
    return same ? CIOMMU_OK : CIOMMU_TIMED_OUT;
}

enum ciommu_status ciommu_device_tlb_retry(struct ciommu_device_tlb *tlb,
                                           struct ciommu_port *port) {
    enum ciommu_status status = check_port(tlb, port);
    if (status != CIOMMU_OK) {
        return status;
    }
    uint64_t blocks = times_blocked(tlb);
    status = flush(tlb);
    return status != CIOMMU_OK ? status : unblock_if(tlb, blocks);
}

/* Closes what was open up to request `last`. tlbs.lock. */
static void close_open(struct ciommu_device_tlb *tlb, uint64_t last, uint32_t state) {
    for (uint32_t slot = 0; slot < tlb->function->depth; slot++) {
        struct tlb_slot *open = &tlb->function->slots[slot];
        if (open->id != 0 && open->id <= last && open->tlb == tlb) {
            ciommu_device_tlb_close(&tlb->unit->tlbs, open, state);
        }
    }
}

enum ciommu_status ciommu_device_tlb_reset(struct ciommu_device_tlb *tlb,
                                           struct ciommu_port *port) {
    enum ciommu_status status = check_port(tlb, port);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct device_tlbs *tlbs = &tlb->unit->tlbs;
    /* The device holds nothing of what was asked for until now: it lost everything, and stands
     * still (ciommu_invalidation.h). What is asked while this drains may concern what it got
     * since. */
    uint64_t blocks = times_blocked(tlb);
    pthread_mutex_lock(&tlbs->lock);
    close_open(tlb, tlbs->last_id, TLB_ITEM_DONE);
    pthread_mutex_unlock(&tlbs->lock);
    status = ciommu_unit_settle(tlb->unit, NULL);
    return status != CIOMMU_OK ? status : unblock_if(tlb, blocks);
}

static void free_tlb(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct ciommu_device_tlb *tlb = caa_container_of(head, struct ciommu_device_tlb, rcu);
    struct deferrals *deferrals = &tlb->unit->tlbs.deferrals;
    ciommu_free(tlb);
    ciommu_rcu_callback_ends(deferrals);
}

static void unlink_tlb(struct ciommu_device_tlb *tlb) {
    struct device_tlbs *tlbs = &tlb->unit->tlbs;
    struct ciommu_device_tlb **link = &tlbs->newest;
    pthread_mutex_lock(&tlb->unit->table_lock);
    /* Its PASIDs are the parent's now, which may be blocked: ports forget what they resolved. */
    if (!MUTANT(TLB_LEFT_UNSEEN)) {
        ciommu_unit_begin_table_change(tlb->unit);
    }
    leave_source(tlb);
    if (!MUTANT(TLB_LEFT_UNSEEN)) {
        ciommu_unit_finish_table_change(tlb->unit);
    }
    while (*link != tlb) {
        link = &(*link)->next;
    }
    *link = tlb->next;
    tlb->linked = false;
    store_release(&tlbs->count, tlbs->count - 1);
    unblock(tlb);
    pthread_mutex_unlock(&tlb->unit->table_lock);
}

/* It is unlinked, its open requests end, and it goes once nobody holds it. `status` is what asking
 * for everything came to. */
static void forget(struct ciommu_device_tlb *tlb, enum ciommu_status status) {
    struct device_tlbs *tlbs = &tlb->unit->tlbs;
    unlink_tlb(tlb);
    pthread_mutex_lock(&tlbs->lock);
    tlb->presence = status == CIOMMU_OK ? TLB_GONE : TLB_GONE_IN_VAIN;
    tlbs->events++;
    close_open(tlb, UINT64_MAX, status == CIOMMU_OK ? TLB_ITEM_DONE : TLB_ITEM_LATE);
    pthread_cond_broadcast(&tlbs->moved); /* rounds that wait for a slot */
    while (tlb->users != 0) {
        pthread_cond_wait(&tlbs->moved, &tlbs->lock);
    }
    for (uint32_t entry = 0; entry < TLB_RECENT; entry++) {
        if (tlbs->recent[entry].tlb == tlb) {
            tlbs->recent[entry].tlb = NULL;
        }
    }
    leave_function(tlbs, tlb->function);
    pthread_mutex_unlock(&tlbs->lock);
    ciommu_rcu_defer(&tlbs->deferrals, &tlb->rcu, free_tlb);
}

enum ciommu_status ciommu_device_tlb_destroy(struct ciommu_device_tlb *tlb,
                                             struct ciommu_port *port) {
    if (tlb == NULL) {
        return CIOMMU_OK;
    }
    if (port != NULL && port->unit != tlb->unit) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (port != NULL && port_is_inside(port)) {
        return CIOMMU_IN_SECTION;
    }
    /* Tokens of its answers die: nobody will ask it about them. */
    pthread_mutex_lock(&tlb->unit->table_lock);
    ciommu_unit_begin_table_change(tlb->unit);
    ciommu_unit_finish_table_change(tlb->unit);
    pthread_mutex_unlock(&tlb->unit->table_lock);
    enum ciommu_status status = flush(tlb);
    forget(tlb, status);
    return status;
}

/* ---- Looking ---- */

bool ciommu_device_tlb_is_blocked(const struct ciommu_device_tlb *tlb) {
    return tlb != NULL && load_acquire(&tlb->blocked) != TLB_WORKING;
}

void ciommu_device_tlb_read_statistics(const struct ciommu_device_tlb *tlb,
                                       struct ciommu_device_tlb_statistics *out) {
    if (tlb == NULL || out == NULL) {
        return;
    }
    struct ciommu_device_tlb_statistics sum = {.size = sizeof sum};
    struct device_tlbs *tlbs = &tlb->unit->tlbs;
    pthread_mutex_lock(&tlbs->lock);
    sum.open = tlb->open;
    sum.requests = tlb->requests;
    sum.answers = tlb->answers;
    sum.late_answers = tlb->late_answers;
    sum.timeouts = tlb->timeouts;
    sum.errors = tlb->errors;
    memcpy(sum.round_trip, tlb->round_trip, sizeof sum.round_trip);
    pthread_mutex_unlock(&tlbs->lock);
    uint32_t size = out->size;
    memcpy(out, &sum, size < sizeof sum ? size : sizeof sum);
    out->size = size;
}

void ciommu_unit_set_coarse_timeouts(struct ciommu_unit *unit, bool coarse) {
    if (unit != NULL) {
        store_relaxed(&unit->tlbs.coarse, coarse ? 1u : 0u);
    }
}
