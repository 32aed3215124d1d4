/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_ends.c - cases of page requests: detach, replace, resets and the end of objects answer
 * what is outstanding, once, and wait for the calls that run.
 */
#define _GNU_SOURCE
#include "page_bench.h"
#include "debug.h"

#include <sched.h>
#include <time.h>

#define R CIOMMU_READ
#define LAST CIOMMU_PAGE_LAST
#define DEVICE(number) (&bench->devices[number])
#define NEXT(group, pages) page_take(bench->queue, &(group), (pages))

/* Device 0 has one incomplete group, one queued and one read; device 1 one of its own. */
static uint64_t lay_out(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 2, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 3, 3, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 4, 4, R, LAST) == CIOMMU_OK);
    return group.cookie;
}

/* What is to be true after the end of device 0's attachment. */
static void check_end(struct page_bench *bench, uint64_t cookie) {
    uint32_t count = page_count(DEVICE(0));
    EXPECT(bench, count == 2);
    for (uint32_t index = 0; index < count && index < 2; index++) {
        EXPECT(bench, DEVICE(0)->log[index].code == CIOMMU_PAGE_INVALID &&
                          DEVICE(0)->log[index].cause == CIOMMU_PAGE_BY_DETACH);
    }
    EXPECT(bench, ciommu_page_respond(bench->queue, cookie, CIOMMU_PAGE_SUCCESS) ==
                      CIOMMU_ALREADY_ANSWERED);
    EXPECT(bench, page_count(DEVICE(0)) == count && page_counts(DEVICE(0)).open == 0);
}

/* Device 1 is not concerned. */
static void check_other(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_count(DEVICE(1)) == 0);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.device == 1001);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_heard(DEVICE(1), 1, 4, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
}

static void detach_answers(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    check_end(bench, cookie);
    EXPECT(bench,
           bench->retired == 1 && bench->retired_device == 1000 && !bench->retired_everybody);
    check_other(bench);
    EXPECT(bench, page_ask(DEVICE(0), 9, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 3, 9, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_NOT_ATTACHED));
    EXPECT(bench, ciommu_device_attach(DEVICE(0)->device, 16, bench->domain) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 3, 7, R, LAST) == CIOMMU_OK);
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.count == 1); /* the part is forgotten */
}

static void replace_answers(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    EXPECT(bench, ciommu_device_replace(DEVICE(0)->device, bench->port, 16, bench->nested) == 0);
    check_end(bench, cookie);
    check_other(bench);
    EXPECT(bench, page_ask(DEVICE(0), 9, 1, R, LAST) == CIOMMU_OK); /* that one has no queue */
    EXPECT(bench, page_heard(DEVICE(0), 3, 9, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_NOBODY));
}

static void function_reset_answers(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    EXPECT(bench, ciommu_device_reset(DEVICE(0)->device, bench->port) == CIOMMU_OK);
    check_end(bench, cookie);
    EXPECT(bench, bench->retired == 1 && bench->retired_device == 1000);
    check_other(bench);
}

static void unit_reset_answers(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    EXPECT(bench, ciommu_unit_reset(bench->unit) == CIOMMU_OK);
    check_end(bench, cookie);
    EXPECT(bench, page_heard(DEVICE(1), 1, 4, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
    EXPECT(bench, bench->retired == 1 && bench->retired_everybody);
}

static void destroying_a_device_answers(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    EXPECT(bench, ciommu_device_destroy(DEVICE(0)->device, bench->port) == CIOMMU_OK);
    DEVICE(0)->device = NULL;
    check_end(bench, cookie);
    check_other(bench);
    /* the source id has a device still, but not this one */
    EXPECT(bench, page_ask(DEVICE(0), 9, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 3, 9, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_NOT_ATTACHED));
}

static void destroying_an_interface_answers(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    ciommu_page_interface_destroy(DEVICE(0)->interface);
    DEVICE(0)->interface = NULL;
    EXPECT(bench, page_count(DEVICE(0)) == 2);
    EXPECT(bench, ciommu_page_respond(bench->queue, cookie, CIOMMU_PAGE_SUCCESS) ==
                      CIOMMU_ALREADY_ANSWERED);
    check_other(bench);
}

static void closing_a_queue_answers(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    ciommu_page_queue_close(bench->queue);
    check_end(bench, cookie);
    EXPECT(bench, page_heard(DEVICE(1), 1, 4, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
    EXPECT(bench, bench->retired == 1 && bench->retired_everybody);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_CLOSED);
    EXPECT(bench, page_ask(DEVICE(0), 9, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 3, 9, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_NOBODY));
    struct ciommu_page_queue *queue = NULL;
    const struct ciommu_page_queue_config config = page_queue_config(bench);
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->domain, &config, &queue) == 0);
    EXPECT(bench, page_ask(DEVICE(0), 9, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_take(queue, &group, pages) == CIOMMU_OK && group.cookie == 1);
    ciommu_page_queue_destroy(queue);
    EXPECT(bench, page_heard(DEVICE(0), 4, 9, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
}

static void destroying_a_domain_closes_its_queue(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    struct ciommu_page_queue *queue = NULL;
    const struct ciommu_page_queue_config config = page_queue_config(bench);
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->nested, &config, &queue) == 0);
    EXPECT(bench,
           ciommu_page_queue_create(bench->unit, bench->nested, &config, &queue) == CIOMMU_EXISTS);
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->parent, &config, &queue) ==
                      CIOMMU_UNSUPPORTED);
    EXPECT(bench, ciommu_device_replace(DEVICE(0)->device, bench->port, 16, bench->nested) == 0);
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_take(queue, &group, pages) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(bench->nested) == CIOMMU_IN_USE);
    EXPECT(bench, page_count(DEVICE(0)) == 0);
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(bench->nested) == CIOMMU_OK);
    bench->nested = NULL;
    EXPECT(bench, page_take(queue, &group, pages) == CIOMMU_CLOSED);
    EXPECT(bench, ciommu_page_respond(queue, 1, CIOMMU_PAGE_SUCCESS) == CIOMMU_ALREADY_ANSWERED);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
    ciommu_page_queue_destroy(queue);
}

static void objects_in_use_keep_the_unit(struct page_bench *bench) {
    EXPECT(bench, ciommu_unit_destroy(bench->unit) == CIOMMU_IN_USE);
}

/* ---- Handlers that call back ---- */

static void detach_itself(struct page_device *device, const struct ciommu_page_answer *answer) {
    struct page_bench *bench = device->bench;
    if (answer->cause == CIOMMU_PAGE_BY_OWNER) {
        EXPECT(bench,
               ciommu_device_detach(device->device, bench->port, device->pasid) == CIOMMU_OK);
        EXPECT(bench, page_count(device) == 3); /* this one, and the two that it cancelled */
    }
}

static void a_handler_detaches_its_device(struct page_bench *bench) {
    uint64_t cookie = lay_out(bench);
    EXPECT(bench, page_ask(DEVICE(0), 5, 5, R, LAST) == CIOMMU_OK);
    DEVICE(0)->hook = detach_itself;
    EXPECT(bench, ciommu_page_respond(bench->queue, cookie, CIOMMU_PAGE_SUCCESS) == CIOMMU_OK);
    EXPECT(bench, page_count(DEVICE(0)) == 3);
    check_other(bench);
}

/* Followers are answered by one response; the first one's handler detaches the second: that one's
 * answer, given but not told, is told before the detach returns. */
static void detach_next(struct page_device *device, const struct ciommu_page_answer *answer) {
    struct page_bench *bench = device->bench;
    (void)answer;
    EXPECT(bench, ciommu_device_detach(DEVICE(1)->device, bench->port, 32) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
}

static void what_was_answered_is_told_before_a_detach_returns(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    DEVICE(0)->hook = detach_next;
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_count(DEVICE(0)) == 1 && page_count(DEVICE(1)) == 1);
}

static void ask_again(struct page_device *device, const struct ciommu_page_answer *answer) {
    if (answer->cause == CIOMMU_PAGE_BY_OWNER && answer->group < 100) {
        EXPECT(device->bench, page_ask(device, answer->group + 1, 1, R, LAST) == CIOMMU_OK);
    }
}

static void a_handler_asks_again(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    DEVICE(0)->hook = ask_again;
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, R, LAST) == CIOMMU_OK);
    while (NEXT(group, pages) == CIOMMU_OK) {
        EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    }
    EXPECT(bench, page_count(DEVICE(0)) == 101);
}

/* ---- Calls in other threads ---- */

static uint32_t slow_stage; /* 1: inside the handler; 2: it has ended */
static bool slow_may_end;

static void be_slow(struct page_device *device, const struct ciommu_page_answer *answer) {
    (void)answer;
    if (device != &device->bench->devices[0]) {
        return;
    }
    __atomic_store_n(&slow_stage, 1, __ATOMIC_RELEASE);
    struct timespec nap = {0, 20000000};
    for (uint32_t naps = 0; naps < 3000 && !__atomic_load_n(&slow_may_end, __ATOMIC_ACQUIRE);
         naps++) {
        nanosleep(&nap, NULL);
    }
    nanosleep(&nap, NULL);
    __atomic_store_n(&slow_stage, 2, __ATOMIC_RELEASE);
}

static void *respond_first(void *context) {
    struct page_bench *bench = context;
    EXPECT(bench, ciommu_page_respond(bench->queue, 1, CIOMMU_PAGE_SUCCESS) == CIOMMU_OK);
    return NULL;
}

static void a_detach_waits_for_handlers(struct page_bench *bench) {
    (void)lay_out(bench);
    pthread_t thread;
    DEVICE(0)->hook = be_slow;
    slow_stage = 0;
    slow_may_end = false;
    pthread_create(&thread, NULL, respond_first, bench);
    while (__atomic_load_n(&slow_stage, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
    DEVICE(0)->hook = NULL;
    EXPECT(bench, ciommu_device_detach(DEVICE(1)->device, bench->port, 32) == CIOMMU_OK);
    EXPECT(bench, __atomic_load_n(&slow_stage, __ATOMIC_ACQUIRE) == 1); /* not for another's */
    __atomic_store_n(&slow_may_end, true, __ATOMIC_RELEASE);
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    EXPECT(bench, __atomic_load_n(&slow_stage, __ATOMIC_ACQUIRE) == 2);
    pthread_join(thread, NULL);
    EXPECT(bench, page_count(DEVICE(0)) == 2);
}

/* Two handlers detach each other's device at once: neither waits for the other for ever. */
static uint32_t crossing;

static void detach_across(struct page_device *device, const struct ciommu_page_answer *answer) {
    struct page_bench *bench = device->bench;
    struct page_device *other = device == DEVICE(0) ? DEVICE(1) : DEVICE(0);
    if (answer->cause != CIOMMU_PAGE_BY_OWNER) {
        return;
    }
    (void)__atomic_fetch_add(&crossing, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&crossing, __ATOMIC_ACQUIRE) < 2) {
        sched_yield();
    }
    EXPECT(bench, ciommu_device_detach(other->device, NULL, other->pasid) == CIOMMU_OK);
}

/* Each of two devices has a group; they are answered at once in two threads, with `hook` in both
 * handlers. */
static void answer_across(struct page_bench *bench,
                          void (*hook)(struct page_device *, const struct ciommu_page_answer *)) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    pthread_t thread;
    crossing = 0;
    DEVICE(0)->hook = hook;
    DEVICE(1)->hook = hook;
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 2, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && NEXT(group, pages) == CIOMMU_OK);
    pthread_create(&thread, NULL, respond_first, bench);
    EXPECT(bench, ciommu_page_respond(bench->queue, 2, CIOMMU_PAGE_SUCCESS) == CIOMMU_OK);
    pthread_join(thread, NULL);
    EXPECT(bench, page_count(DEVICE(0)) == 1 && page_count(DEVICE(1)) == 1);
}

static void handlers_that_detach_each_other(struct page_bench *bench) {
    answer_across(bench, detach_across);
}

/* The first of two groups with one response has a handler that ends the other one's interface. */
static void destroy_next(struct page_device *device, const struct ciommu_page_answer *answer) {
    struct page_bench *bench = device->bench;
    (void)answer;
    ciommu_page_interface_destroy(DEVICE(1)->interface);
    DEVICE(1)->interface = NULL;
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
}

static void a_handler_destroys_the_next_interface(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    DEVICE(0)->hook = destroy_next;
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_count(DEVICE(0)) == 1 && page_count(DEVICE(1)) == 1);
}

/* One thread's response answers two groups; its first handler stays. A detach calls the second
 * handler, which waits for the first in a detach of its own. Whoever destroys the second one's
 * interface then waits for that call. */
static uint32_t turn; /* 1: in the first handler; 2: in the second; 3: the first may go; 4: end */

static void nap(long milliseconds) {
    struct timespec time = {0, milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static void come_to(uint32_t wanted) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) < wanted) {
        sched_yield();
    }
}

static void take_turns(struct page_device *device, const struct ciommu_page_answer *answer) {
    struct page_bench *bench = device->bench;
    (void)answer;
    if (device == DEVICE(0)) {
        __atomic_store_n(&turn, 1, __ATOMIC_RELEASE);
        come_to(3);
    } else if (device == DEVICE(1)) {
        __atomic_store_n(&turn, 2, __ATOMIC_RELEASE);
        EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, NULL, 16) == CIOMMU_OK);
        nap(50);
        __atomic_store_n(&turn, 4, __ATOMIC_RELEASE);
    }
}

static void *detach_second(void *context) {
    struct page_bench *bench = context;
    EXPECT(bench, ciommu_device_detach(DEVICE(1)->device, NULL, 32) == CIOMMU_OK);
    return NULL;
}

static void *destroy_second(void *context) {
    struct page_bench *bench = context;
    ciommu_page_interface_destroy(DEVICE(1)->interface);
    DEVICE(1)->interface = NULL;
    EXPECT(bench, __atomic_load_n(&turn, __ATOMIC_ACQUIRE) == 4);
    return NULL;
}

static void destroying_an_interface_waits_for_calls(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    pthread_t threads[3];
    turn = 0;
    DEVICE(0)->hook = take_turns;
    DEVICE(1)->hook = take_turns;
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    pthread_create(&threads[0], NULL, respond_first, bench);
    come_to(1);
    pthread_create(&threads[1], NULL, detach_second, bench);
    come_to(2);
    nap(50);
    pthread_create(&threads[2], NULL, destroy_second, bench);
    nap(50);
    __atomic_store_n(&turn, 3, __ATOMIC_RELEASE);
    for (uint32_t thread = 0; thread < 3; thread++) {
        pthread_join(threads[thread], NULL);
    }
}

/* The same across: one handler detaches the other's device, the other destroys the interface. */
static void end_across(struct page_device *device, const struct ciommu_page_answer *answer) {
    struct page_bench *bench = device->bench;
    if (answer->cause != CIOMMU_PAGE_BY_OWNER) {
        return;
    }
    (void)__atomic_fetch_add(&crossing, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&crossing, __ATOMIC_ACQUIRE) < 2) {
        sched_yield();
    }
    if (device == DEVICE(0)) {
        EXPECT(bench, ciommu_device_detach(DEVICE(1)->device, NULL, 32) == CIOMMU_OK);
    } else {
        nap(20);
        ciommu_page_interface_destroy(DEVICE(0)->interface);
        DEVICE(0)->interface = NULL;
    }
}

static void handlers_that_end_each_other(struct page_bench *bench) {
    answer_across(bench, end_across);
}

/* ---- A request in the middle of a detach ---- */

#ifdef CIOMMU_INTERNAL_CHECKS
static struct page_bench *slipping;

static void slip_in(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_PAGES_CANCELLED || point == CIOMMU_YIELD_BEFORE_DRAIN) {
        struct page_bench *bench = slipping;
        slipping = NULL;
        if (bench != NULL) {
            EXPECT(bench, page_ask(DEVICE(0), 77, 7, R, LAST) == CIOMMU_OK);
        }
    }
}

static void no_request_slips_through_a_detach(struct page_bench *bench) {
    slipping = bench;
    __atomic_store_n(&ciommu_yield_hook, slip_in, __ATOMIC_RELEASE);
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(bench, slipping == NULL);
    EXPECT(bench, page_counts(DEVICE(0)).open == 0 && page_count(DEVICE(0)) == 1);
    /* of the mutant: so that the rest of the case ends */
    __atomic_store_n(&ciommu_mutant, 0, __ATOMIC_RELAXED);
    ciommu_page_queue_close(bench->queue);
}
#else
static void no_request_slips_through_a_detach(struct page_bench *bench) {
    (void)bench;
}
#endif

const struct page_case page_end_cases[] = {
    {"detach answers", detach_answers},
    {"replace answers", replace_answers},
    {"function reset answers", function_reset_answers},
    {"unit reset answers", unit_reset_answers},
    {"destroying a device answers", destroying_a_device_answers},
    {"destroying an interface answers", destroying_an_interface_answers},
    {"closing a queue answers", closing_a_queue_answers},
    {"destroying a domain closes its queue", destroying_a_domain_closes_its_queue},
    {"objects in use keep the unit", objects_in_use_keep_the_unit},
    {"a handler detaches its device", a_handler_detaches_its_device},
    {"what was answered is told before a detach returns",
     what_was_answered_is_told_before_a_detach_returns},
    {"a handler asks again", a_handler_asks_again},
    {"a detach waits for handlers", a_detach_waits_for_handlers},
    {"handlers that detach each other", handlers_that_detach_each_other},
    {"a handler destroys the next interface", a_handler_destroys_the_next_interface},
    {"destroying an interface waits for calls", destroying_an_interface_waits_for_calls},
    {"handlers that end each other", handlers_that_end_each_other},
    {"no request slips through a detach", no_request_slips_through_a_detach},
};
const uint32_t page_end_count = sizeof page_end_cases / sizeof page_end_cases[0];
