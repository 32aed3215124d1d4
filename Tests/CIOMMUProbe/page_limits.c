/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_limits.c - cases of page requests: limits, overflow, groups that follow another one, and the
 * queue's descriptor.
 */
#define _GNU_SOURCE
#include "page_bench.h"

#include <poll.h>
#include <time.h>

#define R CIOMMU_READ
#define W CIOMMU_WRITE
#define X CIOMMU_EXECUTE
#define LAST CIOMMU_PAGE_LAST

#define DEVICE(number) (&bench->devices[number])
#define NEXT(group, pages) page_take(bench->queue, &(group), (pages))

static void limits_of_an_interface(struct page_bench *bench) {
    struct page_device *device = DEVICE(0);
    for (uint32_t group = 0; group < 32; group++) { /* all incomplete */
        EXPECT(bench, page_ask(device, group, group, R, 0) == CIOMMU_OK);
    }
    EXPECT(bench, page_ask(device, 40, 1, R, LAST) == CIOMMU_NO_SPACE);
    EXPECT(bench, page_ask(device, 40, 1, R | X, LAST) == CIOMMU_NO_SPACE);
    for (uint32_t page = 0; page < 32; page++) {
        EXPECT(bench, page_ask(device, 0, 64 + page, R, 0) == CIOMMU_OK);
    }
    EXPECT(bench, page_ask(device, 0, 200, R, LAST) == CIOMMU_NO_SPACE);
    struct ciommu_page_interface_statistics counts = page_counts(device);
    EXPECT(bench, counts.open == 32 && counts.high_water == 32 && counts.refused == 3 &&
                      counts.requests == 64);
    EXPECT(bench, page_ask(DEVICE(1), 0, 1, R, LAST) == CIOMMU_OK); /* the other goes on */
    EXPECT(bench, ciommu_device_reset(device->device, bench->port) == CIOMMU_OK);
    EXPECT(bench, page_counts(device).open == 0 && page_count(device) == 0);
}

static void overflow_is_answered_and_signalled(struct page_bench *bench) {
    struct page_device *device = DEVICE(0);
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(1), 300, 50, R, 0) == CIOMMU_OK); /* incomplete */
    for (uint32_t index = 0; index < 8; index++) {
        EXPECT(bench, page_ask(device, index, index, R, LAST) == CIOMMU_OK);
    }
    EXPECT(bench, !ciommu_page_queue_overflowed(bench->queue));
    uint32_t readies = bench->readies;
    EXPECT(bench, page_ask(device, 8, 8, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_page_queue_overflowed(bench->queue) && bench->readies == readies + 1);
    EXPECT(bench, page_heard(device, 1, 8, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OVERFLOW));
    EXPECT(bench, page_counts(DEVICE(1)).open == 0); /* the incomplete one is gone, silently */
    EXPECT(bench, page_count(DEVICE(1)) == 0);
    /* room alone does not end it */
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_ask(DEVICE(1), 1, 60, R, 0) == CIOMMU_OK); /* lost */
    EXPECT(bench, page_ask(DEVICE(1), 1, 61, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(1), 1, 1, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OVERFLOW));
    struct ciommu_page_queue_statistics counts = page_queue_counts(bench->queue);
    EXPECT(bench, counts.overflows == 1 && counts.lost == 4 && counts.queued == 7 &&
                      counts.high_water == 8);
    ciommu_page_queue_acknowledge(bench->queue);
    EXPECT(bench, !ciommu_page_queue_overflowed(bench->queue));
    EXPECT(bench, page_ask(DEVICE(1), 1, 62, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_count(DEVICE(1)) == 1);
    for (uint32_t index = 0; index < 8; index++) {
        EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    }
    EXPECT(bench, group.device == 1001 && group.count == 1 && pages[0].address == page_at(62));
}

static void pages_overflow_too(struct page_bench *bench) {
    struct page_device *device = DEVICE(0);
    for (uint32_t page = 0; page < 31; page++) {
        EXPECT(bench, page_ask(device, 0, page, R, page == 30 ? LAST : 0) == CIOMMU_OK);
    }
    EXPECT(bench, page_ask(device, 1, 100, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(device, 1, 101, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_heard(device, 1, 1, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OVERFLOW));
    ciommu_page_queue_acknowledge(bench->queue);
    EXPECT(bench, page_ask(device, 1, 100, R, LAST) == CIOMMU_OK); /* exactly full */
    EXPECT(bench, page_count(device) == 1);
    /* what can never fit does not overflow it again and again */
    for (uint32_t page = 0; page < 33; page++) {
        EXPECT(bench, page_ask(DEVICE(1), 0, page, R, page == 32 ? LAST : 0) == CIOMMU_OK);
    }
    EXPECT(bench, page_heard(DEVICE(1), 1, 0, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_NOBODY));
    EXPECT(bench, !ciommu_page_queue_overflowed(bench->queue));
}

static void followers_ride_along(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 1, 2, W, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 2, 2, W, 0) == CIOMMU_OK); /* in another order */
    EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(2), 3, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(2), 3, 2, W, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(2), 4, 2, W, LAST) == CIOMMU_OK); /* less: its own */
    struct ciommu_page_group other;
    EXPECT(bench, NEXT(other, pages) == CIOMMU_OK && other.group == 4);
    EXPECT(bench, NEXT(other, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_INVALID) == 0);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_OWNER));
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_OWNER));
    EXPECT(bench, page_heard(DEVICE(2), 1, 3, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_OWNER));
    struct ciommu_page_queue_statistics counts = page_queue_counts(bench->queue);
    EXPECT(bench, counts.followers == 2 && counts.groups == 4 && counts.reads == 2 &&
                      counts.delivered == 1 && counts.responses[CIOMMU_PAGE_INVALID] == 3);
}

static void a_follower_takes_the_place(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    for (uint32_t read = 0; read < 2; read++) { /* of a leader that was read, or was not */
        uint32_t base = page_count(DEVICE(1));
        EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
        EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK);
        EXPECT(bench, page_ask(DEVICE(2), 3, 1, R, LAST) == CIOMMU_OK);
        uint64_t cookie = 0;
        if (read != 0) {
            EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.device == 1000);
            cookie = group.cookie;
        }
        EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
        EXPECT(bench, page_count(DEVICE(1)) == base);
        EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.device == 1001);
        EXPECT(bench, group.count == 1 && pages[0].address == page_at(1));
        if (read != 0) {
            EXPECT(bench, ciommu_page_respond(bench->queue, cookie, CIOMMU_PAGE_SUCCESS) ==
                              CIOMMU_ALREADY_ANSWERED);
        }
        EXPECT(bench, page_count(DEVICE(1)) == base);
        EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
        EXPECT(bench,
               page_heard(DEVICE(1), base + 1, 2, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
        EXPECT(bench,
               page_heard(DEVICE(2), base + 1, 3, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
        EXPECT(bench,
               page_heard(DEVICE(0), base + 1, 1, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
        EXPECT(bench, ciommu_device_attach(DEVICE(0)->device, 16, bench->domain) == CIOMMU_OK);
    }
    EXPECT(bench, page_queue_counts(bench->queue).promoted == 2);
}

static void a_follower_needs_no_room(struct page_bench *bench) {
    for (uint32_t index = 0; index < 8; index++) {
        EXPECT(bench, page_ask(DEVICE(0), index, index, R, LAST) == CIOMMU_OK);
    }
    EXPECT(bench, page_ask(DEVICE(1), 0, 3, R, LAST) == CIOMMU_OK);
    EXPECT(bench, !ciommu_page_queue_overflowed(bench->queue) && page_count(DEVICE(1)) == 0);
    EXPECT(bench, ciommu_device_reset(DEVICE(0)->device, bench->port) == CIOMMU_OK);
    EXPECT(bench, page_queue_counts(bench->queue).queued == 1);
}

static void a_descriptor_can_be_polled(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    struct pollfd poller = {.fd = ciommu_page_queue_descriptor(bench->queue), .events = POLLIN};
    EXPECT(bench, poller.fd >= 0 && poll(&poller, 1, 0) == 0);
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 1, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, poll(&poller, 1, 0) == 1);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && poll(&poller, 1, 0) == 1);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && poll(&poller, 1, 0) == 0);
    EXPECT(bench, page_ask(DEVICE(0), 0, 3, R, LAST) == CIOMMU_OK && poll(&poller, 1, 0) == 1);
    EXPECT(bench, ciommu_device_reset(DEVICE(0)->device, bench->port) == CIOMMU_OK);
    EXPECT(bench, poll(&poller, 1, 0) == 0);
    ciommu_page_queue_close(bench->queue);
    EXPECT(bench, poll(&poller, 1, 0) == 1);
}

/* However many follow, one is answered without looking at the others. */
#define CROWD 60000u

static uint64_t milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void a_crowd_of_followers_ends(struct page_bench *bench) {
    struct page_device *device = DEVICE(2);
    struct ciommu_page_interface_config config = page_interface_config(device);
    config.groups = CROWD;
    config.pages = CROWD;
    ciommu_page_interface_destroy(device->interface);
    EXPECT(bench, ciommu_page_interface_create(bench->unit, &config, &device->interface) == 0);
    for (uint32_t round = 0; round < 2; round++) {
        uint64_t begin = milliseconds();
        for (uint32_t group = 0; group < CROWD; group++) {
            EXPECT(bench, page_ask(device, group % 512, 1, R, LAST) == CIOMMU_OK);
        }
        uint64_t asked = milliseconds();
        if (round == 0) { /* the oldest leads, and is the first to be late */
            (void)__atomic_fetch_add(&bench->time, 1000, __ATOMIC_RELAXED);
            (void)ciommu_unit_poll(bench->unit);
        } else {
            EXPECT(bench, ciommu_device_detach(device->device, bench->port, 5) == CIOMMU_OK);
        }
        EXPECT(bench, milliseconds() - asked <= 10 * (asked - begin) + 200);
        EXPECT(bench, page_count(device) == CROWD * (round + 1) && page_counts(device).open == 0);
    }
}

const struct page_case page_limit_cases[] = {
    {"limits of an interface", limits_of_an_interface},
    {"overflow is answered and signalled", overflow_is_answered_and_signalled},
    {"pages overflow too", pages_overflow_too},
    {"followers ride along", followers_ride_along},
    {"a follower takes the place", a_follower_takes_the_place},
    {"a follower needs no room", a_follower_needs_no_room},
    {"a crowd of followers ends", a_crowd_of_followers_ends},
    {"a descriptor can be polled", a_descriptor_can_be_polled},
};
const uint32_t page_limit_count = sizeof page_limit_cases / sizeof page_limit_cases[0];
