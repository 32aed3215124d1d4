// SPDX-License-Identifier: LGPL-2.1-or-later
//
// AreaSource - what an area is to be made of.

public import IOMMUCore

// @safe: only `host` puts an address in, and it is marked unsafe.
/// What backs an area of an ``IOAddressSpace``.
@safe
public struct AreaSource: Sendable {
    enum Storage {
        case host(UInt, count: Int)
        case file(descriptor: CInt, offset: UInt64)
        case output(OutputAddress)
    }

    let storage: Storage

    /// Host memory. Where the space's ``GuestMemory`` has it registered, that registration is used; otherwise the space
    /// registers it, and takes it out again with the last area that uses it. Its base is a multiple of 8 bytes.
    /// A registration of the host's own stays the host's: it is to outlive the areas that use it.
    ///
    /// Unsafe: the memory must stay mapped until the last area over it is gone, which an unmap without an error
    /// promises, and after ``IOMMUError/timedOut`` a ``GuestMemory/drain()`` that returned. Memory that a writable area
    /// is made of must be writable.
    @unsafe
    public static func host(_ buffer: UnsafeMutableRawBufferPointer) -> AreaSource {
        unsafe AreaSource(storage: .host(UInt(bitPattern: buffer.baseAddress), count: buffer.count))
    }

    /// A part of a regular file or a memfd. The space maps it (shared) and unmaps it when nobody can use it any more;
    /// the descriptor may be closed as soon as the call returned. Whoever can shrink the file must not: an access
    /// beyond its end is a SIGBUS of the host process.
    ///
    /// - Parameters:
    ///   - descriptor: Open for reading, and for writing if the area is to be writable.
    ///   - offset: Of the first byte in the file, a multiple of the host's page size.
    public static func file(descriptor: CInt, offset: UInt64) -> AreaSource {
        AreaSource(storage: .file(descriptor: descriptor, offset: offset))
    }

    /// Output addresses from this one on, backed by registered memory or not: also devices, and memory that comes
    /// later.
    public static func output(_ address: OutputAddress) -> AreaSource {
        AreaSource(storage: .output(address))
    }
}
