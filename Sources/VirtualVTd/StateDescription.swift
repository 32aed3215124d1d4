// SPDX-License-Identifier: LGPL-2.1-or-later
//
// StateDescription - the state of a unit in words: for bug reports and logs. Made from a snapshot, which may be anybody's: whatever it
// holds is described or refused, and nothing is read but through the caller's closure.

public import IOMMUCore

extension VirtualVTd {
    /// The state of a unit in words: ``text`` for people, `Codable` for programs.
    ///
    /// ```swift
    /// print(try VirtualVTd.StateDescription(front.snapshot(), memory: { readWord($0) }).text())
    /// ```
    public struct StateDescription: Hashable, Sendable, Codable {
        /// A name and its value; an empty value where the name says all.
        public struct Property: Hashable, Sendable, Codable {
            /// The name.
            public var name: String
            /// The value in words.
            public var value: String
        }

        /// A field of a register.
        public struct Field: Hashable, Sendable, Codable {
            /// The specification's name.
            public var name: String
            /// The value, and what it means.
            public var value: String
            /// It is what it was after power-on.
            public var isAtReset: Bool
        }

        /// A register.
        public struct RegisterState: Hashable, Sendable, Codable {
            /// The specification's name.
            public var name: String
            /// Bytes from the unit's base, hexadecimal.
            public var offset: String
            /// Bytes: 4 or 8.
            public var size: Int
            /// The value, hexadecimal. Of GCMD and IVA, which read as zero: what was written last.
            public var value: String
            /// It is what it was after power-on.
            public var isAtReset: Bool
            /// Half of a fault-recording register: ``StateDescription/faults`` says what it means.
            public var isFaultRecord: Bool
            /// Its fields, lowest bits first. None of CAP and ECAP: see ``StateDescription/capabilities``.
            public var fields: [Field]
        }

        /// Something that lies in a queue.
        public struct Entry: Hashable, Sendable, Codable {
            /// Its number, from the start of the queue.
            public var index: Int
            /// Where it lies in guest memory, hexadecimal.
            public var address: String
            /// Its words, the least significant first, hexadecimal; nil where they are not known.
            public var words: [String]?
            /// What it is.
            public var kind: String
            /// What it says.
            public var fields: [Property]
            /// What is wrong with it, or why it is not known.
            public var problem: String?
        }

        /// A queue in guest memory.
        public struct Queue: Hashable, Sendable, Codable {
            /// What it does: on, off, or what stopped it.
            public var state: String
            /// Where it lies, hexadecimal.
            public var address: String
            /// Its size in bytes.
            public var size: UInt64
            /// Bytes of an entry.
            public var entrySize: UInt64
            /// The entries that it has place for.
            public var capacity: UInt64
            /// Bytes from its start to what is taken next, hexadecimal.
            public var head: String
            /// Bytes from its start to behind the newest entry, hexadecimal.
            public var tail: String
            /// The entries from head to tail; nil where head or tail is impossible.
            public var waiting: UInt64?
            /// What is wrong with head and tail, or why entries are not shown.
            public var problems: [String]
            /// The first of the entries from head to tail.
            public var entries: [Entry]
            /// The last entries before the head, oldest first, as memory has them now.
            public var consumed: [Entry]
        }

        /// A fault-recording register that is not empty.
        public struct FaultState: Hashable, Sendable, Codable {
            /// Its number.
            public var index: Int
            /// F: software has not cleared it.
            public var isPending: Bool
            /// The source id as `bus:device.function`.
            public var source: String
            /// The PASID of a request with one.
            public var pasid: UInt64?
            /// What was asked for.
            public var request: String
            /// The input address, or the entry of the interrupt-remapping table.
            public var place: String
            /// The reason's code, hexadecimal.
            public var code: String
            /// What the code means.
            public var meaning: String
        }

        /// All fault-recording registers.
        public struct FaultRing: Hashable, Sendable, Codable {
            /// How many there are.
            public var capacity: Int
            /// The one that the next fault goes to.
            public var next: Int
            /// The first pending one by FSTS.FRI; nil when none is pending.
            public var first: Int?
            /// Those that are not empty.
            public var records: [FaultState]
        }

        /// A group of page requests that the guest has in its queue and has not answered.
        public struct Group: Hashable, Sendable, Codable {
            /// The source id as `bus:device.function`.
            public var source: String
            /// The PASID, where there is one.
            public var pasid: UInt32?
            /// The index that the guest knows it by.
            public var index: Int
            /// The pages and what is wanted there.
            public var pages: [String]
            /// What the guest answered before the device came back for it.
            public var answer: String?
        }

        /// An interrupt of the unit itself.
        public struct EventState: Hashable, Sendable, Codable {
            /// What it is raised for.
            public var name: String
            /// IM: it is not signalled.
            public var isMasked: Bool
            /// IP: it will be, once the mask goes.
            public var isPending: Bool
            /// The message in words.
            public var message: String
        }

        /// What is printed of queues.
        public struct Options: Hashable, Sendable {
            /// Greatest number of entries from head to tail.
            public var entries = 64
            /// Entries before the head.
            public var consumed = 0

            /// Makes options: up to 64 entries, none before the head.
            public init() {}
        }

        /// What commands have latched and switched.
        public var unit: [Property]
        /// What went wrong and was not cleared.
        public var errors: [String]
        /// CAP and ECAP by field.
        public var capabilities: [Property]
        /// Every register that the unit has, by offset.
        public var registers: [RegisterState]
        /// The invalidation queue; nil where the unit has none.
        public var invalidationQueue: Queue?
        /// The fault-recording registers.
        public var faults: FaultRing
        /// The page-request queue; nil where the unit has none.
        public var pageRequestQueue: Queue?
        /// Groups of page requests that were not answered, oldest first.
        public var pageGroups: [Group] = []
        /// The unit's own interrupts.
        public var events: [EventState]
    }
}

extension VirtualVTd.StateDescription {
    /// Describes a state.
    ///
    /// - Parameters:
    ///   - snapshot: The state.
    ///   - options: How much of the queues.
    ///   - memory: Reads the little-endian word of 64 bits at a guest-physical address, a multiple of 8; nil where there is none. Without
    ///     it nothing is known of what lies in queues.
    /// - Throws: ``IOMMUError/unsupported`` for a snapshot of another version, ``IOMMUError/inconsistent`` for capabilities that no
    ///   such unit has, ``IOMMUError/invalidArgument`` for a state that no unit can be in; with what is wrong.
    public init(
        _ snapshot: VirtualVTd.Snapshot, options: Options = Options(),
        memory: ((_ address: UInt64) -> UInt64?)? = nil
    ) throws(IOMMUError) {
        let capabilities = try snapshot.capabilities()
        var configuration = VirtualVTd.Configuration(capabilities: capabilities)
        configuration.version = snapshot.unitVersion
        try configuration.check()
        let state = try UnitState(snapshot, RegisterMap(capabilities, version: snapshot.unitVersion))
        self.init(state, options, memory)
        pageGroups = snapshot.pageGroups.map(Group.init)
    }

    private init(_ state: UnitState, _ options: Options, _ memory: ((UInt64) -> UInt64?)?) {
        unit = state.switches
        errors = state.standingErrors
        capabilities = state.capabilities.properties.compactMap { name, value in
            name.contains(".") ? Property(name: name, value: value) : nil
        }
        registers = state.bank.map.layouts.map { RegisterState($0, state) }
        let reader = QueueReader(state, options, memory)
        invalidationQueue = state.capabilities.queuedInvalidation ? reader.invalidationQueue() : nil
        faults = FaultRing(state)
        pageRequestQueue = state.capabilities.pageRequests ? reader.pageRequestQueue() : nil
        events = state.events
    }
}

extension VirtualVTd.StateDescription.RegisterState {
    fileprivate init(_ layout: RegisterLayout, _ state: UnitState) {
        let register = layout.register
        let contents: UInt64
        switch register {
        case .gcmd: contents = state.commands
        case .iva: contents = state.invalidationAddress
        default: contents = state.bank[register]
        }
        name = register.mnemonic
        offset = hexadecimal(UInt64(layout.offset))
        size = layout.size
        value = hexadecimal(contents)
        isAtReset = contents == layout.reset
        switch register {
        case .frcdLow, .frcdHigh: isFaultRecord = true
        default: isFaultRecord = false
        }
        fields = register.fields.map { field in
            VirtualVTd.StateDescription.Field(
                name: field.name, value: field.text(in: contents),
                isAtReset: field.value(in: contents) == field.value(in: layout.reset))
        }
    }
}
