// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What tests of spaces need around them: host memory, a memory map, and the proof that a refused call changed nothing.

import IOMMU
import Testing

/// Host memory that lives as long as this object.
final class HostMemory: Sendable {
    let address: UInt
    let count: Int

    init(_ count: Int, alignment: Int = 4096) {
        self.count = count
        address = UInt(
            bitPattern: UnsafeMutableRawPointer.allocate(byteCount: count, alignment: alignment))
    }

    deinit {
        unsafe UnsafeMutableRawPointer(bitPattern: address)?.deallocate()
    }

    func bytes(_ first: Int = 0, _ count: Int? = nil) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: address + UInt(first)), count: count ?? self.count - first)
    }

    func source(_ first: Int = 0, _ count: Int? = nil) -> AreaSource {
        unsafe AreaSource.host(bytes(first, count))
    }

    /// Where it is registered, if it is.
    func output(in memory: GuestMemory, rights: AccessRights = .read) throws -> OutputAddress? {
        try unsafe memory.locate(UnsafeRawBufferPointer(bytes()), rights: rights)
    }
}

/// Everything that can be seen of a space.
struct SpaceView: Hashable {
    let areas: [IOArea]
    let allowed: [ClosedRange<IOVA>]
    let reserved: [ClosedRange<IOVA>]
    let usable: [ClosedRange<IOVA>]
    let alignment: UInt64
    let bytes: UInt64

    init(_ space: IOAddressSpace) {
        areas = Array(space.areas)
        allowed = space.allowedRanges
        reserved = space.reservedRanges
        usable = space.usableRanges
        alignment = space.alignment
        bytes = space.mappedBytes
    }
}

/// A call is refused with an error of a kind, whose detail has some words in it, and changes nothing in the space.
@discardableResult
func expectRefusal(
    _ error: IOMMUError, naming words: String = "", in space: IOAddressSpace,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> IOMMUError? {
    let before = SpaceView(space)
    let thrown = #expect(throws: error, sourceLocation: sourceLocation) { try body() }
    #expect(SpaceView(space) == before, sourceLocation: sourceLocation)
    let detail = thrown?.detail ?? ""
    #expect(words.isEmpty || detail.contains(words), "the detail is: \(detail)", sourceLocation: sourceLocation)
    return thrown
}
