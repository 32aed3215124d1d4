/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * paging.c - editing host-owned paging structures. The protocol stands in paging.h.
 *
 * Every edit is one recursion over the levels, of depth five at most, that visits each entry which
 * its range touches.
 */
#include "paging.h"
#include "atomics.h"
#include "debug.h"

#include <string.h>

#define RIGHTS (PAGING_READ | PAGING_WRITE)

/* ---- Entries ---- */

static uint64_t last_of(const struct paging *paging) {
    return (paging_bytes(paging->levels - 1) << 9) - 1;
}

static uint32_t index_of(uint64_t iova, uint32_t level) {
    return (uint32_t)(iova >> paging_shift(level) & (TABLE_ENTRIES - 1));
}

static uint64_t *table_of(uint64_t entry) {
    return (uint64_t *)(uintptr_t)(entry & PAGING_ADDRESS);
}

static uint64_t table_entry(const struct page_note *note) {
    return (uint64_t)(uintptr_t)note->entries | RIGHTS | PAGING_ACCESSED;
}

static bool is_present(uint64_t entry) {
    return (entry & RIGHTS) != 0;
}

/* The part of a range that lies in one entry. */
struct part {
    uint64_t first;
    uint64_t last;
    bool whole; /* all of the entry */
};

static struct part part_of(struct paging_range range, uint64_t iova, uint32_t level) {
    uint64_t base = iova & ~(paging_bytes(level) - 1);
    uint64_t end = base + (paging_bytes(level) - 1);
    uint64_t first = base < range.first ? range.first : base;
    uint64_t last = end > range.last ? range.last : end;
    return (struct part){first, last, first == base && last == end};
}

static struct page_note *take_spare(struct paging *paging, struct paging_edit *edit) {
    struct page_note *note = edit->spare;
    ciommu_assert(note != NULL);
    edit->spare = note->next;
    paging->tables++;
    return note;
}

static void retire(struct paging *paging, struct paging_edit *edit, uint64_t *table) {
    struct page_note *note = page_note_of(table);
    note->next = edit->retired;
    edit->retired = note;
    paging->tables--;
}

enum ciommu_status ciommu_paging_init(struct paging *paging, struct page_store *store,
                                      uint32_t levels, uint32_t largest_level) {
    memset(paging, 0, sizeof *paging);
    struct page_note *root;
    enum ciommu_status status = ciommu_pages_take(store, 1, &root);
    if (status != CIOMMU_OK) {
        return status;
    }
    paging->root = root->entries;
    paging->store = store;
    paging->levels = levels;
    paging->largest_level = largest_level;
    paging->tables = 1;
    return CIOMMU_OK;
}

/* Puts a table and all tables below it onto the retired list, uncounting its leaves. The entries
 * stay as they are: walks may still be in there. */
static void retire_tree(struct paging *paging, uint64_t *table, uint32_t level,
                        struct paging_edit *edit) {
    uint32_t left = page_note_of(table)->live;
    for (uint32_t index = 0; left != 0; index++) {
        uint64_t entry = load_relaxed(&table[index]);
        if (!is_present(entry)) {
            continue;
        }
        left--;
        if (paging_is_leaf(entry, level)) {
            paging->pages[level]--;
            edit->changed += paging_bytes(level);
        } else {
            retire_tree(paging, table_of(entry), level - 1, edit);
        }
    }
    retire(paging, edit, table);
}

void ciommu_paging_fini(struct paging *paging) {
    struct paging_edit edit = {0};
    retire_tree(paging, paging->root, paging->levels - 1, &edit);
    ciommu_pages_retire(paging->store, edit.retired);
}

/* ---- Splitting and merging ---- */

/* The table of a leaf's parts takes its place in one step. */
static void split(struct paging *paging, uint64_t *slot, uint32_t level, struct paging_edit *edit) {
    struct page_note *note = take_spare(paging, edit);
    uint64_t leaf = load_acquire(slot);
    uint64_t part = paging_bytes(level - 1);
    if (MUTANT(SPLIT_WITH_GAP)) {
        store_release(slot, 0);
        yield_point(CIOMMU_YIELD_TABLE_CHANGED);
    }
    do {
        uint64_t first = level > 1 ? leaf : leaf & ~PAGING_LARGE;
        for (uint32_t index = 0; index < TABLE_ENTRIES; index++) {
            store_relaxed(&note->entries[index], first + index * part);
        }
        if (MUTANT(SPLIT_WITH_GAP)) {
            leaf = 0;
        }
    } while (!compare_exchange_seq_cst(slot, &leaf, table_entry(note)));
    note->live = TABLE_ENTRIES;
    paging->pages[level]--;
    paging->pages[level - 1] += TABLE_ENTRIES;
}

/* A table whose entries are one large page becomes that page. */
static void merge(struct paging *paging, uint64_t *slot, uint32_t level, struct paging_edit *edit) {
    uint64_t entry = load_relaxed(slot);
    if (paging->tracking || level == 0 || level > paging->largest_level ||
        paging_is_leaf(entry, level)) {
        return;
    }
    const uint64_t ignored = PAGING_ACCESSED | PAGING_DIRTY;
    uint64_t *table = table_of(entry);
    uint64_t part = paging_bytes(level - 1);
    uint64_t first = load_relaxed(&table[0]) | ignored;
    if (page_note_of(table)->live != TABLE_ENTRIES || !paging_is_leaf(first, level - 1) ||
        (first & PAGING_ADDRESS & (paging_bytes(level) - 1)) != 0) {
        return;
    }
    for (uint32_t index = 1; index < TABLE_ENTRIES; index++) {
        if ((load_relaxed(&table[index]) | ignored) != first + index * part) {
            return;
        }
    }
    store_release(slot, first | PAGING_LARGE);
    retire(paging, edit, table);
    paging->pages[level - 1] -= TABLE_ENTRIES;
    paging->pages[level]++;
}

/* After something in the table below `slot` changed: it may be empty or whole now. */
static void tidy(struct paging *paging, uint64_t *table, uint64_t *slot, uint32_t level,
                 struct paging_edit *edit) {
    uint64_t *below = table_of(load_relaxed(slot));
    if (page_note_of(below)->live != 0) {
        merge(paging, slot, level, edit);
        return;
    }
    store_release(slot, 0);
    page_note_of(table)->live--;
    retire(paging, edit, below);
}

/* Tables that splitting needs where `iova`, the first byte of a part or the first after it, cuts a
 * leaf. With `rights` only a leaf of other rights counts. */
static uint64_t cut_needs(const struct paging *paging, uint64_t iova, uint32_t rights) {
    const uint64_t *table = paging->root;
    if (iova == 0 || iova > last_of(paging)) {
        return 0;
    }
    for (uint32_t level = paging->levels - 1;; level--) {
        uint64_t entry = load_relaxed(&table[index_of(iova, level)]);
        if (!is_present(entry) || (iova & (paging_bytes(level) - 1)) == 0) {
            return 0;
        }
        if (paging_is_leaf(entry, level)) {
            uint64_t needs = (entry & RIGHTS) == rights ? 0 : 1;
            for (; needs != 0 && level > 1; level--) {
                if ((iova & (paging_bytes(level - 1) - 1)) == 0) {
                    break;
                }
                needs++;
            }
            return needs;
        }
        table = table_of(entry);
    }
}

static enum ciommu_status reserve(struct paging *paging, uint64_t count, struct paging_edit *edit) {
    return count == 0 ? CIOMMU_OK : ciommu_pages_take(paging->store, count, &edit->spare);
}

static enum ciommu_status reserve_cuts(struct paging *paging, struct paging_range range,
                                       uint32_t rights, struct paging_edit *edit) {
    uint64_t count =
        cut_needs(paging, range.first, rights) + cut_needs(paging, range.last + 1, rights);
    return reserve(paging, count, edit);
}

/* ---- Map ---- */

static bool fits_leaf(const struct paging *paging, struct part part, uint64_t address,
                      uint32_t level) {
    return level == 0 || (level <= paging->largest_level && !paging->small_only && part.whole &&
                          (address & (paging_bytes(level) - 1)) == 0);
}

/* Tables that mapping an empty range needs below a table of `level`; adds to `*count`, until there
 * are more than may be had: the lock is not held for an answer that is certain. */
static void count_tables(const struct paging *paging, struct paging_range range, uint64_t address,
                         uint32_t level, uint64_t *count) {
    if (level == 0) {
        return;
    }
    for (uint64_t iova = range.first;;) {
        struct part part = part_of(range, iova, level);
        uint64_t to = address + (iova - range.first);
        if (!fits_leaf(paging, part, to, level)) {
            ++*count;
            count_tables(paging, (struct paging_range){part.first, part.last}, to, level - 1,
                         count);
        }
        if (part.last == range.last || *count > paging->store->limit) {
            return;
        }
        iova = part.last + 1;
    }
}

/* Is the range free below `table`, and how many tables does mapping it need? */
static enum ciommu_status examine(const struct paging *paging, const uint64_t *table,
                                  uint32_t level, struct paging_range range, uint64_t address,
                                  uint64_t *count) {
    for (uint64_t iova = range.first;;) {
        struct part part = part_of(range, iova, level);
        uint64_t to = address + (iova - range.first);
        uint64_t entry = load_relaxed(&table[index_of(iova, level)]);
        struct paging_range below = {part.first, part.last};
        if (!is_present(entry)) {
            if (!fits_leaf(paging, part, to, level)) {
                ++*count;
                count_tables(paging, below, to, level - 1, count);
            }
        } else if (paging_is_leaf(entry, level)) {
            return CIOMMU_OVERLAP;
        } else {
            enum ciommu_status status =
                examine(paging, table_of(entry), level - 1, below, to, count);
            if (status != CIOMMU_OK) {
                return status;
            }
        }
        if (part.last == range.last) {
            return CIOMMU_OK;
        }
        iova = part.last + 1;
    }
}

/* Leaves into a run of absent entries of the leaf table. */
static void fill_run(struct paging *paging, uint64_t *table, struct paging_range range,
                     uint64_t leaf) {
    uint32_t index = index_of(range.first, 0);
    uint32_t last = index_of(range.last, 0);
    page_note_of(table)->live += last - index + 1;
    paging->pages[0] += last - index + 1;
    for (; index <= last; index++, leaf += TABLE_BYTES) {
        store_release(&table[index], leaf); /* pairs with visit_entry */
    }
}

/* `leaf` is the 4 KiB leaf of the range's first page. */
static void fill(struct paging *paging, uint64_t *table, uint32_t level, struct paging_range range,
                 uint64_t leaf, struct paging_edit *edit) {
    if (level == 0) {
        fill_run(paging, table, range, leaf);
        return;
    }
    for (uint64_t iova = range.first;;) {
        struct part part = part_of(range, iova, level);
        struct paging_range below = {part.first, part.last};
        uint64_t *slot = &table[index_of(iova, level)];
        uint64_t to = leaf + (iova - range.first);
        uint64_t entry = load_relaxed(slot);
        if (is_present(entry)) {
            fill(paging, table_of(entry), level - 1, below, to, edit);
            merge(paging, slot, level, edit);
        } else if (fits_leaf(paging, part, to & PAGING_ADDRESS, level)) {
            store_release(slot, to | PAGING_LARGE); /* pairs with visit_entry */
            page_note_of(table)->live++;
            paging->pages[level]++;
        } else {
            struct page_note *note = take_spare(paging, edit);
            fill(paging, note->entries, level - 1, below, to, edit);
            store_release(slot, table_entry(note)); /* pairs with visit_entry */
            page_note_of(table)->live++;
        }
        if (part.last == range.last) {
            return;
        }
        iova = part.last + 1;
    }
}

enum ciommu_status ciommu_paging_map(struct paging *paging, struct paging_range range,
                                     uint64_t address, uint32_t rights, struct paging_edit *edit) {
    uint64_t count = 0;
    uint32_t top = paging->levels - 1;
    enum ciommu_status status = examine(paging, paging->root, top, range, address, &count);
    if (status == CIOMMU_OK) {
        status = reserve(paging, count, edit);
    }
    if (status == CIOMMU_OK) {
        uint64_t dirty = paging->tracking ? 0 : PAGING_DIRTY;
        uint64_t leaf = address | (rights & RIGHTS) | PAGING_ACCESSED | dirty;
        fill(paging, paging->root, top, range, leaf, edit);
        edit->changed = range.last - range.first + 1;
    }
    return status;
}

/* ---- Unmap ---- */

static void clear(struct paging *paging, uint64_t *table, uint32_t level, struct paging_range range,
                  struct paging_edit *edit) {
    for (uint64_t iova = range.first;;) {
        struct part part = part_of(range, iova, level);
        uint64_t *slot = &table[index_of(iova, level)];
        uint64_t entry = load_relaxed(slot);
        if (is_present(entry) && !part.whole && paging_is_leaf(entry, level)) {
            split(paging, slot, level, edit);
            entry = load_relaxed(slot);
        }
        if (is_present(entry) && part.whole) {
            store_release(slot, 0);
            page_note_of(table)->live--;
            if (paging_is_leaf(entry, level)) {
                paging->pages[level]--;
                edit->changed += paging_bytes(level);
            } else {
                retire_tree(paging, table_of(entry), level - 1, edit);
            }
        } else if (is_present(entry)) {
            clear(paging, table_of(entry), level - 1, (struct paging_range){part.first, part.last},
                  edit);
            tidy(paging, table, slot, level, edit);
        }
        if (part.last == range.last) {
            return;
        }
        iova = part.last + 1;
    }
}

enum ciommu_status ciommu_paging_unmap(struct paging *paging, struct paging_range range,
                                       struct paging_edit *edit) {
    enum ciommu_status status = reserve_cuts(paging, range, 0, edit);
    if (status == CIOMMU_OK) {
        clear(paging, paging->root, paging->levels - 1, range, edit);
    }
    return status;
}

/* ---- Protect ---- */

static bool is_mapped(const struct paging *paging, const uint64_t *table, uint32_t level,
                      struct paging_range range) {
    for (uint64_t iova = range.first;;) {
        struct part part = part_of(range, iova, level);
        uint64_t entry = load_relaxed(&table[index_of(iova, level)]);
        if (!is_present(entry) || (!paging_is_leaf(entry, level) &&
                                   !is_mapped(paging, table_of(entry), level - 1,
                                              (struct paging_range){part.first, part.last}))) {
            return false;
        }
        if (part.last == range.last) {
            return true;
        }
        iova = part.last + 1;
    }
}

static void change_rights(struct paging *paging, uint64_t *table, uint32_t level,
                          struct paging_range range, uint32_t rights, struct paging_edit *edit) {
    for (uint64_t iova = range.first;;) {
        struct part part = part_of(range, iova, level);
        uint64_t *slot = &table[index_of(iova, level)];
        uint64_t entry = load_relaxed(slot);
        bool leaf = paging_is_leaf(entry, level);
        if (leaf && (entry & RIGHTS) != rights && !part.whole) {
            split(paging, slot, level, edit);
            leaf = false;
        }
        if (!leaf) {
            change_rights(paging, table_of(load_relaxed(slot)), level - 1,
                          (struct paging_range){part.first, part.last}, rights, edit);
            merge(paging, slot, level, edit);
        } else if ((entry & RIGHTS) != rights) {
            while (!compare_exchange_seq_cst(slot, &entry, (entry & ~RIGHTS) | rights)) {
            }
            edit->changed += paging_bytes(level);
        }
        if (part.last == range.last) {
            return;
        }
        iova = part.last + 1;
    }
}

enum ciommu_status ciommu_paging_protect(struct paging *paging, struct paging_range range,
                                         uint32_t rights, struct paging_edit *edit) {
    uint32_t top = paging->levels - 1;
    if (!is_mapped(paging, paging->root, top, range)) {
        return CIOMMU_NOT_FOUND;
    }
    enum ciommu_status status = reserve_cuts(paging, range, rights, edit);
    if (status == CIOMMU_OK) {
        change_rights(paging, paging->root, top, range, rights, edit);
    }
    return status;
}

/* ---- Dirty tracking ---- */

/* Calls for every present entry of the tree are alike: leaves are cleaned (and split), or tables
 * merged on the way back. */
static void clean_tree(struct paging *paging, uint64_t *table, uint32_t level,
                       struct paging_edit *edit) {
    uint32_t left = page_note_of(table)->live;
    for (uint32_t index = 0; left != 0; index++) {
        uint64_t *slot = &table[index];
        uint64_t entry = load_relaxed(slot);
        if (!is_present(entry)) {
            continue;
        }
        left--;
        if (paging_is_leaf(entry, level) && (level == 0 || !paging->small_only)) {
            (void)__atomic_fetch_and(slot, ~PAGING_DIRTY, __ATOMIC_SEQ_CST);
            continue;
        }
        if (paging_is_leaf(entry, level)) {
            split(paging, slot, level, edit);
        }
        clean_tree(paging, table_of(load_relaxed(slot)), level - 1, edit);
    }
}

static void merge_tree(struct paging *paging, uint64_t *table, uint32_t level,
                       struct paging_edit *edit) {
    for (uint32_t index = 0; level != 0 && index < TABLE_ENTRIES; index++) {
        uint64_t entry = load_relaxed(&table[index]);
        if (is_present(entry) && !paging_is_leaf(entry, level)) {
            merge_tree(paging, table_of(entry), level - 1, edit);
            merge(paging, &table[index], level, edit);
        }
    }
}

enum ciommu_status ciommu_paging_track(struct paging *paging, bool split,
                                       struct paging_edit *edit) {
    uint64_t tables = paging->pages[1] + paging->pages[2] * (1 + TABLE_ENTRIES);
    enum ciommu_status status = reserve(paging, split ? tables : 0, edit);
    if (status == CIOMMU_OK) {
        paging->tracking = true;
        paging->small_only = split;
        clean_tree(paging, paging->root, paging->levels - 1, edit);
        edit->changed = last_of(paging);
    }
    return status;
}

void ciommu_paging_untrack(struct paging *paging, struct paging_edit *edit) {
    paging->tracking = false;
    paging->small_only = false;
    merge_tree(paging, paging->root, paging->levels - 1, edit);
}

/* What a pass over dirty leaves carries along. */
struct dirty_pass {
    struct paging_range range;
    bool clear;
    paging_visit visit;
    void *context;
    struct paging_edit *edit;
};

static void take_dirty(struct dirty_pass *pass, uint64_t *table, uint32_t level,
                       struct paging_range range) {
    for (uint64_t iova = range.first;;) {
        struct part part = part_of(range, iova, level);
        uint64_t *slot = &table[index_of(iova, level)];
        uint64_t entry = load_relaxed(slot);
        if (is_present(entry) && !paging_is_leaf(entry, level)) {
            take_dirty(pass, table_of(entry), level - 1,
                       (struct paging_range){part.first, part.last});
        } else if (is_present(entry) && (entry & PAGING_DIRTY) != 0) {
            if (pass->clear && part.whole) {
                (void)__atomic_fetch_and(slot, ~PAGING_DIRTY, __ATOMIC_SEQ_CST);
                pass->edit->changed += paging_bytes(level);
            }
            pass->visit(pass->context, part.first, part.last);
        }
        if (part.last == range.last) {
            return;
        }
        iova = part.last + 1;
    }
}

void ciommu_paging_take_dirty(struct paging *paging, struct paging_range range, bool clear,
                              paging_visit visit, void *context, struct paging_edit *edit) {
    struct dirty_pass pass = {range, clear, visit, context, edit};
    take_dirty(&pass, paging->root, paging->levels - 1, range);
}

/* ---- Listing ---- */

static bool next_leaf(const uint64_t *table, uint32_t level, uint64_t base, uint64_t iova,
                      struct paging_leaf *out) {
    uint32_t index = iova > base ? (uint32_t)((iova - base) >> paging_shift(level)) : 0;
    for (; index < TABLE_ENTRIES; index++) {
        uint64_t entry = load_relaxed(&table[index]);
        uint64_t at = base + ((uint64_t)index << paging_shift(level));
        if (!is_present(entry)) {
            continue;
        }
        if (paging_is_leaf(entry, level)) {
            *out = (struct paging_leaf){at, entry, level};
            return true;
        }
        if (next_leaf(table_of(entry), level - 1, at, iova, out)) {
            return true;
        }
    }
    return false;
}

bool ciommu_paging_next(const struct paging *paging, uint64_t iova, struct paging_leaf *out) {
    return iova <= last_of(paging) && next_leaf(paging->root, paging->levels - 1, 0, iova, out);
}
