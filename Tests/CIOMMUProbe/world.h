/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world.h - guest memory, tables and a unit for the stress worlds. Tables are built here by hand
 * and share no code with the walker.
 *
 * Every input page has two data pages behind it, side 0 and side 1. A change puts the other side in
 * place, invalidates, and then poisons the side that went. A reader that meets poison, or the wrong
 * page, or a side that cannot have been in place, has seen a stale answer.
 */
#ifndef PROBE_WORLD_H
#define PROBE_WORLD_H

#include "probe.h"
#include "ciommu.h"

#define WORLD_PAGES 8u /* input pages of most worlds */
#define WORLD_CROWD_PAGES 512u
#define WORLD_IOVA UINT64_C(0x40000000)
#define WORLD_POISON UINT64_C(0xdeadbeefdeadbeef)
#define WORLD_DEVICE 0x10u /* the device whose answers change; 0x18 and 0x20 keep domains alive */

#define WORLD_NEIGHBOURS                                                                           \
    6u /* PROBE_EVICTIONS: devices 0x18, 0x20 ... with domains of their own                        \
        */

struct world {
    uint32_t kind;
    uint32_t pages;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    unsigned char *ram;
    uint64_t ram_bytes;
    uint64_t next_table; /* next free page of ram */
    uint64_t data[2];    /* output addresses of the two sides' data pages */
    unsigned char
        *data_host[2][2]; /* [side][copy]: PROBE_MEMORY has two host copies of each side */
    uint64_t switches[WORLD_CROWD_PAGES]; /* output address of the entry that a change writes, per
                                             page (or one for all) */
    uint64_t entry[2][WORLD_CROWD_PAGES]; /* its value for each side */
    uint64_t
        started[WORLD_CROWD_PAGES]; /* changes begun; the low bit is the side being put in place */
    uint64_t finished[WORLD_CROWD_PAGES]; /* changes whose invalidation completed */
};

int world_create(struct world *world, const struct probe_options *options);
void world_destroy(struct world *world);

/* Value that side `side` of page `page` holds. */
uint64_t world_stamp(uint32_t page, uint32_t side);

/* Flips page `page` (or all of them, where the world has one switch), invalidates, poisons.
 * `random` picks the granularity. */
enum ciommu_status world_change(struct world *world, uint32_t page, uint64_t random);

/* Do all pages share one switch? */
bool world_flips_together(const struct world *world);

#endif
