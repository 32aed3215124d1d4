/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_guests.c - cases of page requests that a guest's own tables translate, of bound PASID
 * tables, of a nested domain for all PASIDs, and of devices that share PASIDs.
 */
#include "debug.h"
#include "page_bench.h"

#include <string.h>

#define R CIOMMU_READ
#define LAST CIOMMU_PAGE_LAST
#define DEVICE(number) (&bench->devices[number])

#define TABLE_ROOT 0u /* pages of ram */
#define TABLE_CONTEXT 1u
#define SCALABLE (UINT64_C(1) << 10)
#define PRESENT UINT64_C(1)
#define DTE UINT64_C(4)
#define PASIDE UINT64_C(8)
#define PRE UINT64_C(16)

static uint64_t output(uint32_t page) {
    return PAGE_RAM + page * PAGE_BYTES;
}

static uint64_t *table(struct page_bench *bench, uint32_t page) {
    return bench->ram + page * (PAGE_BYTES / sizeof(uint64_t));
}

/* An interface of a source id that has no device, and the guest's queue. */
struct guests {
    struct page_device device;
    struct ciommu_page_queue *queue;
};

static void set_context(struct page_bench *bench, uint64_t bits) {
    uint32_t bus = PAGE_GUESTS >> 8;
    table(bench, TABLE_ROOT)[bus * 2] = output(TABLE_CONTEXT) | PRESENT;
    table(bench, TABLE_CONTEXT)[(PAGE_GUESTS & 0x7f) * 4] = bits;
    EXPECT(bench, ciommu_unit_set_root(bench->unit, output(TABLE_ROOT) | SCALABLE) == CIOMMU_OK);
}

static void hear_guest(void *context, const struct ciommu_page_answer *answer) {
    struct page_device *device = context;
    device->log[device->count++ % PAGE_LOG] = *answer;
}

static void make_guests(struct page_bench *bench, struct guests *guests) {
    memset(guests, 0, sizeof *guests);
    guests->device.bench = bench;
    guests->device.source = PAGE_GUESTS;
    guests->device.pasid = 3;
    const struct ciommu_page_interface_config config = {
        .size = sizeof config,
        .flags = CIOMMU_PAGE_ALL_PASIDS,
        .source = PAGE_GUESTS,
        .groups = 4,
        .pages = 8,
        .device = 77,
        .handler = hear_guest,
        .context = &guests->device,
    };
    const struct ciommu_page_queue_config queue = page_queue_config(bench);
    EXPECT(bench, ciommu_page_interface_create(bench->unit, &config, &guests->device.interface) ==
                      CIOMMU_OK);
    EXPECT(bench, ciommu_page_queue_create(bench->unit, NULL, &queue, &guests->queue) == 0);
}

static void unmake_guests(struct guests *guests) {
    ciommu_page_interface_destroy(guests->device.interface);
    ciommu_page_queue_destroy(guests->queue);
}

/* Asks through the bench's port; the code of the fault that this recorded, or 0. */
static uint32_t ask_through(struct page_bench *bench, struct guests *guests, uint32_t pasid,
                            enum ciommu_status expected) {
    const struct ciommu_page_request request = {
        .size = sizeof request, .pasid = pasid, .address = page_at(1), .access = R, .flags = LAST};
    struct ciommu_fault fault = {.size = sizeof fault};
    EXPECT(bench, ciommu_page_request(guests->device.interface, bench->port, &request) == expected);
    uint32_t count = ciommu_port_take_faults(bench->port, &fault, 1, NULL);
    if (count != 0) {
        EXPECT(bench, fault.source == PAGE_GUESTS && fault.pasid == pasid &&
                          fault.request == CIOMMU_REQUEST_PAGE && fault.address == page_at(1));
    }
    return count == 0 ? 0 : fault.code;
}

static void the_context_entry_decides(struct page_bench *bench) {
    static struct guests guests;
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    make_guests(bench, &guests);
    const struct {
        uint64_t context;
        uint32_t pasid;
        uint32_t code;
    } rows[] = {
        {PRESENT | DTE | PASIDE | PRE, 3, 0},
        {PRESENT | DTE | PASIDE | PRE, CIOMMU_NO_PASID, 0},
        {PRESENT | DTE | PASIDE, 3, 0x47},
        {PRESENT | DTE | PRE, 3, 0x45},
        {PRESENT | PRE, 3, 0x43}, /* without a device-TLB */
        {0, 3, 0x41},
        {PRESENT | DTE | PASIDE | PRE, 1 << 13, 0x46},
        {PRESENT | 2 | DTE | PASIDE, 3, 0}, /* FPD: not recorded, but faulted */
    };
    for (uint32_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        set_context(bench, rows[row].context);
        bool faults = rows[row].code != 0 || (rows[row].context & 2) != 0;
        EXPECT(bench, ask_through(bench, &guests, rows[row].pasid,
                                  faults ? CIOMMU_FAULTED : CIOMMU_OK) == rows[row].code);
        bool found = page_take(guests.queue, &group, pages) == CIOMMU_OK;
        EXPECT(bench, found == !faults);
        if (found) {
            EXPECT(bench, group.pasid == rows[row].pasid && group.device == 77);
            EXPECT(bench, ciommu_page_respond_by_group(guests.queue, PAGE_GUESTS, group.pasid, 0,
                                                       CIOMMU_PAGE_SUCCESS) == CIOMMU_OK);
        }
    }
    EXPECT(bench, guests.device.count == 2);
    unmake_guests(&guests);
}

static void legacy_mode_has_no_page_requests(struct page_bench *bench) {
    static struct guests guests;
    make_guests(bench, &guests);
    EXPECT(bench, ciommu_unit_set_root(bench->unit, output(TABLE_ROOT)) == CIOMMU_OK);
    EXPECT(bench, ask_through(bench, &guests, 3, CIOMMU_FAULTED) == 0x32);
    EXPECT(bench, ask_through(bench, &guests, CIOMMU_NO_PASID, CIOMMU_FAULTED) == 0x32);
    EXPECT(bench, ciommu_unit_set_translation(bench->unit, false) == CIOMMU_OK);
    EXPECT(bench, ask_through(bench, &guests, 3, CIOMMU_OK) == 0);
    EXPECT(bench, guests.device.count == 1 && guests.device.log[0].code == CIOMMU_PAGE_INVALID);
    unmake_guests(&guests);
}

static void a_reset_ends_a_guests_groups(struct page_bench *bench) {
    static struct guests guests;
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    make_guests(bench, &guests);
    set_context(bench, PRESENT | DTE | PASIDE | PRE);
    EXPECT(bench, ask_through(bench, &guests, 3, CIOMMU_OK) == 0);
    EXPECT(bench, page_take(guests.queue, &group, pages) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_reset(bench->unit) == CIOMMU_OK);
    EXPECT(bench, guests.device.count == 1 && guests.device.log[0].cause == CIOMMU_PAGE_BY_DETACH);
    EXPECT(bench, ciommu_page_respond(guests.queue, group.cookie, CIOMMU_PAGE_SUCCESS) ==
                      CIOMMU_ALREADY_ANSWERED);
    unmake_guests(&guests);
}

#ifdef CIOMMU_INTERNAL_CHECKS
/* The tables allowed the request; then the unit is reset, and only then the request goes on. */
static struct page_bench *resetting;

static void reset_once(enum ciommu_yield_point point) {
    struct page_bench *bench = resetting;
    if (point == CIOMMU_YIELD_PAGE_ASKED && bench != NULL) {
        resetting = NULL;
        EXPECT(bench, ciommu_unit_reset(bench->unit) == CIOMMU_OK);
    }
}

static void no_request_outlives_the_root_table(struct page_bench *bench) {
    static struct guests guests;
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    make_guests(bench, &guests);
    set_context(bench, PRESENT | DTE | PASIDE | PRE);
    resetting = bench;
    __atomic_store_n(&ciommu_yield_hook, reset_once, __ATOMIC_RELEASE);
    EXPECT(bench, ask_through(bench, &guests, 3, CIOMMU_OK) == 0);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    EXPECT(bench, resetting == NULL && page_take(guests.queue, &group, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench,
           guests.device.count == 1 && guests.device.log[0].cause == CIOMMU_PAGE_BY_NOT_ATTACHED);
    unmake_guests(&guests);
}
#else
static void no_request_outlives_the_root_table(struct page_bench *bench) {
    (void)bench;
}
#endif

/* The guest answers each group of its own tables itself. */
static void bound_tables_go_to_the_guests_queue(struct page_bench *bench) {
    static struct guests guests;
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    const struct ciommu_pasid_table bound = {.size = sizeof bound,
                                             .model = CIOMMU_MODEL_VTD,
                                             .levels = 2,
                                             .pasid_bits = 16,
                                             .address = PAGE_RAM};
    make_guests(bench, &guests);
    for (uint32_t round = 0; round < 2; round++) {
        EXPECT(bench, ciommu_device_reset(DEVICE(0)->device, bench->port) == CIOMMU_OK);
        EXPECT(bench, ciommu_device_bind(DEVICE(0)->device, bench->port, &bound) == CIOMMU_OK);
        EXPECT(bench, page_ask(DEVICE(0), 1, 1, R, LAST) == CIOMMU_OK);
        EXPECT(bench, page_ask(DEVICE(0), 2, 1, R, LAST) == CIOMMU_OK);
        EXPECT(bench, page_take(guests.queue, &group, pages) == CIOMMU_OK && group.group == 1);
        EXPECT(bench, page_take(guests.queue, &group, pages) == CIOMMU_OK && group.group == 2);
        EXPECT(bench, page_count(DEVICE(0)) == round * 2);
        if (round == 0) {
            EXPECT(bench, ciommu_device_unbind(DEVICE(0)->device, bench->port) == CIOMMU_OK);
            EXPECT(bench, bench->retired_device == 1000);
        } else {
            EXPECT(bench, ciommu_device_reset(DEVICE(0)->device, bench->port) == CIOMMU_OK);
        }
        EXPECT(bench, page_heard(DEVICE(0), round * 2 + 2, DEVICE(0)->log[round * 2 + 1].group,
                                 CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
    }
    EXPECT(bench, page_ask(DEVICE(1), 1, 1, R, LAST) == CIOMMU_OK); /* its own attachment */
    EXPECT(bench, page_take(guests.queue, &group, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench, page_take(bench->queue, &group, pages) == CIOMMU_OK);
    unmake_guests(&guests);
}

static enum ciommu_status ask_with(struct page_device *device, uint32_t pasid) {
    const struct ciommu_page_request request = {
        .size = sizeof request, .pasid = pasid, .address = page_at(1), .access = R, .flags = LAST};
    return ciommu_page_request(device->interface, NULL, &request);
}

/* [FORMATS-IOMMUFD 12] */
static void a_nested_domain_hears_of_every_pasid(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    struct ciommu_page_queue *queue = NULL;
    struct page_device *device = DEVICE(2);
    const struct ciommu_page_queue_config config = page_queue_config(bench);
    EXPECT(bench, ask_with(device, 9) == CIOMMU_OK);
    EXPECT(bench, device->log[0].cause == CIOMMU_PAGE_BY_NOT_ATTACHED);
    EXPECT(bench, ciommu_device_attach(device->device, CIOMMU_NO_PASID, bench->nested) == 0);
    EXPECT(bench, ask_with(device, 9) == CIOMMU_OK); /* it has no queue */
    EXPECT(bench, device->log[1].cause == CIOMMU_PAGE_BY_NOT_ATTACHED);
    EXPECT(bench, ciommu_page_queue_create(bench->unit, bench->nested, &config, &queue) == 0);
    EXPECT(bench, ask_with(device, 9) == CIOMMU_OK);
    EXPECT(bench, ask_with(device, 10) == CIOMMU_OK); /* another space: it does not follow */
    EXPECT(bench, ask_with(device, 9) == CIOMMU_OK);  /* it does */
    EXPECT(bench, ask_with(device, 5) == CIOMMU_OK);  /* that one is attached */
    EXPECT(bench, page_take(queue, &group, pages) == CIOMMU_OK && group.pasid == 9);
    EXPECT(bench, page_take(queue, &group, pages) == CIOMMU_OK && group.pasid == 10);
    EXPECT(bench, page_take(queue, &group, pages) == CIOMMU_NOT_FOUND);
    EXPECT(bench, page_take(bench->queue, &group, pages) == CIOMMU_OK && group.pasid == 5);
    EXPECT(bench, ciommu_device_detach(device->device, bench->port, CIOMMU_NO_PASID) == 0);
    EXPECT(bench, page_count(device) == 5 && device->log[4].cause == CIOMMU_PAGE_BY_DETACH);
    ciommu_page_queue_destroy(queue);
}

/* [B-E4] */
static void devices_that_share_a_pasid(struct page_bench *bench) {
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    struct page_device *sharers[2] = {DEVICE(0), DEVICE(1)};
    for (uint32_t number = 0; number < 2; number++) {
        struct page_device *device = sharers[number];
        EXPECT(bench, ciommu_device_destroy(device->device, bench->port) == CIOMMU_OK);
        ciommu_page_interface_destroy(device->interface);
        device->device = NULL;
        device->interface = NULL;
        device->pasid = 16; /* the first of both slices */
    }
    for (uint32_t number = 0; number < 2; number++) {
        struct page_device *device = sharers[number];
        const struct ciommu_device_config config = {.size = sizeof config,
                                                    .source = PAGE_SOURCE,
                                                    .id = 1000 + number,
                                                    .share = CIOMMU_SHARE_SLICE,
                                                    .policy = CIOMMU_SHARED_PASID_FIRST,
                                                    .first_pasid = 16,
                                                    .last_pasid = 31};
        const struct ciommu_page_interface_config interface = page_interface_config(device);
        EXPECT(bench, ciommu_device_create(bench->unit, bench->port, &config, &device->device) ==
                          CIOMMU_OK);
        EXPECT(bench, ciommu_page_interface_create(bench->unit, &interface, &device->interface) ==
                          CIOMMU_OK);
    }
    EXPECT(bench, ciommu_device_attach(DEVICE(0)->device, 16, bench->domain) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 6, 1, R, LAST) == CIOMMU_OK); /* it has not attached it */
    EXPECT(bench, page_heard(DEVICE(1), 1, 6, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_NOT_ATTACHED));
    EXPECT(bench, ciommu_device_attach(DEVICE(1)->device, 16, bench->domain) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(0), 7, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 7, 1, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_ask(DEVICE(1), 8, 2, R, LAST) == CIOMMU_OK);
    EXPECT(bench, page_take(bench->queue, &group, pages) == CIOMMU_OK && group.device == 1000);
    EXPECT(bench, ciommu_page_respond(bench->queue, group.cookie, CIOMMU_PAGE_SUCCESS) == 0);
    EXPECT(bench, page_heard(DEVICE(0), 1, 7, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
    EXPECT(bench, page_heard(DEVICE(1), 2, 7, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OWNER));
    /* the attachment stays when one of two lets go; only that one's groups end */
    EXPECT(bench, page_ask(DEVICE(0), 9, 3, R, LAST) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_detach(DEVICE(0)->device, bench->port, 16) == CIOMMU_OK);
    EXPECT(bench, page_heard(DEVICE(0), 2, 9, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH));
    EXPECT(bench, page_count(DEVICE(1)) == 2);
    EXPECT(bench, page_take(bench->queue, &group, pages) == CIOMMU_OK && group.device == 1001);
}

const struct page_case page_guest_cases[] = {
    {"the context entry decides", the_context_entry_decides},
    {"legacy mode has no page requests", legacy_mode_has_no_page_requests},
    {"a reset ends a guest's groups", a_reset_ends_a_guests_groups},
    {"no request outlives the root table", no_request_outlives_the_root_table},
    {"bound tables go to the guest's queue", bound_tables_go_to_the_guests_queue},
    {"a nested domain hears of every PASID", a_nested_domain_hears_of_every_pasid},
    {"devices that share a PASID", devices_that_share_a_pasid},
};
const uint32_t page_guest_count = sizeof page_guest_cases / sizeof page_guest_cases[0];
