/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_arguments.c - calls with NULL, with an object of another unit, with values out of range: each
 * is refused with the status that the header names, and changes nothing.
 */
#include "gap.h"

#define REFUSED(world, call) EXPECT((world), (call) == CIOMMU_INVALID_ARGUMENT)

/* Another unit with a port, for what must not be mixed. */
struct stranger {
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    struct ciommu_domain *domain;
};

static struct stranger make_stranger(struct inject_world *world) {
    struct stranger stranger = {NULL, NULL, NULL};
    struct ciommu_unit_config config;
    struct ciommu_paging_config paging;
    ciommu_unit_config_init(&config);
    ciommu_paging_config_init(&paging);
    config.pool_ports = 0;
    EXPECT(world, ciommu_unit_create(&config, world->memory, &stranger.unit) == CIOMMU_OK);
    EXPECT(world, ciommu_port_create(stranger.unit, &stranger.port) == CIOMMU_OK);
    EXPECT(world, ciommu_paging_create(stranger.unit, &paging, &stranger.domain) == CIOMMU_OK);
    return stranger;
}

static void end_stranger(struct inject_world *world, struct stranger *stranger) {
    EXPECT(world, ciommu_domain_destroy(stranger->domain) == CIOMMU_OK);
    EXPECT(world, ciommu_port_destroy(stranger->port) == CIOMMU_OK);
    EXPECT(world, ciommu_unit_destroy(stranger->unit) == CIOMMU_OK);
}

/* ---- Faults ---- */

static void fault_queues(struct inject_world *world) {
    struct stranger stranger = make_stranger(world);
    const uint64_t before = inject_digest(world);
    struct ciommu_fault_queue_config config = inject_fault_config();
    struct ciommu_fault_queue *queue = NULL;
    struct ciommu_fault_record record = {.size = sizeof record};
    const struct ciommu_fault fault = {.size = sizeof fault};
    uint64_t words[2];
    int descriptor;
    REFUSED(world, ciommu_fault_queue_create(NULL, NULL, &config, &queue));
    REFUSED(world, ciommu_fault_queue_create(world->unit, NULL, NULL, &queue));
    REFUSED(world, ciommu_fault_queue_create(world->unit, NULL, &config, NULL));
    REFUSED(world, ciommu_fault_queue_create_software(NULL, 9, &config, &queue));
    config.size = 4;
    REFUSED(world, ciommu_fault_queue_create(world->unit, NULL, &config, &queue));
    REFUSED(world, ciommu_fault_queue_create_software(world->unit, 9, &config, &queue));
    config.size = sizeof config;
    EXPECT(world, ciommu_fault_queue_create(stranger.unit, world->whole, &config, &queue) ==
                      CIOMMU_OTHER_UNIT);
    EXPECT(world, ciommu_fault_queue_create(world->unit, world->whole, &config, &queue) ==
                      CIOMMU_OCCUPIED);
    EXPECT(world, ciommu_fault_read(NULL, &record, 1) == 0);
    EXPECT(world, ciommu_fault_read(world->faults, NULL, 1) == 0);
    REFUSED(world, ciommu_fault_queue_fd(NULL, &descriptor));
    REFUSED(world, ciommu_fault_queue_fd(world->faults, NULL));
    REFUSED(world, ciommu_fault_report(NULL, &fault));
    REFUSED(world, ciommu_fault_report(world->faults, NULL));
    REFUSED(world, ciommu_fault_report(world->faults, &fault)); /* without a reason */
    REFUSED(world, ciommu_fault_frcd(NULL, 48, words));
    REFUSED(world, ciommu_fault_frcd(&fault, 48, NULL));
    ciommu_fault_queue_read_statistics(NULL, NULL);
    ciommu_fault_queue_read_statistics(world->faults, NULL);
    ciommu_fault_queue_destroy(NULL);
    EXPECT(world, queue == NULL && inject_digest(world) == before);
    end_stranger(world, &stranger);
}

/* ---- Page requests ---- */

static void page_interfaces(struct inject_world *world) {
    struct stranger stranger = make_stranger(world);
    const uint64_t before = inject_digest(world);
    struct ciommu_page_interface_config config = inject_interface_config();
    struct ciommu_page_interface *interface = NULL;
    struct ciommu_page_request request = {
        .size = sizeof request, .pasid = CIOMMU_NO_PASID, .access = CIOMMU_READ};
    const struct ciommu_page page = {.access = CIOMMU_READ};
    const uint64_t words[4] = {9};
    uint32_t number;
    REFUSED(world, ciommu_page_interface_create(NULL, &config, &interface));
    REFUSED(world, ciommu_page_interface_create(world->unit, NULL, &interface));
    REFUSED(world, ciommu_page_interface_create(world->unit, &config, NULL));
    config.groups = 0;
    REFUSED(world, ciommu_page_interface_create(world->unit, &config, &interface));
    config = inject_interface_config();
    config.handler = NULL;
    REFUSED(world, ciommu_page_interface_create(world->unit, &config, &interface));
    config = inject_interface_config();
    config.flags = 0;
    config.first_pasid = 5;
    config.last_pasid = 4;
    REFUSED(world, ciommu_page_interface_create(world->unit, &config, &interface));
    REFUSED(world, ciommu_page_request(NULL, NULL, &request));
    REFUSED(world, ciommu_page_request(world->interface, NULL, NULL));
    REFUSED(world, ciommu_page_request(world->interface, stranger.port, &request));
    request.pasid = CIOMMU_PASID_MAX + 1;
    REFUSED(world, ciommu_page_request(world->interface, NULL, &request));
    REFUSED(world,
            ciommu_page_request_group(world->interface, NULL, 1, NULL, 1, config.handler, NULL));
    REFUSED(world, ciommu_page_request_group(world->interface, NULL, 1, &page, 1, NULL, NULL));
    REFUSED(world, ciommu_page_response_decode(NULL, &number, &number, &number, NULL));
    REFUSED(world, ciommu_page_response_decode(words, &number, &number, &number, NULL));
    ciommu_page_interface_close(NULL);
    ciommu_page_interface_destroy(NULL);
    ciommu_page_interface_read_statistics(NULL, NULL);
    ciommu_page_interface_read_statistics(world->interface, NULL);
    EXPECT(world, interface == NULL && inject_digest(world) == before);
    end_stranger(world, &stranger);
}

static void page_queues(struct inject_world *world) {
    struct stranger stranger = make_stranger(world);
    const uint64_t before = inject_digest(world);
    struct ciommu_page_queue_config config = inject_page_config();
    struct ciommu_page_queue *queue = NULL;
    struct ciommu_page_group group = {.size = sizeof group, .capacity = 1};
    REFUSED(world, ciommu_page_queue_create(NULL, NULL, &config, &queue));
    REFUSED(world, ciommu_page_queue_create(world->unit, NULL, NULL, &queue));
    REFUSED(world, ciommu_page_queue_create(world->unit, NULL, &config, NULL));
    config.timeout = 0;
    REFUSED(world, ciommu_page_queue_create(world->unit, NULL, &config, &queue));
    config = inject_page_config();
    REFUSED(world, ciommu_page_queue_create(world->unit, ciommu_domain_identity(world->unit),
                                            &config, &queue));
    EXPECT(world, ciommu_page_queue_create(world->unit, stranger.domain, &config, &queue) ==
                      CIOMMU_OTHER_UNIT);
    EXPECT(world, ciommu_page_queue_create(world->unit, world->mapped, &config, &queue) ==
                      CIOMMU_UNSUPPORTED); /* a nest parent */
    EXPECT(world,
           ciommu_page_queue_create(world->unit, world->other, &config, &queue) == CIOMMU_EXISTS);
    REFUSED(world, ciommu_page_read(NULL, &group));
    REFUSED(world, ciommu_page_read(world->pages, NULL));
    REFUSED(world, ciommu_page_read(world->pages, &group)); /* room for one, nowhere */
    REFUSED(world, ciommu_page_respond(NULL, 1, CIOMMU_PAGE_SUCCESS));
    REFUSED(world, ciommu_page_respond(world->pages, 1, (enum ciommu_page_code)3));
    REFUSED(world, ciommu_page_respond_by_group(NULL, 1, 1, 1, CIOMMU_PAGE_SUCCESS));
    REFUSED(world, ciommu_page_respond_by_group(world->pages, 1, 1, 512, CIOMMU_PAGE_SUCCESS));
    EXPECT(world, !ciommu_page_is_open(NULL, 1));
    EXPECT(world, !ciommu_page_queue_overflowed(NULL));
    EXPECT(world, ciommu_page_queue_descriptor(NULL) == -1);
    ciommu_page_queue_acknowledge(NULL);
    ciommu_page_queue_close(NULL);
    ciommu_page_queue_destroy(NULL);
    ciommu_page_queue_read_statistics(NULL, NULL);
    ciommu_page_queue_read_statistics(world->pages, NULL);
    EXPECT(world, queue == NULL && inject_digest(world) == before);
    end_stranger(world, &stranger);
}

/* ---- Invalidation ---- */

static void device_tlbs(struct inject_world *world) {
    struct stranger stranger = make_stranger(world);
    const uint64_t before = inject_digest(world);
    struct ciommu_device_tlb_config config = inject_tlb_config(world, INJECT_FREE);
    struct ciommu_device_tlb *tlb = NULL;
    REFUSED(world, ciommu_device_tlb_create(NULL, &config, &tlb));
    REFUSED(world, ciommu_device_tlb_create(world->unit, NULL, &tlb));
    REFUSED(world, ciommu_device_tlb_create(world->unit, &config, NULL));
    REFUSED(world, ciommu_device_destroy(world->parent, stranger.port));
    REFUSED(world, ciommu_device_tlb_retry(world->tlb, stranger.port));
    REFUSED(world, ciommu_device_tlb_reset(world->tlb, stranger.port));
    REFUSED(world, ciommu_device_tlb_destroy(world->tlb, stranger.port));
    EXPECT(world, !ciommu_device_tlb_is_blocked(NULL));
    ciommu_device_tlb_read_statistics(NULL, NULL);
    ciommu_device_tlb_read_statistics(world->tlb, NULL);
    ciommu_unit_set_coarse_timeouts(NULL, true);
    EXPECT(world, tlb == NULL && inject_digest(world) == before);
    end_stranger(world, &stranger);
}

static void complete(void *context, enum ciommu_status status,
                     const struct ciommu_batch_result *result) {
    (void)result;
    *(enum ciommu_status *)context = status;
}

static void submissions(struct inject_world *world) {
    struct stranger stranger = make_stranger(world);
    const uint64_t entry[2] = {1 | UINT64_C(1) << 4, 0};
    const struct ciommu_batch batch = {.size = sizeof batch,
                                       .format = CIOMMU_BATCH_VTD_128,
                                       .entry_length = 16,
                                       .count = 1,
                                       .entries = entry};
    enum ciommu_status status = CIOMMU_BAD_STATE;
    REFUSED(world, ciommu_batch_submit(world->unit, NULL, &batch, NULL, 1, NULL, NULL));
    REFUSED(world, ciommu_batch_submit(NULL, NULL, &batch, NULL, 1, complete, &status));
    REFUSED(world, ciommu_batch_submit(world->unit, NULL, &batch, NULL, CIOMMU_BATCH_COUNT_MAX + 1,
                                       complete, &status));
    REFUSED(world,
            ciommu_batch_submit(world->unit, stranger.port, &batch, NULL, 1, complete, &status));
    ciommu_port_enter(world->port);
    EXPECT(world, ciommu_batch_submit(world->unit, world->port, &batch, NULL, 1, complete,
                                      &status) == CIOMMU_IN_SECTION);
    ciommu_port_leave(world->port);
    EXPECT(world, ciommu_batch_submit(stranger.unit, NULL, &batch, NULL, 1, complete, &status) ==
                      CIOMMU_NO_PORT);
    ciommu_batch_finish(NULL);
    EXPECT(world, status == CIOMMU_BAD_STATE); /* nothing was called */
    end_stranger(world, &stranger);
}

/* ---- Messages ---- */

static void messages(struct inject_world *world) {
    struct stranger stranger = make_stranger(world);
    const uint64_t before = inject_digest(world);
    struct ciommu_message_store_config config;
    struct ciommu_message_store *store = NULL;
    struct ciommu_message_info info = {.size = sizeof info};
    uint64_t value;
    uint32_t index;
    ciommu_message_store_config_init(&config);
    REFUSED(world, ciommu_message_store_create(NULL, &config, &store));
    REFUSED(world, ciommu_message_store_create(world->whole, NULL, &store));
    config.entries = 0;
    REFUSED(world, ciommu_message_store_create(world->whole, &config, &store));
    REFUSED(world, ciommu_message_allocate(NULL, 1, 0, &index));
    REFUSED(world, ciommu_message_allocate(world->store, 1, 0, NULL));
    REFUSED(world, ciommu_message_allocate_guest(world->store, NULL, 7, &index));
    REFUSED(world, ciommu_message_arm(NULL, 0));
    REFUSED(world, ciommu_message_arm(world->store, 4));
    REFUSED(world, ciommu_message_mask(world->store, stranger.port, 0));
    REFUSED(world, ciommu_message_mask(NULL, NULL, 0));
    REFUSED(world, ciommu_message_read_info(NULL, 0, &info));
    REFUSED(world, ciommu_message_read_info(world->store, 4, &info));
    REFUSED(world, ciommu_message_slot_read(world->store, 0, 16, 4, &value));
    REFUSED(world, ciommu_message_slot_read(world->store, 9, 0, 4, &value));
    ciommu_message_read_statistics(NULL, NULL);
    ciommu_message_read_statistics(world->store, NULL);
    EXPECT(world, ciommu_message_store_destroy(NULL, NULL) == CIOMMU_OK);
    EXPECT(world, store == NULL && inject_digest(world) == before);
    end_stranger(world, &stranger);
}

const struct gap_case gap_argument_cases[] = {
    {"arguments of fault queues", fault_queues},
    {"arguments of page-request interfaces", page_interfaces},
    {"arguments of page-request queues", page_queues},
    {"arguments of device-TLBs", device_tlbs},
    {"arguments of submissions", submissions},
    {"arguments of message stores", messages},
};
const uint32_t gap_argument_count = sizeof gap_argument_cases / sizeof gap_argument_cases[0];
