// SPDX-License-Identifier: LGPL-2.1-or-later
//
// TableMemory - the guest memory that the engine walks in a replay: the pages that a recording names, and nothing else. DMA
// goes to addresses without memory, which is a translation all the same.

internal import Glibc
package import IOMMU

// @unchecked: the blocks are fixed; their contents are stored to only while no translation runs, which the callers see to.
/// Host memory behind the recorded pages. Pages that were not recorded but lie between recorded ones read as 0.
@safe
package final class TableMemory: @unchecked Sendable {
    /// One piece of host memory.
    @safe
    private struct Block {
        let first: UInt64
        let memory: UnsafeMutableRawBufferPointer

        var end: UInt64 { unsafe first + UInt64(memory.count) }
    }

    /// Pages closer than this share a block: fewer ranges for the engine to search.
    private static let greatestGap: UInt64 = 2 << 20
    /// Beyond this much address space every page is a block of its own.
    private static let greatestTotal: UInt64 = 1 << 30

    /// The map that the engine walks.
    package let guest: GuestMemory
    private let blocks: [Block]

    /// Takes memory for pages.
    ///
    /// - Parameter pages: Page addresses, multiples of 4096 with at most 52 bits, sorted, each once.
    package init(pages: [UInt64]) throws(ReplayError) {
        var blocks: [Block] = []
        do throws(IOMMUError) {
            guest = try GuestMemory()
            for range in Self.ranges(of: pages) {
                let count = Int(range.upperBound - range.lowerBound)
                let memory = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                guard let memory = unsafe memory, unsafe memory != MAP_FAILED else { throw .noMemory }
                let block = unsafe Block(
                    first: range.lowerBound, memory: UnsafeMutableRawBufferPointer(start: memory, count: count))
                blocks.append(block)
                unsafe try guest.add(block.memory, at: OutputAddress(block.first))
            }
        } catch {
            // What was registered stays mapped until the process ends: the error ends it.
            throw .engine(error, doing: "registering the guest's tables")
        }
        self.blocks = blocks
    }

    deinit {
        for block in blocks {
            // A unit may outlive this object; it must not walk what is unmapped.
            guard unsafe (try? guest.remove(at: OutputAddress(block.first), count: block.memory.count)) != nil else {
                continue
            }
            unsafe munmap(block.memory.baseAddress!, block.memory.count)
        }
    }

    /// The word at an address; nil where there is no memory.
    package func load(_ address: UInt64) -> UInt64? {
        guard let place = unsafe place(of: address) else { return nil }
        return unsafe UInt64(littleEndian: place.load(as: UInt64.self))
    }

    /// Changes a word. No translation may run; where there is no memory nothing happens.
    package func store(_ value: UInt64, at address: UInt64) {
        guard let place = unsafe place(of: address) else { return }
        unsafe place.storeBytes(of: value.littleEndian, as: UInt64.self)
    }

    /// Fills the page at an address. No translation may run.
    func fill(_ contents: ArraySlice<UInt8>, at address: UInt64) {
        guard let place = unsafe place(of: address) else { return }
        unsafe contents.withUnsafeBytes { source in
            unsafe place.copyMemory(from: source.baseAddress!, byteCount: min(source.count, 4096))
        }
    }

    /// Host address of an aligned word.
    private func place(of address: UInt64) -> UnsafeMutableRawPointer? {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].end <= address { low = middle + 1 } else { high = middle }
        }
        guard low < blocks.count, address >= blocks[low].first, address & 7 == 0 else { return nil }
        return unsafe blocks[low].memory.baseAddress! + Int(address - blocks[low].first)
    }

    /// The pages as ranges of addresses.
    private static func ranges(of pages: [UInt64]) -> [Range<UInt64>] {
        let merged = ranges(of: pages, gap: greatestGap)
        let total = merged.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) }
        return total <= greatestTotal ? merged : ranges(of: pages, gap: 0)
    }

    private static func ranges(of pages: [UInt64], gap: UInt64) -> [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        for page in pages {
            if let last = ranges.last, page - last.upperBound <= gap {
                ranges[ranges.count - 1] = last.lowerBound..<page + 4096
            } else {
                ranges.append(page..<page + 4096)
            }
        }
        return ranges
    }
}
