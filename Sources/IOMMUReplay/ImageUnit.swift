// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ImageUnit - a unit over the guest's tables as they were at the stop: what the checks of the image, `walk` and `describe` ask.

public import IOMMU
public import IOMMUCapture

/// A unit that stands where the recorded one stood when the guest was stopped.
public final class ImageUnit {
    /// The unit.
    public let unit: RemappingUnit
    /// A port of it.
    public let port: Port
    let memory: TableMemory

    /// Makes a unit from the image and the registers.
    public init(_ capture: Capture, configuration: RemappingUnit.Configuration = .init()) throws(ReplayError) {
        let capabilities = try Capabilities(recorded: capture.registers)
        memory = try TableMemory(pages: capture.image.pages.map(\.address).sorted())
        for (index, page) in capture.image.pages.enumerated() {
            memory.fill(capture.image.contents(at: index), at: page.address)
        }
        do throws(IOMMUError) {
            unit = try RemappingUnit(
                capabilities: capabilities, memory: memory.guest, configuration: configuration)
            port = try unit.makePort()
            try unit.setRootTable(capture.registers.rootTableAddress)
            try unit.setTranslation(enabled: capture.registers.isTranslationEnabled)
        } catch {
            throw .engine(error, doing: "making a unit")
        }
    }
}

extension Capabilities {
    /// The capabilities of the recorded unit.
    init(recorded registers: RegisterFile) throws(ReplayError) {
        do throws(IOMMUError) {
            try self.init(cap: registers.cap, ecap: registers.ecap)
        } catch {
            throw .capture(
                CaptureError(
                    file: registers.file, line: registers.capabilityLine,
                    "CAP and ECAP contradict each other: \(error.detail ?? error.description)"))
        }
    }
}
