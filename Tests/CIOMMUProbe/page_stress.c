/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_stress.c - threads that ask for groups, answer them, and end what they belong to. Every
 * group that was accepted is answered exactly once; after a detach has returned nothing of it is
 * open and no handler of it runs.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "page_bench.h"
#include "probe.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASKERS 2u /* devices 0 and 1, one thread each */
#define SLOTS 24u /* groups that one has in flight */

/* A group in flight, or its place. */
struct slot {
    struct asker *asker;
    uint32_t accepted; /* the asker's */
    uint32_t answers;  /* atomic */
};

struct asker {
    struct stress *stress;
    struct page_device *device;
    struct slot slots[SLOTS];
    uint64_t groups;
    uint64_t answers;
    uint32_t running; /* handlers, now */
    pthread_t thread;
};

struct stress {
    const struct probe_page_options *options;
    struct page_bench bench;
    struct probe_page_totals *totals;
    struct asker askers[ASKERS];
    pthread_rwlock_t queue_lock; /* whoever uses the queue; the one that destroys it writes */
    uint32_t asking;             /* 0: askers end */
    uint32_t answering;
    uint64_t responses;
    uint64_t refusals;
    uint64_t cancelled;
    uint64_t time;
};

static void violate(struct stress *stress, const char *text) {
    pthread_mutex_lock(&stress->bench.lock);
    if (stress->totals->violations++ == 0) {
        (void)snprintf(stress->totals->first, sizeof stress->totals->first, "%s", text);
    }
    pthread_mutex_unlock(&stress->bench.lock);
}

/* ---- Devices ---- */

static void hear(void *context, const struct ciommu_page_answer *answer) {
    struct slot *slot = context;
    struct asker *asker = slot->asker;
    (void)__atomic_fetch_add(&asker->running, 1, __ATOMIC_ACQ_REL);
    if (answer->cause == CIOMMU_PAGE_BY_DETACH) {
        (void)__atomic_fetch_add(&asker->stress->cancelled, 1, __ATOMIC_RELAXED);
    }
    if (__atomic_fetch_add(&slot->answers, 1, __ATOMIC_ACQ_REL) != 0) {
        violate(asker->stress, "a group was answered twice");
    }
    (void)__atomic_fetch_sub(&asker->running, 1, __ATOMIC_ACQ_REL);
}

static void settle_slot(struct asker *asker, struct slot *slot) {
    asker->answers += __atomic_load_n(&slot->answers, __ATOMIC_ACQUIRE);
    slot->accepted = 0;
    __atomic_store_n(&slot->answers, 0, __ATOMIC_RELEASE);
}

static void *ask(void *context) {
    struct asker *asker = context;
    struct stress *stress = asker->stress;
    uint64_t random = stress->options->seed * 77 + (uint64_t)(asker - stress->askers) + 1;
    while (__atomic_load_n(&stress->asking, __ATOMIC_ACQUIRE) != 0) {
        uint64_t draw = probe_random(&random) >> 16;
        struct slot *slot = &asker->slots[draw % SLOTS];
        if (slot->accepted != 0 && __atomic_load_n(&slot->answers, __ATOMIC_ACQUIRE) == 0) {
            sched_yield();
            continue; /* in flight */
        }
        settle_slot(asker, slot);
        /* few pages, so that groups follow each other */
        const struct ciommu_page page = {.address = page_at((uint32_t)(draw >> 8) % 8),
                                         .access = CIOMMU_READ};
        enum ciommu_status status = ciommu_page_request_group(
            asker->device->interface, NULL, asker->device->pasid, &page, 1, hear, slot);
        if (status == CIOMMU_OK) {
            slot->accepted = 1;
            asker->groups++;
        } else {
            violate(stress, "a group was refused");
        }
    }
    return NULL;
}

/* ---- The owner ---- */

static void *answer(void *context) {
    struct stress *stress = context;
    uint64_t last = 0;
    while (__atomic_load_n(&stress->answering, __ATOMIC_ACQUIRE) != 0) {
        struct ciommu_page_group group;
        struct ciommu_page pages[16];
        pthread_rwlock_rdlock(&stress->queue_lock);
        struct ciommu_page_queue *queue = stress->bench.queue;
        enum ciommu_status status = page_take(queue, &group, pages);
        uint64_t cookie = status == CIOMMU_OK ? group.cookie : last;
        last = cookie;
        if (cookie != 0) {
            enum ciommu_status answered = ciommu_page_respond(queue, cookie, CIOMMU_PAGE_SUCCESS);
            (void)__atomic_fetch_add(answered == CIOMMU_OK ? &stress->responses : &stress->refusals,
                                     1, __ATOMIC_RELAXED);
            if (answered != CIOMMU_OK && answered != CIOMMU_ALREADY_ANSWERED &&
                answered != CIOMMU_NOT_FOUND) {
                violate(stress, "a response has an odd status");
            }
        }
        if (ciommu_page_queue_overflowed(queue)) {
            ciommu_page_queue_acknowledge(queue);
        }
        pthread_rwlock_unlock(&stress->queue_lock);
        if (status != CIOMMU_OK) {
            sched_yield();
        }
    }
    return NULL;
}

/* ---- Ends ---- */

static void check_ended(struct stress *stress, struct asker *asker) {
    if (page_counts(asker->device).open != 0) {
        violate(stress, "a group is open after its detach");
    }
}

/* Detach, replace, FLR or a reset of the unit; and attaches again. */
static void end_attachments(struct stress *stress, uint64_t draw) {
    struct page_bench *bench = &stress->bench;
    struct asker *asker = &stress->askers[draw >> 8 & 1];
    struct page_device *device = asker->device;
    enum ciommu_status status = CIOMMU_OK;
    /* something is to be under way; and sometimes just about to be answered */
    for (uint32_t wait = 0; wait < 64 && page_counts(device).open == 0; wait++) {
        sched_yield();
    }
    if ((draw >> 16) % 4 == 0) {
        sched_yield();
    }
    switch (draw % 8) {
    case 0: {
        status = ciommu_device_reset(device->device, NULL);
        break;
    }
    case 1:
        status = ciommu_unit_reset(bench->unit);
        break;
    case 2:
        status = ciommu_device_replace(device->device, NULL, device->pasid, bench->nested);
        check_ended(stress, asker);
        status = status != CIOMMU_OK ? status
                                     : ciommu_device_detach(device->device, NULL, device->pasid);
        break;
    default:
        status = ciommu_device_detach(device->device, NULL, device->pasid);
    }
    check_ended(stress, asker);
    for (uint32_t number = 0; number < ASKERS; number++) {
        const struct page_device *other = stress->askers[number].device;
        if (ciommu_device_domain(other->device, other->pasid) == NULL &&
            ciommu_device_attach(other->device, other->pasid, bench->domain) != CIOMMU_OK) {
            violate(stress, "a device cannot be attached again");
        }
    }
    if (status != CIOMMU_OK) {
        violate(stress, "an end failed");
    }
}

static struct ciommu_page_queue_config stress_queue_config(struct stress *stress) {
    struct ciommu_page_queue_config config = page_queue_config(&stress->bench);
    config.groups = stress->options->kind == PROBE_PAGE_ENDS ? 6 : 64; /* full sometimes */
    config.pages = 64;
    config.clock = NULL;
    config.timeout = stress->options->kind == PROBE_PAGE_RESPOND ? 100000 : UINT64_MAX;
    return config;
}

/* The queue ends, by itself or with its domain, and another one comes. */
static void end_queue(struct stress *stress) {
    struct page_bench *bench = &stress->bench;
    const struct ciommu_page_queue_config config = stress_queue_config(stress);
    ciommu_page_queue_close(bench->queue); /* while others read and answer */
    struct ciommu_page_queue *next = NULL;
    if (ciommu_page_queue_create(bench->unit, bench->domain, &config, &next) != CIOMMU_OK) {
        violate(stress, "no queue can be made after one was closed");
        return;
    }
    pthread_rwlock_wrlock(&stress->queue_lock);
    struct ciommu_page_queue *old = bench->queue;
    bench->queue = next;
    pthread_rwlock_unlock(&stress->queue_lock);
    ciommu_page_queue_destroy(old);
}

static void change(struct stress *stress) {
    const struct probe_page_options *options = stress->options;
    uint64_t random = options->seed | 1;
    uint64_t end = options->milliseconds == 0 ? UINT64_MAX : probe_now() + options->milliseconds;
    while (stress->totals->rounds < options->rounds && probe_now() < end &&
           stress->totals->violations == 0) {
        uint64_t draw = probe_random(&random) >> 16;
        if (options->kind == PROBE_PAGE_RESPOND) {
            probe_nap(20000);
        } else if (options->kind == PROBE_PAGE_ENDS && draw % 64 < 8) {
            end_queue(stress);
        } else {
            end_attachments(stress, draw);
        }
        stress->totals->rounds++;
    }
}

/* ---- The run ---- */

static enum ciommu_status prepare(struct stress *stress) {
    struct page_bench *bench = &stress->bench;
    const struct ciommu_page_queue_config config = stress_queue_config(stress);
    ciommu_page_queue_destroy(bench->queue);
    bench->queue = NULL;
    for (uint32_t number = 0; number < ASKERS; number++) {
        struct asker *asker = &stress->askers[number];
        asker->stress = stress;
        asker->device = &bench->devices[number];
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            asker->slots[slot].asker = asker;
        }
    }
    return ciommu_page_queue_create(bench->unit, bench->domain, &config, &bench->queue);
}

static void run(struct stress *stress) {
    pthread_t answerers[2];
    stress->asking = 1;
    stress->answering = 1;
    for (uint32_t number = 0; number < 2; number++) {
        pthread_create(&answerers[number], NULL, answer, stress);
    }
    for (uint32_t number = 0; number < ASKERS; number++) {
        pthread_create(&stress->askers[number].thread, NULL, ask, &stress->askers[number]);
    }
    change(stress);
    __atomic_store_n(&stress->asking, 0, __ATOMIC_RELEASE);
    for (uint32_t number = 0; number < ASKERS; number++) {
        pthread_join(stress->askers[number].thread, NULL);
    }
    /* what is left is ended by a detach, while the answerers go on */
    for (uint32_t number = 0; number < ASKERS; number++) {
        struct asker *asker = &stress->askers[number];
        (void)ciommu_device_detach(asker->device->device, NULL, asker->device->pasid);
        check_ended(stress, asker);
        if (__atomic_load_n(&asker->running, __ATOMIC_ACQUIRE) != 0) {
            violate(stress, "a handler runs after the detach");
        }
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            settle_slot(asker, &asker->slots[slot]);
        }
        if (asker->answers != asker->groups) {
            violate(stress, "groups and answers differ in number");
        }
        stress->totals->groups += asker->groups;
        stress->totals->answers += asker->answers;
    }
    __atomic_store_n(&stress->answering, 0, __ATOMIC_RELEASE);
    for (uint32_t number = 0; number < 2; number++) {
        pthread_join(answerers[number], NULL);
    }
}

int probe_page_stress(const struct probe_page_options *options, struct probe_page_totals *totals) {
    struct stress *stress = calloc(1, sizeof *stress);
    struct probe_page_result result;
    memset(totals, 0, sizeof *totals);
    stress->options = options;
    stress->totals = totals;
    pthread_rwlock_init(&stress->queue_lock, NULL);
    enum ciommu_status status = page_bench_make(&stress->bench, &result);
    status = status != CIOMMU_OK ? status : prepare(stress);
    if (status == CIOMMU_OK) {
        probe_set_mutant(options->mutant);
        probe_widen(options->widen);
        run(stress);
        probe_widen(false);
        probe_set_mutant(0);
    }
    totals->responses = stress->responses;
    totals->refusals = stress->refusals;
    totals->cancelled = stress->cancelled;
    page_bench_unmake(&stress->bench);
    if (result.failures != 0 && totals->violations++ == 0) {
        memcpy(totals->first, result.first, sizeof totals->first);
    }
    pthread_rwlock_destroy(&stress->queue_lock);
    free(stress);
    return (int)status;
}

/* ---- Speed ---- */

static double nanoseconds(const struct timespec *from, uint32_t rounds) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((double)(now.tv_sec - from->tv_sec) * 1e9 + (double)(now.tv_nsec - from->tv_nsec)) /
           rounds;
}

int probe_page_speed(struct probe_page_speed *speed) {
    enum { ROUNDS = 20000, BATCH = 8 };
    struct page_bench *bench = calloc(1, sizeof *bench);
    struct probe_page_result result;
    struct timespec from;
    enum ciommu_status status = page_bench_make(bench, &result);
    memset(speed, 0, sizeof *speed);
    for (uint32_t round = 0; round < ROUNDS && status == CIOMMU_OK; round++) {
        struct ciommu_page_group group;
        struct ciommu_page pages[16];
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (uint32_t page = 0; page < BATCH; page++) {
            (void)page_ask(&bench->devices[0], page, page, CIOMMU_READ, CIOMMU_PAGE_LAST);
        }
        speed->request += nanoseconds(&from, BATCH) / ROUNDS;
        clock_gettime(CLOCK_MONOTONIC, &from);
        while (page_take(bench->queue, &group, pages) == CIOMMU_OK) {
            (void)ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS);
        }
        speed->respond += nanoseconds(&from, BATCH) / ROUNDS;
        struct page_device *device = &bench->devices[2];
        clock_gettime(CLOCK_MONOTONIC, &from);
        (void)ciommu_device_detach(device->device, NULL, device->pasid);
        speed->detach += nanoseconds(&from, 1) / ROUNDS;
        (void)ciommu_device_attach(device->device, device->pasid, bench->domain);
    }
    page_bench_unmake(bench);
    free(bench);
    return (int)status;
}
