// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MemoryImages - files with parts of a guest's memory, each with the address of its first byte: what `iommu dump --memory` names.

import ArgumentParser
import Foundation

/// A file and where its first byte lies, as `FILE@ADDRESS`.
struct MemoryImageArgument: ExpressibleByArgument, Equatable {
    let file: String
    let address: UInt64

    init?(argument: String) {
        guard let at = argument.lastIndex(of: "@"), at != argument.startIndex else { return nil }
        let text = argument[argument.index(after: at)...]
        let digits = text.hasPrefix("0x") ? text.dropFirst(2) : text
        guard digits.allSatisfy({ $0.isASCII && $0.isHexDigit }), let address = UInt64(digits, radix: 16) else {
            return nil
        }
        file = String(argument[..<at])
        self.address = address
    }
}

/// Why an image cannot be used.
struct MemoryImageError: Error, CustomStringConvertible {
    let description: String
}

/// Guest memory from files.
struct MemoryImages {
    private let images: [(first: UInt64, last: UInt64, bytes: Data)]

    /// Reads the files.
    init(_ arguments: [MemoryImageArgument]) throws(MemoryImageError) {
        var images: [(first: UInt64, last: UInt64, bytes: Data)] = []
        for argument in arguments {
            let bytes: Data
            do {
                bytes = try Data(contentsOf: URL(fileURLWithPath: argument.file), options: .mappedIfSafe)
            } catch {
                throw MemoryImageError(description: "\(argument.file): \(error.localizedDescription)")
            }
            guard !bytes.isEmpty else { throw MemoryImageError(description: "\(argument.file): is empty") }
            let (last, overflow) = argument.address.addingReportingOverflow(UInt64(bytes.count - 1))
            guard !overflow else {
                throw MemoryImageError(description: "\(argument.file): ends beyond the last address")
            }
            guard !images.contains(where: { $0.first <= last && argument.address <= $0.last }) else {
                throw MemoryImageError(description: "\(argument.file): overlaps another image")
            }
            images.append((argument.address, last, bytes))
        }
        self.images = images
    }

    /// The little-endian word at an address; nil unless an image has all of it.
    func word(at address: UInt64) -> UInt64? {
        let (last, overflow) = address.addingReportingOverflow(7)
        guard !overflow, let image = images.first(where: { $0.first <= address && last <= $0.last }) else { return nil }
        let start = image.bytes.startIndex + Int(address - image.first)
        return image.bytes[start..<start + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
