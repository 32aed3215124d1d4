// SPDX-License-Identifier: LGPL-2.1-or-later
//
// EventStream - replay.txt: everything that the recorded unit saw and answered since power-on, in order. Kept in flat arrays,
// one per kind of event, because there are hundreds of thousands.

/// The recorded events, in order.
public struct EventStream: Sendable {
    /// Which array an event is in.
    public enum Kind: UInt8, Hashable, Sendable {
        /// A register write by the guest (`W`).
        case registerWrite
        /// A word of guest memory as the unit read it, or a write to memory by the unit (`M`, `S`).
        case memoryWrite
        /// An invalidation descriptor (`D`).
        case descriptor
        /// A translation (`T`).
        case translation
        /// A register read by the guest (`R`).
        case registerRead
        /// An interrupt message of a device, remapped (`I`).
        case interrupt
        /// An interrupt of the unit itself (`G`).
        case signal
    }

    /// One event: where its contents are.
    public struct Event: Hashable, Sendable {
        /// The array.
        public let kind: Kind
        /// The position in it.
        public let index: UInt32
    }

    /// A register write, or a read and the recorder's answer.
    public struct RegisterAccess: Hashable, Sendable {
        /// Offset of the register.
        public let offset: UInt64
        /// Bytes: 4 or 8.
        public let size: UInt8
        /// What was written, or read.
        public let value: UInt64
        /// Line in the stream.
        public let line: UInt32
    }

    /// A change of guest memory.
    public struct MemoryWrite: Hashable, Sendable {
        /// Guest-physical address, a multiple of ``size``.
        public let address: UInt64
        /// Bytes: 1, 2, 4 or 8.
        public let size: UInt8
        /// The new contents, little-endian.
        public let value: UInt64
        /// The unit wrote it (`S`); otherwise the guest did, and the unit read it (`M`).
        public let isByUnit: Bool
        /// Line in the stream.
        public let line: UInt32
    }

    /// An invalidation descriptor that the unit processed.
    public struct Descriptor: Hashable, Sendable {
        /// Its words; the last two are 0 unless ``isWide``.
        public let words: Words
        /// 256 bits.
        public let isWide: Bool
        /// Line in the stream.
        public let line: UInt32

        /// Four 64-bit words, the least significant first.
        public struct Words: Hashable, Sendable {
            /// Bits 63:0.
            public let q0: UInt64
            /// Bits 127:64.
            public let q1: UInt64
            /// Bits 191:128.
            public let q2: UInt64
            /// Bits 255:192.
            public let q3: UInt64
        }
    }

    /// A request and the recorder's answer.
    public struct Translation: Hashable, Sendable {
        /// The input address.
        public let iova: UInt64
        /// The PASID that the request carried, or nil.
        public var pasid: UInt32? { pasidOrNone == .max ? nil : pasidOrNone }
        /// Line in the stream.
        public let line: UInt32
        /// The source id.
        public let source: UInt16
        /// Asked for writing, otherwise for reading.
        public let isWrite: Bool
        /// The recorder answered from its own IOTLB.
        public let isHit: Bool
        /// What was answered.
        public let answer: RecordedAnswer

        /// All ones for none.
        let pasidOrNone: UInt32
    }

    /// An interrupt message: a write of `data` to `address`.
    public struct Message: Hashable, Sendable {
        /// Where it is written.
        public let address: UInt64
        /// What is written.
        public let data: UInt32

        /// Makes a message.
        public init(address: UInt64, data: UInt32) {
            self.address = address
            self.data = data
        }
    }

    /// A device's interrupt message, and what the recorder made of it.
    public struct Interrupt: Hashable, Sendable {
        /// What the device wrote.
        public let asked: Message
        /// What was delivered.
        public let answered: Message
        /// Line in the stream.
        public let line: UInt32
    }

    /// An interrupt that the unit raised itself.
    public struct Signal: Hashable, Sendable {
        /// What was delivered.
        public let message: Message
        /// Line in the stream.
        public let line: UInt32
    }

    /// The name of the file, for messages.
    public internal(set) var file: String
    /// The events that matter to a replay, in order.
    public internal(set) var events: [Event] = []
    /// Register writes, in order.
    public internal(set) var registerWrites: [RegisterAccess] = []
    /// Register reads, in order.
    public internal(set) var registerReads: [RegisterAccess] = []
    /// Interrupt messages of devices, in order.
    public internal(set) var interrupts: [Interrupt] = []
    /// The unit's own interrupts, in order.
    public internal(set) var signals: [Signal] = []
    /// Changes of memory, in order.
    public internal(set) var memoryWrites: [MemoryWrite] = []
    /// Descriptors, in order.
    public internal(set) var descriptors: [Descriptor] = []
    /// Translations, in order.
    public internal(set) var translations: [Translation] = []
    /// Lines by their letter, those that do not matter included.
    public internal(set) var lineCounts: [String: Int] = [:]
}
