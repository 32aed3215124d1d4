// SPDX-License-Identifier: LGPL-2.1-or-later
//
// TableImage - pages.idx and pages.bin: the guest's tables at the stop, page by page.

/// The recorded pages of guest memory when the guest was stopped.
public struct TableImage: Sendable {
    /// One recorded page.
    public struct Page: Hashable, Sendable {
        /// Guest-physical address, a multiple of 4096.
        public let address: UInt64
        /// What the recorder found it to be, such as `ss-l1` or `pasid-dir`; other recordings may have other roles.
        public let role: String
        /// Its line in `pages.idx`.
        public let line: Int
    }

    /// Bytes of a page.
    public static let pageSize = 4096

    /// The file with the addresses, for messages.
    public let indexFile: String
    /// The pages in the order of the file.
    public let pages: [Page]
    /// The contents of all pages, in that order.
    public let bytes: [UInt8]

    private let places: [UInt64: Int]

    /// The contents of the page at `index` of ``pages``.
    public func contents(at index: Int) -> ArraySlice<UInt8> {
        bytes[index * Self.pageSize..<(index + 1) * Self.pageSize]
    }

    /// The little-endian 64-bit word at a guest-physical address; nil if its page was not recorded or it is not aligned.
    public func word(at address: UInt64) -> UInt64? {
        guard address & 7 == 0, let page = places[address >> 12] else { return nil }
        let start = page * Self.pageSize + Int(address & 0xfff)
        return (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
    }
}

extension TableImage {
    /// Reads the index, then the pages.
    init(folder: String) throws(CaptureError) {
        let index = try CaptureFile("pages.idx", in: folder)
        let binary = try CaptureFile("pages.bin", in: folder)
        try self.init(index: index, binary: binary)
    }

    /// Takes the two files.
    init(index: CaptureFile, binary: CaptureFile) throws(CaptureError) {
        var pages: [Page] = []
        var places: [UInt64: Int] = [:]
        try index.parse { (reader) throws(CaptureError) in
            while !reader.isAtEnd {
                let address = try reader.padded("the page's address", digits: 12)
                guard address & 0xfff == 0 else { throw reader.error("the page's address is not a multiple of 4096") }
                try reader.space()
                let role = try reader.text("the role", upTo: UInt8(ascii: "\n"))
                guard !role.isEmpty else { throw reader.error("the page has no role") }
                if let other = places.updateValue(pages.count, forKey: address >> 12) {
                    throw reader.error("the page appears a second time, first in line \(pages[other].line)")
                }
                pages.append(Page(address: address, role: role, line: reader.line))
                try reader.endLine()
            }
        }
        guard !pages.isEmpty else { throw CaptureError(file: index.name, line: 1, "names no page") }
        indexFile = index.name
        self.pages = pages
        self.places = places
        bytes = binary.bytes
        // Page n of the binary file is line n of the index.
        let complete = bytes.count / Self.pageSize
        if let damage = binary.damage {
            throw CaptureError(
                file: binary.name, line: min(complete + 1, pages.count),
                "in the page of that line of \(index.name): \(damage)")
        }
        guard bytes.count == pages.count * Self.pageSize else {
            throw CaptureError(
                file: binary.name, line: min(complete + 1, pages.count),
                "has \(bytes.count) bytes, but \(index.name) names \(pages.count) pages of \(Self.pageSize)")
        }
    }
}
