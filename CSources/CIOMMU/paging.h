/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * paging.h - paging structures that the host owns, in the VT-d second-stage format [FORMATS-VTD
 * A8]; an entry that points to a table holds its host address. Edits them beside running walks;
 * knows neither locks nor caches: the domain serialises edits and invalidates what they report.
 *
 * Protocol (host-made paging structures)
 *   Readers      walks, under the RCU read lock; they also set A and D by compare-and-exchange.
 *   Writers      one at a time (the domain's lock).
 *   Publication  a table is filled before the entry that points to it is stored (store-release,
 *                pairs with walk.h: visit_entry).
 *   Live leaves  are never cleared to be replaced. Splitting compares and exchanges the leaf for
 *                the table of its parts, so that a D bit set meanwhile is carried over; changing
 *                rights and clearing D do the same. While tracking is off D bits mean nothing and
 *                merging may lose them; while it is on nothing is merged.
 *   Removal      a table that is unlinked goes onto `retired` with all it holds; the domain moves
 *                walk_generation before it retires the pages (page_store.h).
 */
#ifndef CIOMMU_PAGING_H
#define CIOMMU_PAGING_H

#include "page_store.h"

#define PAGING_READ UINT64_C(1)
#define PAGING_WRITE UINT64_C(2)
#define PAGING_LARGE UINT64_C(0x80)
#define PAGING_ACCESSED UINT64_C(0x100)
#define PAGING_DIRTY UINT64_C(0x200)
#define PAGING_ADDRESS UINT64_C(0x000ffffffffff000)

/* The paging structures of one domain. Writers only. */
struct paging {
    uint64_t *root;           /* constant */
    struct page_store *store; /* constant */
    uint32_t levels;          /* constant: 3, 4 or 5 */
    uint32_t largest_level;   /* constant: 0, 1 or 2, the highest level with leaves */
    bool tracking;            /* D bits count */
    bool small_only;          /* leaves of 4 KiB only, while tracking with splitting */
    uint64_t pages[3];        /* leaves per level */
    uint64_t tables;
};

/* What an edit did, for whoever invalidates. */
struct paging_edit {
    uint64_t changed;          /* bytes whose translation, rights or D bit changed */
    struct page_note *spare;   /* pages reserved for the edit; what is left is given back */
    struct page_note *retired; /* tables that walk caches may still name */
};

/* A run of input addresses. last is inclusive. */
struct paging_range {
    uint64_t first;
    uint64_t last;
};

/* A leaf as it stands. */
struct paging_leaf {
    uint64_t iova;
    uint64_t entry;
    uint32_t level;
};

enum ciommu_status ciommu_paging_init(struct paging *paging, struct page_store *store,
                                      uint32_t levels, uint32_t largest_level);
/* Retires every table, the root included. No walk can begin any more. */
void ciommu_paging_fini(struct paging *paging);

static inline uint32_t paging_shift(uint32_t level) {
    return 12 + 9 * level;
}

static inline uint64_t paging_bytes(uint32_t level) {
    return UINT64_C(1) << paging_shift(level);
}

static inline bool paging_is_leaf(uint64_t entry, uint32_t level) {
    return level == 0 || (entry & PAGING_LARGE) != 0;
}

/* Every edit reserves what it needs before it changes anything: CIOMMU_NO_MEMORY leaves all as it
 * was. Ranges are page-aligned and inside the width. */

/* CIOMMU_OVERLAP if a page is mapped already. */
enum ciommu_status ciommu_paging_map(struct paging *paging, struct paging_range range,
                                     uint64_t address, uint32_t rights, struct paging_edit *edit);
enum ciommu_status ciommu_paging_unmap(struct paging *paging, struct paging_range range,
                                       struct paging_edit *edit);
/* CIOMMU_NOT_FOUND if a page is not mapped. */
enum ciommu_status ciommu_paging_protect(struct paging *paging, struct paging_range range,
                                         uint32_t rights, struct paging_edit *edit);

/* Switches tracking on with every D bit clear, splitting every leaf to 4 KiB if `split`; or off,
 * merging what can be merged. */
enum ciommu_status ciommu_paging_track(struct paging *paging, bool split, struct paging_edit *edit);
void ciommu_paging_untrack(struct paging *paging, struct paging_edit *edit);

/* Calls `visit` for each dirty leaf that touches the range, after clearing its D bit if `clear` and
 * the leaf lies wholly in the range. `edit->changed` counts what was cleared. */
typedef void (*paging_visit)(void *context, uint64_t first, uint64_t last);
void ciommu_paging_take_dirty(struct paging *paging, struct paging_range range, bool clear,
                              paging_visit visit, void *context, struct paging_edit *edit);

/* The first leaf that ends above `iova`; false if there is none. */
bool ciommu_paging_next(const struct paging *paging, uint64_t iova, struct paging_leaf *out);

#endif
