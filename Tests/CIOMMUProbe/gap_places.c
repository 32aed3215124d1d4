/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_places.c - several objects in one bucket or list, ends of tables, and calls of the system
 * that a signal interrupts.
 */
#define _GNU_SOURCE
#include "gap.h"
#include "harness.h"
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* ---- Buckets ---- */

static uint64_t bucket_of(uint64_t id) {
    return id * UINT64_C(0x9e3779b97f4a7c15) >> 54; /* as device.c has it */
}

/* Devices whose ids share a bucket: each is found, and taken out of the middle. */
static void devices_share_a_bucket(struct inject_world *world) {
    struct ciommu_device *devices[3] = {NULL};
    uint64_t ids[3];
    uint64_t id = 1000;
    for (uint32_t number = 0; number < 3; number++) {
        while (bucket_of(id) != bucket_of(1000)) {
            id++;
        }
        ids[number] = id++;
        const struct ciommu_device_config config = {
            .size = sizeof config, .source = 0x100 + number, .id = ids[number]};
        EXPECT(world, ciommu_device_create(world->unit, NULL, &config, &devices[number]) == 0);
    }
    for (uint32_t number = 0; number < 3; number++) {
        struct ciommu_device *again = NULL;
        const struct ciommu_device_config config = {
            .size = sizeof config, .source = 0x200, .id = ids[number]};
        EXPECT(world, ciommu_device_create(world->unit, NULL, &config, &again) == CIOMMU_EXISTS);
    }
    for (uint32_t number = 0; number < 3; number++) { /* oldest first: from the end */
        EXPECT(world, ciommu_device_destroy(devices[number], NULL) == CIOMMU_OK);
    }
}

/* Sources and functions that share a bucket or a list, ended in the order in which they came. */
static void device_tlbs_share_a_bucket(struct inject_world *world) {
    struct ciommu_device_tlb *tlbs[3] = {NULL};
    for (uint32_t number = 0; number < 3; number++) {
        const struct ciommu_device_tlb_config config =
            inject_tlb_config(world, INJECT_FREE + number * 64);
        EXPECT(world, ciommu_device_tlb_create(world->unit, &config, &tlbs[number]) == CIOMMU_OK);
    }
    for (uint32_t number = 0; number < 3; number++) {
        struct ciommu_device_tlb_statistics counts = {.size = sizeof counts};
        const struct ciommu_invalidation what = {
            .size = sizeof what,
            .kind = CIOMMU_INVALIDATE_DEVICE_TLB,
            .pasid = 5,
            .source = INJECT_FREE + number * 64,
            .last = UINT64_MAX,
        };
        EXPECT(world, ciommu_invalidate(world->unit, world->port, &what) == CIOMMU_OK);
        ciommu_device_tlb_read_statistics(tlbs[number], &counts);
        EXPECT(world, counts.requests == 1);
    }
    for (uint32_t number = 0; number < 3; number++) {
        EXPECT(world, ciommu_device_tlb_destroy(tlbs[number], NULL) == CIOMMU_OK);
    }
}

/* ---- Requests that are older than those the unit remembers ---- */

struct forgetful {
    struct inject_world *world;
    uint64_t first; /* the one that is not answered at once; atomic */
    struct ciommu_device_tlb *tlb;
    enum ciommu_status status;
};

static void answer_all_but_the_first(void *context,
                                     const struct ciommu_device_tlb_request *request) {
    struct forgetful *forgetful = context;
    if (__atomic_load_n(&forgetful->first, __ATOMIC_ACQUIRE) == 0) {
        __atomic_store_n(&forgetful->first, request->id, __ATOMIC_RELEASE);
    } else {
        EXPECT(forgetful->world,
               ciommu_device_tlb_answer(forgetful->world->unit, request->id, true) == CIOMMU_OK);
    }
}

static void *ask_and_wait(void *context) {
    struct forgetful *forgetful = context;
    forgetful->status = ciommu_device_tlb_retry(forgetful->tlb, NULL);
    return NULL;
}

static void old_requests_are_answered(struct inject_world *world) {
    struct forgetful forgetful = {.world = world};
    struct ciommu_device_tlb_config config = inject_tlb_config(world, INJECT_FREE);
    pthread_t thread;
    config.handler = answer_all_but_the_first;
    config.context = &forgetful;
    EXPECT(world, ciommu_device_tlb_create(world->unit, &config, &forgetful.tlb) == CIOMMU_OK);
    EXPECT(world, pthread_create(&thread, NULL, ask_and_wait, &forgetful) == 0);
    while (__atomic_load_n(&forgetful.first, __ATOMIC_ACQUIRE) == 0) {
        probe_nap(100000);
    }
    for (uint32_t request = 0; request < 2 * TLB_RECENT; request++) {
        EXPECT(world, ciommu_device_tlb_retry(forgetful.tlb, NULL) == CIOMMU_OK);
    }
    /* Answered long ago, and so long ago that nobody knows of it. */
    EXPECT(world,
           ciommu_device_tlb_answer(world->unit, forgetful.first + 1, true) == CIOMMU_NOT_FOUND);
    EXPECT(world, ciommu_device_tlb_answer(world->unit, forgetful.first, true) == CIOMMU_OK);
    EXPECT(world, ciommu_device_tlb_answer(world->unit, forgetful.first, true) == CIOMMU_NOT_FOUND);
    pthread_join(thread, NULL);
    EXPECT(world, forgetful.status == CIOMMU_OK);
    EXPECT(world, ciommu_device_tlb_destroy(forgetful.tlb, NULL) == CIOMMU_OK);
}

/* ---- Fault queues ---- */

/* Numbers are used up: nothing is made, nothing is lost. */
static void numbers_of_fault_queues_end(struct inject_world *world) {
    uint32_t kept[sizeof world->unit->faults.numbers / sizeof(uint32_t)];
    const struct ciommu_fault_queue_config config = inject_fault_config();
    struct ciommu_fault_queue *queue = NULL;
    uint32_t sources = world->unit->faults.sources;
    memcpy(kept, world->unit->faults.numbers, sizeof kept);
    memset(world->unit->faults.numbers, 0xff, sizeof kept);
    EXPECT(world, ciommu_fault_queue_create(world->unit, NULL, &config, &queue) == CIOMMU_NO_SPACE);
    EXPECT(world, queue == NULL && world->unit->faults.sources == sources);
    memcpy(world->unit->faults.numbers, kept, sizeof kept);
    EXPECT(world, ciommu_fault_queue_create(world->unit, NULL, &config, &queue) == CIOMMU_OK);
    ciommu_fault_queue_destroy(queue);
}

static void count(void *context) {
    (void)__atomic_fetch_add((uint32_t *)context, 1, __ATOMIC_RELEASE);
}

static void ignore_signal(int number) {
    (void)number;
}

/* A signal ends the event thread's sleep, and nothing else: it goes on sleeping, and wakes. */
static void signals_interrupt_the_event_thread(struct inject_world *world) {
    struct ciommu_fault_queue_config config = inject_fault_config();
    struct ciommu_fault_queue *queue = NULL;
    struct ciommu_fault_record record = {.size = sizeof record};
    uint32_t calls = 0;
    struct sigaction old;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ignore_signal;
    config.ready = count;
    config.context = &calls;
    sigset_t mask; /* the event thread inherits it; threads of a pool block everything */
    sigset_t kept;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    EXPECT(world, sigaction(SIGUSR2, &action, &old) == 0);
    EXPECT(world, pthread_sigmask(SIG_UNBLOCK, &mask, &kept) == 0);
    EXPECT(world,
           ciommu_fault_queue_create_software(world->unit, 99, &config, &queue) == CIOMMU_OK);
    EXPECT(world, pthread_sigmask(SIG_SETMASK, &kept, NULL) == 0);
    for (uint32_t round = 1; round <= 5; round++) {
        struct ciommu_fault fault = {
            .size = sizeof fault, .reason = CIOMMU_FAULT_PERMISSION, .pasid = CIOMMU_NO_PASID};
        for (uint32_t time = 0; time < 10; time++) {
            EXPECT(world, pthread_kill(world->unit->events.thread, SIGUSR2) == 0);
            probe_nap(500000);
        }
        EXPECT(world, ciommu_fault_report(queue, &fault) == CIOMMU_OK);
        while (__atomic_load_n(&calls, __ATOMIC_ACQUIRE) < round) {
            probe_nap(100000);
        }
        EXPECT(world, ciommu_fault_read(queue, &record, 1) == 1);
        EXPECT(world, record.kind == CIOMMU_RECORD_FAULT);
        EXPECT(world, ciommu_fault_read(queue, &record, 1) == 0);
    }
    ciommu_fault_queue_destroy(queue);
    EXPECT(world, sigaction(SIGUSR2, &old, NULL) == 0);
}

/* ---- Submission ---- */

static void complete(void *context, enum ciommu_status status,
                     const struct ciommu_batch_result *result) {
    struct inject_world *world = context;
    EXPECT(world, status == CIOMMU_OK && result->handled == 1);
    (void)__atomic_fetch_add(&world->completed, 1, __ATOMIC_RELEASE);
}

static void hear_interrupt_cache(void *context, uint32_t index, uint32_t first, uint32_t last) {
    struct inject_world *world = context;
    EXPECT(world, index == 0 && first == 0 && last == 0xffff);
    (void)__atomic_fetch_add(&world->new_observer, 1, __ATOMIC_RELEASE);
}

/* The only port of the pool is taken when the thread wants it: it waits. Its host's functions are
 * called from the copy that the submission took. */
static void the_pool_is_empty_for_a_while(struct inject_world *world) {
    const uint64_t entry[2] = {4, 0}; /* interrupt-entry cache, global */
    const struct ciommu_batch batch = {.size = sizeof batch,
                                       .format = CIOMMU_BATCH_VTD_128,
                                       .entry_length = 16,
                                       .count = 1,
                                       .entries = entry};
    struct ciommu_batch_host host = {
        .size = sizeof host, .context = world, .interrupt_cache = hear_interrupt_cache};
    struct ciommu_port *lent = ciommu_port_borrow(world->unit);
    EXPECT(world, lent != NULL && ciommu_port_borrow(world->unit) == NULL);
    EXPECT(world, ciommu_batch_submit(world->unit, world->port, &batch, &host, 4, complete,
                                      world) == CIOMMU_OK);
    memset(&host, 0, sizeof host);
    probe_nap(5000000);
    EXPECT(world, __atomic_load_n(&world->completed, __ATOMIC_ACQUIRE) == 0);
    ciommu_port_give_back(lent);
    ciommu_batch_finish(world->unit);
    EXPECT(world, world->completed == 1 && world->new_observer == 1);
}

/* ---- Page requests without a port of the caller's ---- */

static void hear_group(void *context, const struct ciommu_page_answer *answer) {
    (void)answer;
    ++*(uint32_t *)context;
}

/* A guest's source: its tables are asked through the pool, if that has a port. */
static void pages_are_asked_for_through_the_pool(struct inject_world *world) {
    struct ciommu_page_interface_config config = inject_interface_config();
    struct ciommu_page_interface *interface = NULL;
    struct ciommu_page_interface_statistics counts = {.size = sizeof counts};
    const struct ciommu_page page = {.address = INJECT_IOVA, .access = CIOMMU_READ};
    const struct ciommu_page_request request = {.size = sizeof request,
                                                .pasid = 5,
                                                .address = INJECT_IOVA,
                                                .access = CIOMMU_READ,
                                                .flags = CIOMMU_PAGE_LAST};
    uint32_t heard = 0;
    config.source = INJECT_FREE;
    config.flags = 0;
    config.first_pasid = 1;
    config.last_pasid = 9;
    EXPECT(world, ciommu_page_interface_create(world->unit, &config, &interface) == CIOMMU_OK);
    struct ciommu_port *lent = ciommu_port_borrow(world->unit);
    EXPECT(world, ciommu_page_request(interface, NULL, &request) == CIOMMU_NO_PORT);
    EXPECT(world, ciommu_page_request_group(interface, NULL, 5, &page, 1, hear_group, &heard) ==
                      CIOMMU_NO_PORT);
    ciommu_port_give_back(lent);
    /* No table: the context entry is absent. */
    EXPECT(world, ciommu_page_request(interface, NULL, &request) == CIOMMU_FAULTED);
    EXPECT(world, ciommu_page_request_group(interface, NULL, 5, &page, 1, hear_group, &heard) ==
                      CIOMMU_FAULTED);
    EXPECT(world, ciommu_page_request_group(interface, NULL, 10, &page, 1, hear_group, &heard) ==
                      CIOMMU_NOT_OWNED);
    lent = ciommu_port_borrow(world->unit);
    EXPECT(world, lent != NULL); /* it was given back */
    ciommu_port_give_back(lent);
    ciommu_page_interface_close(interface);
    EXPECT(world, ciommu_page_request(interface, NULL, &request) == CIOMMU_CLOSED);
    ciommu_page_interface_read_statistics(interface, &counts);
    EXPECT(world, counts.refused == 5 && counts.requests == 0 && heard == 0);
    ciommu_page_interface_destroy(interface);
}

const struct gap_case gap_place_cases[] = {
    {"devices share a bucket", devices_share_a_bucket},
    {"device-TLBs share a bucket", device_tlbs_share_a_bucket},
    {"old requests are answered", old_requests_are_answered},
    {"numbers of fault queues end", numbers_of_fault_queues_end},
    {"signals interrupt the event thread", signals_interrupt_the_event_thread},
    {"the pool is empty for a while", the_pool_is_empty_for_a_while},
    {"pages are asked for through the pool", pages_are_asked_for_through_the_pool},
};
const uint32_t gap_place_count = sizeof gap_place_cases / sizeof gap_place_cases[0];
