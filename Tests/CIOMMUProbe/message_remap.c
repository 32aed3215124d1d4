/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_remap.c - every field of a message and of an interrupt-remapping entry, one by one
 * [FORMATS-VTD F1, F2].
 */
#include "message_bench.h"

#define PRESENT UINT64_C(1)
#define FPD UINT64_C(2)
#define POSTED UINT64_C(0x8000)
#define NOBODY 0x5555u

static bool is_one_of(uint32_t bit, const uint32_t *bits, uint32_t count) {
    for (uint32_t at = 0; at < count; at++) {
        if (bits[at] == bit) {
            return true;
        }
    }
    return false;
}

/* ---- What a good entry says ---- */

/* The pair that a destination and the other fields must come to: addresses of 0xFEE,
 * destination 7:0 in 19:12, 31:8 in 63:40, RH in 3, DM in 2; data with vector, mode in 10:8,
 * 14 set, TM in 15.
 */
static void check_fields(struct message_bench *bench, uint32_t vector, uint32_t mode,
                         uint32_t flags, uint32_t destination, bool eime) {
    uint32_t dm = flags & 1;
    uint32_t rh = flags >> 1 & 1;
    uint32_t tm = flags >> 2 & 1;
    uint64_t dst = eime ? destination : (uint64_t)(destination & 0xff) << 8;
    uint32_t expected = eime ? destination : destination & 0xff;
    bench_put(bench, 5,
              PRESENT | dm << 2 | rh << 3 | tm << 4 | mode << 5 | (uint64_t)0xf << 8 |
                  (uint64_t)vector << 16 | dst << 32,
              0);
    struct ciommu_interrupt got =
        bench_remap(bench, NOBODY, bench_message(5, false) | 3, 0xffffffff);
    uint64_t at = (uint64_t)vector << 32 | mode << 8 | flags;
    EXPECT_AT(bench, got.outcome == CIOMMU_INTERRUPT_REMAPPED && got.index == 5, at);
    EXPECT_AT(bench, got.vector == vector && got.delivery_mode == mode, at);
    EXPECT_AT(bench, got.logical == dm && got.redirection_hint == rh && got.level == tm, at);
    EXPECT_AT(bench, got.destination == expected && got.error == NULL, at);
    uint64_t address = UINT64_C(0xfee00003) | (uint64_t)(expected % 256) << 12 |
                       (uint64_t)(expected / 256) << 40 | rh * 8 | dm * 4;
    EXPECT_AT(bench, got.address == address, at);
    EXPECT_AT(bench, got.data == vector + mode * 256 + 16384 + tm * 32768, at);
}

static void fields(struct message_bench *bench) {
    const uint32_t modes[] = {0, 1, 2, 4, 5, 7};
    const uint32_t destinations[] = {0, 1, 0x80, 0xff, 0x100, 0x12345678, 0xffffffff};
    for (int eime = 0; eime < 2; eime++) {
        bench_table(bench, 7, eime != 0, false);
        for (uint32_t vector = 0; vector < 256; vector++) {
            check_fields(bench, vector, modes[vector % 6], vector % 8, destinations[vector % 7],
                         eime != 0);
        }
    }
    EXPECT(bench, bench_recorded(bench, NULL) == 0);
}

/* ---- Reserved bits ---- */

/* A set bit above those that are used, and where it is. */
static void entry_bits(struct message_bench *bench) {
    static const uint32_t always[] = {12, 13, 14, 24, 25, 26, 27, 28, 29, 30, 31};
    for (int eime = 0; eime < 2; eime++) {
        bench_table(bench, 7, eime != 0, false);
        for (uint32_t bit = 1; bit < 128; bit++) {
            uint64_t low = PRESENT | (bit < 64 ? UINT64_C(1) << bit : 0);
            uint64_t high = bit >= 64 ? UINT64_C(1) << (bit - 64) : 0;
            bool narrow = (bit >= 32 && bit <= 39) || (bit >= 48 && bit <= 63);
            bool reserved =
                is_one_of(bit, always, 11) || bit >= 84 || bit == 15 || (eime == 0 && narrow);
            bool validates = bit == 82 || bit == 83; /* SVT 1 and 2 with SID 0 */
            bench_put(bench, 3, low, high);
            uint32_t code = bench_code(bench, NOBODY, bench_message(3, false), 0);
            EXPECT_AT(bench, code == (reserved ? 0x24u : validates ? 0x26u : 0u), bit);
        }
        bench_put(bench, 3, PRESENT | 3 << 5, 0);
        EXPECT(bench, bench_code(bench, NOBODY, bench_message(3, false), 0) == 0x24);
        bench_put(bench, 3, PRESENT | 6 << 5, 0);
        EXPECT(bench, bench_code(bench, NOBODY, bench_message(3, false), 0) == 0x24);
        (void)bench_recorded(bench, NULL);
    }
}

static void message_bits(struct message_bench *bench) {
    bench_table(bench, 15, false, false);
    bench_put(bench, 3, PRESENT, 0);
    uint64_t message = bench_message(3, false);
    for (uint32_t bit = 20; bit < 64; bit++) {
        EXPECT_AT(bench, bench_code(bench, NOBODY, message ^ UINT64_C(1) << bit, 0) == 0x20, bit);
    }
    (void)bench_recorded(bench, NULL);
    for (uint32_t bit = 0; bit < 32; bit++) {
        /* Data means nothing without SHV; with it, the upper half is reserved. */
        EXPECT_AT(bench, bench_code(bench, NOBODY, message, 1u << bit) == 0, bit);
        uint32_t code = bench_code(bench, NOBODY, bench_message(3, true), 1u << bit);
        EXPECT_AT(bench, code == (bit >= 16 ? 0x20u : 0x22u), bit);
    }
    EXPECT(bench, bench_code(bench, NOBODY, message | 3, 0) == 0); /* bits 1:0 are ignored */
}

/* ---- Index ---- */

static void indices(struct message_bench *bench) {
    for (uint32_t size = 0; size < 16; size++) {
        uint32_t entries = 2u << size;
        bench_table(bench, size, false, false);
        bench_put(bench, entries - 1, PRESENT | (uint64_t)(size + 32) << 16, 0);
        struct ciommu_interrupt last =
            bench_remap(bench, NOBODY, bench_message(entries - 1, false), 0);
        EXPECT_AT(bench,
                  last.outcome == CIOMMU_INTERRUPT_REMAPPED && last.index == entries - 1 &&
                      last.vector == size + 32,
                  size);
        if (entries < 0x10000) {
            EXPECT_AT(bench, bench_code(bench, NOBODY, bench_message(entries, false), 0) == 0x21,
                      size);
            EXPECT_AT(bench, bench_code(bench, NOBODY, bench_message(0xffff, false), 0) == 0x21,
                      size);
        }
        /* Handle and subhandle add up. */
        struct ciommu_interrupt sum =
            bench_remap(bench, NOBODY, bench_message(1, true), entries - 2);
        EXPECT_AT(bench, sum.index == entries - 1 && sum.vector == size + 32, size);
        EXPECT_AT(bench, bench_code(bench, NOBODY, bench_message(1, true), entries - 1) == 0x21,
                  size);
        bench_put(bench, entries - 1, 0, 0);
        (void)bench_recorded(bench, NULL);
    }
    bench_put(bench, 0, PRESENT, 0);
    bench_table(bench, 15, false, false);
    /* 17 bits do not wrap. */
    EXPECT(bench, bench_code(bench, NOBODY, bench_message(0xffff, true), 1) == 0x21);
    EXPECT(bench, bench_code(bench, NOBODY, bench_message(0x8000, true), 0x8000) == 0x21);
}

/* ---- Source ids ---- */

/* Word for word: 0 none; 1 compares all, but bit 2, but bits 2:1, but bits 2:0; 2 the bus; 3
 * never.
 */
static bool may(uint32_t svt, uint32_t sq, uint32_t sid, uint32_t source) {
    if (svt == 0) {
        return true;
    }
    if (svt == 2) {
        return source / 256 >= sid % 256 && source / 256 <= sid / 256;
    }
    for (uint32_t bit = 0; bit < 16; bit++) {
        bool ignored = (sq >= 1 && bit == 2) || (sq >= 2 && bit == 1) || (sq == 3 && bit == 0);
        if (!ignored && (source >> bit & 1) != (sid >> bit & 1)) {
            return false;
        }
    }
    return svt == 1;
}

static void sources(struct message_bench *bench) {
    const uint32_t ids[] = {0, 1, 0x1a3b, 0x1a3f, 0x1a39, 0x1a38, 0x1b3b, 0xffff, 0x201a, 0x1a20};
    bench_table(bench, 7, false, false);
    for (uint32_t svt = 0; svt < 4; svt++) {
        for (uint32_t round = 0; round < 4 * 10 * 26; round++) {
            uint32_t sq = round % 4;
            uint32_t sid = ids[round / 4 % 10];
            uint32_t way = round / 40; /* 0-15: one bit flipped; else another id */
            uint32_t source = way < 16 ? sid ^ 1u << way : ids[(way - 16) % 10];
            bench_put(bench, 9, PRESENT, (uint64_t)svt << 18 | (uint64_t)sq << 16 | sid);
            uint32_t code = bench_code(bench, source, bench_message(9, false), 0);
            EXPECT_AT(bench, code == (may(svt, sq, sid, source) ? 0u : 0x26u),
                      (uint64_t)svt << 40 | (uint64_t)sq << 36 | (uint64_t)sid << 16 | source);
        }
        (void)bench_recorded(bench, NULL);
    }
    for (uint32_t bus = 0; bus < 256; bus++) { /* buses 0x10 to 0x20: last in 15:8, first in 7:0 */
        bench_put(bench, 9, PRESENT, 2 << 18 | 0x2010);
        uint32_t code = bench_code(bench, bus << 8 | 0xab, bench_message(9, false), 0);
        EXPECT_AT(bench, code == (bus >= 0x10 && bus <= 0x20 ? 0u : 0x26u), bus);
    }
}

/* ---- Posted ---- */

static void posted(struct message_bench *bench) {
    bench_table(bench, 7, true, false);
    bench_put(bench, 2, PRESENT | POSTED | 1 << 14 | 0x77 << 16 | UINT64_C(0x1234abc0) << 32,
              UINT64_C(0x56) << 32);
    struct ciommu_interrupt got = bench_remap(bench, NOBODY, bench_message(2, false), 0);
    EXPECT(bench, got.outcome == CIOMMU_INTERRUPT_BLOCKED && got.fault.code == 0x24);
    EXPECT(bench, got.error != NULL && got.vector == 0x77 && got.urgent == 1);
    EXPECT(bench, got.descriptor == UINT64_C(0x561234abc0));
    bench_put(bench, 2, PRESENT | POSTED | 4, 0);
    struct ciommu_interrupt reserved = bench_remap(bench, NOBODY, bench_message(2, false), 0);
    EXPECT(bench, reserved.fault.code == 0x24 && reserved.error != got.error);
    bench_put(bench, 2, POSTED, 0); /* absent before anything else */
    EXPECT(bench, bench_code(bench, NOBODY, bench_message(2, false), 0) == 0x22);
}

const struct message_case message_remap_cases[] = {
    {.name = "an entry's fields become a message", .run = fields},
    {.name = "reserved bits of an entry", .run = entry_bits},
    {.name = "reserved bits of a message", .run = message_bits},
    {.name = "handles, subhandles and table sizes", .run = indices},
    {.name = "source ids", .run = sources},
    {.name = "posted entries are named and refused", .run = posted},
};
const uint32_t message_remap_count = sizeof message_remap_cases / sizeof message_remap_cases[0];
