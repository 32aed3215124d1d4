/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_batches.c - device-TLB descriptors, alone and in batches: merging, queue depth, time,
 * and what is reported when a device is late.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#include <string.h>

#define PASID TLB_FIRST_PASID
#define SIBLING (2 * TLB_FIRST_PASID)
#define ENTRIES 256u
#define STATUS_PAGE 60u

struct queue {
    uint64_t words[ENTRIES][4];
    uint32_t count;
    struct ciommu_batch_failure failures[ENTRIES];
    struct ciommu_batch_result result;
    uint32_t waited;
};

/* One page of a PASID. */
static void add_page(struct queue *queue, uint32_t pasid, uint64_t address) {
    uint64_t *words = queue->words[queue->count++];
    words[0] = 8 | (uint64_t)TLB_SOURCE << 16 | (uint64_t)pasid << 32;
    words[1] = address & ~UINT64_C(0xfff);
}

/* Everything of all PASIDs. */
static void add_global(struct queue *queue) {
    uint64_t *words = queue->words[queue->count++];
    words[0] = 8 | (uint64_t)TLB_SOURCE << 16;
    words[1] = UINT64_C(0x7ffffffffffff000) | 0x800 | 1;
}

static void add_wait(struct queue *queue, uint32_t word) {
    uint64_t *words = queue->words[queue->count++];
    words[0] = 5 | 1 << 5 | UINT64_C(7) << 32;
    words[1] = TLB_OUTPUT + STATUS_PAGE * TLB_PAGE + 4 * word;
}

static void count_wait(void *context, uint32_t index, bool interrupt) {
    struct queue *queue = context;
    (void)index;
    (void)interrupt;
    queue->waited++;
}

/* Keeps so many of the failures. */
static enum ciommu_status apply_keeping(struct tlb_bench *bench, struct queue *queue,
                                        uint32_t capacity) {
    struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_256,
        .entry_length = 32,
        .count = queue->count,
        .entries = queue->words,
    };
    struct ciommu_batch_host host = {.size = sizeof host, .context = queue, .waited = count_wait};
    queue->waited = 0;
    queue->result = (struct ciommu_batch_result){
        .size = sizeof queue->result, .capacity = capacity, .failures = queue->failures};
    return ciommu_batch_apply(bench->unit, bench->port, &batch, &host, &queue->result);
}

static enum ciommu_status apply(struct tlb_bench *bench, struct queue *queue) {
    return apply_keeping(bench, queue, ENTRIES);
}

static uint32_t status_word(struct tlb_bench *bench, uint32_t word) {
    uint32_t value;
    memcpy(&value, bench->ram + STATUS_PAGE * TLB_PAGE + 4 * word, sizeof value);
    return value;
}

static bool names(const struct ciommu_batch_failure *failure, uint32_t index, uint32_t error,
                  uint32_t pasid, uint64_t device) {
    return failure->index == index && failure->error == error &&
           failure->flags == CIOMMU_BATCH_HAS_DEVICE && failure->source == TLB_SOURCE &&
           failure->pasid == pasid && failure->device == device;
}

static void siblings(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    struct fake_device *late = &bench->devices[0];
    late->manner = ANSWERS_NEVER;
    add_wait(&queue, 0);
    add_page(&queue, SIBLING, 0x1000);
    add_page(&queue, PASID + 1, 0x5000);
    add_page(&queue, SIBLING + 1, 0x9000);
    add_wait(&queue, 1);
    add_page(&queue, PASID + 1, 0x7000);
    add_page(&queue, SIBLING, 0x2000);
    add_wait(&queue, 2);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT);
    const struct ciommu_batch_result *result = &queue.result;
    EXPECT(bench, result->error == CIOMMU_BATCH_TIMEOUT && result->handled == 8);
    EXPECT(bench, result->failed == 1 && result->lowest == 2 && result->highest == 2);
    EXPECT(bench, names(&queue.failures[0], 2, CIOMMU_BATCH_TIMEOUT, PASID + 1, 1000));
    EXPECT(bench, queue.waited == 1 && status_word(bench, 0) == 7);
    EXPECT(bench, status_word(bench, 1) == 0 && status_word(bench, 2) == 0);
    EXPECT(bench, tlb_count(late) == 1 && tlb_count(&bench->devices[1]) == 3);
    EXPECT(bench, ciommu_device_tlb_is_blocked(late->tlb));
    EXPECT(bench, !ciommu_device_tlb_is_blocked(bench->devices[1].tlb));
    /* Another batch: the blocked device delays and fails nothing. */
    EXPECT(bench, apply(bench, &queue) == CIOMMU_OK && queue.waited == 3);
    EXPECT(bench, status_word(bench, 2) == 7);
}

/* More failures than are kept: the time-out, which aborts the wait, is among those that are. */
static void the_time_out_is_told(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    bench->devices[0].manner = ANSWERS_FALSE;
    bench->devices[1].manner = ANSWERS_NEVER;
    add_page(&queue, PASID, 0x5000);
    add_page(&queue, SIBLING, 0x1000);
    add_wait(&queue, 0);
    EXPECT(bench, apply_keeping(bench, &queue, 1) == CIOMMU_TIMED_OUT && queue.waited == 0);
    EXPECT(bench, queue.result.failed == 2 && queue.result.error == CIOMMU_BATCH_COMPLETION);
    EXPECT(bench, queue.failures[0].index == 1);
    EXPECT(bench, queue.failures[0].error == CIOMMU_BATCH_TIMEOUT);
}

static void coarse(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    bench->devices[0].manner = ANSWERS_NEVER;
    ciommu_unit_set_coarse_timeouts(bench->unit, true);
    add_page(&queue, SIBLING, 0x1000);
    add_wait(&queue, 0);
    add_page(&queue, SIBLING, 0x1000);
    add_page(&queue, PASID, 0x5000);
    add_page(&queue, SIBLING, 0x9000);
    add_wait(&queue, 1);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT && queue.waited == 1);
    EXPECT(bench, queue.result.failed == 3 && queue.result.lowest == 2);
    EXPECT(bench, queue.result.highest == 4);
    EXPECT(bench, names(&queue.failures[0], 3, CIOMMU_BATCH_TIMEOUT, PASID, 1000));
    for (uint32_t index = 1; index < 3; index++) {
        EXPECT(bench, queue.failures[index].index == 2 * index);
        EXPECT(bench, queue.failures[index].flags == CIOMMU_BATCH_AMBIGUOUS);
        EXPECT(bench, queue.failures[index].source == TLB_SOURCE);
    }
    EXPECT(bench, !ciommu_device_tlb_is_blocked(bench->devices[1].tlb));
}

/* More entries than a wave holds, and the device of the last one is late: the first wave is in
 * doubt too, and is listed by its ends; a segment that completed before is not. */
static void coarse_waves(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    bench->devices[0].manner = ANSWERS_NEVER;
    ciommu_unit_set_coarse_timeouts(bench->unit, true);
    add_page(&queue, SIBLING, 0x1000);
    add_wait(&queue, 0);
    for (uint32_t page = 0; page < 100; page++) {
        add_page(&queue, SIBLING, 2 * page * TLB_PAGE);
    }
    add_page(&queue, PASID, 0x5000);
    add_wait(&queue, 1);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT && queue.waited == 1);
    const struct ciommu_batch_result *result = &queue.result;
    EXPECT(bench, result->lowest == 2 && result->highest == 102 && result->failed == 2 + 37);
    EXPECT(bench, names(&queue.failures[0], 102, CIOMMU_BATCH_TIMEOUT, PASID, 1000));
    EXPECT(bench, queue.failures[1].index == 2 && queue.failures[2].index == 65);
    for (uint32_t index = 1; index < result->failed; index++) {
        EXPECT(bench, queue.failures[index].flags == CIOMMU_BATCH_AMBIGUOUS);
        EXPECT(bench, index < 3 || queue.failures[index].index == 63 + index);
    }
    /* The next segment begins anew. */
    EXPECT(bench, ciommu_device_tlb_reset(bench->devices[0].tlb, NULL) == CIOMMU_OK);
    queue.count = 0;
    add_page(&queue, PASID, 0x5000);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT && queue.result.failed == 1);
}

/* A drain that timed out, in a section that may give its device something yet: what a later wait
 * alone says must be true of that device too. */
static void waits_after_a_late_section(struct tlb_bench *bench) {
    struct queue first = {.count = 0};
    struct queue wait = {.count = 0};
    struct fake_device *device = &bench->devices[0];
    struct ciommu_descriptor_result out = {.size = sizeof out};
    uint64_t *iotlb = first.words[first.count++];
    iotlb[0] = 2 | 1 << 4; /* everything */
    add_page(&first, PASID, 0x5000);
    add_wait(&wait, 0);
    for (uint32_t single = 0; single < 2; single++) {
        tlb_forget(device);
        ciommu_port_enter(device->port);
        EXPECT(bench, apply(bench, &first) == CIOMMU_TIMED_OUT && tlb_count(device) == 1);
        EXPECT(bench, apply(bench, &wait) == CIOMMU_TIMED_OUT && wait.waited == 0);
        EXPECT(bench, ciommu_invalidate_descriptor(bench->unit, bench->port, wait.words[0], true,
                                                   &out) == CIOMMU_TIMED_OUT);
        EXPECT(bench, status_word(bench, 0) == (single == 0 ? 0 : 7) && tlb_count(device) == 1);
        ciommu_port_leave(device->port);
        if (single == 0) {
            EXPECT(bench, apply(bench, &wait) == CIOMMU_OK && wait.waited == 1);
            EXPECT(bench, status_word(bench, 0) == 7);
        } else {
            EXPECT(bench, ciommu_invalidate_descriptor(bench->unit, bench->port, wait.words[0],
                                                       true, &out) == CIOMMU_OK);
        }
        /* Asked for what the section may have stored since. */
        EXPECT(bench, tlb_count(device) == 2 && tlb_heard_everything(device, 1));
        EXPECT(bench, apply(bench, &wait) == CIOMMU_OK && tlb_count(device) == 2);
    }
}

/* A device that timed out is blocked; the wait completes when the block holds for all sections. */
static void waits_after_a_late_device(struct tlb_bench *bench) {
    struct queue first = {.count = 0};
    struct queue wait = {.count = 0};
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_NEVER;
    add_page(&first, PASID, 0x5000);
    add_wait(&wait, 0);
    EXPECT(bench, apply(bench, &first) == CIOMMU_TIMED_OUT);
    EXPECT(bench, apply(bench, &wait) == CIOMMU_OK && wait.waited == 1); /* blocked: it is true */
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, NULL) == CIOMMU_OK);
    /* A section from before the block may use what the device holds. */
    ciommu_port_enter(bench->devices[1].port);
    EXPECT(bench, apply(bench, &first) == CIOMMU_TIMED_OUT && tlb_count(device) == 2);
    EXPECT(bench, apply(bench, &wait) == CIOMMU_TIMED_OUT && wait.waited == 0);
    ciommu_port_leave(bench->devices[1].port);
    EXPECT(bench, apply(bench, &wait) == CIOMMU_OK && wait.waited == 1);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb) && tlb_count(device) == 2);
}

static void refused(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    bench->devices[0].manner = ANSWERS_FALSE;
    add_page(&queue, PASID, 0x5000);
    add_wait(&queue, 0);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT);
    EXPECT(bench, queue.result.error == CIOMMU_BATCH_COMPLETION && queue.result.failed == 1);
    EXPECT(bench, names(&queue.failures[0], 0, CIOMMU_BATCH_COMPLETION, PASID, 1000));
    EXPECT(bench, queue.waited == 1 && ciommu_device_tlb_is_blocked(bench->devices[0].tlb));
}

static void merging(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    struct fake_device *device = &bench->devices[0];
    for (uint32_t page = 0; page < 4; page++) {
        add_page(&queue, PASID, (7 - page) * TLB_PAGE);
        add_page(&queue, SIBLING, (20 + 2 * page) * TLB_PAGE);
        add_page(&queue, PASID + 1, (5 + page) * TLB_PAGE);
    }
    EXPECT(bench, apply(bench, &queue) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 2 && tlb_count(&bench->devices[1]) == 4);
    EXPECT(bench, tlb_heard(device, 0, PASID, 0x4000, 0x7fff));
    EXPECT(bench, tlb_heard(device, 1, PASID + 1, 0x5000, 0x8fff));
    EXPECT(bench, queue.result.merged == 6);
    /* Everything stands for all of it; what fails is still told entry by entry. */
    add_global(&queue);
    tlb_forget(device);
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT);
    EXPECT(bench, tlb_heard_everything(device, 0) && tlb_count(device) == 1);
    EXPECT(bench, tlb_count(&bench->devices[1]) == 5);
    EXPECT(bench, queue.result.failed == 9 && queue.result.lowest == 0);
    EXPECT(bench, queue.result.highest == 12);
}

/* Many more requests than the queue holds. */
static void queue_depth(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    bench->devices[0].manner = ANSWERS_ELSEWHERE;
    bench->devices[1].manner = ANSWERS_ELSEWHERE;
    for (uint32_t page = 0; page < 120; page++) {
        add_page(&queue, page % 2 == 0 ? PASID : SIBLING, 2 * page * TLB_PAGE);
    }
    add_wait(&queue, 0);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_OK && queue.waited == 1);
    EXPECT(bench, tlb_count(&bench->devices[0]) == 60 && tlb_count(&bench->devices[1]) == 60);
    EXPECT(bench, tlb_statistics(&bench->devices[0]).answers == 60);
}

/* A device that holds the only slot is late; its sibling, which waits for it, is not. */
static void stuck_queue(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    bench->devices[0].manner = ANSWERS_NEVER;
    add_page(&queue, PASID, 0x1000);
    add_page(&queue, PASID, 0x3000);
    add_page(&queue, SIBLING, 0x1000);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT);
    EXPECT(bench, queue.result.failed == 2);
    EXPECT(bench, queue.failures[0].device == 1000 && queue.failures[1].device == 1000);
    EXPECT(bench, tlb_count(&bench->devices[1]) == 1);
    EXPECT(bench, !ciommu_device_tlb_is_blocked(bench->devices[1].tlb));
}

static void *unmap_the_parent(void *argument) {
    struct tlb_bench *bench = argument;
    EXPECT(bench,
           ciommu_domain_unmap(bench->parent, NULL, tlb_at(1), TLB_PAGE, NULL) == CIOMMU_TIMED_OUT);
    return NULL;
}

/* The same, but the late one was asked by another call. */
static void held_queue(struct tlb_bench *bench) {
    struct fake_device *late = &bench->devices[0];
    struct fake_device *other = &bench->devices[1];
    pthread_t thread;
    EXPECT(bench, ciommu_device_attach(late->device, PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(other->device, SIBLING, bench->other) == CIOMMU_OK);
    late->manner = ANSWERS_NEVER;
    pthread_create(&thread, NULL, unmap_the_parent, bench);
    while (tlb_count(late) == 0) {
        tlb_nap(1);
    }
    EXPECT(bench, tlb_unmap(bench, bench->other, 1, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_count(other) == 1 && !ciommu_device_tlb_is_blocked(other->tlb));
    pthread_join(thread, NULL);
    EXPECT(bench, ciommu_device_tlb_is_blocked(late->tlb));
}

static void nested_batches(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = tlb_at(0)};
    struct ciommu_domain *child = NULL;
    EXPECT(bench, ciommu_nested_create(bench->parent, &config, &child) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID, child) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID + 2, child) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID + 4, bench->parent) == CIOMMU_OK);
    uint64_t entries[3][3] = {{0x5000, 2, 1}, {0x7000, 1, 1}, {0x100000, 1, 1}};
    struct ciommu_batch_failure failures[8];
    struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_S1,
        .entry_length = 24,
        .count = 3,
        .entries = entries,
        .domain = child,
    };
    struct ciommu_batch_result result = {
        .size = sizeof result, .capacity = 8, .failures = failures};
    EXPECT(bench, ciommu_batch_apply(bench->unit, NULL, &batch, NULL, &result) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 4);
    EXPECT(bench, tlb_heard(device, 0, PASID, 0x5000, 0x7fff));
    EXPECT(bench, tlb_heard(device, 1, PASID, 0x100000, 0x100fff));
    EXPECT(bench, tlb_heard(device, 2, PASID + 2, 0x5000, 0x7fff));
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, ciommu_batch_apply(bench->unit, NULL, &batch, NULL, &result) == CIOMMU_TIMED_OUT);
    EXPECT(bench, result.error == CIOMMU_BATCH_TIMEOUT && result.failed == 4);
    EXPECT(bench, result.lowest == 0 && result.highest == 2);
    device->manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_reset(device->device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(child) == CIOMMU_OK);
}

static void single_descriptors(struct tlb_bench *bench) {
    struct queue queue = {.count = 0};
    struct ciommu_descriptor_result out = {.size = sizeof out};
    struct fake_device *device = &bench->devices[0];
    add_page(&queue, PASID, 0x5000);
    add_global(&queue);
    EXPECT(bench, ciommu_invalidate_descriptor(bench->unit, bench->port, queue.words[0], true,
                                               &out) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(device, 0, PASID, 0x5000, 0x5fff));
    EXPECT(bench, out.kind == CIOMMU_DESCRIPTOR_DEVICE_TLB);
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, ciommu_invalidate_descriptor(bench->unit, bench->port, queue.words[1], true,
                                               &out) == CIOMMU_TIMED_OUT);
    EXPECT(bench, tlb_heard_everything(device, 1) && tlb_count(&bench->devices[1]) == 1);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    /* Requests without PASID: nobody here has those. */
    const uint64_t untagged[4] = {3 | (uint64_t)TLB_SOURCE << 32, 0x5000, 0, 0};
    EXPECT(bench,
           ciommu_invalidate_descriptor(bench->unit, NULL, untagged, true, &out) == CIOMMU_OK);
    EXPECT(bench, tlb_count(&bench->devices[1]) == 1);
    struct ciommu_device_tlb_config config = tlb_config(&bench->devices[1]);
    struct ciommu_device_tlb *tlb = NULL;
    config.first_pasid = config.last_pasid = CIOMMU_NO_PASID;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &tlb) == CIOMMU_OK);
    EXPECT(bench,
           ciommu_invalidate_descriptor(bench->unit, NULL, untagged, true, &out) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(&bench->devices[1], 1, CIOMMU_NO_PASID, 0x5000, 0x5fff));
    EXPECT(bench, tlb_count(&bench->devices[1]) == 2);
    EXPECT(bench, ciommu_device_tlb_destroy(tlb, NULL) == CIOMMU_OK);
}

const struct tlb_case tlb_batch_cases[] = {
    {"one of two virtual devices is late", siblings, 0, 0, 0, true},
    {"one is late by the system's clock", siblings, 0, 20, 0, false},
    {"coarse reports", coarse, 0, 0, 0, true},
    {"coarse reports of several waves", coarse_waves, 0, 0, 0, true},
    {"waits after a late section", waits_after_a_late_section, 0, 0, 1, false},
    {"waits after a late device", waits_after_a_late_device, 0, 0, 1, true},
    {"the time-out among many failures", the_time_out_is_told, 0, 0, 0, true},
    {"a refusal in a batch", refused, 0, 0, 0, false},
    {"neighbours become one request", merging, 0, 0, 0, true},
    {"a queue of one", queue_depth, 1, 0, 0, false},
    {"a queue of three", queue_depth, 3, 0, 0, false},
    {"a queue that is stuck", stuck_queue, 1, 20, 0, false},
    {"a queue that another call holds", held_queue, 1, 100, 0, false},
    {"batches of a nested domain", nested_batches, 0, 0, 0, true},
    {"single descriptors", single_descriptors, 0, 0, 0, true},
};
const uint32_t tlb_batch_count = sizeof tlb_batch_cases / sizeof tlb_batch_cases[0];
