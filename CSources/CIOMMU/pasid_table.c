/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pasid_table.c - changing PASID tables. The protocol stands in pasid_table.h.
 */
#include "pasid_table.h"
#include "alloc.h"
#include "debug.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct pasid_leaf, node) == 0 && offsetof(struct pasid_directory, node) == 0,
              "one callback frees both");

/* ---- Words of the directory ---- */

static uintptr_t uniform(const void *value) {
    return value == NULL ? 0 : (uintptr_t)value + PASID_UNIFORM;
}

static bool is_uniform(uintptr_t word) {
    return (word & PASID_UNIFORM) != 0;
}

/* NULL if the block is empty or uniform. */
static struct pasid_leaf *leaf_of(uintptr_t word) {
    return is_uniform(word) ? NULL : (struct pasid_leaf *)word;
}

static uint64_t used_in(uintptr_t word) {
    const struct pasid_leaf *leaf = leaf_of(word);
    return is_uniform(word) ? PASID_BLOCK_MASK + 1 : leaf == NULL ? 0 : leaf->node.used;
}

static uintptr_t word_at(const struct pasid_table *table, uint32_t block) {
    return table->directory == NULL ? 0 : table->directory->blocks[block];
}

/* ---- The part of a range that lies in one block ---- */

struct part {
    uint32_t first;
    uint32_t last; /* inclusive */
};

static struct part part_of(uint32_t block, uint32_t first, uint32_t last) {
    return (struct part){
        .first = block == first >> PASID_BLOCK_LG2 ? first & PASID_BLOCK_MASK : 0,
        .last = block == last >> PASID_BLOCK_LG2 ? last & PASID_BLOCK_MASK : PASID_BLOCK_MASK,
    };
}

static bool is_whole(struct part part) {
    return part.first == 0 && part.last == PASID_BLOCK_MASK;
}

/* ---- Life ---- */

void ciommu_pasid_table_init(struct pasid_table *table, struct deferrals *deferrals) {
    *table = (struct pasid_table){.deferrals = deferrals};
}

void ciommu_pasid_table_fini(struct pasid_table *table) {
    for (uint32_t block = 0; table->directory != NULL && block < PASID_BLOCKS; block++) {
        ciommu_free(leaf_of(table->directory->blocks[block]));
    }
    ciommu_free(table->directory);
    table->directory = NULL;
    table->count = 0;
}

static void free_node(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct pasid_node *node = caa_container_of(head, struct pasid_node, rcu);
    struct deferrals *deferrals = node->deferrals;
    ciommu_free(node);
    ciommu_rcu_callback_ends(deferrals);
}

/* No new reader finds it any more. */
static void retire(struct pasid_table *table, struct pasid_node *node) {
    node->deferrals = table->deferrals;
    ciommu_rcu_defer(table->deferrals, &node->rcu, free_node);
}

/* ---- Single stores ---- */

static void set_block(struct pasid_table *table, uint32_t block, uintptr_t word) {
    struct pasid_directory *directory = table->directory;
    uintptr_t old = directory->blocks[block];
    table->count += used_in(word) - used_in(old);
    directory->node.used += (uint64_t)(word != 0) - (uint64_t)(old != 0);
    store_release(&directory->blocks[block], word); /* pairs with pasid_table_find */
    if (leaf_of(old) != NULL) {
        if (MUTANT(PASID_TABLE_FREED_EARLY)) {
            memset(leaf_of(old)->values, 0, sizeof leaf_of(old)->values);
        }
        retire(table, &leaf_of(old)->node);
    }
}

static void set_entry(struct pasid_table *table, struct pasid_leaf *leaf, uint32_t index,
                      void *value) {
    uint64_t change = (uint64_t)(value != NULL) - (uint64_t)(leaf->values[index] != NULL);
    table->count += change;
    leaf->node.used += change;
    store_release(&leaf->values[index], value); /* pairs with pasid_table_find */
}

/* Unlinks the leaf of `block` if nothing is in it. */
static void drop_empty_leaf(struct pasid_table *table, uint32_t block) {
    struct pasid_leaf *leaf = leaf_of(word_at(table, block));
    if (leaf != NULL && leaf->node.used == 0) {
        set_block(table, block, 0);
    }
}

static void drop_empty_directory(struct pasid_table *table) {
    struct pasid_directory *directory = table->directory;
    if (directory != NULL && directory->node.used == 0) {
        store_release(&table->directory, NULL); /* pairs with pasid_table_find */
        retire(table, &directory->node);
    }
}

/* ---- Reserving ---- */

static struct pasid_leaf *make_leaf(uintptr_t word) {
    struct pasid_leaf *leaf = ciommu_allocate(CACHE_LINE, sizeof *leaf);
    for (uint32_t index = 0; leaf != NULL && is_uniform(word) && index <= PASID_BLOCK_MASK;
         index++) {
        leaf->values[index] = (void *)(word - PASID_UNIFORM);
        leaf->node.used++;
    }
    return leaf;
}

enum ciommu_status ciommu_pasid_table_reserve(struct pasid_table *table, uint32_t first,
                                              uint32_t last) {
    ciommu_assert(first <= last && last <= PASID_LAST);
    const uint32_t edges[2] = {first >> PASID_BLOCK_LG2, last >> PASID_BLOCK_LG2};
    struct pasid_leaf *leaves[2] = {NULL, NULL};
    bool complete = true;
    for (uint32_t edge = 0; edge < (edges[0] == edges[1] ? 1u : 2u); edge++) {
        uintptr_t word = word_at(table, edges[edge]);
        if (leaf_of(word) == NULL && !is_whole(part_of(edges[edge], first, last))) {
            leaves[edge] = make_leaf(word);
            complete = complete && leaves[edge] != NULL;
        }
    }
    struct pasid_directory *directory = table->directory;
    if (complete && directory == NULL) {
        directory = ciommu_allocate(CACHE_LINE, sizeof *directory);
    }
    if (!complete || directory == NULL) {
        ciommu_free(leaves[0]);
        ciommu_free(leaves[1]);
        return CIOMMU_NO_MEMORY;
    }
    store_release(&table->directory, directory); /* pairs with pasid_table_find */
    for (uint32_t edge = 0; edge < 2; edge++) {
        if (leaves[edge] != NULL) {
            set_block(table, edges[edge], (uintptr_t)leaves[edge]);
        }
    }
    return CIOMMU_OK;
}

void ciommu_pasid_table_unreserve(struct pasid_table *table, uint32_t first, uint32_t last) {
    ciommu_assert(first <= last && last <= PASID_LAST);
    drop_empty_leaf(table, first >> PASID_BLOCK_LG2);
    drop_empty_leaf(table, last >> PASID_BLOCK_LG2);
    drop_empty_directory(table);
}

/* ---- Filling ---- */

static void fill_part(struct pasid_table *table, uint32_t block, struct part part, void *value) {
    uintptr_t word = word_at(table, block);
    if (word == uniform(value)) {
        return; /* so it is already, as one word; or empty, and stays so */
    }
    struct pasid_leaf *leaf = leaf_of(word);
    ciommu_assert(leaf != NULL); /* reserved */
    for (uint32_t index = part.first; index <= part.last; index++) {
        set_entry(table, leaf, index, value);
    }
    drop_empty_leaf(table, block);
}

void ciommu_pasid_table_fill(struct pasid_table *table, uint32_t first, uint32_t last,
                             void *value) {
    ciommu_assert(first <= last && last <= PASID_LAST && !is_uniform((uintptr_t)value));
    ciommu_assert(value == NULL || table->directory != NULL); /* reserved */
    for (uint32_t block = first >> PASID_BLOCK_LG2;
         table->directory != NULL && block <= last >> PASID_BLOCK_LG2; block++) {
        struct part part = part_of(block, first, last);
        if (is_whole(part)) {
            set_block(table, block, uniform(value));
        } else {
            fill_part(table, block, part, value);
        }
    }
    drop_empty_directory(table);
}

void ciommu_pasid_table_set(struct pasid_table *table, uint32_t pasid, void *value) {
    ciommu_pasid_table_fill(table, pasid, pasid, value);
}

/* ---- Asking ---- */

/* The first PASID in first...last whose entry is not NULL, or CIOMMU_NO_PASID. */
static uint32_t first_used(const struct pasid_table *table, uint32_t first, uint32_t last) {
    for (uint32_t block = first >> PASID_BLOCK_LG2; block <= last >> PASID_BLOCK_LG2; block++) {
        uintptr_t word = word_at(table, block);
        struct part part = part_of(block, first, last);
        if (is_uniform(word)) {
            return block << PASID_BLOCK_LG2 | part.first;
        }
        const struct pasid_leaf *leaf = leaf_of(word);
        for (uint32_t index = part.first; used_in(word) != 0 && index <= part.last; index++) {
            if (leaf->values[index] != NULL) {
                return block << PASID_BLOCK_LG2 | index;
            }
        }
    }
    return CIOMMU_NO_PASID;
}

bool ciommu_pasid_table_is_clear(const struct pasid_table *table, uint32_t first, uint32_t last) {
    ciommu_assert(first <= last && last <= PASID_LAST);
    return table->count == 0 || first_used(table, first, last) == CIOMMU_NO_PASID;
}

bool ciommu_pasid_table_next(const struct pasid_table *table, uint32_t *pasid, void **value) {
    if (table->count == 0 || *pasid > PASID_LAST) {
        return false;
    }
    uint32_t found = first_used(table, *pasid, PASID_LAST);
    if (found == CIOMMU_NO_PASID) {
        return false;
    }
    *pasid = found;
    *value = pasid_table_find(table, found);
    return true;
}
