/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pasid_table.h - a sparse map from PASIDs to pointers, for lookups by every request. It knows
 * nothing of what the pointers mean and never follows them.
 *
 * Protocol (PASID tables)
 *   Readers      wait-free, under the RCU read lock: directory, block, entry; each load (acquire)
 *                depends on the one before.
 *   Writers      under a lock that the table's owner names; there is none in here.
 *   Publication  one store-release per entry, or per whole block of 1,024 PASIDs. A leaf and the
 *                directory are filled before the store that publishes them.
 *   Removal      a leaf whose last entry goes, or whose block becomes uniform, is unlinked by one
 *                store and freed through call_rcu; so is the directory with its last block.
 *   Guarantee    a lookup answers what the entry held at one moment during the lookup. What a
 *                pointer leads to is the owner's: it frees that after a grace period, or a drain.
 *   Stale        nothing; but a range is filled block by block and, in leaves, entry by entry, so a
 *                reader may meet the new value at one PASID and then the old one at another.
 */
#ifndef CIOMMU_PASID_TABLE_H
#define CIOMMU_PASID_TABLE_H

#include "ciommu.h"
#include "atomics.h"
#include "rcu.h"

#include <stddef.h>

#define PASID_LAST ((1u << 20) - 1)
#define PASID_BLOCK_LG2 10u
#define PASID_BLOCK_MASK ((1u << PASID_BLOCK_LG2) - 1)
#define PASID_BLOCKS ((PASID_LAST >> PASID_BLOCK_LG2) + 1)

/* What both levels begin with. Writers' lock. */
struct pasid_node {
    struct rcu_head rcu;
    struct deferrals *deferrals; /* set when it is retired */
    uint64_t used;               /* entries that are not NULL; may be 0 after a reservation */
};

struct pasid_leaf {
    struct pasid_node node;
    void *values[PASID_BLOCK_MASK + 1] __attribute__((aligned(64))); /* readers acquire */
};

/* A block is 0 (empty), a leaf, or a value + PASID_UNIFORM, which all its PASIDs share. */
#define PASID_UNIFORM ((uintptr_t)1)

struct pasid_directory {
    struct pasid_node node;
    uintptr_t blocks[PASID_BLOCKS] __attribute__((aligned(64))); /* readers acquire */
};

struct pasid_table {
    struct pasid_directory *directory; /* NULL = empty; writers' lock, readers acquire */
    uint64_t count;                    /* entries that are not NULL; writers' lock */
    struct deferrals *deferrals;       /* constant */
};

/* An empty table; takes no memory. The owner waits for `deferrals` before it ends. */
void ciommu_pasid_table_init(struct pasid_table *table, struct deferrals *deferrals);

/* Frees all at once. Nobody reads any more. */
void ciommu_pasid_table_fini(struct pasid_table *table);

/* What is at `pasid`, or NULL; NULL also beyond 20 bits (CIOMMU_NO_PASID). Under the RCU read lock,
 * or the writers' lock. */
static inline void *pasid_table_find(const struct pasid_table *table, uint32_t pasid) {
    const struct pasid_directory *directory = load_acquire(&table->directory);
    if (directory == NULL || pasid > PASID_LAST) {
        return NULL;
    }
    uintptr_t block = load_acquire(&directory->blocks[pasid >> PASID_BLOCK_LG2]);
    if ((block & PASID_UNIFORM) != 0) {
        return (void *)(block - PASID_UNIFORM);
    }
    const struct pasid_leaf *leaf = (const struct pasid_leaf *)block;
    return leaf == NULL ? NULL : load_acquire(&leaf->values[pasid & PASID_BLOCK_MASK]);
}

/* All below: writers' lock. PASIDs are at most PASID_LAST, ranges are inclusive, first <= last. */

/* Makes the directory and the (at most two) leaves that a fill of exactly first...last needs, or a
 * set of that one PASID; a uniform block that the range cuts is split. Lookups answer as before.
 * CIOMMU_NO_MEMORY: the table is as before.
 *
 * Needed before a value is stored. Before NULL is stored it is needed only where the range cuts a
 * uniform block, which never happens if what is cleared are whole ranges as they were filled.
 * Reservations add up; until they are used or given back, nothing in the table may be cleared. */
enum ciommu_status ciommu_pasid_table_reserve(struct pasid_table *table, uint32_t first,
                                              uint32_t last);

/* Gives back what a reservation made and nothing uses. A split block stays split. */
void ciommu_pasid_table_unreserve(struct pasid_table *table, uint32_t first, uint32_t last);

/* Stores a value (even) or NULL: one store-release. Never needs memory. */
void ciommu_pasid_table_set(struct pasid_table *table, uint32_t pasid, void *value);

/* Stores a value or NULL in all of first...last. Whole blocks become uniform by one store and need
 * no leaf. Never needs memory. */
void ciommu_pasid_table_fill(struct pasid_table *table, uint32_t first, uint32_t last, void *value);

/* Is everything in first...last NULL? */
bool ciommu_pasid_table_is_clear(const struct pasid_table *table, uint32_t first, uint32_t last);

/* The first entry at or above `*pasid` that is not NULL; false (and nothing written) if there is
 * none. */
bool ciommu_pasid_table_next(const struct pasid_table *table, uint32_t *pasid, void **value);

#endif
