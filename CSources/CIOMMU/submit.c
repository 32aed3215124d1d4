/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * submit.c - the unit's invalidation thread. The protocol stands in submit.h.
 */
#include "alloc.h"
#include "batch.h"
#include "invalidate.h"

#include <sched.h>
#include <string.h>

/* Implementation: batches that share a drain at most; each keeps up to 64 ranges meanwhile. */
#define GROUP_MOST 16u

struct submitted {
    struct submitted *next;
    struct ciommu_unit *unit;
    struct ciommu_batch batch;
    struct ciommu_batch_host host;
    bool has_host;
    ciommu_batch_completion completion;
    void *context;
    struct ciommu_batch_result result;
    enum ciommu_status status;
    struct batch_run run;
    /* then the failures, then the copied entries */
};

void ciommu_submissions_init(struct submissions *submissions) {
    memset(submissions, 0, sizeof *submissions);
    pthread_mutex_init(&submissions->lock, NULL);
    pthread_cond_init(&submissions->work, NULL);
    pthread_cond_init(&submissions->done, NULL);
}

/* ---- The thread ---- */

/* Ports of the pool are lent for moments only. */
static struct ciommu_port *borrow(struct ciommu_unit *unit) {
    struct ciommu_port *port = ciommu_port_borrow(unit);
    while (port == NULL) {
        sched_yield();
        port = ciommu_port_borrow(unit);
    }
    return port;
}

static void begin(struct submitted *job, struct ciommu_port *port) {
    job->run.unit = job->unit;
    job->run.port = port;
    job->run.batch = &job->batch;
    job->run.host = job->has_host ? &job->host : NULL;
    job->run.result = &job->result;
    ciommu_batch_begin(&job->run);
}

/* A wait descriptor completes what came before it, earlier batches included: such a batch shares
 * nothing. */
static bool has_wait(const struct submitted *job) {
    const unsigned char *entries = job->batch.entries;
    bool found = false;
    for (uint32_t index = 0; index < job->batch.count && !found; index++) {
        found = (entries[(size_t)index * job->batch.entry_length] & 15) == 5;
    }
    return found && job->batch.format != CIOMMU_BATCH_VTD_S1;
}

/* Applies up to GROUP_MOST jobs, drains once, completes them. Returns the rest of the list. */
static struct submitted *run_group(struct submitted *jobs, uint64_t *completed) {
    struct ciommu_unit *unit = jobs->unit;
    struct ciommu_port *port = borrow(unit);
    bool drain = false;
    uint32_t count = 0;
    struct submitted *end = jobs;
    for (bool alone = false; end != NULL && count < GROUP_MOST && !alone;
         end = end->next, count++) {
        alone = has_wait(end);
        if (alone && count != 0) {
            break;
        }
        begin(end, port);
        drain = drain || ciommu_batch_needs_drain(&end->run);
    }
    uint32_t port_id = 0;
    enum ciommu_status drained = drain ? ciommu_unit_settle(unit, &port_id) : CIOMMU_OK;
    for (struct submitted *job = jobs; job != end; job = job->next) {
        job->status = ciommu_batch_end(&job->run, drained, port_id);
    }
    ciommu_port_give_back(port);
    while (jobs != end) {
        struct submitted *next = jobs->next;
        jobs->completion(jobs->context, jobs->status, &jobs->result);
        ciommu_free(jobs);
        jobs = next;
    }
    *completed = count;
    return end;
}

static void *serve(void *context) {
    struct submissions *submissions = context;
    pthread_mutex_lock(&submissions->lock);
    for (;;) {
        while (submissions->first == NULL && !submissions->ending) {
            pthread_cond_wait(&submissions->work, &submissions->lock);
        }
        struct submitted *jobs = submissions->first;
        if (jobs == NULL) {
            break;
        }
        submissions->first = NULL;
        submissions->last = NULL;
        pthread_mutex_unlock(&submissions->lock);
        while (jobs != NULL) {
            uint64_t completed;
            jobs = run_group(jobs, &completed);
            pthread_mutex_lock(&submissions->lock);
            submissions->completed += completed;
            pthread_cond_broadcast(&submissions->done);
            pthread_mutex_unlock(&submissions->lock);
        }
        pthread_mutex_lock(&submissions->lock);
    }
    pthread_mutex_unlock(&submissions->lock);
    return NULL;
}

void ciommu_submissions_fini(struct submissions *submissions) {
    pthread_mutex_lock(&submissions->lock);
    submissions->ending = true;
    bool running = submissions->running;
    pthread_cond_signal(&submissions->work);
    pthread_mutex_unlock(&submissions->lock);
    if (running) {
        pthread_join(submissions->thread, NULL);
    }
    pthread_cond_destroy(&submissions->work);
    pthread_cond_destroy(&submissions->done);
    pthread_mutex_destroy(&submissions->lock);
}

/* ---- Submitting ---- */

/* A job with a copy of the entries, each byte read once. */
static struct submitted *make_job(struct ciommu_unit *unit, const struct ciommu_batch *batch,
                                  const struct ciommu_batch_host *host, uint32_t failures) {
    size_t bytes = (size_t)batch->count * batch->entry_length;
    size_t notes = (size_t)failures * sizeof(struct ciommu_batch_failure);
    struct submitted *job = ciommu_allocate(CACHE_LINE, sizeof *job + notes + bytes);
    if (job == NULL) {
        return NULL;
    }
    struct ciommu_batch_failure *room = (struct ciommu_batch_failure *)(void *)(job + 1);
    unsigned char *copy = (unsigned char *)(job + 1) + notes;
    const unsigned char *entries = batch->entries;
    for (size_t at = 0; at < bytes; at++) {
        copy[at] = load_relaxed(&entries[at]); /* a guest may write there */
    }
    job->unit = unit;
    job->batch = *batch;
    job->batch.entries = copy;
    job->has_host = host != NULL;
    if (host != NULL) {
        job->host = *host;
    }
    job->result.size = sizeof job->result;
    job->result.capacity = failures;
    job->result.failures = failures == 0 ? NULL : room;
    return job;
}

/* Starts the thread if it does not run. Lock held. */
static bool ensure_thread(struct submissions *submissions) {
    if (!submissions->running) {
        submissions->running = !ciommu_is_denied() &&
                               pthread_create(&submissions->thread, NULL, serve, submissions) == 0;
    }
    return submissions->running;
}

enum ciommu_status ciommu_batch_submit(struct ciommu_unit *unit, struct ciommu_port *port,
                                       const struct ciommu_batch *batch,
                                       const struct ciommu_batch_host *host, uint32_t failures,
                                       ciommu_batch_completion completion, void *context) {
    if (completion == NULL || failures > CIOMMU_BATCH_COUNT_MAX ||
        !ciommu_batch_is_well_formed(unit, port, batch, host)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (ports_wait_for_caller(&unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    if (unit->pool_ports == 0) {
        return CIOMMU_NO_PORT;
    }
    struct submitted *job = make_job(unit, batch, host, failures);
    if (job == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    job->completion = completion;
    job->context = context;
    struct submissions *submissions = &unit->submissions;
    pthread_mutex_lock(&submissions->lock);
    bool running = ensure_thread(submissions);
    if (running) {
        *(submissions->last != NULL ? &submissions->last->next : &submissions->first) = job;
        submissions->last = job;
        submissions->taken_in++;
        pthread_cond_signal(&submissions->work);
    }
    pthread_mutex_unlock(&submissions->lock);
    if (!running) {
        ciommu_free(job);
    }
    return running ? CIOMMU_OK : CIOMMU_NO_MEMORY;
}

void ciommu_batch_finish(struct ciommu_unit *unit) {
    if (unit == NULL) {
        return;
    }
    struct submissions *submissions = &unit->submissions;
    pthread_mutex_lock(&submissions->lock);
    uint64_t target = submissions->taken_in;
    while (submissions->completed < target) {
        pthread_cond_wait(&submissions->done, &submissions->lock);
    }
    pthread_mutex_unlock(&submissions->lock);
}
