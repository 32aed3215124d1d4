/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_answers.c - devices that answer at once, late, twice, never, wrongly, from other
 * threads and from inside sections; what blocks them and what unblocks them.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"
#include "domain_probe.h"
#include "probe.h"

#include <limits.h>
#include <string.h>

#define PASID TLB_FIRST_PASID         /* of the first device */
#define SIBLING (2 * TLB_FIRST_PASID) /* of the second */
#define NOBODY (3 * TLB_FIRST_PASID)

static void attach(struct tlb_bench *bench) {
    EXPECT(bench, ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == 0);
    EXPECT(bench, ciommu_device_attach(bench->devices[1].device, SIBLING, bench->parent) == 0);
}

static bool is_blocked(struct tlb_bench *bench, uint32_t pasid) {
    uint32_t plain = tlb_translate(bench, pasid, tlb_at(9), 0);
    uint32_t asks = tlb_translate(bench, pasid, tlb_at(9), CIOMMU_TRANSLATION_REQUEST);
    uint32_t translated = tlb_translate(bench, pasid, TLB_OUTPUT + 9 * TLB_PAGE, CIOMMU_TRANSLATED);
    EXPECT(bench, plain == asks && plain == translated);
    return translated == CIOMMU_FAULT;
}

static void at_once(struct tlb_bench *bench) {
    attach(bench);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 3) == CIOMMU_OK);
    EXPECT(bench, tlb_heard(&bench->devices[0], 0, PASID, tlb_at(2), tlb_at(5) - 1));
    EXPECT(bench, tlb_heard(&bench->devices[1], 0, SIBLING, tlb_at(2), tlb_at(5) - 1));
    EXPECT(bench, bench->devices[0].log[0].id != bench->devices[1].log[0].id);
    struct ciommu_device_tlb_statistics statistics = tlb_statistics(&bench->devices[0]);
    uint64_t trips = 0;
    for (uint32_t lg2 = 0; lg2 < 40; lg2++) {
        trips += statistics.round_trip[lg2];
    }
    EXPECT(bench, statistics.requests == 1 && statistics.answers == 1 && trips == 1);
    EXPECT(bench, statistics.open == 0 && statistics.timeouts == 0 && statistics.errors == 0);
}

static void second_answers(struct tlb_bench *bench) {
    attach(bench);
    bench->devices[0].manner = ANSWERS_TWICE;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    EXPECT(bench, bench->devices[0].second_status == CIOMMU_NOT_FOUND);
    EXPECT(bench, tlb_statistics(&bench->devices[0]).late_answers == 1);
    EXPECT(bench, ciommu_device_tlb_answer(bench->unit, 0, true) == CIOMMU_NOT_FOUND);
    EXPECT(bench, ciommu_device_tlb_answer(bench->unit, 1 << 20, true) == CIOMMU_NOT_FOUND);
    EXPECT(bench, ciommu_device_tlb_answer(bench->unit, UINT64_MAX, true) == CIOMMU_NOT_FOUND);
    EXPECT(bench, ciommu_device_tlb_answer(NULL, 1, true) == CIOMMU_INVALID_ARGUMENT);
}

static void other_threads(struct tlb_bench *bench) {
    attach(bench);
    bench->devices[0].manner = ANSWERS_ELSEWHERE;
    bench->devices[1].manner = ANSWERS_IN_SECTION;
    for (uint32_t page = 0; page < 20; page++) {
        EXPECT(bench, tlb_unmap(bench, bench->parent, page, 1) == CIOMMU_OK);
    }
    EXPECT(bench, tlb_count(&bench->devices[0]) == 20 && tlb_count(&bench->devices[1]) == 20);
}

static void silence_blocks(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    EXPECT(bench, !is_blocked(bench, PASID) && !is_blocked(bench, SIBLING));
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    EXPECT(bench, !ciommu_device_tlb_is_blocked(bench->devices[1].tlb));
    EXPECT(bench, is_blocked(bench, PASID) && !is_blocked(bench, SIBLING));
    EXPECT(bench, tlb_statistics(device).timeouts == 1 && tlb_statistics(device).open == 0);
    /* Late: nothing changes. */
    EXPECT(bench,
           ciommu_device_tlb_answer(bench->unit, device->log[0].id, true) == CIOMMU_NOT_FOUND);
    EXPECT(bench, tlb_statistics(device).late_answers == 1 && is_blocked(bench, PASID));
    /* A blocked device is not asked, and fails nobody. */
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 1 && tlb_count(&bench->devices[1]) == 2);
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, bench->port) == CIOMMU_TIMED_OUT);
    EXPECT(bench, tlb_heard_everything(device, 1) && is_blocked(bench, PASID));
    device->manner = ANSWERS_AT_ONCE;
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, bench->port) == CIOMMU_OK);
    EXPECT(bench, tlb_heard_everything(device, 2) && !is_blocked(bench, PASID));
    EXPECT(bench, !ciommu_device_tlb_is_blocked(device->tlb));
}

static void resets_unblock(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, is_blocked(bench, PASID));
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, bench->port) == CIOMMU_OK);
    EXPECT(bench, !is_blocked(bench, PASID) && tlb_count(device) == 1);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 3, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, is_blocked(bench, PASID));
    EXPECT(bench, ciommu_device_tlb_destroy(device->tlb, bench->port) == CIOMMU_TIMED_OUT);
    device->tlb = NULL;
    /* ATS is off, the rest passes. */
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(9), 0) == CIOMMU_TRANSLATED_OK);
    EXPECT(bench, tlb_translate(bench, PASID, tlb_at(9), CIOMMU_TRANSLATED) == CIOMMU_FAULT);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 4, 1) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 3);
}

static void refusals_block(struct tlb_bench *bench) {
    attach(bench);
    bench->devices[0].manner = ANSWERS_FALSE;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, is_blocked(bench, PASID) && !is_blocked(bench, SIBLING));
    struct ciommu_device_tlb_statistics statistics = tlb_statistics(&bench->devices[0]);
    EXPECT(bench, statistics.errors == 1 && statistics.timeouts == 0 && statistics.answers == 1);
}

/* Translations that ports keep are gone too when a device is blocked. */
static void ports_forget(struct tlb_bench *bench) {
    attach(bench);
    struct ciommu_result result = {.size = sizeof result};
    for (uint32_t time = 0; time < 3; time++) {
        EXPECT(bench, tlb_translate(bench, PASID, tlb_at(9), 0) == CIOMMU_TRANSLATED_OK);
    }
    bench->devices[0].manner = ANSWERS_NEVER;
    EXPECT(bench, ciommu_device_tlb_retry(bench->devices[0].tlb, NULL) == CIOMMU_TIMED_OUT);
    EXPECT(bench, is_blocked(bench, PASID));
    EXPECT(bench, ciommu_translate(bench->unit, NULL, TLB_SOURCE, PASID, tlb_at(9), CIOMMU_READ, 0,
                                   &result) == CIOMMU_OK);
    EXPECT(bench, result.outcome == CIOMMU_FAULT && result.fault.device == 1000);
}

/* A guest's source id, translation off: everything would pass. */
static void guests_are_blocked_too(struct tlb_bench *bench) {
    struct ciommu_device_tlb_config config = tlb_config(&bench->devices[0]);
    struct ciommu_result result = {.size = sizeof result};
    struct ciommu_device_tlb *tlb = NULL;
    config.source = 0x99;
    config.flags = CIOMMU_DEVICE_TLB_ALL_PASIDS;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &tlb) == CIOMMU_OK);
    for (uint32_t blocked = 0; blocked < 2; blocked++) {
        EXPECT(bench, ciommu_translate(bench->unit, bench->port, 0x99, CIOMMU_NO_PASID, TLB_OUTPUT,
                                       CIOMMU_READ, 0, &result) == CIOMMU_OK);
        EXPECT(bench, (result.outcome == CIOMMU_FAULT) == (blocked != 0));
        bench->devices[0].manner = ANSWERS_NEVER;
        EXPECT(bench, ciommu_device_tlb_retry(tlb, NULL) == CIOMMU_TIMED_OUT);
    }
    EXPECT(bench, ciommu_device_tlb_destroy(tlb, NULL) == CIOMMU_TIMED_OUT);
}

/* Answers the first request only when the second is out: too late for it, and not for the other. */
static void answer_the_first(struct fake_device *device,
                             const struct ciommu_device_tlb_request *request) {
    if (request->global == 1) {
        EXPECT(device->bench, ciommu_device_tlb_answer(device->bench->unit, device->log[0].id,
                                                       true) == CIOMMU_NOT_FOUND);
    }
}

static void late_answers(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_NEVER;
    device->hook = answer_the_first;
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, NULL) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    device->hook = NULL;
}

/* ---- Threads ---- */

struct change {
    struct tlb_bench *bench;
    enum ciommu_status status;
    pthread_t thread;
};

static void *unmap_a_page(void *argument) {
    struct change *change = argument;
    change->status = tlb_unmap(change->bench, change->bench->parent, 2, 1);
    return NULL;
}

static void begin_unmap(struct tlb_bench *bench, struct change *change) {
    *change = (struct change){.bench = bench};
    pthread_create(&change->thread, NULL, unmap_a_page, change);
    while (tlb_count(&bench->devices[0]) == 0) {
        tlb_nap(1);
    }
}

static void resets_void_requests(struct tlb_bench *bench) {
    struct change change;
    attach(bench);
    bench->custom_clock = false;
    bench->devices[0].manner = ANSWERS_NEVER; /* within a minute */
    begin_unmap(bench, &change);
    EXPECT(bench, ciommu_device_tlb_reset(bench->devices[0].tlb, NULL) == CIOMMU_OK);
    pthread_join(change.thread, NULL);
    EXPECT(bench, change.status == CIOMMU_OK && !is_blocked(bench, PASID));
}

static void answer_everything(struct fake_device *device,
                              const struct ciommu_device_tlb_request *request) {
    if (request->global == 1) {
        (void)ciommu_device_tlb_answer(device->bench->unit, request->id, true);
    }
}

static void ends_void_requests(struct tlb_bench *bench) {
    struct change change;
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_NEVER;
    device->hook = answer_everything;
    begin_unmap(bench, &change);
    EXPECT(bench, ciommu_device_tlb_destroy(device->tlb, NULL) == CIOMMU_OK);
    device->tlb = NULL;
    pthread_join(change.thread, NULL);
    EXPECT(bench, change.status == CIOMMU_OK);
    device->hook = NULL;
}

/* A section that asked for a translation and has not stored the answer yet. */
struct storer {
    struct tlb_bench *bench;
    uint32_t asked; /* 1: the answer is there, 2: the device was asked to drop it */
    uint32_t held;  /* in the device's cache */
    pthread_t thread;
};
static struct storer storer;

static void *store_late(void *argument) {
    struct tlb_bench *bench = argument;
    struct ciommu_port *port = bench->devices[0].port;
    struct ciommu_result result = {.size = sizeof result};
    ciommu_port_enter(port);
    EXPECT(bench, ciommu_translate(bench->unit, port, TLB_SOURCE, PASID, tlb_at(2), CIOMMU_READ,
                                   CIOMMU_TRANSLATION_REQUEST, &result) == CIOMMU_OK);
    __atomic_store_n(&storer.asked, 1, __ATOMIC_RELEASE);
    for (uint32_t time = 0; time < 50 && __atomic_load_n(&storer.asked, __ATOMIC_ACQUIRE) == 1;
         time++) {
        tlb_nap(1);
    }
    __atomic_store_n(&storer.held, result.outcome == CIOMMU_TRANSLATED_OK, __ATOMIC_RELEASE);
    ciommu_port_leave(port);
    return NULL;
}

static void drop_it(struct fake_device *device, const struct ciommu_device_tlb_request *request) {
    (void)device;
    (void)request;
    __atomic_store_n(&storer.held, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&storer.asked, 2, __ATOMIC_RELEASE);
    tlb_nap(1);
}

static void asked_after_sections(struct tlb_bench *bench) {
    attach(bench);
    storer = (struct storer){.bench = bench};
    bench->devices[0].hook = drop_it;
    pthread_create(&storer.thread, NULL, store_late, bench);
    while (__atomic_load_n(&storer.asked, __ATOMIC_ACQUIRE) == 0) {
        tlb_nap(1);
    }
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    pthread_join(storer.thread, NULL);
    EXPECT(bench, __atomic_load_n(&storer.held, __ATOMIC_ACQUIRE) == 0);
    bench->devices[0].hook = NULL;
}

/* A drain that times out leaves a section that may store later: draining asks again. */
static void drains_ask_again(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    ciommu_port_enter(device->port);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_TIMED_OUT);
    EXPECT(bench, tlb_count(device) == 1);
    ciommu_port_leave(device->port);
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 2 && tlb_heard_everything(device, 1));
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 2);
}

/* A section from before the block goes on: whoever relies on the block must not return. */
static void blocks_are_settled(struct tlb_bench *bench) {
    attach(bench);
    struct fake_device *device = &bench->devices[0];
    device->manner = ANSWERS_NEVER;
    ciommu_port_enter(device->port);
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, bench->port) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb) && tlb_count(device) == 1);
    const struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_DEVICE_TLB,
        .pasid = PASID,
        .source = TLB_SOURCE,
        .last = UINT64_MAX,
    };
    EXPECT(bench, ciommu_invalidate(bench->unit, bench->port, &what) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, bench->port) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_is_blocked(device->tlb));
    ciommu_port_leave(device->port);
    EXPECT(bench, ciommu_invalidate(bench->unit, bench->port, &what) == CIOMMU_OK);
    EXPECT(bench, tlb_count(device) == 1);
    /* The section may have stored something after the device was reset for the first time. */
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, bench->port) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, bench->port) == CIOMMU_OK);
    EXPECT(bench, !ciommu_device_tlb_is_blocked(device->tlb));
}

/* ---- Making and ending ---- */

static enum ciommu_status made(struct tlb_bench *bench, struct ciommu_device_tlb_config config) {
    struct ciommu_device_tlb *tlb = NULL;
    enum ciommu_status status = ciommu_device_tlb_create(bench->unit, &config, &tlb);
    if (status == CIOMMU_OK) {
        EXPECT(bench, ciommu_unit_destroy(bench->unit) == CIOMMU_IN_USE);
        EXPECT(bench, ciommu_device_tlb_destroy(tlb, bench->port) == CIOMMU_OK);
    }
    return status;
}

static void ranges(struct tlb_bench *bench) {
    struct ciommu_device_tlb_config config = tlb_config(&bench->devices[0]);
    EXPECT(bench, made(bench, config) == CIOMMU_OVERLAP);
    config.first_pasid = SIBLING + 15;
    config.last_pasid = NOBODY;
    EXPECT(bench, made(bench, config) == CIOMMU_OVERLAP);
    config.first_pasid = NOBODY;
    EXPECT(bench, made(bench, config) == CIOMMU_OK);
    config.last_pasid = 0xfffff;
    EXPECT(bench, made(bench, config) == CIOMMU_OK);
    config.last_pasid = 0x100000;
    EXPECT(bench, made(bench, config) == CIOMMU_INVALID_ARGUMENT);
    config.first_pasid = config.last_pasid = CIOMMU_NO_PASID;
    EXPECT(bench, made(bench, config) == CIOMMU_OK);
    config.flags = CIOMMU_DEVICE_TLB_ALL_PASIDS;
    EXPECT(bench, made(bench, config) == CIOMMU_OVERLAP);
    config.source = 0x43;
    EXPECT(bench, made(bench, config) == CIOMMU_OK);
    config.queue_depth = bench->depth + 1; /* another depth of the same function */
    EXPECT(bench, made(bench, config) == CIOMMU_INVALID_ARGUMENT);
    config.pfsid = 0x43;
    EXPECT(bench, made(bench, config) == CIOMMU_OK);
    config.queue_depth = 33;
    EXPECT(bench, made(bench, config) == CIOMMU_INVALID_ARGUMENT);
    config.queue_depth = 0;
    EXPECT(bench, made(bench, config) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, ciommu_device_tlb_destroy(NULL, NULL) == CIOMMU_OK);
}

static void memory_runs_out(struct tlb_bench *bench) {
    struct ciommu_device_tlb_config config = tlb_config(&bench->devices[0]);
    config.source = 0x77;
    config.pfsid = 0x77;
    if (probe_allocations(-1) == INT_MIN) {
        return; /* a release build */
    }
    for (int allocations = 0; allocations < 20; allocations++) {
        (void)probe_allocations(allocations);
        enum ciommu_status status = made(bench, config);
        (void)probe_allocations(-1);
        EXPECT(bench, status == CIOMMU_OK || status == CIOMMU_NO_MEMORY);
        if (status == CIOMMU_OK) {
            EXPECT(bench, allocations >= 4);
            return;
        }
    }
    EXPECT(bench, false);
}

static void sections_are_refused(struct tlb_bench *bench) {
    struct ciommu_device_tlb *tlb = bench->devices[0].tlb;
    ciommu_port_enter(bench->port);
    EXPECT(bench, ciommu_device_tlb_retry(tlb, bench->port) == CIOMMU_IN_SECTION);
    EXPECT(bench, ciommu_device_tlb_reset(tlb, bench->port) == CIOMMU_IN_SECTION);
    EXPECT(bench, ciommu_device_tlb_destroy(tlb, bench->port) == CIOMMU_IN_SECTION);
    if (probe_has_mutants()) { /* debug builds know who opened a section */
        struct ciommu_device_tlb_config config = tlb_config(&bench->devices[0]);
        struct ciommu_device_tlb *made = NULL;
        config.source = 0x77;
        EXPECT(bench, ciommu_device_tlb_retry(tlb, NULL) == CIOMMU_IN_SECTION);
        EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &made) == CIOMMU_IN_SECTION);
    }
    ciommu_port_leave(bench->port);
    EXPECT(bench, ciommu_device_tlb_retry(NULL, NULL) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, ciommu_device_tlb_reset(NULL, NULL) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, tlb_count(&bench->devices[0]) == 0);
}

const struct tlb_case tlb_answer_cases[] = {
    {"answers at once", at_once, 0, 0, 0, false},
    {"second and unknown answers", second_answers, 0, 0, 0, false},
    {"answers from other threads and from sections", other_threads, 0, 0, 0, false},
    {"silence blocks, a retry unblocks", silence_blocks, 0, 0, 0, true},
    {"silence by the system's clock", silence_blocks, 0, 5, 0, false},
    {"a reset or an end unblocks", resets_unblock, 0, 0, 0, true},
    {"a refusal blocks", refusals_block, 0, 0, 0, false},
    {"ports forget a blocked device", ports_forget, 0, 0, 0, true},
    {"a guest's device is blocked", guests_are_blocked_too, 0, 0, 0, true},
    {"a late answer ends no newer request", late_answers, 0, 0, 0, true},
    {"a reset makes open requests void", resets_void_requests, 0, 0, 0, false},
    {"an end makes open requests void", ends_void_requests, 0, 0, 0, false},
    {"devices are asked after sections", asked_after_sections, 0, 0, 0, false},
    {"a drain asks again", drains_ask_again, 0, 0, 1, false},
    {"blocks are settled", blocks_are_settled, 0, 0, 1, true},
    {"ranges of PASIDs", ranges, 0, 0, 0, false},
    {"memory runs out", memory_runs_out, 0, 0, 0, false},
    {"sections are refused", sections_are_refused, 0, 0, 0, false},
};
const uint32_t tlb_answer_count = sizeof tlb_answer_cases / sizeof tlb_answer_cases[0];
