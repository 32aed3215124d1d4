/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_dirty.c - dirty tracking of a paging domain [FORMATS-IOMMUFD 8].
 *
 * Protocol (dirty bits)
 *   A leaf that may be written has D set; a walk for a write sets it (walk.h: mark) before its
 *   answer grants W to anybody, and caches keep W only with D. So clearing D and then invalidating
 *   what was clean makes every later write set D again.
 *   A round: D is cleared (and the page reported), the range and the children are invalidated, the
 *   ports drain, devices drop what they hold of the range (it may grant W), the call returns.
 *   A write that used a right from before the invalidation belongs to a page that this round
 *   reported, and is over when the call returns; any other write walks after the invalidation,
 *   finds D clear and sets it for the next round.
 *   While tracking is off, leaves are made with D set, so that walks have nothing to do.
 */
#include "domain_edit.h"

/* The part of a bitmap that a read fills. */
struct bitmap {
    uint64_t *words;
    uint64_t base;
    uint32_t page_lg2;
};

static void set_bits(void *context, uint64_t first, uint64_t last) {
    const struct bitmap *bitmap = context;
    uint64_t from = (first - bitmap->base) >> bitmap->page_lg2;
    uint64_t to = (last - bitmap->base) >> bitmap->page_lg2;
    for (; from <= to; from++) {
        if (from % 64 == 0 && to - from >= 63) {
            bitmap->words[from / 64] = UINT64_MAX;
            from += 63;
        } else {
            bitmap->words[from / 64] |= UINT64_C(1) << from % 64;
        }
    }
}

static struct paging_range everything(const struct ciommu_domain *domain) {
    return (struct paging_range){0, (UINT64_C(1) << domain->bits) - 1};
}

enum ciommu_status ciommu_dirty_start(struct ciommu_domain *domain, struct ciommu_port *port,
                                      uint32_t flags) {
    enum ciommu_status status;
    if (!ciommu_domain_may_wait(domain, port, &status)) {
        return status;
    }
    if (domain->kind != CIOMMU_DOMAIN_PAGING || (flags & ~CIOMMU_DIRTY_SPLIT) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if ((domain->flags & CIOMMU_PAGING_DIRTY_TRACKING) == 0) {
        return CIOMMU_UNSUPPORTED;
    }
    struct paging_edit edit = {0};
    pthread_mutex_lock(&domain->lock);
    status = ciommu_paging_track(&domain->paging, (flags & CIOMMU_DIRTY_SPLIT) != 0, &edit);
    if (status != CIOMMU_OK) {
        pthread_mutex_unlock(&domain->lock);
        return status;
    }
    return ciommu_domain_end_edit(domain, everything(domain), &edit, EDIT_ASKS_DEVICES);
}

enum ciommu_status ciommu_dirty_stop(struct ciommu_domain *domain, struct ciommu_port *port) {
    enum ciommu_status status;
    if (!ciommu_domain_may_wait(domain, port, &status)) {
        return status;
    }
    if (domain->kind != CIOMMU_DOMAIN_PAGING) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct paging_edit edit = {0};
    pthread_mutex_lock(&domain->lock);
    if (domain->paging.tracking) {
        ciommu_paging_untrack(&domain->paging, &edit);
    }
    return ciommu_domain_end_edit(domain, everything(domain), &edit, EDIT_ENDS_AT_ONCE);
}

static bool is_page_size(uint64_t bytes) {
    return bytes >= TABLE_BYTES && (bytes & (bytes - 1)) == 0;
}

enum ciommu_status ciommu_dirty_read(struct ciommu_domain *domain, struct ciommu_port *port,
                                     uint64_t iova, uint64_t length, uint64_t page_size,
                                     uint64_t *bitmap, uint32_t flags) {
    enum ciommu_status status;
    if (!ciommu_domain_may_wait(domain, port, &status)) {
        return status;
    }
    if (bitmap == NULL || !is_page_size(page_size) || (flags & ~CIOMMU_DIRTY_NO_CLEAR) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct paging_range range;
    status = ciommu_domain_check_range(domain, iova, length, &range);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (((iova | length) & (page_size - 1)) != 0) {
        return CIOMMU_MISALIGNED;
    }
    struct bitmap out = {bitmap, iova, (uint32_t)__builtin_ctzll(page_size)};
    struct paging_edit edit = {0};
    pthread_mutex_lock(&domain->lock);
    if (!domain->paging.tracking) {
        pthread_mutex_unlock(&domain->lock);
        return CIOMMU_NOT_TRACKING;
    }
    bool clear = (flags & CIOMMU_DIRTY_NO_CLEAR) == 0;
    ciommu_paging_take_dirty(&domain->paging, range, clear, set_bits, &out, &edit);
    bool settle = edit.changed != 0 && !MUTANT(DIRTY_NO_INVALIDATE);
    status = ciommu_domain_end_edit(domain, range, &edit,
                                    settle ? EDIT_ASKS_DEVICES : EDIT_ENDS_AT_ONCE);
    return settle || !clear || MUTANT(DIRTY_NO_INVALIDATE)
               ? status
               : ciommu_domain_wait(domain, range, EDIT_ASKS_DEVICES);
}
