/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_clocks.c - clocks that jump by years, go back, stand still, or end: devices that are asked
 * to drop translations.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#define PASID TLB_FIRST_PASID
#define SIBLING (2 * TLB_FIRST_PASID)
#define YEARS (UINT64_C(1) << 60) /* nanoseconds; more than 36 of them */

static void set_clock(struct tlb_bench *bench, uint64_t time) {
    __atomic_store_n(&bench->time, time, __ATOMIC_RELAXED);
}

static void attach(struct tlb_bench *bench) {
    EXPECT(bench,
           ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench,
           ciommu_device_attach(bench->devices[1].device, SIBLING, bench->other) == CIOMMU_OK);
}

static void forward(struct fake_device *device, const struct ciommu_device_tlb_request *request) {
    (void)request;
    set_clock(device->bench, device->bench->time + YEARS);
}

/* Whoever has answered by then has answered in time. */
static void jumps_forward(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    device->hook = forward;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_statistics(device).round_trip[39] == 1);
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    device->hook = NULL;
}

static void backward(struct fake_device *device, const struct ciommu_device_tlb_request *request) {
    (void)request;
    set_clock(device->bench, 0);
}

/* An answer is waited for and taken, and a silent device is late when its time comes again. */
static void jumps_backward(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    set_clock(bench, YEARS);
    device->hook = backward;
    device->manner = ANSWERS_ELSEWHERE;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_statistics(device).round_trip[0] == 1);
    device->hook = NULL;
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_TIMED_OUT);
}

static void to_the_end(struct fake_device *device,
                       const struct ciommu_device_tlb_request *request) {
    (void)request;
    set_clock(device->bench, UINT64_MAX);
}

/* Deadlines beyond the end of time are its end. */
static void time_ends(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    set_clock(bench, UINT64_MAX - 5);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    set_clock(bench, UINT64_MAX);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_statistics(device).timeouts == 0);
    set_clock(bench, UINT64_MAX - 5);
    device->manner = ANSWERS_NEVER;
    device->hook = to_the_end;
    bench->timeout = 0; /* the hook alone moves the clock */
    EXPECT(bench, tlb_unmap(bench, bench->parent, 4, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, NULL) == CIOMMU_TIMED_OUT);
    device->manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, NULL) == CIOMMU_OK);
    device->hook = NULL;
}

/* ---- Others go on meanwhile ---- */

struct waiter {
    struct tlb_bench *bench;
    uint32_t page;
    enum ciommu_status status;
    pthread_t thread;
};

static void *unmap_a_page(void *argument) {
    struct waiter *waiter = argument;
    waiter->status = tlb_unmap(waiter->bench, waiter->bench->parent, waiter->page, 1);
    return NULL;
}

static void begin(struct tlb_bench *bench, struct waiter *waiter, uint32_t page) {
    *waiter = (struct waiter){.bench = bench, .page = page};
    EXPECT(bench, pthread_create(&waiter->thread, NULL, unmap_a_page, waiter) == 0);
}

static void await_requests(struct tlb_bench *bench, uint32_t count) {
    while (tlb_count(&bench->devices[0]) < count) {
        tlb_nap(1);
    }
}

/* A device says nothing while no time passes: only whoever asked it waits, until it answers. */
static void stands_still(struct tlb_bench *bench) {
    struct waiter waiter;
    attach(bench);
    bench->devices[0].manner = ANSWERS_NEVER;
    bench->timeout = 0;
    begin(bench, &waiter, 2);
    await_requests(bench, 1);
    EXPECT(bench, tlb_unmap(bench, bench->other, 2, 1) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_replace(bench->devices[1].device, bench->port, SIBLING,
                                        bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_detach(bench->devices[1].device, bench->port, SIBLING) == 0);
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_statistics(&bench->devices[0]).open == 1);
    EXPECT(bench,
           ciommu_device_tlb_answer(bench->unit, bench->devices[0].log[0].id, true) == CIOMMU_OK);
    pthread_join(waiter.thread, NULL);
    EXPECT(bench, waiter.status == CIOMMU_OK);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(2), 0) == CIOMMU_FAULT);
}

/* One waits for the only slot of the function while the clock goes back to nothing. */
static void a_wait_for_a_slot(struct tlb_bench *bench) {
    struct waiter first;
    struct waiter second;
    struct fake_device *device = &bench->devices[0];
    attach(bench);
    device->manner = ANSWERS_NEVER;
    bench->timeout = 0;
    set_clock(bench, UINT64_MAX - 5);
    begin(bench, &first, 2);
    await_requests(bench, 1);
    begin(bench, &second, 3);
    tlb_nap(5);
    set_clock(bench, 0);
    tlb_nap(5);
    EXPECT(bench, ciommu_device_tlb_answer(bench->unit, device->log[0].id, true) == CIOMMU_OK);
    await_requests(bench, 2);
    EXPECT(bench, ciommu_device_tlb_answer(bench->unit, device->log[1].id, true) == CIOMMU_OK);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    EXPECT(bench, first.status == CIOMMU_OK && second.status == CIOMMU_OK);
    EXPECT(bench, tlb_statistics(device).timeouts == 0);
}

/* The longest drain there is ends when the section does. */
static void *leave_soon(void *argument) {
    struct tlb_bench *bench = argument;
    ciommu_port_enter(bench->devices[0].port);
    __atomic_store_n(&bench->devices[0].second_status, 1, __ATOMIC_RELEASE);
    tlb_nap(20);
    ciommu_port_leave(bench->devices[0].port);
    return NULL;
}

static void drains_wait(struct tlb_bench *bench) {
    pthread_t thread;
    EXPECT(bench, pthread_create(&thread, NULL, leave_soon, bench) == 0);
    while (__atomic_load_n(&bench->devices[0].second_status, __ATOMIC_ACQUIRE) == 0) {
        tlb_nap(1);
    }
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK);
    pthread_join(thread, NULL);
}

#define LONGEST (UINT64_MAX / 1000000) /* milliseconds: beyond the end of the clock from now on */

const struct tlb_case tlb_clock_cases[] = {
    {"a clock that jumps forward by years", jumps_forward, 0, 0, 0, true},
    {"a clock that jumps backward by years", jumps_backward, 0, 0, 0, true},
    {"a clock that ends", time_ends, 0, 0, 0, true},
    {"a clock that stands still", stands_still, 0, 0, 0, true},
    {"a clock that jumps while a request waits for a slot", a_wait_for_a_slot, 1, 0, 0, true},
    {"a drain without end", drains_wait, 0, 0, LONGEST, false},
    {"a device without deadline", stands_still, 0, LONGEST, 0, false},
};
const uint32_t tlb_clock_count = sizeof tlb_clock_cases / sizeof tlb_clock_cases[0];
