// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ProbeRow - probes.csv: what the recorder answered when it was asked about the stopped guest, its caches flushed before each.

/// One question to the recorder, and its answer.
public struct ProbeRow: Hashable, Sendable {
    /// The source id.
    public let source: UInt16
    /// The PASID. The recorder looked straight into the PASID table for it, past everything that would refuse the request.
    public let pasid: UInt32?
    /// The input address.
    public let iova: UInt64
    /// Asked for writing, otherwise for reading.
    public let isWrite: Bool
    /// What was answered.
    public let answer: RecordedAnswer
    /// Its line in `probes.csv`.
    public let line: Int
}

extension ProbeRow {
    /// Reads `probes.csv`.
    static func rows(_ file: CaptureFile) throws(CaptureError) -> [ProbeRow] {
        try file.parse { (reader) throws(CaptureError) in
            try reader.header("sid,pasid,iova,write,qemu_fault,iova_base,gpa_base,mask,perm")
            var rows: [ProbeRow] = []
            while !reader.isAtEnd {
                rows.append(try ProbeRow(&reader))
            }
            return rows
        }
    }

    private init(_ reader: inout LineReader) throws(CaptureError) {
        line = reader.line
        source = try reader.sourceNumber()
        try reader.comma()
        pasid = try reader.optionalPASID()
        iova = try reader.hexadecimalColumn("the input address")
        isWrite = try reader.flag("write")
        let fault = try reader.hexadecimal("the fault", max: 0xff)
        try reader.comma()
        let inputBase = try reader.hexadecimalColumn("iova_base")
        let output = try reader.hexadecimalColumn("gpa_base")
        let mask = try reader.hexadecimalColumn("mask")
        let rights = try reader.hexadecimal("perm", max: 3)
        answer = RecordedAnswer(
            outputBase: output, mask: mask, rights: UInt8(rights), fault: UInt8(fault), isDisabled: false)
        try answer.check(reader)
        guard inputBase == (fault == 0 ? iova & ~mask : 0) else {
            throw reader.error("iova_base is not the page of the input address")
        }
        try reader.endLine()
    }
}
