/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * format_vtd_first.c - VT-d first-stage tables, alone and nested [FORMATS-VTD A7, A9, A10].
 *
 *   bit 0 P   1 R/W   2 U/S   5 A   6 D (leaf)   7 PS   10 EA (with EAFE)   51:12 address   63 XD
 *             (rev 3 with NXE)
 *
 * Order at each level: read, P, U/S, R/W, reserved bits, then A (and at the leaf D). Nested: every
 * table pointer and the final result is an input of the second stage; a leaf is marked only after
 * the second stage granted the access.
 */
#include "walk.h"

#define FS_PRESENT UINT64_C(1)
#define FS_WRITE UINT64_C(2)
#define FS_USER UINT64_C(4)
#define FS_EXECUTE_DISABLE (UINT64_C(1) << 63)

static always_inline uint32_t absent(const struct stage_shape *stage, uint32_t access) {
    (void)stage;
    (void)access;
    return VTD_FS_ABSENT;
}

static always_inline uint32_t check(const struct walker *walker, const struct stage_shape *stage,
                                    uint64_t entry, uint32_t level, bool leaf) {
    if (!walker->privileged && (entry & FS_USER) == 0) {
        return VTD_USER;
    }
    bool read_only = (entry & FS_WRITE) == 0 && (!walker->privileged || stage->write_protect);
    if ((walker->access & CIOMMU_WRITE) != 0 && read_only) {
        return VTD_SM_WRITE;
    }
    if ((entry & (leaf ? stage->reserved_leaf[level] : stage->reserved_table[level])) != 0) {
        return VTD_FS_RESERVED;
    }
    return (entry & stage->address_fault) != 0 ? VTD_FS_ABOVE_MGAW : 0;
}

static always_inline uint32_t rights_of(const struct stage_shape *stage, uint64_t entry) {
    bool execute = !stage->execute_disable || (entry & FS_EXECUTE_DISABLE) == 0;
    bool user = (entry & FS_USER) != 0;
    bool write = (entry & FS_WRITE) != 0;
    uint32_t base = CIOMMU_READ | (execute ? CIOMMU_EXECUTE : 0);
    uint32_t for_user = user ? base | (write ? CIOMMU_WRITE : 0) : 0;
    uint32_t privileged = base | (write || !stage->write_protect ? CIOMMU_WRITE : 0);
    return for_user | privileged << 3;
}

static always_inline uint32_t deny(const struct walker *walker, const struct stage_shape *stage,
                                   uint32_t access, uint32_t *granted) {
    /* SMEP: privileged requests do not execute from user pages, which are those with U/S = 1 at
     * every level. */
    if (stage->supervisor_execute_protect && (*granted & CIOMMU_READ) != 0) {
        *granted &= ~(uint32_t)(CIOMMU_EXECUTE << 3);
    }
    uint32_t rights = walker->privileged ? RIGHTS_PRIVILEGED(*granted) : RIGHTS_USER(*granted);
    return (access & CIOMMU_EXECUTE) != 0 && (rights & CIOMMU_EXECUTE) == 0 ? VTD_EXECUTE : 0;
}

static always_inline bool unreadable(struct walker *walker, bool top) {
    return walk_fails(walker, top ? VTD_FS_TOP_ACCESS : VTD_FS_ACCESS);
}

static always_inline bool open_alone(struct walker *walker, const struct stage_shape *stage,
                                     uint64_t address, bool top, struct table *table) {
    (void)stage;
    table->guest = address;
    return likely(open_page(walker, address, table)) || unreadable(walker, top);
}

/* A second-stage refusal of an access that the first stage makes itself becomes a first-stage code.
 * Structural errors keep theirs. */
static bool translate_own_access(struct walker *walker, uint64_t guest, uint32_t access,
                                 uint32_t denied, struct leaf *out) {
    struct walk_fault before = walker->fault; /* where the first stage stands */
    if (ciommu_vtd_walk_second(walker, walker->parent, walker->parent_walk_generation, guest,
                               access, false, out)) {
        walker->fault = before;
        return true;
    }
    uint32_t code = walker->fault.code;
    if (code == VTD_SM_READ || code == VTD_SM_WRITE) {
        walker->fault.stage = CIOMMU_STAGE_FIRST;
        walker->fault.level = before.level;
        walker->fault.code = denied;
    }
    return false;
}

static bool open_nested(struct walker *walker, const struct stage_shape *stage, uint64_t address,
                        bool top, struct table *table) {
    if (address > stage->input_last) {
        return walk_fails(walker, VTD_FS_ABOVE_MGAW);
    }
    struct leaf leaf;
    if (!translate_own_access(walker, address, CIOMMU_READ,
                              top ? VTD_FS_SS_READ_TOP : VTD_FS_SS_READ, &leaf)) {
        return false;
    }
    table->guest = address;
    uint64_t output = leaf.address | (address & ((UINT64_C(1) << leaf.page_lg2) - 1));
    return open_page(walker, output, table) || unreadable(walker, top);
}

static always_inline bool finish_alone(struct walker *walker, const struct stage_shape *stage,
                                       uint64_t input, bool judge, struct leaf *out) {
    (void)stage;
    uint64_t result = out->address | (input & ((UINT64_C(1) << out->page_lg2) - 1));
    if (judge && unlikely(in_interrupt_range(result))) {
        return walk_fails(walker, VTD_SM_INTERRUPT_RESULT);
    }
    return true;
}

static bool finish_nested(struct walker *walker, const struct stage_shape *stage, uint64_t input,
                          bool judge, struct leaf *out) {
    (void)stage;
    struct leaf second;
    uint64_t guest = out->address | (input & ((UINT64_C(1) << out->page_lg2) - 1));
    if (!ciommu_vtd_walk_second(walker, walker->parent, walker->parent_walk_generation, guest,
                                walker->access, judge, &second)) {
        return false;
    }
    walker->fault.stage = CIOMMU_STAGE_FIRST;
    uint64_t output = second.address | (guest & ((UINT64_C(1) << second.page_lg2) - 1));
    out->cut = leaf_cut(out->page_lg2, second.page_lg2);
    out->page_lg2 = second.page_lg2 < out->page_lg2 ? second.page_lg2 : out->page_lg2;
    out->address = output & ~((UINT64_C(1) << out->page_lg2) - 1);
    out->rights &= second.rights;
    out->attributes |= second.attributes;
    return true;
}

static always_inline bool may_mark_alone(struct walker *walker, const struct table *table,
                                         uint64_t offset, uint64_t *address) {
    (void)walker;
    *address = table->address + offset;
    return true;
}

/* The update is a write on the second stage, and is marked there as one. The leaf that lets the
 * table be written need not be the one through which it was found. */
static bool may_mark_nested(struct walker *walker, const struct table *table, uint64_t offset,
                            uint64_t *address) {
    struct leaf leaf;
    if (!translate_own_access(walker, table->guest + offset, CIOMMU_WRITE, VTD_FS_SS_WRITE,
                              &leaf)) {
        return false;
    }
    *address = leaf_output(leaf, table->guest + offset);
    return true;
}

static const struct walk_format alone = {
    .table = CIOMMU_TABLE_FIRST_STAGE,
    .present = FS_PRESENT,
    .ad_snoop = VTD_FS_AD_SNOOP,
    .ad_failed = VTD_FS_AD_FAILED,
    .absent = absent,
    .check = check,
    .rights = rights_of,
    .deny = deny,
    .open = open_alone,
    .finish = finish_alone,
    .may_mark = may_mark_alone,
};

static const struct walk_format nested = {
    .table = CIOMMU_TABLE_FIRST_STAGE,
    .present = FS_PRESENT,
    .ad_snoop = VTD_FS_AD_SNOOP,
    .ad_failed = VTD_FS_AD_FAILED,
    .nested = true,
    .absent = absent,
    .check = check,
    .rights = rights_of,
    .deny = deny,
    .open = open_nested,
    .finish = finish_nested,
    .may_mark = may_mark_nested,
};

static bool walk(struct walker *walker, uint64_t input, struct leaf *out) {
    const struct stage_shape *stage = &walker->shape->first;
    walker->fault.stage = CIOMMU_STAGE_FIRST;
    if (!is_canonical(input, stage->input_bits)) {
        walk_at(walker, CIOMMU_NO_LEVEL, 0);
        return walk_fails(walker, VTD_NOT_CANONICAL);
    }
    if (walker->shape->kind == SPACE_NESTED) {
        return walk_stage(walker, &nested, stage, walker->space, walker->walk_generation, input,
                          walker->access, true, out);
    }
    return walk_stage(walker, &alone, stage, walker->space, walker->walk_generation, input,
                      walker->access, true, out);
}

const struct ciommu_format ciommu_vtd_first_stage = {.name = "VT-d first stage", .walk = walk};
