/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * messages.c - delivery checks of interrupt messages.
 */
#include "check.h"

#include <ciommu_interrupts.h>

#include <stdlib.h>
#include <string.h>

#define TABLE UINT64_C(0x100000)
#define TABLE_BYTES UINT64_C(0x10000) /* 4,096 entries */
#define TABLE_SIZE 11                 /* of 2^(11 + 1) entries */
#define SOURCE 0x42u
#define PASID 5u
#define ENTRIES 1024u

struct bench_messages {
    unsigned char *ram;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_message_store *store;
    struct ciommu_port *port;
};

/* Every entry of the store leads through one of the remapping table. */
static void make_entries(struct bench_messages *messages) {
    for (uint32_t index = 0; index < ENTRIES; index++) {
        uint64_t words[2] = {1 | (uint64_t)(index & 0xff) << 16, 1 << 18 | SOURCE};
        uint64_t address = UINT64_C(0xfee00010) | (uint64_t)index << 5;
        uint32_t entry;
        memcpy(messages->ram + index * sizeof words, words, sizeof words);
        CHECK(ciommu_message_allocate(messages->store, PASID, 0, &entry));
        CHECK(ciommu_message_program(messages->store, NULL, entry, address, 0));
        CHECK(ciommu_message_arm(messages->store, entry));
    }
}

struct bench_messages *bench_messages_create(void) {
    struct bench_messages *messages = bench_zeroed(1, sizeof *messages);
    struct ciommu_unit_config unit;
    struct ciommu_message_store_config store;
    const struct ciommu_device_config device = {.size = sizeof device, .source = SOURCE, .id = 1};
    ciommu_unit_config_init(&unit);
    ciommu_message_store_config_init(&store);
    store.entries = ENTRIES;
    messages->ram = bench_pages(TABLE_BYTES, "the remapping table");
    const struct ciommu_memory_range range = {.size = sizeof range,
                                              .rights = 3,
                                              .address = TABLE,
                                              .length = TABLE_BYTES,
                                              .host = messages->ram};
    CHECK(ciommu_memory_create(&messages->memory));
    CHECK(ciommu_memory_add(messages->memory, &range));
    CHECK(ciommu_unit_create(&unit, messages->memory, &messages->unit));
    CHECK(ciommu_device_create(messages->unit, NULL, &device, &messages->device));
    CHECK(ciommu_message_store_create(messages->device, &store, &messages->store));
    CHECK(ciommu_port_create(messages->unit, &messages->port));
    make_entries(messages);
    CHECK(ciommu_unit_set_interrupt_table(messages->unit, messages->port, TABLE | TABLE_SIZE, true,
                                          false));
    return messages;
}

void bench_messages_destroy(struct bench_messages *messages) {
    if (messages == NULL) {
        return;
    }
    CHECK(ciommu_port_destroy(messages->port));
    CHECK(ciommu_message_store_destroy(messages->store, NULL));
    CHECK(ciommu_device_destroy(messages->device, NULL));
    CHECK(ciommu_unit_destroy(messages->unit));
    CHECK(ciommu_memory_destroy(messages->memory));
    bench_pages_free(messages->ram, TABLE_BYTES);
    free(messages);
}

uint64_t bench_messages_deliver(struct bench_messages *messages, uint32_t count) {
    struct ciommu_delivery out = {.size = sizeof out};
    uint64_t wrong = 0;
    uint64_t begin = bench_now();
    ciommu_port_enter(messages->port);
    for (uint32_t call = 0; call < count; call++) {
        CHECK(ciommu_message_deliver(messages->port, messages->store, call * 7 % ENTRIES, PASID,
                                     &out));
        wrong |= out.outcome ^ CIOMMU_MESSAGE_DELIVER;
    }
    ciommu_port_leave(messages->port);
    uint64_t end = bench_now();
    bench_must_be_right(wrong);
    return end - begin;
}
