/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_world.c - see explore_world.h.
 */
#include "explore_world.h"
#include "audit.h"

#ifdef CIOMMU_INTERNAL_CHECKS

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_BYTES (UINT64_C(64) * TABLE_PAGE)
#define POISON UINT64_C(0xdeadbeefdeadbeef)
#define OTHER (EXPLORE_THREADS - 1)
/* Time passes only while nobody else could run. */
#define PATIENCE UINT64_C(60000000000)

bool explore_memory_init(struct explore_memory *shared) {
    shared->data = aligned_alloc(TABLE_PAGE, EXPLORE_DATA_BYTES);
    if (shared->data == NULL || !guest_ram_init(&shared->ram, RAM_BYTES)) {
        free(shared->data);
        return false;
    }
    return true;
}

void explore_memory_fini(struct explore_memory *shared) {
    guest_ram_fini(&shared->ram);
    free(shared->data);
}

void explore_fail(struct explore_world *world, const char *format, ...) {
    if (!world->failed) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(world->what, sizeof world->what, format, arguments);
        va_end(arguments);
    }
    world->failed = true;
}

/* ---- Data ---- */

uint64_t explore_output(uint32_t page, uint32_t side) {
    return EXPLORE_DATA + (side * (EXPLORE_DATA_BYTES / 2) + page * TABLE_PAGE);
}

uint64_t explore_iova(uint32_t page) {
    return EXPLORE_IOVA + page * TABLE_PAGE;
}

static uint64_t stamp(uint32_t page, uint32_t side) {
    return UINT64_C(0x5eed000000000000) | page << 8 | side;
}

static void fill(const struct explore_world *world, uint32_t page, uint32_t side, bool poison) {
    uint64_t offset = explore_output(page, side) - EXPLORE_DATA;
    *(uint64_t *)(void *)(world->shared->data + offset) = poison ? POISON : stamp(page, side);
}

/* ---- Life ---- */

static enum ciommu_status add_range(struct explore_world *world, uint64_t address, uint64_t length,
                                    void *host) {
    struct ciommu_memory_range range = {.size = sizeof range,
                                        .rights = EXPLORE_RW,
                                        .address = address,
                                        .length = length,
                                        .host = host};
    return ciommu_memory_add(world->memory, &range);
}

static enum ciommu_status make_unit(struct explore_world *world) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 64;
    config.first_level_entries = world->scenario->no_first_level ? 0 : 8;
    config.walk_cache_entries = world->scenario->walk_cache;
    config.bindings = 8;
    config.spaces = 8;
    config.domains = 8;
    config.ports = 8;
    config.pool_ports = 0;
    config.fault_entries = 2;
    config.table_pages = 64;
    config.drain_timeout = PATIENCE;
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : add_range(world, 0, RAM_BYTES, world->shared->ram.host);
    /* Each side is a range of its own. */
    for (uint32_t side = 0; side < 2 && status == CIOMMU_OK; side++) {
        uint64_t offset = explore_output(0, side) - EXPLORE_DATA;
        status = add_range(world, EXPLORE_DATA + offset, EXPLORE_DATA_BYTES / 2,
                           world->shared->data + offset);
    }
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    for (uint32_t port = 0; port < EXPLORE_THREADS && status == CIOMMU_OK; port++) {
        status = ciommu_port_create(world->unit, &world->ports[port]);
    }
    return status;
}

static void warm(struct explore_world *world) {
    const struct explore_scenario *scenario = world->scenario;
    if (scenario->warmth == EXPLORE_COLD) {
        return;
    }
    uint32_t readers = scenario->readers == 0 ? 1 : scenario->readers;
    bool own = scenario->warmth == EXPLORE_WARM || scenario->warmth == EXPLORE_NEAR;
    bool near = scenario->warmth == EXPLORE_BOUND || scenario->warmth == EXPLORE_NEAR;
    uint32_t first = own ? 0 : OTHER;
    uint32_t end = own ? readers : EXPLORE_THREADS;
    for (uint32_t port = first; port < end; port++) {
        for (uint32_t page = near ? 1 : 0; page < EXPLORE_PAGES; page++) {
            explore_look(world, world->ports[port], page);
        }
    }
}

enum ciommu_status explore_world_create(struct explore_world *world,
                                        const struct explore_scenario *scenario,
                                        struct explore_memory *shared) {
    memset(world, 0, sizeof *world);
    world->scenario = scenario;
    world->shared = shared;
    world->pasid = CIOMMU_NO_PASID;
    memset(shared->ram.host, 0, shared->ram.next);
    shared->ram.next = TABLE_PAGE;
    shared->ram.spare_count = 0;
    for (uint32_t page = 0; page < EXPLORE_PAGES; page++) {
        fill(world, page, 0, false);
        fill(world, page, 1, true);
    }
    enum ciommu_status status = make_unit(world);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
    status = status != CIOMMU_OK ? status : scenario->build(world);
    if (status == CIOMMU_OK) {
        warm(world);
    }
    return status;
}

void explore_world_empty(struct explore_world *world) {
    ciommu_audit(ciommu_audit_unit(world->unit));
    (void)ciommu_device_destroy(world->device, NULL);
    (void)ciommu_domain_destroy(world->domains[1]);
    (void)ciommu_domain_destroy(world->domains[0]);
}

void explore_world_destroy(struct explore_world *world) {
    (void)ciommu_unit_destroy(world->unit);
    (void)ciommu_memory_destroy(world->memory);
    memset(world, 0, sizeof *world);
}

/* ---- Readers ---- */

/* What a section knows of a page. */
struct reading {
    uint32_t page;
    uint64_t done;
    uint64_t seen;
    struct ciommu_result result;
};

static bool could_be(const struct explore_world *world, const struct reading *reading,
                     uint64_t change) {
    uint32_t side = (uint32_t)(change & 1);
    bool found = reading->result.outcome == CIOMMU_TRANSLATED_OK && reading->result.host != NULL;
    if (world->scenario->ends_absent && side == 1) {
        return !found;
    }
    return found && reading->seen == stamp(reading->page, side);
}

static void judge(struct explore_world *world, const struct reading *reading, const char *when) {
    uint64_t started = world->started[reading->page];
    for (uint64_t change = reading->done; change <= started; change++) {
        if (could_be(world, reading, change)) {
            return;
        }
    }
    bool faulted = reading->result.outcome != CIOMMU_TRANSLATED_OK || reading->result.host == NULL;
    if (faulted && world->scenario->may_fault && started > reading->done) {
        return;
    }
    explore_fail(world,
                 "%s: page %u, outcome %u fault %x address %llx read %llx, changes finished %llu, "
                 "begun %llu",
                 when, reading->page, reading->result.outcome, reading->result.fault.code,
                 (unsigned long long)reading->result.address, (unsigned long long)reading->seen,
                 (unsigned long long)reading->done, (unsigned long long)started);
}

static void ask(struct explore_world *world, struct ciommu_port *port, struct reading *readings,
                uint32_t count) {
    struct ciommu_request requests[EXPLORE_PAGES];
    struct ciommu_result results[EXPLORE_PAGES];
    uint32_t access = world->scenario->access == 0 ? CIOMMU_READ : world->scenario->access;
    for (uint32_t index = 0; index < count; index++) {
        results[index] =
            (struct ciommu_result){.size = sizeof results[index], .outcome = CIOMMU_FAULT};
        requests[index] = (struct ciommu_request){.source = EXPLORE_SOURCE,
                                                  .pasid = world->pasid,
                                                  .iova = explore_iova(readings[index].page),
                                                  .access = access,
                                                  .flags = CIOMMU_NO_FAULT};
    }
    if (count > 1) {
        (void)ciommu_translate_batch(port, requests, results, count, NULL);
    } else {
        (void)ciommu_translate(world->unit, port, EXPLORE_SOURCE, world->pasid, requests[0].iova,
                               access, CIOMMU_NO_FAULT, &results[0]);
    }
    for (uint32_t index = 0; index < count; index++) {
        readings[index].result = results[index];
    }
}

static void read_section(struct explore_world *world, struct ciommu_port *port, uint32_t page,
                         uint32_t count, const char *when) {
    struct reading readings[EXPLORE_PAGES];
    for (uint32_t index = 0; index < count; index++) {
        readings[index] =
            (struct reading){.page = page + index, .done = world->finished[page + index]};
    }
    ciommu_port_enter(port);
    ask(world, port, readings, count);
    explore_at(EXPLORE_HOLDS);
    for (uint32_t index = 0; index < count; index++) {
        struct reading *reading = &readings[index];
        if (reading->result.outcome == CIOMMU_TRANSLATED_OK && reading->result.host != NULL) {
            reading->seen = *(volatile uint64_t *)(void *)reading->result.host;
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        judge(world, &readings[index], when);
    }
    ciommu_port_leave(port);
}

void explore_look(struct explore_world *world, struct ciommu_port *port, uint32_t page) {
    read_section(world, port, page, 1, "alone");
}

/* ---- The changer ---- */

void explore_change(struct explore_world *world, uint32_t page) {
    bool whole = world->scenario->whole;
    uint32_t first = whole ? 0 : page;
    uint32_t last = whole ? EXPLORE_PAGES - 1 : page;
    uint64_t next = world->started[first] + 1;
    uint32_t side = (uint32_t)(next & 1);
    for (uint32_t at = first; at <= last; at++) {
        fill(world, at, side, false);
        world->started[at] = next;
    }
    enum ciommu_status status = world->scenario->lead(world, page, side);
    if (status != CIOMMU_OK) {
        explore_fail(world, "the change answered: %s", ciommu_status_text(status));
    }
    for (uint32_t at = first; at <= last; at++) {
        world->finished[at] = next;
        fill(world, at, side ^ 1, true);
    }
}

void explore_world_body(void *context, uint32_t thread) {
    struct explore_world *world = context;
    const struct explore_scenario *scenario = world->scenario;
    uint32_t readers = scenario->readers == 0 ? 1 : scenario->readers;
    if (thread < readers) {
        uint32_t sections = scenario->sections == 0 ? 1 : scenario->sections;
        for (uint32_t section = 0; section < sections; section++) {
            read_section(world, world->ports[thread], 0, scenario->batch ? 2 : 1, "beside");
        }
    } else if (scenario->act != NULL) {
        scenario->act(world);
    } else {
        explore_change(world, 0);
    }
}

/* The second page first: an entry of its size makes others of that size seen again. */
static void check_all(struct explore_world *world, const char *when) {
    for (uint32_t port = EXPLORE_THREADS; port-- > 0;) {
        read_section(world, world->ports[port], 1, 1, when);
        read_section(world, world->ports[port], 0, 1, when);
    }
}

void explore_world_check(struct explore_world *world) {
    check_all(world, "afterwards");
    explore_change(world, 0);
    check_all(world, "after one more change");
}

#else
/* ISO C wants something in every file. */
typedef int explore_world_is_off;
#endif
