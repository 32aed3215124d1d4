// SPDX-License-Identifier: LGPL-2.1-or-later
//
// TranslationSlot - room for one result of a batch, in the form of the C interface: nothing is converted before it is read.

public import CIOMMU

// @unchecked: a value that nobody shares; the host pointer in it is never read.
/// Room for the result of one request of a batch.
///
/// The host makes as many as its batches have requests, once, and hands them to ``Port/translate(_:into:)`` again and again.
///
/// ```swift
/// var slots = [TranslationSlot](repeating: TranslationSlot(), count: 32)
/// var room = slots.mutableSpan
/// try port.translate(requests.span, into: &room)
/// for index in requests.indices {
///     guard let translation = room[index].translation else { continue }
/// }
/// ```
@safe
public struct TranslationSlot: BitwiseCopyable, @unchecked Sendable {
    @usableFromInline
    var wire: ciommu_result

    /// No result yet.
    public init() {
        unsafe wire = .empty
        unsafe wire.outcome = .max
    }

    /// What became of the request; nil as long as nothing was written here.
    public var result: TranslationResult? {
        unsafe wire.outcome == .max ? nil : TranslationResult(wire)
    }

    /// The translation if the request is mapped. Costs nothing beyond what is used of it.
    @inlinable
    public var translation: Translation? {
        unsafe wire.outcome == CIOMMU_TRANSLATED_OK.rawValue ? Translation(wire) : nil
    }

    /// The fault if the request was refused.
    public var fault: Fault? {
        unsafe wire.outcome == CIOMMU_FAULT.rawValue ? Fault(wire.fault) : nil
    }
}
