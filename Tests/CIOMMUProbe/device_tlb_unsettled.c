/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_unsettled.c - devices whose block does not hold for all sections yet: what is said of
 * them must wait for that, or say that it did not.
 */
#define _GNU_SOURCE
#include "debug.h"
#include "device_tlb_bench.h"

#include <string.h>

#define PASID TLB_FIRST_PASID
#define STATUS_PAGE 60u

/* One page of the first device, a wait, and everything that is in the caches. */
static const uint64_t page_entry[4] = {
    8 | (uint64_t)TLB_SOURCE << 16 | (uint64_t)PASID << 32,
    0x5000,
};
static const uint64_t wait_entry[4] = {
    5 | 1 << 5 | UINT64_C(7) << 32,
    TLB_OUTPUT + STATUS_PAGE *TLB_PAGE,
};
static const uint64_t iotlb_entry[4] = {2 | 1 << 4};

struct short_queue {
    uint64_t words[2][4];
    uint32_t count;
    struct ciommu_batch_failure failures[4];
    struct ciommu_batch_result result;
};

/* `second` may be NULL. */
static struct short_queue queue_of(const uint64_t first[4], const uint64_t second[4]) {
    struct short_queue queue = {.count = second == NULL ? 1 : 2};
    memcpy(queue.words[0], first, sizeof queue.words[0]);
    if (second != NULL) {
        memcpy(queue.words[1], second, sizeof queue.words[1]);
    }
    return queue;
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
    struct short_queue queue = queue_of(page_entry, NULL);
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
    struct short_queue queue = queue_of(page_entry, wait_entry);
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

/* ---- What an older drain left open ---- */

/* Inside the request that makes up for it: the device has not dropped anything yet. */
static void wait_meanwhile(struct fake_device *device,
                           const struct ciommu_device_tlb_request *request) {
    struct tlb_bench *bench = device->bench;
    struct short_queue wait = queue_of(wait_entry, NULL);
    (void)request;
    device->hook = NULL;
    EXPECT(bench, tlb_count(device) == 1);
    EXPECT(bench, apply(bench, &wait) == CIOMMU_OK && status_word(bench) == 7);
    EXPECT(bench, tlb_count(device) == 2 && tlb_heard_everything(device, 1));
}

/* A wait that comes while another call makes up for a late section asks the devices itself. */
static void a_wait_beside_a_drain(struct tlb_bench *bench) {
    struct short_queue first = queue_of(iotlb_entry, page_entry);
    struct fake_device *device = &bench->devices[0];
    ciommu_port_enter(device->port);
    EXPECT(bench, apply(bench, &first) == CIOMMU_TIMED_OUT);
    ciommu_port_leave(device->port);
    tlb_forget(device);
    device->hook = wait_meanwhile;
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK);
    EXPECT(bench, device->hook == NULL && tlb_count(device) == 2);
    /* Once it is made up for nobody is asked any more. */
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK && tlb_count(device) == 2);
}

/* A drain that is late itself makes up for nothing. */
static void a_late_drain_still_owes(struct tlb_bench *bench) {
    struct short_queue first = queue_of(iotlb_entry, page_entry);
    struct fake_device *device = &bench->devices[0];
    ciommu_port_enter(device->port);
    EXPECT(bench, apply(bench, &first) == CIOMMU_TIMED_OUT && tlb_count(device) == 1);
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_TIMED_OUT);
    EXPECT(bench, tlb_count(device) == 1);
    ciommu_port_leave(device->port);
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 2 && tlb_heard_everything(device, 1));
}

/* ---- One block for another ---- */

#ifdef CIOMMU_INTERNAL_CHECKS
static struct tlb_bench *yielding;

/* Its block holds, and before that is noted the device comes back and is blocked anew, in a section
 * that does not end. */
static void block_anew(enum ciommu_yield_point point) {
    struct tlb_bench *bench = yielding;
    if (point != CIOMMU_YIELD_BLOCK_SETTLED || bench == NULL) {
        return;
    }
    struct short_queue queue = queue_of(page_entry, NULL);
    struct fake_device *device = &bench->devices[0];
    yielding = NULL;
    device->manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, NULL) == CIOMMU_OK);
    EXPECT(bench, !ciommu_device_tlb_is_blocked(device->tlb));
    device->manner = ANSWERS_FALSE;
    ciommu_port_enter(bench->devices[1].port);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT);
}

static void blocked_anew_meanwhile(struct tlb_bench *bench) {
    struct short_queue queue = queue_of(page_entry, NULL);
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_FALSE;
    yielding = bench;
    __atomic_store_n(&ciommu_yield_hook, block_anew, __ATOMIC_RELEASE);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(bench, yielding == NULL && ciommu_device_tlb_is_blocked(device->tlb));
    /* The new block does not hold yet, whatever the first call found. */
    EXPECT(bench, apply(bench, &queue) == CIOMMU_TIMED_OUT);
    EXPECT(bench, queue.result.failed == 1 && names_the_port(&queue.failures[0], 0));
    ciommu_port_leave(bench->devices[1].port);
    EXPECT(bench, apply(bench, &queue) == CIOMMU_OK);
}
#else
static void blocked_anew_meanwhile(struct tlb_bench *bench) {
    (void)bench;
}
#endif

const struct tlb_case tlb_unsettled_cases[] = {
    {"a batch tells of an old section", a_batch_tells_of_an_old_section, 0, 0, 1, true},
    {"a refusal in an old section", a_refusal_in_an_old_section, 0, 0, 1, false},
    {"a wait beside a drain", a_wait_beside_a_drain, 0, 0, 1, false},
    {"a late drain still owes", a_late_drain_still_owes, 0, 0, 1, false},
    {"blocked anew meanwhile", blocked_anew_meanwhile, 0, 0, 1, false},
};
const uint32_t tlb_unsettled_count = sizeof tlb_unsettled_cases / sizeof tlb_unsettled_cases[0];
