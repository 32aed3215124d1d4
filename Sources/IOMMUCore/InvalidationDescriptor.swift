// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationDescriptor - one entry of a VT-d invalidation queue, as the guest wrote it. Nothing is checked here: the unit
// does, and names the rule that is broken.

/// One VT-d invalidation descriptor, 128 or 256 bits, in host byte order [FORMATS-VTD C].
public struct InvalidationDescriptor: Hashable, Sendable {
    /// Bits 63:0.
    public var q0: UInt64
    /// Bits 127:64.
    public var q1: UInt64
    /// Bits 191:128; not looked at unless ``isWide``.
    public var q2: UInt64
    /// Bits 255:192; not looked at unless ``isWide``.
    public var q3: UInt64
    /// 256 bits, from a queue with IQA.DW = 1.
    public var isWide: Bool

    /// Makes a 128-bit descriptor.
    public init(_ q0: UInt64, _ q1: UInt64) {
        self.q0 = q0
        self.q1 = q1
        q2 = 0
        q3 = 0
        isWide = false
    }

    /// Makes a 256-bit descriptor.
    public init(_ q0: UInt64, _ q1: UInt64, _ q2: UInt64, _ q3: UInt64) {
        self.q0 = q0
        self.q1 = q1
        self.q2 = q2
        self.q3 = q3
        isWide = true
    }

    /// The type, bits 11:9 and 3:0 [FORMATS-VTD C2]. Values that are not defined are possible.
    public var type: Int {
        Int(q0 >> 9 & 7) << 4 | Int(q0 & 15)
    }

    /// The same words as a 256-bit descriptor.
    public var widened: InvalidationDescriptor {
        isWide ? self : InvalidationDescriptor(q0, q1, 0, 0)
    }

    /// What ``type`` stands for, in words; `reserved` for a type that is not defined.
    public var typeName: String {
        switch type {
        case 1: "context-cache"
        case 2: "IOTLB"
        case 3: "device-TLB"
        case 4: "interrupt-entry cache"
        case 5: "wait"
        case 6: "PASID-based IOTLB"
        case 7: "PASID cache"
        case 8: "PASID-based device-TLB"
        case 9: "page-group response"
        default: "reserved"
        }
    }
}

extension InvalidationDescriptor: CustomStringConvertible {
    /// The type and the words, most significant first.
    public var description: String {
        let words = isWide ? [q3, q2, q1, q0] : [q1, q0]
        return typeName + " " + words.map { "0x" + String($0, radix: 16) }.joined(separator: " ")
    }
}
