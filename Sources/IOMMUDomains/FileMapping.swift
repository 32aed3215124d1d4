// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FileMapping - a part of a file in the host's memory, for as long as this object lives.

internal import Glibc
internal import IOMMUCore

// @safe: the mapping is made and unmade here; its address is given out by a property that is marked unsafe.
/// A shared mapping of a file. It holds the file by itself: the descriptor is not kept, so that many areas need no
/// descriptors.
@safe
final class FileMapping: Sendable {
    private let base: UInt
    private let count: Int
    private let fileOffset: UInt64

    /// Maps `length` bytes of a file.
    ///
    /// - Parameters:
    ///   - descriptor: A regular file or a memfd.
    ///   - offset: A multiple of the host's page size.
    ///   - length: Bytes, not zero. The end of the last page is mapped too.
    /// - Throws: ``IOMMUError/invalidArgument`` for a bad descriptor or another kind of file; ``IOMMUError/misaligned``
    ///   for the offset; ``IOMMUError/outOfRange`` past the end of the file; ``IOMMUError/readOnly`` when the
    ///   descriptor is not open for what is asked; ``IOMMUError/noMemory``.
    init(descriptor: CInt, offset: UInt64, length: UInt64, isWritable: Bool) throws(IOMMUError) {
        try Self.check(descriptor: descriptor, offset: offset, length: length)
        guard let count = Int(exactly: length), let start = Int(exactly: offset) else {
            throw .outOfRange.with(detail: "the part of the file is larger than the host's address space")
        }
        let protection = isWritable ? PROT_READ | PROT_WRITE : PROT_READ
        let address = unsafe mmap(nil, count, protection, MAP_SHARED, descriptor, start)
        guard unsafe address != MAP_FAILED, let address = unsafe address else {
            switch errno {
            case EACCES, EPERM:
                let way = isWritable ? "for reading and writing" : "for reading"
                throw .readOnly.with(detail: "descriptor \(descriptor) is not open \(way)")
            case ENOMEM, EAGAIN, ENFILE:
                throw .noMemory.with(detail: "the file cannot be mapped into the host's memory")
            default:
                throw .invalidArgument.with(detail: "descriptor \(descriptor) cannot be mapped (errno \(errno))")
            }
        }
        base = UInt(bitPattern: address)
        self.count = count
        fileOffset = offset
    }

    deinit {
        let status = unsafe munmap(UnsafeMutableRawPointer(bitPattern: base), count)
        precondition(status == 0, "the mapping is this object's own")
    }

    /// The mapped bytes, valid while this object lives.
    @unsafe
    var bytes: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: base), count: count)
    }

    /// Where in the file a mapped byte lies.
    func offset(of address: UInt) -> UInt64 {
        fileOffset + UInt64(address - base)
    }

    private static func check(descriptor: CInt, offset: UInt64, length: UInt64) throws(IOMMUError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw .invalidArgument.with(detail: "descriptor \(descriptor) is not open")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .invalidArgument.with(detail: "descriptor \(descriptor) is neither a regular file nor a memfd")
        }
        guard offset % UInt64(getpagesize()) == 0 else {
            throw .misaligned.with(detail: "the file offset \(offset) is not a multiple of \(getpagesize())")
        }
        // An access past the end of a file would be a signal.
        let size = UInt64(status.st_size)
        guard offset <= size, length <= size - offset else {
            throw .outOfRange.with(detail: "\(length) bytes from \(offset) on pass the end of the file, at \(size)")
        }
    }
}
