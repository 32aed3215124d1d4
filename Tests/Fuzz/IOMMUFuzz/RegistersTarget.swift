// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Target "registers": a guest that programs a virtual unit, well or badly, beside devices that translate, signal and ask for pages.
// Whatever it does, every register reads as the format notes say, and a queue that stands still says why.

import IOMMU
import IOMMUTestSupport
import VirtualVTd

final class RegistersTarget {
    /// A kind of unit, twice: a guest moves from one to the other.
    private struct Pair {
        let first: RegistersSubject
        let second: RegistersSubject
    }

    private let profiles: [RegistersProfile]
    private let image: GuardedImage
    private var pairs: [Int: Pair] = [:]

    init() {
        do {
            profiles = try RegistersProfile.all()
            image = try GuardedImage(RegistersProfile.regions)
        } catch {
            finding("no units: \(error)")
        }
    }

    func run(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        let form = input.byte()
        let number = Int(form & 0x7f) % profiles.count
        // On the worker now and then: there the order of events is not told.
        let isInline = form < 0xe0
        let key = number << 1 | (isInline ? 1 : 0)
        let pair = try pairs[key] ?? makePair(profiles[number], isInline)
        pairs[key] = pair
        let run = RegistersRun(profiles[number], image, input, pair.first, pair.second)
        try run.run()
    }

    private func makePair(_ profile: RegistersProfile, _ isInline: Bool) throws -> Pair {
        Pair(
            first: try RegistersSubject(profile, image.memory, isInline: isInline),
            second: try RegistersSubject(profile, image.memory, isInline: isInline))
    }
}
