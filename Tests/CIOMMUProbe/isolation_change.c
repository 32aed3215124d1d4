/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * isolation_change.c - what a guest's thread does to its attachments; see isolation_world.h.
 */
#include "harness.h"
#include "isolation_world.h"

void iso_begin(struct iso_point *point, uint32_t state) {
    uint64_t next = point->started + 1;
    __atomic_store_n(&point->states[next % ISO_HISTORY], (uint8_t)state, __ATOMIC_RELAXED);
    __atomic_store_n(&point->started, next, __ATOMIC_SEQ_CST);
}

void iso_finish(struct iso_point *point) {
    __atomic_store_n(&point->finished, point->started, __ATOMIC_SEQ_CST);
}

uint32_t iso_state(const struct iso_point *point) {
    return __atomic_load_n(&point->states[point->started % ISO_HISTORY], __ATOMIC_RELAXED);
}

/* ---- Whole devices and slices ---- */

static enum ciommu_status change_point(struct iso_guest *guest, struct iso_device *device,
                                       struct iso_point *point, uint64_t random) {
    uint32_t domain = (uint32_t)(random >> 8) % ISO_BOUND; /* two paging ones, one nested */
    uint32_t state = iso_state(point);
    enum ciommu_status status;
    if (state != ISO_NOTHING && random % 3 == 0) {
        iso_begin(point, ISO_NOTHING);
        status = ciommu_device_detach(device->device, NULL, point->pasid);
    } else {
        iso_begin(point, domain);
        status =
            state == ISO_NOTHING
                ? ciommu_device_attach(device->device, point->pasid, guest->domains[domain])
                : ciommu_device_replace(device->device, NULL, point->pasid, guest->domains[domain]);
    }
    iso_finish(point);
    return status;
}

static void begin_all(struct iso_device *device, uint32_t state) {
    for (uint32_t point = 0; point < ISO_POINTS; point++) {
        iso_begin(&device->points[point], state);
    }
}

static void finish_all(struct iso_device *device) {
    for (uint32_t point = 0; point < ISO_POINTS; point++) {
        iso_finish(&device->points[point]);
    }
}

/* A reset, or of an unattached whole device: the guest's own PASID table, and away with it. */
static enum ciommu_status change_device(struct iso_guest *guest, struct iso_device *device,
                                        uint64_t random) {
    bool empty = iso_state(&device->points[0]) == ISO_NOTHING &&
                 iso_state(&device->points[1]) == ISO_NOTHING;
    enum ciommu_status status;
    bool pending;
    if (device->bound && random % 2 == 0) {
        begin_all(device, ISO_NOTHING);
        status = ciommu_device_unbind(device->device, NULL);
        device->bound = false;
    } else if (empty && !device->sliced) {
        begin_all(device, ISO_BOUND);
        status = ciommu_device_bind(device->device, NULL, &guest->table);
        device->bound = true;
    } else {
        begin_all(device, ISO_NOTHING);
        status = ciommu_device_reset(device->device, NULL);
        device->bound = false;
        if (device->sliced && status == CIOMMU_OK) {
            status = ciommu_message_unmask(device->messages, 0, &pending);
        }
    }
    finish_all(device);
    return status;
}

/* ---- Tenants ---- */

enum ciommu_status iso_change_tenant(struct iso_guest *guest, uint32_t half, uint64_t random) {
    struct ciommu_device *device = guest->devices[ISO_TENANT_DEVICE].device;
    uint32_t tenant = (uint32_t)(random % (ISO_TENANT_COUNT / 2)) * 2 + half;
    uint32_t host = ciommu_namespace_host(guest->space, tenant);
    if (host != CIOMMU_NO_PASID) {
        enum ciommu_status status = ciommu_device_detach(device, NULL, host);
        iso_rest(guest, ISO_TENANTS + tenant);
        if ((random >> 8) % 4 == 0) {
            probe_nap(20000); /* sections begin that find the host PASID, with nothing behind it */
        }
        return status != CIOMMU_OK ? status : ciommu_namespace_unbind(guest->space, NULL, tenant);
    }
    iso_check_rest(guest, ISO_TENANTS + tenant);
    enum ciommu_status status = ciommu_namespace_bind(guest->space, tenant, &host);
    if (status == CIOMMU_NO_SPACE) {
        return CIOMMU_OK;
    }
    return status != CIOMMU_OK
               ? status
               : ciommu_device_attach(device, host, guest->domains[ISO_TENANTS + tenant]);
}

/* A guest drops what its own tables left in the caches; nobody else's may suffer. */
static enum ciommu_status invalidate(struct iso_guest *guest, uint64_t random) {
    const struct ciommu_invalidation invalidation = {
        .size = sizeof invalidation,
        .kind = random % 2 == 0 ? CIOMMU_INVALIDATE_PASID : CIOMMU_INVALIDATE_TRANSLATIONS,
        .domain = CIOMMU_ANY,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND,
        .last = UINT64_MAX,
    };
    return ciommu_invalidate(guest->unit, NULL, &invalidation);
}

enum ciommu_status iso_change(struct iso_guest *guest, uint64_t random) {
    uint32_t kind = (uint32_t)(random % 16);
    struct iso_device *device = &guest->devices[(random >> 8) % ISO_TENANT_DEVICE];
    if (kind < 5) {
        return iso_change_tenant(guest, 0, random >> 16);
    }
    if (kind == 5) {
        return invalidate(guest, random >> 16);
    }
    uint32_t used = iso_used(guest);
    for (uint32_t domain = 0; domain < ISO_TENANTS; domain++) {
        if ((used >> domain & 1) == 0) {
            iso_check_rest(guest, domain);
        }
    }
    enum ciommu_status status =
        kind < 8 || device->bound
            ? change_device(guest, device, random >> 16)
            : change_point(guest, device, &device->points[(random >> 12) % ISO_POINTS],
                           random >> 16);
    uint32_t left = used & ~iso_used(guest);
    for (uint32_t domain = 0; domain < ISO_TENANTS; domain++) {
        if ((left >> domain & 1) != 0) {
            iso_rest(guest, domain);
        }
    }
    return status;
}
