// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A guest's memory twice: what the engine walks, where every range lies between pages that trap and a read-only one cannot be
// written, and the reference's copy.

import CIOMMUFuzz
import CIOMMUProbe
import IOMMU

/// Ranges of guest memory. Lives as long as the process; `clear` begins anew.
@safe
final class GuardedImage {
    struct Region {
        let address: UInt64
        let pages: Int
        var isWritable = true

        var byteCount: Int { pages << 12 }
    }

    let regions: [Region]
    let memory: GuestMemory
    /// Addresses of all pages.
    let pages: [UInt64]
    private let buffers: [UnsafeMutableRawBufferPointer]
    private var twins: [[UInt64]]
    /// The words that can be written, for what disturbs marks.
    private let writable: UnsafeMutableBufferPointer<probe_words>
    /// Ranges that the engine does not see just now; their content is kept.
    private(set) var removed: Set<Int> = []
    /// What walkers of the reference read since the last `startLog`, in order.
    private(set) var reads: [UInt64] = []
    /// How often they wrote.
    private(set) var writes = 0

    init(_ regions: [Region]) throws {
        self.regions = regions
        memory = try GuestMemory()
        pages = regions.flatMap { region in (0..<region.pages).map { region.address + UInt64($0 << 12) } }
        twins = regions.map { [UInt64](repeating: 0, count: $0.pages * 512) }
        unsafe buffers = regions.map { region in
            guard let base = unsafe fuzz_guarded_create(region.byteCount) else { finding("no memory") }
            return unsafe UnsafeMutableRawBufferPointer(start: base, count: region.byteCount)
        }
        unsafe writable = .allocate(capacity: regions.count)
        for (index, region) in regions.enumerated() {
            let words = unsafe region.isWritable ? buffers[index].baseAddress : nil
            unsafe writable[index] = unsafe probe_words(
                words: words?.assumingMemoryBound(to: UInt64.self), count: words == nil ? 0 : UInt64(region.pages * 512)
            )
            let rights: AccessRights = region.isWritable ? [.read, .write] : [.read]
            unsafe try memory.add(buffers[index], at: OutputAddress(region.address), rights: rights)
            if !region.isWritable { unsafe fuzz_guarded_protect(buffers[index].baseAddress, region.byteCount, false) }
        }
    }

    /// Zeroes.
    func clear() {
        for index in regions.indices {
            unsafe change(index) { unsafe fuzz_clear($0.baseAddress, $0.count) }
            unsafe twins[index].withUnsafeMutableBytes { unsafe fuzz_clear($0.baseAddress, $0.count) }
        }
        startLog()
    }

    /// What the guest itself writes: to both copies. Nothing where no memory is.
    func store(_ value: UInt64, at address: UInt64) {
        guard let (index, word) = place(address) else { return }
        twins[index][word] = value
        unsafe change(index) { unsafe $0.storeBytes(of: value, toByteOffset: word * 8, as: UInt64.self) }
    }

    /// What the guest reads of the engine's copy.
    func load(_ address: UInt64) -> UInt64 {
        guard let (index, word) = place(address) else { return 0 }
        return unsafe buffers[index].load(fromByteOffset: word * 8, as: UInt64.self)
    }

    func contains(_ address: UInt64) -> Bool { place(address) != nil }

    /// The bytes from an address to the end of its range; 0 where no memory is.
    func bytesLeft(_ address: UInt64) -> UInt64 {
        guard let (index, _) = place(address) else { return 0 }
        return regions[index].address + UInt64(regions[index].byteCount) - address
    }

    /// The reference's copy has got what a device wrote.
    ///
    /// - Returns: False where it cannot be written.
    func storeAsDevice(_ byte: UInt8, at address: UInt64) -> Bool {
        guard let (index, word) = place(address), regions[index].isWritable else { return false }
        let shift = (address & 7) * 8
        twins[index][word] = twins[index][word] & ~(0xff << shift) | UInt64(byte) << shift
        return true
    }

    // MARK: Ranges that come and go

    func remove(_ index: Int) throws {
        guard removed.insert(index).inserted else { return }
        try memory.remove(at: OutputAddress(regions[index].address), count: regions[index].byteCount)
    }

    func restore(_ index: Int) throws {
        guard removed.remove(index) != nil else { return }
        let rights: AccessRights = regions[index].isWritable ? [.read, .write] : [.read]
        unsafe try memory.add(buffers[index], at: OutputAddress(regions[index].address), rights: rights)
    }

    /// Whether the engine finds memory at all of some bytes, that can be written if need be.
    func isVisible(_ address: UInt64, _ count: UInt64, isWritten: Bool = false) -> Bool {
        guard !address.addingReportingOverflow(count).overflow else { return false }
        return stride(from: address & ~7, to: address + count, by: 8).allSatisfy { word in
            guard let (index, _) = place(word) else { return false }
            return !removed.contains(index) && (regions[index].isWritable || !isWritten)
        }
    }

    /// The engine's marks are lost to a guest, so many times; see probe_marks_lose.
    func startDisturbing(times: Int) {
        unsafe probe_marks_lose(writable.baseAddress, UInt32(writable.count), UInt32(times))
    }

    /// How many were.
    func endDisturbing() -> Int { Int(probe_marks_end()) }

    private func change(_ index: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        let region = regions[index]
        if !region.isWritable { unsafe fuzz_guarded_protect(buffers[index].baseAddress, region.byteCount, true) }
        unsafe body(buffers[index])
        if !region.isWritable { unsafe fuzz_guarded_protect(buffers[index].baseAddress, region.byteCount, false) }
    }

    private func place(_ address: UInt64) -> (index: Int, word: Int)? {
        for (index, region) in regions.enumerated() where address >= region.address {
            let offset = address - region.address
            if offset < UInt64(region.byteCount) { return (index, Int(offset >> 3)) }
        }
        return nil
    }

    // MARK: The reference's view

    func startLog() {
        reads.removeAll(keepingCapacity: true)
        writes = 0
    }

    func readAsReference(_ address: UInt64) -> UInt64? {
        guard let (index, word) = place(address) else { return nil }
        reads.append(address)
        return twins[index][word]
    }

    func writeAsReference(_ address: UInt64, _ value: UInt64) -> Bool {
        guard let (index, word) = place(address), regions[index].isWritable else { return false }
        twins[index][word] = value
        writes += 1
        return true
    }

    /// Where the copies differ, with what stands there.
    var differences: [String] {
        var found: [String] = []
        for index in regions.indices {
            let isSame = unsafe twins[index].withUnsafeBytes { twin in
                unsafe fuzz_is_same(twin.baseAddress, buffers[index].baseAddress, twin.count)
            }
            if isSame { continue }
            for (word, wanted) in twins[index].enumerated() {
                let address = regions[index].address + UInt64(word * 8)
                let value = load(address)
                if value != wanted {
                    found.append("\(text(address)): engine \(text(value)), reference \(text(wanted))")
                }
            }
        }
        return found
    }
}

/// A number as specifications write it.
func text(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
