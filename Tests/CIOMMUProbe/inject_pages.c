/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_pages.c - the clock of a queue of page requests jumps, goes back, stands still or ends;
 * and its descriptor is full.
 */
#define _GNU_SOURCE
#include "page_bench.h"

#include <poll.h>
#include <unistd.h>

#define R CIOMMU_READ
#define LAST CIOMMU_PAGE_LAST
#define TIMEOUT 1000u /* of the queue */
#define YEARS (UINT64_C(1) << 60)
#define FULL UINT64_C(0xfffffffffffffffe) /* the most that an eventfd holds */

#define DEVICE(number) (&bench->devices[number])
#define NEXT(group, pages) page_take(bench->queue, &(group), (pages))

static void set_clock(struct page_bench *bench, uint64_t time) {
    __atomic_store_n(&bench->time, time, __ATOMIC_RELAXED);
}

/* ---- Clocks ---- */

static void years_pass(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK); /* follows it */
    EXPECT(bench, page_ask(DEVICE(2), 3, 3, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    set_clock(bench, bench->time + YEARS);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) ==
                      CIOMMU_ALREADY_ANSWERED);
    for (uint32_t number = 0; number < PAGE_DEVICES; number++) {
        EXPECT(bench, page_heard(DEVICE(number), 1, number + 1, CIOMMU_PAGE_FAILURE,
                                 CIOMMU_PAGE_BY_DEADLINE));
    }
    EXPECT(bench, ciommu_unit_poll(bench->unit) == UINT64_MAX);
    EXPECT(bench, page_queue_counts(bench->queue).timeouts == 3);
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == TIMEOUT);
}

/* Each group has its own deadline by the clock as it was, whatever came before it. */
static void time_goes_back(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    set_clock(bench, YEARS);
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    set_clock(bench, 100);
    EXPECT(bench, page_ask(DEVICE(1), 2, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == TIMEOUT);
    set_clock(bench, 100 + TIMEOUT);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == YEARS - 100);
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    EXPECT(bench, page_count(DEVICE(0)) == 0);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.deadline == YEARS + TIMEOUT);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
    EXPECT(bench, page_queue_counts(bench->queue).latency[0] == 1); /* answered before asked */
}

/* A group that follows one from the future is answered with its owner's answer, or alone in time.
 */
static void a_leader_from_the_future(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    set_clock(bench, YEARS);
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    set_clock(bench, 100);
    EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(2), 3, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_queue_counts(bench->queue).followers == 2);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.device == 1000);
    set_clock(bench, 100 + TIMEOUT);
    (void)ciommu_unit_poll(bench->unit);
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    EXPECT(bench, page_heard(DEVICE(2), 1, 3, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_count(DEVICE(0)) == 1 && page_count(DEVICE(1)) == 1);
}

static void time_ends(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    set_clock(bench, UINT64_MAX - 5);
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == UINT64_MAX); /* no deadline is left */
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.deadline == UINT64_MAX);
    set_clock(bench, UINT64_MAX);
    (void)ciommu_unit_poll(bench->unit);
    EXPECT(bench, ciommu_page_is_open(bench->queue, group.cookie));
    set_clock(bench, 0);
    EXPECT(bench, page_ask(DEVICE(1), 2, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == TIMEOUT);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
    set_clock(bench, UINT64_MAX);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == UINT64_MAX);
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
}

static void time_stands_still(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    for (uint32_t round = 1; round <= 20; round++) {
        EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
        EXPECT(bench, ciommu_unit_poll(bench->unit) == TIMEOUT);
        EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
        EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
        EXPECT(bench, page_heard(DEVICE(0), round, 1, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
    }
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 21, 1, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
}

/* ---- The descriptor ---- */

static bool is_readable(int descriptor) {
    struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
    return poll(&wanted, 1, 0) == 1;
}

/* Whatever somebody has done to the descriptor: nobody is held up, and no group is lost. */
static void a_descriptor_is_full(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    uint64_t word = FULL;
    int descriptor = ciommu_page_queue_descriptor(bench->queue);
    EXPECT(bench, descriptor >= 0 && !is_readable(descriptor));
    EXPECT(bench, write(descriptor, &word, sizeof word) == sizeof word);
    for (uint32_t round = 1; round <= 3; round++) {
        EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
        EXPECT(bench, is_readable(descriptor));
        EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
        EXPECT(bench, !is_readable(descriptor));
        EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
        EXPECT(bench, page_count(DEVICE(0)) == round);
    }
    /* Read by the host, which it must not: it still gets what is queued. */
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, read(descriptor, &word, sizeof word) == sizeof word);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, is_readable(descriptor));
}

const struct page_case page_inject_cases[] = {
    {"years pass at once", years_pass},
    {"time goes back", time_goes_back},
    {"a leader from the future", a_leader_from_the_future},
    {"time ends", time_ends},
    {"time stands still", time_stands_still},
    {"a descriptor is full", a_descriptor_is_full},
};
const uint32_t page_inject_count = sizeof page_inject_cases / sizeof page_inject_cases[0];
