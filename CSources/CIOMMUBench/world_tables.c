/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world_tables.c - a guest's four-level paging structures.
 */
#include "world.h"

#define SECOND_BITS UINT64_C(0x3) /* read, write */
#define FIRST_BITS UINT64_C(0x67) /* P, R/W, U/S, A and D: nothing is left to be set */
#define LARGE_PAGE UINT64_C(0x80) /* a leaf above level 0 */
#define ADDRESS UINT64_C(0xffffffffff000)

/* A run of pages to map: where it begins, how far its pages lie apart on either side. */
struct run {
    uint64_t input;
    uint64_t output;
    uint64_t pages;
    uint64_t input_step;
    uint32_t page_lg2;
    uint64_t bits;
};

uint64_t *bench_tables_word(const struct bench_world *world, uint64_t address) {
    return (uint64_t *)(void *)(world->ram + address);
}

uint64_t bench_tables_new(struct bench_world *world) {
    uint64_t table = world->next_table;
    world->next_table += BENCH_PAGE;
    if (world->next_table > world->ram_bytes) {
        bench_fail("the guest's memory is full");
    }
    return table;
}

static void map_run(struct bench_world *world, uint64_t root, const struct run *run) {
    unsigned leaf = (run->page_lg2 - 12) / 9;
    uint64_t bits = run->bits | (leaf != 0 ? LARGE_PAGE : 0);
    uint64_t input = run->input;
    uint64_t output = run->output;
    for (uint64_t page = 0; page < run->pages; page++) {
        uint64_t table = root;
        for (unsigned level = 3; level > leaf; level--) {
            uint64_t *entry =
                bench_tables_word(world, table + (input >> (12 + 9 * level) & 511) * 8);
            *entry = *entry != 0 ? *entry : bench_tables_new(world) | run->bits;
            table = *entry & ADDRESS;
        }
        *bench_tables_word(world, table + (input >> (12 + 9 * leaf) & 511) * 8) = output | bits;
        input += run->input_step;
        output += UINT64_C(1) << run->page_lg2;
    }
}

/* The leaf entry of a page of the first requester. */
static uint64_t *leaf_of(const struct bench_world *world, uint32_t page) {
    const struct bench_roots *roots = &world->roots[0];
    uint64_t table = roots->first != 0 ? roots->first : roots->second;
    uint64_t input = bench_iova(world, page);
    unsigned leaf = (world->config.page_lg2 - 12) / 9;
    for (unsigned level = 3; level > leaf; level--) {
        table = *bench_tables_word(world, table + (input >> (12 + 9 * level) & 511) * 8) & ADDRESS;
    }
    return bench_tables_word(world, table + (input >> (12 + 9 * leaf) & 511) * 8);
}

void bench_world_swap(struct bench_world *world, uint32_t page, uint32_t other) {
    enum bench_way way = world->config.way;
    if (bench_is_host(way) || bench_is_pass(way) || page >= world->config.pages ||
        other >= world->config.pages) {
        bench_fail("only pages in a guest's tables can be swapped");
    }
    uint64_t *first = leaf_of(world, page);
    uint64_t *second = leaf_of(world, other);
    uint64_t kept = *first;
    __atomic_store_n(first, *second, __ATOMIC_RELEASE);
    __atomic_store_n(second, kept, __ATOMIC_RELEASE);
}

static struct run data_run(const struct bench_world *world, uint32_t space) {
    return (struct run){
        .input = world->first_iova,
        .output = bench_output(world, space, 0),
        .pages = world->config.pages,
        .input_step = UINT64_C(1) << world->apart_lg2,
        .page_lg2 = world->config.page_lg2,
        .bits = SECOND_BITS,
    };
}

uint64_t bench_tables_first(struct bench_world *world, uint32_t space) {
    uint64_t root = bench_tables_new(world);
    struct run run = data_run(world, space);
    run.bits = FIRST_BITS;
    if (bench_is_nested(world->config.way)) {
        run.output += BENCH_GUEST_DATA - BENCH_DATA;
    }
    map_run(world, root, &run);
    return root;
}

uint64_t bench_tables_second(struct bench_world *world, uint32_t space) {
    uint64_t root = bench_tables_new(world);
    struct run run = data_run(world, space);
    map_run(world, root, &run);
    return root;
}

uint64_t bench_tables_under(struct bench_world *world) {
    struct run tables = {0, 0, world->next_table / BENCH_PAGE, BENCH_PAGE, 12, SECOND_BITS};
    struct run data = data_run(world, 0);
    data.input = BENCH_GUEST_DATA;
    data.pages *= world->spaces;
    data.input_step = UINT64_C(1) << data.page_lg2;
    uint64_t root = bench_tables_new(world);
    map_run(world, root, &tables);
    map_run(world, root, &data);
    return root;
}

/* ---- Size ---- */

/* Tables, at most, that map so many pages so far apart, the root included. */
static uint64_t tables_for(uint64_t pages, uint32_t apart_lg2, uint32_t page_lg2) {
    uint64_t tables = 1;
    for (uint32_t level = (page_lg2 - 12) / 9; level < 3; level++) {
        uint32_t covers_lg2 = 21 + 9 * level;
        uint64_t touched = (pages << apart_lg2 >> covers_lg2) + 2;
        tables += touched < pages ? touched : pages;
    }
    return tables;
}

uint64_t bench_tables_bytes(const struct bench_world *world) {
    const struct bench_world_config *config = &world->config;
    uint64_t devices = 8 + config->sources * (uint64_t)(config->pasids / 64 + 3);
    uint64_t own = tables_for(config->pages, world->apart_lg2, config->page_lg2) * world->spaces;
    uint64_t tables = devices + own;
    if (bench_is_nested(config->way)) {
        tables += tables_for(tables, 12, 12) + tables_for((uint64_t)config->pages * world->spaces,
                                                          config->page_lg2, config->page_lg2);
    }
    return (tables + 1) * BENCH_PAGE;
}
