/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * submit.h - batches that are applied by the unit's invalidation thread.
 *
 * Protocol (submission)
 *   Submitters   any thread: copy the batch, append it under `lock`, wake the thread. The thread is
 *                started by the first submission.
 *   The thread   takes all that waits, in groups; each group shares one drain, but a batch with a
 *                wait descriptor is a group of its own; completions are called in order, outside
 *                locks and sections.
 *   Order        batches of one submitter complete in the order of submission, because there is one
 *                list and one thread.
 *   Ending       the unit's destruction lets the thread finish what waits and joins it.
 */
#ifndef CIOMMU_SUBMIT_H
#define CIOMMU_SUBMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct submitted;

struct submissions {
    pthread_mutex_t lock;
    pthread_cond_t work; /* something waits, or the end has come */
    pthread_cond_t done; /* `completed` moved */
    struct submitted *first;
    struct submitted *last;
    uint64_t taken_in;  /* submissions so far */
    uint64_t completed; /* of them */
    pthread_t thread;
    bool running;
    bool ending;
};

void ciommu_submissions_init(struct submissions *submissions);
/* Completes what waits and ends the thread. Nobody submits any more. */
void ciommu_submissions_fini(struct submissions *submissions);

#endif
