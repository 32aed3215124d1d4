/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * shape_vtd.c - checking PASID-table entries, and computing what walks need from them and from the
 * capabilities.
 */
#include "shape_vtd.h"
#include "ciommu_domains.h"
#include "fault.h"

#define PAGE UINT64_C(0xfffffffffffff000)
#define ADDRESS UINT64_C(0x000ffffffffff000) /* 51:12 */
#define LARGE UINT64_C(0x80)
#define BITS(high, low) ((UINT64_C(2) << (high)) - (UINT64_C(1) << (low)))

/* PASID-table entry, word 0 */
#define SSEE UINT64_C(0x20)
#define SSADE UINT64_C(0x200)
/* word 1 */
#define PWSNP (UINT64_C(1) << 23)
#define PGSNP (UINT64_C(1) << 24)
#define MEMORY_TYPE (BITS(26, 25) | BITS(63, 32)) /* CD, EMTE, PAT */
#define EMT BITS(29, 27)
#define PWT_PCD BITS(31, 30)
/* word 2 */
#define SRE UINT64_C(1)
#define ERE UINT64_C(2)
#define WPE UINT64_C(0x10)
#define NXE UINT64_C(0x20)
#define SMEP UINT64_C(0x40)
#define EAFE UINT64_C(0x80)

static const struct second_stage_codes legacy_codes = {
    .input = VTD_INPUT_RANGE,
    .top_access = VTD_CONTEXT_INVALID,
    .access = VTD_PAGING_ACCESS,
    .absent_read = VTD_READ,
    .absent_write = VTD_WRITE,
    .read = VTD_READ,
    .write = VTD_WRITE,
    .execute = VTD_READ,
    .reserved = VTD_PAGING_RESERVED,
    .interrupt = VTD_INTERRUPT_RESULT,
};

static const struct second_stage_codes scalable_codes = {
    .input = VTD_SS_INPUT_RANGE,
    .top_access = VTD_SS_TOP_ACCESS,
    .access = VTD_SS_ACCESS,
    .absent_read = VTD_SS_ABSENT,
    .absent_write = VTD_SS_ABSENT,
    .read = VTD_SM_READ,
    .write = VTD_SM_WRITE,
    .execute = VTD_EXECUTE,
    .reserved = VTD_SS_RESERVED,
    .interrupt = VTD_SM_INTERRUPT_RESULT,
    .ad_snoop = VTD_SS_AD_SNOOP,
    .ad_failed = VTD_SS_AD_FAILED,
};

static uint64_t last_of(uint32_t bits) {
    return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

/* Fills everything of a second stage but the accessed and dirty bits. */
static void second_stage(const struct vtd_caps *caps, uint64_t root, uint32_t width,
                         const struct second_stage_codes *codes, struct stage_shape *stage) {
    uint32_t bits = 30 + 9 * width;
    uint64_t everywhere = (caps->high_mask & ADDRESS) | UINT64_C(1) << 62;
    uint64_t leaf = everywhere | (caps->snoop_control ? 0 : UINT64_C(1) << 11);
    stage->roots[0] = root;
    stage->roots[1] = NO_ROOT;
    stage->input_last = last_of(bits < caps->mgaw ? bits : caps->mgaw);
    stage->address_mask = ADDRESS;
    stage->snoop = caps->snoop_control ? UINT64_C(1) << 11 : 0;
    stage->codes = codes;
    stage->levels = (uint8_t)(width + 2);
    for (uint32_t level = 0; level < LEVELS_MOST; level++) {
        stage->reserved_table[level] = everywhere | UINT64_C(1) << 11 | (level >= 3 ? LARGE : 0);
    }
    stage->reserved_leaf[0] = leaf;
    stage->reserved_leaf[1] = leaf | BITS(20, 12) | (caps->second_2m ? 0 : LARGE);
    stage->reserved_leaf[2] = leaf | BITS(29, 12) | (caps->second_1g ? 0 : LARGE);
}

void ciommu_vtd_shape_legacy(const struct vtd_caps *caps, uint64_t root, uint32_t width,
                             uint32_t domain, struct space_shape *shape) {
    shape->kind = SPACE_SECOND;
    shape->domain = domain;
    second_stage(caps, root, width, &legacy_codes, &shape->second);
}

/* Bits that must be zero, those of capabilities that the unit lacks included. Choice: AW is never
 * among them, because Linux writes it into first-stage entries of units without second stage
 * [recording C1]; it is judged only where it is used. */
static bool has_reserved_bits(const struct vtd_caps *caps, const uint64_t entry[8], uint32_t pgtt) {
    bool old = caps->revision == CIOMMU_VTD_3;
    uint64_t reserved0 = BITS(11, 10) | (old ? 0 : SSEE) | (caps->high_mask & PAGE);
    uint64_t ssade = pgtt == 4 ? 0 : SSADE;
    reserved0 |= caps->second_ad ? 0 : ssade;
    reserved0 |= caps->second_stage ? 0 : ssade | PAGE;
    uint64_t reserved1 = BITS(22, 16) | (~last_of(caps->domain_bits) & BITS(15, 0)) |
                         (caps->walk_snoop ? 0 : PWSNP) | (caps->snoop_control ? 0 : PGSNP) |
                         (caps->memory_type ? 0 : MEMORY_TYPE);
    reserved1 |= old ? (caps->memory_type ? 0 : EMT) : EMT | PWT_PCD;
    uint64_t reserved2;
    if (!caps->first_stage) {
        reserved2 = ~(NXE | SMEP);
    } else {
        reserved2 = BITS(11, 8) | (caps->supervisor_request ? 0 : SRE) |
                    (caps->extended_accessed ? 0 : EAFE) |
                    (old && caps->execute_request ? 0 : ERE) |
                    (pgtt == 1 ? caps->high_mask & PAGE : 0);
    }
    uint64_t tail = entry[3] | entry[4] | entry[5] | entry[6] | entry[7];
    return (entry[0] & reserved0) != 0 || (entry[1] & reserved1) != 0 ||
           (entry[2] & reserved2) != 0 || tail != 0;
}

static bool is_legal(const struct vtd_caps *caps, uint32_t pgtt, uint32_t width,
                     uint32_t paging_mode) {
    bool uses_first = pgtt == 1 || pgtt == 3;
    bool uses_second = pgtt == 2 || pgtt == 3;
    bool offered = (pgtt == 1 && caps->first_stage) || (pgtt == 2 && caps->second_stage) ||
                   (pgtt == 3 && caps->nested && caps->first_stage && caps->second_stage) ||
                   (pgtt == 4 && caps->pass_through);
    bool width_ok = !uses_second || (caps->sagaw >> width & 1) != 0;
    bool mode_ok = !uses_first || paging_mode == 0 || (paging_mode == 1 && caps->first_5_level);
    return offered && width_ok && mode_ok;
}

static void first_stage(const struct vtd_caps *caps, const uint64_t entry[8], bool nested,
                        struct stage_shape *stage) {
    bool old = caps->revision == CIOMMU_VTD_3;
    bool five = (entry[2] >> 2 & 3) == 1;
    uint64_t mgaw = ~last_of(caps->mgaw) & ADDRESS;
    uint64_t everywhere = (nested ? 0 : caps->high_mask & ADDRESS) |
                          (old && (entry[2] & NXE) == 0 ? UINT64_C(1) << 63 : 0);
    stage->roots[0] = entry[2] & PAGE;
    stage->roots[1] = NO_ROOT;
    stage->address_mask = ADDRESS;
    stage->address_fault = nested ? mgaw : 0;
    stage->input_last = last_of(caps->mgaw);
    stage->accessed = UINT64_C(0x20) | ((entry[2] & EAFE) != 0 ? UINT64_C(0x400) : 0);
    stage->dirty = UINT64_C(0x40);
    stage->levels = five ? 5 : 4;
    stage->input_bits = five ? 57 : 48;
    stage->snooped = caps->walk_snoop && (entry[1] & PWSNP) != 0;
    stage->write_protect = (entry[2] & WPE) != 0;
    stage->execute_disable = old && (entry[2] & NXE) != 0;
    stage->supervisor_execute_protect = old && (entry[2] & SMEP) != 0;
    for (uint32_t level = 0; level < LEVELS_MOST; level++) {
        stage->reserved_table[level] = everywhere | (level >= 3 ? LARGE : 0);
    }
    stage->reserved_leaf[0] = everywhere;
    stage->reserved_leaf[1] = everywhere | BITS(20, 13);
    stage->reserved_leaf[2] = everywhere | BITS(29, 13) | (caps->first_1g ? 0 : LARGE);
}

uint32_t ciommu_vtd_shape_scalable(const struct vtd_caps *caps, const uint64_t entry[8],
                                   uint32_t pasid, struct space_shape *shape) {
    uint32_t pgtt = (uint32_t)(entry[0] >> 6 & 7);
    uint32_t width = (uint32_t)(entry[0] >> 2 & 7);
    uint32_t paging_mode = (uint32_t)(entry[2] >> 2 & 3);
    if (has_reserved_bits(caps, entry, pgtt)) {
        return VTD_PASID_RESERVED;
    }
    if (!is_legal(caps, pgtt, width, paging_mode)) {
        return VTD_PASID_INVALID;
    }
    shape->domain = (uint32_t)(entry[1] & 0xffff);
    shape->attributes = (entry[1] & PGSNP) != 0 ? CIOMMU_ATTRIBUTE_SNOOP : 0;
    shape->kind = pgtt == 1   ? SPACE_FIRST
                  : pgtt == 2 ? SPACE_SECOND
                  : pgtt == 3 ? SPACE_NESTED
                              : SPACE_IDENTITY;
    if (pgtt == 1 || pgtt == 3) {
        shape->pasid = pasid;
        first_stage(caps, entry, pgtt == 3, &shape->first);
    }
    if (pgtt == 2 || pgtt == 3) {
        struct stage_shape *stage = &shape->second;
        second_stage(caps, entry[0] & PAGE, width, &scalable_codes, stage);
        stage->execute = caps->revision == CIOMMU_VTD_3 && (entry[0] & SSEE) != 0;
        if ((entry[0] & SSADE) != 0) {
            stage->accessed = UINT64_C(0x100);
            stage->dirty = UINT64_C(0x200);
            stage->snooped = caps->walk_snoop && (entry[1] & PWSNP) != 0;
        }
    }
    return 0;
}

void ciommu_vtd_shape_paging(const struct vtd_caps *caps, const uint64_t *root, uint32_t bits,
                             bool tracks, uint32_t domain, struct space_shape *shape) {
    struct stage_shape *stage = &shape->second;
    shape->kind = SPACE_SECOND;
    shape->domain = domain;
    stage->roots[0] = (uint64_t)(uintptr_t)root;
    stage->roots[1] = NO_ROOT;
    stage->input_last = last_of(bits);
    stage->address_mask = ADDRESS;
    stage->accessed = tracks ? UINT64_C(0x100) : 0;
    stage->dirty = tracks ? UINT64_C(0x200) : 0;
    stage->codes = caps->scalable ? &scalable_codes : &legacy_codes;
    stage->host_tables = true;
    stage->levels = (uint8_t)((bits - 12) / 9);
    stage->snooped = true; /* the host's own memory is coherent */
}

void ciommu_vtd_shape_nested(const struct vtd_caps *caps, uint64_t root, uint32_t bits,
                             uint64_t flags, struct space_shape *shape) {
    uint64_t entry[8] = {0};
    entry[1] = caps->walk_snoop ? PWSNP : 0;
    entry[2] = root | (bits == 57 ? UINT64_C(4) : 0) |
               ((flags & CIOMMU_NESTED_SRE) != 0 ? SRE : 0) |
               ((flags & CIOMMU_NESTED_WPE) != 0 ? WPE : 0) |
               ((flags & CIOMMU_NESTED_EAFE) != 0 ? EAFE : 0);
    shape->kind = SPACE_NESTED;
    first_stage(caps, entry, true, &shape->first);
}
