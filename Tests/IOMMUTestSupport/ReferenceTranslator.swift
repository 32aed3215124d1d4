// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The slow translator that the engine is compared with: one request at a time, every table read anew, the steps of the format
// notes (sections A2-A11, E) in their order. It shares no code with the engine and knows no cache, so that a mistake would have
// to be made twice to go unnoticed. This file: the request up to the root table. The rest: ReferenceWalk+*.swift.

/// A unit as the specification describes it, over memory that two closures reach.
package struct ReferenceTranslator {
    /// The quadword at an output address, nil where no memory is.
    package typealias Read = (UInt64) -> UInt64?
    /// Stores a quadword; false where there is no memory or it is read-only.
    package typealias Write = (UInt64, UInt64) -> Bool

    package var model: UnitModel
    /// RTADDR: root-table address, and the translation-table mode in bits 11:10.
    package var rootRegister: UInt64 = 0
    package var isTranslationEnabled = false
    let read: Read
    let write: Write

    package init(model: UnitModel, read: @escaping Read, write: @escaping Write) {
        self.model = model
        self.read = read
        self.write = write
    }

    /// A translator that sees an image as the engine does.
    package init(model: UnitModel, image: GuestImage) {
        self.init(model: model, read: { image.read($0) }, write: { image.writeAsWalker($0, $1) })
    }

    /// Answers one request, setting the accessed and dirty bits that it sets.
    package func translate(_ request: DMARequest) -> Answer {
        var walk = ReferenceWalk(unit: self, request: request)
        do throws(Stop) {
            return walk.narrowed(try walk.translate())
        } catch {
            return .fault(walk.report(error))
        }
    }
}

/// Why a walk ended early.
struct Stop: Error {
    var code: UInt32
    var stage: FaultAnswer.Stage = .none
    var level: Int?
    var isAbort = false

    init(_ code: UInt32, _ stage: FaultAnswer.Stage = .none, level: Int? = nil) {
        self.code = code
        self.stage = stage
        self.level = level
    }
}

/// The state of one request on its way.
struct ReferenceWalk {
    let unit: ReferenceTranslator
    let request: DMARequest
    /// FPD of every entry read so far, absent ones included.
    var isSilenced = false
    /// What the request needs, after what its kind and the revision make of it.
    let needsRead: Bool
    let needsWrite: Bool
    let needsExecute: Bool
    var isPrivileged = false

    var model: UnitModel { unit.model }
    var isRevision3: Bool { model.revision == 3 }
    /// A probe, and a request with NO_AD, leave accessed and dirty bits alone.
    var setsMarks: Bool { !request.access.isProbe && !request.leavesMarks }

    init(unit: ReferenceTranslator, request: DMARequest) {
        self.unit = unit
        self.request = request
        // Revision 4 knows no execute request, and a request without PASID cannot carry the attribute: both are reads.
        let isExecute = request.access.contains(.execute)
        let isChecked = isExecute && unit.model.revision == 3 && request.explicitPASID != nil
        needsExecute = isChecked
        needsRead = request.access.contains(.read) || (isExecute && !isChecked)
        needsWrite = request.access.contains(.write)
    }

    mutating func translate() throws(Stop) -> Answer {
        // 1. An untranslated request without PASID to the interrupt range is a message, even with translation disabled.
        if request.kind == .untranslated, request.explicitPASID == nil, isInterruptAddress(request.iova) {
            return .interrupt(request.iova)
        }
        // 2. Translation disabled: nothing is checked. What a device is told then it must not keep.
        guard unit.isTranslationEnabled else { return asksForInterrupts ? message() : unchanged() }
        // 3. The translation-table mode.
        switch (unit.rootRegister >> 10) & 3 {
        case 0: return try translateLegacy()
        case 1 where model.has(.scalableMode): return try translateScalable()
        case 3 where model.has(.abortMode):
            var stop = Stop(0)
            stop.isAbort = true
            throw stop
        default: throw Stop(0x30)
        }
    }

    /// Pass-through, translated and untranslated-while-disabled requests: the address itself.
    func unchanged() -> Answer {
        let isKept = request.kind != .translationRequest || unit.isTranslationEnabled
        return .mapped(
            MappedAnswer(
                address: request.iova, pageSizeLog2: 12, rights: [.read, .write], isUntranslatedOnly: !isKept))
    }

    /// A translation request for addresses where an untranslated request is an interrupt message [A11].
    var asksForInterrupts: Bool {
        request.kind == .translationRequest && request.explicitPASID == nil && isInterruptAddress(request.iova)
    }

    /// Its answer: go there untranslated, and write.
    func message() -> Answer {
        .mapped(MappedAnswer(address: request.iova, pageSizeLog2: 12, rights: [.write], isUntranslatedOnly: true))
    }

    /// What a device stores must not cover those addresses: a page that does is told as 4 KiB.
    func narrowed(_ answer: Answer) -> Answer {
        guard case .mapped(var mapped) = answer, request.kind == .translationRequest, request.explicitPASID == nil
        else { return answer }
        let low = UInt64(1) << UInt64(mapped.pageSizeLog2) - 1
        if request.iova & ~low <= 0xfeef_ffff, request.iova | low >= 0xfee0_0000 { mapped.pageSizeLog2 = 12 }
        return .mapped(mapped)
    }

    /// Pass-through and translated requests: the address itself, if it is one of the host's and not the interrupt range.
    func unchangedInRange(tooWide: UInt32, interruptRange: UInt32) throws(Stop) -> Answer {
        if exceedsHost(request.iova) { throw Stop(tooWide) }
        if isInterruptAddress(request.iova) { throw Stop(interruptRange) }
        return unchanged()
    }

    // MARK: Memory

    /// True where an address, or the address field of an entry, has bits at or above the host address width.
    func exceedsHost(_ address: UInt64) -> Bool {
        address >> UInt64(model.hostAddressWidth) != 0
    }

    func exceedsGuest(_ address: UInt64) -> Bool {
        model.guestAddressWidth < 64 && address >> UInt64(model.guestAddressWidth) != 0
    }

    /// Reads `count` quadwords; nil where the table lies beyond the host address width or has no memory behind it.
    func readEntry(_ address: UInt64, words count: Int) -> [UInt64]? {
        var words: [UInt64] = []
        for index in 0..<count {
            guard let word = readWord(address &+ UInt64(8 * index)) else { return nil }
            words.append(word)
        }
        return words
    }

    func readWord(_ address: UInt64) -> UInt64? {
        exceedsHost(address) ? nil : unit.read(address)
    }

    // MARK: Outcome

    func report(_ stop: Stop) -> FaultAnswer {
        let isSuppressed = stop.isAbort || (isSilenced && FaultCodes.qualified.contains(stop.code))
        let isRecoverable = FaultCodes.recoverable.contains(stop.code)
        let isAnsweredByDevice = request.kind == .translationRequest && isRecoverable
        let isRecorded = !(isSuppressed || isAnsweredByDevice || request.isQuiet || request.access.isProbe)
        return FaultAnswer(
            code: stop.code, stage: stop.stage, level: stop.level, isSuppressed: isSuppressed,
            isRecoverable: isRecoverable, isRecorded: isRecorded, isAborted: stop.isAbort)
    }
}

/// 0xFEE00000-0xFEEFFFFF: writes there are interrupts.
func isInterruptAddress(_ address: UInt64) -> Bool {
    address >> 20 == 0xfee
}

/// The bits `range` of a word, moved down to bit 0.
func bits(_ word: UInt64, _ range: ClosedRange<UInt64>) -> UInt64 {
    (word >> range.lowerBound) & (UInt64.max >> (63 - (range.upperBound - range.lowerBound)))
}

/// True where a bit is set.
func bit(_ word: UInt64, _ number: UInt64) -> Bool {
    (word >> number) & 1 == 1
}

/// The 4 KiB-aligned pointer of an entry.
func pointer(_ word: UInt64) -> UInt64 {
    word & ~0xfff
}
