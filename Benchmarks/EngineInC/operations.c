/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * operations.c - what a host does now and then, once each.
 */
#include "engine_in_c.h"
#include "samples.h"

#include <ciommu_faults.h>
#include <ciommu_interrupts.h>
#include <ciommu_pages.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE UINT64_C(4096)
#define PAGES UINT64_C(512)
#define MAPPED (UINT64_C(1) << 32)
#define SPARE (UINT64_C(1) << 33)
#define OUTPUT (UINT64_C(1) << 40)
#define MESSAGE UINT64_C(0xfee00000)
#define PASID 5u

enum users { ATTACHED, EMPTY, USERS };

struct engine_operations {
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    struct ciommu_device *devices[USERS];
    struct ciommu_domain *domains[2];
    struct ciommu_fault_queue *faults;
    struct ciommu_page_interface *interface;
    struct ciommu_page_queue *pages;
    struct ciommu_message_store *store;
    uint32_t attached; /* which domain */
    uint32_t entry;    /* of the store */
    uint64_t answers;  /* to page requests */
};

static void must(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s: a wrong answer\n", what);
        exit(1);
    }
}

static uint32_t source_of(uint32_t user) {
    return 8 * (user + 1);
}

static void map(struct ciommu_domain *domain, uint64_t iova, uint64_t pages) {
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = 3,
                                           .iova = iova,
                                           .length = pages * PAGE,
                                           .address = OUTPUT};
    CHECK(ciommu_domain_map(domain, &mapping));
}

static void hear(void *context, const struct ciommu_page_answer *answer) {
    struct engine_operations *operations = context;
    operations->answers += answer->code == CIOMMU_PAGE_SUCCESS;
}

static void make_queues(struct engine_operations *operations) {
    struct ciommu_fault_queue_config faults;
    ciommu_fault_queue_config_init(&faults);
    CHECK(ciommu_fault_queue_create(operations->unit, operations->devices[EMPTY], &faults,
                                    &operations->faults));
    const struct ciommu_page_interface_config interface = {.size = sizeof interface,
                                                           .flags = CIOMMU_PAGE_ALL_PASIDS,
                                                           .source = source_of(ATTACHED),
                                                           .groups = 16,
                                                           .pages = 16,
                                                           .device = ATTACHED + 1,
                                                           .handler = hear,
                                                           .context = operations};
    CHECK(ciommu_page_interface_create(operations->unit, &interface, &operations->interface));
    const struct ciommu_page_queue_config pages = {
        .size = sizeof pages, .groups = 16, .pages = 16, .timeout = UINT64_MAX};
    CHECK(ciommu_page_queue_create(operations->unit, operations->domains[0], &pages,
                                   &operations->pages));
}

static void make_store(struct engine_operations *operations) {
    struct ciommu_message_store_config config;
    ciommu_message_store_config_init(&config);
    CHECK(ciommu_message_store_create(operations->devices[ATTACHED], &config, &operations->store));
    CHECK(ciommu_message_allocate(operations->store, PASID, 0, &operations->entry));
    CHECK(ciommu_message_program(operations->store, NULL, operations->entry, MESSAGE, 1));
    CHECK(ciommu_message_arm(operations->store, operations->entry));
}

struct engine_operations *engine_operations_create(void) {
    struct engine_operations *operations = calloc(1, sizeof *operations);
    must(operations != NULL, "memory");
    CHECK(ciommu_memory_create(&operations->memory));
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    CHECK(ciommu_unit_create(&config, operations->memory, &operations->unit));
    CHECK(ciommu_port_create(operations->unit, &operations->port));
    for (uint32_t user = 0; user < USERS; user++) {
        const struct ciommu_device_config device = {.size = sizeof device,
                                                    .source = source_of(user),
                                                    .id = user + 1,
                                                    .share = CIOMMU_SHARE_WHOLE};
        CHECK(ciommu_device_create(operations->unit, NULL, &device, &operations->devices[user]));
    }
    for (uint32_t domain = 0; domain < 2; domain++) {
        struct ciommu_paging_config paging;
        ciommu_paging_config_init(&paging);
        CHECK(ciommu_paging_create(operations->unit, &paging, &operations->domains[domain]));
        map(operations->domains[domain], MAPPED, PAGES);
    }
    CHECK(ciommu_device_attach(operations->devices[ATTACHED], CIOMMU_NO_PASID,
                               operations->domains[0]));
    make_queues(operations);
    make_store(operations);
    return operations;
}

void engine_operations_destroy(struct engine_operations *operations) {
    ciommu_page_queue_destroy(operations->pages);
    ciommu_page_interface_destroy(operations->interface);
    ciommu_fault_queue_destroy(operations->faults);
    CHECK(ciommu_message_store_destroy(operations->store, NULL));
    CHECK(ciommu_port_destroy(operations->port));
    for (uint32_t user = 0; user < USERS; user++) {
        CHECK(ciommu_device_destroy(operations->devices[user], NULL));
    }
    for (uint32_t domain = 0; domain < 2; domain++) {
        CHECK(ciommu_domain_destroy(operations->domains[domain]));
    }
    CHECK(ciommu_unit_destroy(operations->unit));
    CHECK(ciommu_memory_destroy(operations->memory));
    free(operations);
}

void engine_map_and_unmap(struct engine_operations *operations) {
    uint64_t unmapped = 0;
    map(operations->domains[0], SPARE, 16);
    CHECK(ciommu_domain_unmap(operations->domains[0], NULL, SPARE, 16 * PAGE, &unmapped));
    must(unmapped == 16 * PAGE, "unmap");
}

void engine_attach_and_detach(struct engine_operations *operations) {
    struct ciommu_device *device = operations->devices[EMPTY];
    CHECK(ciommu_device_attach(device, CIOMMU_NO_PASID, operations->domains[0]));
    CHECK(ciommu_device_detach(device, NULL, CIOMMU_NO_PASID));
}

void engine_replace(struct engine_operations *operations) {
    struct ciommu_device *device = operations->devices[ATTACHED];
    operations->attached ^= 1;
    struct ciommu_domain *next = operations->domains[operations->attached];
    CHECK(ciommu_device_replace(device, NULL, CIOMMU_NO_PASID, next));
    must(ciommu_device_domain(device, CIOMMU_NO_PASID) == next, "replace");
}

void engine_fault(struct engine_operations *operations) {
    struct ciommu_result result = {.size = sizeof result};
    struct ciommu_fault_record record = {.size = sizeof record};
    CHECK(ciommu_translate(operations->unit, operations->port, source_of(EMPTY), CIOMMU_NO_PASID,
                           MAPPED, CIOMMU_READ, 0, &result));
    must(result.outcome == CIOMMU_FAULT, "fault");
    must(ciommu_fault_read(operations->faults, &record, 1) == 1 && record.fault.address == MAPPED,
         "fault queue");
}

void engine_page_request(struct engine_operations *operations) {
    const struct ciommu_page_request request = {.size = sizeof request,
                                                .pasid = CIOMMU_NO_PASID,
                                                .address = SPARE,
                                                .access = CIOMMU_READ,
                                                .group = 7,
                                                .flags = CIOMMU_PAGE_LAST};
    struct ciommu_page page;
    struct ciommu_page_group group = {.size = sizeof group, .capacity = 1, .pages = &page};
    uint64_t before = operations->answers;
    CHECK(ciommu_page_request(operations->interface, operations->port, &request));
    CHECK(ciommu_page_read(operations->pages, &group));
    CHECK(ciommu_page_respond(operations->pages, group.cookie, CIOMMU_PAGE_SUCCESS));
    must(page.address == SPARE && operations->answers == before + 1, "page request");
}

void engine_message(struct engine_operations *operations) {
    struct ciommu_delivery delivery = {.size = sizeof delivery};
    ciommu_port_enter(operations->port);
    CHECK(ciommu_message_deliver(operations->port, operations->store, operations->entry, PASID,
                                 &delivery));
    ciommu_port_leave(operations->port);
    must(delivery.outcome == CIOMMU_MESSAGE_DELIVER && delivery.interrupt.data == 1, "message");
}
