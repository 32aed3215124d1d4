// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageGroupState - a group of page requests in a snapshot: in the guest's queue, and not answered.

public import IOMMUCore
internal import IOMMUFaults

extension VirtualVTd {
    /// A group of page requests that the guest has in its queue and that its device has no answer to.
    public struct PageGroupState: Hashable, Sendable, Codable {
        /// One page of it.
        public struct Page: Hashable, Sendable, Codable {
            /// Where.
            public let address: IOVA
            /// What the device wants to do there.
            public let access: AccessRights
        }

        /// Whose it is.
        public let source: SourceID
        /// Its PASID; nil for none.
        public let pasid: PASID?
        /// The index that the guest knows it by: 0 to 511.
        public let index: Int
        /// The index that its device gave it; nil for a group that was asked for as a whole, by an access that waits: that begins again
        /// elsewhere.
        public let deviceIndex: Int?
        /// At least one.
        public let pages: [Page]
        /// The private data of its last request: none, or two words.
        public let privateData: [UInt64]
        /// What the guest answered before its device came back for it: 0 success, 1 invalid, 2 failure.
        public internal(set) var answer: UInt32?

        init(_ name: PageGroupName, _ group: PageGroup) {
            source = name.source
            pasid = name.pasid
            index = name.group
            deviceIndex = group.group
            pages = group.pages.map { Page(address: $0.address, access: $0.access) }
            privateData = group.privateData.map { [$0.words.low, $0.words.high] } ?? []
        }

        /// Refuses what no unit has.
        func check() throws(IOMMUError) {
            let indices = [index, deviceIndex ?? 0]
            guard source.rawValue <= 0xffff, !pages.isEmpty, indices.allSatisfy((0...511).contains),
                privateData.isEmpty || privateData.count == 2, answer.map({ $0 <= 2 }) ?? true
            else {
                throw .invalidArgument.with(detail: "a group of page requests of \(source) that cannot be")
            }
        }
    }
}

extension VirtualVTd.PageGroupState {
    var name: PageGroupName { PageGroupName(source: source, pasid: pasid, group: index) }

    var response: PageResponse? {
        get { answer.flatMap { PageResponse(rawValue: $0) } }
        set { answer = newValue?.rawValue }
    }

    func isSame(_ group: PageGroup) -> Bool {
        group.source == source && group.pasid == pasid && group.group == deviceIndex
            && group.pages.elementsEqual(pages) { $0.address == $1.address && $0.access == $1.access }
    }

    /// What its device sends to ask for it again.
    var requests: [PageRequest] {
        pages.enumerated().map { number, page in
            let isLast = number == pages.count - 1
            let data = privateData.count == 2 ? PagePrivateData(low: privateData[0], high: privateData[1]) : nil
            return PageRequest(
                page.address, access: page.access, pasid: pasid, group: deviceIndex ?? index, isLast: isLast,
                privateData: isLast ? data : nil)
        }
    }
}
