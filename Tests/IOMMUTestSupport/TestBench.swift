// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An engine over one image and the reference over its twin, asked the same questions.

import IOMMU

/// One unit under test with everything around it. One thread.
package final class TestBench {
    package let model: UnitModel
    /// The guest's memory that the engine walks; what is written to it as the guest goes to the reference's copy too.
    package let image: GuestImage
    /// The reference's copy.
    package let twin: GuestImage
    package let memory: GuestMemory
    package let unit: RemappingUnit
    package let port: Port
    package var reference: ReferenceTranslator
    private var pendingFaults = 0

    /// Caches that are large enough for most tests and quickly made.
    package static var smallCaches: RemappingUnit.Configuration {
        var configuration = RemappingUnit.Configuration()
        configuration.iotlbEntries = 1024
        configuration.bindings = 64
        configuration.addressSpaces = 64
        configuration.ports = 8
        configuration.pooledPorts = 1
        return configuration
    }

    /// A unit over `image`, which becomes this bench's own.
    package init(
        _ image: GuestImage, model: UnitModel = .full, rootRegister: UInt64, isEnabled: Bool = true,
        configuration: RemappingUnit.Configuration = TestBench.smallCaches
    ) throws {
        self.model = model
        self.image = image
        twin = image.copy()
        image.twin = twin
        memory = try GuestMemory()
        try image.register(in: memory)
        unit = try RemappingUnit(capabilities: model.capabilities(), memory: memory, configuration: configuration)
        port = try unit.makePort()
        reference = ReferenceTranslator(model: model, image: twin)
        try setRoot(rootRegister)
        try setTranslation(isEnabled)
    }

    package func setRoot(_ register: UInt64) throws {
        try unit.setRootTable(register)
        reference.rootRegister = register
    }

    package func setTranslation(_ isEnabled: Bool) throws {
        try unit.setTranslation(enabled: isEnabled)
        reference.isTranslationEnabled = isEnabled
    }

    package func reset() throws {
        try unit.reset()
        reference.rootRegister = 0
        reference.isTranslationEnabled = false
    }

    /// The engine's answer. Every few dozen recorded faults make room in the port's ring, so that none is lost in a long test.
    package func answer(_ request: DMARequest, isCached: Bool = true) throws -> Answer {
        let answer = try port.answer(request, isCached: isCached)
        if answer.fault?.isRecorded == true {
            pendingFaults += 1
            if pendingFaults == 48 { _ = takeFaults() }
        }
        return answer
    }

    /// The reference's answer, from tables that the reference alone marks.
    package func expected(_ request: DMARequest) -> Answer {
        reference.translate(request)
    }

    /// Applies descriptors in the width of the current mode.
    package func invalidate(_ descriptors: Descriptor...) throws {
        for descriptor in descriptors { try invalidate(descriptor) }
    }

    package func invalidate(_ descriptor: Descriptor) throws {
        let isScalable = (reference.rootRegister >> 10) & 3 != 0
        try unit.invalidate(descriptor: descriptor.widened(isScalable).native)
    }

    /// Where the two copies differ: accessed and dirty bits that one side set and the other did not.
    package var differences: [UInt64] {
        image.differences(from: twin)
    }

    /// Faults recorded since the last call.
    package func takeFaults() -> [Fault] {
        pendingFaults = 0
        return port.takeFaults(max: 64).faults
    }
}
