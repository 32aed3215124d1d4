// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The queues of a unit in words: every kind of descriptor in both widths, bad ones with the rule that they break, page requests, and
// heads and tails that cannot be [FORMATS-VTD C, D].

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

@Suite struct QueueDescriptionTests {
    /// A descriptor and its phrase. Of scalable mode only: in a queue of 256 bits.
    struct Row: CustomTestStringConvertible {
        let words: [UInt64]
        let phrase: String
        let problem: String?
        let isScalable: Bool

        init(_ low: UInt64, _ phrase: String, problem: String? = nil, scalable: Bool = false) {
            self.init(low, 0, phrase, problem: problem, scalable: scalable)
        }

        init(_ low: UInt64, _ high: UInt64, _ phrase: String, problem: String? = nil, scalable: Bool = false) {
            words = [low, high]
            self.phrase = phrase
            self.problem = problem
            isScalable = scalable
        }

        var testDescription: String { phrase }
    }

    private static let source: UInt64 = 0x00a3
    private static let reserved = "refused: IQEI 4, reserved field violation"

    static let rows: [Row] = [
        Row(1 | 1 << 4, "context-cache, granularity global"),
        Row(1 | 2 << 4 | 9 << 16, "context-cache, granularity domain, domain 9"),
        Row(
            1 | 3 << 4 | 9 << 16 | source << 32 | 1 << 48,
            "context-cache, granularity device, domain 9, source 00:14.3, but bit 2 of the source"),
        Row(
            1 | 1 << 4 | 1 << 6, "context-cache, granularity global",
            problem: "\(reserved) (context-cache descriptor: reserved bits set)"),
        Row(
            1, "context-cache, granularity 0 (reserved)",
            problem: "\(reserved) (context-cache descriptor: granularity 0)"),
        Row(2 | 1 << 4 | 3 << 6, "IOTLB, granularity global, drains writes and reads"),
        Row(2 | 2 << 4 | 4 << 16 | 1 << 7, "IOTLB, granularity domain, domain 4, drains reads"),
        Row(
            2 | 3 << 4 | 4 << 16, 0x1234_5042,
            "IOTLB, granularity page, domain 4, pages 0x12344000...0x12347fff (AM 2), leaf entries only (IH)"),
        Row(
            2 | 3 << 4 | 4 << 16, 0x3f, "IOTLB, granularity page, domain 4, pages everything (AM 63)",
            problem: "\(reserved) (IOTLB descriptor: AM above CAP.MAMV)"),
        Row(3 | 5 << 16 | source << 32, 0x7000, "device-TLB, source 00:14.3, range 0x7000...0x7fff, in flight 5"),
        Row(
            3 | source << 32 | 0x0a << 12 | 0x00a << 52, 0x8000_3001,
            "device-TLB, source 00:14.3, range 0x80000000...0x80007fff, in flight 0, physical function 00:15.2"),
        Row(3 | source << 32, 0x7fff_ffff_ffff_f001, "device-TLB, source 00:14.3, range everything, in flight 0"),
        Row(
            3 | source << 32, 2, "device-TLB, source 00:14.3, range 0x0...0xfff, in flight 0",
            problem: "\(reserved) (device-TLB descriptor: reserved bits set)"),
        Row(4, "interrupt-entry cache, granularity global"),
        Row(4 | 1 << 4 | 7 << 32, "interrupt-entry cache, granularity index, entry 7"),
        Row(4 | 1 << 4 | 2 << 27 | 7 << 32, "interrupt-entry cache, granularity index, entries 4 to 7"),
        Row(5 | 1 << 5 | 0xdead_beef << 32, 0x5008, "wait, stores 0xdeadbeef at 0x5008 (SW)"),
        Row(
            5 | 0xd << 4, "wait, raises the completion event (IF), fence (FN), drains page requests (PD)"),
        Row(5, "wait, tells nobody"),
        Row(
            5 | 1 << 5, 0x5001, "wait, stores 0x0 at 0x5000 (SW)",
            problem: "\(reserved) (wait descriptor: reserved bits set)"),
        Row(6 | 2 << 4 | 4 << 16 | 3 << 32, "PASID-based IOTLB, granularity PASID, domain 4, PASID 3", scalable: true),
        Row(
            6 | 3 << 4 | 4 << 16 | 0xf_ffff << 32, 0x1000,
            "PASID-based IOTLB, granularity page, domain 4, PASID 1048575, pages 0x1000...0x1fff (AM 0)", scalable: true
        ),
        Row(
            6 | 1 << 4, "PASID-based IOTLB, granularity 1 (reserved), domain 0, PASID 0",
            problem: "\(reserved) (PASID-based IOTLB descriptor: granularity 0 or 1)", scalable: true),
        Row(7 | 4 << 16, "PASID cache, granularity domain, domain 4", scalable: true),
        Row(7 | 1 << 4 | 4 << 16 | 3 << 32, "PASID cache, granularity PASID, domain 4, PASID 3", scalable: true),
        Row(7 | 3 << 4, "PASID cache, granularity global", scalable: true),
        Row(
            8 | 2 << 4 | source << 16 | 3 << 32, 0x9800,
            "PASID-based device-TLB, source 00:14.3, PASID 3, range 0x8000...0xbfff, in flight 2", scalable: true),
        Row(
            8 | source << 16, 0x9001,
            "PASID-based device-TLB, source 00:14.3, PASID all, range 0x9000...0x9fff, in flight 0", scalable: true),
        Row(
            9 | 1 << 4 | 15 << 12 | source << 16 | 3 << 32, 0x1ff << 3,
            "page-group response, source 00:14.3, PASID 3, group 511, response 15 (response failure)", scalable: true),
        Row(
            9 | source << 16 | 1 << 12, 0,
            "page-group response, source 00:14.3, group 0, response 1 (invalid request)", scalable: true),
        Row(
            0xf, "reserved, type 15",
            problem: "refused: IQEI 3, invalid descriptor type (no such descriptor type in this translation mode)"),
    ]

    private static func form(wide: Bool, base: UInt64 = 0x10_0000, size: UInt64 = 0) throws -> SnapshotForm {
        var form = try SnapshotForm()
        form.put(0x1c, 1 << 26, size: 4)
        form.put(0x90, base | size | (wide ? 1 << 11 : 0))
        form.set("latchedRootTable", wide ? 0x400 : UInt64(0))
        return form
    }

    @Test(arguments: rows, [false, true])
    func descriptorsAreToldInBothWidths(_ row: Row, wide: Bool) throws {
        var form = try Self.form(wide: wide)
        let step: UInt64 = wide ? 32 : 16
        form.put(0x80, 3 * step)
        form.put(0x88, 4 * step)
        let base = 0x10_0000 + 3 * step
        let queue = try #require(
            try form.describe { address in
                let index = Int(address - base) / 8
                return index < 2 ? row.words[index] : 0
            }.invalidationQueue)
        #expect(queue.waiting == 1 && queue.problems.isEmpty && queue.state == "on")
        let entry = try #require(queue.entries.first)
        #expect(entry.phrase == row.phrase)
        #expect(entry.index == 3 && entry.address == "0x" + String(base, radix: 16))
        #expect(entry.words?.count == (wide ? 4 : 2))
        if row.isScalable, !wide {
            // The unit is in legacy mode.
            #expect(entry.problem?.hasPrefix("refused: IQEI 3") == true)
        } else {
            #expect(entry.problem == row.problem)
        }
    }

    @Test func whatTheModeForbidsIsNamed() throws {
        var form = try Self.form(wide: false)
        form.put(0x88, 16)
        form.set("latchedRootTable", 0x400)
        var problem = try form.describe { _ in 5 }.invalidationQueue?.entries.first?.problem
        #expect(
            problem == "refused: IQEI 5, invalid descriptor width (scalable and abort modes need 256-bit descriptors)")
        form.set("latchedRootTable", 0x800)
        problem = try form.describe { $0 % 16 == 0 ? 5 : 0 }.invalidationQueue?.entries.first?.problem
        #expect(problem == "refused: IQEI 7, invalid translation-table mode (RTADDR.TTM = 2 is reserved)")
        var wide = try Self.form(wide: true)
        wide.put(0x88, 32)
        problem = try wide.describe { $0 % 32 == 16 ? 1 : $0 % 32 == 0 ? 5 : 0 }.invalidationQueue?.entries.first?
            .problem
        #expect(problem?.contains("the upper 128 bits of the descriptor are not zero") == true)
        #expect(
            try wide.describe { $0 % 32 == 16 ? 1 : 5 }.text().contains("0x5 0x1 0x5 0x5"), "most significant first")
    }

    @Test func queuesWrapAndAreCutShort() throws {
        var form = try Self.form(wide: false)
        form.put(0x80, 0xfe0)
        form.put(0x88, 0x20)
        var options = VirtualVTd.StateDescription.Options()
        options.consumed = 2
        func indices() throws -> (waiting: UInt64?, shown: [Int], before: [Int]) {
            let queue = try #require(try form.describe(options) { _ in 5 }.invalidationQueue)
            return (queue.waiting, queue.entries.map(\.index), queue.consumed.map(\.index))
        }
        var found = try indices()
        #expect(found.waiting == 4 && found.shown == [254, 255, 0, 1] && found.before == [252, 253])
        options.entries = 1
        found = try indices()
        #expect(found.waiting == 4 && found.shown == [254])
        #expect(try form.describe(options) { _ in 5 }.text().contains("    ... and 3 more"))
        // All but one: nothing was consumed last but that one.
        form.put(0x80, 0)
        form.put(0x88, 0xff0)
        options.consumed = 300
        found = try indices()
        #expect(found.waiting == 255 && found.before == [255])
        // Off: there is nothing that it consumed.
        form.put(0x1c, 0, size: 4)
        #expect(try indices().before == [])
    }

    @Test func impossibleHeadsAndTailsAreNamed() throws {
        var form = try Self.form(wide: true)
        form.put(0x80, 0x7_0000)
        form.put(0x88, 0x30)
        let queue = try #require(try form.describe { _ in 5 }.invalidationQueue)
        #expect(queue.waiting == nil && queue.entries.isEmpty)
        #expect(
            queue.problems == [
                "IQH 0x70000 lies beyond the queue of 4096 bytes", "IQT 0x30 lies inside an entry of 32 bytes",
            ])
        form.put(0x80, .max)
        form.put(0x88, .max)
        form.put(0xc0, 0x1000)
        let description = try form.describe { _ in 5 }
        #expect(description.invalidationQueue?.problems.count == 2)
        #expect(description.pageRequestQueue?.problems == ["PQH 0x1000 lies beyond the queue of 4096 bytes"])
        #expect(description.text().contains("problem                 PQH 0x1000 lies"))
    }

    @Test func memoryThatIsNotThereIsTold() throws {
        var form = try Self.form(wide: false)
        form.put(0x88, 0x20)
        let without = try #require(try form.describe().invalidationQueue)
        #expect(without.waiting == 2 && without.entries.isEmpty)
        #expect(without.problems == ["guest memory is not available, so nothing is known of the entries"])
        let half = try #require(try form.describe { $0 < 0x10_0018 ? 5 : nil }.invalidationQueue)
        #expect(
            half.entries.map(\.problem) == [
                "refused: IQEI 4, reserved field violation (wait descriptor: reserved bits set)",
                "no memory is known there",
            ])
        #expect(half.entries[1].words == nil && half.entries[1].kind == "unknown")
        // A queue that lies at the end of all addresses.
        var last = try Self.form(wide: false, base: ~0xfff, size: 7)
        last.put(0x80, 0xff0)
        last.put(0x88, 0x1010)
        let queue = try #require(try last.describe { _ in 5 }.invalidationQueue)
        #expect(queue.entries.map(\.index) == [255, 256])
        #expect(queue.entries[0].words != nil && queue.entries[1].words == nil)
        // Nothing lies there, so nothing is missing.
        #expect(try SnapshotForm().describe().invalidationQueue?.problems == [])
    }

    @Test func stoppedQueuesSayWhy() throws {
        let machine = try VTdMachine()
        machine.enableQueue()
        machine.submit(Descriptor(5), Descriptor(0xf), Descriptor(5))
        var options = VirtualVTd.StateDescription.Options()
        options.consumed = 1
        let memory = machine.image
        let description = try VirtualVTd.StateDescription(machine.front.snapshot(), options: options) {
            memory.read($0)
        }
        let queue = try #require(description.invalidationQueue)
        #expect(queue.state == "stopped (FSTS.IQE)")
        #expect(queue.head == "0x10" && queue.tail == "0x30" && queue.waiting == 2)
        #expect(queue.consumed.map(\.phrase) == ["wait, tells nobody"])
        #expect(queue.entries.map(\.phrase) == ["reserved, type 15", "wait, tells nobody"])
        #expect(queue.entries.map { $0.problem != nil } == [true, false])
        #expect(
            description.errors == ["FSTS.IQE: the invalidation queue stopped at 0x10: IQEI 3, invalid descriptor type"])
    }

    /// What the description calls bad is what the unit stops at.
    @Test func theUnitStopsAtTheDescriptorsThatAreCalledBad() throws {
        var random = SeededGenerator.forTest()
        for round in 0..<40 {
            let wide = random.oneIn(2)
            let machine = try VTdMachine()
            machine.write(0x20, machine.image.allocatePage() | (wide ? 0x400 : 0), size: 8)
            machine.command(set: 1 << 30)
            machine.enableQueue(wide: wide)
            let before = machine.front.snapshot()
            var descriptors: [Descriptor] = []
            for _ in 0..<16 {
                let row = random.pick(Self.rows)
                descriptors.append(Descriptor(row.words[0], row.words[1]))
            }
            machine.put(descriptors)
            machine.write(0x88, machine.tail)
            let head = machine.head
            // The same, as it stood before the unit looked.
            var form = try SnapshotForm()
            form.put(before.registers)
            form.put(0x88, machine.tail)
            form.set("latchedRootTable", before.latchedRootTable)
            let memory = machine.image
            let queue = try #require(try form.describe { memory.read($0) }.invalidationQueue)
            let bad = queue.entries.firstIndex { $0.problem != nil } ?? queue.entries.count
            #expect(
                head == UInt64(bad) * queue.entrySize, "IOMMU_TEST_SEED=\(random.seed) replays, round \(round)")
        }
    }

    @Test func pageRequestsAreTold() throws {
        var form = try SnapshotForm()
        form.put(0xd0, 0x20_0000)
        form.put(0xc0, 0x20)
        form.put(0xc8, 0xa0)
        form.put(0xdc, 3, size: 4)
        let requests: [[UInt64]] = [
            [1 | 1 << 8 | 0x18 << 16 | 3 << 32, 0x5000 | 7 << 3 | 3, 0, 0],
            [1 | 1 << 9 | 0x18 << 16 | 1 << 52 | 1 << 53, 0x6000 | 7 << 3 | 5, 0xab, 0xcd],
            [1 | 0x18 << 16, 8 << 3 | 4, 0, 0],
            [2, 0, 0, 0],
        ]
        var options = VirtualVTd.StateDescription.Options()
        options.consumed = 1
        let description = try form.describe(options) { address in
            let word = Int(address - 0x20_0000) / 8
            return word < 4 ? 0 : requests[word / 4 - 1][word % 4]
        }
        let queue = try #require(description.pageRequestQueue)
        #expect(queue.state == "discards requests (PRS.PRO)")
        #expect(queue.capacity == 128 && queue.entrySize == 32 && queue.waiting == 4)
        #expect(queue.consumed.map(\.index) == [0])
        #expect(
            queue.entries.map(\.phrase) == [
                "page request, source 00:03.0, PASID 3, wants read, write, address 0x5000, group 7",
                "page request, source 00:03.0, wants read, execute, address 0x6000, supervisor, group 7, "
                    + "last of its group, private data 0xab 0xcd",
                "page request, source 00:03.0, stop marker, group 8, last of its group", "reserved",
            ])
        #expect(queue.entries.map(\.problem) == [nil, nil, nil, "type 2 is no page request"])
    }

    @Test func pageRequestsOfTheLibraryAreReadBack() throws {
        var form = try SnapshotForm()
        form.put(0xd0, 0x20_0000)
        form.put(0xc8, 0x20)
        let request = PageRequest(
            IOVA(0x7000), access: [.write], pasid: PASID(9)!, group: 511,
            privateData: PagePrivateData(low: 1, high: 2))
        let words = try request.descriptor(from: SourceID(0x0100))
        let queue = try form.describe { words[Int($0 - 0x20_0000) / 8] }.pageRequestQueue
        #expect(
            queue?.entries.map(\.phrase) == [
                "page request, source 01:00.0, PASID 9, wants write, address 0x7000, group 511, last of its group, "
                    + "private data 0x1 0x2"
            ])
    }
}
