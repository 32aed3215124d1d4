// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Page requests that are outstanding when a unit is moved: the guest answers the one that it finds itself on, and the device hears it.

import Foundation
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

@Suite struct MigratedPagesTests {
    private static let source = SourceID(0x18)

    /// A machine whose guest has switched page requests on for one device, and that device.
    private final class Side: Sendable {
        private let answers = Mutex<[PageAnswer]>([])

        func device(_ unit: RemappingUnit) throws -> PageRequestInterface {
            try PageRequestInterface(unit: unit, configuration: .init(source: source, device: 5)) { answer in
                self.answers.withLock { $0.append(answer) }
            }
        }

        func take() -> [PageAnswer] {
            answers.withLock { answers in
                defer { answers = [] }
                return answers
            }
        }
    }

    private let machine: VTdMachine
    private let queue: UInt64

    init() throws {
        machine = try VTdMachine()
        queue = machine.enablePageRequests(of: UInt16(Self.source.rawValue))
    }

    /// The same guest on another unit, by way of a file.
    private func move() throws -> VirtualVTd {
        let data = try JSONEncoder().encode(machine.front.snapshot())
        var configuration = VirtualVTd.Configuration()
        configuration.processing = .inline
        configuration.sizes = TestBench.smallCaches
        let other = try VirtualVTd(configuration, memory: machine.memory)
        try other.restore(try JSONDecoder().decode(VirtualVTd.Snapshot.self, from: data))
        return other
    }

    private func respond(_ front: VirtualVTd, group: UInt64, code: UInt64) throws {
        let low: UInt64 = 9 | 1 << 4 | code << 12 | UInt64(Self.source.rawValue) << 16 | 3 << 32
        machine.put([Descriptor(low, group << 3)])
        try front.write(0x88, size: 4, machine.tail)
    }

    private func request(_ page: UInt64, group: Int, isLast: Bool = true) -> PageRequest {
        PageRequest(IOVA(page), access: [.read, .write], pasid: PASID(3)!, group: group, isLast: isLast)
    }

    @Test(arguments: [false, true]) func theDeviceHearsTheGuest(guestIsFirst: Bool) throws {
        let old = Side()
        let before = try old.device(machine.front.unit)
        try before.request(request(0x5000, group: 7, isLast: false))
        try before.request(request(0x6000, group: 7))
        try before.request(request(0x7000, group: 8))
        try before.request(request(0x8000, group: 9))
        try respond(machine.front, group: 8, code: 0)
        #expect(old.take().map(\.group) == [8])

        let front = try move()
        #expect(front.snapshot().pageGroups.map(\.index) == [7, 9], "it can be moved on")
        let new = Side()
        let after = try new.device(front.unit)
        if guestIsFirst {
            try respond(front, group: 9, code: 1)
            try respond(front, group: 9, code: 0)
            #expect(front.snapshot().pageGroups.map(\.answer) == [nil, 1], "the first response counts")
            let text = try VirtualVTd.StateDescription(front.snapshot()).text()
            #expect(text.contains("00:03.0 PASID 3, group 9: RW at 0x8000; the guest answered invalid, its device"))
        }
        try front.resumePageRequests(of: after)
        #expect(front.read(0xc8, size: 8) == 4 * 32, "the guest sees nothing twice")
        if !guestIsFirst { try respond(front, group: 9, code: 1) }
        #expect(new.take().map { [$0.group.map(UInt32.init), $0.response.rawValue] } == [[9, 1]])
        try respond(front, group: 7, code: 0)
        #expect(new.take().map { [$0.group.map(UInt32.init), $0.response.rawValue] } == [[7, 0]])
        try respond(front, group: 7, code: 0)
        #expect(new.take() == [])
        #expect(front.snapshot().pageGroups.isEmpty)
        // What the device asks for from now on is new to the guest.
        try after.request(request(0x9000, group: 7))
        #expect(front.read(0xc8, size: 8) == 5 * 32)
        try respond(front, group: 7, code: 0)
        #expect(new.take().map(\.group) == [7])
    }

    /// An access that waits begins again elsewhere; what the guest says about its first try is for nobody.
    @Test func whatWaitsAsksAnew() async throws {
        let old = Side()
        let before = try old.device(machine.front.unit)
        let first = Task { try await before.answer(for: [RequestedPage(0x5000, access: .read)], pasid: PASID(3)!) }
        while machine.read64(0xc8) < 32 { await Task.yield() }
        let front = try move()
        first.cancel()
        let after = try Side().device(front.unit)
        try front.resumePageRequests(of: after)
        let second = Task { try await after.answer(for: [RequestedPage(0x5000, access: .read)], pasid: PASID(3)!) }
        while front.read(0xc8, size: 8) < 64 { await Task.yield() }
        let indices = [8, 40].map { machine.image[queue + $0] >> 3 & 0x1ff }
        #expect(indices[0] != indices[1], "the guest can tell them apart")
        try respond(front, group: indices[0], code: 1)
        try respond(front, group: indices[1], code: 0)
        #expect(try await second.value.response == .success)
    }

    /// Devices may never come back for their groups; what a unit says of itself is taken all the same, and what it has asked for itself
    /// is not lost.
    @Test func aUnitIsMovedOnAndOn() throws {
        let device = try Side().device(machine.front.unit)
        try device.request(request(0x5000, group: 7))
        let data = try JSONEncoder().encode(machine.front.snapshot())
        var json = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        let group = try #require((json["pageGroups"] as? [Any])?.first)
        json["pageGroups"] = Array(repeating: group, count: 1024)
        var snapshot = try JSONDecoder().decode(
            VirtualVTd.Snapshot.self, from: JSONSerialization.data(withJSONObject: json))
        for number in 0..<4 {
            try machine.front.restore(snapshot)
            try device.request(request(0x9000, group: 100 + number))
            snapshot = machine.front.snapshot()
            #expect(snapshot.pageGroups.count == 1025)
            #expect(snapshot.pageGroups.suffix(number + 1).map(\.index) == Array(100...(100 + number)))
        }
    }

    @Test func groupsThatCannotBeAreRefused() throws {
        let device = try Side().device(machine.front.unit)
        try device.request(request(0x5000, group: 7))
        let data = try JSONEncoder().encode(machine.front.snapshot())
        var json = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        let group = try #require((json["pageGroups"] as? [[String: Any]])?.first)
        let cases: [(String, Any)] = [
            ("index", 512), ("index", -1), ("deviceIndex", 512), ("pages", [Any]()), ("privateData", [1]),
            ("answer", 3),
        ]
        for (key, value) in cases {
            json["pageGroups"] = [group.merging([key: value]) { $1 }]
            let bad = try JSONDecoder().decode(
                VirtualVTd.Snapshot.self, from: JSONSerialization.data(withJSONObject: json))
            #expect(throws: IOMMUError.invalidArgument, "\(key)") { try machine.front.restore(bad) }
        }
        json["pageGroups"] = Array(repeating: group, count: 2049)
        let many = try JSONDecoder().decode(
            VirtualVTd.Snapshot.self, from: JSONSerialization.data(withJSONObject: json))
        #expect(throws: IOMMUError.invalidArgument) { try machine.front.restore(many) }
        #expect(machine.front.snapshot().pageGroups.count == 1, "nothing has changed")
    }
}
