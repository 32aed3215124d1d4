/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_tables.h - guest memory with tables that are built by hand, of every depth and page size.
 * Shares no code with the walker. Pages of tables that were given back are used again at once.
 */
#ifndef PROBE_POISON_TABLES_H
#define PROBE_POISON_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#define TABLE_PAGE UINT64_C(4096)
#define TABLES_SPARE 64u

#define SECOND_FLAGS UINT64_C(3)   /* R, W */
#define FIRST_FLAGS UINT64_C(0x67) /* P, R/W, U/S, A, D */

/* Output addresses from 0 on. */
struct guest_ram {
    unsigned char *host;
    uint64_t bytes;
    uint64_t next; /* first page that was never a table */
    uint32_t spare_count;
    uint64_t spare[TABLES_SPARE]; /* tables that were given back; the last one goes first */
};

/* Guest-physical addresses that a second stage leads to tables, page by page: where the tables of a
 * nested first stage are, so that their pages can be moved under it. */
#define WINDOW_PAGES 24u
struct guest_window {
    uint64_t base;
    uint64_t pages[WINDOW_PAGES]; /* output addresses */
    uint32_t spare_count;
    uint32_t spare[WINDOW_PAGES]; /* which hold no table; the last one goes first */
};

/* A tree of paging structures. */
struct guest_tree {
    uint64_t root; /* as entries name tables: an output address, or one in the window */
    uint32_t levels;
    uint32_t page_lg2;           /* of its leaves, where they all have one size */
    uint64_t flags;              /* of its entries: SECOND_FLAGS or FIRST_FLAGS */
    struct guest_window *window; /* NULL: tables lie at the addresses that entries name */
};

bool guest_ram_init(struct guest_ram *ram, uint64_t bytes);
void guest_ram_fini(struct guest_ram *ram);

/* An empty table, and its return. */
uint64_t guest_table(struct guest_ram *ram);
void guest_table_back(struct guest_ram *ram, uint64_t table);

uint64_t guest_load(const struct guest_ram *ram, uint64_t address);
void guest_write(struct guest_ram *ram, uint64_t address, uint64_t value);

/* A window full of pages. */
void guest_window_init(struct guest_ram *ram, struct guest_window *window, uint64_t base);
/* Gives a page of the window a copy of its memory; returns where it was, which is the caller's. */
uint64_t guest_window_move(struct guest_ram *ram, struct guest_window *window, uint64_t address);

struct guest_tree guest_tree_make(struct guest_ram *ram, uint32_t levels, uint64_t flags);
/* The same with tables in a window; NULL = none. */
struct guest_tree guest_tree_behind(struct guest_ram *ram, struct guest_window *window,
                                    uint32_t levels, uint64_t flags);

/* An empty table of a tree as entries name it, and its return. */
uint64_t guest_tree_table(struct guest_ram *ram, const struct guest_tree *tree);
void guest_tree_back(struct guest_ram *ram, const struct guest_tree *tree, uint64_t table);
/* The output address of a table that entries name so. */
uint64_t guest_tree_place(const struct guest_tree *tree, uint64_t table);

/* Where the entry of `address` at `level` stands; tables on the way are made. */
uint64_t guest_slot(struct guest_ram *ram, const struct guest_tree *tree, uint64_t address,
                    uint32_t level);
/* A leaf entry that leads to the page of this size around `output`. */
uint64_t guest_leaf(const struct guest_tree *tree, uint64_t output, uint32_t page_lg2);
void guest_map(struct guest_ram *ram, const struct guest_tree *tree, uint64_t address,
               uint64_t output, uint32_t page_lg2);
/* The entries of a page of 4 KiB go into another one, or all get one value. */
void guest_copy(struct guest_ram *ram, uint64_t to, uint64_t from);
void guest_fill(struct guest_ram *ram, uint64_t table, uint64_t value);

/* Types of translation of a legacy context entry, and of a scalable PASID entry. */
#define LEGACY_UNTRANSLATED UINT64_C(0)
#define LEGACY_PASS UINT64_C(2)
#define SCALABLE_FIRST UINT64_C(1)
#define SCALABLE_SECOND UINT64_C(2)
#define SCALABLE_NESTED UINT64_C(3)
#define SCALABLE_PASS UINT64_C(4)

/* Root and context tables for one source id on bus 0. Returns what goes into RTADDR; `*entry` is
 * where the word with the second-stage root stands. */
uint64_t guest_legacy(struct guest_ram *ram, uint32_t source, uint32_t domain, uint64_t type,
                      const struct guest_tree *second, uint64_t *entry);
/* One more source id in the same tables; returns where its entry stands. */
uint64_t guest_legacy_more(struct guest_ram *ram, uint64_t rtaddr, uint32_t source, uint32_t domain,
                           uint64_t type, const struct guest_tree *second);
/* The same in scalable mode, for one PASID below 64; either tree may be NULL. `*entry` is where the
 * PASID-table entry begins: word 0 holds the second stage's root, word 2 the first stage's. */
uint64_t guest_scalable(struct guest_ram *ram, uint32_t source, uint32_t pasid, uint32_t domain,
                        uint64_t type, const struct guest_tree *first,
                        const struct guest_tree *second, uint64_t *entry);

#endif
