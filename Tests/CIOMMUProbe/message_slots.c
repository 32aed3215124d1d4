/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_slots.c - what a guest reads and writes of its entries [FORMATS-VTD F3].
 */
#include "debug.h"
#include "message_bench.h"

#define PASID 5u
#define GUEST 0xabcdeu

static uint64_t get(struct message_bench *bench, uint32_t index, uint32_t offset, uint32_t length) {
    uint64_t value = UINT64_MAX;
    EXPECT_AT(bench,
              ciommu_message_slot_read(bench->store, index, offset, length, &value) == CIOMMU_OK,
              offset);
    return value;
}

static enum ciommu_status put(struct message_bench *bench, uint32_t index, uint32_t offset,
                              uint32_t length, uint64_t value) {
    return ciommu_message_slot_write(bench->store, bench->port, index, offset, length, value, NULL);
}

static void layout(struct message_bench *bench) {
    uint32_t index = UINT32_MAX;
    EXPECT(bench, get(bench, 0, 0, 8) == 0 && get(bench, 0, 8, 8) == UINT64_C(1) << 32);
    EXPECT(bench, ciommu_message_allocate(bench->store, PASID, 0, &index) == CIOMMU_OK);
    EXPECT(bench, get(bench, index, 12, 4) == (PASID << 12 | 8 | 1));
    EXPECT(bench, put(bench, index, 0, 4, 0xfee01000) == CIOMMU_OK);
    EXPECT(bench, put(bench, index, 4, 4, 0x11223344) == CIOMMU_OK);
    EXPECT(bench, put(bench, index, 8, 4, 0x55667788) == CIOMMU_OK);
    EXPECT(bench, get(bench, index, 0, 4) == 0xfee01000 && get(bench, index, 4, 4) == 0x11223344);
    EXPECT(bench, get(bench, index, 0, 8) == UINT64_C(0x11223344fee01000));
    EXPECT(bench, get(bench, index, 8, 4) == 0x55667788);
    EXPECT(bench, get(bench, index, 8, 8) == ((uint64_t)(PASID << 12 | 9) << 32 | 0x55667788));
    EXPECT(bench, put(bench, index, 0, 8, UINT64_C(0x99aabbccfee02000)) == CIOMMU_OK);
    struct ciommu_message_info info = bench_info(bench->store, index);
    EXPECT(bench, info.address == UINT64_C(0x99aabbccfee02000) && info.data == 0x55667788);
    EXPECT(bench, info.state == CIOMMU_MESSAGE_PROGRAMMED);
    /* Data and control at once: armed with the new data. */
    EXPECT(bench, put(bench, index, 8, 8, 0x42) == CIOMMU_OK);
    uint32_t data = 0; /* no interrupt lies at such an address */
    EXPECT(bench, bench_raise(bench, bench->store, index, PASID, &data) == CIOMMU_MESSAGE_FAULT);
    EXPECT(bench, put(bench, index, 0, 8, 0xfee02000) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, bench->store, index, PASID, &data) == CIOMMU_MESSAGE_DELIVER);
    EXPECT(bench, data == 0x42 && get(bench, index, 12, 4) == (PASID << 12 | 8));
}

/* No bit that a guest writes reaches the PASID, or the question whether it is looked at. */
static void protected_bits(struct message_bench *bench) {
    uint32_t index = bench_entry(bench, bench->store, PASID, true);
    for (uint32_t bit = 1; bit < 32; bit++) {
        for (uint32_t clear = 0; clear < 2; clear++) {
            uint32_t word = (uint32_t)get(bench, index, 12, 4);
            word = clear != 0 ? word & ~(1u << bit) : word | 1u << bit;
            EXPECT_AT(bench, put(bench, index, 12, 4, word) == CIOMMU_OK, bit);
            EXPECT_AT(bench, put(bench, index, 8, 8, (uint64_t)word << 32 | 7) == CIOMMU_OK, bit);
            EXPECT_AT(bench, get(bench, index, 12, 4) == (PASID << 12 | 8), bit);
        }
    }
    EXPECT(bench, put(bench, index, 12, 4, 0) == CIOMMU_OK);
    struct ciommu_message_info info = bench_info(bench->store, index);
    EXPECT(bench, info.pasid == PASID && info.flags == 0 && info.data == 7);
    EXPECT(bench, bench_raise(bench, bench->store, index, CIOMMU_NO_PASID, NULL) ==
                      CIOMMU_MESSAGE_ABSENT_PASID);
    EXPECT(bench, bench_raise(bench, bench->store, index, 0, NULL) == CIOMMU_MESSAGE_WRONG_PASID);
    EXPECT(bench, bench_raise(bench, bench->store, index, PASID, NULL) == CIOMMU_MESSAGE_DELIVER);
    uint32_t skip = bench_entry(bench, bench->store, CIOMMU_NO_PASID, true);
    EXPECT(bench, get(bench, skip, 12, 4) == 0);
    EXPECT(bench, put(bench, skip, 12, 4, PASID << 12 | 8) == CIOMMU_OK);
    EXPECT(bench, get(bench, skip, 12, 4) == 0);
}

static void masking(struct message_bench *bench) {
    uint32_t index = UINT32_MAX;
    bool raised = true;
    EXPECT(bench, ciommu_message_allocate(bench->store, PASID, 0, &index) == CIOMMU_OK);
    EXPECT(bench, put(bench, index, 12, 4, 1) == CIOMMU_OK);
    EXPECT(bench, put(bench, index, 12, 4, 0) == CIOMMU_BAD_STATE); /* never programmed */
    EXPECT(bench, (get(bench, index, 12, 4) & 1) == 1);
    EXPECT(bench, put(bench, index, 8, 4, 0x42) == CIOMMU_OK);
    EXPECT(bench, put(bench, index, 12, 4, 1) == CIOMMU_OK);
    EXPECT(bench, bench_info(bench->store, index).state == CIOMMU_MESSAGE_PROGRAMMED);
    EXPECT(bench, put(bench, index, 12, 4, 0) == CIOMMU_OK);
    EXPECT(bench, put(bench, index, 12, 4, 0) == CIOMMU_OK);
    EXPECT(bench, bench_info(bench->store, index).state == CIOMMU_MESSAGE_ARMED);
    EXPECT(bench, put(bench, index, 12, 4, 1) == CIOMMU_OK);
    EXPECT(bench, put(bench, index, 12, 4, 1) == CIOMMU_OK);
    EXPECT(bench, bench_raise(bench, bench->store, index, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
    EXPECT(bench, put(bench, index, 8, 4, 0x43) == CIOMMU_OK);
    EXPECT(bench, bench_info(bench->store, index).state == CIOMMU_MESSAGE_MASKED);
    EXPECT(bench, ciommu_message_slot_write(bench->store, bench->port, index, 12, 4, 0, &raised) ==
                          CIOMMU_OK &&
                      raised);
    EXPECT(bench, ciommu_message_slot_write(bench->store, bench->port, index, 8, 8, 0x44,
                                            &raised) == CIOMMU_OK &&
                      !raised);
    EXPECT(bench, bench_info(bench->store, index).state == CIOMMU_MESSAGE_ARMED);
    ciommu_port_enter(bench->other); /* an armed entry's message changes after sections */
    EXPECT(bench, put(bench, index, 8, 4, 0x45) == CIOMMU_TIMED_OUT);
    EXPECT(bench, get(bench, index, 8, 4) == 0x44 && (get(bench, index, 12, 4) & 1) == 1);
    ciommu_port_leave(bench->other);
}

#ifdef CIOMMU_INTERNAL_CHECKS
static struct message_bench *raising;

/* While a write waits for a section: another one raises the entry, and the section ends. */
static void raise_meanwhile(enum ciommu_yield_point point) {
    struct message_bench *bench = raising;
    if (point == CIOMMU_YIELD_DRAINING && bench != NULL) {
        raising = NULL;
        EXPECT(bench, bench_raise(bench, bench->store, 0, PASID, NULL) == CIOMMU_MESSAGE_IS_MASKED);
        ciommu_port_leave(bench->other);
    }
}

/* Data and mask at once: what is raised meanwhile is kept for the unmask, not handed to a caller
 * who then hears that the mask came too late. */
static void masking_takes_nothing(struct message_bench *bench) {
    uint32_t index = bench_entry(bench, bench->store, PASID, true);
    bool raised = true;
    EXPECT(bench, index == 0);
    ciommu_port_enter(bench->other);
    raising = bench;
    __atomic_store_n(&ciommu_yield_hook, raise_meanwhile, __ATOMIC_RELEASE);
    EXPECT(bench, ciommu_message_slot_write(bench->store, bench->port, index, 8, 8,
                                            (uint64_t)CIOMMU_SLOT_MASK << 32 | 0x43,
                                            &raised) == CIOMMU_OK);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(bench, raising == NULL && !raised);
    EXPECT(bench, get(bench, index, 8, 4) == 0x43 && (get(bench, index, 12, 4) & 1) == 1);
    EXPECT(bench, ciommu_message_slot_write(bench->store, bench->port, index, 12, 4, 0, &raised) ==
                          CIOMMU_OK &&
                      raised);
}
#else
static void masking_takes_nothing(struct message_bench *bench) {
    (void)bench;
}
#endif

/* It is masked first; if that does not hold yet the rest has no effect. */
static void masking_late(struct message_bench *bench) {
    uint32_t index = bench_entry(bench, bench->store, PASID, true);
    const uint64_t value = (uint64_t)CIOMMU_SLOT_MASK << 32 | 0x43;
    uint64_t before = get(bench, index, 8, 4);
    ciommu_port_enter(bench->other);
    EXPECT(bench, put(bench, index, 8, 8, value) == CIOMMU_TIMED_OUT);
    EXPECT(bench, get(bench, index, 8, 4) == before && (get(bench, index, 12, 4) & 1) == 1);
    ciommu_port_leave(bench->other);
    EXPECT(bench, put(bench, index, 8, 8, value) == CIOMMU_OK && get(bench, index, 8, 4) == 0x43);
    EXPECT(bench, bench_info(bench->store, index).state == CIOMMU_MESSAGE_MASKED);
}

static void guests(struct message_bench *bench) {
    struct ciommu_namespace *space = NULL;
    uint32_t host = 100;
    uint32_t index = UINT32_MAX;
    EXPECT(bench, ciommu_namespace_create(bench->unit, 100, 110, &space) == CIOMMU_OK);
    EXPECT(bench, ciommu_namespace_bind(space, GUEST, &host) == CIOMMU_OK);
    EXPECT(bench, ciommu_message_allocate_guest(bench->store, space, GUEST, &index) == CIOMMU_OK);
    EXPECT(bench, get(bench, index, 12, 4) == (GUEST << 12 | 9)); /* not the host's */
    EXPECT(bench, ciommu_message_free(bench->store, NULL, index) == CIOMMU_OK);
    EXPECT(bench, get(bench, index, 12, 4) == 1);
    ciommu_namespace_destroy(space);
}

static void accesses(struct message_bench *bench) {
    uint64_t value = 0;
    (void)bench_entry(bench, bench->store, PASID, true);
    for (uint32_t round = 0; round < 20 * 20; round++) {
        uint32_t offset = round / 20;
        uint32_t length = round % 20;
        bool odd = (length != 4 && length != 8) || offset >= 16;
        enum ciommu_status expected = odd                    ? CIOMMU_INVALID_ARGUMENT
                                      : offset % length != 0 ? CIOMMU_MISALIGNED
                                                             : CIOMMU_OK;
        EXPECT_AT(bench,
                  ciommu_message_slot_read(bench->store, 0, offset, length, &value) == expected,
                  round);
        EXPECT_AT(bench, put(bench, 0, offset, length, 0) == expected, round);
    }
    EXPECT(bench, put(bench, 1, 0, 4, 0) == CIOMMU_BAD_STATE); /* free */
    EXPECT(bench, put(bench, 1, 12, 4, 0) == CIOMMU_BAD_STATE);
    EXPECT(bench, put(bench, BENCH_ENTRIES, 0, 4, 0) == CIOMMU_INVALID_ARGUMENT);
    ciommu_port_enter(bench->port);
    EXPECT(bench, put(bench, 0, 0, 4, 0) == CIOMMU_IN_SECTION);
    ciommu_port_leave(bench->port);
}

const struct message_case message_slot_cases[] = {
    {.name = "the layout of a slot", .run = layout},
    {.name = "what a guest cannot write", .run = protected_bits},
    {.name = "the mask of a slot", .run = masking},
    {.name = "masking takes nothing", .run = masking_takes_nothing, .patient = true},
    {.name = "masking late", .run = masking_late},
    {.name = "a guest sees its own PASID", .run = guests},
    {.name = "accesses to slots", .run = accesses},
};
const uint32_t message_slot_count = sizeof message_slot_cases / sizeof message_slot_cases[0];
