// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What must hold after every step, and across moves from one unit to another.

import IOMMU
import IOMMUTestSupport
import VirtualVTd

import struct Foundation.Data
import class Foundation.JSONDecoder
import class Foundation.JSONEncoder
import class Foundation.JSONSerialization
import class Foundation.NSNumber

extension RegistersRun {
    /// Waits until everything is done, and compares what the unit signalled and stored.
    func settle() {
        if !subject.isInline { subject.front.finishWorks() }
        let waiting = subject.front.worksInLine
        if waiting > 9 || (subject.isInline && waiting > 0) { fail("\(waiting) works are in line") }
        let signals = subject.takeSignals()
        if model.isQueueUncertain {
            adopt()
        } else {
            if subject.isInline, signals != model.signals {
                fail("signalled \(signals), wanted \(model.signals)")
            }
            compareStores()
        }
        checkDevices()
        (model.signals, model.stores, model.isQueueUncertain) = ([], [], false)
    }

    private func compareStores() {
        var last: [UInt64: UInt64] = [:]
        for (address, data) in model.stores { last[address] = data }
        for (address, data) in last.sorted(by: { $0.key < $1.key }) {
            let word = image.load(address & ~7)
            let shift = (address & 4) * 8
            if word >> shift & 0xffff_ffff != data {
                fail("a wait at \(text(address)) left \(text(word)), not \(text(data))")
            }
            store(word, at: address & ~7)
        }
    }

    /// The queue has changed itself: what it did is taken over, as far as it is possible at all.
    private func adopt() {
        isMirrored = false
        isPristine = false
        let registers: [GuestRegister] = [
            .iqh, .fsts, .iqercd, .ics, .control(.completion), .control(.fault),
        ]
        for rule in model.rules.list where registers.contains(rule.register) {
            model[rule.register] = subject.front.read(rule.offset, size: rule.size)
        }
    }

    /// Every register.
    func check() {
        model.collect()
        var found = model.values
        for rule in model.rules.list {
            let number = rule.register.number
            found[number] = subject.front.read(rule.offset, size: rule.size)
            var ignored = model.loose[number] ?? 0
            model.loose[number] = 0
            // IQEI says something only while IQE is set.
            if rule.register == .iqercd, model[.fsts] & 0x10 == 0 { ignored = 15 }
            if (found[number] ^ model.values[number]) & ~ignored != 0 {
                fail("\(rule.name) is \(text(found[number])), not \(text(model.values[number]))")
            }
            model.values[number] = found[number]
        }
        checkRules(found)
        settle()
    }

    /// What holds whatever was done before.
    private func checkRules(_ found: [UInt64]) {
        func value(_ register: GuestRegister) -> UInt64 { found[register.number] }
        let status = value(.fsts)
        if status & ~0xff73 != 0 { fail("reserved bits in FSTS \(text(status))") }
        let pending = (0..<model.rules.records).filter { value(.recordHigh($0)) >> 63 == 1 }
        if pending.isEmpty == (status >> 1 & 1 == 1) { fail("PPF in \(text(status)) with pending records \(pending)") }
        if status & 0x60 != 0, model.devices.isEmpty { fail("FSTS is \(text(status)), and no device-TLB exists") }
        for (bit, shift) in [(UInt64(1) << 5, UInt64(48)), (1 << 6, 32)] where status & bit != 0 {
            let source = value(.iqercd) >> shift & 0xffff
            if model.devices[source] == nil { fail("FSTS is \(text(status)), and IQERCD blames \(text(source))") }
        }
        if value(.gsts) >> 26 & 1 == 1 {
            let (head, tail) = (value(.iqh), value(.iqt))
            let (bytes, step) = model.queueShape
            if head != tail, status & 0x50 == 0 { fail("the queue stands at \(text(head)) before \(text(tail))") }
            if !model.isQueueMoved, head != tail, head >= bytes || head % step != 0 {
                fail("the head is at \(text(head))")
            }
        }
        if status & 0x10 != 0, value(.iqercd) & 15 == 0 { fail("IQE without a code") }
        for event in GuestEvent.allCases where value(.control(event)) == 1 << 30 {
            fail("\(event) is pending and not masked")
        }
    }

    // MARK: Moves

    /// The state goes to the other unit as JSON, and the guest goes on there.
    func move() throws {
        let isBefore = input.byte() & 1 == 1
        note("moves")
        let snapshot = subject.front.snapshot()
        model.collect()
        settle()
        let copy = try JSONDecoder().decode(VirtualVTd.Snapshot.self, from: JSONEncoder().encode(snapshot))
        if copy != snapshot { fail("JSON changes a snapshot: \(snapshot), \(copy)") }
        // Faults there are of another guest.
        if isBefore { _ = try spare.port.translate(0x1000, access: .read, source: SourceID(0xabc)) }
        try spare.plugDevice()
        try spare.front.restore(copy)
        let again = spare.front.snapshot()
        if again != snapshot { fail("restored: \(again)\n  was: \(snapshot)") }
        subject.unplugDevice()
        (subject, spare) = (spare, subject)
        _ = subject.takeSignals()
        meetDevices()
        check()
        guard let interface = subject.interface else { return }
        do throws(IOMMUError) {
            try subject.front.resumePageRequests(of: interface)
        } catch {
            // The tables may refuse meanwhile what the guest has in its queue.
            if error != .faulted { fail("page requests do not go on: \(error)") }
            takeUnknownFault()
        }
        check()
    }

    func describe() throws {
        let form = input.byte()
        note("describes")
        let snapshot = subject.front.snapshot()
        model.collect()
        settle()
        let description = try words(snapshot, form)
        let isStopped = description.errors.contains { $0.contains("FSTS.IQE") }
        if isStopped != (model[.fsts] & 0x10 != 0) { fail("IQE, and in words: \(description.errors)") }
        expect(description.registers.count, model.rules.list.count, "registers in words")
    }

    @discardableResult
    private func words(_ snapshot: VirtualVTd.Snapshot, _ form: UInt8) throws -> VirtualVTd.StateDescription {
        var options = VirtualVTd.StateDescription.Options()
        options.entries = Int(form & 15)
        options.consumed = Int(form >> 4 & 3)
        let image = image
        let description = try VirtualVTd.StateDescription(snapshot, options: options) { address in
            if address % 8 != 0 { finding("a description reads at \(text(address))") }
            return image.isVisible(address, 8) ? image.load(address) : nil
        }
        if description.text(all: form & 0x40 != 0).isEmpty { finding("a description without words") }
        return description
    }

    /// Restores a snapshot that is not sound elsewhere: it is refused, or whatever follows goes on without a trap.
    func damage() throws {
        let form = input.byte()
        note("restores a damaged snapshot")
        let data = try JSONEncoder().encode(subject.front.snapshot())
        model.collect()
        settle()
        guard var fields = try JSONSerialization.jsonObject(with: data) as? [String: Any],
            var registers = fields["registers"] as? [NSNumber]
        else { finding("a snapshot is no object") }
        for _ in 0...(form & 3) {
            let rule = model.rules.list[Int(input.byte()) % model.rules.list.count]
            let how = input.byte()
            for word in rule.offset / 4..<(rule.offset + rule.size) / 4 {
                let now = registers[word].uint32Value
                switch how & 3 {
                case 0: registers[word] = NSNumber(value: UInt32(truncatingIfNeeded: input.number(4)))
                case 1: registers[word] = NSNumber(value: UInt32.max)
                case 2: registers[word] = NSNumber(value: word * 4 == rule.offset ? UInt32(how) << 8 : 0)
                default: registers[word] = NSNumber(value: now ^ 1 << UInt32(how >> 3))
                }
            }
        }
        fields["registers"] = registers
        if form & 4 != 0 { fields["commands"] = NSNumber(value: input.number(8)) }
        if form & 8 != 0 { fields["latchedRootTable"] = NSNumber(value: input.number(8)) }
        if form & 16 != 0 { fields["nextRecord"] = NSNumber(value: Int8(bitPattern: input.byte())) }
        let damaged = try JSONDecoder().decode(
            VirtualVTd.Snapshot.self, from: JSONSerialization.data(withJSONObject: fields))
        do {
            try words(damaged, form)
            try spare.front.restore(damaged)
        } catch let error as IOMMUError {
            if "\(error)".isEmpty { finding("an error without words") }
            return
        }
        try liveOn()
    }

    /// A guest that does a little of everything in the other unit.
    private func liveOn() throws {
        isMirrored = false
        isPristine = false
        try spare.plugDevice()
        let writes: [(Int, UInt64)] = [
            (0x18, 1 << 26 | 1 << 30 | 1 << 31), (0x88, 0x20), (0x34, 0x71), (0x88, 0x40), (0x38, 0), (0xa0, 0),
            (0x18, 1 << 30), (0x18, 1 << 26 | 1 << 31),
        ]
        for (offset, value) in writes {
            try spare.front.write(offset, size: 4, value)
            spare.front.finishWorks()
        }
        for source in [0x10, 0x18] as [UInt32] {
            _ = try spare.port.translate(0x1000_0000, access: .read, source: SourceID(source))
            _ = spare.front.read(0x34, size: 4)
        }
        try? spare.interface?.request(PageRequest(0x5000, access: .read, pasid: PASID(3)!, group: 1))
        spare.front.finishWorks()
        _ = try words(spare.front.snapshot(), 0x7f)
        for offset in stride(from: 0, to: model.rules.end, by: 4) { _ = spare.front.read(offset, size: 4) }
        if spare.front.worksInLine > 9 { fail("works are in line") }
        try spare.front.reset()
    }

    func reset() throws {
        note("resets")
        // Every device is asked to drop everything.
        let mayBeLate = model.devices.values.contains { !$0.isBlocked && ($0.manner.isSilent || $0.manner == .wrong) }
        do throws(IOMMUError) {
            try subject.front.reset()
        } catch {
            if error != .timedOut || !mayBeLate { throw error }
        }
        model.reset()
        for (source, cache) in subject.caches { model.devices[UInt64(source)]?.isBlocked = cache.isBlocked }
        outstanding = []
        settle()
    }

    /// Nothing lies between the registers, nothing was stored where nothing is to be stored, and a reset undoes it all.
    func finish() throws {
        check()
        let words = Set(model.rules.list.flatMap { [$0.offset, $0.offset + $0.size - 4] })
        // Each input looks at some of them.
        let first = trail.count % 16 * 4
        for offset in stride(from: first, to: model.rules.end + 16, by: 64) where !words.contains(offset) {
            let found = subject.front.read(offset, size: 4)
            if found != 0 { fail("\(text(UInt64(offset))), where no register is, reads \(text(found))") }
        }
        if isMirrored, !image.differences.isEmpty { fail("memory: \(image.differences.prefix(8))") }
        try reset()
        check()
        try spare.front.reset()
        for index in image.regions.indices { try image.restore(index) }
        for subject in [subject, spare] {
            subject.unplugDevice()
            subject.front.finishWorks()
        }
    }
}
