/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pending.c - merging, applying and completing the invalidations of a segment.
 */
#include "pending.h"
#include "invalidate.h"

/* Do two cover the same, but for their ranges? */
static bool same_target(const struct pending_entry *left, const struct pending_entry *right) {
    const struct ciommu_invalidation *a = &left->what;
    const struct ciommu_invalidation *b = &right->what;
    /* Device-TLB entries are told apart until they have failed or not; a round merges them. */
    if (a->kind == CIOMMU_INVALIDATE_DEVICE_TLB && left->index != right->index) {
        return false;
    }
    return left->space == right->space && a->kind == b->kind && a->domain == b->domain &&
           a->pasid == b->pasid && a->source == b->source && a->source_mask == b->source_mask &&
           a->stages == b->stages;
}

/* Do the ranges touch or overlap? `left` begins first. */
static bool touches(const struct pending_entry *left, const struct pending_entry *right) {
    return left->what.last == UINT64_MAX || right->what.first <= left->what.last + 1;
}

static void absorb(struct pending_entry *into, const struct pending_entry *entry) {
    struct ciommu_invalidation *a = &into->what;
    const struct ciommu_invalidation *b = &entry->what;
    a->first = b->first < a->first ? b->first : a->first;
    a->last = b->last > a->last ? b->last : a->last;
    a->leaf_only = a->leaf_only != 0 && b->leaf_only != 0;
    into->index = entry->index < into->index ? entry->index : into->index;
}

static bool comes_before(const struct pending_entry *left, const struct pending_entry *right) {
    const struct ciommu_invalidation *a = &left->what;
    const struct ciommu_invalidation *b = &right->what;
    if (a->kind != b->kind) {
        return a->kind < b->kind;
    }
    if (left->space != right->space) {
        return (uintptr_t)left->space < (uintptr_t)right->space;
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
        struct pending_entry entry = pending->entries[index];
        uint32_t at = index;
        for (; at > 0 && comes_before(&entry, &pending->entries[at - 1]); at--) {
            pending->entries[at] = pending->entries[at - 1];
        }
        pending->entries[at] = entry;
    }
}

/* Neighbours of one target become one range. */
static void merge(struct pending *pending) {
    uint32_t kept = 0;
    for (uint32_t index = 0; index < pending->count; index++) {
        const struct pending_entry *entry = &pending->entries[index];
        struct pending_entry *before = kept == 0 ? NULL : &pending->entries[kept - 1];
        if (before != NULL && same_target(before, entry) && touches(before, entry)) {
            absorb(before, entry);
            pending->merged++;
        } else {
            pending->entries[kept++] = *entry;
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

/* One past the last entry of the target at `first`; adds up its pages. */
static uint32_t end_of_target(const struct pending *pending, uint32_t first, uint64_t *pages) {
    uint32_t next = first;
    *pages = 0;
    for (; next < pending->count && same_target(&pending->entries[first], &pending->entries[next]);
         next++) {
        const struct ciommu_invalidation *what = &pending->entries[next].what;
        uint64_t more = ((what->last - what->first) >> 12) + 1;
        *pages = more > UINT64_MAX - *pages ? UINT64_MAX : *pages + more;
    }
    return next;
}

/* Many ranges of one target become all of it. */
static void widen(struct pending *pending) {
    uint32_t kept = 0;
    for (uint32_t first = 0, next; first < pending->count; first = next) {
        uint64_t pages;
        next = end_of_target(pending, first, &pages);
        bool whole = next - first > 1 && pages > PENDING_PAGES_MOST &&
                     pending->entries[first].what.kind == CIOMMU_INVALIDATE_TRANSLATIONS;
        for (uint32_t index = first; index < next; index++) {
            if (whole && index > first) {
                absorb(&pending->entries[kept - 1], &pending->entries[index]);
                pending->merged++;
            } else {
                pending->entries[kept++] = pending->entries[index];
            }
        }
        if (whole) {
            pending->widened++;
            pending->entries[kept - 1].what.first = 0;
            pending->entries[kept - 1].what.last = UINT64_MAX;
        }
    }
    pending->count = kept;
}

/* Table lock. */
static void apply_one(struct ciommu_unit *unit, const struct pending_entry *entry, bool *tables) {
    const struct ciommu_invalidation *what = &entry->what;
    if (what->kind == CIOMMU_INVALIDATE_TRANSLATIONS) {
        if (entry->space != NULL) {
            ciommu_space_invalidate(&unit->spaces, entry->space, what);
        } else {
            ciommu_spaces_invalidate(&unit->spaces, what);
        }
        return;
    }
    if (!*tables) {
        ciommu_unit_begin_table_change(unit);
        *tables = true;
    }
    ciommu_bindings_remove(&unit->bindings, what);
}

static void apply(struct pending *pending) {
    struct ciommu_unit *unit = pending->unit;
    bool tables = false;
    arrange(pending);
    if (pending->pages > PENDING_PAGES_MOST) {
        widen(pending);
    }
    pthread_mutex_lock(&unit->table_lock);
    for (uint32_t index = 0; index < pending->count; index++) {
        if (pending->entries[index].what.kind != CIOMMU_INVALIDATE_DEVICE_TLB) {
            apply_one(unit, &pending->entries[index], &tables);
            pending->changed = true;
        }
    }
    if (tables) {
        ciommu_unit_finish_table_change(unit);
    }
    pthread_mutex_unlock(&unit->table_lock);
    (void)add_relaxed(&unit->invalidations, pending->count);
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
        struct pending_entry *entry = &pending->entries[index];
        entry->failed = entry->failed || entry->index == failure->index;
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
        const struct pending_entry *entry = &pending->entries[index];
        if (entry->what.kind == CIOMMU_INVALIDATE_DEVICE_TLB && !entry->failed) {
            report_ambiguous(pending, entry->index);
        }
    }
}

/* A wave in which nobody was late: its entries may yet be in doubt. */
static void note_wave(struct pending *pending) {
    for (uint32_t index = 0; index < pending->count; index++) {
        const struct pending_entry *entry = &pending->entries[index];
        if (entry->what.kind != CIOMMU_INVALIDATE_DEVICE_TLB) {
            continue;
        }
        if (pending->earlier_first == UINT32_MAX) {
            pending->earlier_first = entry->index;
            pending->earlier_last = entry->index;
        }
        if (entry->index < pending->earlier_first) {
            pending->earlier_first = entry->index;
        }
        if (entry->index > pending->earlier_last) {
            pending->earlier_last = entry->index;
        }
    }
}

/* Asks the devices that the entries name, and of a nested domain's entries those that the domain is
 * attached to. */
static void ask_devices(struct pending *pending) {
    struct tlb_round round;
    tlb_round_init(&round, pending->unit, note_failure, pending);
    for (uint32_t index = 0; index < pending->count; index++) {
        const struct pending_entry *entry = &pending->entries[index];
        const struct ciommu_invalidation *what = &entry->what;
        struct tlb_target target = {.kind = TLB_OF_INVALIDATION, .what = what};
        if (entry->space != NULL) {
            target = tlb_of_domain(pending->domain, what->first, what->last);
        }
        if (entry->space != NULL || what->kind == CIOMMU_INVALIDATE_DEVICE_TLB) {
            ciommu_tlb_round_collect(&round, &target, entry->index);
        }
    }
    ciommu_tlb_round_ask(&round);
    pending->merged += round.merged;
    if (round.late && !pending->late) {
        pending->late = true;
        pending->port_id = round.port_id;
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
            ciommu_observers_tell(unit, &pending->entries[index].what);
        }
    }
    forget(pending);
}

static void note_drain(struct pending *pending, enum ciommu_status status) {
    if (status != CIOMMU_OK) {
        pending->late = true;
        pending->late_now = true;
    }
}

/* Makes room, in the middle of a segment. */
static void flush(struct pending *pending) {
    ciommu_pending_apply(pending);
    if (pending->changed) {
        note_drain(pending, ciommu_unit_settle(pending->unit, &pending->port_id));
    }
    tell(pending);
}

static void end_segment(struct pending *pending) {
    pending->segment_late = false;
    pending->earlier_first = UINT32_MAX;
}

void ciommu_pending_drained(struct pending *pending, enum ciommu_status status, uint32_t port_id) {
    if (pending->changed) {
        note_drain(pending, status);
        pending->port_id = status == CIOMMU_OK ? pending->port_id : port_id;
    }
    tell(pending);
    end_segment(pending);
}

/* What an earlier batch changed may have timed out. */
static enum ciommu_status make_up(struct pending *pending) {
    struct ciommu_unit *unit = pending->unit;
    return ciommu_tlbs_owed(unit) ? ciommu_tlbs_drain(unit, &pending->port_id)
                                  : ciommu_unit_make_up(unit, &pending->port_id);
}

void ciommu_pending_complete(struct pending *pending) {
    ciommu_pending_apply(pending);
    note_drain(pending, pending->changed ? ciommu_unit_settle(pending->unit, &pending->port_id)
                                         : make_up(pending));
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

void ciommu_pending_add(struct pending *pending, struct ciommu_space *space,
                        const struct ciommu_invalidation *what, uint32_t index) {
    if (pending->count == PENDING_MOST) {
        make_room(pending);
    }
    struct pending_entry *entry = &pending->entries[pending->count];
    entry->space = space;
    entry->what = *what;
    entry->index = index;
    entry->failed = false;
    uint64_t pages = ((what->last - what->first) >> 12) + 1;
    pending->pages = pages > UINT64_MAX - pending->pages ? UINT64_MAX : pending->pages + pages;
    if (pending->count != 0) {
        struct pending_entry *before = entry - 1;
        bool upwards = what->first >= before->what.first;
        if (upwards && touches(before, entry) && same_target(before, entry)) {
            absorb(before, entry);
            pending->merged++;
            return;
        }
        if (pending->ordered && comes_before(entry, before)) {
            pending->ordered = false;
        }
    }
    pending->count++;
}
