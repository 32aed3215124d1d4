/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_request.c - from parts to groups: what a device asks for is judged, gathered, and when it
 * is complete put into a queue or answered at once [FORMATS-VTD D1, D2].
 */
#include "page_answer.h"
#include "page_route.h"
#include "tracepoints.h"
#include "unit.h"

#define RIGHTS (CIOMMU_READ | CIOMMU_WRITE | CIOMMU_EXECUTE)
#define ACCESS (RIGHTS | CIOMMU_PRIVILEGED)
#define FLAGS (CIOMMU_PAGE_LAST | CIOMMU_PAGE_PRIVATE_DATA)

/* What is to become of a part. */
struct judgement {
    bool fine;
    bool silent; /* a stop marker */
    enum ciommu_page_code code;
    enum ciommu_page_cause cause;
};

static bool is_input(const struct ciommu_page_queue *queue, uint64_t address) {
    if (address <= queue->input_last) {
        return true;
    }
    uint64_t half = queue->canonical == 0 ? 0 : UINT64_C(1) << (queue->canonical - 1);
    return half != 0 && (address < half || address >= -half);
}

/* The rules in the order in which the kernel's handler applies them, then who could answer. */
static struct judgement judge(const struct page_route *route, uint64_t address, uint32_t access,
                              bool last) {
    const struct judgement invalid = {.code = CIOMMU_PAGE_INVALID, .cause = CIOMMU_PAGE_BY_RULE};
    bool reads_or_writes = (access & (CIOMMU_READ | CIOMMU_WRITE)) != 0;
    bool executes_and_reads =
        (access & (CIOMMU_READ | CIOMMU_EXECUTE)) == (CIOMMU_READ | CIOMMU_EXECUTE);
    if ((route->queue != NULL && !is_input(route->queue, address)) ||
        ((access & CIOMMU_PRIVILEGED) != 0 && reads_or_writes) || executes_and_reads) {
        return invalid;
    }
    if (last && !reads_or_writes) {
        return (struct judgement){.silent = true};
    }
    if (route->place == PAGE_AT_NOTHING) {
        return (struct judgement){.code = CIOMMU_PAGE_INVALID,
                                  .cause = CIOMMU_PAGE_BY_NOT_ATTACHED};
    }
    if (route->place == PAGE_AT_NOBODY) {
        return (struct judgement){.code = CIOMMU_PAGE_FAILURE, .cause = CIOMMU_PAGE_BY_NOBODY};
    }
    if (route->queue->overflowed) {
        route->queue->counts.lost++;
        return (struct judgement){.code = CIOMMU_PAGE_SUCCESS, .cause = CIOMMU_PAGE_BY_OVERFLOW};
    }
    return (struct judgement){.fine = true};
}

/* The queue is full: everything of it that is incomplete is lost. */
static void overflow(struct ciommu_page_queue *queue) {
    struct pages *pages = &queue->unit->pages;
    queue->overflowed = true;
    queue->counts.overflows++;
    queue->counts.lost++;
    for (uint32_t bucket = 0; bucket < PAGE_BUCKETS; bucket++) {
        for (struct ciommu_page_interface *interface = pages->interfaces[bucket]; interface != NULL;
             interface = interface->next) {
            for (struct page_group *group = interface->all, *next; group != NULL; group = next) {
                next = group->all_next;
                if (group->state == PAGE_OPEN && group->queue == queue && group->count != 0) {
                    queue->counts.lost += group->count;
                    ciommu_page_discard(group);
                }
            }
        }
    }
    ciommu_page_announce(queue);
}

/* A group that is complete and listed nowhere. */
static void complete(struct page_work *work, struct page_group *group) {
    struct ciommu_page_queue *queue = group->queue;
    uint32_t count = group->count;
    group->interface->counts.groups++;
    if (count > queue->config.pages) { /* it would never fit */
        ciommu_page_answer(work, group, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_NOBODY);
        return;
    }
    bool full = queue->places == queue->config.groups || count > queue->config.pages - queue->pages;
    if (full && ciommu_page_group_leader(queue, group) == NULL) {
        ciommu_page_group_drop_pages(group);
        overflow(queue);
        ciommu_page_answer(work, group, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OVERFLOW);
        return;
    }
    ciommu_page_enqueue(work, group);
}

static void place(struct page_group *group, const struct page_route *route) {
    group->queue = route->queue;
    group->serial = route->serial;
    group->space = route->space;
}

static void unlist_open(struct page_group *group) {
    page_list_remove(page_open_list(group->interface, group->pasid, group->index), group);
}

/* A part that does not join a group: the last one has it answered. */
static enum ciommu_status turn_down(struct page_work *work, struct ciommu_page_interface *interface,
                                    const struct ciommu_page_request *request, bool last,
                                    const struct page_route *route,
                                    const struct judgement *judgement) {
    struct page_group *open = ciommu_page_group_find(interface, request->pasid, request->group);
    if (!last) {
        interface->counts.dropped++;
        return CIOMMU_OK;
    }
    if (open != NULL) {
        interface->counts.dropped += open->count;
        unlist_open(open);
        ciommu_page_group_drop_pages(open);
    } else {
        open = ciommu_page_group_take(interface, request->pasid, request->group);
    }
    if (open == NULL) {
        return CIOMMU_NO_SPACE;
    }
    place(open, route);
    open->flags = request->flags & CIOMMU_PAGE_PRIVATE_DATA;
    open->private_data[0] = request->private_data[0];
    open->private_data[1] = request->private_data[1];
    interface->counts.groups++;
    ciommu_page_answer(work, open, judgement->code, judgement->cause);
    return CIOMMU_OK;
}

/* A part that joins its group, which it may begin or complete. */
static enum ciommu_status gather(struct page_work *work, struct ciommu_page_interface *interface,
                                 const struct ciommu_page_request *request, bool last,
                                 const struct page_route *route) {
    struct page_group *group = ciommu_page_group_find(interface, request->pasid, request->group);
    if (group != NULL && (group->queue != route->queue || group->serial != route->serial)) {
        ciommu_page_discard(group); /* of an attachment that is being detached */
        group = NULL;
    }
    bool fresh = group == NULL;
    if (fresh) {
        group = ciommu_page_group_take(interface, request->pasid, request->group);
        if (group == NULL) {
            return CIOMMU_NO_SPACE;
        }
        place(group, route);
    }
    enum ciommu_status status = ciommu_page_group_add(group, request->address, request->access);
    if (status == CIOMMU_NO_SPACE) {
        if (fresh) {
            ciommu_page_group_recycle(group);
        }
        return status;
    }
    interface->counts.repeated += status == CIOMMU_EXISTS;
    if (fresh && !last) {
        page_list_append(page_open_list(interface, group->pasid, group->index), group);
    } else if (!fresh && last) {
        unlist_open(group);
    }
    if (last) {
        group->flags = request->flags & CIOMMU_PAGE_PRIVATE_DATA;
        group->private_data[0] = request->private_data[0];
        group->private_data[1] = request->private_data[1];
        complete(work, group);
    }
    return CIOMMU_OK;
}

/* pages.lock. */
static enum ciommu_status take(struct page_work *work, struct ciommu_page_interface *interface,
                               const struct ciommu_page_request *request,
                               const struct page_route *route) {
    bool marked = (request->flags & CIOMMU_PAGE_LAST) != 0;
    bool last = request->flags != 0; /* private data makes it the last one too */
    const struct judgement judgement = judge(route, request->address, request->access, marked);
    if (judgement.silent) {
        interface->counts.stop_markers++;
        return CIOMMU_OK;
    }
    return judgement.fine ? gather(work, interface, request, last, route)
                          : turn_down(work, interface, request, last, route, &judgement);
}

static enum ciommu_status check(const struct ciommu_page_interface *interface,
                                const struct ciommu_port *port, uint32_t pasid) {
    if (interface == NULL || (pasid > CIOMMU_PASID_MAX && pasid != CIOMMU_NO_PASID) ||
        (port != NULL && port->unit != interface->unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (ports_wait_for_caller(&interface->unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    const struct ciommu_page_interface_config *config = &interface->config;
    bool mine = (config->flags & CIOMMU_PAGE_ALL_PASIDS) != 0 ||
                (pasid >= config->first_pasid && pasid <= config->last_pasid);
    return mine ? CIOMMU_OK : CIOMMU_NOT_OWNED;
}

/* What both ways to ask have in common: finds the route, then has the lock. An error, or a fault
 * of the guest's tables: it has not. */
static enum ciommu_status begin(struct ciommu_page_interface *interface, struct ciommu_port *port,
                                uint32_t pasid, uint64_t address, uint32_t access,
                                struct page_route *route) {
    struct pages *pages = &interface->unit->pages;
    enum page_verdict verdict = PAGE_NOT_ASKED;
    enum ciommu_status status = CIOMMU_OK;
    pthread_mutex_lock(&pages->lock);
    *route = ciommu_page_route(interface, pasid, verdict);
    uint64_t resets = pages->resets;
    bool asks = route->place == PAGE_AT_GUEST;
    while (asks) { /* again only if the unit was reset meanwhile */
        pthread_mutex_unlock(&pages->lock);
        status = ciommu_page_ask_guest(interface, port, pasid, address, access, &verdict);
        yield_point(CIOMMU_YIELD_PAGE_ASKED);
        pthread_mutex_lock(&pages->lock);
        *route = ciommu_page_route(interface, pasid, verdict);
        asks = pages->resets != resets && verdict == PAGE_ALLOWED;
        resets = pages->resets;
    }
    if (status == CIOMMU_OK && verdict == PAGE_FAULTED && route->serial == 0 &&
        route->place == PAGE_AT_NOTHING) {
        status = CIOMMU_FAULTED;
    }
    if (interface->ending) {
        status = CIOMMU_CLOSED;
    }
    if (status != CIOMMU_OK) {
        interface->counts.refused++;
        pthread_mutex_unlock(&pages->lock);
    }
    return status;
}

enum ciommu_status ciommu_page_request(struct ciommu_page_interface *interface,
                                       struct ciommu_port *port,
                                       const struct ciommu_page_request *request) {
    if (request == NULL || request->size < sizeof *request ||
        request->group > CIOMMU_PAGE_GROUP_MAX || (request->flags & ~FLAGS) != 0 ||
        (request->access & ~ACCESS) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = check(interface, port, request->pasid);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct page_work work = {.unit = interface->unit};
    struct page_route route;
    tracepoint_page_request(interface->config.source, request->pasid, request->address,
                            request->access, request->group);
    status = begin(interface, port, request->pasid, request->address, request->access, &route);
    if (status != CIOMMU_OK) {
        return status;
    }
    yield_point(CIOMMU_YIELD_PAGE_ROUTED);
    status = take(&work, interface, request, &route);
    interface->counts.requests += status == CIOMMU_OK;
    interface->counts.refused += status != CIOMMU_OK;
    ciommu_page_work_end(&work);
    return status;
}

/* ---- Whole groups ---- */

/* What its pages come to: the first that is not fine decides. */
static struct judgement judge_all(const struct page_route *route, const struct ciommu_page *pages,
                                  uint32_t count) {
    struct judgement judgement = {.fine = true};
    for (uint32_t page = 0; page < count && judgement.fine; page++) {
        judgement = judge(route, pages[page].address, pages[page].access, false);
        if (judgement.fine && (pages[page].access & RIGHTS) == 0) {
            judgement =
                (struct judgement){.code = CIOMMU_PAGE_INVALID, .cause = CIOMMU_PAGE_BY_RULE};
        }
    }
    return judgement;
}

static enum ciommu_status take_all(struct page_work *work, struct page_group *group,
                                   const struct page_route *route, const struct ciommu_page *pages,
                                   uint32_t count) {
    struct ciommu_page_interface *interface = group->interface;
    const struct judgement judgement = judge_all(route, pages, count);
    place(group, route);
    for (uint32_t page = 0; page < count && judgement.fine; page++) {
        enum ciommu_status status =
            ciommu_page_group_add(group, pages[page].address, pages[page].access);
        if (status == CIOMMU_NO_SPACE) {
            ciommu_page_group_recycle(group);
            return status;
        }
        interface->counts.repeated += status == CIOMMU_EXISTS;
    }
    if (judgement.fine) {
        complete(work, group);
    } else {
        interface->counts.groups++;
        ciommu_page_answer(work, group, judgement.code, judgement.cause);
    }
    return CIOMMU_OK;
}

enum ciommu_status ciommu_page_request_group(struct ciommu_page_interface *interface,
                                             struct ciommu_port *port, uint32_t pasid,
                                             const struct ciommu_page *pages, uint32_t count,
                                             ciommu_page_handler handler, void *context) {
    if (pages == NULL || count == 0 || handler == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    for (uint32_t page = 0; page < count; page++) {
        if ((pages[page].access & ~ACCESS) != 0) {
            return CIOMMU_INVALID_ARGUMENT;
        }
    }
    enum ciommu_status status = check(interface, port, pasid);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct page_work work = {.unit = interface->unit};
    struct page_route route;
    for (uint32_t page = 0; page < count; page++) {
        tracepoint_page_request(interface->config.source, pasid, pages[page].address,
                                pages[page].access, CIOMMU_NO_PAGE_GROUP);
    }
    status = begin(interface, port, pasid, pages[0].address, pages[0].access, &route);
    if (status != CIOMMU_OK) {
        return status;
    }
    yield_point(CIOMMU_YIELD_PAGE_ROUTED);
    struct page_group *group = ciommu_page_group_take(interface, pasid, CIOMMU_NO_PAGE_GROUP);
    status = CIOMMU_NO_SPACE;
    if (group != NULL) {
        group->handler = handler;
        group->context = context;
        status = take_all(&work, group, &route, pages, count);
    }
    interface->counts.requests += status == CIOMMU_OK ? count : 0;
    interface->counts.refused += status != CIOMMU_OK;
    ciommu_page_work_end(&work);
    return status;
}
