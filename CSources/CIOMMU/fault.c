/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault.c - the table behind fault.h. One row a code, indexed by it.
 */
#include "fault.h"

#define Q true /* qualified by FPD */
#define U false
#define R true /* recoverable */
#define N false

static const struct fault_code codes[256] = {
    [VTD_ROOT_ABSENT] = {CIOMMU_FAULT_CONFIG_ABSENT, U, N, "LRT.2", "root entry not present"},
    [VTD_CONTEXT_ABSENT] = {CIOMMU_FAULT_CONFIG_ABSENT, Q, N, "LCT.2", "context entry not present"},
    [VTD_CONTEXT_INVALID] =
        {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "LCT.4",
         "context entry invalid: address width, translation type, or paging root unreadable"},
    [VTD_INPUT_RANGE] = {CIOMMU_FAULT_INPUT_ADDRESS, Q, N, "LGN.1",
                         "input address above the address width"},
    [VTD_WRITE] = {CIOMMU_FAULT_PERMISSION, Q, R, "LGN.2", "write without write permission"},
    [VTD_READ] = {CIOMMU_FAULT_PERMISSION, Q, R, "LGN.3", "read without read permission"},
    [VTD_PAGING_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, Q, N, "LSL.1",
                           "second-stage entry unreadable"},
    [VTD_ROOT_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, U, N, "LRT.1", "root entry unreadable"},
    [VTD_CONTEXT_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, U, N, "LCT.1", "context entry unreadable"},
    [VTD_ROOT_RESERVED] = {CIOMMU_FAULT_CONFIG_INVALID, U, N, "LRT.3",
                           "reserved bits set in the root entry"},
    [VTD_CONTEXT_RESERVED] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "LCT.3",
                              "reserved bits set in the context entry"},
    [VTD_PAGING_RESERVED] =
        {CIOMMU_FAULT_MALFORMED_ENTRY, Q, N, "LSL.2",
         "reserved bits set in a second-stage entry, or page size not supported"},
    [VTD_TYPE_BLOCKED] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "LCT.5",
                          "translation type blocks translation and translated requests"},
    [VTD_INTERRUPT_RESULT] = {CIOMMU_FAULT_INTERRUPT_RANGE, Q, N, "LGN.4",
                              "result in the interrupt address range"},
    [VTD_IR_REQUEST_RESERVED] = {CIOMMU_FAULT_REQUEST_BLOCKED, U, N, "IR",
                                 "reserved bits set in the interrupt message"},
    [VTD_IR_INDEX] = {CIOMMU_FAULT_INPUT_ADDRESS, U, N, "IR",
                      "interrupt index beyond the remapping table"},
    [VTD_IR_ABSENT] = {CIOMMU_FAULT_CONFIG_ABSENT, Q, N, "IR",
                       "interrupt-remapping entry not present"},
    [VTD_IR_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, U, N, "IR",
                       "interrupt-remapping entry unreadable"},
    [VTD_IR_RESERVED] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "IR",
                         "reserved bits set in the interrupt-remapping entry"},
    [VTD_IR_COMPATIBILITY] = {CIOMMU_FAULT_REQUEST_BLOCKED, U, N, "IR",
                              "interrupt message in compatibility format blocked"},
    [VTD_IR_SOURCE] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "IR",
                       "source id of the interrupt message failed validation"},
    [VTD_BAD_MODE] = {CIOMMU_FAULT_CONFIG_INVALID, U, N, "RTA.1",
                      "translation table mode not supported"},
    [VTD_LEGACY_PASID] = {CIOMMU_FAULT_REQUEST_BLOCKED, U, N, "RTA.2",
                          "request with PASID in legacy mode"},
    [VTD_LEGACY_PAGE] = {CIOMMU_FAULT_REQUEST_BLOCKED, U, N, "RTA.3",
                         "page request in legacy mode"},
    [VTD_SM_ROOT_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, U, N, "SRT.1",
                            "scalable root entry unreadable"},
    [VTD_SM_ROOT_ABSENT] = {CIOMMU_FAULT_CONFIG_ABSENT, U, N, "SRT.2",
                            "half of the scalable root entry not present"},
    [VTD_SM_ROOT_RESERVED] = {CIOMMU_FAULT_CONFIG_INVALID, U, N, "SRT.3",
                              "reserved bits set in the scalable root entry"},
    [VTD_SM_CONTEXT_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, U, N, "SCT.1",
                               "scalable context entry unreadable"},
    [VTD_SM_CONTEXT_ABSENT] = {CIOMMU_FAULT_CONFIG_ABSENT, Q, N, "SCT.2",
                               "scalable context entry not present"},
    [VTD_SM_CONTEXT_RESERVED] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "SCT.3",
                                 "reserved bits set in the scalable context entry"},
    [VTD_SM_CONTEXT_INVALID] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "SCT.4",
                                "scalable context entry invalid"},
    [VTD_SM_DTE_CLEAR] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "SCT.5",
                          "translation or translated request while DTE is clear"},
    [VTD_SM_PASIDE_CLEAR] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "SCT.6",
                             "request with PASID while PASIDE is clear"},
    [VTD_SM_PASID_RANGE] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "SCT.7",
                            "PASID beyond the PASID directory (PDTS)"},
    [VTD_SM_PRE_CLEAR] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "SCT.8",
                          "page request while PRE is clear"},
    [VTD_SM_RID_PASID] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "SCT.9",
                          "RID_PASID beyond the PASID directory (PDTS)"},
    [VTD_DIRECTORY_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, U, N, "SPD.1",
                              "PASID-directory entry unreadable"},
    [VTD_DIRECTORY_ABSENT] = {CIOMMU_FAULT_CONFIG_ABSENT, Q, R, "SPD.2",
                              "PASID-directory entry not present"},
    [VTD_DIRECTORY_RESERVED] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "SPD.3",
                                "reserved bits set in the PASID-directory entry"},
    [VTD_PASID_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, U, N, "SPT.1", "PASID-table entry unreadable"},
    [VTD_PASID_ABSENT] = {CIOMMU_FAULT_CONFIG_ABSENT, Q, R, "SPT.2",
                          "PASID-table entry not present"},
    [VTD_PASID_RESERVED] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "SPT.3",
                            "reserved bits set in the PASID-table entry"},
    [VTD_PASID_INVALID] = {CIOMMU_FAULT_CONFIG_INVALID, Q, N, "SPT.4",
                           "PASID-table entry invalid: PGTT, AW or FSPM not supported"},
    [VTD_EXECUTE_DISABLED] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "SPT.5",
                              "execute request while ERE is clear"},
    [VTD_SUPERVISOR_DISABLED] = {CIOMMU_FAULT_REQUEST_BLOCKED, Q, N, "SPT.6",
                                 "supervisor request while SRE is clear"},
    [VTD_FS_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, Q, N, "SFS.1", "first-stage entry unreadable"},
    [VTD_FS_ABSENT] = {CIOMMU_FAULT_NOT_PRESENT, Q, R, "SFS.2", "first-stage entry not present"},
    [VTD_FS_RESERVED] = {CIOMMU_FAULT_MALFORMED_ENTRY, Q, N, "SFS.3",
                         "reserved bits set in a first-stage entry"},
    [VTD_FS_TOP_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, Q, N, "SFS.4",
                           "top first-stage table unreadable (FSPTPTR)"},
    [VTD_FS_ABOVE_MGAW] = {CIOMMU_FAULT_INPUT_ADDRESS, Q, N, "SFS.5",
                           "address in a first-stage entry above the guest address width"},
    [VTD_FS_SS_READ_TOP] = {CIOMMU_FAULT_PERMISSION, Q, N, "SFS.6",
                            "second stage denies reading the top first-stage table"},
    [VTD_FS_SS_READ] = {CIOMMU_FAULT_PERMISSION, Q, N, "SFS.7",
                        "second stage denies reading a first-stage table"},
    [VTD_FS_SS_WRITE] = {CIOMMU_FAULT_PERMISSION, Q, N, "SFS.8",
                         "second stage denies the accessed or dirty update of a first-stage entry"},
    [VTD_SS_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, Q, N, "SSS.1", "second-stage entry unreadable"},
    [VTD_SS_ABSENT] = {CIOMMU_FAULT_NOT_PRESENT, Q, R, "SSS.2",
                       "second-stage entry without read and write permission"},
    [VTD_SS_RESERVED] = {CIOMMU_FAULT_MALFORMED_ENTRY, Q, N, "SSS.3",
                         "reserved bits set in a second-stage entry"},
    [VTD_SS_TOP_ACCESS] = {CIOMMU_FAULT_TABLE_ACCESS, Q, N, "SSS.4",
                           "top second-stage table unreadable (SSPTPTR)"},
    [VTD_SS_AD_SNOOP] =
        {CIOMMU_FAULT_AD_UPDATE, Q, N, "SSS.5",
         "second-stage accessed or dirty update needed, but page walks are not snooped"},
    [VTD_SS_AD_FAILED] = {CIOMMU_FAULT_AD_UPDATE, Q, N, "SSS.6",
                          "second-stage accessed or dirty update failed"},
    [VTD_NOT_CANONICAL] = {CIOMMU_FAULT_INPUT_ADDRESS, Q, N, "SGN.1",
                           "first-stage input address not canonical"},
    [VTD_USER] = {CIOMMU_FAULT_PERMISSION, Q, R, "SGN.2", "user request to a supervisor page"},
    [VTD_EXECUTE] = {CIOMMU_FAULT_PERMISSION, Q, R, "SGN.3",
                     "execute request without execute permission"},
    [VTD_PT_RANGE] = {CIOMMU_FAULT_INPUT_ADDRESS, Q, N, "SGN.4",
                      "pass-through input above the host address width"},
    [VTD_SS_INPUT_RANGE] = {CIOMMU_FAULT_INPUT_ADDRESS, Q, N, "SGN.5",
                            "second-stage input above the address width"},
    [VTD_SM_WRITE] = {CIOMMU_FAULT_PERMISSION, Q, R, "SGN.6", "write without write permission"},
    [VTD_SM_READ] = {CIOMMU_FAULT_PERMISSION, Q, R, "SGN.7", "read without read permission"},
    [VTD_SM_INTERRUPT_RESULT] = {CIOMMU_FAULT_INTERRUPT_RANGE, Q, N, "SGN.8",
                                 "result in the interrupt address range"},
    [VTD_FS_AD_SNOOP] =
        {CIOMMU_FAULT_AD_UPDATE, Q, N, "SFS.9",
         "first-stage accessed or dirty update needed, but page walks are not snooped"},
    [VTD_FS_AD_FAILED] = {CIOMMU_FAULT_AD_UPDATE, Q, N, "SFS.10",
                          "first-stage accessed or dirty update failed"},
};

static const struct fault_code unknown = {CIOMMU_FAULT_NONE, U, N, "", ""};

const struct fault_code *ciommu_fault_code(uint32_t code) {
    return code < 256 && codes[code].name != 0 ? &codes[code] : &unknown;
}

const char *ciommu_fault_code_name(uint32_t code) {
    return ciommu_fault_code(code)->name;
}

const char *ciommu_fault_code_text(uint32_t code) {
    return ciommu_fault_code(code)->text;
}
