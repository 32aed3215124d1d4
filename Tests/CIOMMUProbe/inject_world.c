/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_world.c - see inject_world.h.
 */
#include "inject_world.h"
#include "domain_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RW (CIOMMU_READ | CIOMMU_WRITE)

void inject_expect(struct probe_inject_result *result, bool condition, const char *text,
                   const char *file, int line) {
    const char *name = strrchr(file, '/');
    if (!condition && result->failures++ == 0) {
        (void)snprintf(result->first, sizeof result->first, "%s:%d: %s",
                       name == NULL ? file : name + 1, line, text);
    }
}

/* ---- Configurations ---- */

static void ignore_group(void *context, const struct ciommu_page_answer *answer) {
    (void)context;
    (void)answer;
}

/* A device that answers at once. */
static void answer(void *context, const struct ciommu_device_tlb_request *request) {
    (void)ciommu_device_tlb_answer(context, request->id, true);
}

struct ciommu_fault_queue_config inject_fault_config(void) {
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    config.quota = 8;
    config.reports = 4;
    return config;
}

struct ciommu_page_queue_config inject_page_config(void) {
    return (struct ciommu_page_queue_config){
        .size = sizeof(struct ciommu_page_queue_config),
        .groups = 8,
        .pages = 32,
        .timeout = UINT64_C(3600000000000), /* kept by the event thread */
    };
}

struct ciommu_page_interface_config inject_interface_config(void) {
    return (struct ciommu_page_interface_config){
        .size = sizeof(struct ciommu_page_interface_config),
        .flags = CIOMMU_PAGE_ALL_PASIDS,
        .source = INJECT_WHOLE,
        .groups = 4,
        .pages = 16,
        .device = 1,
        .handler = ignore_group,
    };
}

struct ciommu_device_tlb_config inject_tlb_config(struct inject_world *world, uint32_t source) {
    return (struct ciommu_device_tlb_config){
        .size = sizeof(struct ciommu_device_tlb_config),
        .flags = CIOMMU_DEVICE_TLB_ALL_PASIDS,
        .source = source,
        .pfsid = source,
        .queue_depth = 4,
        .timeout = UINT64_C(3600000000000),
        .device = source,
        .handler = answer,
        .context = world->unit,
    };
}

struct ciommu_device_config inject_slice_config(uint64_t id, uint32_t first, uint32_t last) {
    return (struct ciommu_device_config){
        .size = sizeof(struct ciommu_device_config),
        .source = INJECT_SHARED,
        .id = id,
        .share = CIOMMU_SHARE_SLICE,
        .policy = CIOMMU_SHARED_PASID_ALL,
        .first_pasid = first,
        .last_pasid = last,
    };
}

/* ---- Making ---- */

/* Pools so small that a few lost places show. */
static enum ciommu_status make_unit(struct inject_world *world) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.drain_timeout = UINT64_C(3600000000000);
    config.iotlb_entries = 64;
    config.bindings = 8;
    config.spaces = 8;
    config.domains = 8;
    config.ports = 8;
    config.pool_ports = 1;
    config.table_pages = 256;
    const struct ciommu_memory_range range = {sizeof range, RW, INJECT_RAM,
                                              INJECT_PAGES * INJECT_PAGE, world->ram};
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != 0 ? status : ciommu_memory_add(world->memory, &range);
    status = status != 0 ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    status = status != 0 ? status : ciommu_unit_set_translation(world->unit, true);
    return status != 0 ? status : ciommu_port_create(world->unit, &world->port);
}

static enum ciommu_status make_domains(struct inject_world *world) {
    struct ciommu_paging_config paging;
    ciommu_paging_config_init(&paging);
    const struct ciommu_nested_config nested = {
        .size = sizeof nested, .address_width = 48, .pgtbl_addr = INJECT_RAM};
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = RW,
                                           .iova = INJECT_IOVA,
                                           .length = INJECT_PAGES * INJECT_PAGE,
                                           .address = INJECT_RAM};
    enum ciommu_status status = ciommu_paging_create(world->unit, &paging, &world->other);
    paging.flags = CIOMMU_PAGING_NEST_PARENT | CIOMMU_PAGING_DIRTY_TRACKING;
    status = status != 0 ? status : ciommu_paging_create(world->unit, &paging, &world->mapped);
    status = status != 0 ? status : ciommu_domain_map(world->mapped, &mapping);
    return status != 0 ? status : ciommu_nested_create(world->mapped, &nested, &world->nested);
}

static enum ciommu_status make_devices(struct inject_world *world) {
    struct ciommu_device_config config = {
        .size = sizeof config, .source = INJECT_WHOLE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    enum ciommu_status status = ciommu_device_create(world->unit, NULL, &config, &world->whole);
    config.source = INJECT_SHARED;
    config.id = 2;
    config.share = CIOMMU_SHARE_PARENT;
    status =
        status != 0 ? status : ciommu_device_create(world->unit, NULL, &config, &world->parent);
    config = inject_slice_config(3, INJECT_FIRST, INJECT_LAST);
    status = status != 0 ? status : ciommu_device_create(world->unit, NULL, &config, &world->slice);
    status =
        status != 0 ? status : ciommu_device_attach(world->whole, CIOMMU_NO_PASID, world->mapped);
    return status != 0 ? status : ciommu_device_attach(world->slice, INJECT_PASID, world->mapped);
}

static enum ciommu_status make_rest(struct inject_world *world) {
    const struct ciommu_fault_queue_config faults = inject_fault_config();
    const struct ciommu_page_interface_config interface = inject_interface_config();
    const struct ciommu_device_tlb_config tlb = inject_tlb_config(world, INJECT_WHOLE);
    struct ciommu_page_queue_config pages = inject_page_config();
    struct ciommu_message_store_config store;
    uint32_t host = CIOMMU_NO_PASID;
    uint32_t index;
    pages.timeout = UINT64_MAX; /* no thread */
    ciommu_message_store_config_init(&store);
    store.entries = 4;
    enum ciommu_status status = ciommu_namespace_create(world->unit, 0x1000, 0x10ff, &world->space);
    status = status != 0 ? status : ciommu_namespace_bind(world->space, 7, &host);
    status =
        status != 0 ? status : ciommu_message_store_create(world->whole, &store, &world->store);
    status = status != 0 ? status : ciommu_message_allocate(world->store, 1, 0, &index);
    status = status != 0
                 ? status
                 : ciommu_fault_queue_create(world->unit, world->whole, &faults, &world->faults);
    status = status != 0 ? status
                         : ciommu_page_interface_create(world->unit, &interface, &world->interface);
    status = status != 0
                 ? status
                 : ciommu_page_queue_create(world->unit, world->other, &pages, &world->pages);
    return status != 0 ? status : ciommu_device_tlb_create(world->unit, &tlb, &world->tlb);
}

bool inject_world_make(struct inject_world *world, struct probe_inject_result *result) {
    memset(world, 0, sizeof *world);
    memset(result, 0, sizeof *result);
    world->result = result;
    bool alone = inject_is_alone();
    inject_prepare_holdings();
    world->held = inject_holdings(alone);
    world->ram = aligned_alloc(INJECT_PAGE, INJECT_PAGES * INJECT_PAGE);
    world->spare = aligned_alloc(INJECT_PAGE, INJECT_PAGES * INJECT_PAGE);
    memset(world->ram, 0, INJECT_PAGES * INJECT_PAGE);
    memset(world->spare, 0, INJECT_PAGES * INJECT_PAGE);
    enum ciommu_status status = make_unit(world);
    status = status != 0 ? status : make_domains(world);
    status = status != 0 ? status : make_devices(world);
    status = status != 0 ? status : make_rest(world);
    EXPECT(world, status == CIOMMU_OK);
    return status == CIOMMU_OK;
}

void inject_world_unmake(struct inject_world *world) {
    EXPECT(world, ciommu_device_tlb_destroy(world->tlb, NULL) == CIOMMU_OK);
    EXPECT(world, ciommu_message_store_destroy(world->store, NULL) == CIOMMU_OK);
    ciommu_namespace_destroy(world->space);
    EXPECT(world, ciommu_device_destroy(world->whole, NULL) == CIOMMU_OK);
    EXPECT(world, ciommu_device_destroy(world->slice, NULL) == CIOMMU_OK);
    EXPECT(world, ciommu_device_destroy(world->parent, NULL) == CIOMMU_OK);
    ciommu_page_interface_destroy(world->interface);
    ciommu_page_queue_destroy(world->pages);
    ciommu_fault_queue_destroy(world->faults);
    EXPECT(world, ciommu_domain_destroy(world->nested) == CIOMMU_OK);
    EXPECT(world, ciommu_domain_destroy(world->mapped) == CIOMMU_OK);
    EXPECT(world, ciommu_domain_destroy(world->other) == CIOMMU_OK);
    EXPECT(world, ciommu_port_destroy(world->port) == CIOMMU_OK);
    EXPECT(world, ciommu_unit_destroy(world->unit) == CIOMMU_OK);
    EXPECT(world, ciommu_memory_destroy(world->memory) == CIOMMU_OK);
    EXPECT_HELD(world, &world->held);
    free(world->ram);
    free(world->spare);
}

/* ---- The digest ---- */

static void add(uint64_t *digest, uint64_t value) {
    *digest = (*digest ^ value) * UINT64_C(0x100000001b3);
    *digest ^= *digest >> 29;
}

static void add_answers(struct inject_world *world, uint64_t *digest) {
    const uint32_t sources[] = {INJECT_WHOLE, INJECT_SHARED, INJECT_FREE};
    const uint32_t pasids[] = {CIOMMU_NO_PASID, INJECT_PASID, 24, 40, 0x12345};
    for (uint32_t asked = 0; asked < 15; asked++) {
        uint32_t source = sources[asked / 5];
        uint32_t pasid = pasids[asked % 5];
        uint64_t ids[4] = {0};
        uint32_t count = 0;
        uint32_t flags = 0;
        struct ciommu_result result = {.size = sizeof result};
        EXPECT(world,
               ciommu_translate(world->unit, world->port, source, pasid, INJECT_IOVA + INJECT_PAGE,
                                CIOMMU_READ, CIOMMU_NO_FAULT, &result) == CIOMMU_OK);
        EXPECT(world,
               ciommu_owners(world->unit, source, pasid, ids, 4, &count, &flags) == CIOMMU_OK);
        add(digest, result.outcome);
        add(digest, result.outcome == CIOMMU_FAULT ? result.fault.code : result.address);
        add(digest, result.outcome == CIOMMU_FAULT ? result.fault.device : result.rights);
        add(digest, flags);
        for (uint32_t owner = 0; owner < count; owner++) {
            add(digest, ids[owner]);
        }
    }
}

static void add_domain(struct ciommu_domain *domain, uint64_t *digest) {
    struct ciommu_domain_statistics statistics = {.size = sizeof statistics};
    struct ciommu_mapping mapping = {.size = sizeof mapping};
    ciommu_domain_read_statistics(domain, &statistics);
    add(digest, statistics.attachments);
    add(digest, statistics.children);
    add(digest, statistics.mapped);
    add(digest, statistics.tables);
    for (uint64_t at = 0; ciommu_domain_next(domain, at, &mapping) == CIOMMU_OK;) {
        add(digest, mapping.iova);
        add(digest, mapping.address);
        add(digest, mapping.length << 2 | mapping.rights);
        at = mapping.iova + mapping.length;
    }
}

static void add_device(struct ciommu_device *device, uint64_t *digest) {
    struct ciommu_pasid_table table = {.size = sizeof table};
    const uint32_t pasids[] = {CIOMMU_NO_PASID, INJECT_PASID, 24, 40, 0x12345};
    add(digest, ciommu_device_bound(device, &table) ? table.address : 1);
    for (uint32_t pasid = 0; pasid < 5; pasid++) {
        add(digest, (uintptr_t)ciommu_device_domain(device, pasids[pasid]));
    }
}

static void add_memory(struct inject_world *world, uint64_t *digest) {
    const unsigned char *hosts[] = {world->ram, world->spare};
    for (uint32_t host = 0; host < 2; host++) {
        uint64_t address = 1;
        (void)ciommu_memory_locate(world->memory, hosts[host], INJECT_PAGE, CIOMMU_READ, &address);
        add(digest, address);
    }
}

static void add_rest(struct inject_world *world, uint64_t *digest) {
    struct ciommu_statistics unit = {.size = sizeof unit};
    struct ciommu_fault_queue_statistics faults = {.size = sizeof faults};
    struct ciommu_page_queue_statistics pages = {.size = sizeof pages};
    struct ciommu_message_statistics messages = {.size = sizeof messages};
    ciommu_unit_statistics(world->unit, &unit);
    ciommu_fault_queue_read_statistics(world->faults, &faults);
    ciommu_page_queue_read_statistics(world->pages, &pages);
    ciommu_message_read_statistics(world->store, &messages);
    add(digest, unit.ports);
    add(digest, faults.faults + faults.unread);
    add(digest, pages.groups + pages.queued);
    add(digest, messages.allocated);
    add(digest, ciommu_device_tlb_is_blocked(world->tlb));
    add(digest, world->completed);
    uint32_t guest = ciommu_namespace_next(world->space, 0);
    for (; guest != CIOMMU_NO_PASID; guest = ciommu_namespace_next(world->space, guest + 1)) {
        add(digest, guest);
        add(digest, ciommu_namespace_host(world->space, guest));
    }
}

uint64_t inject_digest(struct inject_world *world) {
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    add_answers(world, &digest);
    add_domain(world->mapped, &digest);
    add_domain(world->other, &digest);
    add_device(world->whole, &digest);
    add_device(world->parent, &digest);
    add_device(world->slice, &digest);
    add_memory(world, &digest);
    add_rest(world, &digest);
    return digest;
}
