/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Interrupts - what a delivery check and a remapping cost, and what changes of an entry cost beside
 * a port that raises entries without pause. Every figure is measured many times in turn with a
 * baseline, and reported as minimum, median, 99th percentile and the ratio of the medians.
 */
#include <ciommu_interrupts.h>

#include "samples.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE UINT64_C(0x100000)
#define TABLE_BYTES UINT64_C(0x10000) /* 4,096 entries */
#define SOURCE 0x42u
#define PASID 5u
#define ENTRIES 1024u
#define BURST 4096u /* calls of one sample */
#define ROUNDS 501u

static struct ciommu_memory *memory;
static struct ciommu_unit *unit;
static struct ciommu_device *device;
static struct ciommu_message_store *store;
static unsigned char *ram;

static uint64_t message(uint32_t index) {
    return UINT64_C(0xfee00010) | (uint64_t)index << 5;
}

/* ---- One call after another, in one section; nanoseconds a call ---- */

static double enter_and_leave(struct ciommu_port *port) {
    uint64_t begin = now();
    for (uint32_t call = 0; call < BURST; call++) {
        ciommu_port_enter(port);
        ciommu_port_leave(port);
    }
    return (double)(now() - begin) / BURST;
}

static double remap(struct ciommu_port *port, uint32_t entries) {
    struct ciommu_interrupt out = {.size = sizeof out};
    uint64_t begin = now();
    ciommu_port_enter(port);
    for (uint32_t call = 0; call < BURST; call++) {
        CHECK(ciommu_interrupt_remap(port, SOURCE, message(call * 7 % entries), 0, 0, &out));
    }
    ciommu_port_leave(port);
    return (double)(now() - begin) / BURST;
}

static double deliver(struct ciommu_port *port, uint32_t entries, uint32_t pasid,
                      uint32_t outcome) {
    struct ciommu_delivery out = {.size = sizeof out};
    uint64_t begin = now();
    ciommu_port_enter(port);
    for (uint32_t call = 0; call < BURST; call++) {
        CHECK(ciommu_message_deliver(port, store, call * 7 % entries, pasid, &out));
        if (out.outcome != outcome) {
            fprintf(stderr, "outcome %u\n", out.outcome);
            exit(1);
        }
    }
    ciommu_port_leave(port);
    return (double)(now() - begin) / BURST;
}

/* A check in a section of its own, as a device makes it. */
static double deliver_alone(struct ciommu_port *port) {
    struct ciommu_delivery out = {.size = sizeof out};
    uint64_t begin = now();
    for (uint32_t call = 0; call < BURST; call++) {
        ciommu_port_enter(port);
        CHECK(ciommu_message_deliver(port, store, call * 7 % ENTRIES, PASID, &out));
        ciommu_port_leave(port);
    }
    return (double)(now() - begin) / BURST;
}

static void measure_checks(struct ciommu_port *port, bool remapped) {
    const char *how = remapped ? "remapped" : "remapping off";
    struct samples baseline[5] = {{0}};
    struct samples few = {0};
    struct samples many = {0};
    struct samples alone = {0};
    struct samples wrong = {0};
    struct samples remaps = {0};
    CHECK(ciommu_unit_set_interrupt_table(unit, port, TABLE | 11, remapped, false));
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned which = 0; which < 5; which++) {
            add(&baseline[which], enter_and_leave(port));
        }
        add(&few, deliver(port, 4, PASID, CIOMMU_MESSAGE_DELIVER));
        add(&many, deliver(port, ENTRIES, PASID, CIOMMU_MESSAGE_DELIVER));
        add(&alone, deliver_alone(port));
        add(&wrong, deliver(port, ENTRIES, PASID + 1, CIOMMU_MESSAGE_WRONG_PASID));
        add(&remaps, remap(port, ENTRIES));
    }
    char name[80];
    snprintf(name, sizeof name, "delivery check, 4 entries, %s", how);
    report(name, &few, &baseline[0]);
    snprintf(name, sizeof name, "delivery check, 1,024 entries, %s", how);
    report(name, &many, &baseline[1]);
    snprintf(name, sizeof name, "the same, in a section of its own, %s", how);
    report(name, &alone, &baseline[2]);
    snprintf(name, sizeof name, "delivery with a wrong PASID, %s", how);
    report(name, &wrong, &baseline[3]);
    snprintf(name, sizeof name, "a message through 1,024 entries, %s", how);
    report(name, &remaps, &baseline[4]);
}

/* ---- Changes ---- */

struct raiser {
    pthread_t thread;
    int running; /* atomic */
    int stop;    /* atomic */
};

static void *raise_entries(void *context) {
    struct raiser *raiser = context;
    struct ciommu_delivery out = {.size = sizeof out};
    struct ciommu_port *port;
    CHECK(ciommu_port_create(unit, &port));
    for (uint32_t call = 0; !__atomic_load_n(&raiser->stop, __ATOMIC_RELAXED); call++) {
        ciommu_port_enter(port);
        CHECK(ciommu_message_deliver(port, store, call % ENTRIES, PASID, &out));
        ciommu_port_leave(port);
        __atomic_store_n(&raiser->running, 1, __ATOMIC_RELAXED);
    }
    CHECK(ciommu_port_destroy(port));
    return NULL;
}

static double change(struct ciommu_port *port, unsigned what) {
    uint64_t begin = now();
    if (what == 0) {
        CHECK(ciommu_message_mask(store, port, 1));
        CHECK(ciommu_message_unmask(store, 1, NULL));
    } else {
        CHECK(ciommu_message_set_pasid(store, port, 1, PASID));
    }
    return (double)(now() - begin);
}

static double drain(void) {
    uint64_t begin = now();
    CHECK(ciommu_unit_drain(unit, NULL));
    return (double)(now() - begin);
}

static void measure_changes(struct ciommu_port *port, const char *beside) {
    const char *const names[] = {"mask and unmask", "another PASID for an armed entry"};
    for (unsigned what = 0; what < 2; what++) {
        struct samples changes = {0};
        struct samples drains = {0};
        for (unsigned round = 0; round < 20000; round++) {
            add(&changes, change(port, what));
            add(&drains, drain());
        }
        char name[80];
        snprintf(name, sizeof name, "%s, %s", names[what], beside);
        report(name, &changes, &drains);
    }
}

/* ---- The bench ---- */

static void make_entries(void) {
    for (uint32_t index = 0; index < ENTRIES; index++) {
        uint64_t words[2] = {1 | (uint64_t)(index & 0xff) << 16, 1 << 18 | SOURCE};
        uint32_t entry;
        memcpy(ram + index * 16, words, sizeof words);
        CHECK(ciommu_message_allocate(store, PASID, 0, &entry));
        CHECK(ciommu_message_program(store, NULL, entry, message(index), 0));
        CHECK(ciommu_message_arm(store, entry));
    }
}

int main(void) {
    struct ciommu_unit_config config;
    struct ciommu_message_store_config store_config;
    const struct ciommu_device_config device_config = {
        .size = sizeof device_config, .source = SOURCE, .id = 1};
    ciommu_unit_config_init(&config);
    ciommu_message_store_config_init(&store_config);
    store_config.entries = ENTRIES;
    ram = aligned_alloc(4096, TABLE_BYTES);
    memset(ram, 0, TABLE_BYTES);
    const struct ciommu_memory_range range = {
        .size = sizeof range, .rights = 3, .address = TABLE, .length = TABLE_BYTES, .host = ram};
    CHECK(ciommu_memory_create(&memory));
    CHECK(ciommu_memory_add(memory, &range));
    CHECK(ciommu_unit_create(&config, memory, &unit));
    CHECK(ciommu_device_create(unit, NULL, &device_config, &device));
    CHECK(ciommu_message_store_create(device, &store_config, &store));
    make_entries();
    struct ciommu_port *port;
    CHECK(ciommu_port_create(unit, &port));
    printf("%-58s %9s %9s %9s %9s %9s\n", "nanoseconds", "minimum", "median", "p99", "baseline",
           "ratio");
    measure_checks(port, false);
    measure_checks(port, true);
    measure_changes(port, "idle");
    struct raiser raiser = {.stop = 0};
    pthread_create(&raiser.thread, NULL, raise_entries, &raiser);
    while (!__atomic_load_n(&raiser.running, __ATOMIC_RELAXED)) {
    }
    measure_changes(port, "a busy port");
    __atomic_store_n(&raiser.stop, 1, __ATOMIC_RELAXED);
    pthread_join(raiser.thread, NULL);
    puts(
        "baseline of checks: an empty section; of changes: a drain of the unit. p99 shows how the");
    puts("machine schedules.");
    CHECK(ciommu_port_destroy(port));
    CHECK(ciommu_message_store_destroy(store, NULL));
    CHECK(ciommu_device_destroy(device, NULL));
    CHECK(ciommu_unit_destroy(unit));
    CHECK(ciommu_memory_destroy(memory));
    free(ram);
    return 0;
}
