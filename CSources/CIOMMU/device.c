/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device.c - making and ending devices and their source ids. To whom a PASID belongs is in
 * owners.c, what is attached in attach.c. The protocol stands in device.h.
 */
#include "device.h"
#include "alloc.h"
#include "invalidate.h"
#include "tlb_ask.h"
#include <string.h>

/* ---- Sources ---- */

static void free_source(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct source *source = caa_container_of(head, struct source, rcu);
    struct deferrals *deferrals = source->deferrals;
    ciommu_pasid_table_fini(&source->attachments);
    ciommu_pasid_table_fini(&source->slices);
    ciommu_assert(source->shared == NULL); /* the last slice deserted the last set */
    ciommu_free(source);
    ciommu_rcu_callback_ends(deferrals);
}

/* The source, made if need be but not published. */
static struct source *obtain_source(struct devices *devices, uint32_t id) {
    struct source_page **page = &devices->pages[id >> SOURCES_LG2];
    if (*page == NULL) {
        struct source_page *made = ciommu_allocate(CACHE_LINE, sizeof *made);
        if (made == NULL) {
            return NULL;
        }
        store_release(page, made); /* pairs with ciommu_source_find */
    }
    struct source *source = (*page)->sources[id & SOURCES_MASK];
    if (source == NULL) {
        source = ciommu_allocate(CACHE_LINE, sizeof *source);
        if (source != NULL) {
            source->id = id;
            source->deferrals = &devices->deferrals;
            ciommu_pasid_table_init(&source->attachments, &devices->deferrals);
            ciommu_pasid_table_init(&source->slices, &devices->deferrals);
        }
    }
    return source;
}

static void publish_source(struct devices *devices, struct source *source, bool present) {
    store_release(&devices->pages[source->id >> SOURCES_LG2]->sources[source->id & SOURCES_MASK],
                  present ? source : NULL); /* pairs with ciommu_source_find */
}

void ciommu_devices_fini(struct devices *devices) {
    ciommu_rcu_wait(&devices->deferrals);
    for (uint32_t index = 0; index <= SOURCES_MASK; index++) {
        ciommu_free(devices->pages[index]);
    }
}

/* ---- Making ---- */

static struct ciommu_device **bucket_of(struct devices *devices, uint64_t id) {
    return &devices->buckets[id * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

bool ciommu_device_find(struct devices *devices, uint64_t id) {
    struct ciommu_device *device = *bucket_of(devices, id);
    while (device != NULL && device->config.id != id) {
        device = device->bucket;
    }
    return device != NULL;
}

static enum ciommu_status check_config(const struct vtd_caps *caps,
                                       const struct ciommu_device_config *config) {
    bool slice = config->share == CIOMMU_SHARE_SLICE;
    bool policy = slice ? config->policy <= CIOMMU_SHARED_PASID_PARENT
                        : config->policy == CIOMMU_SHARED_PASID_REFUSED;
    if (config->source > 0xffff || config->share > CIOMMU_SHARE_SLICE || !policy ||
        (slice && (config->first_pasid > config->last_pasid || config->last_pasid > PASID_LAST))) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool offered = !slice || (caps->pasid && config->last_pasid >> caps->pasid_bits == 0);
    return offered ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

/* Did the parent attach one of the slice's PASIDs while nobody owned it? */
static bool parent_uses(const struct source *source, const struct ciommu_device_config *config) {
    uint32_t pasid = config->first_pasid;
    void *value;
    while (source->main != NULL && pasid <= config->last_pasid &&
           ciommu_pasid_table_next(&source->attachments, &pasid, &value) &&
           pasid <= config->last_pasid) {
        if (((struct attachment *)value)->holder.device == source->main) {
            return true;
        }
        pasid++;
    }
    return false;
}

/* May a device of this configuration join the source? */
static enum ciommu_status admit(const struct source *source,
                                const struct ciommu_device_config *config) {
    const struct ciommu_device *main = source->main;
    bool whole = config->share == CIOMMU_SHARE_WHOLE;
    if ((main != NULL &&
         (main->config.share == CIOMMU_SHARE_WHOLE || config->share != CIOMMU_SHARE_SLICE)) ||
        (whole && source->first != NULL)) {
        return CIOMMU_OVERLAP;
    }
    if (config->share != CIOMMU_SHARE_SLICE) {
        return CIOMMU_OK;
    }
    if (!ciommu_pasid_table_is_clear(&source->slices, config->first_pasid, config->last_pasid)) {
        for (struct ciommu_device *other = source->first; other != NULL; other = other->next) {
            if (ciommu_slice_touches(other, config->first_pasid, config->last_pasid) &&
                (config->policy == CIOMMU_SHARED_PASID_REFUSED ||
                 other->config.policy != config->policy)) {
                return CIOMMU_OVERLAP;
            }
        }
    }
    return parent_uses(source, config) ? CIOMMU_IN_USE : CIOMMU_OK;
}

static void append(struct source *source, struct ciommu_device *device) {
    device->next = NULL;
    device->previous = source->last;
    *(source->last != NULL ? &source->last->next : &source->first) = device;
    source->last = device;
}

static void take_out(struct source *source, struct ciommu_device *device) {
    *(device->previous != NULL ? &device->previous->next : &source->first) = device->next;
    *(device->next != NULL ? &device->next->previous : &source->last) = device->previous;
}

static bool is_taken(struct ciommu_unit *unit, uint64_t id) {
    return ciommu_device_find(&unit->devices, id) || ciommu_faults_know(&unit->faults, id);
}

/* Joins a complete device to its source and the unit. Table lock. */
static enum ciommu_status join(struct ciommu_unit *unit, struct ciommu_device *device) {
    struct devices *devices = &unit->devices;
    struct source *source = obtain_source(devices, device->config.source);
    if (source == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    bool fresh = source->first == NULL;
    enum ciommu_status status =
        is_taken(unit, device->config.id) ? CIOMMU_EXISTS : admit(source, &device->config);
    if (status == CIOMMU_OK) {
        device->source = source;
        device->serial = ++devices->serial;
        append(source, device);
        if (device->config.share == CIOMMU_SHARE_SLICE) {
            status = ciommu_slice_enter(devices, device);
        }
        if (status != CIOMMU_OK) {
            take_out(source, device);
        }
    }
    if (status != CIOMMU_OK) {
        if (fresh) {
            ciommu_pasid_table_fini(&source->slices);
            ciommu_free(source);
        }
        return status;
    }
    struct ciommu_device **bucket = bucket_of(devices, device->config.id);
    device->bucket = *bucket;
    *bucket = device;
    devices->count++;
    ciommu_unit_begin_table_change(unit);
    if (device->config.share != CIOMMU_SHARE_SLICE) {
        store_release(&source->main, device);
    }
    publish_source(devices, source, true);
    ciommu_unit_forget_source(unit, source->id);
    ciommu_unit_finish_table_change(unit);
    return CIOMMU_OK;
}

enum ciommu_status ciommu_device_create(struct ciommu_unit *unit, struct ciommu_port *port,
                                        const struct ciommu_device_config *config,
                                        struct ciommu_device **out) {
    if (unit == NULL || config == NULL || out == NULL || config->size < sizeof *config ||
        (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (ports_wait_for_caller(&unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    enum ciommu_status status = check_config(&unit->caps, config);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_device *device = ciommu_allocate(CACHE_LINE, sizeof *device);
    struct owners *own = ciommu_owners_make(&unit->devices, 1);
    if (device == NULL || own == NULL) {
        ciommu_free(device);
        ciommu_free(own);
        return CIOMMU_NO_MEMORY;
    }
    device->unit = unit;
    device->config = *config;
    device->own = own;
    own->devices[0] = device;
    struct tlb_target target = tlb_of_device(device);
    pthread_mutex_lock(&unit->table_lock);
    status = join(unit, device);
    if (status == CIOMMU_OK && device->source->first == device->source->last) {
        target.device.share = CIOMMU_SHARE_WHOLE; /* until now the guest had all of the source */
    }
    pthread_mutex_unlock(&unit->table_lock);
    if (status != CIOMMU_OK) {
        ciommu_free(own);
        ciommu_free(device);
        return status;
    }
    *out = device;
    return MUTANT(TLB_TAKEN_UNASKED) ? ciommu_unit_settle(unit, NULL)
                                     : ciommu_tlbs_settle(unit, &target);
}

/* ---- Ending ---- */

static void free_device(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct ciommu_device *device = caa_container_of(head, struct ciommu_device, rcu);
    struct deferrals *deferrals = &device->unit->devices.deferrals;
    ciommu_free(device->own);
    ciommu_free(device);
    ciommu_rcu_callback_ends(deferrals);
}

enum ciommu_status ciommu_device_destroy(struct ciommu_device *device, struct ciommu_port *port) {
    if (device == NULL) {
        return CIOMMU_OK;
    }
    struct ciommu_unit *unit = device->unit;
    struct devices *devices = &unit->devices;
    struct source *source = device->source;
    if (port != NULL && port->unit != unit) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (port != NULL && port_is_inside(port)) {
        return CIOMMU_IN_SECTION;
    }
    struct departures departures = {0};
    const struct tlb_target target = tlb_of_device(device);
    pthread_mutex_lock(&unit->table_lock);
    if (device->stores != NULL) {
        pthread_mutex_unlock(&unit->table_lock);
        return CIOMMU_IN_USE;
    }
    struct page_target pages = ciommu_pages_of_device(device);
    ciommu_unit_begin_table_change(unit);
    ciommu_device_clear(device, &departures);
    ciommu_faults_forget(device);
    take_out(source, device);
    if (device->config.share == CIOMMU_SHARE_SLICE) {
        ciommu_slice_leave(device);
    } else {
        store_release(&source->main, NULL);
    }
    struct ciommu_device **link = bucket_of(devices, device->config.id);
    while (*link != device) {
        link = &(*link)->bucket;
    }
    *link = device->bucket;
    devices->count--;
    bool last = source->first == NULL;
    if (last) {
        publish_source(devices, source, false);
    }
    ciommu_unit_forget_source(unit, device->config.source);
    ciommu_unit_finish_table_change(unit);
    if (last) { /* nothing here touches it any more: this thread is in no read section */
        ciommu_rcu_defer(&devices->deferrals, &source->rcu, free_source);
    }
    ciommu_rcu_defer(&devices->deferrals, &device->rcu, free_device);
    pthread_mutex_unlock(&unit->table_lock);
    return ciommu_departures_end(unit, &departures, &target, &pages);
}

void ciommu_devices_clear(struct devices *devices, struct departures *departures) {
    for (uint32_t index = 0; index < DEVICE_BUCKETS; index++) {
        for (struct ciommu_device *device = devices->buckets[index]; device != NULL;
             device = device->bucket) {
            ciommu_device_clear(device, departures);
        }
    }
}
