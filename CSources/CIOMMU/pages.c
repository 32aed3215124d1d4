/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pages.c - the page requests of a unit as a whole: what detach, reset and the end of objects
 * cancel, and deadlines. The protocol stands in pages.h.
 */
#include "page_answer.h"
#include "unit.h"

void ciommu_pages_init(struct pages *pages) {
    pthread_mutex_init(&pages->lock, NULL);
    pthread_cond_init(&pages->moved, NULL);
}

void ciommu_pages_fini(struct pages *pages) {
    pthread_cond_destroy(&pages->moved);
    pthread_mutex_destroy(&pages->lock);
}

bool ciommu_pages_used(struct ciommu_unit *unit) {
    pthread_mutex_lock(&unit->pages.lock);
    bool used = unit->pages.count != 0;
    pthread_mutex_unlock(&unit->pages.lock);
    return used;
}

/* ---- Pins ---- */

struct ciommu_page_queue *ciommu_pages_pin(struct ciommu_unit *unit, struct ciommu_domain *domain) {
    struct pages *pages = &unit->pages;
    pthread_mutex_lock(&pages->lock);
    struct ciommu_page_queue *queue = domain == NULL ? pages->guest : domain->page_queue;
    if (queue != NULL) {
        queue->users++;
    }
    pthread_mutex_unlock(&pages->lock);
    return queue;
}

/* pages.lock. */
static void unpin(struct pages *pages, struct ciommu_page_queue *queue) {
    if (--queue->users == 0) {
        pthread_cond_broadcast(&pages->moved);
    }
}

/* ---- Cancelling ---- */

/* pages.lock. */
static void answer_interface(struct page_work *work, const struct page_target *target,
                             struct ciommu_page_interface *interface) {
    for (struct page_group *group = interface->all, *next; group != NULL; group = next) {
        next = group->all_next;
        if (!ciommu_page_is_meant(target, interface, group->serial, group->queue)) {
            continue;
        }
        if (group->state == PAGE_OPEN) {
            ciommu_page_discard(group);
        } else if (group->state < PAGE_ANSWERED) {
            ciommu_page_answer(work, group, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH);
        }
    }
}

/* pages.lock. */
static void answer_all(struct page_work *work, const struct page_target *target) {
    struct pages *pages = &work->unit->pages;
    for (uint32_t bucket = 0; bucket < PAGE_BUCKETS; bucket++) {
        if (!target->everybody && bucket != target->source % PAGE_BUCKETS) {
            continue;
        }
        for (struct ciommu_page_interface *interface = pages->interfaces[bucket]; interface != NULL;
             interface = interface->next) {
            answer_interface(work, target, interface);
        }
    }
}

/* pages.lock, which it leaves meanwhile. The queue is pinned. */
static void retire(struct pages *pages, struct ciommu_page_queue *queue,
                   const struct page_target *target) {
    if (queue->config.retire != NULL) {
        pthread_mutex_unlock(&pages->lock);
        queue->config.retire(queue->config.context, target->device, target->everybody);
        pthread_mutex_lock(&pages->lock);
    }
}

/* pages.lock, which it leaves meanwhile. */
static void retire_everywhere(struct pages *pages, const struct page_target *target) {
    for (struct ciommu_page_queue *queue = pages->queues, *next; queue != NULL; queue = next) {
        queue->users++; /* so that it stays in the list */
        retire(pages, queue, target);
        next = queue->next;
        unpin(pages, queue);
    }
}

void ciommu_pages_answer(struct ciommu_unit *unit, const struct page_target *target) {
    struct page_work work = {.unit = unit};
    pthread_mutex_lock(&unit->pages.lock);
    unit->pages.resets += target->everybody && target->first == 0 && target->only == NULL;
    answer_all(&work, target);
    ciommu_page_work_end(&work);
}

void ciommu_pages_cancel(struct ciommu_unit *unit, struct page_target *target) {
    if (target->nothing) {
        return;
    }
    struct pages *pages = &unit->pages;
    if (!MUTANT(PAGE_CANCEL_FIRST)) {
        ciommu_pages_answer(unit, target);
    }
    pthread_mutex_lock(&pages->lock);
    if (target->everywhere) {
        retire_everywhere(pages, target);
    } else if (target->queue != NULL) {
        retire(pages, target->queue, target);
        unpin(pages, target->queue);
        target->queue = NULL;
    }
    ciommu_page_drain(pages, target);
    pthread_mutex_unlock(&pages->lock);
}

void ciommu_pages_end_domain(struct ciommu_domain *domain) {
    struct pages *pages = &domain->unit->pages;
    struct ciommu_page_queue *queue = ciommu_pages_pin(domain->unit, domain);
    if (queue != NULL) {
        ciommu_page_queue_close(queue);
        pthread_mutex_lock(&pages->lock);
        unpin(pages, queue);
        pthread_mutex_unlock(&pages->lock);
    }
}

/* ---- Deadlines ---- */

/* Queues in turn, under one lock: their number is small. */
uint64_t ciommu_pages_expire(struct ciommu_unit *unit, bool all) {
    struct page_work work = {.unit = unit};
    uint64_t least = UINT64_MAX;
    pthread_mutex_lock(&unit->pages.lock);
    for (struct ciommu_page_queue *queue = unit->pages.queues; queue != NULL; queue = queue->next) {
        bool ours = all || queue->config.clock == NULL;
        if (!ours || queue->oldest == NULL || queue->oldest->deadline == UINT64_MAX) {
            continue;
        }
        uint64_t now = ciommu_page_now(queue);
        (void)ciommu_page_expire_queue(&work, queue, now);
        if (queue->oldest != NULL && queue->oldest->deadline - now < least) {
            least = queue->oldest->deadline - now;
        }
    }
    ciommu_page_work_end(&work);
    return least;
}
