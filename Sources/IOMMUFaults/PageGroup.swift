// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageGroup - a whole group of page requests, to be answered once.

internal import CIOMMU
public import IOMMUCore

/// A group of pages that a device asks for, and whose owner answers it.
///
/// A group that nobody answers is answered with failure when its time is over, and with `invalid` when its device is
/// detached or the queue ends. It keeps its queue's memory, not the queue: that ends with its last reference.
public struct PageGroup: Sendable {
    /// What is asked for, in the order in which it was.
    public let pages: [RequestedPage]
    /// The host's name for the device.
    public let device: DeviceID
    /// The device's source id.
    public let source: SourceID
    /// The PASID; nil for none.
    public let pasid: PASID?
    /// The group's index; nil for one that was asked for at once.
    public let group: Int?
    /// The private data of its last request, where there was some.
    public let privateData: PagePrivateData?
    /// Names the group in its queue; never used again.
    public let cookie: UInt64
    /// When its time is over, by the queue's clock; nil for never.
    public let deadline: UInt64?

    private let core: PageQueueCore

    /// Answers the group. Of several answers exactly one succeeds, and the device hears that one; its handler has
    /// returned when this does, unless a detach in another thread calls it. From anywhere, but not from inside an
    /// access section.
    ///
    /// - Throws: ``IOMMUError/alreadyAnswered``: by another call, its deadline, a detach, a reset, or the end of the
    ///   queue.
    public func respond(_ response: PageResponse) throws(IOMMUError) {
        try core.respond(cookie, response)
    }

    /// It is still to be answered, and not late. Calls no handler.
    public var isOpen: Bool {
        core.isOpen(cookie)
    }
}

extension PageGroup {
    /// Reads what C wrote.
    @unsafe
    init(_ group: ciommu_page_group, _ core: PageQueueCore) {
        pages = unsafe UnsafeBufferPointer(start: group.pages, count: Int(group.count)).map { page in
            RequestedPage(IOVA(page.address), access: AccessRights(rawValue: page.access))
        }
        device = unsafe DeviceID(group.device)
        source = unsafe SourceID(group.source)
        pasid = unsafe PASID(group.pasid)
        self.group = unsafe group.group == CIOMMU_NO_PAGE_GROUP ? nil : Int(group.group)
        privateData =
            unsafe group.flags & CIOMMU_PAGE_PRIVATE_DATA == 0
            ? nil : PagePrivateData(low: group.private_data.0, high: group.private_data.1)
        cookie = unsafe group.cookie
        deadline = unsafe group.deadline == .max ? nil : group.deadline
        self.core = core
    }
}
