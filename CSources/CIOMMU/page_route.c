/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_route.c - see page_route.h.
 */
#include "page_route.h"
#include "context_vtd.h"
#include "fault.h"

static bool is_held_by(const struct attachment *attachment, uint64_t device) {
    const struct holder *holder = &attachment->holder;
    for (; holder != NULL; holder = load_acquire(&holder->next)) {
        const struct ciommu_device *found = load_acquire(&holder->device);
        if (found != NULL && found->config.id == device) {
            return true;
        }
    }
    return false;
}

/* The device of this id, if (source, pasid) can be its request. */
static const struct ciommu_device *find_device(const struct source *source, uint32_t pasid,
                                               uint64_t id) {
    const struct owners *owners = pasid_table_find(&source->slices, pasid);
    for (uint32_t index = 0; owners != NULL && index < owners->count; index++) {
        const struct ciommu_device *slice = load_acquire(&owners->devices[index]);
        if (slice != NULL && slice->config.id == id) {
            return slice;
        }
    }
    const struct ciommu_device *main = load_acquire(&source->main);
    bool mine = main != NULL && main->config.id == id && owners == NULL;
    return mine ? main : NULL;
}

static struct page_route route_to(struct ciommu_page_queue *queue, uint64_t serial,
                                  uint32_t space) {
    return (struct page_route){queue == NULL ? PAGE_AT_NOBODY : PAGE_AT_QUEUE, queue, serial,
                               space};
}

static struct page_route route_attached(const struct attachment *attachment, uint32_t space) {
    struct ciommu_domain *domain = attachment->domain; /* alive: see pages.h, Domains */
    if (domain->kind == CIOMMU_DOMAIN_BLOCKED) {
        return (struct page_route){.place = PAGE_AT_NOTHING};
    }
    return route_to(domain->page_queue, attachment->serial, space);
}

/* Under the RCU read lock. */
static struct page_route route_in(const struct ciommu_page_interface *interface,
                                  const struct source *source, uint32_t pasid) {
    const struct page_route nothing = {.place = PAGE_AT_NOTHING};
    uint64_t id = interface->config.device;
    const struct attachment *attachment = ciommu_source_attachment(source, pasid);
    if (attachment != NULL) {
        return is_held_by(attachment, id) ? route_attached(attachment, CIOMMU_NO_PASID) : nothing;
    }
    const struct ciommu_device *device = find_device(source, pasid, id);
    const struct bound_table *bound = device == NULL ? NULL : load_acquire(&device->bound);
    if (bound != NULL) {
        return route_to(interface->unit->pages.guest, bound->serial, pasid);
    }
    attachment = ciommu_source_attachment(source, CIOMMU_NO_PASID);
    bool falls_back = attachment != NULL && attachment->domain->kind == CIOMMU_DOMAIN_NESTED &&
                      attachment->domain->page_queue != NULL && is_held_by(attachment, id);
    return falls_back ? route_attached(attachment, pasid) : nothing;
}

struct page_route ciommu_page_route(const struct ciommu_page_interface *interface, uint32_t pasid,
                                    enum page_verdict verdict) {
    struct page_route route;
    ciommu_rcu_lock();
    const struct source *source =
        ciommu_source_find(&interface->unit->devices, interface->config.source);
    if (source != NULL) {
        route = route_in(interface, source, pasid);
    } else if (verdict == PAGE_NOT_ASKED) {
        route = (struct page_route){.place = PAGE_AT_GUEST};
    } else if (verdict == PAGE_ALLOWED) {
        route = route_to(interface->unit->pages.guest, 0, pasid);
    } else {
        route = (struct page_route){.place = PAGE_AT_NOTHING};
    }
    ciommu_rcu_unlock();
    return route;
}

/* ---- The guest's tables ---- */

static void record(struct ciommu_port *port, const struct ciommu_page_interface *interface,
                   uint32_t pasid, uint64_t address, uint32_t access, const struct walker *walker,
                   bool fault_disabled) {
    const struct fault_code *row = ciommu_fault_code(walker->fault.code);
    struct ciommu_fault fault = {
        .size = sizeof fault,
        .reason = row->reason,
        .code = walker->fault.code,
        .source = interface->config.source,
        .pasid = pasid,
        .access = access,
        .level = CIOMMU_NO_LEVEL,
        .address = address,
        .entry_address = walker->fault.entry_address,
        .request = CIOMMU_REQUEST_PAGE,
    };
    count_owned(&port->faults);
    if (walker->fault.code != 0 && !(fault_disabled && row->qualified)) {
        ciommu_faults_record(port, NULL, NULL, &fault); /* the host has no device of this source */
    }
}

/* Choice: the context entry alone decides, as PRE is in it; the PASID's entry may be what the
 * guest is to be asked for. */
enum ciommu_status ciommu_page_ask_guest(const struct ciommu_page_interface *interface,
                                         struct ciommu_port *port, uint32_t pasid, uint64_t address,
                                         uint32_t access, enum page_verdict *verdict) {
    struct ciommu_unit *unit = interface->unit;
    if (load_seq_cst(&unit->enabled) == 0) {
        *verdict = PAGE_DISABLED;
        return CIOMMU_OK;
    }
    struct ciommu_port *used = port != NULL ? port : ciommu_port_borrow(unit);
    if (used == NULL) {
        return CIOMMU_NO_PORT;
    }
    struct walker walker = {.port = used, .memory = unit->memory};
    struct resolved resolved;
    struct space_shape shape;
    ciommu_port_enter(used);
    ciommu_rcu_lock();
    const struct vtd_request request = {load_seq_cst(&unit->root), interface->config.source, pasid,
                                        VTD_PAGE_REQUEST};
    bool allowed = ciommu_vtd_resolve(unit, &request, &walker, &resolved, &shape);
    if (!allowed) {
        record(used, interface, pasid, address, access, &walker, resolved.fault_disabled);
    }
    ciommu_rcu_unlock();
    ciommu_port_leave(used);
    if (port == NULL) {
        ciommu_port_give_back(used);
    }
    *verdict = allowed ? PAGE_ALLOWED : PAGE_FAULTED;
    return CIOMMU_OK;
}
