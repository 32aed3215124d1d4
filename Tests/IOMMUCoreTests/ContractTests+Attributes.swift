// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a translation says besides address and rights: snooping, and how far the answer reaches. Cached answers say the same.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct ContractAttributeTests {
    static let input: UInt64 = 0x12_4000_0000
    static let place: UInt64 = 0x23_4000_0000
    static let output: UInt64 = 0x34_4000_0000

    /// Uncached, cold and warm.
    private func translations(_ bench: TestBench, _ request: DMARequest) throws -> [Translation] {
        let uncached = request.options.union(.noCache)
        return try [uncached, request.options, request.options].map { options in
            let result = try bench.port.translate(
                IOVA(request.iova), access: request.access.rights, source: SourceID(UInt32(request.source)),
                pasid: request.pasid.flatMap { PASID($0) }, options: options)
            guard case .mapped(let translation) = result else {
                throw UnexpectedAnswer(text: "\(request): \(result)")
            }
            return translation
        }
    }

    private struct UnexpectedAnswer: Error {
        let text: String
    }

    /// Snooped: the second-stage leaf says so (SNP), or the PASID entry does for all (PGSNP).
    @Test(arguments: TableMode.translating, [false, true])
    func snoopingComesFromTheLeafOrThePASIDEntry(mode: TableMode, isLeafSnooped: Bool) throws {
        for isForced in mode.isLegacy ? [false] : [false, true] {
            let tables = ModeTables(mode)
            if isForced { tables.entry.raw[1] |= 1 << 24 }
            tables.publish()
            tables.second?.map(
                tables.first == nil ? Self.input : Self.place, to: Self.output, flags: isLeafSnooped ? 0x807 : 7)
            tables.first?.map(Self.input, to: tables.second == nil ? Self.output : Self.place, flags: 0x67)
            let bench = try tables.bench()
            let isSnooped = isForced || (isLeafSnooped && tables.second != nil)
            for translation in try translations(bench, tables.request(Self.input, [.read])) {
                #expect(translation.isSnooped == isSnooped)
            }
        }
    }

    /// The contiguous bytes stay inside the page, and where no memory is known, inside 4 KiB at least.
    @Test(arguments: TableMode.translating)
    func anAnswerReachesToTheEndOfThePageAtMost(mode: TableMode) throws {
        for level in 0...2 {
            let tables = ModeTables(mode)
            tables.second?.map(tables.first == nil ? Self.input : Self.place, to: Self.output, level: level)
            tables.first?.map(
                Self.input, to: tables.second == nil ? Self.output : Self.place, level: level, flags: 0x67)
            let bench = try tables.bench()
            let size = UInt64(1) << UInt64(12 + 9 * level)
            for offset in [0, 0x123, size - 8, size - 1] {
                for translation in try translations(bench, tables.request(Self.input + offset, [.read])) {
                    #expect(translation.mask == size - 1)
                    #expect(translation.address.rawValue == Self.output + offset)
                    #expect(translation.contiguousBytes >= 1)
                    #expect(translation.contiguousBytes <= size - offset)
                }
            }
        }
    }

    /// Memory behind a large page makes the answer reach to the end of what is registered, not further.
    @Test(arguments: TableMode.translating)
    func anAnswerEndsWhereRegisteredMemoryEnds(mode: TableMode) throws {
        let start: UInt64 = 0x4000_0000
        let image = GuestImage(regions: [
            .init(address: GuestImage.ram, pages: 256), .init(address: start, pages: 16),
        ])
        let tables = ModeTables(mode, image: image)
        tables.second?.map(tables.first == nil ? Self.input : Self.place, to: start, level: 1)
        tables.first?.map(Self.input, to: tables.second == nil ? start : Self.place, level: 1, flags: 0x67)
        let bench = try tables.bench()
        for offset: UInt64 in [0, 0x5008, 0xffff] {
            for translation in try translations(bench, tables.request(Self.input + offset, [.read])) {
                #expect(translation.address.rawValue == start + offset)
                #expect(translation.contiguousBytes <= 0x1_0000 - offset)
            }
        }
        for translation in try translations(bench, tables.request(Self.input + 0x1_0000, [.read])) {
            #expect(translation.address.rawValue == start + 0x1_0000)
        }
    }
}
