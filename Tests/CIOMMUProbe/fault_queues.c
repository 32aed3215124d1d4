/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_queues.c - cases of single queues: numbers, losses, quotas, folding, places in a ring, what
 * a record says.
 */
#include "fault_world.h"

#include <string.h>

#define PAGE UINT64_C(4096)

static void faults_arrive_in_order(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 100, 0);
    fault_expect_nothing(world, queue);
    for (uint64_t number = 0; number < 50; number++) {
        struct ciommu_fault fault =
            fault_make(world, world->port, FAULT_SOURCE, (uint32_t)number, number * PAGE);
        EXPECT(world, (fault.flags & CIOMMU_FAULT_RECORDED) != 0);
    }
    for (uint64_t number = 0; number < 50; number++) {
        struct ciommu_fault_record record = fault_next(queue);
        EXPECT_EQUAL(world, record.kind, CIOMMU_RECORD_FAULT);
        EXPECT_EQUAL(world, record.sequence, number);
        EXPECT_EQUAL(world, record.fault.address, number * PAGE);
        EXPECT_EQUAL(world, record.fault.pasid, number);
        EXPECT_EQUAL(world, record.fault.device, 7);
        EXPECT(world, record.first_time != 0 && record.first_time == record.last_time);
    }
    fault_expect_nothing(world, queue);
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(device, NULL);
}

/* What a queue delivers is what the request answered, but for its own number. */
static void a_record_is_the_answers_fault(struct fault_world *world) {
    const uint32_t accesses[] = {CIOMMU_READ, CIOMMU_WRITE, CIOMMU_READ | CIOMMU_WRITE,
                                 CIOMMU_READ | CIOMMU_EXECUTE | CIOMMU_PRIVILEGED};
    const uint32_t flags[] = {0, CIOMMU_TRANSLATED, CIOMMU_NO_CACHE, CIOMMU_NO_AD};
    struct ciommu_fault_queue *queue = fault_queue(world, NULL, 100, 0);
    struct ciommu_device *device = fault_whole(world, UINT64_MAX, 0xffff);
    for (uint32_t round = 0; round < 32; round++) {
        uint32_t source = (round & 1) != 0 ? 0xffff : 0x20; /* the host's device, or the guest's */
        uint32_t pasid = (round & 2) != 0 ? CIOMMU_PASID_MAX : CIOMMU_NO_PASID;
        struct ciommu_result result = {.size = sizeof result};
        EXPECT_EQUAL(world,
                     ciommu_translate(world->unit, world->port, source, pasid,
                                      UINT64_MAX - round * PAGE, accesses[round / 4 % 4],
                                      flags[round / 8 % 4], &result),
                     CIOMMU_OK);
        struct ciommu_fault_record record = fault_next(queue);
        EXPECT_EQUAL(world, record.kind, CIOMMU_RECORD_FAULT);
        EXPECT_EQUAL(world, record.fault.request,
                     flags[round / 8 % 4] == CIOMMU_TRANSLATED ? CIOMMU_REQUEST_TRANSLATED
                                                               : CIOMMU_REQUEST_UNTRANSLATED);
        record.fault.sequence = result.fault.sequence;
        EXPECT_EQUAL(world, memcmp(&record.fault, &result.fault, sizeof record.fault), 0);
    }
    /* Only what a page request cannot cure is recorded of a translation request. */
    struct ciommu_result result = {.size = sizeof result};
    (void)ciommu_translate(world->unit, world->port, 0x20, CIOMMU_NO_PASID, 0, CIOMMU_READ,
                           CIOMMU_TRANSLATION_REQUEST, &result);
    EXPECT_EQUAL(world, result.fault.request, CIOMMU_REQUEST_TRANSLATION);
    EXPECT_EQUAL(world, fault_next(queue).fault.request, CIOMMU_REQUEST_TRANSLATION);
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(device, NULL);
}

/* A ring of 64 has no kept places: the 65th fault is lost, and the gap is where it was. */
static void a_full_ring_is_told_where_it_was_full(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 1000, 0);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t number = 0; number < 64 + round; number++) {
            struct ciommu_fault fault =
                fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, number * PAGE);
            EXPECT_EQUAL(world, (fault.flags & CIOMMU_FAULT_RECORDED) != 0, number < 64);
        }
        uint64_t base = round * 64 + (round == 2 ? 1 : 0);
        for (uint64_t number = 0; number < 64; number++) {
            fault_expect_fault(world, queue, base + number, number * PAGE);
        }
        if (round != 0) {
            fault_expect_loss(world, queue, base + 64, round);
        }
        fault_expect_nothing(world, queue);
    }
    struct ciommu_fault_queue_statistics counters = {.size = sizeof counters};
    ciommu_fault_queue_read_statistics(queue, &counters);
    EXPECT_EQUAL(world, counters.lost, 3);
    EXPECT_EQUAL(world, counters.faults, 192);
    EXPECT_EQUAL(world, counters.over_quota, 0);
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(device, NULL);
}

/* Lost in the ring of one port, then recorded through another one, then told. */
static void a_loss_comes_before_what_followed_it(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 1000, 0);
    struct ciommu_port *other = NULL;
    EXPECT_EQUAL(world, ciommu_port_create(world->unit, &other), CIOMMU_OK);
    for (uint64_t number = 0; number < 70; number++) {
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, number * PAGE);
    }
    (void)fault_make(world, other, FAULT_SOURCE, FAULT_NONE, 1000 * PAGE);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 0);
    (void)fault_make(world, other, FAULT_SOURCE, FAULT_NONE, 1001 * PAGE);
    for (uint64_t number = 0; number < 64; number++) {
        fault_expect_fault(world, queue, number, number * PAGE);
    }
    fault_expect_loss(world, queue, 64, 6);
    fault_expect_fault(world, queue, 70, 1000 * PAGE);
    fault_expect_loss(world, queue, 71, 1);
    fault_expect_fault(world, queue, 72, 1001 * PAGE);
    fault_expect_nothing(world, queue);
    EXPECT_EQUAL(world, ciommu_port_destroy(other), CIOMMU_OK);
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(device, NULL);
}

static void a_full_quota_is_told_where_it_was_full(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_device *quiet = fault_whole(world, 8, FAULT_SOURCE + 1);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 3, 0);
    struct ciommu_fault_queue *other = fault_queue(world, quiet, 3, 0);
    for (uint64_t number = 0; number < 5; number++) {
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, number * PAGE);
    }
    (void)fault_make(world, world->port, FAULT_SOURCE + 1, FAULT_NONE, 0);
    fault_expect_fault(world, queue, 0, 0); /* one place is free */
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 5 * PAGE);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 6 * PAGE);
    fault_expect_fault(world, queue, 1, PAGE); /* 5 went in, 6 did not */
    fault_expect_fault(world, queue, 2, 2 * PAGE);
    fault_expect_loss(world, queue, 3, 2);
    fault_expect_fault(world, queue, 5, 5 * PAGE);
    fault_expect_loss(world, queue, 6, 1);
    fault_expect_nothing(world, queue);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 7 * PAGE);
    fault_expect_fault(world, queue, 7, 7 * PAGE);
    fault_expect_fault(world, other, 0, 0); /* its own quota was free */
    struct ciommu_fault_queue_statistics counters = {.size = sizeof counters};
    ciommu_fault_queue_read_statistics(queue, &counters);
    EXPECT_EQUAL(world, counters.over_quota, 3);
    EXPECT_EQUAL(world, counters.faults, 8);
    EXPECT_EQUAL(world, counters.high_water, 3);
    EXPECT_EQUAL(world, counters.reasons[CIOMMU_FAULT_CONFIG_ABSENT], 8);
    ciommu_fault_queue_destroy(queue);
    ciommu_fault_queue_destroy(other);
    (void)ciommu_device_destroy(device, NULL);
    (void)ciommu_device_destroy(quiet, NULL);
}

static void identical_faults_fold(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct ciommu_fault_queue *queue = fault_queue(world, device, 3, CIOMMU_FAULT_QUEUE_FOLD);
    const uint64_t addresses[] = {1, 1, 1, 2, 1, 1, 3, 4, 1};
    for (uint32_t number = 0; number < 9; number++) {
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, addresses[number] * PAGE);
    }
    struct ciommu_fault_record record = fault_next(queue);
    EXPECT_EQUAL(world, record.count, 3);
    EXPECT(world, record.first_time <= record.last_time);
    fault_expect_fault(world, queue, 3, 2 * PAGE);
    record = fault_next(queue);
    EXPECT_EQUAL(world, record.sequence, 4);
    EXPECT_EQUAL(world, record.count, 2);
    fault_expect_loss(world, queue, 6, 3);
    /* The same address, but not the same fault; and an equal one after the record was read. */
    (void)fault_make(world, world->port, FAULT_SOURCE, 5, PAGE);
    (void)fault_make(world, world->port, FAULT_SOURCE, 6, PAGE);
    EXPECT_EQUAL(world, fault_next(queue).fault.pasid, 5);
    EXPECT_EQUAL(world, fault_next(queue).fault.pasid, 6);
    (void)fault_make(world, world->port, FAULT_SOURCE, 6, PAGE);
    record = fault_next(queue);
    EXPECT_EQUAL(world, record.count, 1);
    EXPECT_EQUAL(world, record.sequence, 11);
    struct ciommu_fault_queue_statistics counters = {.size = sizeof counters};
    ciommu_fault_queue_read_statistics(queue, &counters);
    EXPECT_EQUAL(world, counters.folded, 3);
    EXPECT_EQUAL(world, counters.faults, 12);
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(device, NULL);
}

/* 64 devices, each with a queue, a ring of 256: after a flood each has its 2 places. */
static void a_flood_leaves_places(struct fault_world *world) {
    struct fault_world wide = {.result = world->result};
    struct ciommu_device *devices[64];
    struct ciommu_fault_queue *queues[64];
    if (!fault_world_create(&wide, 256, 4)) {
        EXPECT(world, false);
        return;
    }
    for (uint32_t number = 0; number < 64; number++) {
        devices[number] = fault_whole(&wide, number, FAULT_SOURCE + number);
        queues[number] = fault_queue(&wide, devices[number], 1000, 0);
    }
    uint64_t admitted = 0;
    for (uint64_t number = 0; number < 1000; number++) {
        struct ciommu_fault fault =
            fault_make(&wide, wide.port, FAULT_SOURCE + 13, FAULT_NONE, number * PAGE);
        admitted += (fault.flags & CIOMMU_FAULT_RECORDED) != 0;
    }
    EXPECT_EQUAL(&wide, admitted, 128);
    for (uint32_t number = 0; number < 128; number++) {
        struct ciommu_fault fault = fault_make(&wide, wide.port, FAULT_SOURCE + number % 64,
                                               FAULT_NONE, number / 64 * PAGE);
        EXPECT_EQUAL(&wide, (fault.flags & CIOMMU_FAULT_RECORDED) != 0, number % 64 != 13);
    }
    for (uint32_t number = 0; number < 64; number++) {
        for (uint64_t turn = 0; turn < 2 && number != 13; turn++) {
            fault_expect_fault(&wide, queues[number], turn, turn * PAGE);
        }
        if (number == 13) {
            for (uint64_t turn = 0; turn < 128; turn++) {
                fault_expect_fault(&wide, queues[number], turn, turn * PAGE);
            }
            fault_expect_loss(&wide, queues[number], 128, 874);
        }
        fault_expect_nothing(&wide, queues[number]);
        ciommu_fault_queue_destroy(queues[number]);
        (void)ciommu_device_destroy(devices[number], NULL);
    }
    fault_world_destroy(&wide);
}

/* Requests that are no DMA of the guest's, and those that ask for silence, leave nothing. */
static void silence_is_kept(struct fault_world *world) {
    struct ciommu_fault_queue *queue = fault_queue(world, NULL, 10, 0);
    struct ciommu_result result = {.size = sizeof result};
    (void)ciommu_translate(world->unit, world->port, 1, FAULT_NONE, 0, CIOMMU_READ, CIOMMU_NO_FAULT,
                           &result);
    (void)ciommu_translate(world->unit, world->port, 1, FAULT_NONE, 0, 0, 0, &result); /* a probe */
    uint32_t steps;
    (void)ciommu_trace(world->unit, NULL, 1, FAULT_NONE, 0, CIOMMU_READ, 0, NULL, 0, &steps,
                       &result);
    EXPECT_EQUAL(world, result.outcome, CIOMMU_FAULT);
    fault_expect_nothing(world, queue);
    (void)ciommu_translate(world->unit, NULL, 1, FAULT_NONE, PAGE, CIOMMU_READ, 0, &result);
    fault_expect_fault(world, queue, 0, PAGE); /* through the pool */
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_translate(world->unit, NULL, 1, FAULT_NONE, PAGE, CIOMMU_READ, 0, &result);
    EXPECT_EQUAL(world, result.fault.flags & CIOMMU_FAULT_RECORDED, 0);
}

static void a_small_record_is_not_overrun(struct fault_world *world) {
    struct ciommu_fault_queue *queue = fault_queue(world, NULL, 10, 0);
    (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE);
    struct ciommu_fault_record record;
    memset(&record, 0x5a, sizeof record);
    record.size = 24; /* size, kind, sequence, count */
    EXPECT_EQUAL(world, ciommu_fault_read(queue, &record, 1), 1);
    EXPECT_EQUAL(world, record.size, 24);
    EXPECT_EQUAL(world, record.count, 1);
    EXPECT_EQUAL(world, record.first_time, UINT64_C(0x5a5a5a5a5a5a5a5a));
    EXPECT_EQUAL(world, ciommu_fault_read(queue, NULL, 0), 0);
    ciommu_fault_queue_destroy(queue);
}

/* A caller of an older header has smaller elements, which are closer to each other. */
#define OLDER 48u

static void smaller_elements_are_found(struct fault_world *world) {
    union {
        struct ciommu_fault fault;
        struct ciommu_fault_record record;
        uint64_t words[4 * OLDER / 8];
    } array;
    memset(&array, 0x5a, sizeof array);
    for (uint32_t number = 1; number <= 3; number++) {
        (void)fault_make(world, world->port, number, FAULT_NONE, PAGE);
        ((uint32_t *)array.words)[(number - 1) * OLDER / 4] = OLDER;
    }
    EXPECT_EQUAL(world, ciommu_port_take_faults(world->port, &array.fault, 3, NULL), 3);
    for (uint32_t number = 1; number <= 3; number++) {
        const uint32_t *fault = (uint32_t *)array.words + (number - 1) * OLDER / 4;
        EXPECT_EQUAL(world, fault[0], OLDER);
        EXPECT_EQUAL(world, fault[4], number); /* the source id */
    }
    EXPECT_EQUAL(world, array.words[3 * OLDER / 8], UINT64_C(0x5a5a5a5a5a5a5a5a));
    struct ciommu_fault_queue *queue = fault_queue(world, NULL, 10, 0);
    for (uint32_t number = 0; number < 3; number++) {
        (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE);
    }
    array.record.size = 0; /* forgotten: nothing is lost */
    EXPECT_EQUAL(world, ciommu_fault_read(queue, &array.record, 3), 0);
    array.record.size = OLDER;
    EXPECT_EQUAL(world, ciommu_fault_read(queue, &array.record, 3), 3);
    for (uint32_t number = 0; number < 3; number++) {
        EXPECT_EQUAL(world, ((uint32_t *)array.words)[number * OLDER / 4], OLDER);
        EXPECT_EQUAL(world, array.words[number * OLDER / 8 + 1], number); /* the sequence */
    }
    EXPECT_EQUAL(world, array.words[3 * OLDER / 8], UINT64_C(0x5a5a5a5a5a5a5a5a));
    ciommu_fault_queue_destroy(queue);
}

const struct fault_named_case fault_queue_cases[] = {
    {"faults arrive in order", faults_arrive_in_order},
    {"a record is the answer's fault", a_record_is_the_answers_fault},
    {"a full ring is told where it was full", a_full_ring_is_told_where_it_was_full},
    {"a loss comes before what followed it", a_loss_comes_before_what_followed_it},
    {"a full quota is told where it was full", a_full_quota_is_told_where_it_was_full},
    {"identical faults fold", identical_faults_fold},
    {"a flood leaves places", a_flood_leaves_places},
    {"silence is kept", silence_is_kept},
    {"smaller elements are found", smaller_elements_are_found},
    {"a small record is not overrun", a_small_record_is_not_overrun},
    {NULL, NULL},
};
