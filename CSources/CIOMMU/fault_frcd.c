/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_frcd.c - a fault as VT-d's fault-recording registers hold it [FORMATS-VTD B7].
 */
#include "ciommu_faults.h"

/* words[1], which is bits 127:64 */
#define FRCD_T2 28u
#define FRCD_PRIV 29u
#define FRCD_EXE 30u
#define FRCD_PP 31u
#define FRCD_FR 32u
#define FRCD_PV 40u
#define FRCD_AT 60u
#define FRCD_T1 62u
#define FRCD_F 63u
#define FRCD_INDEX 48u /* words[0], of an interrupt request */

#define FIELD(value, position) ((uint64_t)(value) << (position))

/* T1 and T2: a write, a page request, a read, both at once. */
static uint64_t type_of(const struct ciommu_fault *fault) {
    if (fault->request == CIOMMU_REQUEST_PAGE) {
        return FIELD(1, FRCD_T2);
    }
    if (fault->request == CIOMMU_REQUEST_INTERRUPT) {
        return 0;
    }
    bool writes = (fault->access & CIOMMU_WRITE) != 0;
    bool reads = (fault->access & (CIOMMU_READ | CIOMMU_EXECUTE)) != 0;
    /* Choice: a request for no right at all reads nothing; it is shown as a read. */
    return FIELD(reads || !writes, FRCD_T1) | FIELD(reads && writes, FRCD_T2);
}

static uint64_t information_of(const struct ciommu_fault *fault, uint32_t address_width) {
    if (fault->request == CIOMMU_REQUEST_INTERRUPT) {
        return FIELD(fault->address & 0xffff, FRCD_INDEX);
    }
    uint64_t implemented = UINT64_MAX >> (64 - address_width);
    return fault->address & implemented & ~UINT64_C(0xfff);
}

enum ciommu_status ciommu_fault_frcd(const struct ciommu_fault *fault, uint32_t address_width,
                                     uint64_t words[2]) {
    if (fault == NULL || words == NULL || fault->size < sizeof *fault || address_width < 12 ||
        address_width > 64) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (fault->code == 0 || fault->code > 0xff || fault->source > 0xffff) {
        return CIOMMU_UNSUPPORTED;
    }
    bool ats =
        fault->request == CIOMMU_REQUEST_TRANSLATION || fault->request == CIOMMU_REQUEST_TRANSLATED;
    uint64_t high = fault->source | type_of(fault) | FIELD(fault->code, FRCD_FR) |
                    FIELD(ats ? fault->request : 0, FRCD_AT) | FIELD(1, FRCD_F);
    if (fault->pasid != CIOMMU_NO_PASID) {
        high |= FIELD((fault->access & CIOMMU_PRIVILEGED) != 0, FRCD_PRIV) |
                FIELD((fault->access & CIOMMU_EXECUTE) != 0, FRCD_EXE) | FIELD(1, FRCD_PP) |
                FIELD(fault->pasid & CIOMMU_PASID_MAX, FRCD_PV);
    }
    words[0] = information_of(fault, address_width);
    words[1] = high;
    return CIOMMU_OK;
}
