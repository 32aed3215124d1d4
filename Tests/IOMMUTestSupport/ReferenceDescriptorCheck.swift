// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which invalidation descriptors a unit accepts, rule by rule from the format notes (C1-C4), for comparison with the engine.

/// The verdict on one descriptor.
package struct ReferenceDescriptorCheck {
    package var model: UnitModel
    /// RTADDR.TTM.
    package var tableMode: UInt64

    package init(model: UnitModel, tableMode: UInt64) {
        self.model = model
        self.tableMode = tableMode
    }

    /// The error information (IQEI) of a refusal, nil for a descriptor that is accepted.
    package func refusal(_ descriptor: Descriptor) -> Int? {
        let (low, high) = (descriptor.words[0], descriptor.words[1])
        // 1. The table mode itself.
        if tableMode == 2 { return 7 }
        // 2. The width: scalable and abort mode have only wide ones; legacy mode has wide ones if the unit knows them.
        if tableMode == 0 {
            if descriptor.isWide && !model.has(.scalableMode) && !model.has(.abortMode) { return 5 }
        } else if !descriptor.isWide {
            return 5
        }
        // 3. The type, in two pieces.
        let type = bits(low, 9...11) << 4 | bits(low, 0...3)
        let isKnown =
            switch type {
            case 1, 2, 5: true
            case 3: model.has(.deviceTLB)
            case 4: model.has(.interruptRemapping)
            case 6, 7: tableMode != 0
            case 8: tableMode != 0 && model.has(.deviceTLB)
            case 9: tableMode != 0 && model.has(.pageRequests)
            default: false
            }
        if !isKnown { return 3 }
        // 4. Reserved bits, granularities and what the capabilities limit.
        let reserved = Self.reserved(type)
        if low & reserved.low != 0 || high & reserved.high != 0 { return 4 }
        if type != 9, descriptor.words.dropFirst(2).contains(where: { $0 != 0 }) { return 4 }
        return isLegal(type, low, high) ? nil : 4
    }

    /// Reserved bits of the two low quadwords.
    private static func reserved(_ type: UInt64) -> (low: UInt64, high: UInt64) {
        switch type {
        case 1: (0xfffc_0000_0000_f1c0, .max)
        case 2: (0xffff_ffff_0000_f100, 0xf80)
        case 3: (0x000f_0000_ffe0_01f0, 0xffe)
        case 4: (0xffff_0000_07ff_f1e0, .max)
        case 5: (0x0000_0000_ffff_f100, 3)
        case 6: (0xfff0_0000_0000_f1c0, 0xf80)
        case 7: (0xfff0_0000_0000_f1c0, .max)
        case 8: (0, 0x7fe)
        default: (0xfff0_0000_0000_01e0, 0xffff_ffff_ffff_f003)
        }
    }

    private func isLegal(_ type: UInt64, _ low: UInt64, _ high: UInt64) -> Bool {
        let granularity = bits(low, 4...5)
        switch type {
        case 1: return granularity != 0
        case 2:
            let isSelective = granularity == 3
            let mask = bits(high, 0...5)
            return granularity != 0
                && !(isSelective && (!model.has(.pageSelective) || mask > model[.maximumAddressMask]))
        case 4: return !bit(low, 4) || bits(low, 27...31) <= model[.hostAddressMaskValue]
        case 5: return !bit(low, 7) || model.has(.pageRequestDrain)
        case 6: return granularity >= 2
        case 7: return granularity != 2
        default: return true
        }
    }
}
