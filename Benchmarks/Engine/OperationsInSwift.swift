// SPDX-License-Identifier: LGPL-2.1-or-later
//
// OperationsInSwift - operations.c through the Swift interface.

import IOMMU
import Synchronization

/// A unit with two paging domains of 512 pages, devices, queues and a message store. One thread.
final class OperationsInSwift {
    private static let mapped: IOVA = 0x1_0000_0000
    private static let spare: IOVA = 0x2_0000_0000
    private static let output: OutputAddress = 0x100_0000_0000
    private static let pasid = PASID(5)!
    private static let sources = [SourceID(8), SourceID(16)]

    private let unit: RemappingUnit
    private let port: Port
    private let device: Device
    private let empty: Device
    private let domains: [PagingDomain]
    private let faults: FaultQueue
    private let interface: PageRequestInterface
    private let pages: PageQueue
    private let store: InterruptMessageStore
    private let message: MessageBox
    private let answers: AnswerCount
    private var attached = 0

    private final class AnswerCount: Sendable {
        let value = Atomic<Int>(0)
    }

    private final class MessageBox {
        let message: ArmedMessage

        init(_ message: consuming ArmedMessage) {
            self.message = message
        }
    }

    init() throws {
        let unit = try RemappingUnit(capabilities: .full, memory: GuestMemory())
        let answers = AnswerCount()
        self.unit = unit
        self.answers = answers
        port = try unit.makePort()
        device = try Device(id: 1, sourceID: Self.sources[0], in: unit)
        empty = try Device(id: 2, sourceID: Self.sources[1], in: unit)
        domains = try (0..<2).map { _ in
            let domain = try PagingDomain(unit: unit)
            try domain.map(Self.mapped, to: Self.output, length: 512 * 4096, rights: [.read, .write])
            return domain
        }
        try device.attach(domains[0])
        faults = try FaultQueue(of: .device(empty), in: unit)
        interface = try device.enablePageRequests { answer in
            if answer.response == .success {
                answers.value.add(1, ordering: .relaxed)
            }
        }
        pages = try PageQueue(domains[0])
        store = try InterruptMessageStore(device: device)
        message = MessageBox(try store.allocate(pasid: Self.pasid).program(address: 0xfee0_0000, data: 1).arm())
    }

    func mapAndUnmap() throws {
        try domains[0].map(Self.spare, to: Self.output, length: 16 * 4096, rights: [.read, .write])
        let unmapped = try domains[0].unmap(Self.spare, length: 16 * 4096)
        precondition(unmapped == 16 * 4096)
    }

    func attachAndDetach() throws {
        try empty.attach(domains[0])
        try empty.detach()
    }

    func replace() throws {
        attached ^= 1
        try device.replace(with: domains[attached])
        precondition(device.domain() === domains[attached])
    }

    func fault() throws {
        let result = try port.translate(Self.mapped, access: .read, source: Self.sources[1])
        precondition(result.fault != nil)
        let records = faults.read(max: 1)
        guard records.count == 1, case .fault(let fault) = records[0].kind else { fatalError("no record") }
        precondition(fault.address == Self.mapped)
    }

    func pageRequest() throws {
        let before = answers.value.load(ordering: .relaxed)
        try interface.request(PageRequest(Self.spare, access: .read, group: 7), port: port)
        guard let group = try pages.read() else { fatalError("no group") }
        precondition(group.pages.first?.address == Self.spare)
        try group.respond(.success)
        precondition(answers.value.load(ordering: .relaxed) == before + 1)
    }

    func raiseMessage() throws {
        var data: UInt32 = 0
        try store.deliver(message.message.index, pasid: Self.pasid, through: port) { data = $0.data }
        precondition(data == 1)
    }
}
