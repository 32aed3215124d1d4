/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * owners.c - to whom a (source id, PASID) belongs: attributing faults and errors, and the sets of
 * devices whose slices meet in a range. The protocol stands in device.h.
 */
#include "alloc.h"
#include "device.h"
#include "unit.h"

/* ---- Ownership, read side ---- */

const struct bound_table *ciommu_source_bound(const struct source *source, uint32_t pasid) {
    const struct ciommu_device *device = load_acquire(&source->main);
    const struct owners *owners = pasid_table_find(&source->slices, pasid);
    for (uint32_t index = 0; owners != NULL && index < owners->count; index++) {
        const struct ciommu_device *slice = load_acquire(&owners->devices[index]);
        if (slice != NULL) {
            device = slice;
            if (load_acquire(&slice->bound) != NULL) {
                break; /* of several only one can have bound a table there (attach.c) */
            }
        }
    }
    return device == NULL ? NULL : load_acquire(&device->bound);
}

/* The devices that could have sent a request. */
struct candidates {
    const struct ciommu_device *oldest;
    uint32_t count;
};

static void consider(struct candidates *candidates, const struct ciommu_device *device) {
    if (device != NULL) {
        candidates->count++;
        if (candidates->oldest == NULL || device->serial < candidates->oldest->serial) {
            candidates->oldest = device;
        }
    }
}

/* Who could have sent a request with this PASID: those who attached it, or else those whose slices
 * hold it. `visit` (may be NULL) gets each. */
static struct candidates candidates_of(const struct source *source, uint32_t pasid,
                                       void (*visit)(void *, const struct ciommu_device *),
                                       void *context) {
    struct candidates found = {NULL, 0};
    const struct attachment *attachment = ciommu_source_attachment(source, pasid);
    const struct holder *holder = attachment == NULL ? NULL : &attachment->holder;
    for (; holder != NULL; holder = load_acquire(&holder->next)) {
        const struct ciommu_device *device = load_acquire(&holder->device);
        consider(&found, device);
        if (device != NULL && visit != NULL) {
            visit(context, device);
        }
    }
    const struct owners *owners = pasid_table_find(&source->slices, pasid);
    if (found.count != 0 || owners == NULL) {
        return found;
    }
    for (uint32_t index = 0; index < owners->count; index++) {
        const struct ciommu_device *device = load_acquire(&owners->devices[index]);
        consider(&found, device);
        if (device != NULL && visit != NULL) {
            visit(context, device);
        }
    }
    return found;
}

static const struct ciommu_device *parent_of(const struct source *source) {
    return load_acquire(&source->main);
}

/* The one device that answers for the PASID, or NULL, and CIOMMU_OWNER_*. */
static const struct ciommu_device *attribute(const struct source *source, uint32_t pasid,
                                             uint32_t *flags) {
    const struct ciommu_device *main = parent_of(source);
    *flags = CIOMMU_OWNER_KNOWN_SOURCE;
    if (pasid == CIOMMU_NO_PASID) {
        return main;
    }
    struct candidates found = candidates_of(source, pasid, NULL, NULL);
    if (found.count == 0) {
        bool whole = main != NULL && main->config.share == CIOMMU_SHARE_WHOLE;
        *flags |= whole ? 0 : CIOMMU_OWNER_UNCLAIMED;
        return main;
    }
    if (found.count == 1) {
        return found.oldest;
    }
    *flags |= CIOMMU_OWNER_AMBIGUOUS;
    return found.oldest->config.policy == CIOMMU_SHARED_PASID_PARENT ? main : found.oldest;
}

const struct ciommu_device *ciommu_source_attribute(const struct source *source,
                                                    struct ciommu_fault *fault) {
    uint32_t flags;
    const struct ciommu_device *device = attribute(source, fault->pasid, &flags);
    fault->flags |= (device != NULL ? CIOMMU_FAULT_HAS_DEVICE : 0) |
                    ((flags & CIOMMU_OWNER_AMBIGUOUS) != 0 ? CIOMMU_FAULT_AMBIGUOUS : 0) |
                    ((flags & CIOMMU_OWNER_UNCLAIMED) != 0 ? CIOMMU_FAULT_UNCLAIMED : 0);
    fault->device = device == NULL ? 0 : device->config.id;
    return device;
}

/* A search for the oldest device that is younger than the one found before. */
struct listing {
    uint64_t after; /* its serial */
    const struct ciommu_device *best;
};

static void visit_listing(void *context, const struct ciommu_device *device) {
    struct listing *listing = context;
    if (device->serial > listing->after &&
        (listing->best == NULL || device->serial < listing->best->serial)) {
        listing->best = device;
    }
}

const struct ciommu_device *ciommu_source_younger(const struct source *source, uint32_t pasid,
                                                  const struct ciommu_device *device) {
    struct listing listing = {device == NULL ? 0 : device->serial, NULL};
    (void)candidates_of(source, pasid, visit_listing, &listing);
    return listing.best;
}

/* Every candidate, oldest first. */
static uint32_t list_all(const struct source *source, uint32_t pasid, uint64_t *ids,
                         uint32_t capacity) {
    uint32_t count = 0;
    const struct ciommu_device *device = ciommu_source_younger(source, pasid, NULL);
    for (; device != NULL; device = ciommu_source_younger(source, pasid, device)) {
        if (count < capacity) {
            ids[count] = device->config.id;
        }
        count++;
    }
    return count;
}

enum ciommu_status ciommu_owners(struct ciommu_unit *unit, uint32_t source_id, uint32_t pasid,
                                 uint64_t *ids, uint32_t capacity, uint32_t *count,
                                 uint32_t *flags) {
    bool pasid_ok = pasid <= CIOMMU_PASID_MAX || pasid == CIOMMU_NO_PASID;
    if (unit == NULL || source_id > 0xffff || !pasid_ok || (ids == NULL && capacity != 0) ||
        count == NULL || flags == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    *count = 0;
    *flags = 0;
    ciommu_rcu_lock();
    const struct source *source = ciommu_source_find(&unit->devices, source_id);
    if (source != NULL) {
        const struct ciommu_device *device = attribute(source, pasid, flags);
        bool all = (*flags & CIOMMU_OWNER_AMBIGUOUS) != 0 && device != NULL &&
                   device->config.policy == CIOMMU_SHARED_PASID_ALL;
        if (all) {
            *count = list_all(source, pasid, ids, capacity);
        } else if (device != NULL) {
            *count = 1;
            if (capacity != 0) {
                ids[0] = device->config.id;
            }
        }
    }
    ciommu_rcu_unlock();
    return CIOMMU_OK;
}

/* ---- Ownership, write side: table lock ---- */

enum ciommu_status ciommu_device_owns(const struct ciommu_device *device, uint32_t pasid) {
    const struct ciommu_device_config *config = &device->config;
    bool mine;
    switch (config->share) {
    case CIOMMU_SHARE_SLICE:
        mine = pasid >= config->first_pasid && pasid <= config->last_pasid;
        break;
    case CIOMMU_SHARE_PARENT:
        mine = pasid_table_find(&device->source->slices, pasid) == NULL;
        break;
    default:
        mine = true;
    }
    return mine ? CIOMMU_OK : CIOMMU_NOT_OWNED;
}

static void free_owners(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct owners *owners = caa_container_of(head, struct owners, rcu);
    struct deferrals *deferrals = owners->deferrals;
    ciommu_free(owners);
    ciommu_rcu_callback_ends(deferrals);
}

struct owners *ciommu_owners_make(struct devices *devices, uint32_t count) {
    struct owners *owners =
        ciommu_allocate(CACHE_LINE, sizeof *owners + count * sizeof owners->devices[0]);
    if (owners != NULL) {
        owners->deferrals = &devices->deferrals;
        owners->count = count;
    }
    return owners;
}

bool ciommu_slice_touches(const struct ciommu_device *device, uint32_t first, uint32_t last) {
    return device->config.share == CIOMMU_SHARE_SLICE && device->config.first_pasid <= last &&
           device->config.last_pasid >= first;
}

/* Takes the sets that meet a range out of the source's list. */
static struct owners *take_shared(struct source *source, uint32_t first, uint32_t last) {
    struct owners *taken = NULL;
    for (struct owners **link = &source->shared; *link != NULL;) {
        struct owners *owners = *link;
        if (owners->first <= last && owners->last >= first) {
            *link = owners->next;
            owners->next = taken;
            taken = owners;
        } else {
            link = &owners->next;
        }
    }
    return taken;
}

/* A piece of a range whose PASIDs have the same owners. */
struct piece {
    uint32_t first;
    uint32_t last;
    struct owners *owners; /* NULL: none */
};

/* The devices of a source that meet a range, and the range's pieces. */
struct partition {
    struct piece *pieces;
    uint32_t count;
};

/* The piece that begins at `first`: up to where the next slice begins or ends. */
static struct piece cut_piece(const struct source *source, uint32_t first, uint32_t last,
                              uint32_t *devices) {
    struct piece piece = {first, last, NULL};
    *devices = 0;
    for (struct ciommu_device *device = source->first; device != NULL; device = device->next) {
        if (!ciommu_slice_touches(device, first, piece.last)) {
            continue;
        }
        if (device->config.first_pasid > first) {
            piece.last = device->config.first_pasid - 1;
        } else {
            ++*devices;
            piece.owners = device->own;
            piece.last =
                device->config.last_pasid < piece.last ? device->config.last_pasid : piece.last;
        }
    }
    return piece;
}

/* The set of the devices that own a whole piece. */
static struct owners *set_of(struct devices *devices, const struct source *source,
                             const struct piece *piece, uint32_t count) {
    struct owners *owners = ciommu_owners_make(devices, count);
    if (owners == NULL) {
        return NULL;
    }
    owners->first = piece->first;
    owners->last = piece->last;
    uint32_t index = 0;
    for (struct ciommu_device *device = source->first; device != NULL; device = device->next) {
        if (ciommu_slice_touches(device, piece->first, piece->last)) {
            owners->devices[index++] = device;
        }
    }
    return owners;
}

static void discard_pieces(struct partition *partition, struct source *source) {
    for (uint32_t index = 0; index < partition->count; index++) {
        struct piece *piece = &partition->pieces[index];
        ciommu_pasid_table_unreserve(&source->slices, piece->first, piece->last);
        if (piece->owners != NULL && piece->owners->count > 1) {
            ciommu_free(piece->owners);
        }
    }
    ciommu_free(partition->pieces);
}

/* Cuts first...last into pieces and reserves all that storing them needs. */
static enum ciommu_status make_partition(struct devices *devices, struct source *source,
                                         uint32_t first, uint32_t last,
                                         struct partition *partition) {
    uint32_t most = 1;
    for (struct ciommu_device *device = source->first; device != NULL; device = device->next) {
        most += ciommu_slice_touches(device, first, last) ? 2 : 0;
    }
    partition->count = 0;
    partition->pieces = ciommu_allocate(CACHE_LINE, most * sizeof *partition->pieces);
    if (partition->pieces == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    for (uint32_t from = first;;) {
        uint32_t owning;
        struct piece piece = cut_piece(source, from, last, &owning);
        enum ciommu_status status =
            ciommu_pasid_table_reserve(&source->slices, piece.first, piece.last);
        if (status == CIOMMU_OK && owning > 1) {
            piece.owners = set_of(devices, source, &piece, owning);
            if (piece.owners == NULL) {
                ciommu_pasid_table_unreserve(&source->slices, piece.first, piece.last);
                status = CIOMMU_NO_MEMORY;
            }
        }
        if (status != CIOMMU_OK) {
            discard_pieces(partition, source);
            return status;
        }
        partition->pieces[partition->count++] = piece;
        if (piece.last == last) {
            return CIOMMU_OK;
        }
        from = piece.last + 1;
    }
}

static void store_partition(struct source *source, struct partition *partition, uint32_t first,
                            uint32_t last) {
    struct owners *old = take_shared(source, first, last);
    for (uint32_t index = 0; index < partition->count; index++) {
        struct piece *piece = &partition->pieces[index];
        ciommu_pasid_table_fill(&source->slices, piece->first, piece->last, piece->owners);
        if (piece->owners != NULL && piece->owners->count > 1) {
            piece->owners->next = source->shared;
            source->shared = piece->owners;
        }
    }
    while (old != NULL) {
        struct owners *next = old->next;
        ciommu_rcu_defer(old->deferrals, &old->rcu, free_owners);
        old = next;
    }
    ciommu_free(partition->pieces);
}

/* Enters a slice, which is in the source's list already. */
enum ciommu_status ciommu_slice_enter(struct devices *devices, struct ciommu_device *device) {
    struct source *source = device->source;
    uint32_t first = device->config.first_pasid;
    uint32_t last = device->config.last_pasid;
    if (ciommu_pasid_table_is_clear(&source->slices, first, last)) {
        enum ciommu_status status = ciommu_pasid_table_reserve(&source->slices, first, last);
        if (status == CIOMMU_OK) {
            ciommu_pasid_table_fill(&source->slices, first, last, device->own);
        }
        return status;
    }
    /* Sets that reach beyond the slice are cut at its ends; so the range covers them whole. */
    for (const struct owners *owners = source->shared; owners != NULL; owners = owners->next) {
        if (owners->first <= device->config.last_pasid &&
            owners->last >= device->config.first_pasid) {
            first = owners->first < first ? owners->first : first;
            last = owners->last > last ? owners->last : last;
        }
    }
    struct partition partition;
    enum ciommu_status status = make_partition(devices, source, first, last, &partition);
    if (status == CIOMMU_OK) {
        store_partition(source, &partition, first, last);
    }
    return status;
}

/* Is nobody left in a set that a device has just left? */
static bool is_deserted(const struct owners *owners, const struct ciommu_device *device) {
    for (uint32_t index = 0; index < owners->count; index++) {
        if (owners->devices[index] != NULL && owners->devices[index] != device) {
            return false;
        }
    }
    return true;
}

/* Takes a slice out again. Needs no memory: sets keep their place and lose the device, and what is
 * cleared are whole runs of one set, as they were filled. */
void ciommu_slice_leave(struct ciommu_device *device) {
    struct source *source = device->source;
    uint32_t last = device->config.last_pasid;
    struct owners *deserted = NULL;
    for (struct owners **link = &source->shared; *link != NULL;) {
        struct owners *owners = *link;
        for (uint32_t index = 0; index < owners->count; index++) {
            if (owners->devices[index] == device) {
                store_release(&owners->devices[index], NULL);
            }
        }
        if (is_deserted(owners, device)) {
            *link = owners->next;
            owners->next = deserted;
            deserted = owners;
        } else {
            link = &owners->next;
        }
    }
    uint32_t first = device->config.first_pasid;
    void *value;
    while (first <= last && ciommu_pasid_table_next(&source->slices, &first, &value) &&
           first <= last) {
        uint32_t end = first;
        while (end < last && pasid_table_find(&source->slices, end + 1) == value) {
            end++;
        }
        if (is_deserted(value, device)) {
            ciommu_pasid_table_fill(&source->slices, first, end, NULL);
        }
        first = end + 1;
    }
    while (deserted != NULL) { /* the table names them no more */
        struct owners *next = deserted->next;
        ciommu_rcu_defer(deserted->deferrals, &deserted->rcu, free_owners);
        deserted = next;
    }
}
