/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * attach.c - what a device's traffic is translated by: attach, replace, detach, reset. Binding a
 * guest's PASID table is in bind.c. The protocol stands in device.h.
 */
#include "alloc.h"
#include "device.h"
#include "invalidate.h"
#include "message_store.h"
#include "tlb_ask.h"

/* ---- Attachments; table lock ---- */

static void free_attachment(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct attachment *attachment = caa_container_of(head, struct attachment, rcu);
    struct deferrals *deferrals = attachment->deferrals;
    for (struct holder *holder = attachment->holder.next, *next; holder != NULL; holder = next) {
        next = holder->next;
        ciommu_free(holder);
    }
    ciommu_free(attachment);
    ciommu_rcu_callback_ends(deferrals);
}

static struct attachment *make_attachment(struct ciommu_device *device, uint32_t pasid,
                                          struct ciommu_domain *domain) {
    struct attachment *attachment = ciommu_allocate(sizeof(uint64_t), sizeof *attachment);
    if (attachment != NULL) {
        attachment->deferrals = &device->unit->devices.deferrals;
        attachment->resolved = domain->resolved;
        attachment->resolved.pasid = pasid == CIOMMU_NO_PASID ? 0 : pasid;
        attachment->domain = domain;
        attachment->source = device->config.source;
        attachment->requested = pasid;
        attachment->holder.device = device;
    }
    return attachment;
}

/* Stores an attachment or NULL. A PASID's place is reserved. */
static void put(struct source *source, uint32_t pasid, struct attachment *attachment) {
    if (pasid == CIOMMU_NO_PASID) {
        store_release(&source->untagged, attachment); /* pairs with ciommu_source_attachment */
    } else {
        ciommu_pasid_table_set(&source->attachments, pasid, attachment);
    }
}

static struct attachment *find(const struct ciommu_device *device, uint32_t pasid) {
    return (struct attachment *)ciommu_source_attachment(device->source, pasid);
}

static struct holder *find_holder(struct attachment *attachment,
                                  const struct ciommu_device *device) {
    struct holder *holder = &attachment->holder;
    while (holder != NULL && holder->device != device) {
        holder = holder->next;
    }
    return holder;
}

static bool is_shared(const struct attachment *attachment) {
    uint32_t count = 0;
    for (const struct holder *holder = &attachment->holder; holder != NULL; holder = holder->next) {
        count += holder->device != NULL;
    }
    return count > 1;
}

/* Lists a new one with its domain. */
static void join_domain(struct attachment *attachment) {
    struct ciommu_domain *domain = attachment->domain;
    attachment->serial = ++domain->unit->tlbs.serial;
    attachment->older = domain->newest_attachment;
    attachment->newer = NULL;
    if (attachment->older != NULL) {
        attachment->older->newer = attachment;
    }
    domain->newest_attachment = attachment;
    domain->attachments++;
}

static void leave_domain(struct attachment *attachment) {
    struct ciommu_domain *domain = attachment->domain;
    *(attachment->newer != NULL ? &attachment->newer->older : &domain->newest_attachment) =
        attachment->older;
    if (attachment->older != NULL) {
        attachment->older->newer = attachment->newer;
    }
    domain->attachments--;
    ciommu_rcu_defer(attachment->deferrals, &attachment->rcu, free_attachment);
}

/* No entry leads to it any more. */
static void drop(struct attachment *attachment, struct departures *departures) {
    if (tlbs_exist(attachment->domain->unit)) {
        attachment->leaving = departures->first;
        departures->first = attachment;
    } else {
        leave_domain(attachment);
    }
}

/* ---- Page requests of what departs ---- */

struct page_target ciommu_pages_of(const struct ciommu_device *device, uint64_t serial,
                                   struct ciommu_domain *domain) {
    return (struct page_target){
        .source = device->config.source,
        .device = device->config.id,
        .first = serial,
        .last = serial,
        .queue = ciommu_pages_pin(device->unit, domain),
    };
}

struct page_target ciommu_pages_of_device(const struct ciommu_device *device) {
    return (struct page_target){
        .everywhere = true,
        .source = device->config.source,
        .device = device->config.id,
        .first = 1, /* not those of the root table */
        .last = device->unit->tlbs.serial,
    };
}

/* The mutant's order: a request can slip in between. */
static void cancel_first(const struct ciommu_device *device) {
    struct page_target target = {
        .source = device->config.source,
        .device = device->config.id,
        .last = UINT64_MAX,
    };
    ciommu_pages_answer(device->unit, &target);
    yield_point(CIOMMU_YIELD_PAGES_CANCELLED);
}

enum ciommu_status ciommu_departures_end(struct ciommu_unit *unit, struct departures *departures,
                                         const struct tlb_target *target,
                                         struct page_target *pages) {
    enum ciommu_status status = ciommu_tlbs_settle(unit, target);
    ciommu_pages_cancel(unit, pages);
    if (departures->first != NULL) {
        pthread_mutex_lock(&unit->table_lock);
        for (struct attachment *leaving = departures->first, *next; leaving != NULL;
             leaving = next) {
            next = leaving->leaving;
            leave_domain(leaving);
        }
        pthread_mutex_unlock(&unit->table_lock);
    }
    return status;
}

/* The device lets go; the entry goes with its last holder. */
static void release(struct ciommu_device *device, uint32_t pasid, struct attachment *attachment,
                    struct departures *departures) {
    bool last = !is_shared(attachment);
    device->attachments--;
    if (last) {
        put(device->source, pasid, NULL);
        drop(attachment, departures);
    } else {
        store_release(&find_holder(attachment, device)->device, NULL);
    }
}

/* ---- Everything of a device; table lock ---- */

void ciommu_device_clear(struct ciommu_device *device, struct departures *departures) {
    struct source *source = device->source;
    bool slice = device->config.share == CIOMMU_SHARE_SLICE;
    uint32_t pasid = slice ? device->config.first_pasid : 0;
    uint32_t last = slice ? device->config.last_pasid : PASID_LAST;
    void *value;
    if (source->untagged != NULL && find_holder(source->untagged, device) != NULL) {
        release(device, CIOMMU_NO_PASID, source->untagged, departures);
    }
    while (device->attachments != 0 && pasid <= last &&
           ciommu_pasid_table_next(&source->attachments, &pasid, &value)) {
        if (find_holder(value, device) != NULL) {
            release(device, pasid, value, departures);
        }
        pasid++;
    }
    ciommu_device_drop_bound(device);
}

/* ---- Attach, replace, detach ---- */

/* Checks that need no lock. */
static enum ciommu_status check(const struct ciommu_device *device, uint32_t pasid,
                                const struct ciommu_domain *domain) {
    if (device == NULL || domain == NULL ||
        (pasid > CIOMMU_PASID_MAX && pasid != CIOMMU_NO_PASID)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (domain->unit != device->unit) {
        return CIOMMU_OTHER_UNIT;
    }
    const struct vtd_caps *caps = &device->unit->caps;
    bool offered = pasid == CIOMMU_NO_PASID || (caps->pasid && pasid >> caps->pasid_bits == 0);
    return offered ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

/* Joins what another device attached under a shared-PASID policy. */
static enum ciommu_status share(struct ciommu_device *device, struct attachment *present,
                                struct ciommu_domain *domain) {
    if (present->domain != domain || find_holder(present, device) != NULL ||
        device->config.policy == CIOMMU_SHARED_PASID_REFUSED) {
        return CIOMMU_OCCUPIED;
    }
    struct holder *holder = find_holder(present, NULL); /* one that was left */
    if (holder != NULL) {
        store_release(&holder->device, device);
        device->attachments++;
        return CIOMMU_OK;
    }
    holder = ciommu_allocate(sizeof(uint64_t), sizeof *holder);
    if (holder == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    holder->device = device;
    holder->next = present->holder.next;
    store_release(&present->holder.next, holder); /* pairs with device.c: candidates_of */
    device->attachments++;
    return CIOMMU_OK;
}

/* Is a table bound by this device, or by another one that owns the PASID too? */
static bool is_bound(const struct ciommu_device *device, uint32_t pasid) {
    return device->bound != NULL || ciommu_source_bound(device->source, pasid) != NULL;
}

static enum ciommu_status attach_locked(struct ciommu_device *device, uint32_t pasid,
                                        struct ciommu_domain *domain) {
    struct source *source = device->source;
    enum ciommu_status status = ciommu_device_owns(device, pasid);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (is_bound(device, pasid)) {
        return CIOMMU_IN_USE;
    }
    struct attachment *present = find(device, pasid);
    if (present != NULL) {
        return share(device, present, domain);
    }
    struct attachment *attachment = make_attachment(device, pasid, domain);
    if (attachment == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    if (pasid != CIOMMU_NO_PASID) {
        status = ciommu_pasid_table_reserve(&source->attachments, pasid, pasid);
    }
    if (status != CIOMMU_OK) {
        ciommu_free(attachment);
        return status;
    }
    join_domain(attachment); /* gives it its serial, which readers use */
    put(source, pasid, attachment);
    device->attachments++;
    return CIOMMU_OK;
}

enum ciommu_status ciommu_device_attach(struct ciommu_device *device, uint32_t pasid,
                                        struct ciommu_domain *domain) {
    enum ciommu_status status = check(device, pasid, domain);
    if (status == CIOMMU_OK) {
        pthread_mutex_lock(&device->unit->table_lock);
        status = attach_locked(device, pasid, domain);
        pthread_mutex_unlock(&device->unit->table_lock);
    }
    return status;
}

/* What this device attached there. */
static enum ciommu_status find_own(const struct ciommu_device *device, uint32_t pasid,
                                   struct attachment **out) {
    enum ciommu_status status = ciommu_device_owns(device, pasid);
    if (status != CIOMMU_OK) {
        return status;
    }
    *out = find(device, pasid);
    bool own = *out != NULL && find_holder(*out, device) != NULL;
    return own ? CIOMMU_OK : CIOMMU_NOT_ATTACHED;
}

/* Table lock. `attachment` is the new one. */
static enum ciommu_status replace_locked(struct ciommu_device *device, uint32_t pasid,
                                         struct attachment *attachment,
                                         struct departures *departures, struct page_target *pages) {
    struct attachment *present;
    enum ciommu_status status = find_own(device, pasid, &present);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (is_shared(present)) {
        return CIOMMU_OCCUPIED;
    }
    *pages = ciommu_pages_of(device, present->serial, present->domain);
    join_domain(attachment);
    if (!MUTANT(DETACH_NO_TABLEGEN)) {
        ciommu_unit_begin_table_change(device->unit);
    }
    if (MUTANT(REPLACE_WITH_GAP)) {
        put(device->source, pasid, NULL);
        yield_point(CIOMMU_YIELD_TABLE_CHANGED);
        if (pasid != CIOMMU_NO_PASID) {
            (void)ciommu_pasid_table_reserve(&device->source->attachments, pasid, pasid);
        }
    }
    put(device->source, pasid, attachment);
    yield_point(CIOMMU_YIELD_TABLES_CHANGING);
    if (!MUTANT(DETACH_NO_TABLEGEN)) {
        ciommu_unit_finish_table_change(device->unit);
    }
    drop(present, departures);
    return CIOMMU_OK;
}

enum ciommu_status ciommu_device_replace(struct ciommu_device *device, struct ciommu_port *port,
                                         uint32_t pasid, struct ciommu_domain *domain) {
    enum ciommu_status status = check(device, pasid, domain);
    if (status == CIOMMU_OK) {
        status = ciommu_device_check_port(device, port);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    struct attachment *attachment = make_attachment(device, pasid, domain);
    if (attachment == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    struct departures departures = {0};
    struct page_target pages;
    const struct tlb_target target = tlb_of_pasid(device->config.source, pasid);
    pthread_mutex_lock(&device->unit->table_lock);
    status = replace_locked(device, pasid, attachment, &departures, &pages);
    pthread_mutex_unlock(&device->unit->table_lock);
    if (status != CIOMMU_OK) {
        ciommu_free(attachment);
        return status;
    }
    return ciommu_departures_end(device->unit, &departures, &target, &pages);
}

enum ciommu_status ciommu_device_detach(struct ciommu_device *device, struct ciommu_port *port,
                                        uint32_t pasid) {
    enum ciommu_status status = ciommu_device_check_port(device, port);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (pasid > CIOMMU_PASID_MAX && pasid != CIOMMU_NO_PASID) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct attachment *present;
    struct departures departures = {0};
    struct page_target pages = {.nothing = true};
    const struct tlb_target target = tlb_of_pasid(device->config.source, pasid);
    if (MUTANT(PAGE_CANCEL_FIRST)) {
        cancel_first(device);
    }
    pthread_mutex_lock(&device->unit->table_lock);
    status = find_own(device, pasid, &present);
    if (status == CIOMMU_OK) {
        pages = ciommu_pages_of(device, present->serial, present->domain);
        if (!MUTANT(DETACH_NO_TABLEGEN)) {
            ciommu_unit_begin_table_change(device->unit);
        }
        release(device, pasid, present, &departures);
        yield_point(CIOMMU_YIELD_TABLES_CHANGING);
        if (!MUTANT(DETACH_NO_TABLEGEN)) {
            ciommu_unit_finish_table_change(device->unit);
        }
    }
    pthread_mutex_unlock(&device->unit->table_lock);
    return status != CIOMMU_OK ? status
                               : ciommu_departures_end(device->unit, &departures, &target, &pages);
}

struct ciommu_domain *ciommu_device_domain(struct ciommu_device *device, uint32_t pasid) {
    struct attachment *present;
    struct ciommu_domain *domain = NULL;
    if (device == NULL || (pasid > CIOMMU_PASID_MAX && pasid != CIOMMU_NO_PASID)) {
        return NULL;
    }
    pthread_mutex_lock(&device->unit->table_lock);
    if (find_own(device, pasid, &present) == CIOMMU_OK) {
        domain = present->domain;
    }
    pthread_mutex_unlock(&device->unit->table_lock);
    return domain;
}

enum ciommu_status ciommu_device_reset(struct ciommu_device *device, struct ciommu_port *port) {
    enum ciommu_status status = ciommu_device_check_port(device, port);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct departures departures = {0};
    const struct tlb_target target = tlb_of_device(device);
    pthread_mutex_lock(&device->unit->table_lock);
    struct page_target pages = ciommu_pages_of_device(device);
    ciommu_unit_begin_table_change(device->unit);
    ciommu_device_clear(device, &departures);
    ciommu_message_stores_mask(device);
    ciommu_unit_finish_table_change(device->unit);
    pthread_mutex_unlock(&device->unit->table_lock);
    status = ciommu_departures_end(device->unit, &departures, &target, &pages);
    pthread_mutex_lock(&device->unit->table_lock);
    ciommu_message_stores_forget(device);
    pthread_mutex_unlock(&device->unit->table_lock);
    return status;
}
