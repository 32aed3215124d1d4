/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pages.h - page requests: a device's interface gathers parts into groups, the queue of an
 * address space's owner hands whole groups out, and each is answered once. Where a request
 * belongs stands in page_route.h; who answers and who is told in page_answer.h.
 *
 * Protocol (page requests)
 *   State        all of it under one lock a unit, `pages.lock`: page requests are no hot path. It
 *                is taken after the table lock, never before it, and no handler is called under
 *                it (a queue's clock is; it calls nothing).
 *   A group      FREE -> OPEN (parts come) -> QUEUED -> READ -> ANSWERED -> CALLED -> FREE.
 *                From OPEN it may be discarded, or answered with its last part; from QUEUED and
 *                READ it is answered, once: the step to ANSWERED is taken under the lock, from
 *                these states alone. FOLLOWING stands beside QUEUED: the group rides on a leader,
 *                takes no place in the queue and is answered with it. If the leader is answered by
 *                anything but its owner, the first follower takes its place.
 *   Calls        who answers groups calls their handlers after it has left the lock (ANSWERED ->
 *                CALLED -> FREE), in the order in which it answered them. A drain calls those
 *                that others answered and have not begun to call itself, and waits for calls in
 *                other threads, but for threads that are in a drain too: they could be waiting
 *                for this one. Whoever begins a call takes the group out of the list of the
 *                thread that answered it, which so has nothing of it any more.
 *   Attachments  a request looks its attachment up while it holds pages.lock, and the group keeps
 *                the attachment's serial. A changer unpublishes (table lock), settles, and only
 *                then takes pages.lock and cancels the groups of what it unpublished: a request
 *                that found the old attachment had the lock before and is cancelled; one that
 *                takes the lock later finds what is attached now. So nothing slips through, and
 *                no group of a new attachment is cancelled with those of an old one.
 *   Root table   is asked without the lock, in a section. A reset changes it, and counts itself
 * when it cancels: a request that finds the count moved asks again, any other one has the lock
 * before the reset cancels. Domains      a lookup goes on to the domain's queue under the same
 * lock. Destroying a domain takes pages.lock after its last attachment was unpublished and before
 * it is freed. Cookies      count up in each queue and are given by a read: one that is not above
 * the last and leads to no group in READ was answered before. Memory       all of it is the
 * interface's and the queue's own since their creation: a request, an answer, a detach need none.
 *   Removal      an interface or a queue is freed when it is in no list and no thread is in a
 *                call for it, or has pinned it (`users`). The end of an interface waits for calls
 *                in threads that are in a drain, too; like a drain, it is not waited for.
 *   Guarantee    after a detach (reset, close, ...) has returned, every group that was accepted
 *                for what it ended has been answered, its handler has returned, and none begins
 *                later; but for those in whose handlers the detach was called, and what they wait
 *                for.
 */
#ifndef CIOMMU_PAGES_INTERNAL_H
#define CIOMMU_PAGES_INTERNAL_H

#include "ciommu_pages.h"
#include "debug.h"

#include <pthread.h>

#define PAGE_GROUPS_MOST 65536u
#define PAGE_PAGES_MOST 1048576u
#define PAGE_BUCKETS 256u
#define PAGE_LATENCIES 40u
#define PAGE_NONE UINT32_MAX
#define PAGE_OPEN_LISTS 64u

/* Pages of a group that are compared with the later ones. */
#define PAGE_COMPARED 64u

/* Groups of more pages do not follow: comparing them costs more than it saves. */
#define PAGE_FOLLOW_MOST 16u

enum page_state {
    PAGE_FREE = 0,
    PAGE_OPEN,
    PAGE_QUEUED,
    PAGE_READ,
    PAGE_FOLLOWING,
    PAGE_ANSWERED,
    PAGE_CALLED
};

/* A page of a group, in the interface's pool. */
struct page_item {
    uint64_t address;
    uint32_t access;
    uint32_t next; /* PAGE_NONE: the last */
};

/* A list by both ends; links are named by the one who uses it. */
struct page_list {
    struct page_group *first;
    struct page_group *last;
};

struct page_group {
    struct ciommu_page_interface *interface; /* constant */
    enum page_state state;
    uint32_t pasid;
    uint32_t index; /* CIOMMU_NO_PAGE_GROUP: asked for as a whole */
    uint32_t flags; /* CIOMMU_PAGE_PRIVATE_DATA */
    uint32_t count; /* of pages */
    uint32_t first_page;
    uint32_t last_page;
    uint64_t private_data[2];
    ciommu_page_handler handler; /* its own, or the interface's */
    void *context;

    /* Where it belongs, from its first part on. */
    struct ciommu_page_queue *queue; /* NULL: not in one (any more) */
    uint64_t serial;                 /* of the attachment or bound table; 0: the root table */
    uint32_t space;                  /* CIOMMU_NO_PASID, or the PASID if it tells address spaces of
                                        the queue apart */

    /* Complete. */
    uint64_t begun; /* by the queue's clock */
    uint64_t deadline;
    uint64_t cookie;
    uint64_t hash;             /* of its pages */
    struct page_group *leader; /* of the first and the last in its `followers`; else unknown, so
                                  that a crowd gets another leader in one step */
    struct page_list followers;

    /* Answered. */
    uint32_t code;
    uint32_t cause;
    struct page_work *work; /* in whose list it is; NULL: called */

    struct page_group *all_next; /* of the interface, all but FREE ones; FREE ones: the free list */
    struct page_group *all_previous;
    struct page_group *next; /* OPEN: the interface's; QUEUED: the queue's; FOLLOWING: the leader's;
                                ANSWERED: the answering thread's */
    struct page_group *previous;
    struct page_group *older; /* of the queue, by deadline; followers too */
    struct page_group *newer;
    struct page_group *bucket_next; /* READ: by cookie */
    struct page_group *match_next;  /* leaders: by hash */
};

struct ciommu_page_interface {
    struct ciommu_unit *unit; /* constant, like all up to `items` */
    struct ciommu_page_interface_config config;
    struct page_group *groups;
    struct page_item *items;

    /* pages.lock */
    bool ending;
    uint32_t calls; /* of handlers, in progress */
    uint32_t free_items;
    struct page_group *free;
    struct page_group *all; /* oldest first */
    struct page_group *all_last;
    struct page_list open[PAGE_OPEN_LISTS]; /* by name */
    struct ciommu_page_interface *next;     /* of the bucket */
    struct ciommu_page_interface_statistics counts;
};

struct ciommu_page_queue {
    struct ciommu_unit *unit; /* constant, like all up to `mask` */
    struct ciommu_page_queue_config config;
    uint64_t input_last; /* the last input address; */
    uint32_t canonical;  /* bits of canonical addresses; 0: they end with input_last */
    bool shares;         /* groups may follow */
    uint32_t mask;
    struct page_group **by_cookie; /* mask + 1 each; pages.lock */
    struct page_group **by_hash;

    /* pages.lock */
    struct ciommu_domain *domain; /* NULL: of the guest's tables, or closed */
    bool guest;                   /* constant */
    bool closed;
    bool overflowed;
    bool announces; /* ready is to be called */
    uint32_t users;
    int descriptor; /* eventfd; -1: none */
    bool signalled;
    uint64_t last_cookie;
    uint32_t places; /* groups in QUEUED and READ, */
    uint32_t pages;  /* and their pages */
    struct page_list queued;
    struct page_group *oldest; /* by deadline */
    struct page_group *newest;
    struct ciommu_page_queue *next; /* of the unit */
    struct ciommu_page_queue *announcing;
    struct ciommu_page_queue_statistics counts;
};

/* A call of the host that is in progress; on the caller's stack. pages.lock */
struct page_call {
    struct page_call *next;
    pthread_t thread;
    const struct ciommu_page_interface *interface; /* a group's handler, or */
    const struct ciommu_page_queue *queue;         /* ready */
    uint64_t serial;                               /* of the group, */
    const struct ciommu_page_queue *of;            /* and its queue */
    uint32_t waits;                                /* drains that its thread is in */
};

/* The page requests of a unit. */
struct pages {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* a call ended, or began to wait, or a user went */
    /* lock */
    struct ciommu_page_interface *interfaces[PAGE_BUCKETS]; /* by source */
    struct ciommu_page_queue *queues;
    struct ciommu_page_queue *guest;      /* that of the guest's tables */
    struct ciommu_page_queue *announcing; /* those whose ready is to be called */
    struct page_call *calls;
    uint64_t count;  /* interfaces and queues */
    uint64_t resets; /* of the unit, whose root table they end */
};

void ciommu_pages_init(struct pages *pages);
void ciommu_pages_fini(struct pages *pages);

/* Is there any interface or queue? Any state. */
bool ciommu_pages_used(struct ciommu_unit *unit);

/* What a change ends. */
struct page_target {
    bool nothing;
    bool everybody;  /* every device; else */
    uint32_t source; /* the device */
    uint64_t device; /* of this id */
    uint64_t first;  /* serials of attachments and bound tables */
    uint64_t last;
    const struct ciommu_page_interface *interface; /* this one alone; NULL: any */
    const struct ciommu_page_queue *only;          /* groups of this queue; NULL: any */
    struct ciommu_page_queue *queue;               /* pinned: whose retire to call; */
    bool everywhere;                               /* or that of every queue */
};

/* Pins the queue that an attachment leads to, or that of the guest's tables (NULL); NULL if there
 * is none. Table lock. */
struct ciommu_page_queue *ciommu_pages_pin(struct ciommu_unit *unit, struct ciommu_domain *domain);

/* Answers what the target names, calls retire, drains; and lets the queue go. Outside locks. */
void ciommu_pages_cancel(struct ciommu_unit *unit, struct page_target *target);

/* The first step of that alone. */
void ciommu_pages_answer(struct ciommu_unit *unit, const struct page_target *target);

/* The domain goes; nothing is attached to it any more. Outside locks. */
void ciommu_pages_end_domain(struct ciommu_domain *domain);

#endif
