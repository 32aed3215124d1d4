// SPDX-License-Identifier: LGPL-2.1-or-later
//
// GCMD.TE and the root under fire: a device translates while the guest switches translation and moves between two sets of tables. Once
// the status shows a change, no answer from before it is given, and none is in use [DESIGN.md, promise 1].

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

/// A guest with two sets of tables, each of which maps the same page elsewhere.
private struct TwoRoots {
    static let page: UInt64 = 0x40000
    static let source = SourceID(0x10)

    let machine: VTdMachine
    let registers: [UInt64]
    let outputs: [UInt64] = [0x20_0000, 0x30_0000]

    init(_ processing: VirtualVTd.Processing, isScalable: Bool) throws {
        // Sections are short, but a machine may be slow: changes wait as long as it takes.
        machine = try VTdMachine(processing: processing) { $0.sizes.drainTimeout = .seconds(3600) }
        let image = machine.image
        registers = outputs.map { output in
            let builder = TableBuilder(image, isScalable: isScalable)
            let tables = PagingTables(.second, levels: 4, in: image)
            (tables.leafFlags, tables.tableFlags) = (3, 3)
            tables.map(Self.page, to: output)
            if isScalable {
                var entry = PASIDEntry()
                entry.type = .second
                entry.secondRoot = tables.root
                builder.setContext(UInt16(Self.source.rawValue), ScalableContext())
                builder.setPASID(UInt16(Self.source.rawValue), pasid: 0, entry)
            } else {
                var context = LegacyContext()
                context.root = tables.root
                builder.setContext(UInt16(Self.source.rawValue), context)
            }
            return builder.rootRegister
        }
    }

    /// What follows each other: the status to wait for, and where the page is then.
    enum Step: CaseIterable {
        case on, second, off, firstWhileOff, onAgain, secondAgain, first, offAgain
    }

    func output(after step: Step) -> UInt64 {
        switch step {
        case .off, .firstWhileOff, .offAgain: Self.page
        case .on, .onAgain, .first: outputs[0]
        case .second, .secondAgain: outputs[1]
        }
    }

    /// Does a step as a driver does, and waits for the status.
    func take(_ step: Step) {
        switch step {
        case .on, .onAgain: write(set: 1 << 31, status: 1 << 31)
        case .off, .offAgain: write(clear: 1 << 31, status: 0)
        case .first, .firstWhileOff: setRoot(0)
        case .second, .secondAgain: setRoot(1)
        }
    }

    func setRoot(_ index: Int) {
        machine.write(0x20, registers[index], size: 8)
        write(set: 1 << 30, status: 1 << 30)
    }

    private func write(set: UInt64 = 0, clear: UInt64 = 0, status: UInt64) {
        machine.write(0x18, machine[0x1c] & 0x96ff_ffff & ~clear | set)
        let bit = set | clear
        eventually("the status follows") { machine[0x1c] & bit == status }
    }
}

@Suite struct SwitchTests {
    @Test(arguments: [VirtualVTd.Processing.worker, .inline], [false, true])
    func noOldAnswerOnceTheStatusShows(processing: VirtualVTd.Processing, isScalable: Bool) throws {
        let guest = try TwoRoots(processing, isScalable: isScalable)
        guest.setRoot(0)
        let steps = TwoRoots.Step.allCases
        // The state number n is what holds after n steps, all the time round.
        let outputs = [TwoRoots.page] + (0..<1_000).map { guest.output(after: steps[$0 % steps.count]) }
        let started = Atomic(0)
        let completed = Atomic(0)
        let exact = Atomic(0)
        let wrong = Atomic(0)
        let stops = Atomic(false)
        let box = GuestBox(guest: guest)
        let port = PortBox(try guest.machine.front.unit.makePort())
        onThreads(2) { thread in
            if thread == 0 {
                for state in 1...160 {
                    started.store(state, ordering: .sequentiallyConsistent)
                    box.guest.take(steps[(state - 1) % steps.count])
                    completed.store(state, ordering: .sequentiallyConsistent)
                    let count = exact.load(ordering: .relaxed)
                    eventually("an answer") { exact.load(ordering: .relaxed) > count }
                }
                stops.store(true, ordering: .releasing)
                return
            }
            while !stops.load(ordering: .acquiring) {
                port.port.withSection {
                    let before = completed.load(ordering: .sequentiallyConsistent)
                    let answer = try? port.port.translate(
                        IOVA(TwoRoots.page), access: .read, source: TwoRoots.source
                    ).translation?.address.rawValue
                    // What is in use in a section holds up the change that ends it: the states from the last completed one on.
                    let lowest = completed.load(ordering: .sequentiallyConsistent)
                    let highest = started.load(ordering: .sequentiallyConsistent)
                    if !outputs[lowest...highest].contains(answer ?? 0) { wrong.add(1, ordering: .relaxed) }
                    if before == highest { exact.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(exact.load(ordering: .relaxed) >= 160)
    }
}

// @unchecked: one thread uses it.
private struct GuestBox: @unchecked Sendable {
    let guest: TwoRoots
}
