/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * scaling_loops.h - one slice of measuring: reader threads, at most one thread that disturbs them,
 * and a stop after a given time. The loops themselves are those of ciommu_bench.h, and here one
 * that times every translation by itself. Refusals and wrong answers end the process with a
 * message.
 *
 * Threads: scaling_slice makes its threads, ties them to processors and joins them; the caller uses
 * nothing of the subject meanwhile.
 */
#ifndef SCALING_LOOPS_H
#define SCALING_LOOPS_H

#include <ciommu_bench.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct scaling_swap;

/* What is asked: the baseline if there is one, else the swap, else the world. The world is always
 * there but with a swap, and says which requests fit. */
struct scaling_subject {
    struct bench_world *world;
    struct bench_baseline *baseline;
    struct scaling_swap *swap;
};

/* One reader thread. */
struct scaling_reader {
    uint32_t lane; /* of the world or of the swap; one thread each */
    uint32_t processor;
    uint32_t manner; /* enum bench_manner */
    uint32_t skew; /* per cent of the requests that go to one per cent of the pages; 0 = uniform */
    uint32_t list; /* fresh random requests chosen before each slice, and asked over and over */
    bool others;   /* ask nothing of the first requester, whose pages are invalidated */
    uint64_t seed;
    uint32_t *latencies; /* NULL, or where the nanoseconds of single translations go; when it is
                            full, the reader goes on without writing them */
    uint32_t latency_capacity;
    /* Out */
    bool pinned; /* the system let it be tied to its processor */
    uint32_t latency_count;
    uint64_t translations;
    uint64_t nanoseconds;        /* from the first to the last of them */
    uint64_t queued_nanoseconds; /* of these, when it was ready to run while something else ran; 0
                                    where the system does not tell */
};

enum scaling_act {
    SCALING_NOTHING, /* keeps time like the others and does nothing: what a control needs */
    SCALING_PAGE,    /* drops a random page of the first requester */
    SCALING_DOMAIN,  /* drops its whole domain */
    SCALING_REPLACE  /* replaces the domain of the swap's device by the other one */
};

/* The thread that disturbs. */
struct scaling_disturber {
    uint32_t act;       /* enum scaling_act */
    uint32_t processor; /* tied to this one */
    uint64_t interval;  /* nanoseconds from one act to the next, 0 = back to back */
    bool yields;        /* gives its processor away while it waits, where it has none of its own */
    uint64_t seed;
    uint32_t *latencies; /* nanoseconds of each act, as above; not NULL */
    uint32_t latency_capacity;
    /* Out */
    uint32_t latency_count;
    uint64_t acts;
    uint64_t nanoseconds; /* from the first act to the end */
};

/* Starts the readers and the disturber (NULL = none), lets them warm up, then run for about
 * `nanoseconds` together, and stops them. */
void scaling_slice(const struct scaling_subject *subject, struct scaling_reader *readers,
                   uint32_t count, struct scaling_disturber *disturber, uint64_t nanoseconds);

/* Asks `count` fresh requests of each manner and ends the process if an answer is wrong. */
void scaling_check(const struct scaling_subject *subject, uint64_t seed, uint32_t count);

/* Nanoseconds that the loop for single translations reports when it translates nothing: what its
 * clock costs. Written to `latencies`, `count` of them. */
void scaling_clock(struct bench_world *world, uint32_t *latencies, uint32_t count);

/* ---- A device whose domain is replaced ---- */

/* A unit with one device and two paging domains of `pages` pages that lead to different addresses,
 * the first one attached; `lanes` ports. */
struct scaling_swap *scaling_swap_create(uint32_t pages, uint32_t lanes);
void scaling_swap_destroy(struct scaling_swap *swap);

/* Replaces the attached domain by the other one; one thread at a time. */
void scaling_swap_replace(struct scaling_swap *swap);

/* Asks `count` random pages, a section each, and returns the nanoseconds. Every answer must be that
 * of the domain that was attached while it was asked; where a replacement ran meanwhile, of either.
 */
uint64_t scaling_swap_translate(struct scaling_swap *swap, uint32_t lane,
                                const struct ciommu_request *requests, uint32_t count);

/* Fresh random requests. */
void scaling_swap_choose(const struct scaling_swap *swap, uint64_t *seed,
                         struct ciommu_request *requests, uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
