/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_answer.h - the answer to a group, once, and the calls that follow it: outside the lock, by
 * the thread that answered or by a drain that cannot wait for it. The protocol stands in pages.h.
 */
#ifndef CIOMMU_PAGE_ANSWER_H
#define CIOMMU_PAGE_ANSWER_H

#include "page_group.h"

/* What a thread has to do after it has left the lock; on its stack. */
struct page_work {
    struct ciommu_unit *unit;
    struct page_list answered; /* in state ANSWERED; a drain takes them out, too */
    bool wake;                 /* an earlier deadline than before */
};

/* All below: pages.lock, unless said otherwise. */

/* Answers a group that is OPEN (and listed nowhere), QUEUED, READ or FOLLOWING. */
void ciommu_page_answer(struct page_work *work, struct page_group *group,
                        enum ciommu_page_code code, enum ciommu_page_cause cause);

/* Puts a complete group into its queue, or behind a leader. The queue has room. */
void ciommu_page_enqueue(struct page_work *work, struct page_group *group);

/* Throws an incomplete group away. */
void ciommu_page_discard(struct page_group *group);

/* Has the host be told that there is something to read. */
void ciommu_page_announce(struct ciommu_page_queue *queue);
/* The queue's descriptor says what it has to. */
void ciommu_page_signal(struct ciommu_page_queue *queue);

uint64_t ciommu_page_now(const struct ciommu_page_queue *queue);
/* Answers what is late by `now`; true if there was anything. */
bool ciommu_page_expire_queue(struct page_work *work, struct ciommu_page_queue *queue,
                              uint64_t now);

/* Leaves the lock and calls whom it has to. */
void ciommu_page_work_end(struct page_work *work);

/* Calls what others answered and have not called, and waits for calls, of what the target names;
 * leaves the lock and takes it again meanwhile. */
void ciommu_page_drain(struct pages *pages, const struct page_target *target);

/* Waits for every call of the interface's handlers, also of threads that are in a drain; leaves
 * the lock and takes it again meanwhile. Not in one of them. */
void ciommu_page_wait_for_calls(struct pages *pages, const struct ciommu_page_interface *interface);

/* Does the target name it? */
bool ciommu_page_is_meant(const struct page_target *target,
                          const struct ciommu_page_interface *interface, uint64_t serial,
                          const struct ciommu_page_queue *queue);

#endif
