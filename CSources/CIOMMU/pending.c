/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pending.c - merging, applying and completing the invalidations of a segment.
 */
#include "pending.h"
#include "invalidate.h"
#include "tracepoints.h"

/* Do two entries cover the same, but for their ranges? */
static bool same_target(const struct ciommu_invalidation *a, const struct ciommu_invalidation *b) {
    /* Device-TLB entries are told apart until they have failed or not; a round merges them. */
    return a->domain == b->domain && a->kind == b->kind &&
           a->kind != CIOMMU_INVALIDATE_DEVICE_TLB && a->pasid == b->pasid &&
           a->source == b->source && a->source_mask == b->source_mask && a->stages == b->stages;
}

/* Do the ranges touch or overlap? `a` begins first. */
static bool touches(const struct ciommu_invalidation *a, const struct ciommu_invalidation *b) {
    return a->last == UINT64_MAX || b->first <= a->last + 1;
}

/* Puts `from` into `into`, of the same target. */
static void absorb(struct pending *pending, uint32_t into, uint32_t from) {
    struct ciommu_invalidation *a = &pending->what[into];
    const struct ciommu_invalidation *b = &pending->what[from];
    uint32_t *index = &pending->origins[into].index;
    a->first = b->first < a->first ? b->first : a->first;
    a->last = b->last > a->last ? b->last : a->last;
    a->leaf_only = a->leaf_only != 0 && b->leaf_only != 0;
    *index = pending->origins[from].index < *index ? pending->origins[from].index : *index;
    pending->merged++;
}

static void move(struct pending *pending, uint32_t to, uint32_t from) {
    pending->what[to] = pending->what[from];
    pending->origins[to] = pending->origins[from];
}

static bool comes_before(const struct ciommu_invalidation *a, const struct ciommu_invalidation *b) {
    if (a->kind != b->kind) {
        return a->kind < b->kind;
    }
    if (a->domain != b->domain) {
        return a->domain < b->domain;
    }
    if (a->pasid != b->pasid) {
        return a->pasid < b->pasid;
    }
    if (a->source != b->source || a->source_mask != b->source_mask) {
        return a->source != b->source ? a->source < b->source : a->source_mask < b->source_mask;
    }
    return a->stages != b->stages ? a->stages < b->stages : a->first < b->first;
}

/* By target, then by address. Mostly sorted already: guests walk upwards. */
static void sort(struct pending *pending) {
    for (uint32_t index = 1; index < pending->count; index++) {
        const struct ciommu_invalidation what = pending->what[index];
        const struct pending_origin origin = pending->origins[index];
        uint32_t at = index;
        for (; at > 0 && comes_before(&what, &pending->what[at - 1]); at--) {
            move(pending, at, at - 1);
        }
        pending->what[at] = what;
        pending->origins[at] = origin;
    }
}

/* Neighbours of one target become one range. */
static void merge(struct pending *pending) {
    uint32_t kept = 0;
    for (uint32_t index = 0; index < pending->count; index++) {
        const struct ciommu_invalidation *what = &pending->what[index];
        const struct ciommu_invalidation *before = kept == 0 ? NULL : &pending->what[kept - 1];
        if (before != NULL && same_target(before, what) && touches(before, what)) {
            absorb(pending, kept - 1, index);
        } else {
            move(pending, kept++, index);
        }
    }
    pending->count = kept;
}

/* What was added in order is sorted, and merged as far as it touched. */
static void arrange(struct pending *pending) {
    if (!pending->ordered) {
        sort(pending);
        merge(pending);
        pending->ordered = true;
    }
}

/* One past the last entry of the target at `first`. Arranged. */
static uint32_t end_of_target(const struct pending *pending, uint32_t first) {
    uint32_t next = first + 1;
    while (next < pending->count && same_target(&pending->what[first], &pending->what[next])) {
        next++;
    }
    return next;
}

static uint64_t add_pages(uint64_t pages, const struct ciommu_invalidation *what) {
    uint64_t more = ((what->last - what->first) >> 12) + 1;
    return more > UINT64_MAX - pages ? UINT64_MAX : pages + more;
}

/* Many ranges of one target become all of it. */
static void widen(struct pending *pending) {
    uint32_t kept = 0;
    for (uint32_t first = 0, next; first < pending->count; first = next) {
        next = end_of_target(pending, first);
        uint64_t pages = 0;
        for (uint32_t index = first; index < next; index++) {
            pages = add_pages(pages, &pending->what[index]);
        }
        bool whole = next - first > 1 && pages > PENDING_PAGES_MOST &&
                     pending->what[first].kind == CIOMMU_INVALIDATE_TRANSLATIONS;
        for (uint32_t index = first; index < next; index++) {
            if (whole && index > first) {
                absorb(pending, kept - 1, index);
            } else {
                move(pending, kept++, index);
            }
        }
        if (whole) {
            pending->widened++;
            pending->what[kept - 1].first = 0;
            pending->what[kept - 1].last = UINT64_MAX;
        }
    }
    pending->count = kept;
}

/* The `count` entries of one target. Table lock. */
static void apply_target(struct pending *pending, const struct ciommu_invalidation *set,
                         uint32_t count, bool *tables) {
    struct ciommu_unit *unit = pending->unit;
    for (uint32_t index = 0; index < count; index++) {
        tracepoint_invalidate(&set[index]);
    }
    if (set->kind == CIOMMU_INVALIDATE_TRANSLATIONS) {
        if (pending->domain != NULL) {
            ciommu_space_invalidate(&unit->spaces, pending->domain->space, set, count);
        } else {
            ciommu_spaces_invalidate(&unit->spaces, set, count);
        }
        return;
    }
    if (!*tables) {
        ciommu_unit_begin_table_change(unit);
        *tables = true;
    }
    ciommu_bindings_remove(&unit->bindings, set); /* it knows no ranges */
}

static void apply(struct pending *pending) {
    struct ciommu_unit *unit = pending->unit;
    bool tables = false;
    arrange(pending);
    if (pending->pages > PENDING_PAGES_MOST) {
        widen(pending);
    }
    pthread_mutex_lock(&unit->table_lock);
    for (uint32_t first = 0, next; first < pending->count; first = next) {
        next = end_of_target(pending, first);
        if (pending->what[first].kind != CIOMMU_INVALIDATE_DEVICE_TLB) {
            apply_target(pending, &pending->what[first], next - first, &tables);
            pending->changed = true;
        }
    }
    if (tables) {
        ciommu_unit_finish_table_change(unit);
    }
    pthread_mutex_unlock(&unit->table_lock);
    (void)add_relaxed(&unit->invalidations, pending->count);
}

static void note_drain(struct pending *pending, enum ciommu_status status, uint32_t port_id) {
    if (status != CIOMMU_OK) {
        pending->late = true;
        pending->late_now = true;
        pending->port_id = port_id;
    }
}

/* ---- Devices ---- */

/* A device failed: notes which entry it was, and passes it on. */
static void note_failure(void *context, const struct ciommu_batch_failure *failure) {
    struct pending *pending = context;
    if (failure->error == CIOMMU_BATCH_TIMEOUT && !pending->segment_late) {
        pending->device_late = true;
        pending->segment_late = true;
        pending->late_source = failure->source;
    }
    for (uint32_t index = 0; index < pending->count; index++) {
        struct pending_origin *origin = &pending->origins[index];
        origin->failed = origin->failed || origin->index == failure->index;
    }
    pending->report(pending->context, failure);
}

static void report_ambiguous(struct pending *pending, uint32_t index) {
    const struct ciommu_batch_failure failure = {
        .index = index,
        .error = CIOMMU_BATCH_TIMEOUT,
        .flags = CIOMMU_BATCH_AMBIGUOUS,
        .source = pending->late_source,
        .pasid = CIOMMU_NO_PASID,
    };
    pending->report(pending->context, &failure);
}

/* What hardware can say of a time-out: one source id, and every device-TLB entry since the last
 * wait that completed. The choice stands with ciommu_unit_set_coarse_timeouts. */
static void report_coarsely(struct pending *pending) {
    if (pending->earlier_first != UINT32_MAX) {
        report_ambiguous(pending, pending->earlier_first);
        if (pending->earlier_last != pending->earlier_first) {
            report_ambiguous(pending, pending->earlier_last);
        }
        pending->earlier_first = UINT32_MAX;
    }
    for (uint32_t index = 0; index < pending->count; index++) {
        const struct pending_origin *origin = &pending->origins[index];
        if (pending->what[index].kind == CIOMMU_INVALIDATE_DEVICE_TLB && !origin->failed) {
            report_ambiguous(pending, origin->index);
        }
    }
}

/* A wave in which nobody was late: its entries may yet be in doubt. */
static void note_wave(struct pending *pending) {
    for (uint32_t index = 0; index < pending->count; index++) {
        uint32_t entry = pending->origins[index].index;
        if (pending->what[index].kind != CIOMMU_INVALIDATE_DEVICE_TLB) {
            continue;
        }
        if (pending->earlier_first == UINT32_MAX) {
            pending->earlier_first = entry;
            pending->earlier_last = entry;
        }
        if (entry < pending->earlier_first) {
            pending->earlier_first = entry;
        }
        if (entry > pending->earlier_last) {
            pending->earlier_last = entry;
        }
    }
}

/* Asks the devices that the entries name, and of a nested domain's entries those that the domain is
 * attached to. */
static void ask_devices(struct pending *pending) {
    struct tlb_round round;
    tlb_round_init(&round, pending->unit, note_failure, pending);
    for (uint32_t index = 0; index < pending->count; index++) {
        const struct ciommu_invalidation *what = &pending->what[index];
        struct tlb_target target = {.kind = TLB_OF_INVALIDATION, .what = what};
        if (pending->domain != NULL) {
            target = tlb_of_domain(pending->domain, what->first, what->last);
        }
        if (pending->domain != NULL || what->kind == CIOMMU_INVALIDATE_DEVICE_TLB) {
            ciommu_tlb_round_collect(&round, &target, pending->origins[index].index);
        }
    }
    ciommu_tlb_round_ask(&round);
    pending->merged += round.merged;
    if (round.late) {
        note_drain(pending, CIOMMU_TIMED_OUT, round.port_id);
    }
    if (!pending->segment_late) {
        note_wave(pending);
    } else if (load_relaxed(&pending->unit->tlbs.coarse) != 0) {
        report_coarsely(pending);
    }
}

/* ---- Completing ---- */

void ciommu_pending_apply(struct pending *pending) {
    if (pending->count != 0) {
        apply(pending);
    }
}

static void forget(struct pending *pending) {
    pending->count = 0;
    pending->pages = 0;
    pending->ordered = true;
}

/* After the drain. */
static void tell(struct pending *pending) {
    struct ciommu_unit *unit = pending->unit;
    pending->changed = false;
    if (pending->count != 0 && tlbs_exist(unit)) {
        ask_devices(pending);
        if (pending->late) {
            ciommu_tlbs_owe(unit);
        }
    }
    if (load_acquire(&unit->observers) != NULL) {
        for (uint32_t index = 0; index < pending->count; index++) {
            ciommu_observers_tell(unit, &pending->what[index]);
        }
    }
    forget(pending);
}

/* Makes room, in the middle of a segment. */
static void flush(struct pending *pending) {
    ciommu_pending_apply(pending);
    if (pending->changed) {
        uint32_t port_id = 0;
        enum ciommu_status status = ciommu_unit_settle(pending->unit, &port_id);
        note_drain(pending, status, port_id);
    }
    tell(pending);
}

static void end_segment(struct pending *pending) {
    pending->segment_late = false;
    pending->earlier_first = UINT32_MAX;
}

void ciommu_pending_drained(struct pending *pending, enum ciommu_status status, uint32_t port_id) {
    if (pending->changed) {
        note_drain(pending, status, port_id);
    }
    tell(pending);
    end_segment(pending);
}

/* What an earlier batch changed may have timed out. */
static enum ciommu_status make_up(struct ciommu_unit *unit, uint32_t *port_id) {
    return ciommu_tlbs_owed(unit) ? ciommu_tlbs_drain(unit, port_id)
                                  : ciommu_unit_make_up(unit, port_id);
}

void ciommu_pending_complete(struct pending *pending) {
    ciommu_pending_apply(pending);
    struct ciommu_unit *unit = pending->unit;
    uint32_t port_id = 0;
    enum ciommu_status status =
        pending->changed ? ciommu_unit_settle(unit, &port_id) : make_up(unit, &port_id);
    note_drain(pending, status, port_id);
    tell(pending);
    end_segment(pending);
}

static void make_room(struct pending *pending) {
    arrange(pending);
    if (pending->count < PENDING_MOST) {
        return;
    }
    /* Observers hear, and devices are asked, after it took effect. */
    if (load_acquire(&pending->unit->observers) != NULL || tlbs_exist(pending->unit)) {
        flush(pending);
    } else {
        apply(pending);
        forget(pending);
    }
}

void ciommu_pending_add(struct pending *pending, uint32_t index) {
    if (pending->count == PENDING_MOST) {
        make_room(pending);
        pending->what[pending->count] = pending->what[PENDING_MOST];
    }
    uint32_t at = pending->count;
    const struct ciommu_invalidation *what = &pending->what[at];
    pending->origins[at] = (struct pending_origin){.index = index};
    if (what->last - what->first != UINT64_MAX) {
        pending->pages = add_pages(pending->pages, what);
    }
    if (at != 0) {
        const struct ciommu_invalidation *before = what - 1;
        if (what->first >= before->first && touches(before, what) && same_target(before, what)) {
            absorb(pending, at - 1, at);
            return;
        }
        if (pending->ordered && comes_before(what, before)) {
            pending->ordered = false;
        }
    }
    pending->count++;
}
