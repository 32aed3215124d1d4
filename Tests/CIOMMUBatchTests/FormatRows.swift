// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The rows of the format notes, and what checks each of them. Every name quotes its row.

import IOMMUTestSupport
import Testing

/// A row of the notes and its cases.
struct FormatRow: Sendable, CustomTestStringConvertible {
    var name: String
    /// Compares; a row without a comparison fails its test.
    var check: @Sendable (inout MismatchLog) throws -> Void

    init(_ name: String, _ check: @escaping @Sendable (inout MismatchLog) throws -> Void) {
        self.name = name
        self.check = check
    }

    var testDescription: String { name }
}

/// All rows of FORMATS-VTD C1-C4 and FORMATS-IOMMUFD 5 that a batch can meet, in their order.
enum FormatNotes {
    static let types = [
        "C1 legacy, DW=0: types 1-5",
        "C1 legacy, DW=1: types 1-5, needs ECAP.SMTS or ADMS",
        "C1 scalable or abort, DW=0: illegal, IQEI 5",
        "C1 scalable or abort, DW=1: types 1-9",
        "C1 types 3, 8 with DT=0, type 9 with PRS=0, type 4 with IR=0: IQEI 3",
        "C1 TTM=2: IQEI 7",
        "C1 type[6:4] in q0[11:9]: all defined types have them 0",
        "C1 in a 256-bit queue q2,q3 must be 0, except private data of old page responses",
    ]

    static let layouts = [
        "C2 1 context-cache", "C2 2 IOTLB", "C2 3 device-TLB", "C2 4 IEC", "C2 5 wait", "C2 6 PIOTLB",
        "C2 7 PASID cache", "C2 8 PASID devTLB", "C2 9 page-group response", "C2 0xA page-stream response, deprecated",
        "C2 types 0 and 0xB-0xF",
    ]

    static let semantics = [
        "C3 G=0 for types 1,2; G 0,1 for type 6; G=2 for type 7: IQE",
        "C3 type 2 G=page needs CAP.PSI=1 and AM <= CAP.MAMV",
        "C3 PSI/MAMV do not limit type 6",
        "C3 AM = n: the low n page-number bits of ADDR are ignored",
        "C3 ADDR/AM/IH ignored when granularity is not page; reserved bits still checked",
        "C3 IH=1: non-leaf paging-structure cache entries may be kept",
        "C3 type 4 index: IIDX with low IM bits ignored; IM <= ECAP.MHMV when G=1",
        "C3 type 1 FM",
        "C3 wait: IF, SW; the status write precedes the interrupt",
        "C3 wait FN, PD; PD with PDS=0: IQE",
        "C3 wait with SW=IF=FN=0 is accepted",
        "C3 type 3/8 size",
        "C3 device-TLB descriptors: only a later wait reports completion",
        "C4 IQE: stops at the offending descriptor",
        "C4 ITE: pending wait descriptors are aborted",
    ]

    static let stage1 = [
        "5 entry_num>0 and (ptr=0 or len=0): EINVAL, 0 done",
        "5 bad id, object neither nested: EINVAL, 0 done",
        "5 entry_num is always written back",
        "5 entry_num=0 probes the data_type",
        "5 flags other than LEAF or __reserved: EOPNOTSUPP",
        "5 addr not 4 KB aligned: EINVAL",
        "5 npages=U64_MAX with addr not 0: EINVAL",
        "5 whole cache = addr 0 and npages U64_MAX",
        "5 stops at first failure, earlier entries stay done",
        "5 LEAF sets IH",
        "5 entry_len < 24: EINVAL",
        "5 entry_len > 24 with nonzero extra: E2BIG",
        "5 npages=0 is not rejected",
        "12 unknown flag is decided before value errors",
        "12 count > 2^19 or length > 4 KiB: EINVAL",
        "12 entries are copied and applied one by one",
    ]

    static let all = types + layouts + semantics + stage1
}

let formatRows = typeRows + layoutRows + semanticRows + stage1Rows
