/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes_world.c - making, ending and writing down the world of history_bytes.h, and judging
 * what it answered.
 */
#define _GNU_SOURCE
#include "history_bytes.h"
#include "history_probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_RW UINT64_C(3)
#define FIRST_ALL UINT64_C(0x67) /* P, R/W, U/S, A, D */
#define WRITABLE UINT64_C(2)
#define RETIRED 64u

uint32_t bytes_binding(uint32_t device, uint32_t pasid) {
    return BYTES_BINDINGS + device * BYTES_PASIDS + pasid;
}

uint32_t bytes_element(uint32_t instance, uint32_t page) {
    return BYTES_SPACES + instance * BYTES_INSTANCE_ELEMENTS + page;
}

uint32_t bytes_tables(uint32_t instance) {
    return bytes_element(instance, BYTES_PAGES);
}

uint64_t bytes_stamp(uint32_t output, uint32_t copy) {
    return UINT64_C(0x5eed000000000000) | (uint64_t)output << 16 | (copy & 0xffff);
}

void bytes_complain(struct bytes_world *world, const char *what) {
    if (world->complaint == NULL) {
        world->complaint = what;
    }
}

/* ---- Tables of the guest ---- */

static uint64_t *table_word(struct bytes_world *world, uint32_t page, uint64_t index) {
    return (uint64_t *)(void *)(world->tables + page * BYTES_PAGE) + index;
}

/* Four tables from `page` on, for input addresses around BYTES_IOVA; the leaf table's entries. */
static uint64_t *build_tree(struct bytes_world *world, uint32_t page, uint64_t base,
                            uint64_t flags) {
    for (uint32_t level = 3; level > 0; level--) {
        uint32_t table = page + (3 - level);
        *table_word(world, table, BYTES_IOVA >> (12 + 9 * level) & 511) =
            (base + (table + 1) * BYTES_PAGE) | flags;
    }
    return table_word(world, page + 3, 0);
}

uint64_t bytes_directory(void) {
    return BYTES_TABLES;
}

/* Page 0: PASID directory; 1: PASID table; 2-5: a second stage that all PASIDs lead to. */
static void build_guest(struct bytes_world *world) {
    *table_word(world, 0, 0) = (BYTES_TABLES + BYTES_PAGE) | 1;
    for (uint32_t pasid = 0; pasid < BYTES_PASIDS; pasid++) {
        *table_word(world, 1, pasid * 8 + 1) = 1; /* domain */
        *table_word(world, 1, pasid * 8) = (BYTES_TABLES + 2 * BYTES_PAGE) | 2 << 6 | 2 << 2 | 1;
    }
    struct bytes_instance *bound = &world->instances[BYTES_BOUND];
    bound->leaves = build_tree(world, 2, BYTES_TABLES, SECOND_RW);
    world->table_pages = 6;
}

uint64_t bytes_first_stage(struct bytes_world *world, uint32_t instance) {
    uint32_t page = world->table_pages;
    world->table_pages += 4;
    world->instances[instance].leaves = build_tree(world, page, BYTES_GUEST, FIRST_ALL);
    world->instances[instance].first_stage = true;
    return BYTES_GUEST + page * BYTES_PAGE;
}

void bytes_store(struct bytes_world *world, uint32_t instance, uint32_t page, uint64_t value,
                 uint32_t rights) {
    const struct bytes_instance *at = &world->instances[instance];
    uint64_t address = at->first_stage ? BYTES_IOVA + value * BYTES_PAGE : value;
    uint64_t flags = at->first_stage ? FIRST_ALL : SECOND_RW;
    flags &= (rights & CIOMMU_WRITE) != 0 ? UINT64_MAX : ~WRITABLE;
    __atomic_store_n(&at->leaves[page], rights == 0 ? 0 : address | flags, __ATOMIC_RELEASE);
}

/* ---- Making and ending ---- */

struct retired {
    struct ciommu_unit *unit;
    struct ciommu_memory *memory;
};
static struct retired retired[RETIRED];
static uint32_t retired_count;

static void retire(struct bytes_world *world) {
    if (retired_count == RETIRED) {
        for (uint32_t at = 0; at < RETIRED; at++) {
            if (ciommu_unit_destroy(retired[at].unit) != CIOMMU_OK) {
                abort(); /* everything in it was destroyed */
            }
            (void)ciommu_memory_destroy(retired[at].memory);
        }
        retired_count = 0;
    }
    retired[retired_count++] = (struct retired){world->unit, world->memory};
}

static enum ciommu_status make_unit(struct bytes_world *world) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 16;
    config.first_level_entries = 8;
    config.walk_cache_entries = 8;
    config.bindings = 8;
    config.spaces = 16;
    config.domains = BYTES_INSTANCES;
    config.ports = 2;
    config.pool_ports = 1;
    config.fault_entries = 2;
    config.drain_timeout = 0; /* the caller's own section would never end */
    config.table_pages = 48;
    struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = BYTES_RW,
        .address = BYTES_TABLES,
        .length = BYTES_TABLE_PAGES * BYTES_PAGE,
        .host = world->tables,
    };
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(world->memory, &range);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
    return status != CIOMMU_OK ? status : ciommu_port_create(world->unit, &world->port);
}

bool bytes_world_create(struct bytes_world *world) {
    memset(world, 0, sizeof *world);
    world->clock = 1;
    world->made = BYTES_FIRST_MADE;
    world->tables = aligned_alloc(BYTES_PAGE, BYTES_TABLE_PAGES * BYTES_PAGE);
    if (world->tables == NULL || !history_log_create(&world->log, BYTES_RECORDS)) {
        free(world->tables);
        return false;
    }
    memset(world->tables, 0, BYTES_TABLE_PAGES * BYTES_PAGE);
    if (make_unit(world) != CIOMMU_OK) {
        (void)ciommu_unit_destroy(world->unit);
        (void)ciommu_memory_destroy(world->memory);
        history_log_destroy(&world->log);
        free(world->tables);
        return false;
    }
    build_guest(world);
    world->instances[BYTES_BLOCKED].domain = ciommu_domain_blocked(world->unit);
    world->instances[BYTES_IDENTITY].domain = ciommu_domain_identity(world->unit);
    /* Everything is absent at first. */
    for (uint32_t element = 0; element < BYTES_ELEMENTS; element++) {
        struct history_record *record = history_log_add(&world->log);
        *record = (struct history_record){.kind = HISTORY_WRITE, .first = element, .last = element};
    }
    return true;
}

void bytes_world_destroy(struct bytes_world *world) {
    bool fine = ciommu_device_tlb_destroy(world->tlb, NULL) != CIOMMU_IN_SECTION;
    fine = ciommu_device_destroy(world->slice, NULL) != CIOMMU_IN_USE && fine;
    ciommu_namespace_destroy(world->names.space);
    for (uint32_t device = 0; device < BYTES_DEVICES; device++) {
        fine = ciommu_device_destroy(world->devices[device], NULL) != CIOMMU_IN_USE && fine;
    }
    for (uint32_t at = world->made; at > BYTES_FIRST_MADE; at--) { /* children first */
        fine = ciommu_domain_destroy(world->instances[at - 1].domain) == CIOMMU_OK && fine;
    }
    fine = ciommu_port_destroy(world->port) == CIOMMU_OK && fine;
    if (!fine) {
        bytes_complain(world, "something could not be destroyed");
    }
    retire(world);
    for (uint32_t at = 0; at < BYTES_RANGES; at++) {
        free(world->ranges[at]);
    }
    for (uint32_t at = 0; at < world->old_count; at++) {
        free(world->old[at]);
    }
    history_log_destroy(&world->log);
    free(world->tables);
}

/* ---- Writing down ---- */

static void add(struct bytes_world *world, const struct history_record *what) {
    struct history_record *record = history_log_add(&world->log);
    if (record != NULL) {
        *record = *what;
    }
}

uint64_t bytes_begin(struct bytes_world *world) {
    return ++world->clock;
}

static bool is_done(enum ciommu_status status) {
    return status == CIOMMU_OK || status == CIOMMU_TIMED_OUT;
}

/* A call that timed out inside a section waits for that one alone: it is complete at its end.
 * Outside, only a device can have been late, which is blocked then. */
static void add_cover(struct bytes_world *world, const struct history_record *cover,
                      enum ciommu_status status) {
    if (status == CIOMMU_OK || world->depth == 0) {
        add(world, cover);
    } else if (world->pending_count < BYTES_PENDING) {
        world->pending[world->pending_count++] = *cover;
    }
}

void bytes_changed(struct bytes_world *world, uint64_t begin, enum ciommu_status status,
                   uint32_t element, uint64_t value, uint32_t rights) {
    if (!is_done(status)) {
        return;
    }
    uint64_t end = ++world->clock;
    world->now[element] = (struct history_state){.value = value, .rights = rights};
    add(world, &(struct history_record){.kind = HISTORY_WRITE,
                                        .begin = begin,
                                        .end = end,
                                        .value = value,
                                        .first = element,
                                        .last = element,
                                        .rights = rights});
    const struct history_record cover = {.kind = HISTORY_INVALIDATION,
                                         .begin = end,
                                         .end = end,
                                         .first = element,
                                         .last = element,
                                         .scope = HISTORY_BOTH};
    add_cover(world, &cover, status);
}

void bytes_covered(struct bytes_world *world, uint64_t begin, enum ciommu_status status,
                   uint32_t first, uint32_t last, uint32_t scope) {
    if (is_done(status)) {
        const struct history_record cover = {.kind = HISTORY_INVALIDATION,
                                             .begin = begin,
                                             .end = ++world->clock,
                                             .first = first,
                                             .last = last,
                                             .scope = (uint8_t)scope};
        add_cover(world, &cover, status);
    }
}

void bytes_enter(struct bytes_world *world) {
    if (world->depth++ == 0) {
        world->section = world->clock;
        world->section_answers = world->log.count;
    }
    ciommu_port_enter(world->port);
}

static void end_section(struct bytes_world *world) {
    for (uint32_t at = world->section_answers; at < world->log.count; at++) {
        struct history_record *record = &world->log.records[at];
        record->end =
            record->kind == HISTORY_ANSWER && record->end == 0 ? world->clock : record->end;
    }
    /* What timed out is complete when this has waited: devices that stored in the section are asked
     * again. One that is silent is blocked. */
    if (world->pending_count != 0 && ciommu_unit_drain(world->unit, NULL) != CIOMMU_OK &&
        !world->ever_silent) {
        bytes_complain(world, "no section is open, and a drain timed out");
    }
    world->clock++;
    for (uint32_t at = 0; at < world->pending_count; at++) {
        world->pending[at].end = world->clock;
        add(world, &world->pending[at]);
    }
    world->pending_count = 0;
    if (world->old_count != 0 && ciommu_memory_drain(world->memory) != CIOMMU_OK) {
        bytes_complain(world, "no section is open, and a drain timed out");
    }
    for (uint32_t at = 0; at < world->old_count; at++) {
        free(world->old[at]);
    }
    world->old_count = 0;
    world->held_count = 0;
}

void bytes_leave(struct bytes_world *world) {
    for (uint32_t at = 0; world->depth == 1 && at < world->held_count; at++) {
        if (*world->held[at].host != world->held[at].seen) {
            bytes_complain(world, "memory changed under a section");
        }
    }
    ciommu_port_leave(world->port);
    if (--world->depth == 0) {
        end_section(world);
    }
}

void bytes_answer(struct bytes_world *world, uint32_t binding, uint32_t page, uint32_t access,
                  enum bytes_form form, const struct ciommu_result *result) {
    uint64_t now = world->clock;
    bool device = form == BYTES_DEVICE_USE;
    uint64_t seen = 0;
    if (form == BYTES_MAPPED || device) {
        const uint64_t *host =
            (const uint64_t *)(const void *)(result->host - (result->address % BYTES_PAGE));
        seen = *host;
        if (world->held_count < BYTES_HELD) {
            world->held[world->held_count++] = (struct bytes_held){host, seen};
        }
    }
    add(world, &(struct history_record){.kind = HISTORY_ANSWER,
                                        .begin = device || world->depth == 0 ? now : world->section,
                                        .end = world->depth == 0 ? now : 0,
                                        .value = result->address & ~(BYTES_PAGE - 1),
                                        .seen = seen,
                                        .first = binding,
                                        .last = page << 8 | access,
                                        .rights = result->rights & BYTES_RW,
                                        .scope = (uint8_t)form});
}
