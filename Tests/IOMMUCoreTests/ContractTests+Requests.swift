// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Kinds of requests [FORMATS-VTD A9b, A11]: with and without PASID, implied PASID, ATS, the interrupt range, pass-through and
// disabled translation; execute requests of revision 3.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct ContractRequestTests {
    static let accesses: [Access] = [
        [], [.read], [.write], [.read, .write], [.execute], [.read, .privileged], [.privileged],
    ]
    static let addresses: [UInt64] = [
        0, 0x1234, 0xfedf_ffff, 0xfee0_0000, 0xfeef_ffff, 0xfef0_0000, 1 << 52 - 1, 1 << 52, 1 << 63, .max,
    ]

    static func unchanged(_ address: UInt64) -> Answer {
        .mapped(MappedAnswer(address: address, pageSizeLog2: 12, rights: [.read, .write]))
    }

    static func blocked(_ code: UInt32, _ access: Access) -> Answer {
        .fault(FaultAnswer(code: code, stage: .none, isRecorded: !access.isProbe))
    }

    @Test(arguments: TableMode.unchanging, [false, true])
    func unchangedAddressesAreFourKiBPagesToReadAndWrite(mode: TableMode, isPASIDExplicit: Bool) throws {
        let tables = ModeTables(mode)
        let bench = try tables.bench()
        var log = MismatchLog()
        for address in Self.addresses {
            for access in Self.accesses {
                var request = tables.request(address, access, isPASIDExplicit: isPASIDExplicit)
                if mode == .disabled && isPASIDExplicit { request.pasid = ModeTables.pasid }
                let isInterrupt = address >> 20 == 0xfee
                let wanted: Answer =
                    if isInterrupt && request.pasid == nil {
                        .interrupt(address)
                    } else if mode == .disabled {
                        Self.unchanged(address)
                    } else if address >> 52 != 0 {
                        Self.blocked(mode.isLegacy ? 0x04 : 0x83, access)
                    } else if isInterrupt {
                        Self.blocked(0x87, access)
                    } else {
                        Self.unchanged(address)
                    }
                for isCached in [false, true, true] {
                    log.compare(try bench.answer(request, isCached: isCached), wanted, "\(request)")
                }
                log.compare(bench.expected(request), wanted, "reference \(request)")
            }
        }
        log.expectNone("\(mode)")
    }

    /// What one kind of request left in the caches does not serve another kind that the range treats otherwise.
    @Test(arguments: TableMode.unchanging)
    func theInterruptRangeIsJudgedForEveryKindOfRequest(mode: TableMode) throws {
        let tables = ModeTables(mode)
        let bench = try tables.bench()
        var log = MismatchLog()
        let kinds: [DMARequest.Kind] = [.untranslated, .translationRequest, .untranslated, .translated, .untranslated]
        for address in Self.addresses {
            for kind in kinds {
                for isExplicit in [true, false] {
                    var request = tables.request(address, [.read], isPASIDExplicit: isExplicit)
                    if mode == .disabled && isExplicit { request.pasid = ModeTables.pasid }
                    request.kind = kind
                    let wanted = bench.expected(request)
                    for isCached in [false, true, true] {
                        log.compare(try bench.answer(request, isCached: isCached), wanted, "\(request)")
                    }
                }
            }
        }
        log.expectNone("\(mode)")
    }

    @Test(arguments: [TableMode.legacySecond(4), .scalableSecond(4), .first(4), .nested(first: 4, second: 4)])
    func aMappingThatCoversTheInterruptRangeIsNotTranslatedThere(mode: TableMode) throws {
        var log = MismatchLog()
        for level in 0...2 {
            let tables = ModeTables(mode)
            tables.legacyContext.translationType = 1
            tables.publish()
            let low = UInt64(1) << UInt64(12 + 9 * level) - 1
            // Input 0x1_FEEx_xxxx gives the range; input 0xFEEx_xxxx gives an ordinary address.
            for (input, output) in [(0x1_fee0_1000, 0xfee0_1000), (0xfee0_1000, 0x5_fee0_1000)] as [(UInt64, UInt64)] {
                let place = tables.first == nil ? input : 0x2_fee0_1000 + input
                tables.second?.map(place & ~low, to: output & ~low, level: level, flags: 7)
                let page = tables.second == nil ? output : place
                tables.first?.map(input & ~low, to: page & ~low, level: level, flags: 0x67)
            }
            let bench = try tables.bench()
            let around: [UInt64] = level == 0 ? [] : [0x1_fef0_0000, 0x1_fedf_f000, 0xfef0_0000]
            for input in [0x1_fee0_1000, 0xfee0_1000, 0x1_fee0_1008] + around {
                for access: Access in [[.read], [.write], []] {
                    for kind in [DMARequest.Kind.untranslated, .translationRequest, .translated] {
                        for isExplicit in [false, true] {
                            var request = tables.request(input, access, isPASIDExplicit: isExplicit)
                            request.kind = kind
                            let wanted = bench.expected(request)
                            log.compare(
                                try bench.answer(request, isCached: false), wanted, "level \(level) \(request)")
                            log.compare(try bench.answer(request), wanted, "cached, level \(level) \(request)")
                        }
                    }
                }
            }
            let inside = tables.request(0x1_fee0_1000, [.read])
            #expect(try bench.answer(inside).fault?.code == (mode.isLegacy ? 0x0e : 0x87))
        }
        log.expectNone("\(mode)")
    }

    @Test func anImpliedPASIDStandsForThatOfTheContextEntry() throws {
        let tables = ModeTables(.first(4))
        tables.context.allowsPASID = false
        tables.context.requestPASID = UInt64(ModeTables.pasid) + 1
        tables.publish()
        tables.first?.map(0x5000, to: 0x9000, flags: 0x67)
        let bench = try tables.bench()
        var request = tables.request(0x5678, [.read])
        #expect(try bench.answer(request).fault?.code == 0x45)
        request.isPASIDImplied = true
        #expect(try bench.answer(request).mapped?.address == 0x9678)
        #expect(bench.expected(request).mapped?.address == 0x9678)
        request.pasid = 1 << 13
        #expect(try bench.answer(request).fault?.code == 0x46)
        request.pasid = nil
        request.isPASIDImplied = false
        #expect(try bench.answer(request).fault?.code == 0x59)
        request.pasid = ModeTables.pasid
        request.isPASIDImplied = true
        request.iova = 0xfee0_0000
        #expect(try bench.answer(request) == .interrupt(0xfee0_0000))
    }

    @Test func anATSTranslationRequestRecordsNoRecoverableFault() throws {
        for (mode, code) in [(TableMode.first(4), UInt32(0x71)), (.scalableSecond(4), 0x79), (.legacySecond(4), 0x06)] {
            let tables = ModeTables(mode)
            tables.legacyContext.translationType = 1
            tables.publish()
            let bench = try tables.bench()
            var request = tables.request(0x1000, [.read])
            request.kind = .translationRequest
            let answer = try bench.answer(request)
            #expect(answer.fault?.code == code)
            #expect(answer.fault?.isRecoverable == true)
            #expect(answer.fault?.isRecorded == false)
            #expect(bench.takeFaults().isEmpty)
            request.kind = .untranslated
            #expect(try bench.answer(request).fault?.isRecorded == true)
            #expect(bench.takeFaults().map(\.code) == [code])
        }
    }

    @Test(arguments: [false, true])
    func privilegeWithoutPASIDComesFromTheContextEntry(isPrivileged: Bool) throws {
        let tables = ModeTables(.first(4))
        tables.context.isRequestPrivileged = isPrivileged
        tables.entry.allowsSupervisor = true
        tables.publish()
        tables.first?.map(0x5000, to: 0x9000, flags: 0x63)
        let bench = try tables.bench()
        for access: Access in [[.read], [.read, .privileged]] {
            let request = tables.request(0x5000, access, isPASIDExplicit: false)
            #expect(try bench.answer(request).fault?.code == (isPrivileged ? nil : 0x81))
            #expect(try bench.answer(request) == bench.expected(request))
        }
    }

    @Test(arguments: [false, true])
    func supervisorWritesHonourReadOnlyPagesOnlyWithWriteProtect(isProtected: Bool) throws {
        let tables = ModeTables(.first(4))
        tables.entry.allowsSupervisor = true
        tables.entry.protectsSupervisor = isProtected
        tables.publish()
        tables.first?.map(0x5000, to: 0x9000, flags: 0x65)
        let bench = try tables.bench()
        for _ in 0..<2 {
            #expect(try bench.answer(tables.request(0x5000, [.write])).fault?.code == 0x85)
            let request = tables.request(0x5000, [.write, .privileged])
            #expect(try bench.answer(request).fault?.code == (isProtected ? 0x85 : nil))
            #expect(try bench.answer(request) == bench.expected(request))
            #expect(try bench.answer(tables.request(0x5000, [.read])).mapped?.rights == [.read])
        }
    }

    @Test(arguments: [TableMode.scalableSecond(4), .first(4), .first(5), .nested(first: 4, second: 3)])
    func executeRequestsOfRevision3NeedEveryPermission(mode: TableMode) throws {
        var log = MismatchLog()
        for choice in 0..<128 {
            let tables = ModeTables(mode)
            tables.entry.allowsExecute = choice & 1 != 0
            tables.entry.enablesSecondExecute = choice & 2 != 0 && tables.second != nil
            tables.entry.hasExecuteDisable = choice & 4 != 0
            tables.entry.hasSupervisorProtection = choice & 8 != 0
            tables.entry.allowsSupervisor = true
            tables.publish()
            let executeDisable: UInt64 = choice & 16 != 0 ? 1 << 63 : 0
            let (input, place, output): (UInt64, UInt64, UInt64) = (0x12_3456_7000, 0x23_4567_8000, 0x34_5678_9000)
            tables.second?.map(
                tables.first == nil ? input : place, to: output, flags: choice & 32 != 0 ? 7 : 3)
            tables.first?.map(
                input, to: tables.second == nil ? output : place,
                flags: 0x63 | (choice & 64 != 0 ? 4 : 0) | executeDisable)
            let bench = try tables.bench(model: .revision3)
            for access: Access in [
                [.execute], [.read, .execute], [.execute, .privileged], [.read], [.read, .privileged], [.write], [],
            ] {
                for isExplicit in [true, false] {
                    let request = tables.request(input, access, isPASIDExplicit: isExplicit)
                    let wanted = bench.expected(request)
                    for isCached in [false, true, true] {
                        log.compare(
                            try bench.answer(request, isCached: isCached), wanted, "choice \(choice) \(request)")
                    }
                }
            }
        }
        log.expectNone("\(mode)")
    }
}
