// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterBank - what the registers hold, and what an access of the guest's reads or changes of it. Knows widths, masks and
// write-1-to-clear bits; what a register means is UnitState's affair.

internal import IOMMUCore

/// The contents of all registers.
///
/// Registers are made of words of 32 bits. An access takes one or two whole words, lower one first [FORMATS-VTD B].
/// Choice: an access of another size or alignment, which the architecture leaves undefined, reads the bytes that it names and
/// writes nothing. What lies between registers reads as zero.
struct RegisterBank: Sendable {
    let map: RegisterMap
    /// By the number of the word.
    private var words: [UInt32]
    /// The layout that a word belongs to; -1 for none.
    private let owners: [Int16]

    init(_ map: RegisterMap) {
        self.map = map
        words = Array(repeating: 0, count: (map.end + 3) / 4)
        var owners = Array(repeating: Int16(-1), count: words.count)
        for (number, layout) in map.layouts.enumerated() {
            for word in layout.offset / 4..<layout.end / 4 { owners[word] = Int16(number) }
        }
        self.owners = owners
        reset()
    }

    /// All words, for a snapshot.
    var contents: [UInt32] { words }

    /// Takes words that were ``contents`` of such a bank; nil for another number of them. What is constant stays as the map says.
    init?(_ map: RegisterMap, contents: [UInt32]) {
        self.init(map)
        guard contents.count == words.count else { return nil }
        words = contents
        for register in [Register.ver, .cap, .ecap] { self[register] = map[register]?.reset ?? 0 }
    }

    /// Everything as after power-on.
    mutating func reset() {
        for layout in map.layouts { self[layout.register] = layout.reset }
    }

    /// The contents as the unit sees and changes them, whatever a guest may write. Zero where there is no such register, and what is
    /// stored there is lost.
    subscript(register: Register) -> UInt64 {
        get {
            guard let place = map.place(of: register) else { return 0 }
            let low = UInt64(words[place.word])
            return place.isWide ? low | UInt64(words[place.word + 1]) << 32 : low
        }
        set {
            guard let place = map.place(of: register) else { return }
            words[place.word] = UInt32(truncatingIfNeeded: newValue)
            if place.isWide { words[place.word + 1] = UInt32(truncatingIfNeeded: newValue >> 32) }
        }
    }

    /// What an access reads.
    func read(_ offset: Int, size: Int) -> UInt64 {
        guard (1...8).contains(size), offset >= 0 else { return 0 }
        var value: UInt64 = 0
        for byte in 0..<size {
            let (position, overflow) = offset.addingReportingOverflow(byte)
            guard !overflow, position / 4 < words.count else { break }
            value |= UInt64(words[position / 4] >> UInt32(position % 4 * 8) & 0xff) << UInt64(byte * 8)
        }
        return value
    }

    /// What an access changed.
    struct Change: Equatable {
        let register: Register
        /// Bits that the access wrote, whether they keep it or not: what it said, where it said something.
        let written: UInt64
        /// The bits of the register that the access named.
        let mask: UInt64
    }

    /// Stores what an access writes, as far as each register permits.
    ///
    /// - Returns: The registers that it named, in the order of their offsets; read-only ones too. Two at most.
    mutating func write(_ offset: Int, size: Int, _ value: UInt64) -> (Change?, Change?) {
        guard offset >= 0, offset % 4 == 0, size == 4 || size == 8 else { return (nil, nil) }
        var changes: (Change?, Change?) = (nil, nil)
        for half in 0..<size / 4 {
            let word = offset / 4 + half
            guard word < words.count, owners[word] >= 0 else { continue }
            let layout = map.layouts[Int(owners[word])]
            let shift = UInt64(word - layout.offset / 4) * 32
            let written = UInt32(truncatingIfNeeded: value >> UInt64(half * 32))
            let writable = UInt32(truncatingIfNeeded: layout.writable >> shift)
            let cleared = UInt32(truncatingIfNeeded: layout.cleared >> shift)
            words[word] = words[word] & ~writable & ~(cleared & written) | writable & written
            if broken(.clearingSets) { words[word] |= cleared & written }
            let part = Change(
                register: layout.register, written: UInt64(written) << shift, mask: 0xffff_ffff << shift)
            if let first = changes.0, first.register == layout.register {
                changes.0 = Change(
                    register: layout.register, written: first.written | part.written, mask: first.mask | part.mask)
            } else if changes.0 == nil {
                changes.0 = part
            } else {
                changes.1 = part
            }
        }
        return changes
    }
}
