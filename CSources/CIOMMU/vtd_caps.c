/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vtd_caps.c - decoding and checking the capability registers [FORMATS-VTD B2, B3].
 */
#include "vtd_caps.h"

static bool bit(uint64_t value, unsigned index) {
    return (value >> index & 1) != 0;
}

static uint32_t field(uint64_t value, unsigned low, unsigned width) {
    return (uint32_t)(value >> low & ((UINT64_C(1) << width) - 1));
}

/* ECAP.PSS may promise more bits than a PASID has. */
static uint32_t pasid_bits(uint64_t ecap) {
    uint32_t bits = field(ecap, 35, 5) + 1;
    return !bit(ecap, 40) ? 0 : bits > 20 ? 20 : bits;
}

struct vtd_caps ciommu_vtd_caps(uint64_t cap, uint64_t ecap, uint32_t revision, uint32_t haw) {
    return (struct vtd_caps){
        .revision = revision,
        .haw = haw,
        .mgaw = field(cap, 16, 6) + 1,
        .domain_bits = 4 + 2 * field(cap, 0, 3),
        .sagaw = field(cap, 8, 5),
        .mamv = field(cap, 48, 6),
        .pasid_bits = pasid_bits(ecap),
        .mhmv = field(ecap, 20, 4),
        .high_mask = ~((UINT64_C(1) << haw) - 1),
        .caching_mode = bit(cap, 7),
        .second_2m = bit(cap, 34),
        .second_1g = bit(cap, 35),
        .first_1g = bit(cap, 56),
        .first_5_level = bit(cap, 60),
        .page_selective = bit(cap, 39),
        .queued = bit(ecap, 1),
        .device_tlb = bit(ecap, 2),
        .interrupt_remapping = bit(ecap, 3),
        .interrupt_extended = bit(ecap, 4),
        .pass_through = bit(ecap, 6),
        .snoop_control = bit(ecap, 7),
        .memory_type = bit(ecap, 25),
        .nested = bit(ecap, 26),
        .page_request = bit(ecap, 29),
        .execute_request = bit(ecap, 30),
        .supervisor_request = bit(ecap, 31),
        .extended_accessed = bit(ecap, 34),
        .pasid = bit(ecap, 40),
        .page_drain = bit(ecap, 42),
        .scalable = bit(ecap, 43),
        .second_ad = bit(ecap, 45),
        .second_stage = bit(ecap, 46),
        .first_stage = bit(ecap, 47),
        .walk_snoop = bit(ecap, 48),
        .rid_pasid = bit(ecap, 49),
        .abort_dma = bit(ecap, 52),
        .rid_priv = bit(ecap, 53),
    };
}

const char *ciommu_capabilities_check(uint64_t cap, uint64_t ecap, uint32_t revision,
                                      uint32_t haw) {
    if (revision != CIOMMU_VTD_3 && revision != CIOMMU_VTD_4) {
        return "the revision is neither 3 nor 4";
    }
    if (haw < 32 || haw > 52) {
        return "the host address width is outside 32...52 bits";
    }
    struct vtd_caps caps = ciommu_vtd_caps(cap, ecap, revision, haw);
    if (field(cap, 0, 3) == 7) {
        return "CAP.ND = 7 is reserved";
    }
    if ((caps.sagaw & ~0xeu) != 0) {
        return "CAP.SAGAW names a width other than 39, 48 and 57 bits";
    }
    if (caps.mgaw < 30) {
        return "CAP.MGAW is under 30 bits, less than one 1 GiB page";
    }
    if (caps.mgaw > 57) {
        return "CAP.MGAW is over 57 bits";
    }
    if (caps.sagaw == 0 && (!caps.scalable || caps.second_stage)) {
        return "CAP.SAGAW names no width although second-stage translation is offered";
    }
    if (caps.second_1g && !caps.second_2m) {
        return "CAP.SSLPS offers 1 GiB pages without 2 MiB pages";
    }
    if (!caps.scalable &&
        (caps.first_stage || caps.second_stage || caps.nested || caps.pasid || caps.rid_pasid)) {
        return "ECAP offers scalable-mode features (FSTS, SSTS, NEST, PASID or RPS) without SMTS";
    }
    if (caps.nested && !(caps.first_stage && caps.second_stage)) {
        return "ECAP.NEST needs both FSTS and SSTS";
    }
    if (caps.scalable && !(caps.first_stage || caps.second_stage || caps.pass_through)) {
        return "ECAP.SMTS without FSTS, SSTS or PT leaves no legal PASID-table entry";
    }
    if (caps.page_request && !caps.device_tlb) {
        return "ECAP.PRS needs DT";
    }
    if (caps.second_ad && !caps.second_stage) {
        return "ECAP.SSADS needs SSTS";
    }
    return 0;
}
