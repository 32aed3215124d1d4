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
}

static bool comes_before(const struct pending_entry *left, const struct pending_entry *right) {
    const struct ciommu_invalidation *a = &left->what;
    const struct ciommu_invalidation *b = &right->what;
    const uint64_t keys[][2] = {
        {a->kind, b->kind},
        {(uintptr_t)left->space, (uintptr_t)right->space},
        {a->domain, b->domain},
        {a->pasid, b->pasid},
        {a->source, b->source},
        {a->stages, b->stages},
        {a->source_mask, b->source_mask},
        {a->first, b->first},
    };
    for (unsigned key = 0; key < sizeof keys / sizeof keys[0]; key++) {
        if (keys[key][0] != keys[key][1]) {
            return keys[key][0] < keys[key][1];
        }
    }
    return false;
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
    sort(pending);
    merge(pending);
    widen(pending);
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

static void drain(struct pending *pending) {
    struct ciommu_unit *unit = pending->unit;
    if (pending->count != 0) {
        apply(pending);
    }
    enum ciommu_status status = CIOMMU_OK;
    if (pending->changed) {
        status = ciommu_unit_settle(unit, &pending->port_id);
    } else if (!pending->late) {
        status = ciommu_unit_make_up(unit, &pending->port_id); /* an earlier batch may be late */
    }
    if (status != CIOMMU_OK) {
        pending->late = true;
        pending->late_now = true;
    }
    pending->changed = false;
    for (uint32_t index = 0; index < pending->count; index++) {
        ciommu_observers_tell(unit, &pending->entries[index].what);
    }
    pending->count = 0;
}

bool ciommu_pending_complete(struct pending *pending) {
    drain(pending);
    bool fine = !pending->late_now;
    pending->late_now = false;
    return fine;
}

static void make_room(struct pending *pending) {
    sort(pending);
    merge(pending);
    if (pending->count < PENDING_MOST) {
        return;
    }
    if (load_acquire(&pending->unit->observers) != NULL) {
        drain(pending); /* observers hear after it took effect */
    } else {
        apply(pending);
        pending->count = 0;
    }
}

void ciommu_pending_add(struct pending *pending, struct ciommu_space *space,
                        const struct ciommu_invalidation *what) {
    const struct pending_entry entry = {space, *what};
    if (pending->count != 0) {
        struct pending_entry *before = &pending->entries[pending->count - 1];
        bool ordered = what->first >= before->what.first && touches(before, &entry);
        if (ordered && same_target(before, &entry)) {
            absorb(before, &entry);
            pending->merged++;
            return;
        }
    }
    if (pending->count == PENDING_MOST) {
        make_room(pending);
    }
    pending->entries[pending->count++] = entry;
}
