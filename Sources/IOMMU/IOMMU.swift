// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOMMU - the module that hosts import: re-exports the library's modules and adds nothing.

@_exported public import IOMMUCore
@_exported public import IOMMUDomains
@_exported public import IOMMUFaults
@_exported public import IOMMUInterrupts
@_exported public import IOMMUInvalidation
