// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where a value lies on an axis, and which values the axis names.

import Foundation

/// From a value to a place between 0 (begin) and 1 (end of the axis).
struct Scale {
    let isLogarithmic: Bool
    let low: Double
    let high: Double
    let ticks: [Double]

    /// A linear scale begins at 0 and ends above the highest of `values`; a logarithmic one takes whole steps of 1, 2,
    /// 5, 10 around them. Values that are not finite, or not positive on a logarithmic scale, do not count.
    init(values: [Double], isLogarithmic: Bool) {
        self.isLogarithmic = isLogarithmic
        let good = values.filter { $0.isFinite && (!isLogarithmic || $0 > 0) }
        if isLogarithmic {
            let lowest = good.min() ?? 1
            let highest = good.max() ?? 10
            let steps = Self.steps(from: lowest, to: highest)
            low = steps.first!
            high = steps.last!
            let decades = steps.filter { abs(log10($0) - log10($0).rounded()) < 1e-9 }
            ticks = steps.count <= 7 || decades.count < 3 ? steps : decades
        } else {
            let highest = max(good.max() ?? 1, 1e-9)
            let raw = highest / 5
            let power = pow(10, log10(raw).rounded(.down))
            let step = [1, 2, 2.5, 5, 10].map { $0 * power }.first { $0 >= raw * 0.999 }!
            low = 0
            high = (highest / step - 0.001).rounded(.up) * step
            ticks = Array(stride(from: 0, through: high + step / 2, by: step))
        }
    }

    func place(_ value: Double) -> Double {
        isLogarithmic ? log(value / low) / log(high / low) : (value - low) / (high - low)
    }

    /// 1, 2, 5, 10, 20 ... so that the first is not above `lowest` and the last not below `highest`.
    private static func steps(from lowest: Double, to highest: Double) -> [Double] {
        var all: [Double] = []
        var decade = log10(lowest).rounded(.down)
        while all.last ?? 0 < highest || all.count < 2 {
            for factor in [1.0, 2, 5] {
                let step = factor * pow(10, decade)
                if factor < 5 ? step * 2.5 > lowest : step * 2 > lowest {
                    if (all.last ?? 0) < highest || all.count < 2 {
                        all.append(step)
                    }
                }
            }
            decade += 1
        }
        return all.count > 1 && all[1] <= lowest ? Array(all.dropFirst()) : all
    }

    /// As an axis names it: 0.5, 1,000, 20 k, 5 M.
    static func name(_ value: Double) -> String {
        if value >= 999_999 { return name(value / 1e6) + " M" }
        if value >= 9_999 { return name(value / 1e3) + " k" }
        var digits = 0
        while digits < 9,
            abs((value * pow(10, Double(digits))).rounded() / pow(10, Double(digits)) - value) > value * 1e-6
        {
            digits += 1
        }
        return grouped(value, digits: digits)
    }
}
