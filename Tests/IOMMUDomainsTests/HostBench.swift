// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit with some memory and one port, for tests of what a host sets up itself.

import IOMMU
import IOMMUTestSupport
import Testing

/// One unit, one port, one thread.
final class HostBench {
    static let source = SourceID(bus: 1, device: 2, function: 0)
    static let otherSource = SourceID(bus: 3, device: 4, function: 5)

    let image: GuestImage
    let memory: GuestMemory
    let unit: RemappingUnit
    let port: Port

    init(
        _ image: GuestImage = GuestImage(), capabilities: Capabilities = .full,
        configuration: RemappingUnit.Configuration = TestBench.smallCaches
    ) throws {
        self.image = image
        memory = try GuestMemory()
        try image.register(in: memory)
        unit = try RemappingUnit(capabilities: capabilities, memory: memory, configuration: configuration)
        port = try unit.makePort()
    }

    /// Waits for nobody: a call that meets a section times out at once.
    static func impatient() throws -> HostBench {
        var configuration = TestBench.smallCaches
        configuration.drainTimeout = .zero
        return try HostBench(configuration: configuration)
    }

    func device(
        _ id: DeviceID, at source: SourceID = HostBench.source, _ share: Device.Share = .whole
    ) throws -> Device {
        try Device(id: id, sourceID: source, share: share, in: unit)
    }

    /// A paging domain that maps nothing.
    func parent() throws -> PagingDomain {
        try PagingDomain(unit: unit, options: .nestParent)
    }

    /// A paging domain that may not be a parent.
    func plainDomain() throws -> PagingDomain {
        try PagingDomain(unit: unit)
    }

    func map(_ domain: PagingDomain, _ iova: UInt64, length: UInt64, to output: UInt64) throws {
        try domain.map(IOVA(iova), to: OutputAddress(output), length: length, rights: [.read, .write])
    }

    func unmap(_ domain: PagingDomain, _ iova: UInt64, length: UInt64) throws {
        try domain.unmap(IOVA(iova), length: length)
    }

    // MARK: Asking

    func translate(
        _ iova: IOVA = 0x1000, _ access: AccessRights = .read, source: SourceID = HostBench.source, pasid: PASID? = nil
    ) throws -> TranslationResult {
        try port.translate(iova, access: access, source: source, pasid: pasid)
    }

    /// Where a read at 0x1000 ends; nil for a fault.
    func output(
        _ iova: IOVA = 0x1000, _ access: AccessRights = .read, source: SourceID = HostBench.source, pasid: PASID? = nil
    ) throws -> OutputAddress? {
        try translate(iova, access, source: source, pasid: pasid).translation?.address
    }

    /// Why a read at 0x1000 is refused; nil if it is not.
    func fault(
        _ iova: IOVA = 0x1000, _ access: AccessRights = .read, source: SourceID = HostBench.source, pasid: PASID? = nil
    ) throws -> Fault? {
        try translate(iova, access, source: source, pasid: pasid).fault
    }

    /// True when a request passes unchanged.
    func passes(source: SourceID = HostBench.source, pasid: PASID? = nil) throws -> Bool {
        try output(0x1234_5000, source: source, pasid: pasid) == 0x1234_5000
    }
}

/// A PASID of a test.
func pasid(_ value: UInt32) -> PASID {
    guard let pasid = PASID(value) else { preconditionFailure("\(value) is no PASID") }
    return pasid
}

/// PASIDs of a test.
func pasids(_ first: UInt32, _ last: UInt32) -> ClosedRange<PASID> {
    pasid(first)...pasid(last)
}

extension Device.Share {
    /// PASIDs first...last.
    static func slice(_ first: UInt32, _ last: UInt32, _ policy: Device.SharedPASIDPolicy = .refused) -> Self {
        .slice(pasid(first)...pasid(last), policy: policy)
    }
}

/// What one can see of a device.
struct DeviceState: Equatable {
    var attachments: [PASID?: ObjectIdentifier]
    var table: PASIDTable?
    /// Where reads at 0x1000 with these PASIDs lead; absent for those that fault.
    var answers: [PASID?: OutputAddress]

    init(_ device: Device, _ bench: HostBench) throws {
        attachments = Dictionary(
            uniqueKeysWithValues: device.attachments.map { ($0.pasid, ObjectIdentifier($0.domain)) })
        table = device.boundTable
        answers = [:]
        for pasid in [nil] + [0, 1, 16, 17, 31, 32].map({ PASID($0) }) {
            answers[pasid] = try bench.output(source: device.sourceID, pasid: pasid)
        }
    }
}

/// Expects that a call throws this error, and that nothing about the device shows it.
func expectRefusal(
    _ error: IOMMUError, of device: Device, in bench: HostBench, _ call: () throws -> Void,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let before = try DeviceState(device, bench)
    #expect(throws: error, sourceLocation: sourceLocation, performing: call)
    #expect(try DeviceState(device, bench) == before, sourceLocation: sourceLocation)
}
