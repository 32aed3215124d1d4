// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The memory of an imaginary guest: a few ranges of output addresses, each backed by an aligned host buffer, some read-only,
// with holes between them. Tables are built in it, the engine walks it, and the reference walks a copy of it.

import Foundation
import IOMMU

/// Guest memory that a test owns. Not thread-safe: one test, one thread.
@safe
package final class GuestImage {
    /// One range of output addresses with memory behind it.
    package struct Region: Hashable, Sendable {
        package var address: UInt64
        package var pages: Int
        package var isWritable: Bool

        package init(address: UInt64, pages: Int, isWritable: Bool = true) {
            self.address = address
            self.pages = pages
            self.isWritable = isWritable
        }

        package var byteCount: Int { pages << 12 }
        package var end: UInt64 { address + UInt64(byteCount) }
    }

    /// Where tables go by default: one writable range and one read-only range.
    package static let standardRegions = [
        Region(address: ram, pages: 512), Region(address: rom, pages: 64, isWritable: false),
    ]
    /// First address of the standard writable range.
    package static let ram: UInt64 = 0x10_0000
    /// First address of the standard read-only range.
    package static let rom: UInt64 = 0x800_0000
    /// An address that no standard range backs.
    package static let hole: UInt64 = 0x900_0000

    package private(set) var regions: [Region]
    /// Ranges that the engine and the reference cannot see just now; their content is kept.
    package private(set) var removed: Set<Int> = []
    /// A second image that hears of everything the guest and the host do to this one, but not of what walkers write: the
    /// reference's copy.
    package var twin: GuestImage?
    private let buffers: [UnsafeMutableRawBufferPointer]
    private var allocated: [Int]

    package init(regions: [Region] = standardRegions) {
        self.regions = regions
        unsafe buffers = regions.map { region in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: region.byteCount, alignment: 4096)
            if let base = buffer.baseAddress { unsafe memset(base, 0, region.byteCount) }
            return unsafe buffer
        }
        allocated = regions.map { _ in 0 }
    }

    deinit {
        for index in unsafe buffers.indices { unsafe buffers[index].deallocate() }
    }

    /// Another image with the same ranges and the same content.
    package func copy() -> GuestImage {
        let twin = GuestImage(regions: regions)
        for index in unsafe buffers.indices {
            unsafe twin.buffers[index].copyMemory(from: UnsafeRawBufferPointer(buffers[index]))
        }
        twin.removed = removed
        twin.allocated = allocated
        return twin
    }

    // MARK: Content

    /// The quadword at an address, as a walker sees it: nil where no memory is.
    package func read(_ address: UInt64) -> UInt64? {
        guard let (index, offset) = place(address), !removed.contains(index) else { return nil }
        return unsafe buffers[index].load(fromByteOffset: offset, as: UInt64.self)
    }

    /// A walker's write: false where no memory is, or where it is read-only.
    package func writeAsWalker(_ address: UInt64, _ value: UInt64) -> Bool {
        guard let (index, offset) = place(address), !removed.contains(index), regions[index].isWritable else {
            return false
        }
        unsafe buffers[index].storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
        return true
    }

    /// The guest's quadword at an address that has memory; the guest may write what a walker may not.
    package subscript(address: UInt64) -> UInt64 {
        get {
            guard let (index, offset) = place(address) else { preconditionFailure("no memory at \(hex(address))") }
            return unsafe buffers[index].load(fromByteOffset: offset, as: UInt64.self)
        }
        set {
            guard let (index, offset) = place(address) else { preconditionFailure("no memory at \(hex(address))") }
            unsafe buffers[index].storeBytes(of: newValue, toByteOffset: offset, as: UInt64.self)
            twin?[address] = newValue
        }
    }

    /// True where the image has a quadword, whether walkers can see it just now or not.
    package func contains(_ address: UInt64) -> Bool {
        place(address) != nil
    }

    private func place(_ address: UInt64) -> (index: Int, offset: Int)? {
        for index in regions.indices where address >= regions[index].address && address < regions[index].end {
            return (index, Int(address - regions[index].address) & ~7)
        }
        return nil
    }

    /// A page of zeroes that was not handed out before, from range number `region`.
    package func allocatePage(in region: Int = 0) -> UInt64 {
        allocatePages(1, in: region)
    }

    /// Pages of zeroes in a row.
    package func allocatePages(_ count: Int, in region: Int = 0) -> UInt64 {
        precondition(allocated[region] + count <= regions[region].pages, "the image is full")
        defer { allocated[region] += count }
        return regions[region].address + UInt64(allocated[region] << 12)
    }

    /// Makes the content that of another image of the same shape, as the guest would: quadword by quadword.
    package func restore(from other: GuestImage) {
        for address in differences(from: other, limit: .max) { self[address] = other[address] }
    }

    /// Addresses whose quadwords differ between two images of the same shape, at most `limit` of them.
    package func differences(from other: GuestImage, limit: Int = 8) -> [UInt64] {
        var found: [UInt64] = []
        for index in regions.indices {
            for page in 0..<allocated[index] where !isSamePage(page, in: index, other) {
                for word in 0..<512 {
                    let address = regions[index].address + UInt64(page << 12 + word << 3)
                    guard self[address] != other[address] else { continue }
                    found.append(address)
                    if found.count == limit { return found }
                }
            }
        }
        return found
    }

    private func isSamePage(_ page: Int, in index: Int, _ other: GuestImage) -> Bool {
        guard let mine = unsafe buffers[index].baseAddress, let its = unsafe other.buffers[index].baseAddress else {
            return true
        }
        return unsafe memcmp(mine + page << 12, its + page << 12, 4096) == 0
    }

    // MARK: The engine's view

    /// The host memory behind range number `index`, for hosts that register it themselves.
    package func host(region index: Int) -> UnsafeMutableRawBufferPointer {
        unsafe buffers[index]
    }

    /// Makes every range of the image known to a memory map, which must not outlive the image.
    package func register(in memory: GuestMemory) throws {
        for index in regions.indices where !removed.contains(index) { try add(index, to: memory) }
    }

    /// Takes range number `index` away from walkers.
    package func remove(region index: Int, from memory: GuestMemory?) throws {
        removed.insert(index)
        twin?.removed.insert(index)
        try memory?.remove(at: OutputAddress(regions[index].address), count: regions[index].byteCount)
    }

    /// Gives a range back that was taken away.
    package func restore(region index: Int, to memory: GuestMemory?) throws {
        removed.remove(index)
        twin?.removed.remove(index)
        if let memory { try add(index, to: memory) }
    }

    /// Makes a range that is present writable or read-only.
    package func protect(region index: Int, isWritable: Bool, in memory: GuestMemory?) throws {
        regions[index].isWritable = isWritable
        twin?.regions[index].isWritable = isWritable
        let address = OutputAddress(regions[index].address)
        let rights: AccessRights = isWritable ? [.read, .write] : [.read]
        if let memory { unsafe try memory.replace(buffers[index], at: address, rights: rights) }
    }

    private func add(_ index: Int, to memory: GuestMemory) throws {
        let rights: AccessRights = regions[index].isWritable ? [.read, .write] : [.read]
        unsafe try memory.add(buffers[index], at: OutputAddress(regions[index].address), rights: rights)
    }
}

/// A number as it appears in a specification: 0x and hexadecimal digits.
package func hex(_ value: UInt64) -> String {
    "0x" + String(value, radix: 16)
}
