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

/// Why a file cannot be used: one line that names it.
struct InputFileError: Error, CustomStringConvertible {
    let description: String

    init(_ file: String, _ problem: String) {
        description = "\(file): \(problem)"
    }

    /// The contents of a file, or what is wrong with it.
    static func contents(of file: String) throws(InputFileError) -> Data {
        var isFolder: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: file, isDirectory: &isFolder) else {
            throw InputFileError(file, "does not exist")
        }
        guard !isFolder.boolValue else { throw InputFileError(file, "is a folder") }
        do {
            let path = URL(fileURLWithPath: file).resolvingSymlinksInPath().path
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            guard attributes[.type] as? FileAttributeType == .typeRegular else {
                throw InputFileError(file, "is not a regular file")
            }
            // Not read: Foundation would lose the memory that it takes for a file without contents.
            guard attributes[.size] as? Int != 0 else { return Data() }
            return try Data(contentsOf: URL(fileURLWithPath: file), options: .mappedIfSafe)
        } catch let error as InputFileError {
            throw error
        } catch {
            throw InputFileError(file, error.localizedDescription)
        }
    }
}

/// Guest memory from files.
struct MemoryImages {
    private let images: [(first: UInt64, last: UInt64, bytes: Data)]

    /// Reads the files.
    init(_ arguments: [MemoryImageArgument]) throws(InputFileError) {
        var images: [(first: UInt64, last: UInt64, bytes: Data)] = []
        for argument in arguments {
            let bytes = try InputFileError.contents(of: argument.file)
            guard !bytes.isEmpty else { throw InputFileError(argument.file, "is empty") }
            let (last, overflow) = argument.address.addingReportingOverflow(UInt64(bytes.count - 1))
            guard !overflow else {
                throw InputFileError(argument.file, "ends beyond the last address")
            }
            guard !images.contains(where: { $0.first <= last && argument.address <= $0.last }) else {
                throw InputFileError(argument.file, "overlaps another image")
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
