// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernel's stage-1 entries [FORMATS-IOMMUFD 5, 12], row by row.

import CIOMMU
import Foundation
import IOMMUTestSupport

let eopnotsupp = UInt32(EOPNOTSUPP)
let einval = UInt32(EINVAL)
let e2big = UInt32(E2BIG)

/// A world with pages far apart, so that each shows what was dropped.
func stage1World(levels: Int = 4) -> CacheWorld {
    CacheWorld(
        .nested(levels: levels),
        pages: [
            0x1000, 0x2000, 0x3000, 0x40_0000, 0x40_1000, 0x7fff_ffff_e000, 0x7fff_ffff_f000, 0xffff_8000_0000_0000,
            0xffff_ffff_ffff_e000, 0xffff_ffff_ffff_f000,
        ])
}

/// Applies one entry to a world in which everything is stale; nil for a code of 0.
private func code(_ entry: Stage1Entry, in world: CacheWorld) -> UInt32? {
    let result = world.apply([entry])
    return result.isSuccess(of: 1) ? nil : result.isRefusal(at: 0, code: result.code) ? result.code : .max
}

/// What an array with another distance between entries answers; the first byte beyond each entry is `tail`.
private func spread(_ entries: [Stage1Entry], length: Int, tail: UInt8, in world: CacheWorld) -> BatchResult {
    var bytes = [UInt8](repeating: 0, count: length * entries.count)
    for (index, entry) in entries.enumerated() {
        let words = unsafe entry.words.withUnsafeBytes { unsafe Array($0) }
        for (at, byte) in words.prefix(length).enumerated() { bytes[index * length + at] = byte }
        if length > 24 && index == entries.count - 1 { bytes[(index + 1) * length - 1] = tail }
    }
    return unsafe bytes.withUnsafeBytes { bytes in
        unsafe world.bench.apply(
            format: CIOMMU_BATCH_VTD_S1, entries: bytes.baseAddress, entryLength: length, count: entries.count,
            domain: world.domain)
    }
}

private func raw(
    _ world: CacheWorld, length: Int = 24, count: Int, isNull: Bool = false, domain: BenchDomain?,
    spoiled: Spoiler? = nil
) -> BatchResult {
    let words = [UInt64](repeating: 0, count: 1024)
    return unsafe words.withUnsafeBytes { bytes in
        unsafe world.bench.apply(
            format: CIOMMU_BATCH_VTD_S1, entries: isNull ? nil : bytes.baseAddress, entryLength: length, count: count,
            domain: domain, spoiled: spoiled)
    }
}

private let refused = CIOMMU_INVALID_ARGUMENT.rawValue

let stage1Rows: [FormatRow] = [
    FormatRow(FormatNotes.stage1[0]) { log in
        let world = stage1World()
        log.compare(raw(world, count: 1, isNull: true, domain: world.domain).status, refused, "NULL")
        log.compare(raw(world, length: 0, count: 1, domain: world.domain).status, refused, "length 0")
    },
    FormatRow(FormatNotes.stage1[1]) { log in
        let world = stage1World()
        let other = stage1World()
        log.compare(raw(world, count: 1, domain: nil).status, refused, "none")
        log.compare(raw(world, count: 1, domain: other.domain).status, refused, "another unit's")
        for domain in [world.bench.makeParent(), world.bench.identity, world.bench.blocked] {
            log.compare(raw(world, count: 1, domain: domain).status, refused, "another kind")
            log.compare(raw(world, count: 0, domain: domain).status, refused, "another kind, probe")
        }
        log.compare(raw(world, count: 0, domain: nil).status, refused, "none, probe")
        for format in [CIOMMU_BATCH_VTD_128, CIOMMU_BATCH_VTD_256] {
            let result = world.bench.apply(format: format, words: [5, 0, 0, 0], count: 1, domain: world.domain)
            log.compare(result.status, refused, "a domain with descriptors")
        }
    },
    FormatRow(FormatNotes.stage1[2]) { log in
        let world = stage1World()
        for bad in 0...2 {
            var entries = [Stage1Entry](repeating: world.pageEntry(0), count: 3)
            if bad < 3 { entries[bad].flags = 2 }
            log.compare(world.apply(entries).handled, UInt32(bad), "bad entry \(bad)")
        }
        log.compare(world.apply([]).handled, 0, "none")
    },
    FormatRow(FormatNotes.stage1[3]) { log in
        let world = stage1World()
        for isNull in [false, true] {
            let probe = raw(world, length: isNull ? 0 : 24, count: 0, isNull: isNull, domain: world.domain)
            log.compare(probe.isSuccess(of: 0), true, "\(probe)")
            log.compare(probe.segments, 0, "\(probe)")
        }
        for format: UInt32 in [0, 4, 5, .max] {
            let probe = raw(world, count: 0, domain: world.domain, spoiled: .format(format))
            log.compare(probe.status, refused, "format \(format)")
        }
        for format in [CIOMMU_BATCH_VTD_128, CIOMMU_BATCH_VTD_256] {
            let probe = unsafe world.bench.apply(format: format, entries: nil, entryLength: 0, count: 0)
            log.compare(probe.isSuccess(of: 0), true, "\(probe)")
        }
    },
    FormatRow(FormatNotes.stage1[4]) { log in
        let world = stage1World()
        for bit: UInt32 in 0..<32 {
            let entry = Stage1Entry(address: 0, pages: 1, flags: 1 << bit)
            log.compare(code(entry, in: world), bit == 0 ? nil : eopnotsupp, "flag \(bit)")
            let reserved = Stage1Entry(address: 0, pages: 1, reserved: 1 << bit)
            log.compare(code(reserved, in: world), eopnotsupp, "__reserved \(bit)")
        }
    },
    FormatRow(FormatNotes.stage1[5]) { log in
        let world = stage1World()
        for bit: UInt64 in 0..<64 {
            let entry = Stage1Entry(address: 1 << bit, pages: 1)
            log.compare(code(entry, in: world), bit < 12 ? einval : nil, "addr bit \(bit)")
        }
    },
    FormatRow(FormatNotes.stage1[6]) { log in
        let world = stage1World()
        for bit: UInt64 in 12..<64 {
            log.compare(code(Stage1Entry(address: 1 << bit, pages: .max), in: world), einval, "addr bit \(bit)")
        }
        log.compare(code(Stage1Entry(address: 0x1000, pages: .max - 1), in: world), nil, "one page less")
    },
    FormatRow(FormatNotes.stage1[7]) { log in
        for (address, pages) in [
            (0, .max), (0, .max - 1), (0, 1 << 52), (0, 1 << 52 + 1), (0x1000, 1 << 52), (0x1000, 1 << 52 - 1),
            (~0xfff, 2), (0x8000_0000_0000_0000, 1 << 51 + 1),
        ] as [(UInt64, UInt64)] {
            let world = stage1World()
            world.makeAllStale()
            let result = world.apply([Stage1Entry(address: address, pages: pages)])
            log.compare(result.isSuccess(of: 1), true, "\(hex(address)) \(pages): \(result)")
            // A range that wraps covers at least what lies above its address.
            let fresh = world.freshPages()[0]
            let (end, wraps) = address.addingReportingOverflow(pages << 12 &- 1)
            let last = pages >= 1 << 52 || wraps ? .max : end
            for (page, input) in world.pages.enumerated() where input >= address && input <= last {
                log.compare(fresh[page], true, "\(hex(address)) \(pages): \(hex(input))")
            }
        }
    },
    FormatRow(FormatNotes.stage1[8]) { log in
        for bad in 0..<6 {
            let world = stage1World()
            world.makeAllStale()
            var entries = (0..<6).map { world.pageEntry([0, 2, 3, 5, 8, 9][$0]) }
            entries[bad].address |= 8
            let result = world.apply(entries)
            log.compare(result.isRefusal(at: bad, code: einval), true, "\(result)")
            for index in 0..<6 {
                let view = world.view(0, [0, 2, 3, 5, 8, 9][index])
                log.compare(view, index < bad ? .new : .old, "bad \(bad), entry \(index)")
            }
        }
    },
    FormatRow(FormatNotes.stage1[9]) { log in
        for isLeafOnly in [false, true] {
            let world = stage1World()
            world.bench.observe()
            _ = world.apply([world.pageEntry(0, isLeafOnly: isLeafOnly)])
            guard case .heard(let heard) = world.bench.takeEvents().first else {
                log.record("nothing heard")
                continue
            }
            log.compare(heard.isLeafOnly, isLeafOnly, "LEAF")
            log.compare([heard.first, heard.last], [0x1000, 0x1fff], "LEAF")
        }
    },
    FormatRow(FormatNotes.stage1[10]) { log in
        let world = stage1World()
        for length in [0, 1, 8, 16, 22, 23] {
            let result = spread([world.pageEntry(0)], length: length, tail: 0, in: world)
            log.compare(result.status, refused, "length \(length)")
        }
    },
    FormatRow(FormatNotes.stage1[11]) { log in
        for length in [24, 25, 32, 40, 4096] {
            for tail: UInt8 in [0, 1, 0x80] {
                let world = stage1World()
                world.makeAllStale()
                let result = spread((0..<3).map { world.pageEntry($0) }, length: length, tail: tail, in: world)
                let isFine = length == 24 || tail == 0
                let fits = isFine ? result.isSuccess(of: 3) : result.isRefusal(at: 2, code: e2big)
                log.compare(fits, true, "length \(length) tail \(tail): \(result)")
                log.compare(
                    (0..<4).map { world.view(0, $0) }, [.new, .new, isFine ? .new : .old, .old],
                    "length \(length) tail \(tail)")
            }
        }
    },
    FormatRow(FormatNotes.stage1[12]) { log in
        let world = stage1World()
        for (address, page) in [(0, nil), (0x1000, 0), (~0xfff, 9)] as [(UInt64, Int?)] {
            world.makeAllStale()
            log.compare(code(Stage1Entry(address: address, pages: 0), in: world), nil, "addr \(hex(address))")
            if let page { log.compare(world.view(0, page), .new, "the page at addr") }
        }
    },
    FormatRow(FormatNotes.stage1[13]) { log in
        let world = stage1World()
        for entry in [
            Stage1Entry(address: 1, pages: 1, flags: 2), Stage1Entry(address: 1, pages: 1, reserved: 1),
            Stage1Entry(address: 0x1000, pages: .max, flags: 3), Stage1Entry(address: 7, pages: .max, reserved: 1),
        ] {
            log.compare(code(entry, in: world), eopnotsupp, "\(entry)")
        }
    },
    FormatRow(FormatNotes.stage1[14]) { log in
        let world = stage1World()
        for (count, isFine) in [(1 << 19, true), (1 << 19 + 1, false), (.max, false)] as [(UInt32, Bool)] {
            let words = [UInt64](repeating: 0, count: isFine ? 3 << 19 : 3)
            let result = unsafe words.withUnsafeBytes { bytes in
                unsafe world.bench.apply(
                    format: CIOMMU_BATCH_VTD_S1, entries: bytes.baseAddress, entryLength: 24, count: Int(count),
                    domain: world.domain)
            }
            log.compare(isFine ? result.isSuccess(of: 1 << 19) : result.status == refused, true, "\(count): \(result)")
            // The same entry over and over needs no work.
            if isFine { log.compare(result.merged, count - 1, "merged") }
        }
        let long = raw(world, length: 4096, count: 1, domain: world.domain)
        log.compare(long.isSuccess(of: 1), true, "length 4096: \(long)")
        let tooLong = raw(world, length: 4097, count: 1, domain: world.domain)
        log.compare(tooLong.status, refused, "length 4097: \(tooLong)")
    },
    FormatRow(FormatNotes.stage1[15]) { log in try entriesAreCopiedOneByOne(&log) },
]
