/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hostile_walk.c - the devices of a hostile guest: they translate one by one and in batches, and
 * copy. Every answer must be one that some mixture of the written values gives.
 */
#include "hostile_run.h"

#define TOGETHER 8u

static void check(struct hostile_run *run, uint32_t page, bool write,
                  const struct ciommu_result *result) {
    const struct hostile_world *world = &run->world;
    const struct hostile_answers *answers = world->answers[page][write];
    bool mapped = result->outcome == CIOMMU_TRANSLATED_OK;
    uint32_t needs = write ? CIOMMU_WRITE : CIOMMU_READ;
    if (!hostile_is_possible(answers, hostile_input(world, page), result)) {
        hostile_report(run, "an impossible answer (outcome or page, address or code, rights)",
                       mapped ? result->page_lg2 : 0x1000u + result->outcome,
                       mapped ? result->address : result->fault.code, result->rights);
    }
    if (!mapped) {
        return;
    }
    if ((result->rights & needs) != needs) {
        hostile_report(run, "granted without the right (address, rights)", result->address,
                       result->rights, needs);
    }
    if (result->host == NULL) {
        return;
    }
    const uint64_t *word = hostile_word(world, result->address);
    if (word == NULL || (const unsigned char *)word != result->host) {
        hostile_report(run, "a host pointer to elsewhere (address)", result->address, 0, 0);
        return;
    }
    uint64_t data = result->address - world->data;
    uint64_t lent = result->address - (HOSTILE_LENT + HOSTILE_PAGE);
    if ((data < HOSTILE_INPUTS * HOSTILE_PAGE || lent < HOSTILE_INPUTS * HOSTILE_PAGE) &&
        *(const volatile uint64_t *)word != hostile_stamp(result->address)) {
        hostile_report(run, "not what the page holds (address, found)", result->address, *word, 0);
    }
}

/* One question of a walker. */
struct question {
    uint32_t page;
    bool write;
    struct ciommu_request request;
};

static struct question question_of(struct hostile_worker *worker) {
    const struct hostile_world *world = &worker->run->world;
    uint64_t random = probe_random(&worker->random) >> 16;
    uint32_t page = (uint32_t)(random % HOSTILE_INPUTS);
    bool write = (random >> 8) % 2 != 0;
    return (struct question){
        page,
        write,
        {.source = HOSTILE_SOURCE,
         .pasid = world->kind == PROBE_HOSTILE_LEGACY ? CIOMMU_NO_PASID : HOSTILE_PASID,
         .iova = hostile_input(world, page),
         .access = write ? CIOMMU_WRITE : CIOMMU_READ,
         .flags = (random >> 16) % 4 == 0 ? CIOMMU_NO_CACHE : 0}};
}

static void judge(struct hostile_worker *worker, const struct question *question,
                  enum ciommu_status status, const struct ciommu_result *result) {
    if (status == CIOMMU_OK) {
        check(worker->run, question->page, question->write, result);
    } else {
        hostile_report(worker->run, ciommu_status_text(status), 0, 0, 0);
    }
    worker->counts[result->outcome == CIOMMU_TRANSLATED_OK ? 0 : 1]++;
}

static void walk_once(struct hostile_worker *worker, struct ciommu_port *port) {
    const struct question question = question_of(worker);
    const struct ciommu_request *request = &question.request;
    struct ciommu_result result = {.size = sizeof result};
    ciommu_port_enter(port);
    enum ciommu_status status =
        ciommu_translate(worker->run->world.unit, port, request->source, request->pasid,
                         request->iova, request->access, request->flags, &result);
    judge(worker, &question, status, &result);
    ciommu_port_leave(port);
}

static void walk_together(struct hostile_worker *worker, struct ciommu_port *port) {
    struct question questions[TOGETHER];
    struct ciommu_request requests[TOGETHER];
    struct ciommu_result results[TOGETHER];
    for (uint32_t index = 0; index < TOGETHER; index++) {
        questions[index] = question_of(worker);
        requests[index] = questions[index].request;
        results[index] = (struct ciommu_result){.size = sizeof results[index]};
    }
    ciommu_port_enter(port);
    enum ciommu_status status = ciommu_translate_batch(port, requests, results, TOGETHER, NULL);
    for (uint32_t index = 0; index < TOGETHER; index++) {
        judge(worker, &questions[index], status, &results[index]);
    }
    ciommu_port_leave(port);
}

/* Copies a page's first word: what it holds must be there to be read. */
static void copy_once(struct hostile_worker *worker, struct ciommu_port *port) {
    const struct question question = question_of(worker);
    const struct hostile_answers *answers = worker->run->world.answers[question.page][0];
    struct ciommu_request request = question.request;
    struct ciommu_progress progress = {.size = sizeof progress};
    uint64_t found = 0;
    request.access = CIOMMU_READ;
    request.length = sizeof found;
    enum ciommu_status status = ciommu_read(port, &request, &found, &progress);
    if (status == CIOMMU_FAULTED) {
        const struct ciommu_result result = {.outcome = progress.outcome, .fault = progress.fault};
        check(worker->run, question.page, false, &result);
    } else if (status == CIOMMU_OK && !hostile_may_hold(answers, found)) {
        hostile_report(worker->run, "copied from elsewhere (page, found)", question.page, found, 0);
    } else if (status != CIOMMU_OK && status != CIOMMU_NO_HOST_MEMORY) {
        hostile_report(worker->run, ciommu_status_text(status), question.page, 0, 0);
    }
    worker->counts[status == CIOMMU_OK ? 0 : 1]++;
}

void *hostile_walk(void *argument) {
    struct hostile_worker *worker = argument;
    struct hostile_run *run = worker->run;
    struct ciommu_port *port = NULL;
    if (ciommu_port_create(run->world.unit, &port) != CIOMMU_OK) {
        hostile_report(run, "no port", 0, 0, 0);
        return NULL;
    }
    while (!hostile_is_over(run)) {
        uint64_t manner = (probe_random(&worker->random) >> 16) % 8;
        if (manner == 0) {
            walk_together(worker, port);
        } else if (manner == 1) {
            copy_once(worker, port);
        } else {
            walk_once(worker, port);
        }
    }
    (void)ciommu_port_destroy(port);
    (void)__atomic_fetch_add(&run->mapped, worker->counts[0], __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&run->faulted, worker->counts[1], __ATOMIC_RELAXED);
    return NULL;
}
