// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Whose page requests an interface takes and how many at once; and switching it on for a device.

internal import CIOMMU
public import IOMMUCore
public import IOMMUDomains

extension PageRequestInterface {
    /// Who asks for pages, and how much at once.
    public struct Configuration: Sendable {
        /// Who the device's requests come from: 16 bits.
        public var source: SourceID
        /// The PASIDs that it asks with; nil for all, and requests without one.
        public var pasids: ClosedRange<PASID>?
        /// The host's name for the device: that of the ``Device``, where the source id has one. A group belongs only to
        /// what this device attached or bound.
        public var device: DeviceID
        /// Most groups outstanding or incomplete: 1 to 65,536.
        public var groups = 512
        /// Most pages in them: 1 to 1,048,576.
        public var pages = 1024

        /// Makes a configuration.
        public init(source: SourceID, pasids: ClosedRange<PASID>? = nil, device: DeviceID) {
            self.source = source
            self.pasids = pasids
            self.device = device
        }
    }
}

extension PageRequestInterface.Configuration {
    /// As the C interface wants it, which checks the ranges. Without handler.
    func makeC() throws(IOMMUError) -> ciommu_page_interface_config {
        guard let groups = UInt32(exactly: groups), let pages = UInt32(exactly: pages) else {
            throw .invalidArgument.with(detail: "groups is \(self.groups), pages is \(self.pages)")
        }
        var config = unsafe ciommu_page_interface_config()
        unsafe config.size = UInt32(MemoryLayout<ciommu_page_interface_config>.size)
        unsafe config.flags = pasids == nil ? CIOMMU_PAGE_ALL_PASIDS : 0
        unsafe config.source = source.rawValue
        unsafe config.first_pasid = pasids?.lowerBound.rawValue ?? 0
        unsafe config.last_pasid = pasids?.upperBound.rawValue ?? 0
        unsafe config.groups = groups
        unsafe config.pages = pages
        unsafe config.device = device.rawValue
        return unsafe config
    }
}

extension Device {
    /// Switches page requests on for this device: source id, PASIDs and name are the device's.
    ///
    /// - Parameters:
    ///   - groups: Most groups outstanding or incomplete.
    ///   - pages: Most pages in them.
    ///   - handler: Hears of the answers: see ``PageRequestInterface/init(unit:configuration:handler:)``.
    /// - Returns: The interface. Page requests are on until it is closed or nothing refers to it any more. It does not
    ///   keep the device alive.
    /// - Throws: As ``PageRequestInterface/init(unit:configuration:handler:)``.
    public func enablePageRequests(
        groups: Int = 512, pages: Int = 1024, handler: @escaping @Sendable (PageAnswer) -> Void = { _ in }
    ) throws(IOMMUError) -> PageRequestInterface {
        var configuration = PageRequestInterface.Configuration(source: sourceID, pasids: share.pasids, device: id)
        configuration.groups = groups
        configuration.pages = pages
        return try PageRequestInterface(unit: unit, configuration: configuration, handler: handler)
    }
}
