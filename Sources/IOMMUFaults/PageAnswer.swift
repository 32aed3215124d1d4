// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageAnswer - what a device hears of a group of page requests, and the code that the owner chooses.

internal import CIOMMU
public import IOMMUCore

/// What the owner of an address space says about a group of pages.
public enum PageResponse: UInt32, Hashable, Sendable, CaseIterable {
    /// The pages are there: the device retries.
    case success = 0
    /// The pages cannot be had.
    case invalid = 1
    /// Nobody can answer. A PCIe device switches page requests off when it hears this.
    case failure = 2
}

/// The answer to one group, told to its device once.
public struct PageAnswer: Hashable, Sendable {
    /// Whose answer it is.
    public enum Cause: UInt32, Hashable, Sendable, CaseIterable {
        /// The owner's ``PageGroup/respond(_:)``.
        case owner = 0
        /// The request breaks a rule [FORMATS-VTD D1]: invalid.
        case rule
        /// It was lost because the queue was full: success, so that the device asks again.
        case overflow
        /// The owner did not answer in time: failure.
        case deadline
        /// Detach, replace, reset, or the end of an object: invalid.
        case detach
        /// Nothing, or nothing of this device, is attached: invalid.
        case notAttached
        /// Nobody takes page requests there: failure.
        case nobody
    }

    /// What the device is told.
    public var response: PageResponse
    /// Whose answer it is.
    public var cause: Cause
    /// The device's source id.
    public var source: SourceID
    /// The PASID of the group; nil for none.
    public var pasid: PASID?
    /// The group's index; nil for a group that was asked for at once.
    public var group: Int?
    /// The private data of the group's last request, where there was some.
    public var privateData: PagePrivateData?
    /// The host's name for the device.
    public var device: DeviceID
}

/// 16 bytes that a device sends with a request and gets back with the answer [FORMATS-VTD D1].
public struct PagePrivateData: Hashable, Sendable {
    /// The low and the high eight bytes.
    public var words: (low: UInt64, high: UInt64) { (low, high) }
    private let low: UInt64
    private let high: UInt64

    /// Makes it from its words.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

extension PageAnswer {
    /// Reads what C says.
    init(_ answer: ciommu_page_answer) {
        response = PageResponse(rawValue: answer.code) ?? .failure
        cause = Cause(rawValue: answer.cause) ?? .owner
        source = SourceID(answer.source)
        pasid = PASID(answer.pasid)
        group = answer.group == CIOMMU_NO_PAGE_GROUP ? nil : Int(answer.group)
        privateData =
            answer.flags & CIOMMU_PAGE_PRIVATE_DATA == 0
            ? nil : PagePrivateData(low: answer.private_data.0, high: answer.private_data.1)
        device = DeviceID(answer.device)
    }
}
