/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vtd_caps.h - what the capability registers say, decoded once per unit [FORMATS-VTD B2, B3].
 */
#ifndef CIOMMU_VTD_CAPS_H
#define CIOMMU_VTD_CAPS_H

#include "ciommu.h"

/* Immutable after creation. */
struct vtd_caps {
    uint32_t revision;    /* enum ciommu_revision */
    uint32_t haw;         /* host address width, bits */
    uint32_t mgaw;        /* CAP.MGAW + 1, bits */
    uint32_t domain_bits; /* 4 + 2 * CAP.ND */
    uint32_t sagaw;       /* bit n: AW = n is supported */
    uint32_t mamv;        /* largest address mask of an IOTLB descriptor */
    uint32_t pasid_bits;  /* ECAP.PSS + 1, at most 20; 0 without ECAP.PASID */
    uint32_t mhmv;        /* largest index mask of an interrupt-cache descriptor */
    uint64_t high_mask;   /* address bits at or above HAW */
    bool caching_mode;
    bool second_2m;
    bool second_1g;
    bool first_1g;
    bool first_5_level;
    bool page_selective;
    bool queued;
    bool device_tlb;
    bool interrupt_remapping;
    bool interrupt_extended;
    bool pass_through;
    bool snoop_control;
    bool memory_type;
    bool nested;
    bool page_request;
    bool execute_request;
    bool supervisor_request;
    bool extended_accessed;
    bool pasid;
    bool page_drain;
    bool scalable;
    bool second_ad;
    bool second_stage;
    bool first_stage;
    bool walk_snoop;
    bool rid_pasid;
    bool abort_dma;
    bool rid_priv;
};

/* Decodes registers that ciommu_capabilities_check accepted. */
struct vtd_caps ciommu_vtd_caps(uint64_t cap, uint64_t ecap, uint32_t revision, uint32_t haw);

#endif
