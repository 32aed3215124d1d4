/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault.h - the table of native fault codes: generic reason, name, and whether FPD may suppress it
 * [FORMATS-VTD E].
 */
#ifndef CIOMMU_FAULT_H
#define CIOMMU_FAULT_H

#include "ciommu.h"

/* Codes that C names by their condition. The number is the specification's. */
enum vtd_fault {
    VTD_ROOT_ABSENT = 0x01,
    VTD_CONTEXT_ABSENT = 0x02,
    VTD_CONTEXT_INVALID = 0x03,
    VTD_INPUT_RANGE = 0x04,
    VTD_WRITE = 0x05,
    VTD_READ = 0x06,
    VTD_PAGING_ACCESS = 0x07,
    VTD_ROOT_ACCESS = 0x08,
    VTD_CONTEXT_ACCESS = 0x09,
    VTD_ROOT_RESERVED = 0x0a,
    VTD_CONTEXT_RESERVED = 0x0b,
    VTD_PAGING_RESERVED = 0x0c,
    VTD_TYPE_BLOCKED = 0x0d,
    VTD_INTERRUPT_RESULT = 0x0e,
    VTD_IR_REQUEST_RESERVED = 0x20,
    VTD_IR_INDEX = 0x21,
    VTD_IR_ABSENT = 0x22,
    VTD_IR_ACCESS = 0x23,
    VTD_IR_RESERVED = 0x24,
    VTD_IR_COMPATIBILITY = 0x25,
    VTD_IR_SOURCE = 0x26,
    VTD_BAD_MODE = 0x30,
    VTD_LEGACY_PASID = 0x31,
    VTD_LEGACY_PAGE = 0x32,
    VTD_SM_ROOT_ACCESS = 0x38,
    VTD_SM_ROOT_ABSENT = 0x39,
    VTD_SM_ROOT_RESERVED = 0x3a,
    VTD_SM_CONTEXT_ACCESS = 0x40,
    VTD_SM_CONTEXT_ABSENT = 0x41,
    VTD_SM_CONTEXT_RESERVED = 0x42,
    VTD_SM_CONTEXT_INVALID = 0x43,
    VTD_SM_DTE_CLEAR = 0x44,
    VTD_SM_PASIDE_CLEAR = 0x45,
    VTD_SM_PASID_RANGE = 0x46,
    VTD_SM_PRE_CLEAR = 0x47,
    VTD_SM_RID_PASID = 0x48,
    VTD_DIRECTORY_ACCESS = 0x50,
    VTD_DIRECTORY_ABSENT = 0x51,
    VTD_DIRECTORY_RESERVED = 0x52,
    VTD_PASID_ACCESS = 0x58,
    VTD_PASID_ABSENT = 0x59,
    VTD_PASID_RESERVED = 0x5a,
    VTD_PASID_INVALID = 0x5b,
    VTD_EXECUTE_DISABLED = 0x5c,
    VTD_SUPERVISOR_DISABLED = 0x5d,
    VTD_FS_ACCESS = 0x70,
    VTD_FS_ABSENT = 0x71,
    VTD_FS_RESERVED = 0x72,
    VTD_FS_TOP_ACCESS = 0x73,
    VTD_FS_ABOVE_MGAW = 0x74,
    VTD_FS_SS_READ_TOP = 0x75,
    VTD_FS_SS_READ = 0x76,
    VTD_FS_SS_WRITE = 0x77,
    VTD_SS_ACCESS = 0x78,
    VTD_SS_ABSENT = 0x79,
    VTD_SS_RESERVED = 0x7a,
    VTD_SS_TOP_ACCESS = 0x7b,
    VTD_SS_AD_SNOOP = 0x7c,
    VTD_SS_AD_FAILED = 0x7d,
    VTD_NOT_CANONICAL = 0x80,
    VTD_USER = 0x81,
    VTD_EXECUTE = 0x82,
    VTD_PT_RANGE = 0x83,
    VTD_SS_INPUT_RANGE = 0x84,
    VTD_SM_WRITE = 0x85,
    VTD_SM_READ = 0x86,
    VTD_SM_INTERRUPT_RESULT = 0x87,
    VTD_FS_AD_SNOOP = 0x90,
    VTD_FS_AD_FAILED = 0x91
};

struct fault_code {
    uint8_t reason;   /* enum ciommu_fault_reason */
    bool qualified;   /* FPD suppresses it */
    bool recoverable; /* an ATS translation request that meets it completes without rights and
                         records nothing */
    const char *name;
    const char *text;
};

/* The row of `code`; a row with an empty name for a code that the engine does not produce. Never
 * NULL. */
const struct fault_code *ciommu_fault_code(uint32_t code);

#endif
