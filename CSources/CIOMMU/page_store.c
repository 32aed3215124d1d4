/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_store.c - cutting, handing out and taking back pages. The protocol stands in page_store.h.
 */
#include "page_store.h"
#include "alloc.h"
#include "debug.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct page_block) <= TABLE_BYTES, "the description fits the first page");

enum ciommu_status ciommu_page_store_init(struct page_store *store, uint64_t limit) {
    memset(store, 0, sizeof *store);
    store->limit = limit;
    return pthread_mutex_init(&store->lock, NULL) == 0 ? CIOMMU_OK : CIOMMU_NO_MEMORY;
}

void ciommu_page_store_fini(struct page_store *store) {
    for (struct page_block *block = store->open, *older; block != NULL; block = older) {
        older = block->older;
        ciommu_free(block);
    }
    pthread_mutex_destroy(&store->lock);
}

/* ---- Blocks, under the store's lock ---- */

static void open_block(struct page_store *store, struct page_block *block) {
    block->newer = NULL;
    block->older = store->open;
    if (store->open != NULL) {
        store->open->newer = block;
    }
    store->open = block;
}

static void close_block(struct page_store *store, struct page_block *block) {
    *(block->newer != NULL ? &block->newer->older : &store->open) = block->older;
    if (block->older != NULL) {
        block->older->newer = block->newer;
    }
}

static bool add_block(struct page_store *store) {
    struct page_block *block = ciommu_allocate(BLOCK_BYTES, BLOCK_BYTES);
    if (block == NULL) {
        return false;
    }
    block->store = store;
    for (uint32_t index = BLOCK_PAGES; index-- > 1;) {
        struct page_note *note = &block->notes[index];
        note->entries = (uint64_t *)(void *)((unsigned char *)block + index * TABLE_BYTES);
        note->next = block->free;
        block->free = note;
    }
    open_block(store, block);
    return true;
}

static struct page_block *block_of(struct page_note *note) {
    return (struct page_block *)((uintptr_t)note & ~(uintptr_t)(BLOCK_BYTES - 1));
}

/* The page is clear. A block that is free as a whole goes, unless it is the last open one. */
static void give_back(struct page_store *store, struct page_note *note) {
    struct page_block *block = block_of(note);
    if (block->free == NULL) {
        open_block(store, block);
    }
    note->next = block->free;
    block->free = note;
    block->used--;
    store->pages--;
    if (block->used == 0 && (block->newer != NULL || block->older != NULL)) {
        close_block(store, block);
        ciommu_free(block);
    }
}

static struct page_note *take_one(struct page_store *store) {
    if (store->open == NULL && !add_block(store)) {
        return NULL;
    }
    struct page_block *block = store->open;
    struct page_note *note = block->free;
    block->free = note->next;
    block->used++;
    store->pages++;
    if (block->free == NULL) {
        close_block(store, block);
    }
    note->live = 0;
    return note;
}

/* ---- Handing out and taking back ---- */

enum ciommu_status ciommu_pages_take(struct page_store *store, uint64_t count,
                                     struct page_note **list) {
    struct page_note *taken = NULL;
    pthread_mutex_lock(&store->lock);
    bool fits = count <= store->limit && store->pages <= store->limit - count;
    for (; fits && count > 0; count--) {
        struct page_note *note = take_one(store);
        if (note == NULL) {
            break;
        }
        note->next = taken;
        taken = note;
    }
    pthread_mutex_unlock(&store->lock);
    if (count != 0) {
        ciommu_pages_return(store, taken);
        return CIOMMU_NO_MEMORY;
    }
    *list = taken;
    return CIOMMU_OK;
}

void ciommu_pages_return(struct page_store *store, struct page_note *list) {
    if (list == NULL) {
        return;
    }
    pthread_mutex_lock(&store->lock);
    while (list != NULL) {
        struct page_note *next = list->next;
        give_back(store, list);
        list = next;
    }
    pthread_mutex_unlock(&store->lock);
}

static void page_returns(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct page_note *note = caa_container_of(head, struct page_note, rcu);
    struct page_store *store = block_of(note)->store;
    memset(note->entries, 0, TABLE_BYTES);
    note->next = NULL;
    ciommu_pages_return(store, note);
    ciommu_rcu_callback_ends(&store->deferrals);
}

void ciommu_pages_retire(struct page_store *store, struct page_note *list) {
    while (list != NULL) {
        struct page_note *next = list->next;
        if (MUTANT(TABLE_FREED_EARLY)) {
            memset(list->entries, 0x5a, TABLE_BYTES);
        }
        ciommu_rcu_defer(&store->deferrals, &list->rcu, page_returns);
        list = next;
    }
}
