/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_states.c - an entry's states: every call in every state, what is delivered, what is
 * pending, and what happens when a section is still open.
 */
#define _GNU_SOURCE
#include "message_bench.h"
#include "harness.h"
#include "debug.h"

#include <stddef.h>

#define PASID 5u
#define OTHER 6u

/* ---- Every call in every state ---- */

/* Brings a fresh entry into a state. */
static uint32_t bring(struct message_bench *bench, enum ciommu_message_state state) {
    uint32_t index = 0;
    EXPECT(bench, ciommu_message_allocate(bench->store, PASID, 0, &index) == CIOMMU_OK);
    if (state >= CIOMMU_MESSAGE_PROGRAMMED) {
        EXPECT(bench, ciommu_message_program(bench->store, bench->port, index, 0xfee00000, 0) ==
                          CIOMMU_OK);
    }
    if (state >= CIOMMU_MESSAGE_ARMED) {
        EXPECT(bench, ciommu_message_arm(bench->store, index) == CIOMMU_OK);
    }
    if (state >= CIOMMU_MESSAGE_MASKED) {
        EXPECT(bench, ciommu_message_mask(bench->store, bench->port, index) == CIOMMU_OK);
    }
    if (state == CIOMMU_MESSAGE_RETIRED) {
        ciommu_port_enter(bench->other); /* left by the caller */
        EXPECT(bench, ciommu_message_free(bench->store, bench->port, index) == CIOMMU_TIMED_OUT);
    }
    if (state == CIOMMU_MESSAGE_FREE) {
        EXPECT(bench, ciommu_message_free(bench->store, bench->port, index) == CIOMMU_OK);
    }
    return index;
}

enum call { PROGRAM, ARM, MASK, UNMASK, SET, FREE, CALLS };

static enum ciommu_status apply(struct message_bench *bench, enum call call, uint32_t index) {
    bool pending;
    switch (call) {
    case PROGRAM:
        return ciommu_message_program(bench->store, bench->port, index, 0xfee00000, 2);
    case ARM:
        return ciommu_message_arm(bench->store, index);
    case MASK:
        return ciommu_message_mask(bench->store, bench->port, index);
    case UNMASK:
        return ciommu_message_unmask(bench->store, index, &pending);
    case SET:
        return ciommu_message_set_pasid(bench->store, bench->port, index, OTHER);
    default:
        return ciommu_message_free(bench->store, bench->port, index);
    }
}

#define X UINT32_MAX /* refused, and stays what it is */

/* The state after a call. Rows: free, allocated, programmed, armed, masked, retired. */
static const uint32_t after[6][CALLS] = {
    /* program, arm, mask, unmask, set_pasid, free */
    {X, X, X, X, X, X}, {2, X, X, X, 1, 0}, {2, 3, X, X, 2, 0},
    {X, X, 4, X, 3, 0}, {4, X, 4, 3, 4, 0}, {X, X, X, X, X, X},
};

static void transitions(struct message_bench *bench) {
    for (uint32_t round = 0; round < 6 * CALLS; round++) {
        uint32_t state = round / CALLS;
        uint32_t call = round % CALLS;
        uint32_t index = bring(bench, (enum ciommu_message_state)state);
        EXPECT_AT(bench, bench_info(bench->store, index).state == state, round);
        if (state == CIOMMU_MESSAGE_RETIRED) {
            ciommu_port_leave(bench->other);
        }
        uint32_t expected = after[state][call];
        enum ciommu_status status = apply(bench, (enum call)call, index);
        EXPECT_AT(bench, status == (expected == X ? CIOMMU_BAD_STATE : CIOMMU_OK), round);
        struct ciommu_message_info info = bench_info(bench->store, index);
        EXPECT_AT(bench, info.state == (expected == X ? state : expected), round);
        bool moved = call == SET && expected != X;
        bool live = info.state != CIOMMU_MESSAGE_FREE && info.state != CIOMMU_MESSAGE_RETIRED;
        EXPECT_AT(bench, info.pasid == (!live ? CIOMMU_NO_PASID : moved ? OTHER : PASID), round);
        EXPECT_AT(bench, info.data == (call == PROGRAM && expected != X ? 2u : 0u), round);
        if (live) {
            EXPECT(bench, ciommu_message_free(bench->store, bench->port, index) == CIOMMU_OK);
        }
        if (state == CIOMMU_MESSAGE_RETIRED) { /* takes it back */
            EXPECT(bench, bring(bench, CIOMMU_MESSAGE_FREE) == index);
        }
    }
}

/* ---- Delivery ---- */

static void outcomes(struct message_bench *bench) {
    struct ciommu_message_store *store = bench->store;
    uint32_t data = 0;
    uint32_t index = bring(bench, CIOMMU_MESSAGE_ALLOCATED);
    EXPECT(bench, bench_raise(bench, store, 3, PASID, NULL) == CIOMMU_MESSAGE_NOT_ARMED);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_NOT_ARMED);
    EXPECT(bench, ciommu_message_program(store, NULL, index, 0xfee00000, 0x77) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_NOT_ARMED);
    EXPECT(bench, ciommu_message_arm(store, index) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, PASID, &data) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, data == 0x77);
    EXPECT(bench, bench_raise(bench, store, index, OTHER, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench, bench_raise(bench, store, index, 0, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench,
           bench_raise(bench, store, index, CIOMMU_PASID_MAX, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench,
           bench_raise(bench, store, index, CIOMMU_NO_PASID, NULL) == CIOMMU_MESSAGE_ABSENT_PASID);
    uint32_t skip = bench_entry(bench, store, CIOMMU_NO_PASID, true);
    EXPECT(bench, bench_raise(bench, store, skip, CIOMMU_NO_PASID, NULL) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, bench_raise(bench, store, skip, PASID, NULL) == CIOMMU_MESSAGE_DELIVER);
    uint32_t zero = bench_entry(bench, store, 0, true); /* a PASID like any other */
    EXPECT(bench, bench_raise(bench, store, zero, 0, NULL) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench,
           bench_raise(bench, store, zero, CIOMMU_NO_PASID, NULL) == CIOMMU_MESSAGE_ABSENT_PASID);
    struct ciommu_message_statistics sum = {.size = sizeof sum};
    ciommu_message_read_statistics(store, &sum);
    EXPECT(bench, sum.entries == BENCH_ENTRIES && sum.allocated == 3 && sum.retired == 0);
    EXPECT(bench, sum.not_armed == 3 && sum.wrong_pasid == 3 && sum.absent_pasid == 2);
}

static void pending(struct message_bench *bench) {
    struct ciommu_message_store *store = bench->store;
    uint32_t index = bench_entry(bench, store, PASID, true);
    bool raised = true;
    EXPECT(bench, ciommu_message_mask(store, bench->port, index) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, OTHER, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench, bench_info(store, index).pending == 0);
    EXPECT(bench, ciommu_message_unmask(store, index, &raised) == CIOMMU_OK && !raised);
    EXPECT(bench, ciommu_message_mask(store, bench->port, index) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    EXPECT(bench, bench_info(store, index).pending == 1);
    EXPECT(bench, ciommu_message_program(store, bench->port, index, 0xfee00000, 0x88) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_unmask(store, index, &raised) == CIOMMU_OK && raised);
    uint32_t data = 0;
    EXPECT(bench, bench_raise(bench, store, index, PASID, &data) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, data == 0x88 && bench_info(store, index).pending == 0);
    EXPECT(bench, ciommu_message_mask(store, bench->port, index) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_unmask(store, index, &raised) == CIOMMU_OK && !raised);
    /* Freed with an interrupt pending, it is the next owner's without one. */
    EXPECT(bench, ciommu_message_mask(store, bench->port, index) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    EXPECT(bench, ciommu_message_free(store, bench->port, index) == CIOMMU_OK);
    EXPECT(bench, bench_entry(bench, store, OTHER, true) == index);
    EXPECT(bench, bench_info(store, index).pending == 0);
}

/* ---- A section is open: what waits times out at once ---- */

static void time_outs(struct message_bench *bench) {
    struct ciommu_message_store *store = bench->store;
    struct ciommu_port *port = bench->port;
    uint32_t index = bench_entry(bench, store, PASID, true);
    ciommu_port_enter(bench->other);
    EXPECT(bench, ciommu_message_set_pasid(store, port, index, OTHER) == CIOMMU_TIMED_OUT);
    struct ciommu_message_info info = bench_info(store, index);
    EXPECT(bench, info.state == CIOMMU_MESSAGE_MASKED && info.pasid == PASID);
    EXPECT(bench, bench_raise(bench, store, index, OTHER, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    EXPECT(bench, ciommu_message_mask(store, port, index) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_message_program(store, port, index, 0xfee00000, 0x99) == CIOMMU_TIMED_OUT);
    EXPECT(bench, bench_info(store, index).data == 0x100 + index);
    ciommu_port_leave(bench->other);
    EXPECT(bench, ciommu_message_mask(store, port, index) == CIOMMU_OK);
    ciommu_port_enter(bench->other);
    /* Nobody can be looking at it any more; a new message needs no wait, a new PASID does. */
    EXPECT(bench, ciommu_message_program(store, port, index, 0xfee00000, 0x99) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_mask(store, port, index) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_set_pasid(store, port, index, OTHER) == CIOMMU_TIMED_OUT);
    EXPECT(bench, ciommu_message_unmask(store, index, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_free(store, port, index) == CIOMMU_TIMED_OUT);
    EXPECT(bench, bench_info(store, index).state == CIOMMU_MESSAGE_RETIRED);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_NOT_ARMED);
    uint32_t others[BENCH_ENTRIES] = {0};
    for (uint32_t entry = 1; entry < BENCH_ENTRIES; entry++) { /* none of them is the retired one */
        EXPECT(bench, ciommu_message_allocate(store, PASID, 0, &others[entry]) == CIOMMU_OK);
        EXPECT(bench, others[entry] != index);
    }
    EXPECT(bench, ciommu_message_allocate(store, PASID, 0, &others[0]) == CIOMMU_NO_SPACE);
    EXPECT(bench, ciommu_message_free(store, port, others[1]) == CIOMMU_OK); /* was never armed */
    ciommu_port_leave(bench->other);
    ciommu_port_enter(bench->other); /* a later section is not in the way */
    EXPECT(bench, ciommu_message_allocate(store, PASID, 0, &others[0]) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_allocate(store, PASID, 0, &others[1]) == CIOMMU_OK);
    EXPECT(bench, others[0] == index || others[1] == index);
    ciommu_port_leave(bench->other);
}

/* ---- Two callers at one entry ---- */

struct masking {
    struct message_bench *bench;
    uint32_t index;
    enum ciommu_status status;
};

static void *mask_elsewhere(void *context) {
    struct masking *masking = context;
    masking->status = ciommu_message_mask(masking->bench->store, NULL, masking->index);
    return NULL;
}

static void two_callers(struct message_bench *bench) {
    struct ciommu_message_store *store = bench->store;
    uint32_t index = bench_entry(bench, store, PASID, true);
    struct masking masking = {bench, index, CIOMMU_IN_USE};
    pthread_t thread;
    ciommu_port_enter(bench->other);
    pthread_create(&thread, NULL, mask_elsewhere, &masking);
    while (bench_info(store, index).state != CIOMMU_MESSAGE_MASKED) {
        probe_nap(100000);
    }
    for (uint32_t call = 0; call < CALLS; call++) {
        EXPECT_AT(bench, apply(bench, (enum call)call, index) == CIOMMU_IN_USE, call);
    }
    /* Others go on, and do not wait for it. */
    uint32_t neighbour = bench_entry(bench, store, OTHER, true);
    EXPECT(bench, bench_raise(bench, store, neighbour, OTHER, NULL) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, bench_raise(bench, store, index, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    ciommu_port_leave(bench->other);
    pthread_join(thread, NULL);
    EXPECT(bench, masking.status == CIOMMU_OK);
    EXPECT(bench, ciommu_message_unmask(store, index, NULL) == CIOMMU_OK);
}

/* ---- Arguments ---- */

static void arguments(struct message_bench *bench) {
    struct ciommu_message_store *store = bench->store;
    struct ciommu_port *port = bench->port;
    struct ciommu_message_store *made = NULL;
    struct ciommu_message_store_config config;
    ciommu_message_store_config_init(&config);
    for (uint32_t round = 0; round < 3; round++) {
        config.entries = round == 0 ? 0 : round == 1 ? CIOMMU_MESSAGES_MOST + 1 : 1;
        config.flags = round == 2;
        EXPECT_AT(bench,
                  ciommu_message_store_create(bench->whole, &config, &made) ==
                      CIOMMU_INVALID_ARGUMENT,
                  round);
    }
    uint32_t index = bench_entry(bench, store, PASID, true);
    for (uint32_t call = 0; call < CALLS; call++) {
        EXPECT_AT(bench, apply(bench, (enum call)call, BENCH_ENTRIES) == CIOMMU_INVALID_ARGUMENT,
                  call);
        bool waits = call == PROGRAM || call == MASK || call == SET || call == FREE;
        ciommu_port_enter(port);
        EXPECT_AT(bench, !waits || apply(bench, (enum call)call, index) == CIOMMU_IN_SECTION, call);
        ciommu_port_leave(port);
    }
    struct ciommu_delivery out = {.size = sizeof out};
    EXPECT(bench,
           ciommu_message_deliver(port, store, index, PASID, &out) == CIOMMU_INVALID_ARGUMENT);
    ciommu_port_enter(port);
    EXPECT(bench, ciommu_message_store_destroy(store, port) == CIOMMU_IN_SECTION);
    EXPECT(bench, ciommu_message_deliver(port, store, BENCH_ENTRIES, PASID, &out) ==
                      CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench,
           ciommu_message_deliver(port, store, index, 1u << 20, &out) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench,
           ciommu_message_deliver(port, NULL, index, PASID, &out) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench,
           ciommu_message_deliver(port, store, index, PASID, NULL) == CIOMMU_INVALID_ARGUMENT);
    ciommu_port_leave(port);
    EXPECT(bench, ciommu_message_store_destroy(NULL, port) == CIOMMU_OK);
}

/* ---- The order of arming [B-C3] ---- */

#ifdef CIOMMU_INTERNAL_CHECKS
static struct message_bench *watched;

/* Raises with the wrong PASID wherever an entry could be armed too early. */
static void raise_too_early(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_MESSAGE_ARMED) {
        EXPECT(watched,
               bench_raise(watched, watched->store, 0, OTHER, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    }
}

static void arm_watched(struct message_bench *bench) {
    watched = bench;
    __atomic_store_n(&ciommu_yield_hook, raise_too_early, __ATOMIC_RELEASE);
    (void)bench_entry(bench, bench->store, PASID, true);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
}

/* Unmasks an entry that was just found masked. */
static void unmask_meanwhile(enum ciommu_yield_point point) {
    struct message_bench *bench = watched;
    bool pending = true;
    if (point == CIOMMU_YIELD_MESSAGE_JUDGED && bench != NULL) {
        watched = NULL;
        EXPECT(bench, ciommu_message_unmask(bench->store, 0, &pending) == CIOMMU_OK && !pending);
    }
}

static void unmask_watched(struct message_bench *bench) {
    uint32_t index = bench_entry(bench, bench->store, PASID, true);
    uint32_t data = 0;
    EXPECT(bench, index == 0);
    EXPECT(bench, ciommu_message_mask(bench->store, bench->port, index) == CIOMMU_OK);
    watched = bench;
    __atomic_store_n(&ciommu_yield_hook, unmask_meanwhile, __ATOMIC_RELEASE);
    EXPECT(bench, bench_raise(bench, bench->store, index, PASID, &data) == CIOMMU_MESSAGE_DELIVER);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(bench, watched == NULL && data == 0x100 + index);
    EXPECT(bench, bench_info(bench->store, index).pending == 0);
}

/* Unmasks an entry in which a raise was just noted. */
static void unmask_noted(enum ciommu_yield_point point) {
    struct message_bench *bench = watched;
    bool pending = false;
    if (point == CIOMMU_YIELD_MESSAGE_NOTED && bench != NULL) {
        watched = NULL;
        EXPECT(bench, ciommu_message_unmask(bench->store, 0, &pending) == CIOMMU_OK && pending);
    }
}

/* The one who unmasks hears of the raise; so it is not delivered as well. */
static void unmask_took(struct message_bench *bench) {
    uint32_t index = bench_entry(bench, bench->store, PASID, true);
    EXPECT(bench, index == 0);
    EXPECT(bench, ciommu_message_mask(bench->store, bench->port, index) == CIOMMU_OK);
    watched = bench;
    __atomic_store_n(&ciommu_yield_hook, unmask_noted, __ATOMIC_RELEASE);
    EXPECT(bench, bench_raise(bench, bench->store, index, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(bench, watched == NULL && bench_info(bench->store, index).pending == 0);
    EXPECT(bench, bench_raise(bench, bench->store, index, PASID, NULL) == CIOMMU_MESSAGE_DELIVER);
}
#else
static void arm_watched(struct message_bench *bench) {
    (void)bench_entry(bench, bench->store, PASID, true);
}

static void unmask_watched(struct message_bench *bench) {
    arm_watched(bench); /* nothing can come in between */
}

static void unmask_took(struct message_bench *bench) {
    arm_watched(bench);
}
#endif

const struct message_case message_state_cases[] = {
    {.name = "every call in every state", .run = transitions},
    {.name = "what a delivery comes to", .run = outcomes},
    {.name = "raised while masked", .run = pending},
    {.name = "an entry changes after sections", .run = time_outs},
    {.name = "two callers at one entry", .run = two_callers, .patient = true},
    {.name = "arguments of message stores", .run = arguments},
    {.name = "nothing is armed before its PASID is in place", .run = arm_watched},
    {.name = "an unmask beside a raise loses nothing", .run = unmask_watched},
    {.name = "an unmask beside a raise takes it once", .run = unmask_took},
};
const uint32_t message_state_count = sizeof message_state_cases / sizeof message_state_cases[0];
