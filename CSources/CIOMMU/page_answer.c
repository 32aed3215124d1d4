/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_answer.c - see page_answer.h.
 */
#define _GNU_SOURCE
#include "page_answer.h"
#include "tracepoints.h"
#include "unit.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- The queue's side ---- */

uint64_t ciommu_page_now(const struct ciommu_page_queue *queue) {
    if (queue->config.clock != NULL) {
        return queue->config.clock(queue->config.clock_context);
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static uint32_t latency_class(uint64_t begun, uint64_t now) {
    uint64_t time = now > begun ? now - begun : 0;
    uint32_t lg2 = time == 0 ? 0 : 63 - (uint32_t)__builtin_clzll(time);
    return lg2 < PAGE_LATENCIES ? lg2 : PAGE_LATENCIES - 1;
}

void ciommu_page_signal(struct ciommu_page_queue *queue) {
    bool wanted = queue->queued.first != NULL || queue->overflowed || queue->closed;
    uint64_t word = 1;
    if (queue->descriptor >= 0 && wanted != queue->signalled) {
        ssize_t moved = wanted ? write(queue->descriptor, &word, sizeof word)
                               : read(queue->descriptor, &word, sizeof word);
        (void)moved;
        queue->signalled = wanted;
    }
}

void ciommu_page_announce(struct ciommu_page_queue *queue) {
    struct pages *pages = &queue->unit->pages;
    if (queue->config.ready != NULL && !queue->announces) {
        queue->announces = true;
        queue->announcing = pages->announcing;
        pages->announcing = queue;
    }
    ciommu_page_signal(queue);
}

/* By deadline: mostly at the end. */
static void enter_ages(struct ciommu_page_queue *queue, struct page_group *group) {
    struct page_group *before = queue->newest;
    while (before != NULL && before->deadline > group->deadline) {
        before = before->older;
    }
    group->older = before;
    group->newer = before != NULL ? before->newer : queue->oldest;
    *(before != NULL ? &before->newer : &queue->oldest) = group;
    *(group->newer != NULL ? &group->newer->older : &queue->newest) = group;
}

static void leave_ages(struct ciommu_page_queue *queue, struct page_group *group) {
    *(group->older != NULL ? &group->older->newer : &queue->oldest) = group->newer;
    *(group->newer != NULL ? &group->newer->older : &queue->newest) = group->older;
}

void ciommu_page_enqueue(struct page_work *work, struct page_group *group) {
    struct ciommu_page_queue *queue = group->queue;
    uint64_t timeout = queue->config.timeout;
    group->begun = ciommu_page_now(queue);
    group->deadline = timeout > UINT64_MAX - group->begun ? UINT64_MAX : group->begun + timeout;
    enter_ages(queue, group);
    work->wake =
        queue->oldest == group && group->deadline != UINT64_MAX && queue->config.clock == NULL;
    queue->counts.groups++;
    struct page_group *leader = ciommu_page_group_leader(queue, group);
    if (leader != NULL) {
        group->state = PAGE_FOLLOWING;
        group->leader = leader;
        page_list_append(&leader->followers, group);
        queue->counts.followers++;
        group->interface->counts.followers++;
        return;
    }
    group->state = PAGE_QUEUED;
    page_list_append(&queue->queued, group);
    ciommu_page_group_list(group);
    queue->places++;
    queue->pages += group->count;
    if (queue->places > queue->counts.high_water) {
        queue->counts.high_water = queue->places;
    }
    ciommu_page_announce(queue);
}

static void leave_cookies(struct ciommu_page_queue *queue, struct page_group *group) {
    struct page_group **link = &queue->by_cookie[group->cookie & queue->mask];
    while (*link != group) {
        link = &(*link)->bucket_next;
    }
    *link = group->bucket_next;
}

/* A follower goes; whoever comes to an end of the list by that has to know the leader. */
static void leave_leader(struct page_group *group) {
    struct page_group *previous = group->previous;
    struct page_group *next = group->next;
    if (previous != NULL && next != NULL) {
        struct page_list between = {NULL, NULL};
        page_list_remove(&between, group); /* touches its neighbours alone */
        return;
    }
    struct page_group *end = previous != NULL ? previous : next;
    page_list_remove(&group->leader->followers, group);
    if (end != NULL) {
        end->leader = group->leader;
    }
}

/* The first follower takes the leader's place; the others follow it. The leader is in no bucket.
 */
static void promote(struct ciommu_page_queue *queue, struct page_group *leader) {
    struct page_group *heir = leader->followers.first;
    page_list_remove(&leader->followers, heir);
    if (leader->state == PAGE_QUEUED) {
        page_list_exchange(&queue->queued, leader, heir);
    } else {
        page_list_append(&queue->queued, heir);
    }
    heir->state = PAGE_QUEUED;
    heir->leader = NULL;
    heir->followers = leader->followers;
    leader->followers = (struct page_list){NULL, NULL};
    if (heir->followers.first != NULL) {
        heir->followers.first->leader = heir;
        heir->followers.last->leader = heir;
    }
    ciommu_page_group_list(heir);
    queue->counts.promoted++;
    ciommu_page_announce(queue);
}

/* Takes a complete group out of its queue. */
static void leave_queue(struct page_group *group, bool by_owner) {
    struct ciommu_page_queue *queue = group->queue;
    leave_ages(queue, group);
    if (group->state == PAGE_FOLLOWING) {
        leave_leader(group);
        return;
    }
    ciommu_page_group_unlist(group);
    if (group->state == PAGE_READ) {
        leave_cookies(queue, group);
    }
    if (!by_owner && group->followers.first != NULL) {
        promote(queue, group); /* as many pages: places and pages stay */
        return;
    }
    if (group->state == PAGE_QUEUED) {
        page_list_remove(&queue->queued, group);
    }
    queue->places--;
    queue->pages -= group->count;
    ciommu_page_signal(queue);
}

static void count_cause(struct page_group *group, enum ciommu_page_cause cause,
                        enum ciommu_page_code code) {
    struct ciommu_page_queue *queue = group->queue;
    uint32_t class = latency_class(group->begun, ciommu_page_now(queue));
    group->interface->counts.latency[class]++;
    switch (cause) {
    case CIOMMU_PAGE_BY_OWNER:
        queue->counts.responses[code]++;
        queue->counts.latency[class]++;
        break;
    case CIOMMU_PAGE_BY_DEADLINE:
        queue->counts.timeouts++;
        break;
    default:
        queue->counts.cancelled++;
    }
}

/* ---- Answers ---- */

static void answer_one(struct page_work *work, struct page_group *group, enum ciommu_page_code code,
                       enum ciommu_page_cause cause) {
    struct ciommu_page_interface *interface = group->interface;
    group->state = PAGE_ANSWERED;
    group->code = code;
    group->cause = cause;
    group->work = work;
    interface->counts.open--;
    interface->counts.answers[code]++;
    interface->counts.causes[cause]++;
    ciommu_page_group_drop_pages(group);
    page_list_append(&work->answered, group);
}

void ciommu_page_answer(struct page_work *work, struct page_group *group,
                        enum ciommu_page_code code, enum ciommu_page_cause cause) {
    ciommu_assert(group->state >= PAGE_OPEN && group->state <= PAGE_FOLLOWING);
    bool by_owner = cause == CIOMMU_PAGE_BY_OWNER;
    if (group->state != PAGE_OPEN) {
        count_cause(group, cause, code);
        leave_queue(group, by_owner);
    }
    struct page_list followers = group->followers;
    group->followers = (struct page_list){NULL, NULL};
    answer_one(work, group, code, cause);
    while (followers.first != NULL &&
           !MUTANT(PAGE_FOLLOWERS_FORGOTTEN)) { /* none is left but for the owner's answer */
        struct page_group *follower = followers.first;
        page_list_remove(&followers, follower);
        leave_ages(follower->queue, follower);
        count_cause(follower, cause, code);
        answer_one(work, follower, code, cause);
    }
}

void ciommu_page_discard(struct page_group *group) {
    struct ciommu_page_interface *interface = group->interface;
    interface->counts.dropped += group->count;
    page_list_remove(page_open_list(interface, group->pasid, group->index), group);
    ciommu_page_group_recycle(group);
}

bool ciommu_page_expire_queue(struct page_work *work, struct ciommu_page_queue *queue,
                              uint64_t now) {
    bool any = false;
    while (queue->oldest != NULL && queue->oldest->deadline != UINT64_MAX &&
           queue->oldest->deadline <= now) {
        ciommu_page_answer(work, queue->oldest, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE);
        any = true;
    }
    return any;
}

/* ---- Calls ---- */

static void begin_call(struct pages *pages, struct page_call *call) {
    call->thread = pthread_self();
    call->next = pages->calls;
    pages->calls = call;
    pthread_mutex_unlock(&pages->lock);
}

static void end_call(struct pages *pages, struct page_call *call) {
    pthread_mutex_lock(&pages->lock);
    struct page_call **link = &pages->calls;
    while (*link != call) {
        link = &(*link)->next;
    }
    *link = call->next;
    pthread_cond_broadcast(&pages->moved);
}

/* Takes a group in state ANSWERED from whoever answered it, and calls its handler. */
static void call_group(struct pages *pages, struct page_group *group) {
    struct ciommu_page_interface *interface = group->interface;
    const struct ciommu_page_answer answer = {
        .size = sizeof answer,
        .code = group->code,
        .cause = group->cause,
        .source = interface->config.source,
        .pasid = group->pasid,
        .group = group->index,
        .flags = group->flags,
        .private_data = {group->private_data[0], group->private_data[1]},
        .device = interface->config.device,
    };
    struct page_call call = {.interface = interface, .serial = group->serial, .of = group->queue};
    tracepoint_page_response(answer.source, answer.pasid, answer.group, answer.code);
    page_list_remove(&group->work->answered, group);
    group->work = NULL;
    group->state = PAGE_CALLED;
    interface->calls++;
    begin_call(pages, &call);
    group->handler(group->context, &answer);
    end_call(pages, &call); /* wakes whoever waits; the lock is held until the group is free */
    interface->calls--;
    ciommu_page_group_recycle(group);
}

void ciommu_page_work_end(struct page_work *work) {
    struct pages *pages = &work->unit->pages;
    if (work->wake) {
        /* Before any call, which may take longer than the deadline; and with the lock, or the
         * event thread could make that call itself. */
        events_wake(&work->unit->events);
    }
    while (work->answered.first != NULL) {
        call_group(pages, work->answered.first);
    }
    while (pages->announcing != NULL) {
        struct ciommu_page_queue *queue = pages->announcing;
        struct page_call call = {.queue = queue};
        pages->announcing = queue->announcing;
        queue->announces = false;
        if (queue->closed) { /* whoever closed it waits for no call that begins later */
            continue;
        }
        begin_call(pages, &call);
        queue->config.ready(queue->config.context);
        end_call(pages, &call);
    }
    pthread_mutex_unlock(&pages->lock);
}

/* ---- Drains ---- */

bool ciommu_page_is_meant(const struct page_target *target,
                          const struct ciommu_page_interface *interface, uint64_t serial,
                          const struct ciommu_page_queue *queue) {
    const struct ciommu_page_interface_config *config = &interface->config;
    bool device =
        target->everybody || (config->device == target->device && config->source == target->source);
    return device && serial >= target->first && serial <= target->last &&
           (target->interface == NULL || target->interface == interface) &&
           (target->only == NULL || target->only == queue);
}

/* A group that is answered and meant, and that nobody has begun to call. */
static struct page_group *find_uncalled(const struct pages *pages,
                                        const struct page_target *target) {
    for (uint32_t bucket = 0; bucket < PAGE_BUCKETS; bucket++) {
        if (!target->everybody && bucket != target->source % PAGE_BUCKETS) {
            continue;
        }
        for (const struct ciommu_page_interface *interface = pages->interfaces[bucket];
             interface != NULL; interface = interface->next) {
            for (struct page_group *group = interface->all; group != NULL;
                 group = group->all_next) {
                if (group->state == PAGE_ANSWERED &&
                    ciommu_page_is_meant(target, interface, group->serial, group->queue)) {
                    return group;
                }
            }
        }
    }
    return NULL;
}

/* Is another thread in a call that is meant, and not in a drain? */
static bool is_called_elsewhere(const struct pages *pages, const struct page_target *target) {
    pthread_t self = pthread_self();
    for (const struct page_call *call = pages->calls; call != NULL; call = call->next) {
        bool meant = call->interface != NULL
                         ? ciommu_page_is_meant(target, call->interface, call->serial, call->of)
                         : target->only == call->queue;
        if (meant && call->waits == 0 && !pthread_equal(call->thread, self)) {
            return true;
        }
    }
    return false;
}

/* Marks this thread's calls, which others then do not wait for. */
static void mark_waiting(struct pages *pages, uint32_t by) {
    pthread_t self = pthread_self();
    for (struct page_call *call = pages->calls; call != NULL; call = call->next) {
        if (pthread_equal(call->thread, self)) {
            call->waits += by;
        }
    }
}

void ciommu_page_drain(struct pages *pages, const struct page_target *target) {
    mark_waiting(pages, 1);
    pthread_cond_broadcast(&pages->moved);
    for (;;) {
        struct page_group *group = find_uncalled(pages, target);
        if (group != NULL) {
            call_group(pages, group);
        } else if (is_called_elsewhere(pages, target)) {
            pthread_cond_wait(&pages->moved, &pages->lock);
        } else {
            break;
        }
    }
    mark_waiting(pages, (uint32_t)-1);
}

void ciommu_page_wait_for_calls(struct pages *pages,
                                const struct ciommu_page_interface *interface) {
    mark_waiting(pages, 1);
    pthread_cond_broadcast(&pages->moved);
    while (interface->calls != 0) {
        pthread_cond_wait(&pages->moved, &pages->lock);
    }
    mark_waiting(pages, (uint32_t)-1);
}
