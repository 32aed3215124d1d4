/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * slice.c - the threads of one slice: readers choose fresh requests, warm up, meet at a barrier,
 * and ask until told to stop; the disturber acts at its rate meanwhile. What a reader does between
 * two looks at the stop is one call of a measured loop.
 */
#include "scaling_loops.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHUNK 1024u
/* Nanoseconds in which both clocks of a thread are surely read unless something else runs. */
#define LONG_READING 100000u
#define PAGE_MASK UINT64_C(0xfff)

/* What the threads of a slice share. All but `stop` is constant once they run. `stop` publishes
 * nothing, so it is relaxed; what a thread found, the caller reads after joining it. */
struct slice {
    const struct scaling_subject *subject;
    pthread_barrier_t barrier;
    uint64_t nanoseconds;
    uint32_t first_source; /* of the requester whose pages are dropped */
    uint32_t stop;         /* atomic */
};

struct reader_thread {
    pthread_t thread;
    struct slice *slice;
    struct scaling_reader *reader;
};

struct disturber_thread {
    pthread_t thread;
    struct slice *slice;
    struct scaling_disturber *disturber;
};

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fputs("Scaling: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* Nanoseconds in which the calling thread was ready to run while something else ran, since it
 * began. 0 if the system does not tell. */
static uint64_t queued(void) {
    unsigned long long running;
    unsigned long long waiting = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &running, &waiting) != 2) {
            waiting = 0;
        }
        fclose(file);
    }
    return waiting;
}

/* A moment of a thread. */
struct moment {
    uint64_t time;
    uint64_t queued;
};

/* Both readings of one moment: again, if the thread was kept from running between them. */
static struct moment now(void) {
    struct moment moment;
    uint64_t later;
    unsigned attempts = 0;
    do {
        moment.time = bench_now();
        moment.queued = queued();
        later = bench_now();
    } while (later - moment.time > LONG_READING && ++attempts < 8);
    return moment;
}

static bool stopped(struct slice *slice) {
    return __atomic_load_n(&slice->stop, __ATOMIC_RELAXED) != 0;
}

/* ---- Requests ---- */

static void choose(const struct scaling_subject *subject, uint64_t *seed, uint32_t skew,
                   struct ciommu_request *requests, uint64_t *answers, uint32_t count) {
    if (subject->swap != NULL) {
        scaling_swap_choose(subject->swap, seed, requests, count);
    } else {
        bench_world_choose(subject->world, seed, skew, requests, answers, count);
    }
}

/* Only requests of other requesters than the first. */
static void choose_others(struct slice *slice, const struct scaling_reader *reader, uint64_t *seed,
                          struct ciommu_request *requests, uint64_t *answers) {
    struct ciommu_request *some = allocate(CHUNK, sizeof *some);
    uint64_t *their_answers = allocate(CHUNK, sizeof *their_answers);
    uint32_t kept = 0;
    while (kept < reader->list) {
        choose(slice->subject, seed, reader->skew, some, their_answers, CHUNK);
        for (uint32_t index = 0; index < CHUNK && kept < reader->list; index++) {
            if (some[index].source != slice->first_source) {
                requests[kept] = some[index];
                answers[kept++] = their_answers[index];
            }
        }
    }
    free(some);
    free(their_answers);
}

/* The requester with the lowest source id is the first one. */
static uint32_t find_first_source(const struct scaling_subject *subject) {
    struct ciommu_request requests[256];
    uint64_t answers[256];
    uint64_t seed = 1;
    uint32_t lowest = UINT32_MAX;
    choose(subject, &seed, 0, requests, answers, 256);
    for (uint32_t index = 0; index < 256; index++) {
        lowest = requests[index].source < lowest ? requests[index].source : lowest;
    }
    return lowest;
}

/* ---- Readers ---- */

static uint64_t ask(const struct scaling_subject *subject, const struct scaling_reader *reader,
                    const struct ciommu_request *requests, const uint64_t *answers,
                    uint32_t count) {
    enum bench_manner manner = (enum bench_manner)reader->manner;
    if (subject->baseline != NULL) {
        return bench_baseline_translate(subject->baseline, manner, requests, answers, count);
    }
    if (subject->swap != NULL) {
        return scaling_swap_translate(subject->swap, reader->lane, requests, count);
    }
    return bench_world_translate(subject->world, reader->lane, manner, requests, answers, count);
}

/* At most one round through the list, and at most an eighth of a slice. */
static void warm_up(struct slice *slice, const struct scaling_reader *reader,
                    const struct ciommu_request *requests, const uint64_t *answers) {
    uint64_t end = bench_now() + slice->nanoseconds / 8;
    for (uint32_t at = 0; at < reader->list && bench_now() < end; at += CHUNK) {
        ask(slice->subject, reader, requests + at, answers + at, CHUNK);
    }
}

/* For a moment, in a loop that waits. */
static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The clock is read inside the loop that is asked, right before and after the translation. */
static void ask_timed(struct slice *slice, struct scaling_reader *reader,
                      const struct ciommu_request *requests, const uint64_t *answers) {
    uint32_t written = reader->latency_count;
    for (uint32_t index = 0; index < CHUNK; index++) {
        uint64_t time = ask(slice->subject, reader, requests + index, answers + index, 1);
        if (written < reader->latency_capacity) {
            reader->latencies[written++] = time < UINT32_MAX ? (uint32_t)time : UINT32_MAX;
        }
    }
    reader->latency_count = written;
}

static void *run_reader(void *context) {
    struct reader_thread *self = context;
    struct scaling_reader *reader = self->reader;
    struct ciommu_request *requests = allocate(reader->list, sizeof *requests);
    uint64_t *answers = allocate(reader->list, sizeof *answers);
    uint64_t seed = reader->seed;
    uint64_t translations = 0;
    reader->pinned = bench_pin(reader->processor);
    if (reader->others) {
        choose_others(self->slice, reader, &seed, requests, answers);
    } else {
        choose(self->slice->subject, &seed, reader->skew, requests, answers, reader->list);
    }
    warm_up(self->slice, reader, requests, answers);
    pthread_barrier_wait(&self->slice->barrier);
    struct moment begin = now();
    for (uint32_t at = 0; !stopped(self->slice);
         at = at + 2 * CHUNK <= reader->list ? at + CHUNK : 0) {
        if (reader->latencies != NULL) {
            ask_timed(self->slice, reader, requests + at, answers + at);
        } else {
            ask(self->slice->subject, reader, requests + at, answers + at, CHUNK);
        }
        translations += CHUNK;
    }
    struct moment end = now();
    reader->translations = translations;
    reader->nanoseconds = end.time - begin.time;
    reader->queued_nanoseconds = end.queued - begin.queued;
    free(requests);
    free(answers);
    return NULL;
}

/* ---- The disturber ---- */

static void act_on(const struct scaling_subject *subject, enum scaling_act act, uint64_t iova) {
    switch (act) {
    case SCALING_NOTHING:
        break;
    case SCALING_PAGE:
        if (subject->baseline != NULL) {
            bench_baseline_invalidate_page(subject->baseline, iova);
        } else {
            bench_world_invalidate_page(subject->world, iova);
        }
        break;
    case SCALING_DOMAIN:
        if (subject->baseline != NULL) {
            bench_baseline_invalidate_domain(subject->baseline);
        } else {
            bench_world_invalidate_domain(subject->world);
        }
        break;
    case SCALING_REPLACE:
        scaling_swap_replace(subject->swap);
        break;
    }
}

/* Waits until `due`; one that is late by more than a millisecond forgets what it missed. */
static uint64_t wait_until(struct slice *slice, const struct scaling_disturber *disturber,
                           uint64_t due) {
    uint64_t time = bench_now();
    while (time < due && !stopped(slice)) {
        if (disturber->yields) {
            sched_yield();
        } else {
            relax();
        }
        time = bench_now();
    }
    return time > due + 1000000 ? time : due;
}

static void *run_disturber(void *context) {
    struct disturber_thread *self = context;
    struct scaling_disturber *disturber = self->disturber;
    const struct scaling_subject *subject = self->slice->subject;
    struct ciommu_request *requests = allocate(CHUNK, sizeof *requests);
    uint64_t *answers = allocate(CHUNK, sizeof *answers);
    uint64_t seed = disturber->seed;
    bench_pin(disturber->processor);
    choose(subject, &seed, 0, requests, answers, CHUNK);
    pthread_barrier_wait(&self->slice->barrier);
    uint64_t begin = bench_now();
    uint64_t due = begin;
    while (!stopped(self->slice)) {
        if (disturber->interval != 0) {
            due = wait_until(self->slice, disturber, due + disturber->interval);
            if (stopped(self->slice)) {
                break;
            }
        }
        uint64_t iova = requests[disturber->acts % CHUNK].iova & ~PAGE_MASK;
        uint64_t before = bench_now();
        act_on(subject, (enum scaling_act)disturber->act, iova);
        uint64_t time = bench_now() - before;
        if (disturber->latency_count < disturber->latency_capacity) {
            disturber->latencies[disturber->latency_count++] =
                time < UINT32_MAX ? (uint32_t)time : UINT32_MAX;
        }
        disturber->acts++;
    }
    disturber->nanoseconds = bench_now() - begin;
    free(requests);
    free(answers);
    return NULL;
}

/* ---- The slice ---- */

static void start(pthread_t *thread, void *(*run)(void *), void *context) {
    if (pthread_create(thread, NULL, run, context) != 0) {
        fputs("Scaling: cannot start a thread\n", stderr);
        exit(1);
    }
}

static void sleep_for(uint64_t nanoseconds) {
    struct timespec left = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    while (nanosleep(&left, &left) != 0) {
    }
}

void scaling_slice(const struct scaling_subject *subject, struct scaling_reader *readers,
                   uint32_t count, struct scaling_disturber *disturber, uint64_t nanoseconds) {
    struct slice slice = {.subject = subject, .nanoseconds = nanoseconds};
    struct reader_thread *threads = allocate(count, sizeof *threads);
    struct disturber_thread disturbing = {.slice = &slice, .disturber = disturber};
    slice.first_source = find_first_source(subject);
    pthread_barrier_init(&slice.barrier, NULL, count + 1 + (disturber != NULL ? 1 : 0));
    for (uint32_t index = 0; index < count; index++) {
        threads[index].slice = &slice;
        threads[index].reader = &readers[index];
        start(&threads[index].thread, run_reader, &threads[index]);
    }
    if (disturber != NULL) {
        start(&disturbing.thread, run_disturber, &disturbing);
    }
    pthread_barrier_wait(&slice.barrier);
    sleep_for(nanoseconds);
    __atomic_store_n(&slice.stop, 1, __ATOMIC_RELAXED);
    for (uint32_t index = 0; index < count; index++) {
        pthread_join(threads[index].thread, NULL);
    }
    if (disturber != NULL) {
        pthread_join(disturbing.thread, NULL);
    }
    pthread_barrier_destroy(&slice.barrier);
    free(threads);
}

void scaling_check(const struct scaling_subject *subject, uint64_t seed, uint32_t count) {
    const uint32_t manners[] = {BENCH_SINGLE, BENCH_SECTION, BENCH_BATCH};
    struct ciommu_request *requests = allocate(count, sizeof *requests);
    uint64_t *answers = allocate(count, sizeof *answers);
    for (uint32_t manner = 0; manner < 3; manner++) {
        const struct scaling_reader reader = {.manner = manners[manner]};
        choose(subject, &seed, 0, requests, answers, count);
        ask(subject, &reader, requests, answers, count);
    }
    free(requests);
    free(answers);
}

void scaling_clock(struct bench_world *world, uint32_t *latencies, uint32_t count) {
    struct ciommu_request request;
    uint64_t answer;
    uint64_t seed = 1;
    bench_world_choose(world, &seed, 0, &request, &answer, 1);
    for (uint32_t index = 0; index < count; index++) {
        uint64_t time = bench_world_translate(world, 0, BENCH_SINGLE, &request, &answer, 0);
        latencies[index] = time < UINT32_MAX ? (uint32_t)time : UINT32_MAX;
    }
}
