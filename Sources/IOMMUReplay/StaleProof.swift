// SPDX-License-Identifier: LGPL-2.1-or-later
//
// StaleProof - proves that an answer which no longer holds held at a moment from which it may still be given: no invalidation
// that covers it came since. It undoes the changes of memory backwards, walks after each that the walk would see, and puts
// everything back.

package import IOMMU
package import IOMMUCapture

/// Looks for an answer in the past of a replay.
package final class StaleProof {
    /// A walk that leaves no trace.
    package static let walkOnly: RequestOptions = [.noCache, .noFault, .noAccessedDirty]

    /// What happened so far.
    package var log = MutationLog()

    private let descriptors: [EventStream.Descriptor]
    private let memory: TableMemory
    /// Steps back that may still be taken, over all proofs: a recording in which everything differs must end too.
    private var budget = 200_000_000

    package init(_ stream: EventStream, _ memory: TableMemory) {
        descriptors = stream.descriptors
        self.memory = memory
    }

    /// Says whether `result` was the tables' answer at a moment since the last invalidation that covers it. No translation
    /// may run.
    package func held(_ question: Question, _ result: TranslationResult, _ unit: RemappingUnit) throws(IOMMUError)
        -> Bool
    {
        var undone: [(address: UInt64, value: UInt64)] = []
        defer {
            for change in undone.reversed() {
                memory.store(change.value, at: change.address)
            }
        }
        var crossed: [Int] = []
        var view = View(try question.with(adding: Self.walkOnly).trace(unit))
        for entry in log.entries.reversed() where budget > 0 {
            budget -= 1
            switch entry {
            case .everything:
                return false
            case .invalidation(let index):
                let descriptor = InvalidationScope(descriptors[index])
                if descriptor.coversEverything { return false }
                crossed.append(index)
            case .store(let address, let old):
                undone.append((address, memory.load(address) ?? 0))
                memory.store(old, at: address)
                guard view.words.contains(address) else { continue }
                view = View(try question.with(adding: Self.walkOnly).trace(unit))
                if Self.isSame(view.result, result), isFree(view, question, crossed) { return true }
            }
        }
        return false
    }

    /// None of the invalidations since covers what the walk found.
    private func isFree(_ view: View, _ question: Question, _ crossed: [Int]) -> Bool {
        !crossed.contains { InvalidationScope(descriptors[$0]).covers(question, view.binding) }
    }

    /// The same answer; where a fault went and how far a translation reaches do not count.
    private static func isSame(_ left: TranslationResult, _ right: TranslationResult) -> Bool {
        switch (left, right) {
        case (.mapped(let left), .mapped(let right)):
            left.address == right.address && left.mask == right.mask && left.rights == right.rights
        case (.fault(let left), .fault(let right)):
            left.code == right.code
        case (.interrupt(let left), .interrupt(let right)):
            left == right
        default:
            false
        }
    }
}

extension StaleProof {
    /// What a walk saw at one moment.
    private struct View {
        let result: TranslationResult
        /// Addresses of the words that it read.
        let words: Set<UInt64>
        let binding: InvalidationScope.Binding?

        init(_ trace: WalkTrace) {
            result = trace.result
            var words: Set<UInt64> = []
            for step in trace.steps {
                for index in 0..<UInt64(max(step.words.count, 1)) {
                    words.insert(step.address.rawValue &+ index * 8)
                }
            }
            self.words = words
            binding = InvalidationScope.Binding(trace)
        }
    }
}
