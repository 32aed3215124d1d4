/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_queue.c - the owner's side: making and ending a queue, reading groups, answering them,
 * overflow, and counters. The protocol stands in pages.h.
 */
#define _GNU_SOURCE
#include "alloc.h"
#include "page_answer.h"
#include "unit.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- Making ---- */

static enum ciommu_status check_config(const struct ciommu_unit *unit,
                                       const struct ciommu_domain *domain,
                                       const struct ciommu_page_queue_config *config) {
    if ((config->flags & ~CIOMMU_PAGE_QUEUE_NO_SHARING) != 0 || config->groups < 1 ||
        config->groups > PAGE_GROUPS_MOST || config->pages < 1 || config->pages > PAGE_PAGES_MOST ||
        config->timeout == 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (domain != NULL && domain->unit != unit) {
        return CIOMMU_OTHER_UNIT;
    }
    if (domain != NULL && domain->kind != CIOMMU_DOMAIN_PAGING &&
        domain->kind != CIOMMU_DOMAIN_NESTED) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool parent = domain != NULL && (domain->flags & CIOMMU_PAGING_NEST_PARENT) != 0;
    return unit->caps.page_request && !parent ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

/* Which addresses can be asked for. */
static void set_inputs(struct ciommu_page_queue *queue, const struct ciommu_domain *domain) {
    const struct vtd_caps *caps = &queue->unit->caps;
    if (domain == NULL) {
        queue->canonical = caps->first_5_level ? 57 : 48;
        queue->input_last = (UINT64_C(1) << caps->mgaw) - 1;
    } else if (domain->kind == CIOMMU_DOMAIN_NESTED) {
        queue->canonical = domain->space->shape.first.input_bits;
    } else {
        queue->input_last = domain->space->shape.second.input_last;
    }
}

static void discard(struct ciommu_page_queue *queue) {
    if (queue->descriptor >= 0) {
        (void)close(queue->descriptor);
    }
    ciommu_free(queue->by_cookie);
    ciommu_free(queue->by_hash);
    ciommu_free(queue);
}

static struct ciommu_page_queue *make(struct ciommu_unit *unit, struct ciommu_domain *domain,
                                      const struct ciommu_page_queue_config *config) {
    struct ciommu_page_queue *queue = ciommu_allocate(CACHE_LINE, sizeof *queue);
    uint32_t buckets = 1;
    while (buckets < config->groups) {
        buckets *= 2;
    }
    if (queue == NULL) {
        return NULL;
    }
    queue->unit = unit;
    queue->config = *config;
    queue->descriptor = -1;
    queue->domain = domain;
    queue->guest = domain == NULL;
    queue->shares = domain != NULL && (config->flags & CIOMMU_PAGE_QUEUE_NO_SHARING) == 0;
    queue->mask = buckets - 1;
    queue->by_cookie = ciommu_allocate(CACHE_LINE, buckets * sizeof *queue->by_cookie);
    queue->by_hash = ciommu_allocate(CACHE_LINE, buckets * sizeof *queue->by_hash);
    set_inputs(queue, domain);
    if (queue->by_cookie == NULL || queue->by_hash == NULL) {
        discard(queue);
        return NULL;
    }
    return queue;
}

enum ciommu_status ciommu_page_queue_create(struct ciommu_unit *unit, struct ciommu_domain *domain,
                                            const struct ciommu_page_queue_config *config,
                                            struct ciommu_page_queue **out) {
    if (unit == NULL || config == NULL || out == NULL || config->size < sizeof *config) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = check_config(unit, domain, config);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_page_queue *queue = make(unit, domain, config);
    if (queue == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    if (config->timeout != UINT64_MAX && config->clock == NULL) {
        status = ciommu_events_start(unit);
    }
    struct pages *pages = &unit->pages;
    pthread_mutex_lock(&pages->lock);
    struct ciommu_page_queue **home = domain == NULL ? &pages->guest : &domain->page_queue;
    if (status == CIOMMU_OK && *home != NULL) {
        status = CIOMMU_EXISTS;
    }
    if (status == CIOMMU_OK) {
        *home = queue;
        queue->next = pages->queues;
        pages->queues = queue;
        pages->count++;
    }
    pthread_mutex_unlock(&pages->lock);
    if (status != CIOMMU_OK) {
        discard(queue);
        return status;
    }
    *out = queue;
    return CIOMMU_OK;
}

/* ---- Ending ---- */

void ciommu_page_queue_close(struct ciommu_page_queue *queue) {
    if (queue == NULL) {
        return;
    }
    struct pages *pages = &queue->unit->pages;
    struct page_target target = {
        .everybody = true, .last = UINT64_MAX, .only = queue, .queue = queue};
    pthread_mutex_lock(&pages->lock);
    if (!queue->closed) {
        queue->closed = true;
        *(queue->guest ? &pages->guest : &queue->domain->page_queue) = NULL;
        queue->domain = NULL;
        ciommu_page_signal(queue);
    }
    queue->users++; /* for ciommu_pages_cancel */
    pthread_mutex_unlock(&pages->lock);
    ciommu_pages_cancel(queue->unit, &target);
}

void ciommu_page_queue_destroy(struct ciommu_page_queue *queue) {
    if (queue == NULL) {
        return;
    }
    struct pages *pages = &queue->unit->pages;
    const struct page_target target = {.everybody = true, .last = UINT64_MAX, .only = queue};
    ciommu_page_queue_close(queue);
    pthread_mutex_lock(&pages->lock);
    while (queue->users != 0) {
        pthread_cond_wait(&pages->moved, &pages->lock);
    }
    for (struct ciommu_page_queue **link = &pages->announcing; *link != NULL;) {
        if (*link == queue) {
            *link = queue->announcing;
            break;
        }
        link = &(*link)->announcing;
    }
    ciommu_page_drain(pages, &target); /* calls of ready that began meanwhile */
    struct ciommu_page_queue **link = &pages->queues;
    while (*link != queue) {
        link = &(*link)->next;
    }
    *link = queue->next;
    pages->count--;
    pthread_mutex_unlock(&pages->lock);
    discard(queue);
}

/* ---- Reading ---- */

static void copy_pages(const struct page_group *group, struct ciommu_page *out) {
    const struct page_item *items = group->interface->items;
    for (uint32_t page = group->first_page; page != PAGE_NONE; page = items[page].next) {
        *out++ = (struct ciommu_page){.address = items[page].address, .access = items[page].access};
    }
}

/* pages.lock. */
static void deliver(struct ciommu_page_queue *queue, struct page_group *group,
                    struct ciommu_page_group *out) {
    page_list_remove(&queue->queued, group);
    group->state = PAGE_READ;
    group->cookie = ++queue->last_cookie;
    group->bucket_next = queue->by_cookie[group->cookie & queue->mask];
    queue->by_cookie[group->cookie & queue->mask] = group;
    queue->counts.reads++;
    out->source = group->interface->config.source;
    out->pasid = group->pasid;
    out->group = group->index;
    out->flags = group->flags;
    out->reserved = 0;
    out->cookie = group->cookie;
    out->device = group->interface->config.device;
    memcpy(out->private_data, group->private_data, sizeof out->private_data);
    out->deadline = group->deadline;
    copy_pages(group, out->pages);
}

/* pages.lock. Whatever is late is answered before the owner sees it. */
static void expire(struct page_work *work, struct ciommu_page_queue *queue) {
    if (queue->oldest != NULL && queue->oldest->deadline != UINT64_MAX) {
        (void)ciommu_page_expire_queue(work, queue, ciommu_page_now(queue));
    }
}

enum ciommu_status ciommu_page_read(struct ciommu_page_queue *queue,
                                    struct ciommu_page_group *out) {
    if (queue == NULL || out == NULL || out->size < sizeof *out ||
        (out->pages == NULL && out->capacity != 0)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct page_work work = {.unit = queue->unit};
    enum ciommu_status status = CIOMMU_OK;
    pthread_mutex_lock(&queue->unit->pages.lock);
    expire(&work, queue);
    struct page_group *group = queue->queued.first;
    if (queue->closed) {
        status = CIOMMU_CLOSED;
    } else if (group == NULL) {
        status = CIOMMU_NOT_FOUND;
    } else {
        out->count = group->count;
        status = group->count > out->capacity ? CIOMMU_NO_SPACE : CIOMMU_OK;
    }
    if (status == CIOMMU_OK) {
        deliver(queue, group, out);
    }
    ciommu_page_signal(queue);
    ciommu_page_work_end(&work);
    return status;
}

/* ---- Answering ---- */

static struct page_group *find_cookie(const struct ciommu_page_queue *queue, uint64_t cookie) {
    struct page_group *group = queue->by_cookie[cookie & queue->mask];
    while (group != NULL && group->cookie != cookie) {
        group = group->bucket_next;
    }
    return group;
}

#ifdef CIOMMU_INTERNAL_CHECKS
/* What a queue would do that forgets what it answered; the test has one device. */
static bool answers_twice(struct page_work *work, struct ciommu_page_queue *queue) {
    struct ciommu_page_interface *interface = NULL;
    for (uint32_t bucket = 0; bucket < PAGE_BUCKETS && interface == NULL; bucket++) {
        interface = queue->unit->pages.interfaces[bucket];
    }
    struct page_group *group =
        interface == NULL ? NULL : ciommu_page_group_take(interface, CIOMMU_NO_PASID, 0);
    if (group != NULL) {
        ciommu_page_answer(work, group, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER);
    }
    return group != NULL;
}
#else
static bool answers_twice(struct page_work *work, struct ciommu_page_queue *queue) {
    (void)work;
    (void)queue;
    return false;
}
#endif

enum ciommu_status ciommu_page_respond(struct ciommu_page_queue *queue, uint64_t cookie,
                                       enum ciommu_page_code code) {
    if (queue == NULL || (uint32_t)code > CIOMMU_PAGE_FAILURE) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct page_work work = {.unit = queue->unit};
    enum ciommu_status status = CIOMMU_OK;
    pthread_mutex_lock(&queue->unit->pages.lock);
    expire(&work, queue);
    struct page_group *group = find_cookie(queue, cookie);
    if (group != NULL) {
        ciommu_page_answer(&work, group, code, CIOMMU_PAGE_BY_OWNER);
    } else if (cookie == 0 || cookie > queue->last_cookie) {
        status = CIOMMU_NOT_FOUND;
    } else if (!MUTANT(PAGE_ANSWERED_TWICE) || !answers_twice(&work, queue)) {
        queue->counts.late++;
        status = CIOMMU_ALREADY_ANSWERED;
    }
    ciommu_page_work_end(&work);
    return status;
}

enum ciommu_status ciommu_page_respond_by_group(struct ciommu_page_queue *queue, uint32_t source,
                                                uint32_t pasid, uint32_t index,
                                                enum ciommu_page_code code) {
    if (queue == NULL || (uint32_t)code > CIOMMU_PAGE_FAILURE || index > CIOMMU_PAGE_GROUP_MAX) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct page_work work = {.unit = queue->unit};
    pthread_mutex_lock(&queue->unit->pages.lock);
    expire(&work, queue);
    struct page_group *group = queue->oldest;
    while (group != NULL && (group->state != PAGE_READ || group->index != index ||
                             group->pasid != pasid || group->interface->config.source != source)) {
        group = group->newer;
    }
    if (group != NULL) {
        ciommu_page_answer(&work, group, code, CIOMMU_PAGE_BY_OWNER);
    }
    ciommu_page_work_end(&work);
    return group != NULL ? CIOMMU_OK : CIOMMU_NOT_FOUND;
}

bool ciommu_page_is_open(struct ciommu_page_queue *queue, uint64_t cookie) {
    if (queue == NULL) {
        return false;
    }
    pthread_mutex_lock(&queue->unit->pages.lock);
    const struct page_group *group = find_cookie(queue, cookie);
    /* One that is late is left to whoever may call its handler. */
    bool open = group != NULL &&
                (group->deadline == UINT64_MAX || group->deadline > ciommu_page_now(queue));
    pthread_mutex_unlock(&queue->unit->pages.lock);
    return open;
}

/* ---- Overflow, descriptor, counters ---- */

bool ciommu_page_queue_overflowed(const struct ciommu_page_queue *queue) {
    if (queue == NULL) {
        return false;
    }
    pthread_mutex_lock(&queue->unit->pages.lock);
    bool overflowed = queue->overflowed;
    pthread_mutex_unlock(&queue->unit->pages.lock);
    return overflowed;
}

void ciommu_page_queue_acknowledge(struct ciommu_page_queue *queue) {
    if (queue != NULL) {
        pthread_mutex_lock(&queue->unit->pages.lock);
        queue->overflowed = false;
        ciommu_page_signal(queue);
        pthread_mutex_unlock(&queue->unit->pages.lock);
    }
}

int ciommu_page_queue_descriptor(struct ciommu_page_queue *queue) {
    if (queue == NULL) {
        return -1;
    }
    pthread_mutex_lock(&queue->unit->pages.lock);
    if (queue->descriptor < 0) {
        queue->descriptor = ciommu_is_denied() ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ciommu_page_signal(queue);
    }
    int descriptor = queue->descriptor;
    pthread_mutex_unlock(&queue->unit->pages.lock);
    return descriptor;
}

void ciommu_page_queue_read_statistics(const struct ciommu_page_queue *queue,
                                       struct ciommu_page_queue_statistics *out) {
    if (queue == NULL || out == NULL) {
        return;
    }
    pthread_mutex_lock(&queue->unit->pages.lock);
    struct ciommu_page_queue_statistics sum = queue->counts;
    for (const struct page_group *group = queue->queued.first; group != NULL; group = group->next) {
        sum.queued++;
    }
    sum.delivered = queue->places - sum.queued;
    pthread_mutex_unlock(&queue->unit->pages.lock);
    uint32_t size = out->size;
    sum.size = size;
    memcpy(out, &sum, size < sizeof sum ? size : sizeof sum);
}
