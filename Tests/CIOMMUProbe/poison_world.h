/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_world.h - one address space of any kind, whose pages lead to one of two places each. A
 * change leads a page to its other place, invalidates, and overwrites the place that it led to.
 *
 * A place holds a stamp at a few addresses all over the page. A reader notes how many changes of
 * the page were finished before its section and how many had begun after its last look; what it
 * read must have held in between (promise 1).
 */
#ifndef PROBE_POISON_WORLD_H
#define PROBE_POISON_WORLD_H

#include "crowd_run.h"
#include "ciommu_domains.h"
#include "poison_tables.h"

#define POISON_PAGES 8u
#define POISON_SPOTS 4u /* places in a page that hold a stamp */
#define POISON_SOURCE 0x10u
#define POISON_PASID 5u
#define POISON_DOMAIN 3u
#define POISON_IOVA (UINT64_C(8) << 30)
#define POISON_VALUE UINT64_C(0xdeadbeefdeadbeef)

struct poison_world {
    struct crowd_run *run;
    uint32_t kind;
    uint32_t page_lg2;
    uint32_t pages;
    uint32_t pasid; /* of the requests, or CIOMMU_NO_PASID */
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_domain *parent;
    struct ciommu_domain *child;
    struct guest_ram ram;
    unsigned char *data; /* both places of every page, and a page that is always poison */
    uint64_t data_bytes;
    struct guest_tree first;
    struct guest_tree second;
    uint64_t entry;                    /* context entry or PASID-table entry */
    uint32_t guest_side[POISON_PAGES]; /* nested: which of its two guest pages a page leads to */
    uint64_t started[POISON_PAGES];
    uint64_t finished[POISON_PAGES];
};

int poison_world_create(struct poison_world *world, struct crowd_run *run);
void poison_world_destroy(struct poison_world *world);

/* Input address of a page. */
uint64_t poison_iova(const struct poison_world *world, uint32_t page);
/* Where in a page a stamp stands, and which one. */
uint64_t poison_spot(const struct poison_world *world, uint32_t spot);
uint64_t poison_stamp(uint32_t page, uint32_t side, uint32_t spot);
/* May there be a fault while a change is under way? */
bool poison_may_fault(const struct poison_world *world);

/* Changes one page; `random` says how. */
enum ciommu_status poison_change(struct poison_world *world, uint32_t page, uint64_t random);

/* poison_change.c: leads a page to `side` and invalidates, in a world with tables of the guest. */
enum ciommu_status poison_lead(struct poison_world *world, uint32_t page, uint32_t side,
                               uint64_t random);

/* Output address of a page's place; side 2 is the poison page. */
uint64_t poison_output(const struct poison_world *world, uint32_t page, uint32_t side);
/* Nested: guest-physical address of a page's guest page. */
uint64_t poison_guest(const struct poison_world *world, uint32_t page, uint32_t guest_side);

static inline bool poison_is_nested(const struct poison_world *world) {
    return world->kind == PROBE_POISON_NESTED_4 || world->kind == PROBE_POISON_NESTED_5;
}

#endif
