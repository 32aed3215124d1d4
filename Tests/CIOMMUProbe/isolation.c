/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * isolation.c - device threads that read, write, fault, ask for pages and raise interrupts, beside
 * a thread for each guest that changes its attachments (isolation_world.h says how it is judged).
 */
#define _GNU_SOURCE
#include "harness.h"
#include "isolation_world.h"
#include "probe.h"
#include "trials.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS_MOST 12u
#define CHANGERS (2 * ISO_GUESTS) /* a guest's own, then one of half of its tenants */
#define PAGE_WORDS 512u
#define TOGETHER 8u
#define WORDS 16u /* of a page that are mostly read in a section; else all */

struct run {
    struct iso_world world; /* first: complain() finds the run by it */
    const struct probe_isolation_settings *settings;
    const struct probe_trial_options *options;
    uint32_t stop;
    uint64_t violations;
    uint64_t reads; /* that found a page */
    uint64_t misses;
    uint64_t writes;
    uint64_t tenants;
    uint64_t changes;
    pthread_mutex_t lock;
    char first[400];
};

struct worker {
    struct run *run;
    uint32_t number;
    uint64_t random;
    uint64_t counts[2]; /* misses and reads */
    uint64_t writes;
    uint64_t tenants; /* that found their page */
    pthread_t thread;
};

static bool is_over(const struct run *run) {
    return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) != 0;
}

static void complain(struct iso_world *world, const char *what, uint64_t one, uint64_t other,
                     uint64_t third) {
    struct run *run = (struct run *)world;
    (void)__atomic_fetch_add(&run->violations, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&run->lock);
    if (run->first[0] == 0) {
        (void)snprintf(run->first, sizeof run->first, "%s: %llx, %llx, %llx", what,
                       (unsigned long long)one, (unsigned long long)other,
                       (unsigned long long)third);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

/* ---- Reads ---- */

static bool was_state(const struct iso_point *point, uint64_t done, uint64_t started,
                      uint32_t state) {
    if (started - done >= ISO_HISTORY / 2) {
        return true; /* the history has moved on; the reader was asleep for very long */
    }
    for (uint64_t at = done; at <= started; at++) {
        if (__atomic_load_n(&point->states[at % ISO_HISTORY], __ATOMIC_RELAXED) == state) {
            return true;
        }
    }
    return false;
}

/* What a device wants of its guest. */
struct wish {
    struct iso_device *device;
    const struct iso_point *point; /* NULL: a tenant's */
    uint64_t done;                 /* changes of the point, before the section */
    uint32_t pasid;
    uint32_t page;
    uint32_t start; /* words of the page */
    uint32_t count;
    bool writes;
};

static void wish_words(struct wish *wish, uint64_t random) {
    wish->page = (uint32_t)random % ISO_PAGES;
    wish->writes = (random >> 8) % 4 == 0;
    if ((random >> 10) % 16 == 0) {
        wish->start = 0;
        wish->count = PAGE_WORDS;
    } else {
        wish->start = (uint32_t)(random >> 16) % (PAGE_WORDS - WORDS + 1);
        wish->count = WORDS;
    }
}

/* Before the section. */
static struct wish wish_point(struct iso_device *device, uint64_t random) {
    const struct iso_point *point = &device->points[random % ISO_POINTS];
    struct wish wish = {.device = device,
                        .point = point,
                        .done = __atomic_load_n(&point->finished, __ATOMIC_SEQ_CST),
                        .pasid = point->pasid};
    wish_words(&wish, random >> 8);
    return wish;
}

static struct ciommu_request request_of(const struct wish *wish) {
    return (struct ciommu_request){.source = wish->device->source,
                                   .pasid = wish->pasid,
                                   .iova = ISO_IOVA + wish->page * ISO_PAGE,
                                   .access = wish->writes ? CIOMMU_WRITE : CIOMMU_READ,
                                   .flags = CIOMMU_NO_FAULT};
}

/* The domain of the guest that all words belong to; ISO_NOTHING and a complaint if none. Then the
 * device writes, if it wants to: to the end of the section the page is its own. */
static uint32_t use_page(struct worker *worker, const struct wish *wish, uint64_t *host) {
    uint64_t seen = __atomic_load_n(&host[wish->start], __ATOMIC_RELAXED);
    uint32_t domain = (uint32_t)(seen >> 40 & 0xff);
    for (uint32_t word = wish->start; word < wish->start + wish->count; word++) {
        uint64_t found = __atomic_load_n(&host[word], __ATOMIC_RELAXED);
        if (domain >= ISO_DOMAINS ||
            !iso_may_hold(wish->device->guest, domain, wish->page, word, found)) {
            complain(&worker->run->world, "a foreign word (device, wanted page, found)",
                     wish->device->id, wish->page, found);
            return ISO_NOTHING;
        }
    }
    if (wish->writes) {
        iso_write(wish->device, host, ++worker->writes);
    }
    return domain;
}

static bool is_found(enum ciommu_status status, const struct ciommu_result *result) {
    return status == CIOMMU_OK && result->outcome == CIOMMU_TRANSLATED_OK;
}

/* One answer for a point, judged by its history. Inside the section. */
static void judge(struct worker *worker, const struct wish *wish, enum ciommu_status status,
                  const struct ciommu_result *result) {
    struct run *run = worker->run;
    uint64_t device = wish->device->id;
    uint64_t started = __atomic_load_n(&wish->point->started, __ATOMIC_SEQ_CST);
    bool found = is_found(status, result);
    worker->counts[found]++;
    if (status != CIOMMU_OK || (found && result->host == NULL)) {
        complain(&run->world, "no answer (device, status)", device, status, 0);
    } else if (!found && !was_state(wish->point, wish->done, started, ISO_NOTHING)) {
        complain(&run->world, "a fault while something was attached (device, pasid, code)", device,
                 wish->pasid, result->fault.code);
    } else if (found) {
        uint32_t domain = use_page(worker, wish, (uint64_t *)(void *)result->host);
        if (domain != ISO_NOTHING && !was_state(wish->point, wish->done, started, domain)) {
            complain(&run->world, "not attached to it (device, pasid, domain)", device, wish->pasid,
                     domain);
        }
    }
}

static enum ciommu_status look(struct ciommu_port *port, const struct wish *wish,
                               struct ciommu_result *result) {
    const struct ciommu_request request = request_of(wish);
    const struct iso_device *device = wish->device;
    *result = (struct ciommu_result){.size = sizeof *result};
    return ciommu_translate(device->world->guests[device->guest].unit, port, request.source,
                            request.pasid, request.iova, request.access, request.flags, result);
}

/* A tenant's work: its guest PASID is looked up and used in one section. */
static void read_tenant(struct worker *worker, struct ciommu_port *port, struct iso_guest *guest,
                        uint64_t random) {
    uint32_t tenant = (uint32_t)(random % ISO_TENANT_COUNT);
    struct wish wish = {.device = &guest->devices[ISO_TENANT_DEVICE],
                        .pasid = ciommu_namespace_host(guest->space, tenant)};
    struct ciommu_result result;
    if (wish.pasid == CIOMMU_NO_PASID) {
        return;
    }
    if ((random >> 4) % (worker->run->settings->widen ? 4 : 64) == 0) {
        probe_nap(20000); /* the host PASID must stay the tenant's all the time */
    }
    wish_words(&wish, random >> 10);
    enum ciommu_status status = look(port, &wish, &result);
    bool found = is_found(status, &result) && result.host != NULL;
    worker->counts[found]++;
    worker->tenants += found;
    if (found) {
        uint32_t domain = use_page(worker, &wish, (uint64_t *)(void *)result.host);
        if (domain != ISO_NOTHING && domain != ISO_TENANTS + tenant) {
            complain(&worker->run->world, "another tenant's (tenant, host pasid, domain)", tenant,
                     wish.pasid, domain);
        }
    }
}

/* ---- Work ---- */

/* Requests of several devices, also of the other guest if the unit is the same: each gets its own
 * answer. */
static void read_together(struct worker *worker, struct ciommu_port *port,
                          struct iso_guest *guest) {
    struct iso_world *world = guest->world;
    struct wish wishes[TOGETHER];
    struct ciommu_request requests[TOGETHER];
    struct ciommu_result results[TOGETHER];
    for (uint32_t index = 0; index < TOGETHER; index++) {
        uint64_t random = probe_random(&worker->random) >> 8;
        struct iso_guest *asked = world->split ? guest : &world->guests[random % ISO_GUESTS];
        struct iso_device *device = &asked->devices[(random >> 8) % ISO_TENANT_DEVICE];
        wishes[index] = wish_point(device, random >> 16);
        requests[index] = request_of(&wishes[index]);
        results[index] = (struct ciommu_result){.size = sizeof results[index]};
    }
    ciommu_port_enter(port);
    enum ciommu_status status = ciommu_translate_batch(port, requests, results, TOGETHER, NULL);
    for (uint32_t index = 0; index < TOGETHER; index++) {
        judge(worker, &wishes[index], status, &results[index]);
    }
    ciommu_port_leave(port);
}

static void work_once(struct worker *worker, struct ciommu_port *port, struct iso_guest *guest) {
    uint64_t random = probe_random(&worker->random) >> 8;
    struct iso_device *device = &guest->devices[(random >> 8) % ISO_TENANT_DEVICE];
    uint32_t kind = (uint32_t)(random % 32);
    if (kind == 0 && device->sliced) {
        iso_ask_for_page(device, random >> 16);
        return;
    }
    if (kind > 29) {
        read_together(worker, port, guest);
        return;
    }
    const struct wish wish = wish_point(device, random >> 16);
    ciommu_port_enter(port);
    if (kind == 1) {
        iso_make_fault(port, device, random >> 16);
    } else if (kind < 4 && device->sliced) {
        iso_raise_message(port, device, random >> 16);
    } else if (kind < 14) {
        read_tenant(worker, port, guest, random >> 16);
    } else {
        struct ciommu_result result;
        enum ciommu_status status = look(port, &wish, &result);
        judge(worker, &wish, status, &result);
    }
    ciommu_port_leave(port);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    struct ciommu_port *ports[ISO_GUESTS] = {NULL, NULL};
    for (uint32_t guest = 0; guest < ISO_GUESTS; guest++) {
        uint32_t unit = run->world.split ? guest : 0;
        if (ports[unit] == NULL &&
            ciommu_port_create(run->world.units[unit], &ports[unit]) != CIOMMU_OK) {
            complain(&run->world, "no port", 0, 0, 0);
        }
    }
    while (!is_over(run)) {
        uint32_t guest = (uint32_t)(probe_random(&worker->random) >> 33) % ISO_GUESTS;
        work_once(worker, ports[run->world.split ? guest : 0], &run->world.guests[guest]);
        if (worker->random % 256 == 0) {
            probe_nap(20000); /* outside of sections, so that changes get through */
        }
    }
    for (uint32_t guest = 0; guest < ISO_GUESTS; guest++) {
        (void)ciommu_port_destroy(ports[guest]);
    }
    (void)__atomic_fetch_add(&run->misses, worker->counts[0], __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&run->reads, worker->counts[1], __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&run->writes, worker->writes, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&run->tenants, worker->tenants, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- Changes ---- */

static void *change(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    struct iso_guest *guest = &run->world.guests[worker->number % ISO_GUESTS];
    bool tenants = worker->number >= ISO_GUESTS;
    uint64_t end = probe_now() + run->options->milliseconds;
    uint64_t changes = 0;
    while (!is_over(run) && probe_now() < end) {
        uint64_t random = probe_random(&worker->random) >> 8;
        enum ciommu_status status =
            tenants ? iso_change_tenant(guest, 1, random >> 16) : iso_change(guest, random);
        changes++;
        if (status != CIOMMU_OK) {
            complain(&run->world, ciommu_status_text(status), guest->number, random % 16, status);
        }
        if (!tenants && (random >> 40) % 8 == 0) {
            iso_answer_pages(guest);
            for (uint32_t device = 0; device < ISO_DEVICES; device++) {
                iso_read_faults(&guest->devices[device]);
            }
        }
        if ((random >> 44) % 8 == 0) {
            probe_nap(20000);
        }
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&run->changes, changes, __ATOMIC_RELAXED);
    return NULL;
}

static void run_threads(struct run *run) {
    struct worker workers[READERS_MOST + CHANGERS];
    uint32_t count = CHANGERS + run->settings->readers;
    probe_widen(run->settings->widen);
    probe_set_mutant(run->options->mutant);
    for (uint32_t index = 0; index < count; index++) {
        workers[index] = (struct worker){
            .run = run, .number = index, .random = (run->options->seed + index * 77) * 2 + 1};
        pthread_create(&workers[index].thread, NULL, index < CHANGERS ? change : work,
                       &workers[index]);
    }
    for (uint32_t index = 0; index < count; index++) {
        pthread_join(workers[index].thread, NULL);
    }
    probe_set_mutant(0);
    probe_widen(false);
}

/* What there must have been for a run to show anything. */
#define NEEDS                                                                                      \
    (SEES_OPERATIONS | SEES_CHANGES | SEES_WRITES | SEES_RECEIVED | SEES_RESPONSES | SEES_RAISES | \
     SEES_TENANTS)

static uint32_t sights(const struct run *run) {
    uint32_t seen = trial_sees(SEES_OPERATIONS, run->reads) |
                    trial_sees(SEES_CHANGES, run->changes) | trial_sees(SEES_WRITES, run->writes) |
                    trial_sees(SEES_TENANTS, run->tenants);
    for (uint32_t number = 0; number < ISO_GUESTS * ISO_DEVICES; number++) {
        const struct iso_device *device =
            &run->world.guests[number / ISO_DEVICES].devices[number % ISO_DEVICES];
        seen |= trial_sees(SEES_RECEIVED, device->told) |
                trial_sees(SEES_RESPONSES, device->served) |
                trial_sees(SEES_RAISES, device->raised);
    }
    return seen;
}

static int run_pass(const void *settings, const struct probe_trial_options *options,
                    struct trial_pass *pass) {
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    run->settings = settings;
    run->options = options;
    run->world.complain = complain;
    pthread_mutex_init(&run->lock, NULL);
    enum ciommu_status status = iso_world_create(&run->world, run->settings);
    if (status == CIOMMU_OK) {
        run_threads(run);
        for (uint32_t guest = 0; guest < ISO_GUESTS; guest++) { /* what is outstanding ends */
            for (uint32_t device = 0; device < ISO_DEVICES; device++) {
                (void)ciommu_device_reset(run->world.guests[guest].devices[device].device, NULL);
            }
        }
        iso_world_check(&run->world);
    }
    iso_world_destroy(&run->world);
    pass->violations = run->violations;
    pass->operations = run->reads + run->misses;
    pass->changes = run->changes;
    pass->sights = sights(run);
    memcpy(pass->first, run->first, sizeof pass->first);
    pthread_mutex_destroy(&run->lock);
    free(run);
    return (int)status;
}

int probe_isolation_trial(const struct probe_trial *trial,
                          const struct probe_trial_options *options,
                          struct probe_trial_result *result) {
    static const struct trial_world world = {run_pass, NEEDS};
    return trial_run(&world, trial, options, result);
}
