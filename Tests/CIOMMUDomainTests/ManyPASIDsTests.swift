// SPDX-License-Identifier: LGPL-2.1-or-later
//
// All PASIDs of a source, and few of very many sources: memory grows with what is attached, not with what could be.

import CIOMMU
import Foundation
import Testing

/// Resident memory of this process, in bytes.
private func residentBytes() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
}

@Suite(.serialized)
struct ManyPASIDsTests {
    @Test func everyPASIDOfASourceMayBeAttached() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domains = try (0..<4 as Range<UInt64>).map { index in
            let domain = try bench.makePaging()
            try bench.map(domain, 0x1000, to: 0x10_0000 * (index + 1), pageBytes)
            return domain
        }
        let count = UInt32(1) << 20
        let before = residentBytes()
        // All but one, in an order that visits all parts of the space early.
        for index in 1..<count {
            let pasid = index &* 0x9e375 & (count - 1)
            let status = bench.attach(device, domains[Int(pasid % 4)], pasid: pasid)
            if status != CIOMMU_OK {
                Issue.record("PASID \(pasid): \(status)")
                return
            }
        }
        let bytes = residentBytes() - before
        #expect(bytes < Int(count) * 256, "\(bytes / Int(count)) bytes a PASID")
        #expect(domains.reduce(0) { $0 + bench.statistics($1).attachments } == count - 1)
        #expect(try !bench.ask(0x1000, pasid: 0).isMapped)
        for index in 1..<UInt32(20_000) {
            let pasid = index &* 7919 & (count - 1)
            guard pasid != 0 else { continue }
            let answer = try bench.ask(0x1004, pasid: pasid)
            if answer.address != 0x10_0004 + 0x10_0000 * UInt64(pasid % 4) {
                Issue.record("PASID \(pasid): \(answer)")
                return
            }
        }
        #expect(bench.detach(device, pasid: 0xfffff) == CIOMMU_OK)
        #expect(try !bench.ask(0x1000, pasid: 0xfffff).isMapped)
        #expect(try bench.ask(0x1000, pasid: 0xffffe).isMapped)
        #expect(bench.reset(device) == CIOMMU_OK)
        #expect(domains.allSatisfy { bench.statistics($0).attachments == 0 })
        for pasid in [1, 2, 777, 0xffffe] as [UInt32] { #expect(try !bench.ask(0x1000, pasid: pasid).isMapped) }
    }

    /// One PASID of a source, the last or any other, costs a few pages.
    @Test func aSourceWithOnePASIDIsCheap() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging()
        try bench.map(domain, 0x1000, to: 0x10_0000, pageBytes)
        let sources = 4096
        let before = residentBytes()
        for source in 0..<UInt32(sources) {
            let device = try bench.makeDevice(source: source, id: UInt64(source))
            #expect(bench.attach(device, domain, pasid: source &* 7919 & 0xfffff) == CIOMMU_OK)
        }
        let bytes = residentBytes() - before
        #expect(bytes < sources * 32_768, "\(bytes / sources) bytes a source")
        for source in 0..<UInt32(sources) {
            #expect(try bench.ask(0x1000, source: source, pasid: source &* 7919 & 0xfffff).address == 0x10_0000)
        }
    }
}
