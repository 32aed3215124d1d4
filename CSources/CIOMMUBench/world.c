/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world.c - life of a world: memory, unit, ports, and who fills the unit's tables.
 */
#include "world.h"

#include <stdlib.h>

#define MOST_PAGES (1u << 20)
#define MOST_PASIDS 1024u
#define MOST_LANES 64u
#define POOL_PORTS 2u

void bench_world_config_init(struct bench_world_config *config, enum bench_way way,
                             uint32_t pages) {
    struct ciommu_unit_config unit;
    ciommu_unit_config_init(&unit);
    *config = (struct bench_world_config){
        .way = way,
        .pages = pages,
        .page_lg2 = 12,
        .sources = 1,
        .lanes = 1,
        .first_level_entries = unit.first_level_entries,
        .iotlb_entries = unit.iotlb_entries,
        .walk_cache_entries = unit.walk_cache_entries,
    };
}

static void check_config(const struct bench_world_config *config) {
    if (config->way > BENCH_HOST_PASS || config->pages == 0 || config->pages > MOST_PAGES) {
        bench_fail("a world has 1 to 1,048,576 pages");
    }
    if (config->page_lg2 != 12 && config->page_lg2 != 21 && config->page_lg2 != 30) {
        bench_fail("pages of a world have 4 KiB, 2 MiB or 1 GiB");
    }
    if (config->sources == 0 || config->sources > BENCH_SOURCES || config->pasids > MOST_PASIDS ||
        config->lanes == 0 || config->lanes > MOST_LANES) {
        bench_fail("a world has 1 to 64 sources, 0 to 1,024 PASIDs and 1 to 64 lanes");
    }
    if (config->scattered && config->page_lg2 != 12) {
        bench_fail("scattered pages have 4 KiB");
    }
}

/* What follows from the configuration. */
static void lay_out(struct bench_world *world) {
    struct bench_world_config *config = &world->config;
    uint32_t apart_lg2 = config->scattered ? 21 : config->page_lg2;
    world->apart_lg2 = config->apart_lg2 != 0 ? config->apart_lg2 : apart_lg2;
    bool pass = bench_is_pass(config->way);
    world->spaces = pass ? 1 : config->pasids != 0 ? config->pasids : config->sources;
    world->requesters = config->sources * (config->pasids != 0 ? config->pasids : 1);
    world->first_iova = pass ? BENCH_DATA : BENCH_IOVA;
    world->data_bytes = (uint64_t)config->pages * world->spaces << config->page_lg2;
    if (world->apart_lg2 < config->page_lg2 || world->apart_lg2 > 30 ||
        (pass && world->apart_lg2 != config->page_lg2)) {
        bench_fail("pages of a world overlap, or lie too far apart");
    }
    if (world->data_bytes > BENCH_MOST_BYTES ||
        (uint64_t)config->pages << world->apart_lg2 > BENCH_MOST_BYTES) {
        bench_fail("a world's pages cover more than 64 TiB");
    }
}

static void add_range(struct bench_world *world, uint64_t address, uint64_t length, void *host) {
    const struct ciommu_memory_range range = {
        .size = sizeof range, .rights = 3, .address = address, .length = length, .host = host};
    CHECK(ciommu_memory_add(world->memory, &range));
}

static void make_unit(struct bench_world *world) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.first_level_entries = world->config.first_level_entries;
    config.iotlb_entries = world->config.iotlb_entries;
    config.walk_cache_entries = world->config.walk_cache_entries;
    config.pool_ports = POOL_PORTS;
    config.ports = world->config.lanes + POOL_PORTS + 2; /* two for who sits beside */
    uint32_t room = world->requesters * 2;
    config.bindings = room > config.bindings ? room : config.bindings;
    config.spaces = room > config.spaces ? room : config.spaces;
    CHECK(ciommu_unit_create(&config, world->memory, &world->unit));
    world->ports = bench_zeroed(world->config.lanes, sizeof(struct ciommu_port *));
    for (uint32_t lane = 0; lane < world->config.lanes; lane++) {
        CHECK(ciommu_port_create(world->unit, &world->ports[lane]));
    }
}

struct bench_world *bench_world_create(const struct bench_world_config *config) {
    check_config(config);
    struct bench_world *world = bench_zeroed(1, sizeof *world);
    world->config = *config;
    lay_out(world);
    world->ram_bytes = (bench_tables_bytes(world) + 0x1fffff) & ~UINT64_C(0x1fffff);
    world->next_table = BENCH_PAGE;
    world->ram = bench_pages(world->ram_bytes, "the guest's tables");
    world->data = bench_pages(world->data_bytes, "the guest's data");
    world->roots = bench_zeroed(world->spaces, sizeof *world->roots);
    world->domains = bench_zeroed(world->spaces, sizeof(struct ciommu_domain *));
    CHECK(ciommu_memory_create(&world->memory));
    add_range(world, 0, world->ram_bytes, world->ram);
    add_range(world, BENCH_DATA, world->data_bytes, world->data);
    make_unit(world);
    if (bench_is_host(config->way)) {
        bench_host_open(world);
    } else {
        bench_guest_open(world);
    }
    return world;
}

void bench_world_destroy(struct bench_world *world) {
    if (world == NULL) {
        return;
    }
    for (uint32_t lane = 0; lane < world->config.lanes; lane++) {
        CHECK(ciommu_port_destroy(world->ports[lane]));
    }
    if (bench_is_host(world->config.way)) {
        bench_host_close(world);
    }
    CHECK(ciommu_unit_destroy(world->unit));
    CHECK(ciommu_memory_destroy(world->memory));
    bench_pages_free(world->ram, world->ram_bytes);
    bench_pages_free(world->data, world->data_bytes);
    free(world->ports);
    free(world->roots);
    free(world->domains);
    free(world);
}

struct ciommu_unit *bench_world_unit(const struct bench_world *world) {
    return world->unit;
}

struct ciommu_port *bench_world_port(const struct bench_world *world, uint32_t lane) {
    return world->ports[lane];
}
