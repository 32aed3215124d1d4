/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_groups.c - cases of page requests: parts and groups, the rules for requests, native formats.
 */
#include "domain_probe.h"
#include "page_bench.h"

#include <string.h>

#define R CIOMMU_READ
#define W CIOMMU_WRITE
#define X CIOMMU_EXECUTE
#define P CIOMMU_PRIVILEGED
#define LAST CIOMMU_PAGE_LAST

#define DEVICE(number) (&bench->devices[number])
#define NEXT(group, pages) page_take(bench->queue, &(group), (pages))

static void delivers_whole_groups(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 7, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 8, 9, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 7, 2, W, 0) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench, bench->readies == 0);
    EXPECT(bench, page_ask(DEVICE(0), 7, 3, R | W, LAST) == CIOMMU_OK);
    EXPECT(bench, bench->readies == 1);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, group.count == 3 && group.group == 7 && group.pasid == 16 && group.cookie == 1);
    EXPECT(bench, group.source == PAGE_SOURCE && group.device == 1000 && group.deadline == 6000);
    for (uint32_t page = 0; page < 3; page++) {
        EXPECT(bench, pages[page].address == page_at(page + 1) && pages[page].access == page + 1);
    }
    EXPECT(bench, NEXT(group, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench, ciommu_page_respond(bench->queue, 1, CIOMMU_PAGE_SUCCESS) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 1, 7, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
    EXPECT(bench, page_ask(DEVICE(0), 8, 10, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.count == 2 && group.group == 8);
}

/* Every order in which the parts of three groups can come, each in its own order. */
static void every_interleaving(struct page_bench *bench) {
    const uint32_t sizes[3] = {2, 3, 2};
    uint32_t orders = 0;
    for (uint32_t order = 0; order < 2187; order++) { /* 3^7 */
        uint32_t left[3] = {2, 3, 2};
        uint32_t digits = order;
        uint32_t steps[7];
        bool fits = true;
        for (uint32_t step = 0; step < 7; step++, digits /= 3) {
            steps[step] = digits % 3;
            fits = fits && left[digits % 3]-- != 0;
        }
        if (!fits) {
            continue;
        }
        uint32_t done[3] = {0, 0, 0};
        uint32_t before = page_count(DEVICE(0));
        for (uint32_t step = 0; step < 7; step++) {
            uint32_t group = steps[step];
            bool last = ++done[group] == sizes[group];
            EXPECT(bench, page_ask(DEVICE(0), group, group * 8 + done[group], R, last ? LAST : 0) ==
                              CIOMMU_OK);
            struct ciommu_page_group out;
            struct ciommu_page pages[16];
            enum ciommu_status status = NEXT(out, pages);
            EXPECT(bench, status == (last ? CIOMMU_OK : CIOMMU_NOT_FOUND));
            if (status == CIOMMU_OK) {
                EXPECT(bench, out.group == group && out.count == sizes[group] &&
                                  pages[0].address == page_at(group * 8 + 1));
                EXPECT(bench, ciommu_page_respond(bench->queue, out.cookie, CIOMMU_PAGE_SUCCESS) ==
                                  CIOMMU_OK);
            }
        }
        EXPECT(bench, page_count(DEVICE(0)) == before + 3);
        orders++;
    }
    EXPECT(bench, orders == 210); /* 7! / (2! 3! 2!) */
}

static void repeats_are_merged(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, W, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.count == 2);
    EXPECT(bench, page_counts(DEVICE(0)).repeated == 2);
}

static void rules_of_requests(struct page_bench *bench) {
    struct page_device *device = DEVICE(0);
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    uint32_t answers = 0;
    const struct {
        uint64_t address;
        uint32_t access;
        bool fine;
    } rows[] = {
        {page_at(0), R, true},          {page_at(0), R | W, true},
        {page_at(0), W | X, true},      {page_at(0), R | P, false},
        {page_at(0), W | P, false},     {page_at(0), R | X, false},
        {page_at(0), R | W | X, false}, {UINT64_C(1) << 48, R, false},
        {UINT64_MAX, R, false},         {(UINT64_C(1) << 48) - 1, R, true},
    };
    for (uint32_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct ciommu_page_request request = {
            .size = sizeof request,
            .pasid = device->pasid,
            .address = rows[row].address,
            .access = rows[row].access,
            .group = 3,
        };
        /* not the last one: no answer, whatever it is */
        EXPECT(bench, ciommu_page_request(device->interface, NULL, &request) == CIOMMU_OK);
        EXPECT(bench, page_count(device) == answers);
        request.flags = LAST;
        EXPECT(bench, ciommu_page_request(device->interface, NULL, &request) == CIOMMU_OK);
        if (rows[row].fine) {
            EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.count == 1);
            EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_INVALID) ==
                              CIOMMU_OK);
            answers++;
            EXPECT(bench,
                   page_heard(device, answers, 3, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_OWNER));
        } else {
            answers++;
            EXPECT(bench, page_heard(device, answers, 3, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_RULE));
        }
        EXPECT(bench, NEXT(group, pages) == CIOMMU_NOT_FOUND);
    }
}

static void an_invalid_part_does_not_spoil_its_group(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 1, 2, R | X, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 1, 3, R, LAST) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.count == 2);
    /* but as the last part it has the group answered, and what was gathered is gone */
    EXPECT(bench, page_ask(DEVICE(0), 2, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 2, 2, R | X, LAST) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 1, 2, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_RULE));
    EXPECT(bench, NEXT(group, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench, page_counts(DEVICE(0)).dropped == 2);
}

static void stop_markers_are_silent(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    EXPECT(bench, page_ask(DEVICE(0), 4, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 4, 2, 0, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 5, 2, X, LAST) == CIOMMU_OK);
    EXPECT(bench, page_count(DEVICE(0)) == 0);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench, page_counts(DEVICE(0)).stop_markers == 2);
    EXPECT(bench, page_ask(DEVICE(0), 4, 3, R, LAST) == CIOMMU_OK); /* the group goes on */
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK && group.count == 2);
}

static void private_data_comes_back(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    const struct ciommu_page_request request = {
        .size = sizeof request,
        .pasid = 16,
        .address = page_at(0),
        .access = R,
        .group = 511,
        .flags = CIOMMU_PAGE_PRIVATE_DATA, /* and so the last one */
        .private_data = {0x1122334455667788, 0x99aabbccddeeff00},
    };
    EXPECT(bench, ciommu_page_request(DEVICE(0)->interface, NULL, &request) == CIOMMU_OK);
    EXPECT(bench, NEXT(group, pages) == CIOMMU_OK);
    EXPECT(bench, group.flags == CIOMMU_PAGE_PRIVATE_DATA &&
                      memcmp(group.private_data, request.private_data, 16) == 0);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, DEVICE(0)->log[0].flags == CIOMMU_PAGE_PRIVATE_DATA &&
                      memcmp(DEVICE(0)->log[0].private_data, request.private_data, 16) == 0);
}

static void arguments_are_checked(struct page_bench *bench) {
    struct page_device *device = DEVICE(0);
    struct ciommu_page_request request = {
        .size = sizeof request, .pasid = 16, .address = page_at(0), .access = R, .group = 512};
    EXPECT(bench,
           ciommu_page_request(device->interface, NULL, &request) == CIOMMU_INVALID_ARGUMENT);
    request.group = 0;
    request.access = 16;
    EXPECT(bench,
           ciommu_page_request(device->interface, NULL, &request) == CIOMMU_INVALID_ARGUMENT);
    request.access = R;
    request.pasid = 32;
    EXPECT(bench, ciommu_page_request(device->interface, NULL, &request) == CIOMMU_NOT_OWNED);
    request.pasid = CIOMMU_NO_PASID;
    EXPECT(bench, ciommu_page_request(device->interface, NULL, &request) == CIOMMU_NOT_OWNED);
    request.pasid = 16;
    ciommu_port_enter(bench->port);
    EXPECT(bench,
           ciommu_page_request(device->interface, bench->port, &request) == CIOMMU_IN_SECTION);
    ciommu_port_leave(bench->port);
    EXPECT(bench, page_counts(device).requests == 0 && page_counts(device).open == 0);
    EXPECT(bench, ciommu_page_respond(bench->queue, 1, (enum ciommu_page_code)3) ==
                      CIOMMU_INVALID_ARGUMENT);
}

static void a_group_that_does_not_fit_stays(struct page_bench *bench) {
    struct ciommu_page pages[16];
    struct ciommu_page_group group = {.size = sizeof group, .capacity = 1, .pages = pages};
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, R, 0) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 0, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_page_read(bench->queue, &group) == CIOMMU_NO_SPACE && group.count == 2);
    group.capacity = 2;
    EXPECT(bench, ciommu_page_read(bench->queue, &group) == CIOMMU_OK && group.count == 2);
}

static void native_formats(struct page_bench *bench) {
    uint64_t words[4];
    const struct ciommu_page_request request = {
        .size = sizeof request,
        .pasid = 0xabcde,
        .address = UINT64_C(0xffff800012345678),
        .access = R | X | P,
        .group = 0x1a5,
        .flags = LAST | CIOMMU_PAGE_PRIVATE_DATA,
        .private_data = {3, 4},
    };
    ciommu_page_descriptor(0x1234, &request, words);
    EXPECT(bench, words[0] == (UINT64_C(0x301) | UINT64_C(0x1234) << 16 | UINT64_C(0xabcde) << 32 |
                               UINT64_C(3) << 52));
    EXPECT(bench, words[1] == (UINT64_C(0xffff800012345000) | 0x1a5 << 3 | 5));
    EXPECT(bench, words[2] == 3 && words[3] == 4);
    uint32_t source, pasid, group;
    enum ciommu_page_code code;
    uint64_t response[4] = {9 | 0x10 | UINT64_C(0xf) << 12 | UINT64_C(0x4321) << 16 |
                                UINT64_C(0xfffff) << 32,
                            UINT64_C(511) << 3, 0, 0};
    EXPECT(bench, ciommu_page_response_decode(response, &source, &pasid, &group, &code) == 0);
    EXPECT(bench,
           source == 0x4321 && pasid == 0xfffff && group == 511 && code == CIOMMU_PAGE_FAILURE);
    response[0] = 9 | UINT64_C(1) << 12 | UINT64_C(0x4321) << 16 | UINT64_C(0xfffff) << 32;
    EXPECT(bench, ciommu_page_response_decode(response, &source, &pasid, &group, &code) == 0);
    EXPECT(bench, pasid == CIOMMU_NO_PASID && code == CIOMMU_PAGE_INVALID);
    response[0] = 5;
    EXPECT(bench, ciommu_page_response_decode(response, &source, &pasid, &group, &code) ==
                      CIOMMU_BAD_DESCRIPTOR);
}

static void memory_fails_everywhere(struct page_bench *bench) {
    struct ciommu_page_interface_config interface = page_interface_config(DEVICE(0));
    struct ciommu_page_queue_config config = page_queue_config(bench);
    struct ciommu_page_interface *made = NULL;
    struct ciommu_page_queue *queue = NULL;
    if (probe_allocations(-1) < -1) {
        return; /* compiled out */
    }
    for (int lives = 0; lives < 3; lives++) {
        (void)probe_allocations(lives);
        EXPECT(bench,
               ciommu_page_interface_create(bench->unit, &interface, &made) == CIOMMU_NO_MEMORY);
        (void)probe_allocations(lives);
        EXPECT(bench,
               ciommu_page_queue_create(bench->unit, NULL, &config, &queue) == CIOMMU_NO_MEMORY);
    }
    (void)probe_allocations(3);
    EXPECT(bench, ciommu_page_interface_create(bench->unit, &interface, &made) == CIOMMU_OK);
    /* what exists needs none any more */
    (void)probe_allocations(0);
    every_interleaving(bench);
    EXPECT(bench, page_ask(DEVICE(0), 0, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    (void)probe_allocations(-1);
    ciommu_page_interface_destroy(made);
}

const struct page_case page_group_cases[] = {
    {"delivers whole groups", delivers_whole_groups},
    {"every interleaving", every_interleaving},
    {"repeats are merged", repeats_are_merged},
    {"rules of requests", rules_of_requests},
    {"an invalid part does not spoil its group", an_invalid_part_does_not_spoil_its_group},
    {"stop markers are silent", stop_markers_are_silent},
    {"private data comes back", private_data_comes_back},
    {"arguments are checked", arguments_are_checked},
    {"a group that does not fit stays", a_group_that_does_not_fit_stays},
    {"native formats", native_formats},
    {"memory fails everywhere", memory_fails_everywhere},
};
const uint32_t page_group_count = sizeof page_group_cases / sizeof page_group_cases[0];
