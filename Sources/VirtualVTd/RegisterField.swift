// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterField - a range of bits with the specification's name, and its value in words. Fields of registers and of what lies in
// queues alike.

internal import IOMMUCore

/// A range of bits of a word of 64 bits.
struct RegisterField: Sendable {
    /// What the value says.
    enum Meaning: Sendable {
        /// Nothing but itself, in decimal.
        case number
        /// Nothing but itself, in hexadecimal.
        case hexadecimal
        /// An address whose other bits are zero: shown with its bits in place.
        case address
        /// One bit: what a 1 says.
        case flag(String)
        /// What each value says; further ones are reserved. An empty string says nothing.
        case names([String])
        /// A source id of 16 bits.
        case source
        /// What a function says.
        case words(@Sendable (UInt64) -> String)
    }

    let name: String
    /// The lowest bit.
    let low: UInt64
    /// Bits, 1 to 64.
    let width: UInt64
    let meaning: Meaning

    private init(_ name: String, _ low: UInt64, _ width: UInt64, _ meaning: Meaning) {
        self.name = name
        self.low = low
        self.width = width
        self.meaning = meaning
    }

    /// A field of several bits.
    static func bits(_ bits: ClosedRange<UInt64>, _ name: String, _ meaning: Meaning = .number) -> RegisterField {
        RegisterField(name, bits.lowerBound, bits.upperBound - bits.lowerBound + 1, meaning)
    }

    /// A field of one bit, and what a 1 says.
    static func bit(_ low: UInt64, _ name: String, _ words: String) -> RegisterField {
        RegisterField(name, low, 1, .flag(words))
    }

    func value(in word: UInt64) -> UInt64 {
        word >> low & (UInt64.max >> (64 - width))
    }

    /// The value with what it says in brackets.
    func text(in word: UInt64) -> String {
        let value = value(in: word)
        switch meaning {
        case .number: return String(value)
        case .hexadecimal: return hexadecimal(value)
        case .address: return hexadecimal(value << low)
        case .flag(let words): return value == 0 || words.isEmpty ? String(value) : "1 (\(words))"
        case .names(let names):
            let name = value < UInt64(names.count) ? names[Int(value)] : "reserved"
            return name.isEmpty ? String(value) : "\(value) (\(name))"
        case .source: return "\(SourceID(UInt32(truncatingIfNeeded: value & 0xffff)))"
        case .words(let words):
            let words = words(value)
            return words.isEmpty ? String(value) : "\(value) (\(words))"
        }
    }
}

/// With `0x`.
func hexadecimal(_ value: UInt64) -> String {
    "0x" + String(value, radix: 16)
}
