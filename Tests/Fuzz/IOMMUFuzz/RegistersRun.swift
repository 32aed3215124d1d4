// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One guest's life out of bytes. This file: the accesses of its driver. RegistersRun+Devices.swift: what devices do.
// RegistersRun+Checks.swift: what must hold.

import IOMMU
import IOMMUTestSupport
import VirtualVTd

final class RegistersRun {
    let profile: RegistersProfile
    let image: GuardedImage
    var input: FuzzInput
    var subject: RegistersSubject
    /// The other unit: the guest may move there, whatever it is like.
    var spare: RegistersSubject
    var model: RegisterModel
    /// The tables are as they were made, and in their place.
    var isPristine = true
    /// What the unit stored is known, word by word.
    var isMirrored = true
    /// Groups in the guest's queue, by PASID and index.
    var outstanding: [(pasid: UInt32?, group: Int)] = []
    var nextGroup = 0
    private var longSteps = 0
    private(set) var trail: [String] = []

    init(
        _ profile: RegistersProfile, _ image: GuardedImage, _ input: FuzzInput, _ subject: RegistersSubject,
        _ spare: RegistersSubject
    ) {
        self.profile = profile
        self.image = image
        self.input = input
        self.subject = subject
        self.spare = spare
        model = RegisterModel(profile.model, version: profile.version)
    }

    func run() throws {
        image.clear()
        for (address, value) in profile.content { image.store(value, at: address) }
        for subject in [subject, spare] {
            try subject.plugDevice()
            _ = (subject.takeSignals(), subject.takeAnswers())
        }
        meetDevices()
        check()
        var steps = 0
        while !input.isAtEnd, steps < 200 {
            steps += 1
            let kind = input.byte()
            do {
                try step(kind & 0x7f)
            } catch {
                fail("nothing explains that this is thrown: \(error)")
            }
            // Not always: registers that are read take in faults.
            if kind < 0x80 { check() }
        }
        try finish()
    }

    private func step(_ kind: UInt8) throws {
        if kind & 0x5e == 0x58 { return try changeDevice() }
        switch kind & 31 {
        case 0...3: writeRegister()
        case 4: write(Int(input.number(2)), size: input.pick([4, 8, 4, 8, 1, 2, 3, 16]), input.number(8))
        case 5: read()
        case 6...8: submit()
        case 9: command()
        case 10...12: prepare()
        case 13...15: try translate()
        case 16, 17: try interrupt()
        case 18, 19: try askForPages()
        case 20: answerPages()
        case 21, 22: clear()
        case 23: recover()
        case 24: try changeMemory()
        case 25: poke()
        case 29: try reset()
        case 31: try writeFromInside()
        default: try longStep(kind & 31)
        }
    }

    /// What takes a hundred times as long as the rest.
    private func longStep(_ kind: UInt8) throws {
        guard longSteps < 4 else { return }
        longSteps += 1
        switch kind {
        case 26: try move()
        case 27: try describe()
        case 28: try fillQueue()
        default: try damage()
        }
    }

    func note(_ text: String) { trail.append(text) }

    // MARK: Registers

    /// A guest's write, and what it must bring about.
    func write(_ offset: Int, size: Int, _ value: UInt64) {
        note("write \(text(UInt64(offset))) \(size) \(text(value))")
        (model.stores, model.isQueueUncertain) = ([], false)
        model.write(offset, size: size, value, image)
        do throws(IOMMUError) {
            try subject.front.write(offset, size: size, value)
        } catch {
            fail("a write throws \(error)")
        }
        settle()
    }

    func write(_ register: GuestRegister, _ value: UInt64) {
        guard let rule = model.rules.list.first(where: { $0.register == register }) else { return }
        write(rule.offset, size: rule.size, value)
    }

    private func writeRegister() {
        let rule = model.rules.list[Int(input.byte()) % model.rules.list.count]
        let form = input.byte()
        let value = value(form & 15)
        switch form >> 4 {
        case 0: write(rule.offset, size: 4, value)
        case 1: write(rule.offset + rule.size - 4, size: 4, value)
        // Across two registers.
        case 2: write(rule.offset + rule.size - 4, size: 8, value)
        default: write(rule.offset, size: rule.size, value)
        }
    }

    /// Values that mean something to one register or another.
    private func value(_ form: UInt8) -> UInt64 {
        switch form {
        case 0: 0
        case 1: .max
        case 2: 1 << UInt64(input.byte() & 63)
        case 3: input.pick(profile.roots)
        case 4: input.pick(profile.interruptTables) | UInt64(input.byte()) << 4 & 0x80f
        case 5: UInt64(input.byte()) << 4
        case 6: input.pick(image.pages) | input.number(2) & 0xfff
        case 7: model[.gsts] & 0x96ff_ffff | 1 << UInt64(input.byte() & 31)
        case 8: model[.gsts] & ~(1 << UInt64(input.byte() & 31))
        case 9: UInt64(input.byte()) << 56
        case 10: UInt64(input.byte()) << 12
        case 11: 1 << 31
        case 12: model[.iqh]
        case 13: input.number(4)
        default: input.number(8)
        }
    }

    private func read() {
        let form = input.byte()
        let size = [4, 8, 4, 8, 1, 2, 7, 9][Int(form & 7)]
        let offset =
            form < 0xf8 ? Int(input.number(2)) % (model.rules.end + 16) : Int(Int64(bitPattern: input.number(8)))
        note("read \(offset) \(size)")
        model.collect()
        let wanted = model.read(offset, size: size)
        let found = subject.front.read(offset, size: size)
        // Bits that nobody decides are compared where whole registers are.
        if found != wanted, model.loose.values.allSatisfy({ $0 == 0 }), !touchesCode(offset, size) {
            fail(
                "a read of \(size) bytes at \(text(UInt64(bitPattern: Int64(offset)))): \(text(found)), not \(text(wanted))"
            )
        }
        settle()
    }

    /// IQEI means nothing without IQE.
    private func touchesCode(_ offset: Int, _ size: Int) -> Bool { offset <= 0xb0 && offset > 0xb0 - size }

    private func command() {
        let bits = input.byte()
        let level: UInt64 = [1 << 31, 1 << 26, 1 << 25, 1 << 23][Int(bits & 3)]
        var value = bits & 4 == 0 ? model[.gsts] & 0x96ff_ffff | level : model[.gsts] & 0x96ff_ffff & ~level
        if bits & 8 != 0 { value |= 1 << 30 }
        if bits & 16 != 0 { value |= 1 << 24 }
        if bits & 32 != 0 { value |= 1 << 27 }
        write(.gcmd, value)
    }

    /// What drivers do in a row.
    private func prepare() {
        let form = input.byte()
        switch form & 7 {
        case 0, 1:
            write(.rtaddr, profile.roots[Int(form >> 4) % profile.roots.count])
            write(.gcmd, model[.gsts] & 0x96ff_ffff | 1 << 30)
            if form & 8 == 0 { write(.gcmd, model[.gsts] & 0x96ff_ffff | 1 << 31) }
        case 2, 3:
            let place = RegistersProfile.queue + [0, 0, 0x3000, 0x7000][Int(form >> 6)]
            write(.iqt, 0)
            write(.iqa, place | UInt64(form >> 4 & 3) % 3 | (form & 8 == 0 ? model.tableMode & 1 : 1) << 11)
            write(.gcmd, model[.gsts] & 0x96ff_ffff | 1 << 26)
        case 4:
            write(.irta, profile.interruptTables[Int(form >> 3 & 1)] | (form & 0x20 == 0 ? 0 : 1 << 11))
            write(.gcmd, model[.gsts] & 0x96ff_ffff | 1 << 24)
            if form & 16 == 0 { write(.gcmd, model[.gsts] & 0x96ff_ffff | 1 << 25) }
        case 5:
            guard let event = GuestEvent(rawValue: Int(form >> 3) % 3) else { return }
            write(.data(event), UInt64(form))
            write(.address(event), 0xfee0_0000 | UInt64(form & 0xf0) << 8)
            write(.control(event), 0)
        case 6:
            write(.pqa, RegistersProfile.pages | UInt64(form >> 3 & 3))
            let place = UInt64(form >> 5) * 32
            write(.pqh, place)
            write(.pqt, form & 1 == 0 ? place : (place + 4096 - 64) % 4096)
        default:
            write(.gcmd, model[.gsts] & 0x96ff_ffff & ~(form & 8 == 0 ? 1 << 26 : 1 << 31))
        }
    }

    private func clear() {
        let form = input.byte()
        switch form & 3 {
        case 0: write(.fsts, 0x71)
        case 1: write(.recordHigh(Int(form >> 2) % model.rules.records), 1 << 63)
        case 2:
            write(.ics, 1)
            write(.prs, UInt64(form >> 2 & 3))
        default:
            // As a driver does: the records from FRI on, then the status.
            let first = Int(model[.fsts] >> 8 & 0xff)
            for step in 0..<model.rules.records where model[.fsts] & 2 != 0 {
                write(.recordHigh((first + step) % model.rules.records), 1 << 63)
            }
            write(.fsts, UInt64(form >> 1))
        }
    }

    // MARK: The queue

    /// What the guest itself stores.
    func store(_ value: UInt64, at address: UInt64) {
        guard image.contains(address) else { return }
        if address < RegistersProfile.queue { isPristine = false }
        image.store(value, at: address)
    }

    /// Puts descriptors behind the tail and moves it.
    func put(_ descriptors: [[UInt64]]) {
        let (bytes, step) = model.queueShape
        var tail = model[.iqt] % bytes
        for words in descriptors {
            for (index, word) in words.prefix(Int(step / 8)).enumerated() {
                store(word, at: model[.iqa] & ~0xfff + tail + UInt64(index) * 8)
            }
            tail = (tail + step) % bytes
        }
        note("descriptors \(descriptors.map { $0.map { text($0) } })")
        write(.iqt, tail)
    }

    private func submit() {
        let count = 1 + Int(input.byte() & 7)
        var reader = DescriptorReader(
            isWide: model.queueShape.step == 32, extra: 0, status: RegistersProfile.status)
        for _ in 0..<count { reader.take(&input) }
        put(reader.descriptors.map(\.words))
    }

    /// Overwrites what is at the head with something harmless, and lets the queue go on.
    private func recover() {
        let place = model[.iqa] & ~0xfff + model[.iqh]
        for word in 1..<4 as Range<UInt64> where word < model.queueShape.step / 8 { store(0, at: place + word * 8) }
        store(2 | 1 << 4, at: place)
        write(.fsts, 1 << 4)
    }

    private func fillQueue() throws {
        let form = input.byte()
        let (bytes, step) = model.queueShape
        let base = model[.iqa] & ~0xfff
        guard base >= RegistersProfile.queue else { return }
        for place in stride(from: base, to: base + bytes, by: Int(step)) where image.contains(place) {
            let isWait = (place - base) / step % 16 == UInt64(form & 15)
            store(isWait ? 5 | 1 << 5 | (place - base) << 32 : 2 | 1 << 4, at: place)
            store(isWait ? RegistersProfile.status + UInt64(form >> 4) * 4 : 0, at: place + 8)
            for word in 2..<4 as Range<UInt64> where word < step / 8 { store(0, at: place + word * 8) }
        }
        note("fills the queue")
        write(.iqt, (model[.iqh] + bytes - step * UInt64(1 + form & 3)) % bytes)
    }

    private func poke() {
        let address = input.pick(image.pages) | UInt64(input.byte() & 0x7f) << 3
        let value = input.number(8)
        note("stores \(text(value)) at \(text(address))")
        store(value, at: address)
    }

    private func changeMemory() throws {
        let form = input.byte()
        let index = Int(form >> 1) % image.regions.count
        note("\(form & 1 == 0 ? "removes" : "restores") range \(index)")
        if form & 1 == 0 {
            try image.remove(index)
            if index == 0 { isPristine = false }
        } else {
            try image.restore(index)
        }
    }

    private func writeFromInside() throws {
        guard subject.isInline else { return }
        note("a write from inside a section")
        let subject = subject
        let value = input.number(4)
        do throws(IOMMUError) {
            try subject.port.withSection { () throws(IOMMUError) in
                try subject.front.write(0x18, size: 4, value, port: subject.port)
            }
            fail("a write from inside a section is taken")
        } catch {
            if error != .inSection { fail("a write from inside a section throws \(error)") }
        }
    }

    /// Tells what was done before what is wrong.
    func fail(_ text: String) -> Never {
        finding(
            "\(text)\n  \(profile.model), inline \(subject.isInline)\n  \(trail.suffix(40).joined(separator: "\n  "))")
    }
}
