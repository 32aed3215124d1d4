/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * format_vtd_second.c - VT-d second-stage tables [FORMATS-VTD A8, A9].
 *
 *   bit  leaf                         table
 *   0    R                            R
 *   1    W                            W
 *   2    X (rev 3 with SSEE)          X
 *   7    1 in a 2 MiB or 1 GiB leaf   0
 *   8    A, 9 D (with SSADE)          A
 *   11   SNP                          reserved
 *   51:12 address
 *
 * Presence is R or W. Rights are the AND over all levels and are judged at the leaf. Order at each
 * level: read, presence, reserved bits, accumulate; at the leaf: rights, interrupt range, accessed
 * and dirty bits.
 */
#include "walk.h"

#define SS_READ UINT64_C(1)
#define SS_WRITE UINT64_C(2)
#define SS_EXECUTE UINT64_C(4)

static always_inline uint32_t absent(const struct stage_shape *stage, uint32_t access) {
    return (access & CIOMMU_WRITE) != 0 ? stage->codes->absent_write : stage->codes->absent_read;
}

static always_inline uint32_t check(const struct walker *walker, const struct stage_shape *stage,
                                    uint64_t entry, uint32_t level, bool leaf) {
    (void)walker;
    uint64_t reserved = leaf ? stage->reserved_leaf[level] : stage->reserved_table[level];
    return (entry & reserved) != 0 ? stage->codes->reserved : 0;
}

static always_inline uint32_t rights_of(const struct stage_shape *stage, uint64_t entry) {
    uint32_t rights = (uint32_t)(entry & (SS_READ | SS_WRITE));
    bool execute = (entry & (stage->execute ? SS_EXECUTE : SS_READ)) != 0;
    return RIGHTS_BOTH(rights | (execute ? CIOMMU_EXECUTE : 0));
}

static always_inline uint32_t deny(const struct walker *walker, const struct stage_shape *stage,
                                   uint32_t access, uint32_t *granted) {
    (void)walker;
    uint32_t rights = RIGHTS_USER(*granted);
    if ((rights & (CIOMMU_READ | CIOMMU_WRITE)) == 0) {
        return absent(stage, access);
    }
    if ((access & CIOMMU_WRITE) != 0 && (rights & CIOMMU_WRITE) == 0) {
        return stage->codes->write;
    }
    bool as_read =
        (access & CIOMMU_READ) != 0 || ((access & CIOMMU_EXECUTE) != 0 && !stage->execute);
    if (as_read && (rights & CIOMMU_READ) == 0) {
        return stage->codes->read;
    }
    if ((access & CIOMMU_EXECUTE) != 0 && stage->execute && (rights & CIOMMU_EXECUTE) == 0) {
        return stage->codes->execute;
    }
    return 0;
}

static always_inline bool open_table(struct walker *walker, const struct stage_shape *stage,
                                     uint64_t address, bool top, struct table *table) {
    table->guest = address;
    if (stage->host_tables) {
        table->host = (unsigned char *)(uintptr_t)address; /* alive under the RCU read lock */
        table->address = address;
        table->host_rights = CIOMMU_READ | CIOMMU_WRITE;
        return true;
    }
    if (likely(open_page(walker, address, table))) {
        return true;
    }
    return walk_fails(walker, top ? stage->codes->top_access : stage->codes->access);
}

static always_inline bool finish(struct walker *walker, const struct stage_shape *stage,
                                 uint64_t input, bool judge, struct leaf *out) {
    uint64_t result = out->address | (input & ((UINT64_C(1) << out->page_lg2) - 1));
    if (judge && unlikely(in_interrupt_range(result))) {
        return walk_fails(walker, stage->codes->interrupt);
    }
    return true;
}

static always_inline bool may_mark(struct walker *walker, const struct table *table,
                                   uint64_t offset, uint64_t *address) {
    (void)walker;
    *address = table->address + offset;
    return true;
}

static const struct walk_format second_stage = {
    .table = CIOMMU_TABLE_SECOND_STAGE,
    .present = SS_READ | SS_WRITE,
    .absent = absent,
    .check = check,
    .rights = rights_of,
    .deny = deny,
    .open = open_table,
    .finish = finish,
    .may_mark = may_mark,
};

bool ciommu_vtd_walk_second(struct walker *walker, const struct ciommu_space *space,
                            uint64_t walk_generation, uint64_t input, uint32_t access, bool judge,
                            struct leaf *out) {
    const struct stage_shape *stage = &walker->shape->second;
    walker->fault.stage =
        walker->shape->kind == SPACE_NESTED ? CIOMMU_STAGE_NESTED : CIOMMU_STAGE_SECOND;
    if (input > stage->input_last) {
        walk_at(walker, CIOMMU_NO_LEVEL, 0);
        return walk_fails(walker, stage->codes->input);
    }
    if (walk_stage(walker, &second_stage, stage, space, walk_generation, input, access, judge,
                   out)) {
        return true;
    }
    if (stage->host_tables) {
        walker->fault.entry_address = 0; /* the host's own memory has no output address */
    }
    return false;
}

static bool walk(struct walker *walker, uint64_t input, struct leaf *out) {
    return ciommu_vtd_walk_second(walker, walker->space, walker->walk_generation, input,
                                  walker->access, true, out);
}

const struct ciommu_format ciommu_vtd_second_stage = {.name = "VT-d second stage", .walk = walk};
