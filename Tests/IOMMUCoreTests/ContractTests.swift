// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One body for every table mode: leaf level of each stage × permissions × access × uncached, cold and warm. The engine must
// answer what the permissions say, and what the reference says.

import IOMMUTestSupport
import Testing

/// What a mapping of a contract case allows, per stage: at its leaf, and in the entry above it.
struct ContractPermissions: Hashable, CustomStringConvertible {
    /// First stage: R/W is 2, U/S is 4.
    var firstLeaf: UInt64 = 6
    var firstUpper: UInt64 = 6
    /// Second stage: R is 1, W is 2.
    var secondLeaf: UInt64 = 3
    var secondUpper: UInt64 = 3

    var description: String { "first \(firstUpper)/\(firstLeaf) second \(secondUpper)/\(secondLeaf)" }

    static func all(_ mode: TableMode) -> [ContractPermissions] {
        let firsts: [UInt64] = [0, 2, 4, 6]
        var cases: [ContractPermissions] = []
        if mode.secondLevels != nil {
            for upper: UInt64 in [1, 2, 3] {
                for leaf: UInt64 in [0, 1, 2, 3] {
                    cases.append(ContractPermissions(secondLeaf: leaf, secondUpper: upper))
                }
            }
        }
        guard mode.firstLevels != nil else { return cases }
        for upper in firsts {
            for leaf in firsts {
                for second: UInt64 in mode.isNested ? [0, 1, 2, 3] : [3] {
                    cases.append(ContractPermissions(firstLeaf: leaf, firstUpper: upper, secondLeaf: second))
                }
            }
        }
        return cases
    }
}

/// One mapping with its expected answers.
struct ContractMapping {
    let mode: TableMode
    let firstLevel: Int
    let secondLevel: Int
    let permissions: ContractPermissions
    let input: UInt64
    let output: UInt64

    /// The offset of the byte that is asked for; cut to the page's size.
    static let offset: UInt64 = 0x2345_6789

    /// Builds case number `index` in `tables`: no two cases share an entry of the levels that they restrict.
    init(_ permissions: ContractPermissions, firstLevel: Int, secondLevel: Int, index: Int, in tables: ModeTables) {
        mode = tables.mode
        self.firstLevel = firstLevel
        self.secondLevel = secondLevel
        self.permissions = permissions
        let far = UInt64(index + 2)
        let outputBase = 0x40_0000_0000 + far << 30
        var address = outputBase | Self.offset
        var place: UInt64 = 0
        if let second = tables.second {
            let low = UInt64(1) << UInt64(12 + 9 * secondLevel) - 1
            place = far << UInt64(12 + 9 * min(3, second.levels - 1)) | Self.offset & 0x3fff_ffff
            second.map(place & ~low, to: outputBase, level: secondLevel, flags: permissions.secondLeaf | 0x300)
            if secondLevel + 1 < second.levels {
                second.update(place, level: secondLevel + 1) { $0 = $0 & ~3 | permissions.secondUpper | 0x100 }
            }
            address = outputBase | place & low
        }
        output = address
        guard let first = tables.first else {
            input = place
            return
        }
        let low = UInt64(1) << UInt64(12 + 9 * firstLevel) - 1
        let page = tables.second == nil ? output & ~low : place & ~low
        input = far << 39 | 3 << 30 | Self.offset & ~low & 0x3fff_ffff | (tables.second == nil ? output : place) & low
        first.map(input & ~low, to: page, level: firstLevel, flags: 1 | permissions.firstLeaf | 0x60)
        first.update(input, level: firstLevel + 1) { $0 = $0 & ~6 | permissions.firstUpper | 0x20 }
    }

    /// The smaller page decides.
    var sizeLog2: Int {
        12 + 9 * (mode.isNested ? min(firstLevel, secondLevel) : mode.firstLevels != nil ? firstLevel : secondLevel)
    }

    /// What the permissions of the two stages say about an access.
    func expected(_ access: Access, isPASIDExplicit: Bool) -> Answer {
        let isPrivileged = isPASIDExplicit && access.contains(.privileged)
        let isWrite = access.contains(.write)
        let isRead = !access.isDisjoint(with: [.read, .execute])
        func fault(_ code: UInt32, _ stage: FaultAnswer.Stage, _ level: Int) -> Answer {
            .fault(
                FaultAnswer(
                    code: code, stage: stage, level: level, isRecoverable: true, isRecorded: !access.isProbe))
        }
        if mode.firstLevels != nil {
            for (flags, level) in [(permissions.firstUpper, firstLevel + 1), (permissions.firstLeaf, firstLevel)] {
                if flags & 4 == 0 && !isPrivileged { return fault(0x81, .first, level) }
                if flags & 2 == 0 && isWrite && !isPrivileged { return fault(0x85, .first, level) }
            }
        }
        var allowed = permissions.secondLeaf
        if let levels = mode.secondLevels {
            let stage: FaultAnswer.Stage = mode.isNested ? .nested : .second
            if secondLevel + 1 < levels { allowed &= permissions.secondUpper }
            let isLegacy = mode.isLegacy
            if allowed == 0 { return fault(isLegacy ? (isWrite ? 5 : 6) : 0x79, stage, secondLevel) }
            if isWrite && allowed & 2 == 0 { return fault(isLegacy ? 5 : 0x85, stage, secondLevel) }
            if isRead && allowed & 1 == 0 { return fault(isLegacy ? 6 : 0x86, stage, secondLevel) }
        }
        let isFirstWritable = permissions.firstUpper & permissions.firstLeaf & 2 != 0 || isPrivileged
        var rights: Access = []
        if allowed & 1 != 0 { rights.insert(.read) }
        if allowed & 2 != 0 && (mode.firstLevels == nil || isFirstWritable) { rights.insert(.write) }
        return .mapped(MappedAnswer(address: output, pageSizeLog2: sizeLog2, rights: rights))
    }
}

@Suite struct ContractTests {
    static let accesses: [Access] = [
        [], [.read], [.write], [.read, .write], [.execute], [.read, .privileged], [.write, .privileged], [.privileged],
    ]

    @Test(arguments: TableMode.translating)
    func everyLeafLevelAndPermissionAnswersAsItSays(mode: TableMode) throws {
        var log = MismatchLog()
        let firstLevels = mode.firstLevels == nil ? [0] : [0, 1, 2]
        let secondLevels = mode.secondLevels == nil ? [0] : [0, 1, 2]
        for firstLevel in firstLevels {
            for secondLevel in secondLevels {
                let image = GuestImage(regions: [.init(address: GuestImage.ram, pages: 1024)])
                let tables = ModeTables(mode, image: image)
                tables.entry.allowsSupervisor = true
                tables.publish()
                let mappings = ContractPermissions.all(mode).enumerated().map { index, permissions in
                    ContractMapping(
                        permissions, firstLevel: firstLevel, secondLevel: secondLevel, index: index, in: tables)
                }
                let bench = try tables.bench()
                for mapping in mappings where !log.isFull {
                    try check(mapping, tables, bench, &log)
                }
            }
        }
        log.expectNone("\(mode)")
        #expect(log.cases > 500)
    }

    /// All accesses of one mapping: uncached, cold, then warm in several orders.
    private func check(
        _ mapping: ContractMapping, _ tables: ModeTables, _ bench: TestBench, _ log: inout MismatchLog
    ) throws {
        let isExplicit = !tables.mode.isLegacy
        for access in Self.accesses {
            let request = tables.request(mapping.input, access)
            let wanted = mapping.expected(access, isPASIDExplicit: isExplicit)
            let context = "leaf \(mapping.firstLevel)/\(mapping.secondLevel) \(mapping.permissions) \(request)"
            log.compare(bench.expected(request), wanted, "reference, \(context)")
            log.compare(try bench.answer(request, isCached: false), wanted, "uncached, \(context)")
            try bench.invalidate(.iotlbGlobal)
            log.compare(try bench.answer(request), wanted, "cold, \(context)")
            log.compare(try bench.answer(request), wanted, "warm, \(context)")
        }
        for access in Self.accesses + Self.accesses.reversed() {
            let request = tables.request(mapping.input, access)
            let wanted = mapping.expected(access, isPASIDExplicit: isExplicit)
            log.compare(try bench.answer(request), wanted, "mixed, \(mapping.permissions) \(request)")
        }
        // The same mapping without PASID: privilege is then not the caller's to choose.
        for access in Self.accesses where isExplicit {
            let request = tables.request(mapping.input, access, isPASIDExplicit: false)
            let wanted = mapping.expected(access, isPASIDExplicit: false)
            log.compare(bench.expected(request), wanted, "reference, \(mapping.permissions) \(request)")
            log.compare(try bench.answer(request), wanted, "without PASID, \(mapping.permissions) \(request)")
        }
    }

    @Test(arguments: TableMode.translating)
    func everyByteOfAPageTranslatesAlike(mode: TableMode) throws {
        var log = MismatchLog()
        for level in 0...2 {
            let tables = ModeTables(mode)
            let mapping = ContractMapping(
                ContractPermissions(), firstLevel: level, secondLevel: level, index: 0, in: tables)
            let bench = try tables.bench()
            let size = UInt64(1) << UInt64(mapping.sizeLog2)
            let low = size - 1
            for offset in [0, 1, size / 2 - 1, size / 2, size - 4096, size - 1] {
                let request = tables.request(mapping.input & ~low | offset, [.read])
                let address = mapping.output & ~low | offset
                log.compare(try bench.answer(request).mapped?.address, address, "\(request)")
                log.compare(bench.expected(request).mapped?.address, address, "reference, \(request)")
            }
            for neighbour in [mapping.input & ~low &- 1, mapping.input | low &+ 1] {
                let request = tables.request(neighbour, [.read])
                log.compare(try bench.answer(request), bench.expected(request), "neighbour \(request)")
                log.compare(try bench.answer(request).fault == nil, false, "neighbour \(request)")
            }
        }
        log.expectNone("\(mode)")
    }
}

extension MismatchLog {
    /// Fails the test, with the first few lines, if anything was recorded.
    func expectNone(_ label: String, sourceLocation: SourceLocation = #_sourceLocation) {
        if !isEmpty { Issue.record("\(label): \(self)", sourceLocation: sourceLocation) }
    }
}
