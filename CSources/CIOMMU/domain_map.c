/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_map.c - the mappings of a paging domain: argument checks, the edit, and what has to be
 * invalidated after it. Protocols: domain.h, paging.h.
 */
#include "domain_edit.h"

#include <string.h>

#define PAGE_MASK UINT64_C(4095)
#define RIGHTS (CIOMMU_READ | CIOMMU_WRITE)

enum ciommu_status ciommu_domain_check_range(const struct ciommu_domain *domain, uint64_t iova,
                                             uint64_t length, struct paging_range *out) {
    if (domain == NULL || domain->kind != CIOMMU_DOMAIN_PAGING || length == 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (((iova | length) & PAGE_MASK) != 0) {
        return CIOMMU_MISALIGNED;
    }
    if (length - 1 > UINT64_MAX - iova) {
        return CIOMMU_WRAPS;
    }
    *out = (struct paging_range){iova, iova + (length - 1)};
    return out->last >> domain->bits == 0 ? CIOMMU_OK : CIOMMU_OUT_OF_RANGE;
}

static struct tlb_target target_of(struct ciommu_domain *domain, struct paging_range range,
                                   enum domain_edit_end end) {
    struct tlb_target target = tlb_of_domain(domain, range.first, range.last);
    target.kind = end == EDIT_ASKS_DEVICES ? TLB_OF_DOMAIN : TLB_OF_NOTHING;
    return target;
}

enum ciommu_status ciommu_domain_end_edit(struct ciommu_domain *domain, struct paging_range range,
                                          struct paging_edit *edit, enum domain_edit_end end) {
    struct ciommu_unit *unit = domain->unit;
    struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_TRANSLATIONS,
        .domain = domain->id,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = CIOMMU_STAGES_SECOND,
        .leaf_only = edit->retired == NULL,
        .first = range.first,
        .last = range.last,
    };
    ciommu_pages_return(domain->paging.store, edit->spare);
    yield_point(CIOMMU_YIELD_TABLE_CHANGED);
    pthread_mutex_lock(&unit->table_lock);
    if (end != EDIT_ENDS_AT_ONCE) {
        if (!MUTANT(UNMAP_NO_INVALIDATE)) {
            ciommu_space_invalidate(&unit->spaces, domain->space, &what, 1);
        }
        /* Under the domain lock: later edits rest on it. */
        (void)add_seq_cst(&unit->ugen, MUTANT(UGEN_OUTSIDE_LOCK) ? 0 : 1);
    } else if (edit->retired != NULL && !MUTANT(MERGE_KEEPS_WALKGEN)) {
        ciommu_space_forget_walks(domain->space);
    }
    pthread_mutex_unlock(&unit->table_lock);
    ciommu_pages_retire(domain->paging.store, edit->retired);
    pthread_mutex_unlock(&domain->lock);
    if (end == EDIT_ENDS_AT_ONCE) {
        return CIOMMU_OK;
    }
    const struct tlb_target target = target_of(domain, range, end);
    return ciommu_unit_end_change(unit, &what, &target);
}

enum ciommu_status ciommu_domain_wait(struct ciommu_domain *domain, struct paging_range range,
                                      enum domain_edit_end end) {
    const struct tlb_target target = target_of(domain, range, end);
    return ciommu_tlbs_settle(domain->unit, &target);
}

static enum ciommu_status end_waiting(struct ciommu_domain *domain, struct paging_range range,
                                      struct paging_edit *edit, enum domain_edit_end end) {
    bool changed = edit->changed != 0;
    enum ciommu_status status =
        ciommu_domain_end_edit(domain, range, edit, changed ? end : EDIT_ENDS_AT_ONCE);
    return changed ? status : ciommu_domain_wait(domain, range, end);
}

enum ciommu_status ciommu_domain_map(struct ciommu_domain *domain,
                                     const struct ciommu_mapping *mapping) {
    if (mapping == NULL || mapping->size < sizeof *mapping || (mapping->rights & RIGHTS) == 0 ||
        (mapping->rights & ~RIGHTS) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct paging_range range;
    enum ciommu_status status =
        ciommu_domain_check_range(domain, mapping->iova, mapping->length, &range);
    if (status != CIOMMU_OK) {
        return status;
    }
    if ((mapping->address & PAGE_MASK) != 0) {
        return CIOMMU_MISALIGNED;
    }
    if (mapping->length - 1 > UINT64_MAX - mapping->address) {
        return CIOMMU_WRAPS;
    }
    if (((mapping->address | (mapping->address + (mapping->length - 1))) &
         domain->unit->caps.high_mask) != 0) {
        return CIOMMU_OUT_OF_RANGE;
    }
    struct paging_edit edit = {0};
    pthread_mutex_lock(&domain->lock);
    status = ciommu_paging_map(&domain->paging, range, mapping->address, mapping->rights, &edit);
    if (status != CIOMMU_OK) {
        pthread_mutex_unlock(&domain->lock);
        return status;
    }
    return ciommu_domain_end_edit(domain, range, &edit, EDIT_ENDS_AT_ONCE);
}

bool ciommu_domain_may_wait(const struct ciommu_domain *domain, const struct ciommu_port *port,
                            enum ciommu_status *status) {
    if (domain == NULL || (port != NULL && port->unit != domain->unit)) {
        *status = CIOMMU_INVALID_ARGUMENT;
        return false;
    }
    *status = port != NULL && port_is_inside(port) ? CIOMMU_IN_SECTION : CIOMMU_OK;
    return *status == CIOMMU_OK;
}

enum ciommu_status ciommu_domain_unmap(struct ciommu_domain *domain, struct ciommu_port *port,
                                       uint64_t iova, uint64_t length, uint64_t *unmapped) {
    struct paging_range range;
    enum ciommu_status status;
    if (!ciommu_domain_may_wait(domain, port, &status)) {
        return status;
    }
    if (iova == 0 && length == UINT64_MAX && domain->kind == CIOMMU_DOMAIN_PAGING) {
        range = (struct paging_range){0, (UINT64_C(1) << domain->bits) - 1};
    } else {
        status = ciommu_domain_check_range(domain, iova, length, &range);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    struct paging_edit edit = {0};
    pthread_mutex_lock(&domain->lock);
    status = ciommu_paging_unmap(&domain->paging, range, &edit);
    if (status != CIOMMU_OK) {
        pthread_mutex_unlock(&domain->lock);
        return status;
    }
    if (unmapped != NULL) {
        *unmapped = edit.changed;
    }
    return end_waiting(domain, range, &edit, EDIT_ASKS_DEVICES);
}

enum ciommu_status ciommu_domain_protect(struct ciommu_domain *domain, struct ciommu_port *port,
                                         uint64_t iova, uint64_t length, uint32_t rights) {
    struct paging_range range;
    enum ciommu_status status;
    if (!ciommu_domain_may_wait(domain, port, &status)) {
        return status;
    }
    if ((rights & RIGHTS) == 0 || (rights & ~RIGHTS) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    status = ciommu_domain_check_range(domain, iova, length, &range);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct paging_edit edit = {0};
    pthread_mutex_lock(&domain->lock);
    status = ciommu_paging_protect(&domain->paging, range, rights, &edit);
    if (status != CIOMMU_OK) {
        pthread_mutex_unlock(&domain->lock);
        return status;
    }
    /* Rights that were given only are asked for when they are needed. */
    return end_waiting(domain, range, &edit, rights == RIGHTS ? EDIT_DRAINS : EDIT_ASKS_DEVICES);
}

enum ciommu_status ciommu_domain_next(struct ciommu_domain *domain, uint64_t iova,
                                      struct ciommu_mapping *out) {
    if (domain == NULL || domain->kind != CIOMMU_DOMAIN_PAGING || out == NULL ||
        out->size < sizeof *out) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct paging_leaf leaf;
    pthread_mutex_lock(&domain->lock);
    bool found = ciommu_paging_next(&domain->paging, iova, &leaf);
    bool tracking = domain->paging.tracking;
    pthread_mutex_unlock(&domain->lock);
    if (!found) {
        return CIOMMU_NOT_FOUND;
    }
    uint64_t bytes = paging_bytes(leaf.level);
    out->rights = (uint32_t)(leaf.entry & RIGHTS);
    out->iova = leaf.iova;
    out->length = bytes;
    out->address = leaf.entry & PAGING_ADDRESS & ~(bytes - 1);
    out->page_lg2 = paging_shift(leaf.level);
    out->dirty = !tracking || (leaf.entry & PAGING_DIRTY) != 0;
    return CIOMMU_OK;
}

void ciommu_domain_read_statistics(struct ciommu_domain *domain,
                                   struct ciommu_domain_statistics *out) {
    if (domain == NULL || out == NULL) {
        return;
    }
    struct ciommu_domain_statistics sum = {.size = sizeof sum};
    pthread_mutex_lock(&domain->unit->table_lock);
    sum.attachments = domain->attachments;
    sum.children = domain->children;
    pthread_mutex_unlock(&domain->unit->table_lock);
    if (domain->kind == CIOMMU_DOMAIN_PAGING) {
        pthread_mutex_lock(&domain->lock);
        sum.tables = domain->paging.tables;
        for (uint32_t level = 0; level < 3; level++) {
            sum.pages[level] = domain->paging.pages[level];
            sum.mapped += sum.pages[level] * paging_bytes(level);
        }
        pthread_mutex_unlock(&domain->lock);
    }
    uint32_t size = out->size;
    memcpy(out, &sum, size < sizeof sum ? size : sizeof sum);
    out->size = size;
}
