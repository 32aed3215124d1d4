// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DescriptorBatch - recorded descriptors that are applied together: what a guest had put into its queue between two
// moves of the tail.

internal import IOMMU
internal import IOMMUCapture

/// Descriptors of one width, in order.
struct DescriptorBatch {
    /// Indices in ``EventStream/descriptors``.
    private(set) var indices: [Int] = []
    private var descriptors: [InvalidationDescriptor] = []

    var isEmpty: Bool { indices.isEmpty }

    /// The width; nil while there is none.
    var isWide: Bool? { descriptors.first?.isWide }

    mutating func add(_ index: Int, _ recorded: EventStream.Descriptor) {
        indices.append(index)
        descriptors.append(InvalidationDescriptor(recorded))
    }

    /// Applies them. After a refused one it goes on with the next, as a replay one by one does.
    ///
    /// - Parameters:
    ///   - unit: The unit.
    ///   - refused: Hears of each refused descriptor: its index, and why.
    func apply(to unit: RemappingUnit, refused: (Int, String) -> Void) throws(IOMMUError) {
        var next = 0
        while next < indices.count {
            let count = min(indices.count - next, InvalidationBatch.maximumCount)
            var batch = try InvalidationBatch(isWide == true ? .vtdQueue256 : .vtdQueue128, capacity: count)
            for descriptor in descriptors[next..<next + count] { try batch.append(descriptor) }
            let result = try unit.apply(batch)
            next += result.handled
            if result.refusedIndex != nil {
                refused(indices[next], "\(result)")
                next += 1
            } else if !result.isComplete {
                throw .timedOut
            }
        }
    }
}

extension InvalidationDescriptor {
    /// A recorded descriptor.
    init(_ recorded: EventStream.Descriptor) {
        let words = recorded.words
        self = recorded.isWide ? Self(words.q0, words.q1, words.q2, words.q3) : Self(words.q0, words.q1)
    }
}
