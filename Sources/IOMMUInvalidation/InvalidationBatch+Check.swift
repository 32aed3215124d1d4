// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What an array of entries must be before it reaches C: the same rules, with a sentence for each.

internal import IOMMUCore

extension InvalidationBatch {
    static func check(entryLength: Int, _ format: Format) throws(IOMMUError) {
        guard entryLength >= format.entryLength else {
            throw .invalidArgument.with(
                detail: "\(entryLength) bytes an entry; \(format) have at least \(format.entryLength)")
        }
        guard entryLength <= maximumEntryLength else {
            throw .invalidArgument.with(detail: "\(entryLength) bytes an entry; at most \(maximumEntryLength)")
        }
    }

    /// How many entries `byteCount` bytes are.
    static func count(byteCount: Int, entryLength: Int, _ format: Format) throws(IOMMUError) -> Int {
        try check(entryLength: entryLength, format)
        let (count, rest) = byteCount.quotientAndRemainder(dividingBy: entryLength)
        guard rest == 0 else {
            throw .invalidArgument.with(
                detail: "\(byteCount) bytes are no whole number of entries of \(entryLength) bytes")
        }
        guard count <= maximumCount else {
            throw .invalidArgument.with(detail: "\(count) entries; at most \(maximumCount)")
        }
        return count
    }
}
