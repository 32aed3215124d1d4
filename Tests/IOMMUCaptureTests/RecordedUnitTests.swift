// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The recorded unit in the middle of a recording, against what the recorder itself read and processed.

import IOMMUCapture
import IOMMUReplay
import Testing
import VirtualVTd

@Suite struct RecordedUnitTests {
    @Test(arguments: Recording.allCases)
    func theLastStateIsTheRecordedOne(_ recording: Recording) throws {
        let capture = try recording.load()
        let unit = try RecordedUnit(capture)
        #expect(unit.deviations == 0)
        #expect(unit.event == capture.events.events.count && unit.events == unit.event)
        let description = try unit.description()
        for name in ["VER", "CAP", "ECAP", "GSTS", "RTADDR", "IQH", "IQT", "IQA", "IRTA", "FSTS", "FECTL", "FEADDR"] {
            let recorded = try #require(capture.registers.named[name])
            let register = try #require(description.registers.first { $0.name == name })
            #expect(register.value == "0x" + String(recorded, radix: 16), "\(name)")
        }
        #expect(description.errors.isEmpty)
        #expect(description.invalidationQueue?.waiting == 0)
        #expect(description.unit.contains { $0.name == "translation" && $0.value == "on" })
    }

    /// Where the guest first reads a fault, the description has what it then reads from the record.
    @Test(arguments: Recording.allCases)
    func faultsAreThoseThatTheGuestReads(_ recording: Recording) throws {
        let capture = try recording.load()
        let stream = capture.events
        let isPending = { (access: EventStream.RegisterAccess) in access.offset == 0x34 && access.value & 2 != 0 }
        let index = try #require(stream.registerReads.firstIndex(where: isPending))
        let unit = try RecordedUnit(capture, at: .line(Int(stream.registerReads[index].line)))
        #expect(unit.line == Int(stream.registerReads[index].line))
        let faults = try unit.description().faults
        #expect(faults.capacity == 1 && faults.first == 0)
        let record = try #require(faults.records.first)
        #expect(record.isPending)
        // FRCD0 lies at 0x220: the upper word, the source, the address.
        let reads = stream.registerReads[(index + 1)...]
        let upper = try #require(reads.first { $0.offset == 0x22c }).value
        let source = try #require(reads.first { $0.offset == 0x228 }).value & 0xffff
        let address = try #require(reads.first { $0.offset == 0x220 }).value
        #expect(record.place == "address 0x" + String(address, radix: 16))
        #expect(record.request == (upper >> 30 & 1 == 1 ? "read" : "write") + ", untranslated")
        let device = [UInt64(8), 3, 0].map { source >> $0 & ($0 == 8 ? 0xff : $0 == 3 ? 31 : 7) }
        let digits = device.prefix(2).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        #expect(record.source == "\(digits[0]):\(digits[1]).\(device[2])")
        if recording == .legacy || recording == .legacyATS {
            #expect(record.code == "0x" + String(upper & 0xff, radix: 16))
        }
    }

    /// What lies before the head is what the recorder processed last.
    @Test(arguments: Recording.allCases, [Recorded.early, .middle, .late])
    func consumedDescriptorsAreThoseThatWereProcessed(_ recording: Recording, _ place: Recorded) throws {
        let capture = try recording.load()
        let stream = capture.events
        let target = stream.descriptors.count * place.rawValue / 100
        let at =
            try #require(
                stream.events.firstIndex { $0.kind == .descriptor && Int($0.index) == target }) + 1
        // The recorder tells of a tail's descriptors one by one; the unit takes them all at once.
        let tail = stream.events[at...].firstIndex { $0.kind != .descriptor && $0.kind != .memoryWrite } ?? at
        let unit = try RecordedUnit(capture, at: .event(tail))
        let done = stream.events[..<tail].last { $0.kind == .descriptor }.map { Int($0.index) + 1 } ?? 0
        var options = VirtualVTd.StateDescription.Options()
        options.consumed = 8
        let queue = try #require(try unit.description(options).invalidationQueue)
        let recorded = stream.descriptors[..<done].suffix(8)
        let words = recorded.map { descriptor in
            let all = [descriptor.words.q0, descriptor.words.q1, descriptor.words.q2, descriptor.words.q3]
            return all.prefix(descriptor.isWide ? 4 : 2).map { "0x" + String($0, radix: 16) }
        }
        #expect(queue.consumed.suffix(words.count).map(\.words) == words)
        #expect(queue.waiting == 0)
    }

    /// Percent of the descriptors.
    enum Recorded: Int {
        case early = 2
        case middle = 50
        case late = 98
    }

    @Test func beforeEverythingItIsAsAfterPowerOn() throws {
        let unit = try RecordedUnit(Recording.legacy.load(), at: .event(0))
        #expect(unit.line == nil)
        #expect(try unit.description().registers.allSatisfy(\.isAtReset))
    }

    @Test(arguments: [
        (RecordedUnit.Place.event(-1), "none has the number -1"), (.event(.max), "none has the number"),
        (.line(-1), "none has the number -1"), (.line(.max), "lines, so none has"),
    ])
    func placesThatAreNotThereAreRefused(_ place: RecordedUnit.Place, _ words: String) throws {
        let capture = try Recording.scalableFirstStage.load()
        #expect {
            try RecordedUnit(capture, at: place)
        } throws: { error in
            "\(error)".contains(words) && "\(error)".contains("replay.txt")
        }
    }
}
