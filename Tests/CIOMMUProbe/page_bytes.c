/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_bytes.c - see page_bytes.h; and what a guest's queues carry, field by field
 * [FORMATS-VTD C2 type 9, D1]: encoded and decoded here once more, by hand.
 */
#include "page_bytes.h"
#include "debug.h"
#include "probe.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MOST 512u /* of one play */

/* A number of `bits` bits, 16 at a time. */
static uint64_t draw_bits(struct page_run *run, uint32_t bits) {
    uint64_t value = 0;
    for (uint32_t taken = 0; taken < bits; taken += 16) {
        value = value << 16 | page_draw(run, 65536);
    }
    return bits == 64 ? value : value & ((UINT64_C(1) << bits) - 1);
}

static uint64_t field(const uint64_t *words, uint32_t first, uint32_t last) {
    uint64_t value = words[first / 64] >> first % 64;
    uint32_t bits = last - first + 1;
    return value & ((UINT64_C(1) << bits) - 1);
}

/* ---- Requests ---- */

/* A page-request descriptor: mostly what the devices of the model could send. */
static void draw_request(struct page_run *run, const struct page_device *device, uint64_t *words) {
    uint32_t oddity = page_draw(run, 256);
    uint64_t pasid = device->pasid + page_draw(run, MODEL_PASIDS);
    uint64_t page = oddity < 16 ? draw_bits(run, 64) >> 12 : (page_at(oddity & 3)) >> 12;
    uint32_t low = page_draw(run, 256);
    uint64_t index = oddity < 128 ? oddity % 3 : page_draw(run, 512);
    bool foreign = oddity == 255 && device->source != PAGE_WHOLE; /* which owns them all */
    pasid = foreign ? draw_bits(run, 20) : pasid;
    words[0] = 1 | UINT64_C(1) << 8 | (uint64_t)device->source << 16 | pasid << 32;
    words[0] |= (low & 0xf0) == 0xf0 ? UINT64_C(1) << 52 : 0; /* execute */
    words[0] |= (low & 0xf0) == 0xe0 ? UINT64_C(1) << 53 : 0; /* privileged */
    words[0] |= (low & 0xf0) == 0xd0 ? UINT64_C(1) << 9 : 0;  /* private data */
    words[1] = page << 12 | index << 3 | (low & 7);
    words[2] = field(words, 9, 9) != 0 ? draw_bits(run, 64) : 0;
    words[3] = field(words, 9, 9) != 0 ? ~words[2] : 0;
}

static struct ciommu_page_request decode_request(const uint64_t *words) {
    bool private_data = field(words, 9, 9) != 0;
    return (struct ciommu_page_request){
        .size = sizeof(struct ciommu_page_request),
        .pasid = (uint32_t)field(words, 32, 51),
        .address = field(words, 76, 127) << 12,
        .access = (uint32_t)((field(words, 64, 64) != 0 ? CIOMMU_READ : 0) |
                             (field(words, 65, 65) != 0 ? CIOMMU_WRITE : 0) |
                             (field(words, 52, 52) != 0 ? CIOMMU_EXECUTE : 0) |
                             (field(words, 53, 53) != 0 ? CIOMMU_PRIVILEGED : 0)),
        .group = (uint32_t)field(words, 67, 75),
        .flags = (uint32_t)((field(words, 66, 66) != 0 ? CIOMMU_PAGE_LAST : 0) |
                            (private_data ? CIOMMU_PAGE_PRIVATE_DATA : 0)),
        .private_data = {words[2], words[3]},
    };
}

void page_step_native_request(struct page_run *run) {
    uint32_t number = page_draw(run, MODEL_DEVICES);
    struct page_device *device = &run->bench->devices[number];
    uint64_t words[4];
    uint64_t again[4];
    draw_request(run, device, words);
    const struct ciommu_page_request request = decode_request(words);
    ciommu_page_descriptor(device->source, &request, again);
    for (uint32_t word = 0; word < 4; word++) {
        SAME(run, again[word] == words[word]);
    }
    uint32_t offset = request.pasid - device->pasid;
    if (offset >= MODEL_PASIDS && offset < 16) {
        return; /* in the slice, and not in the model */
    }
    enum ciommu_status status = ciommu_page_request(device->interface, NULL, &request);
    if (offset >= MODEL_PASIDS) {
        SAME(run, status == CIOMMU_NOT_OWNED);
        return;
    }
    const struct model_page page = {request.address, request.access};
    enum model_status expected = model_request(run->model, number, offset, request.group, &page,
                                               (request.flags & CIOMMU_PAGE_LAST) != 0,
                                               (request.flags & CIOMMU_PAGE_PRIVATE_DATA) != 0);
    page_expect_answers(run);
    SAME(run, page_is_status(expected, status));
}

/* ---- Responses ---- */

/* A page-group response descriptor: any bits, or those of a group that is likely to wait. */
static void draw_response(struct page_run *run, uint64_t *words) {
    uint32_t oddity = page_draw(run, 256);
    const struct page_device *device = &run->bench->devices[page_draw(run, MODEL_DEVICES)];
    uint64_t pasid = device->pasid + page_draw(run, MODEL_PASIDS);
    uint64_t code = oddity % 16;
    words[0] = 9 | 1 << 4 | code << 12 | (uint64_t)device->source << 16 | pasid << 32;
    words[1] = (uint64_t)page_draw(run, 3) << 3;
    words[2] = 0;
    words[3] = 0;
    for (uint32_t word = 0; word < 2 && oddity >= 224; word++) {
        words[word] ^= draw_bits(run, 64) & draw_bits(run, 64); /* a quarter of the bits */
    }
}

/* Which of the model's devices the response names; MODEL_DEVICES: none. */
static uint32_t find_device(struct page_run *run, uint32_t source, uint32_t pasid,
                            uint32_t *offset) {
    for (uint32_t number = 0; number < MODEL_DEVICES; number++) {
        const struct page_device *device = &run->bench->devices[number];
        *offset = pasid - device->pasid;
        if (device->source == source && *offset < MODEL_PASIDS) {
            return number;
        }
    }
    return MODEL_DEVICES;
}

void page_step_native_response(struct page_run *run) {
    uint32_t domain = page_draw(run, MODEL_DOMAINS);
    uint64_t words[4];
    uint32_t source = 0;
    uint32_t pasid = 0;
    uint32_t group = 0;
    uint32_t offset = 0;
    enum ciommu_page_code code = CIOMMU_PAGE_SUCCESS;
    draw_response(run, words);
    enum ciommu_status status = ciommu_page_response_decode(words, &source, &pasid, &group, &code);
    bool fine = field(words, 0, 3) == 9 && field(words, 9, 11) == 0;
    SAME(run, status == (fine ? CIOMMU_OK : CIOMMU_BAD_DESCRIPTOR));
    if (!fine) {
        return;
    }
    uint32_t native = (uint32_t)field(words, 12, 15);
    bool tagged = field(words, 4, 4) != 0;
    SAME(run, source == field(words, 16, 31) && group == field(words, 67, 75));
    SAME(run, pasid == (tagged ? field(words, 32, 51) : CIOMMU_NO_PASID));
    SAME(run, code == (native == 0   ? CIOMMU_PAGE_SUCCESS
                       : native == 1 ? CIOMMU_PAGE_INVALID
                                     : CIOMMU_PAGE_FAILURE));
    if (run->queues[domain] == NULL) {
        return;
    }
    status = ciommu_page_respond_by_group(run->queues[domain], source, pasid, group, code);
    uint32_t number = find_device(run, source, pasid, &offset);
    enum model_status expected =
        model_respond_by_group(run->model, domain, number, offset, group, code);
    page_expect_answers(run);
    SAME(run, page_is_status(expected, status));
}

/* ---- The play ---- */

/* The unit is kept for the next play: ending one waits ten milliseconds for liburcu's thread. All
 * else of a play is freed, and after a play that failed the unit is too. */
static struct page_bench *kept;

static struct page_bench *take_bench(struct probe_page_result *result) {
    struct page_bench *bench = kept != NULL ? kept : calloc(1, sizeof *bench);
    bool fine = bench != NULL;
    if (fine && kept == NULL) {
        fine = page_bench_make(bench, result) == CIOMMU_OK;
    }
    kept = bench;
    memset(result, 0, sizeof *result);
    if (fine) {
        bench->result = result;
        bench->time = 5000;
        fine = ciommu_unit_set_translation(bench->unit, true) == CIOMMU_OK;
    }
    result->failures = fine ? 0 : 1;
    return bench;
}

void probe_page_bytes_end(void) {
    struct probe_page_result result = {0};
    if (kept != NULL) {
        kept->result = &result;
        page_bench_unmake(kept);
        free(kept);
        kept = NULL;
    }
}

/* The rule that is broken from outside, which a play would mend. */
static uint32_t broken_rule(void) {
#ifdef CIOMMU_INTERNAL_CHECKS
    return load_relaxed(&ciommu_mutant);
#else
    return 0;
#endif
}

bool probe_page_bytes(const uint8_t *bytes, size_t count, struct probe_page_result *result) {
    static const uint8_t nothing = 0;
    struct model *model = calloc(1, sizeof *model);
    struct page_run *run = calloc(1, sizeof *run);
    struct page_bench *bench = take_bench(result);
    if (model != NULL && run != NULL && result->failures == 0) {
        run->bench = bench;
        run->model = model;
        run->bytes = bytes == NULL ? &nothing : bytes;
        run->left = bytes == NULL ? 0 : count;
        uint32_t broken = broken_rule();
        page_run_play(run, STEPS_MOST, broken);
        probe_set_mutant(broken);
    } else {
        result->failures = 1;
    }
    free(run);
    free(model);
    if (result->failures != 0) {
        probe_page_bytes_end();
    }
    return result->failures == 0;
}
