// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Question - one request as it is put to the engine, and whether the answer is the recorder's.

package import IOMMU
package import IOMMUCapture

/// A request as a replay puts it to the engine.
package struct Question: Hashable, Sendable {
    /// Who asks.
    package let source: SourceID
    /// The PASID, explicit or implied as ``options`` say.
    package let pasid: PASID?
    /// The input address.
    package let iova: IOVA
    /// What is wanted.
    package let access: AccessRights
    /// How it is treated.
    package let options: RequestOptions

    /// The same question with another access or other options.
    package func with(access: AccessRights? = nil, adding options: RequestOptions = []) -> Question {
        Question(
            source: source, pasid: pasid, iova: iova, access: access ?? self.access,
            options: self.options.union(options))
    }

    /// Asks through a port.
    @inline(__always)
    package func ask(_ port: Port) throws(IOMMUError) -> TranslationResult {
        try port.translate(iova, access: access, source: source, pasid: pasid, options: options)
    }

    /// Walks past every cache and reports the entries.
    package func trace(_ unit: RemappingUnit) throws(IOMMUError) -> WalkTrace {
        try unit.trace(iova, access: access, source: source, pasid: pasid, options: options)
    }
}

extension Question {
    /// A recorded request.
    @inline(__always)
    package init(_ translation: EventStream.Translation) {
        self.init(
            source: SourceID(UInt32(translation.source)), pasid: translation.pasid.flatMap { PASID($0) },
            iova: IOVA(translation.iova), access: translation.isWrite ? .write : .read, options: [])
    }

    /// A probe of the image. The recorder went straight to the PASID-table entry when it was given a PASID.
    init(_ row: ProbeRow) {
        self.init(
            source: SourceID(UInt32(row.source)), pasid: row.pasid.flatMap { PASID($0) }, iova: IOVA(row.iova),
            access: row.isWrite ? .write : .read, options: row.pasid == nil ? [] : .impliedPASID)
    }

    /// An address of a mapping of the image, without side effects.
    init(_ row: MappingRow, at iova: UInt64) {
        self.init(
            source: SourceID(UInt32(row.source)), pasid: row.pasid.flatMap { PASID($0) }, iova: IOVA(iova), access: [],
            options: row.pasid == nil ? [] : .impliedPASID)
    }
}

extension Question: CustomStringConvertible {
    /// The request in one line.
    package var description: String {
        var text = "\(source)"
        if let pasid {
            text += options.contains(.impliedPASID) ? " implied pasid \(pasid)" : " pasid \(pasid)"
        }
        return text + " \(access.isEmpty ? "probe" : "\(access)") at \(iova)"
    }
}

extension RecordedAnswer {
    /// The engine's answer is the recorder's: the fault code, or page, size and rights.
    @inline(__always)
    func agrees(with result: TranslationResult, for question: Question) -> Bool {
        switch result {
        case .mapped(let translation):
            fault == 0 && isPage(of: translation) && translation.rights.isSuperset(of: question.access)
                && UInt32(rights) == translation.rights.rawValue
        case .fault(let found):
            fault != 0 && UInt32(fault) == found.code
        case .interrupt:
            false
        }
    }

    /// The same page, whatever the rights.
    @inline(__always)
    func isPage(of translation: Translation) -> Bool {
        translation.mask == mask && translation.address.rawValue & ~mask == outputBase
    }
}
