/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world.h - the inside of a world: a guest's memory, its tables, the engine's objects over them.
 *
 * Output addresses: tables from 0 on (the guest's memory), data from BENCH_DATA on. Guest-physical
 * addresses (nested): tables the same, data from BENCH_GUEST_DATA on.
 */
#ifndef CIOMMU_BENCH_WORLD_H
#define CIOMMU_BENCH_WORLD_H

#include "check.h"

#include <ciommu_domains.h>

#define BENCH_PAGE UINT64_C(4096)
#define BENCH_IOVA (UINT64_C(1) << 32)
#define BENCH_GUEST_DATA (UINT64_C(1) << 46)
#define BENCH_DATA (UINT64_C(1) << 47)
#define BENCH_MOST_BYTES (UINT64_C(1) << 46)
#define BENCH_SOURCES 64u
#define BENCH_BATCH_SIZE 32u

/* Where one address space's tables begin; what a baseline knows of a requester. */
struct bench_roots {
    uint64_t first;  /* first stage, as a guest-physical address; 0 = none */
    uint64_t second; /* second stage, as an output address; 0 = none */
};

struct bench_world {
    struct bench_world_config config;
    uint64_t first_iova;
    uint32_t apart_lg2;
    uint32_t spaces;     /* address spaces: 1, one for each source, or one for each PASID */
    uint32_t requesters; /* sources * PASIDs */

    unsigned char *ram;
    uint64_t ram_bytes;
    uint64_t next_table;
    void *data;
    uint64_t data_bytes;
    struct bench_roots *roots; /* of each address space; a guest's tables only */

    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port **ports;
    struct ciommu_device *devices[BENCH_SOURCES];
    struct ciommu_domain *parent;   /* of nested domains */
    struct ciommu_domain **domains; /* of each address space; a host's only */
};

static inline bool bench_is_host(enum bench_way way) {
    return way == BENCH_HOST_SECOND || way == BENCH_HOST_NESTED || way == BENCH_HOST_PASS;
}

static inline bool bench_is_nested(enum bench_way way) {
    return way == BENCH_GUEST_NESTED || way == BENCH_HOST_NESTED;
}

static inline bool bench_is_pass(enum bench_way way) {
    return way == BENCH_GUEST_PASS || way == BENCH_HOST_PASS;
}

/* Source ids lie 8 apart, from 8 on. */
static INLINE uint32_t bench_source(uint32_t index) {
    return 8 * (index + 1);
}

/* PASIDs go from 1 on. */
static INLINE uint32_t bench_pasid(const struct bench_world *world, uint32_t index) {
    return world->config.pasids == 0 ? CIOMMU_NO_PASID : index + 1;
}

/* The address space of a request. */
static INLINE uint32_t bench_space(const struct bench_world *world, uint32_t source,
                                   uint32_t pasid) {
    if (world->spaces == 1) {
        return 0;
    }
    return pasid == CIOMMU_NO_PASID ? source / 8 - 1 : pasid - 1;
}

/* Input address of a page. */
static INLINE uint64_t bench_iova(const struct bench_world *world, uint64_t page) {
    return world->first_iova + (page << world->apart_lg2);
}

/* Output address of a page. */
static INLINE uint64_t bench_output(const struct bench_world *world, uint32_t space,
                                    uint64_t page) {
    return BENCH_DATA + (((uint64_t)space * world->config.pages + page) << world->config.page_lg2);
}

/* world_tables.c: how many bytes of tables the world needs at most; and the tables. */
uint64_t bench_tables_bytes(const struct bench_world *world);
uint64_t bench_tables_new(struct bench_world *world);
uint64_t *bench_tables_word(const struct bench_world *world, uint64_t address);
/* First-stage tables of one space, onto guest-physical addresses. */
uint64_t bench_tables_first(struct bench_world *world, uint32_t space);
/* Second-stage tables of one space, onto output addresses. */
uint64_t bench_tables_second(struct bench_world *world, uint32_t space);
/* A second stage under all first stages: tables that exist so far, and data. */
uint64_t bench_tables_under(struct bench_world *world);

/* world_guest.c, world_host.c: make the unit translate. */
void bench_guest_open(struct bench_world *world);
void bench_host_open(struct bench_world *world);
void bench_host_close(struct bench_world *world);

#endif
