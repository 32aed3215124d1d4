// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What happens beside the readers, and how often.

import ScalingLoops

/// What the disturbing thread does.
enum DisturbingAct {
    case invalidatePage
    case invalidateDomain
    case replaceDomain

    var code: UInt32 {
        switch self {
        case .invalidatePage: SCALING_PAGE.rawValue
        case .invalidateDomain: SCALING_DOMAIN.rawValue
        case .replaceDomain: SCALING_REPLACE.rawValue
        }
    }
}

/// How often the disturbing thread acts.
enum Rate: Hashable {
    /// It keeps time like the others and does nothing: the control.
    case none
    case perSecond(Int)
    case backToBack

    var name: String {
        switch self {
        case .none: "none"
        case .perSecond(let rate): "\(rate / 1000) k/s"
        case .backToBack: "no pause"
        }
    }

    /// "100,000", or "33,000 (of 100,000 asked for)" where not all of them were `reached` in a second.
    func count(reached: Double) -> String {
        guard case .perSecond(let asked) = self else { return grouped(reached, digits: 0) }
        let all = grouped(Double(asked), digits: 0)
        guard reached < 0.95 * Double(asked) else { return all }
        let step = reached < 1000 ? 10.0 : 1000
        return "\(grouped((reached / step).rounded() * step, digits: 0)) (of \(all) asked for)"
    }

    /// Nanoseconds from one act to the next; 0 = back to back.
    var interval: UInt64 {
        switch self {
        case .none: 10_000
        case .perSecond(let rate): UInt64(1_000_000_000 / rate)
        case .backToBack: 0
        }
    }
}

/// What the disturbing thread does, on which processor.
struct Disturbance {
    var act: DisturbingAct
    var rate: Rate
    var processor: Int
    /// It has no processor of its own.
    var yields: Bool
}

/// What it did in a slice.
struct DisturbanceOutcome {
    /// Acts a second.
    var rate: Double
    /// Nanoseconds of each act, of the first ones where there were very many.
    var latencies: [UInt32]
}
