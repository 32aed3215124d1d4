/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * manners.c - see manners.h.
 */
#include "manners.h"

#include "world.h"

#include <ciommu_inline.h>
#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)
#define BATCH 32u
#define LIST_BYTES (LIST_PAGES * PAGE)
#define COPY_BYTES 6000u /* two pages or three */

struct subject *subject_create(const struct bench_world_config *config) {
    struct subject *subject = bench_zeroed(1, sizeof *subject);
    uint64_t seed = 7;
    subject->world = bench_world_create(config);
    subject->port = bench_world_port(subject->world, 0);
    subject->first_iova = subject->world->first_iova;
    uint64_t *data = subject->world->data;
    for (uint64_t word = 0; word < subject->world->data_bytes / sizeof *data; word++) {
        data[word] = BENCH_DATA + word * sizeof *data;
    }
    bench_world_choose(subject->world, &seed, 0, subject->requests, subject->answers, REQUESTS);
    for (uint32_t index = 0; index < REQUESTS; index += 2) {
        subject->requests[index].access = CIOMMU_WRITE;
    }
    return subject;
}

static enum ciommu_status translate(struct subject *subject, const struct ciommu_request *request,
                                    struct ciommu_result *result) {
    return ciommu_translate(bench_world_unit(subject->world), subject->port, request->source,
                            request->pasid, request->iova, request->access, request->flags, result);
}

/* The input page so many pages before the last on which `pages` of them start. */
static uint64_t start_of(const struct subject *subject, uint32_t index, uint32_t pages) {
    uint64_t page = (subject->requests[index].iova - subject->first_iova) / PAGE;
    return subject->first_iova + page % (PAGES - pages + 1) * PAGE;
}

/* ---- Addresses ---- */

static void ask_alone(struct subject *subject) {
    struct ciommu_result result = {.size = sizeof result};
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < REQUESTS; index++) {
        CHECK(translate(subject, &subject->requests[index], &result));
        wrong |= result.outcome | (result.address ^ subject->answers[index]);
        wrong |= result.host != NULL;
    }
    bench_must_be_right(wrong);
}

static void ask_in_section(struct subject *subject) {
    struct ciommu_result result = {.size = sizeof result};
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < REQUESTS; index++) {
        if (index % BATCH == 0) {
            ciommu_port_enter(subject->port);
            ciommu_port_enter(subject->port);
        }
        CHECK(translate(subject, &subject->requests[index], &result));
        wrong |= result.outcome | (result.address ^ subject->answers[index]);
        wrong |= result.host == NULL ? 1 : *(uint64_t *)(void *)result.host ^ result.address;
        if (index % BATCH == BATCH - 1) {
            ciommu_port_leave(subject->port);
            ciommu_port_leave(subject->port);
        }
    }
    bench_must_be_right(wrong);
}

void ask_inlined(struct subject *subject) {
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < REQUESTS; index++) {
        const struct ciommu_request *request = &subject->requests[index];
        struct ciommu_segment segment;
        ciommu_enter(subject->port);
        if (ciommu_first_level_lookup(subject->port, request->source, request->pasid, request->iova,
                                      request->access, &segment)) {
            wrong |= segment.address ^ subject->answers[index];
            wrong |= *(uint64_t *)(void *)segment.host ^ segment.address;
        } else {
            wrong = 1;
        }
        ciommu_leave(subject->port);
    }
    bench_must_be_right(wrong);
}

static void ask_in_batches(struct subject *subject) {
    struct ciommu_result results[BATCH];
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < BATCH; index++) {
        results[index].size = sizeof results[index];
    }
    for (uint32_t start = 0; start < REQUESTS; start += BATCH) {
        uint32_t done = 0;
        CHECK(ciommu_translate_batch(subject->port, &subject->requests[start], results, BATCH,
                                     &done));
        wrong |= done ^ BATCH;
        for (uint32_t index = 0; index < BATCH; index++) {
            wrong |= results[index].outcome;
            wrong |= results[index].address ^ subject->answers[start + index];
        }
    }
    bench_must_be_right(wrong);
}

void ask_and_fault(struct subject *subject) {
    struct ciommu_result result = {.size = sizeof result};
    struct ciommu_request absent = subject->requests[0];
    uint64_t wrong = 0;
    absent.iova = subject->first_iova + (UINT64_C(1) << 40);
    for (uint32_t index = 0; index < REQUESTS; index++) {
        CHECK(translate(subject, &subject->requests[index], &result));
        wrong |= result.outcome ^ CIOMMU_TRANSLATED_OK;
        CHECK(translate(subject, &absent, &result));
        wrong |= result.outcome ^ CIOMMU_FAULT;
    }
    bench_must_be_right(wrong);
}

/* ---- Lists and copies ---- */

static void ask_for_lists(struct subject *subject) {
    struct ciommu_segment segments[LIST_PAGES];
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < REQUESTS / LIST_PAGES; index++) {
        struct ciommu_request request = subject->requests[index];
        struct ciommu_progress progress = {.size = sizeof progress};
        request.iova = start_of(subject, index, LIST_PAGES);
        request.length = LIST_BYTES;
        ciommu_port_enter(subject->port);
        CHECK(ciommu_translate_range(subject->port, &request, segments, LIST_PAGES, &progress));
        uint64_t covered = 0;
        for (uint32_t segment = 0; segment < progress.segments; segment++) {
            uint64_t length = segments[segment].length;
            unsigned char *host = segments[segment].host;
            wrong |= segments[segment].iova ^ (request.iova + covered);
            wrong |= host == NULL ? 1 : *(uint64_t *)(void *)host ^ segments[segment].address;
            covered += length;
        }
        ciommu_port_leave(subject->port);
        wrong |= progress.outcome | (progress.done ^ LIST_BYTES) | (covered ^ LIST_BYTES);
    }
    bench_must_be_right(wrong);
}

/* Reads what is there, and writes it back. */
static void copy(struct subject *subject) {
    uint64_t words[COPY_BYTES / sizeof(uint64_t)];
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < REQUESTS / 4; index++) {
        struct ciommu_request request = subject->requests[index];
        struct ciommu_progress progress = {.size = sizeof progress};
        request.iova = start_of(subject, index, 3) + index * 64 % PAGE;
        request.access = 0;
        request.length = sizeof words;
        words[0] = 0;
        CHECK(ciommu_read(subject->port, &request, words, &progress));
        wrong |= progress.done ^ sizeof words;
        wrong |= words[0] % PAGE ^ request.iova % PAGE;
        wrong |= (words[1] - words[0]) ^ sizeof words[0];
        CHECK(ciommu_write(subject->port, &request, words, &progress));
        wrong |= progress.done ^ sizeof words;
    }
    bench_must_be_right(wrong);
}

const struct manner manners[] = {
    {"alone", ask_alone},
    {"in a section", ask_in_section},
    {"batches", ask_in_batches},
    {"lists of 64 KiB", ask_for_lists},
    {"copies", copy},
    {NULL, NULL},
};
