/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * loads.c - loads that wait for each other: what the machine itself takes.
 */
#include "check.h"
#include "random.h"

#include <stdlib.h>

#define LINE_WORDS 8u

struct bench_loads {
    uint64_t *next; /* one element a cache line: the address of the line after it */
    uint64_t lines;
    const uint64_t *at;
};

struct bench_loads *bench_loads_create(uint64_t bytes) {
    struct bench_loads *loads = bench_zeroed(1, sizeof *loads);
    uint64_t seed = 1;
    loads->lines = bytes / (LINE_WORDS * sizeof(uint64_t));
    if (loads->lines < 2) {
        bench_fail("a cycle of loads has two lines or more");
    }
    loads->next = bench_pages(bytes, "the cycle of loads");
    for (uint64_t line = 0; line < loads->lines; line++) {
        loads->next[line * LINE_WORDS] = line;
    }
    /* Sattolo's shuffle: one cycle through all lines. */
    for (uint64_t line = loads->lines - 1; line > 0; line--) {
        uint64_t other = bench_below(bench_random(&seed) >> 32, line);
        uint64_t kept = loads->next[line * LINE_WORDS];
        loads->next[line * LINE_WORDS] = loads->next[other * LINE_WORDS];
        loads->next[other * LINE_WORDS] = kept;
    }
    for (uint64_t line = 0; line < loads->lines; line++) {
        uint64_t *next = &loads->next[line * LINE_WORDS];
        *next = (uint64_t)(uintptr_t)&loads->next[*next * LINE_WORDS];
    }
    loads->at = loads->next;
    return loads;
}

void bench_loads_destroy(struct bench_loads *loads) {
    if (loads != NULL) {
        bench_pages_free(loads->next, loads->lines * LINE_WORDS * sizeof(uint64_t));
        free(loads);
    }
}

uint64_t bench_loads_follow(struct bench_loads *loads, uint32_t count) {
    const uint64_t *at = loads->at;
    uint64_t begin = bench_now();
    for (uint32_t load = 0; load < count; load++) {
        at = (const uint64_t *)(uintptr_t)*at;
    }
    uint64_t end = bench_now();
    loads->at = at;
    bench_must_be_right(at < loads->next || at >= loads->next + loads->lines * LINE_WORDS);
    return end - begin;
}
