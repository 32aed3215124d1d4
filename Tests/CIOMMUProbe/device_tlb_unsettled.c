/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_unsettled.c - devices whose block does not hold for all sections yet: what is said of
 * them must wait for that, or say that it did not.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#include <string.h>

#define PASID TLB_FIRST_PASID
#define STATUS_PAGE 60u

/* One page of the first device, and then perhaps a wait. */
struct short_queue {
    uint64_t words[2][4];
    uint32_t count;
    struct ciommu_batch_failure failures[4];
    struct ciommu_batch_result result;
};

static struct short_queue queue_of(uint32_t count) {
    return (struct short_queue){
        .words = {{8 | (uint64_t)TLB_SOURCE << 16 | (uint64_t)PASID << 32, 0x5000},
                  {5 | 1 << 5 | UINT64_C(7) << 32, TLB_OUTPUT + STATUS_PAGE * TLB_PAGE}},
        .count = count,
    };
}

static enum ciommu_status apply(struct tlb_bench *bench, struct short_queue *queue) {
    struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_256,
        .entry_length = 32,
        .count = queue->count,
        .entries = queue->words,
    };
    queue->result = (struct ciommu_batch_result){
        .size = sizeof queue->result, .capacity = 4, .failures = queue->failures};
    return ciommu_batch_apply(bench->unit, bench->port, &batch, NULL, &queue->result);
}

static uint32_t status_word(const struct tlb_bench *bench) {
    uint32_t value;
    memcpy(&value, bench->ram + STATUS_PAGE * TLB_PAGE, sizeof value);
    return value;
}

static bool names_the_port(const struct ciommu_batch_failure *failure, uint32_t index) {
    return failure->index == index && failure->error == CIOMMU_BATCH_TIMEOUT &&
           failure->flags == CIOMMU_BATCH_PORT && failure->port_id != 0;
}

/* A section from before the block may use what the device holds, and nothing else is late. */
static void a_batch_tells_of_an_old_section(struct tlb_bench *bench) {
    struct short_queue queue = queue_of(1);
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_NEVER;
    ciommu_port_enter(bench->devices[1].port);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT && queue.result.failed == 2);
    EXPECT(bench, queue.failures[0].flags == CIOMMU_BATCH_HAS_DEVICE);
    EXPECT(bench, names_the_port(&queue.failures[1], 0));
    /* It is not asked again, and its block does not hold yet. */
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT && queue.result.failed == 1);
    EXPECT(bench, queue.result.error == CIOMMU_BATCH_TIMEOUT);
    EXPECT(bench, names_the_port(&queue.failures[0], 0));
    ciommu_port_leave(bench->devices[1].port);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_OK && tlb_count(device) == 1);
}

static void enter_the_other_port(struct fake_device *device,
                                 const struct ciommu_device_tlb_request *request) {
    (void)request;
    ciommu_port_enter(device->bench->devices[1].port);
}

/* A refused entry is answered for once its device is blocked: here it is not. */
static void a_refusal_in_an_old_section(struct tlb_bench *bench) {
    struct short_queue queue = queue_of(2);
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_FALSE;
    device->hook = enter_the_other_port;
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT && status_word(bench) == 0);
    EXPECT(bench, queue.result.failed == 2 && queue.result.handled == 2);
    EXPECT(bench, queue.result.error == CIOMMU_BATCH_COMPLETION);
    EXPECT(bench, queue.failures[0].error == CIOMMU_BATCH_COMPLETION);
    EXPECT(bench, names_the_port(&queue.failures[1], 1));
    EXPECT(bench, queue.result.lowest == 0 && queue.result.highest == 1);
    device->hook = NULL;
    ciommu_port_leave(bench->devices[1].port);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_OK && status_word(bench) == 7);
}

const struct tlb_case tlb_unsettled_cases[] = {
    {"a batch tells of an old section", a_batch_tells_of_an_old_section, 0, 0, 1, true},
    {"a refusal in an old section", a_refusal_in_an_old_section, 0, 0, 1, false},
};
const uint32_t tlb_unsettled_count = sizeof tlb_unsettled_cases / sizeof tlb_unsettled_cases[0];
