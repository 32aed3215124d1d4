/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_store.h - pages for the paging structures that the host owns: 4 KiB each, zero when they are
 * handed out, freed through RCU. One store a unit.
 *
 * Pages are cut from aligned blocks whose first page describes the others, because a page that
 * walkers may still read has no room for a list link or an rcu_head of its own.
 *
 * Protocol (pages)
 *   Readers      walks, under the RCU read lock, reach a page through a paging entry; they never
 *                look at its description.
 *   Writers      the lock of the domain that a page belongs to, until it is retired.
 *   Removal      the owner unlinks the page, moves walk_generation (so that no walk cache names it)
 *                and retires it; it is cleared and handed out again after a grace period.
 *   Free list    `lock`, also taken by liburcu's thread.
 */
#ifndef CIOMMU_PAGE_STORE_H
#define CIOMMU_PAGE_STORE_H

#include "rcu.h"
#include "ciommu.h"

#include <pthread.h>

#define TABLE_ENTRIES 512u
#define TABLE_BYTES 4096u
#define BLOCK_PAGES 64u
#define BLOCK_BYTES (BLOCK_PAGES * TABLE_BYTES)

struct page_store;

/* What is known of one page. Owner of the page, then liburcu's thread. */
struct page_note {
    struct rcu_head rcu;
    struct page_note *next; /* free, taken or retired list */
    uint64_t *entries;      /* constant: the page */
    uint32_t live;          /* entries in use */
};

struct page_block {
    struct page_store *store; /* constant */
    struct page_block *newer; /* blocks that have free pages; store lock */
    struct page_block *older;
    struct page_note *free;
    uint32_t used;
    struct page_note notes[BLOCK_PAGES]; /* note 0 is the block's own page */
};

struct page_store {
    pthread_mutex_t lock;
    struct page_block *open; /* blocks that have free pages */
    uint64_t pages;          /* handed out and not yet back */
    uint64_t limit;          /* constant */
    struct deferrals deferrals;
};

enum ciommu_status ciommu_page_store_init(struct page_store *store, uint64_t limit);
/* Every page was given back or retired, and nothing is deferred any more. */
void ciommu_page_store_fini(struct page_store *store);

/* Takes `count` cleared pages as a list, or none: CIOMMU_NO_MEMORY, also beyond the limit. */
enum ciommu_status ciommu_pages_take(struct page_store *store, uint64_t count,
                                     struct page_note **list);
/* Gives back pages that no walk has ever seen; they are still clear. */
void ciommu_pages_return(struct page_store *store, struct page_note *list);
/* Gives back pages that walks may still read. They keep what they hold until a grace period is
 * over. */
void ciommu_pages_retire(struct page_store *store, struct page_note *list);

static inline struct page_note *page_note_of(const uint64_t *entries) {
    uintptr_t page = (uintptr_t)entries;
    struct page_block *block = (struct page_block *)(page & ~(uintptr_t)(BLOCK_BYTES - 1));
    return &block->notes[page / TABLE_BYTES % BLOCK_PAGES];
}

#endif
