/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * machine.c - clock, processors and memory of the machine, and what ends a benchmark.
 */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

_Noreturn void bench_fail(const char *sentence) {
    fprintf(stderr, "benchmark: %s\n", sentence);
    exit(1);
}

void bench_must(enum ciommu_status status, const char *what) {
    if (status != CIOMMU_OK) {
        fprintf(stderr, "benchmark: %s: %s\n", what, ciommu_status_text(status));
        exit(1);
    }
}

void bench_must_be_right(uint64_t wrong) {
    if (wrong != 0) {
        bench_fail("a wrong answer");
    }
}

uint64_t bench_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

/* ---- Processors ---- */

/* What the process may use, as it was before any thread was pinned. */
static cpu_set_t processors;
static pthread_once_t looked = PTHREAD_ONCE_INIT;

static void look(void) {
    if (sched_getaffinity(0, sizeof processors, &processors) != 0) {
        CPU_ZERO(&processors);
    }
}

uint32_t bench_processors(void) {
    pthread_once(&looked, look);
    int count = CPU_COUNT(&processors);
    return count > 0 ? (uint32_t)count : 1;
}

bool bench_pin(uint32_t index) {
    pthread_once(&looked, look);
    if (CPU_COUNT(&processors) == 0) {
        return false;
    }
    uint32_t left = index % bench_processors();
    int processor = 0;
    while (!CPU_ISSET(processor, &processors) || left-- != 0) {
        processor++;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}

/* ---- Memory ---- */

void *bench_pages(uint64_t bytes, const char *what) {
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        fprintf(stderr, "benchmark: no memory for %s\n", what);
        exit(1);
    }
    (void)madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}

void bench_pages_free(void *pages, uint64_t bytes) {
    if (pages != NULL) {
        munmap(pages, bytes);
    }
}

void *bench_zeroed(uint64_t count, uint64_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        bench_fail("no memory");
    }
    return memory;
}
