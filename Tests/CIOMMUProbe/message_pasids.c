/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_pasids.c - whose PASIDs an entry may have, what revokes them, and what a reset of the
 * device leaves.
 */
#include "message_bench.h"
#include "debug.h"
#include "domain_probe.h"
#include "probe.h"

#include <pthread.h>
#include <sched.h>

#define INSIDE BENCH_SLICE_FIRST
#define OUTSIDE 5u

static enum ciommu_status allocate(struct ciommu_message_store *store, uint32_t pasid,
                                   uint32_t flags) {
    uint32_t index = 0;
    enum ciommu_status status = ciommu_message_allocate(store, pasid, flags, &index);
    if (status == CIOMMU_OK) {
        (void)ciommu_message_free(store, NULL, index);
    }
    return status;
}

static void ownership(struct message_bench *bench) {
    EXPECT(bench, allocate(bench->store, 0, 0) == CIOMMU_OK);
    EXPECT(bench, allocate(bench->store, CIOMMU_PASID_MAX, 0) == CIOMMU_OK);
    EXPECT(bench, allocate(bench->store, CIOMMU_PASID_MAX + 1, 0) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, allocate(bench->slices, BENCH_SLICE_FIRST, 0) == CIOMMU_OK);
    EXPECT(bench, allocate(bench->slices, BENCH_SLICE_LAST, 0) == CIOMMU_OK);
    EXPECT(bench, allocate(bench->slices, BENCH_SLICE_FIRST - 1, 0) == CIOMMU_NOT_OWNED);
    EXPECT(bench, allocate(bench->slices, BENCH_SLICE_LAST + 1, 0) == CIOMMU_NOT_OWNED);
    EXPECT(bench, allocate(bench->parents, INSIDE, 0) == CIOMMU_NOT_OWNED);
    EXPECT(bench, allocate(bench->parents, OUTSIDE, 0) == CIOMMU_OK);
    /* To skip validation is said, and then there is no PASID. */
    EXPECT(bench, allocate(bench->store, CIOMMU_NO_PASID, 0) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench,
           allocate(bench->store, OUTSIDE, CIOMMU_MESSAGE_UNCHECKED) == CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, allocate(bench->store, CIOMMU_NO_PASID, 2) == CIOMMU_INVALID_ARGUMENT);
    uint32_t skip = bench_entry(bench, bench->slices, CIOMMU_NO_PASID, true);
    EXPECT(bench, bench_info(bench->slices, skip).flags == CIOMMU_MESSAGE_UNCHECKED);
    EXPECT(bench, ciommu_message_set_pasid(bench->slices, NULL, skip, INSIDE) == CIOMMU_BAD_STATE);
    uint32_t index = bench_entry(bench, bench->slices, INSIDE, true);
    EXPECT(bench,
           ciommu_message_set_pasid(bench->slices, NULL, index, OUTSIDE) == CIOMMU_NOT_OWNED);
    EXPECT(bench, ciommu_message_set_pasid(bench->slices, NULL, index, CIOMMU_NO_PASID) ==
                      CIOMMU_INVALID_ARGUMENT);
    EXPECT(bench, bench_info(bench->slices, index).state == CIOMMU_MESSAGE_ARMED);
    EXPECT(bench, bench_raise(bench, bench->slices, index, INSIDE, NULL) == CIOMMU_MESSAGE_DELIVER);
}

/* The lowest free entry, as long as there is one. */
static void capacity(struct message_bench *bench) {
    uint32_t index = 0;
    for (uint32_t entry = 0; entry < BENCH_ENTRIES; entry++) {
        EXPECT(bench, ciommu_message_allocate(bench->store, entry, 0, &index) == CIOMMU_OK);
        EXPECT_AT(bench, index == entry, entry);
    }
    EXPECT(bench, ciommu_message_allocate(bench->store, 0, 0, &index) == CIOMMU_NO_SPACE);
    EXPECT(bench, ciommu_message_free(bench->store, NULL, 2) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_free(bench->store, NULL, 1) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_allocate(bench->store, 9, 0, &index) == CIOMMU_OK && index == 1);
}

static void change(struct message_bench *bench) {
    struct ciommu_message_store *store = bench->store;
    uint32_t index = bench_entry(bench, store, 5, true);
    bool raised = true;
    EXPECT(bench, ciommu_message_set_pasid(store, bench->port, index, 6) == CIOMMU_OK);
    EXPECT(bench, bench_info(store, index).state == CIOMMU_MESSAGE_ARMED);
    EXPECT(bench, bench_raise(bench, store, index, 5, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench, bench_raise(bench, store, index, 6, NULL) == CIOMMU_MESSAGE_DELIVER);
    /* What the old PASID raised while it was masked is dropped, in either phase; the new one's is
     * not. */
    for (uint32_t round = 0; round < 4; round++) {
        uint32_t old = 6 + round;
        EXPECT(bench, ciommu_message_mask(store, bench->port, index) == CIOMMU_OK);
        EXPECT_AT(bench, bench_raise(bench, store, index, old, NULL) == CIOMMU_MESSAGE_IS_MASKED,
                  round);
        EXPECT(bench, ciommu_message_set_pasid(store, bench->port, index, old + 1) == CIOMMU_OK);
        EXPECT_AT(bench, bench_info(store, index).pending == 0, round);
        EXPECT_AT(bench, bench_raise(bench, store, index, old, NULL) == CIOMMU_MESSAGE_WRONG_PASID,
                  round);
        if (round % 2 == 1) {
            EXPECT_AT(bench,
                      bench_raise(bench, store, index, old + 1, NULL) == CIOMMU_MESSAGE_IS_MASKED,
                      round);
        }
        EXPECT(bench, ciommu_message_unmask(store, index, &raised) == CIOMMU_OK);
        EXPECT_AT(bench, raised == (round % 2 == 1), round);
    }
}

static void namespaces(struct message_bench *bench) {
    struct ciommu_message_store *store = bench->store;
    struct ciommu_namespace *space = NULL;
    uint32_t host = 100;
    uint32_t other = 101;
    uint32_t index = UINT32_MAX;
    bool raised = true;
    EXPECT(bench, ciommu_namespace_create(bench->unit, 100, 110, &space) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_allocate_guest(store, space, 3, &index) == CIOMMU_NOT_FOUND);
    EXPECT(bench, ciommu_namespace_bind(space, 3, &host) == CIOMMU_OK);
    EXPECT(bench, ciommu_namespace_bind(space, 4, &other) == CIOMMU_OK);
    EXPECT(bench,
           ciommu_message_allocate_guest(bench->slices, space, 3, &index) == CIOMMU_NOT_OWNED);
    EXPECT(bench, ciommu_message_allocate_guest(store, space, 3, &index) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_program(store, NULL, index, 0xfee00000, 2) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_arm(store, index) == CIOMMU_OK);
    struct ciommu_message_info info = bench_info(store, index);
    EXPECT(bench, info.pasid == 100 && info.guest == 3 && info.flags == 0);
    EXPECT(bench, bench_raise(bench, store, index, 100, NULL) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, bench_raise(bench, store, index, 3, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench, ciommu_message_set_guest_pasid(store, bench->port, index, space, 4) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, 101, NULL) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench,
           ciommu_message_set_guest_pasid(store, bench->port, index, space, 9) == CIOMMU_NOT_FOUND);
    /* Unbound, and bound elsewhere: the host PASID may be somebody else's. */
    EXPECT(bench, ciommu_namespace_unbind(space, bench->port, 4) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, 101, NULL) == CIOMMU_MESSAGE_REVOKED);
    EXPECT(bench, ciommu_namespace_bind(space, 5, &other) == CIOMMU_OK && other == 101);
    EXPECT(bench, bench_raise(bench, store, index, 101, NULL) == CIOMMU_MESSAGE_REVOKED);
    uint32_t third = 102;
    EXPECT(bench, ciommu_namespace_bind(space, 4, &third) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, 101, NULL) == CIOMMU_MESSAGE_REVOKED);
    EXPECT(bench, bench_raise(bench, store, index, 102, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench, ciommu_message_set_guest_pasid(store, bench->port, index, space, 4) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, 102, NULL) == CIOMMU_MESSAGE_DELIVER);
    /* A host's own PASID asks no namespace. */
    EXPECT(bench, ciommu_message_set_pasid(store, bench->port, index, 103) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, store, index, 103, NULL) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, bench_info(store, index).guest == CIOMMU_NO_PASID);
    EXPECT(bench, ciommu_message_mask(store, bench->port, index) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_unmask(store, index, &raised) == CIOMMU_OK && !raised);
    ciommu_namespace_destroy(space);
}

static void slices(struct message_bench *bench) {
    uint32_t index = bench_entry(bench, bench->parents, 40, true);
    uint32_t skip = bench_entry(bench, bench->parents, CIOMMU_NO_PASID, true);
    EXPECT(bench, bench_raise(bench, bench->parents, index, 40, NULL) == CIOMMU_MESSAGE_DELIVER);
    struct ciommu_device *late = bench_device(bench, 10, BENCH_SHARED, CIOMMU_SHARE_SLICE, 40, 47);
    EXPECT(bench, bench_raise(bench, bench->parents, index, 40, NULL) == CIOMMU_MESSAGE_REVOKED);
    EXPECT(bench, bench_raise(bench, bench->parents, skip, 40, NULL) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, ciommu_device_destroy(late, bench->port) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, bench->parents, index, 40, NULL) == CIOMMU_MESSAGE_DELIVER);
}

static void resets(struct message_bench *bench) {
    struct ciommu_message_store *second = bench_store(bench, bench->whole, 2);
    uint32_t armed = bench_entry(bench, bench->store, 5, true);
    uint32_t programmed = bench_entry(bench, bench->store, 6, false);
    uint32_t also = bench_entry(bench, second, 5, true);
    uint32_t neighbour = bench_entry(bench, bench->parents, 5, true);
    uint32_t pending = bench_entry(bench, bench->store, 7, true);
    bool raised = true;
    EXPECT(bench, ciommu_message_mask(bench->store, bench->port, pending) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, bench->store, pending, 7, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    EXPECT(bench, ciommu_device_reset(bench->whole, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_unmask(bench->store, pending, &raised) == CIOMMU_OK && !raised);
    EXPECT(bench, bench_info(bench->store, armed).state == CIOMMU_MESSAGE_MASKED);
    EXPECT(bench, bench_info(second, also).state == CIOMMU_MESSAGE_MASKED);
    EXPECT(bench, bench_info(bench->store, programmed).state == CIOMMU_MESSAGE_PROGRAMMED);
    EXPECT(bench, bench_info(bench->parents, neighbour).state == CIOMMU_MESSAGE_ARMED);
    EXPECT(bench, bench_raise(bench, bench->store, armed, 5, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    EXPECT(bench, ciommu_message_unmask(bench->store, armed, &raised) == CIOMMU_OK && raised);
    /* A device goes after its stores. */
    EXPECT(bench, ciommu_device_destroy(bench->whole, bench->port) == CIOMMU_IN_USE);
    EXPECT(bench, ciommu_message_store_destroy(second, bench->port) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_destroy(bench->whole, bench->port) == CIOMMU_IN_USE);
    ciommu_port_enter(bench->other);
    struct ciommu_message_store *third = bench_store(bench, bench->whole, 1);
    EXPECT(bench, ciommu_message_store_destroy(third, bench->port) == CIOMMU_TIMED_OUT);
    ciommu_port_leave(bench->other);
}

#ifdef CIOMMU_INTERNAL_CHECKS
/* A section that found the entry masked before the reset notes it after the reset's masking. */
static uint32_t late; /* 1: judged; 2: masked by the reset; atomic */

static void be_late(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_BEFORE_DRAIN) {
        __atomic_store_n(&late, 2, __ATOMIC_RELEASE);
    } else if (point == CIOMMU_YIELD_MESSAGE_JUDGED &&
               __atomic_load_n(&late, __ATOMIC_ACQUIRE) == 0) {
        __atomic_store_n(&late, 1, __ATOMIC_RELEASE);
        while (__atomic_load_n(&late, __ATOMIC_ACQUIRE) == 1) {
            sched_yield();
        }
    }
}

static void *raise_late(void *context) {
    struct message_bench *bench = context;
    struct ciommu_delivery delivery = {.size = sizeof delivery};
    ciommu_port_enter(bench->other);
    EXPECT(bench, ciommu_message_deliver(bench->other, bench->store, 0, 7, &delivery) == CIOMMU_OK);
    ciommu_port_leave(bench->other);
    EXPECT(bench, delivery.outcome == CIOMMU_MESSAGE_IS_MASKED);
    return NULL;
}

static void a_reset_forgets_what_is_noted_late(struct message_bench *bench) {
    uint32_t index = bench_entry(bench, bench->store, 7, true);
    bool raised = true;
    pthread_t thread;
    EXPECT(bench, index == 0);
    EXPECT(bench, ciommu_message_mask(bench->store, bench->port, index) == CIOMMU_OK);
    late = 0;
    __atomic_store_n(&ciommu_yield_hook, be_late, __ATOMIC_RELEASE);
    pthread_create(&thread, NULL, raise_late, bench);
    while (__atomic_load_n(&late, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
    EXPECT(bench, ciommu_device_reset(bench->whole, bench->port) == CIOMMU_OK);
    pthread_join(thread, NULL);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(bench, ciommu_message_unmask(bench->store, index, &raised) == CIOMMU_OK && !raised);
}
#else
static void a_reset_forgets_what_is_noted_late(struct message_bench *bench) {
    (void)bench;
}
#endif

static void no_pasids(struct message_bench *bench) {
    EXPECT(bench, allocate(bench->store, 1, 0) == CIOMMU_UNSUPPORTED);
    EXPECT(bench, allocate(bench->store, CIOMMU_NO_PASID, CIOMMU_MESSAGE_UNCHECKED) == CIOMMU_OK);
}

/* ---- Failing allocations ---- */

/* One life of a device with stores, `*whole` if no allocation failed; the answers that are
 * neither success nor "out of memory". */
static uint64_t live(struct ciommu_unit *unit, bool *whole) {
    const struct ciommu_device_config device_config = {
        .size = sizeof device_config, .source = BENCH_SOURCE, .id = 1};
    struct ciommu_message_store_config config;
    struct ciommu_device *device = NULL;
    struct ciommu_message_store *stores[2] = {NULL, NULL};
    uint32_t index = 0;
    uint64_t errors = 0;
    ciommu_message_store_config_init(&config);
    enum ciommu_status status = ciommu_device_create(unit, NULL, &device_config, &device);
    errors += status != CIOMMU_OK && status != CIOMMU_NO_MEMORY;
    for (uint32_t store = 0; store < 2 && device != NULL; store++) {
        status = ciommu_message_store_create(device, &config, &stores[store]);
        errors += status != CIOMMU_OK && status != CIOMMU_NO_MEMORY;
        if (stores[store] != NULL) { /* nothing from here on needs memory */
            errors += ciommu_message_allocate(stores[store], 1, 0, &index) != CIOMMU_OK;
            errors +=
                ciommu_message_program(stores[store], NULL, index, 0xfee00000, 0) != CIOMMU_OK;
            errors += ciommu_message_arm(stores[store], index) != CIOMMU_OK;
            errors += ciommu_message_set_pasid(stores[store], NULL, index, 2) != CIOMMU_OK;
            errors += ciommu_message_free(stores[store], NULL, index) != CIOMMU_OK;
        }
    }
    errors += ciommu_message_store_destroy(stores[1], NULL) != CIOMMU_OK;
    errors += ciommu_message_store_destroy(stores[0], NULL) != CIOMMU_OK;
    *whole = stores[0] != NULL && stores[1] != NULL;
    return errors + (ciommu_device_destroy(device, NULL) != CIOMMU_OK);
}

uint64_t probe_message_failure_errors(uint32_t *lives) {
    struct ciommu_memory *memory = NULL;
    struct ciommu_unit *unit = NULL;
    struct ciommu_unit_config config;
    uint64_t errors = 0;
    *lives = 0;
    if (!probe_has_mutants()) {
        return UINT64_MAX;
    }
    ciommu_unit_config_init(&config);
    errors += ciommu_memory_create(&memory) != CIOMMU_OK;
    errors += ciommu_unit_create(&config, memory, &unit) != CIOMMU_OK;
    for (bool whole = false; !whole && *lives < 1000; ++*lives) {
        (void)probe_allocations((int)*lives);
        errors += live(unit, &whole);
    }
    (void)probe_allocations(-1);
    errors += ciommu_unit_destroy(unit) != CIOMMU_OK;
    errors += ciommu_memory_destroy(memory) != CIOMMU_OK;
    return errors;
}

const struct message_case message_pasid_cases[] = {
    {.name = "only the device's own PASIDs", .run = ownership},
    {.name = "the lowest free entry", .run = capacity},
    {.name = "an armed entry gets another PASID", .run = change},
    {.name = "a guest's PASIDs", .run = namespaces},
    {.name = "a slice is made over the parent's PASID", .run = slices},
    {.name = "a device is reset and destroyed", .run = resets},
    {.name = "a reset forgets what is noted late",
     .run = a_reset_forgets_what_is_noted_late,
     .patient = true},
    {.name = "a unit without PASIDs", .run = no_pasids, .ecap_without = UINT64_C(1) << 40},
};
const uint32_t message_pasid_count = sizeof message_pasid_cases / sizeof message_pasid_cases[0];
