/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * bind.c - a guest's own PASID table behind a device [B-B2]. The protocol stands in device.h.
 */
#include "alloc.h"
#include "device.h"
#include "invalidate.h"
#include "tlb_ask.h"

#define PAGE_MASK UINT64_C(4095)

enum ciommu_status ciommu_device_check_port(const struct ciommu_device *device,
                                            const struct ciommu_port *port) {
    if (device == NULL || (port != NULL && port->unit != device->unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    return ports_wait_for_caller(&device->unit->ports, port) ? CIOMMU_IN_SECTION : CIOMMU_OK;
}

/* ---- Bound tables; table lock ---- */

static void free_bound(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct bound_table *bound = caa_container_of(head, struct bound_table, rcu);
    struct deferrals *deferrals = bound->deferrals;
    ciommu_free(bound);
    ciommu_rcu_callback_ends(deferrals);
}

void ciommu_device_drop_bound(struct ciommu_device *device) {
    struct bound_table *bound = device->bound;
    if (bound != NULL) {
        store_release(&device->bound, NULL);
        ciommu_unit_forget_source(device->unit, device->config.source);
        ciommu_rcu_defer(&device->unit->devices.deferrals, &bound->rcu, free_bound);
    }
}

/* ---- Binding ---- */

static enum ciommu_status check_table(const struct vtd_caps *caps,
                                      const struct ciommu_pasid_table *table) {
    uint32_t most = caps->pasid ? caps->pasid_bits : 6;
    if (table->model != CIOMMU_MODEL_VTD || table->format != 0 || table->levels != 2 ||
        !caps->scalable || (table->rid_pasid != 0 && !caps->rid_pasid)) {
        return CIOMMU_UNSUPPORTED;
    }
    if ((table->address & PAGE_MASK) != 0) {
        return CIOMMU_MISALIGNED;
    }
    bool bits = table->pasid_bits >= 6 && table->pasid_bits <= (most < 6 ? 6 : most);
    bool fits = bits && table->rid_pasid >> table->pasid_bits == 0 &&
                (table->address & caps->high_mask) == 0;
    return fits ? CIOMMU_OK : CIOMMU_OUT_OF_RANGE;
}

/* Has this device a PASID in common with another one that attached or bound something there? */
static bool meets_others(const struct ciommu_device *device) {
    if (device->config.share != CIOMMU_SHARE_SLICE) {
        return false;
    }
    for (const struct owners *owners = device->source->shared; owners != NULL;
         owners = owners->next) {
        bool mine = false;
        bool others = false;
        for (uint32_t index = 0; index < owners->count; index++) {
            const struct ciommu_device *other = owners->devices[index];
            mine = mine || other == device;
            others = others || (other != NULL && other != device &&
                                (other->bound != NULL || other->attachments != 0));
        }
        if (mine && others) {
            return true;
        }
    }
    return false;
}

enum ciommu_status ciommu_device_bind(struct ciommu_device *device, struct ciommu_port *port,
                                      const struct ciommu_pasid_table *table) {
    enum ciommu_status status = ciommu_device_check_port(device, port);
    if (status == CIOMMU_OK && (table == NULL || table->size < sizeof *table)) {
        status = CIOMMU_INVALID_ARGUMENT;
    }
    if (status == CIOMMU_OK) {
        status = check_table(&device->unit->caps, table);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_unit *unit = device->unit;
    struct bound_table *bound = ciommu_allocate(sizeof(uint64_t), sizeof *bound);
    if (bound == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    bound->deferrals = &unit->devices.deferrals;
    bound->directory = table->address;
    bound->pasid_limit = UINT32_C(1) << table->pasid_bits;
    bound->rid_pasid = table->rid_pasid;
    pthread_mutex_lock(&unit->table_lock);
    bool used = device->bound != NULL || device->attachments != 0 || meets_others(device);
    if (!used) {
        bound->serial = ++unit->tlbs.serial;
        ciommu_unit_begin_table_change(unit);
        store_release(&device->bound, bound); /* pairs with ciommu_source_bound */
        ciommu_unit_forget_source(unit, device->config.source);
        ciommu_unit_finish_table_change(unit);
    }
    pthread_mutex_unlock(&unit->table_lock);
    if (used) {
        ciommu_free(bound);
        return CIOMMU_IN_USE;
    }
    return ciommu_unit_settle(unit, NULL);
}

bool ciommu_device_bound(struct ciommu_device *device, struct ciommu_pasid_table *out) {
    if (device == NULL || out == NULL || out->size < sizeof *out) {
        return false;
    }
    pthread_mutex_lock(&device->unit->table_lock);
    const struct bound_table *bound = device->bound;
    if (bound != NULL) {
        *out = (struct ciommu_pasid_table){
            .size = sizeof *out,
            .model = CIOMMU_MODEL_VTD,
            .levels = 2,
            .pasid_bits = (uint32_t)__builtin_ctz(bound->pasid_limit),
            .rid_pasid = bound->rid_pasid,
            .address = bound->directory,
        };
    }
    pthread_mutex_unlock(&device->unit->table_lock);
    return bound != NULL;
}

enum ciommu_status ciommu_device_unbind(struct ciommu_device *device, struct ciommu_port *port) {
    enum ciommu_status status = ciommu_device_check_port(device, port);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_unit *unit = device->unit;
    const struct tlb_target target = tlb_of_device(device);
    struct page_target pages = {.nothing = true};
    struct departures departures = {0};
    pthread_mutex_lock(&unit->table_lock);
    bool bound = device->bound != NULL;
    if (bound) {
        pages = ciommu_pages_of(device, device->bound->serial, NULL);
        ciommu_unit_begin_table_change(unit);
        ciommu_device_drop_bound(device);
        ciommu_unit_finish_table_change(unit);
    }
    pthread_mutex_unlock(&unit->table_lock);
    return bound ? ciommu_departures_end(unit, &departures, &target, &pages) : CIOMMU_NOT_ATTACHED;
}
