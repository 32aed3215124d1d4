/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_world.h - one address space of any kind, whose pages lead to one of two places each. A
 * change leads a page to its other place, invalidates, and overwrites the place that it led to.
 *
 * Readers also write, each to a word of its own; nothing may be written to a place that is gone.
 *
 * A place holds a stamp at a few addresses all over the page. A reader notes how many changes of
 * the page were finished before its section and how many had begun after its last look; what it
 * read must have held in between (promise 1).
 *
 * Paging structures of every level move as well, and so do the pages under those of a nested first
 * stage. What was there before becomes a trap: it leads to the page that is always poison.
 */
#ifndef PROBE_POISON_WORLD_H
#define PROBE_POISON_WORLD_H

#include "crowd_run.h"
#include "ciommu_domains.h"
#include "poison_tables.h"

#include <assert.h>

#define POISON_PAGES 8u
#define POISON_SPOTS 4u /* places in a page that hold a stamp */
#define POISON_LEVELS 5u
#define POISON_SOURCE 0x10u
#define POISON_PASID 5u
#define POISON_DOMAIN 3u
#define POISON_IOVA (UINT64_C(8) << 30)
#define POISON_VALUE UINT64_C(0xdeadbeefdeadbeef)
static_assert(1024 + CROWD_MOST * sizeof(uint64_t) <= 4096, "a word for each reader");
#define POISON_RW (CIOMMU_READ | CIOMMU_WRITE)
#define POISON_WINDOW (UINT64_C(48) << 30) /* nested: guest-physical addresses of tables */

/* What leads to poison: the entry that a table of each level gets when it is gone, and a root. */
struct poison_trap {
    uint64_t entries[POISON_LEVELS];
    uint64_t root;
};

struct poison_world {
    struct crowd_run *run;
    uint32_t kind;
    uint32_t page_lg2; /* the smaller one of its stages */
    uint32_t first_lg2;
    uint32_t second_lg2; /* nested: of the second stage's pages */
    uint32_t stride_lg2; /* the larger one: from page to page */
    uint64_t offset;     /* where in the larger page the smaller one is */
    uint32_t pages;
    uint32_t writers; /* as many words of a page are written */
    uint32_t pasid;   /* of the requests, or CIOMMU_NO_PASID */
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_domain *parent;
    struct ciommu_domain *child;
    struct guest_ram ram;
    unsigned char *data; /* both places of every page, and a page that is always poison */
    uint64_t data_bytes;
    struct guest_window window; /* nested: tables of the first stage */
    struct guest_tree first;
    struct guest_tree second;
    struct poison_trap first_trap;
    struct poison_trap second_trap;
    uint64_t structures_trap[POISON_LEVELS]; /* the same of what leads to roots */
    uint64_t rtaddr;                         /* 0 = the guest has no tables of contexts */
    uint64_t entry;                          /* context entry or PASID-table entry */
    uint32_t guest_side[POISON_PAGES]; /* nested: which of its two guest pages a page leads to */
    uint64_t started[POISON_PAGES];
    uint64_t finished[POISON_PAGES];
    uint64_t gaps_started; /* times when no page is to be found, if the host makes them */
    uint64_t gaps_finished;
};

int poison_world_create(struct poison_world *world, struct crowd_run *run);
void poison_world_destroy(struct poison_world *world);

/* Input address of a page. */
uint64_t poison_iova(const struct poison_world *world, uint32_t page);
/* Where in a page a stamp stands, and which one. */
uint64_t poison_spot(const struct poison_world *world, uint32_t spot);
uint64_t poison_stamp(uint32_t page, uint32_t side, uint32_t spot);
/* Where in a page's first 4 KiB the word stands that only reader `own` writes. */
static inline uint64_t poison_word(uint32_t own) {
    return UINT64_C(1024) + own * sizeof(uint64_t);
}
/* May there be a fault while a change is under way? */
bool poison_may_fault(const struct poison_world *world);

/* Changes one page; `random` says how. */
enum ciommu_status poison_change(struct poison_world *world, uint32_t page, uint64_t random);

/* Output address of a page's place; side 2 is the poison page. */
uint64_t poison_output(const struct poison_world *world, uint32_t page, uint32_t side);
/* Nested: guest-physical address of a page's guest page; side 2 leads to the poison page. */
uint64_t poison_guest(const struct poison_world *world, uint32_t page, uint32_t guest_side);

/* ---- poison_change.c: tables of a guest ---- */

/* Leads a page to `side` and invalidates. */
enum ciommu_status poison_lead(struct poison_world *world, uint32_t page, uint32_t side,
                               uint64_t random);
/* Leads it to its other guest page. */
enum ciommu_status poison_lead_first(struct poison_world *world, uint32_t page, uint32_t guest_side,
                                     uint64_t random);
/* Nested: the window's page under a first-stage table of a random level gets a copy; and when
 * nobody uses what was there, that becomes a trap and is used anew. */
struct poison_move {
    uint64_t table; /* guest-physical */
    uint64_t old;   /* output addresses */
    uint64_t now;
    uint32_t level;
};
struct poison_move poison_move(struct poison_world *world, uint32_t page, uint64_t random);
void poison_moved(struct poison_world *world, const struct poison_move *move);
/* Leads the page elsewhere in such a copy of the lowest table. */
void poison_lead_in_copy(struct poison_world *world, uint32_t page, uint32_t guest_side);
/* A table that is gone becomes a trap. */
void poison_table(struct poison_world *world, const struct guest_tree *tree, uint64_t place,
                  uint32_t level);
enum ciommu_status poison_send(struct poison_world *world, uint64_t low, uint64_t high);

/* ---- poison_structures.c: what leads to paging structures ---- */

void poison_make_traps(struct poison_world *world);
/* Exchanges the root of a tree (NULL = there is none), and perhaps what leads to it, for copies,
 * and invalidates. */
enum ciommu_status poison_exchange(struct poison_world *world, const struct guest_tree *tree,
                                   uint64_t random);

/* ---- poison_hosts.c: domains of the host ---- */

enum ciommu_status poison_build_host(struct poison_world *world);
enum ciommu_status poison_change_host(struct poison_world *world, uint32_t page, uint32_t side,
                                      uint64_t random);

static inline bool poison_is_nested(const struct poison_world *world) {
    return world->kind == PROBE_POISON_NESTED_4 || world->kind == PROBE_POISON_NESTED_5;
}

static inline bool poison_is_scalable(const struct poison_world *world) {
    return (world->kind > PROBE_POISON_LEGACY_5 && world->kind < PROBE_POISON_HOST) ||
           world->kind == PROBE_POISON_PASS;
}

static inline bool poison_passes(const struct poison_world *world) {
    return world->kind == PROBE_POISON_IDENTITY || world->kind == PROBE_POISON_PASS ||
           world->kind == PROBE_POISON_HOST_PASS;
}

static inline uint64_t poison_align(uint64_t address, uint32_t page_lg2) {
    return address & ~((UINT64_C(1) << page_lg2) - 1);
}

static inline uint32_t poison_leaf_level(const struct guest_tree *tree) {
    return (tree->page_lg2 - 12) / 9;
}

#endif
