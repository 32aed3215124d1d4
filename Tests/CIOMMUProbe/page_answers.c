/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_answers.c - cases of page requests: one answer, by one responder, in time.
 */
#define _GNU_SOURCE
#include "page_bench.h"

#include <time.h>

#define R CIOMMU_READ
#define LAST CIOMMU_PAGE_LAST
#define DEVICE(number) (&bench->devices[number])
#define NEXT(group, pages) page_take(bench->queue, &(group), (pages))

static void pass(struct page_bench *bench, uint64_t time) {
    (void)__atomic_fetch_add(&bench->time, time, __ATOMIC_RELAXED);
}

static void a_group_is_answered_once(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) ==
                      CIOMMU_ALREADY_ANSWERED);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_INVALID) ==
                      CIOMMU_ALREADY_ANSWERED);
    EXPECT(bench, page_count(DEVICE(0)) == 1);
    EXPECT(bench, page_queue_counts(bench->queue).late == 2);
}

static void cookies_that_were_never_given(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    const uint64_t cookies[] = {0, 1, 2, 9, UINT64_MAX};
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK); /* not read */
    for (uint32_t index = 0; index < 5; index++) {
        EXPECT(bench, ciommu_page_respond(bench->queue, cookies[index], CIOMMU_PAGE_SUCCESS) ==
                          CIOMMU_NOT_FOUND);
    }
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.cookie == 1);
    EXPECT(bench, ciommu_page_respond(bench->queue, 2, CIOMMU_PAGE_SUCCESS) == CIOMMU_NOT_FOUND);
    EXPECT(bench, page_count(DEVICE(0)) == 0);
}

static void by_name_the_oldest_is_answered(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    const uint32_t pasid = DEVICE(0)->pasid;
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 1, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_page_respond_by_group(bench->queue, PAGE_SOURCE, pasid, 1,
                                               CIOMMU_PAGE_SUCCESS) == CIOMMU_NOT_FOUND);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    const uint32_t wrong[][3] = {{PAGE_WHOLE, pasid, 1},
                                 {PAGE_SOURCE, pasid + 1, 1},
                                 {PAGE_SOURCE, pasid, 2},
                                 {PAGE_SOURCE, CIOMMU_NO_PASID, 1}};
    for (uint32_t row = 0; row < 4; row++) {
        EXPECT(bench, ciommu_page_respond_by_group(bench->queue, wrong[row][0], wrong[row][1],
                                                   wrong[row][2],
                                                   CIOMMU_PAGE_SUCCESS) == CIOMMU_NOT_FOUND);
    }
    EXPECT(bench, ciommu_page_respond_by_group(bench->queue, PAGE_SOURCE, pasid, 1,
                                               CIOMMU_PAGE_SUCCESS) == CIOMMU_OK);
    EXPECT(bench,
           ciommu_page_respond(bench->queue, 1, CIOMMU_PAGE_SUCCESS) == CIOMMU_ALREADY_ANSWERED);
    EXPECT(bench, ciommu_page_respond(bench->queue, 2, CIOMMU_PAGE_INVALID) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 2, 1, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_OWNER));
}

static void late_answers_are_refused(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == 1000);
    pass(bench, 400);
    EXPECT(bench, page_ask(DEVICE(1), 2, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == 600);
    pass(bench, 599);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == 1 && page_count(DEVICE(0)) == 0);
    pass(bench, 1);
    /* the deadline holds although nobody has polled */
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) ==
                      CIOMMU_ALREADY_ANSWERED);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    EXPECT(bench, page_count(DEVICE(1)) == 0);
    pass(bench, 400);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == UINT64_MAX);
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    EXPECT(bench, NEXT(group, pages) == CIOMMU_NOT_FOUND); /* it was never read, and is gone */
    EXPECT(bench, page_queue_counts(bench->queue).timeouts == 2);
    EXPECT(bench, page_counts(DEVICE(0)).causes[CIOMMU_PAGE_BY_DEADLINE] == 1);
}

/* Whoever only asks may hold a lock that a device's handler takes: asking calls none. */
static void asking_calls_nobody(struct page_bench *bench) {
    struct ciommu_page_group first;
    struct ciommu_page_group second;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(first, pages) == CIOMMU_OK);
    pass(bench, 400);
    EXPECT(bench, page_ask(DEVICE(1), 2, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(second, pages) == CIOMMU_OK);
    EXPECT(bench, ciommu_page_is_open(bench->queue, first.cookie));
    pass(bench, 600);
    EXPECT(bench, !ciommu_page_is_open(bench->queue, first.cookie)); /* it is late */
    EXPECT(bench, ciommu_page_is_open(bench->queue, second.cookie));
    EXPECT(bench, !ciommu_page_is_open(bench->queue, second.cookie + 1));
    EXPECT(bench, page_count(DEVICE(0)) == 0);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == 400);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    EXPECT(bench, page_count(DEVICE(1)) == 0);
}

/* Nobody is failed before its own time: the follower is delivered when its leader is late. */
static void a_late_leader_leaves_its_followers_time(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    pass(bench, 600);
    EXPECT(bench, page_ask(DEVICE(1), 2, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_NOT_FOUND);
    pass(bench, 400);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == 600);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    EXPECT(bench,
           NEXT(group, pages) == CIOMMU_OK && group.device == 1001 && group.deadline == 6600);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_heard(DEVICE(1), 1, 2, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
}

static void the_event_thread_keeps_deadlines(struct page_bench *bench) {
    struct ciommu_page_queue_config config = page_queue_config(bench);
    struct ciommu_page_queue *queue = NULL;
    config.clock = NULL;
    config.timeout = UINT64_C(3000000); /* 3 ms */
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->nested, &config, &queue) == 0);
    EXPECT(bench, ciommu_device_replace(DEVICE(0)->device, bench->port, 16, bench->nested) == 0);
    for (uint32_t round = 1; round <= 3; round++) {
        EXPECT(bench, page_ask(DEVICE(0), round, 1, R, LAST) == CIOMMU_OK);
        struct timespec nap = {0, 500000};
        for (uint32_t wait = 0; wait < 20000 && page_count(DEVICE(0)) < round; wait++) {
            nanosleep(&nap, NULL);
        }
        EXPECT(bench,
               page_heard(DEVICE(0), round, round, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    }
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    ciommu_page_queue_destroy(queue);
}

/* Whoever is told that there is something to be read may take longer than the deadline. */
static void wait_for_an_answer(struct page_bench *bench) {
    struct timespec nap = {0, 500000};
    for (uint32_t wait = 0; wait < 8000 && page_count(DEVICE(0)) == 0; wait++) {
        nanosleep(&nap, NULL);
    }
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
}

static void a_notice_does_not_hold_back_a_deadline(struct page_bench *bench) {
    struct ciommu_page_queue_config config = page_queue_config(bench);
    struct ciommu_page_queue *queue = NULL;
    struct timespec nap = {0, 50000000};
    config.clock = NULL;
    config.timeout = UINT64_C(3000000); /* 3 ms */
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->nested, &config, &queue) == 0);
    EXPECT(bench, ciommu_device_replace(DEVICE(0)->device, bench->port, 16, bench->nested) == 0);
    nanosleep(&nap, NULL); /* the event thread falls asleep */
    bench->ready_hook = wait_for_an_answer;
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    bench->ready_hook = NULL;
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    ciommu_page_queue_destroy(queue);
}

/* A clock of the host's is for ciommu_unit_poll: it may stand still, and then every wait for it
 * would be over at once. */
static uint32_t looks; /* at the clock; atomic */

static uint64_t look(void *context) {
    (void)context;
    return __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) < 1000000 ? 5000 : 5001;
}

static void the_event_thread_leaves_other_clocks_alone(struct page_bench *bench) {
    struct ciommu_page_queue_config config = page_queue_config(bench);
    struct ciommu_page_queue *queue = NULL;
    struct ciommu_page_queue *other = NULL;
    struct timespec nap = {0, 50000000};
    config.timeout = 1;
    config.clock = look;
    ciommu_page_queue_close(bench->queue);
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->domain, &config, &queue) == 0);
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
    config.clock = NULL;
    config.timeout = UINT64_C(60000000000);
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->nested, &config, &other) == 0);
    __atomic_store_n(&looks, 0, __ATOMIC_RELAXED);
    nanosleep(&nap, NULL);
    EXPECT(bench, __atomic_load_n(&looks, __ATOMIC_RELAXED) == 0);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == 1);
    __atomic_store_n(&looks, 1000000, __ATOMIC_RELAXED);
    EXPECT(bench, page_count(DEVICE(0)) == 0);
    EXPECT(bench, ciommu_unit_poll(bench->unit) == UINT64_MAX);
    EXPECT(bench, page_heard(DEVICE(0), 1, 1, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE));
    ciommu_page_queue_destroy(queue);
    ciommu_page_queue_destroy(other);
}

/* ---- Threads ---- */

#define RIVALS 3u
#define RIVAL_GROUPS 5000u

struct rival {
    struct page_bench *bench;
    uint64_t target; /* the cookie to answer; shared by all */
    uint64_t won;
    uint64_t lost;
    pthread_t thread;
    uint64_t *shared;
};

static void *answer_everything(void *context) {
    struct rival *rival = context;
    uint64_t done = 0;
    while (done < RIVAL_GROUPS) {
        uint64_t cookie = __atomic_load_n(rival->shared, __ATOMIC_ACQUIRE);
        while (done < cookie) {
            enum ciommu_status status =
                ciommu_page_respond(rival->bench->queue, ++done, CIOMMU_PAGE_SUCCESS);
            rival->won += status == CIOMMU_OK;
            rival->lost += status == CIOMMU_ALREADY_ANSWERED;
        }
    }
    return NULL;
}

/* Of rivals that answer the same group one wins. */
static void one_of_many_responders_wins(struct page_bench *bench) {
    struct rival rivals[RIVALS];
    uint64_t cookie = 0;
    for (uint32_t index = 0; index < RIVALS; index++) {
        rivals[index] = (struct rival){.bench = bench, .shared = &cookie};
        pthread_create(&rivals[index].thread, NULL, answer_everything, &rivals[index]);
    }
    for (uint32_t asked = 0; asked < RIVAL_GROUPS; asked++) {
        struct ciommu_page_group group;
        struct ciommu_page pages[16];
        enum ciommu_status status;
        while ((status = page_ask(DEVICE(0), asked % 512, asked, R, LAST)) == CIOMMU_NO_SPACE) {
        }
        EXPECT(bench, status == CIOMMU_OK);
        while (NEXT(group, pages) == CIOMMU_OK) {
            __atomic_store_n(&cookie, group.cookie, __ATOMIC_RELEASE);
        }
        if (ciommu_page_queue_overflowed(bench->queue)) {
            ciommu_page_queue_acknowledge(bench->queue);
            asked--; /* it is asked again */
        }
    }
    uint64_t won = 0;
    for (uint32_t index = 0; index < RIVALS; index++) {
        pthread_join(rivals[index].thread, NULL);
        EXPECT(bench, rivals[index].won + rivals[index].lost == RIVAL_GROUPS);
        won += rivals[index].won;
    }
    EXPECT(bench, won == RIVAL_GROUPS);
    struct ciommu_page_interface_statistics counts = page_counts(DEVICE(0));
    EXPECT(bench,
           counts.causes[CIOMMU_PAGE_BY_OWNER] == RIVAL_GROUPS &&
               page_count(DEVICE(0)) == RIVAL_GROUPS + counts.causes[CIOMMU_PAGE_BY_OVERFLOW]);
}

/* ---- Groups at once ---- */

struct whole {
    uint32_t answers;
    uint32_t code;
    uint32_t cause;
    uint32_t group;
};

static void hear_whole(void *context, const struct ciommu_page_answer *answer) {
    struct whole *whole = context;
    whole->answers++;
    whole->code = answer->code;
    whole->cause = answer->cause;
    whole->group = answer->group;
}

static void a_whole_group_has_its_own_handler(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    struct whole heard = {0};
    const struct ciommu_page wanted[3] = {
        {.address = page_at(1) + 5, .access = R},
        {.address = page_at(2), .access = CIOMMU_WRITE},
        {.address = page_at(3), .access = CIOMMU_EXECUTE},
    };
    struct ciommu_page bad = {.address = page_at(1), .access = 0};
    EXPECT(bench, ciommu_page_request_group(DEVICE(0)->interface, NULL, 17, wanted, 3, hear_whole,
                                            &heard) == CIOMMU_OK);
    EXPECT(bench, heard.answers == 1 && heard.code == CIOMMU_PAGE_INVALID &&
                      heard.cause == CIOMMU_PAGE_BY_NOT_ATTACHED);
    EXPECT(bench, ciommu_page_request_group(DEVICE(0)->interface, NULL, 16, wanted, 3, hear_whole,
                                            &heard) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.count == 3 &&
                      group.group == CIOMMU_NO_PAGE_GROUP && pages[0].address == page_at(1));
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, heard.answers == 2 && heard.code == CIOMMU_PAGE_SUCCESS &&
                      heard.group == CIOMMU_NO_PAGE_GROUP);
    EXPECT(bench, ciommu_page_request_group(DEVICE(0)->interface, NULL, 16, &bad, 1, hear_whole,
                                            &heard) == CIOMMU_OK);
    EXPECT(bench, heard.answers == 3 && heard.cause == CIOMMU_PAGE_BY_RULE);
    bad.access = 16;
    EXPECT(bench, ciommu_page_request_group(DEVICE(0)->interface, NULL, 16, &bad, 1, hear_whole,
                                            &heard) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, ciommu_page_request_group(DEVICE(0)->interface, NULL, 16, &bad, 0, hear_whole,
                                            &heard) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, heard.answers == 3 && page_count(DEVICE(0)) == 0);
}

static void counters_add_up(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    for (uint32_t index = 0; index < 6; index++) {
        EXPECT(bench, page_ask(DEVICE(0), index, index, R, LAST) == CIOMMU_OK);
        EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
        pass(bench, UINT64_C(1) << index);
        EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie,
                                          (enum ciommu_page_code)(index % 3)) == CIOMMU_OK);
    }
    struct ciommu_page_interface_statistics device = page_counts(DEVICE(0));
    struct ciommu_page_queue_statistics owner = page_queue_counts(bench->queue);
    for (uint32_t index = 0; index < 6; index++) {
        EXPECT(bench, device.latency[index] == 1 && owner.latency[index] == 1);
    }
    EXPECT(bench, device.answers[0] == 2 && device.answers[1] == 2 && device.answers[2] == 2);
    EXPECT(bench, device.groups == 6 && device.requests == 6 && device.open == 0 &&
                      device.high_water == 1);
    EXPECT(bench, owner.reads == 6 && owner.groups == 6 && owner.high_water == 1);
}

const struct page_case page_answer_cases[] = {
    {"a group is answered once", a_group_is_answered_once},
    {"cookies that were never given", cookies_that_were_never_given},
    {"by name the oldest is answered", by_name_the_oldest_is_answered},
    {"late answers are refused", late_answers_are_refused},
    {"asking calls nobody", asking_calls_nobody},
    {"a late leader leaves its followers time", a_late_leader_leaves_its_followers_time},
    {"the event thread keeps deadlines", the_event_thread_keeps_deadlines},
    {"a notice does not hold back a deadline", a_notice_does_not_hold_back_a_deadline},
    {"the event thread leaves other clocks alone", the_event_thread_leaves_other_clocks_alone},
    {"one of many responders wins", one_of_many_responders_wins},
    {"a whole group has its own handler", a_whole_group_has_its_own_handler},
    {"counters add up", counters_add_up},
};
const uint32_t page_answer_count = sizeof page_answer_cases / sizeof page_answer_cases[0];
