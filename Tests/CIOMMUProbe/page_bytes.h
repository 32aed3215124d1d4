/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_bytes.h - the run of page_model_run.c, for whoever makes its choices: a generator, or bytes
 * that somebody else made up. One thread.
 */
#ifndef PROBE_PAGE_BYTES_H
#define PROBE_PAGE_BYTES_H

#include "page_bench.h"
#include "page_model.h"

#include <stddef.h>

#define ANSWERS_MOST 256u

struct page_run {
    struct page_bench *bench;
    struct model *model;
    uint64_t random;      /* where there are no bytes */
    const uint8_t *bytes; /* NULL: the generator chooses */
    size_t left;
    uint64_t step;
    struct ciommu_domain *domains[MODEL_DOMAINS];
    struct ciommu_page_queue *queues[MODEL_DOMAINS];
    struct model_answer expected[ANSWERS_MOST]; /* of the step */
    uint32_t expected_count;
    struct model_answer heard[ANSWERS_MOST];
    uint32_t heard_count;
    const char *what; /* the kind of step */
};

/* The next choice below `limit`, which is at most 65536. 0 where the bytes have run out. */
uint32_t page_draw(struct page_run *run, uint32_t limit);

void page_differ(struct page_run *run, const char *text);
#define SAME(run, condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            page_differ((run), #condition);                                                        \
        }                                                                                          \
    } while (0)

/* Adds what the model's last call expects. */
void page_expect_answers(struct page_run *run);
bool page_is_status(enum model_status model, enum ciommu_status engine);

/* Steps in the formats of a guest's queues (page_bytes.c). */
void page_step_native_request(struct page_run *run);
void page_step_native_response(struct page_run *run);

/* Up to `steps` steps, fewer where the bytes run out; bytes also choose the native steps. Takes
 * `bench`, `model` and the choices from `run`, the other fields being zero. The unit is left as it
 * was made, but for the interfaces, which are gone. */
void page_run_play(struct page_run *run, uint64_t steps, uint32_t mutant);

#endif
