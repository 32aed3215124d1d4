// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationResult - what became of a batch: how many entries took effect, and which entry and device an error
// concerns [B-D2, B-D3, B-A4]. Whatever a guest did wrong is in here, never thrown.

public import IOMMUCore

/// What became of a batch of invalidations.
///
/// The same array on the same state gives the same result, but for time-outs [B-D2].
public struct InvalidationResult: Hashable, Sendable, Codable {
    /// The classes of hardware errors.
    public enum ErrorClass: Hashable, Sendable, Codable {
        /// An entry was refused (IQE of VT-d). Entries before it are complete, later ones were not looked at.
        case descriptor(HardwareError)
        /// A device answered an invalidation of its device-TLB in a way that it must not (ICE).
        case completion
        /// A device, or a section of a port, did not finish by its deadline (ITE). Wait descriptors after it were
        /// aborted: their status is not stored [FORMATS-VTD C4].
        case timeout
    }

    /// Entries in the batch.
    public let count: Int
    /// Entries consumed: those before a refused one, or all of them.
    public let handled: Int
    /// The class of the first failure, ``ErrorClass/descriptor(_:)`` before all others; nil when there was none.
    public let error: ErrorClass?
    /// The rule that a refused entry broke.
    public let rule: String?
    /// The lowest index of an entry that may have caused the error; nil when there was none, or when none of the batch
    /// did.
    public let lowestIndex: Int?
    /// The highest index of an entry that may have caused the error [B-D2]; nil as ``lowestIndex``.
    public let highestIndex: Int?
    /// The failures, at most as many as the caller had room for.
    public let failures: [Failure]
    /// All failures, those without room included.
    public let failureCount: Int
    /// Entries that needed no work of their own because others of their segment covered them.
    public let merged: Int
    /// Completions: wait descriptors, and what came after the last one.
    public let segments: Int

    /// Makes a result from its parts: for hosts that apply entries elsewhere too, and for tests.
    public init(
        count: Int, handled: Int, error: ErrorClass? = nil, rule: String? = nil, lowestIndex: Int? = nil,
        highestIndex: Int? = nil, failures: [Failure] = [], failureCount: Int? = nil, merged: Int = 0,
        segments: Int = 0
    ) {
        self.count = count
        self.handled = handled
        self.error = error
        self.rule = rule
        self.lowestIndex = lowestIndex
        self.highestIndex = highestIndex
        self.failures = failures
        self.failureCount = failureCount ?? failures.count
        self.merged = merged
        self.segments = segments
    }

    /// Every entry took effect, and nothing that one covers is cached or in use any more.
    public var isComplete: Bool {
        error == nil && handled == count
    }

    /// The code of a refused entry; nil if none was refused.
    public var hardwareError: HardwareError? {
        if case .descriptor(let code) = error { code } else { nil }
    }

    /// The index of a refused entry; nil if none was refused.
    public var refusedIndex: Int? {
        hardwareError == nil ? nil : handled
    }
}

extension InvalidationResult {
    /// One entry that could not be completed, and by whom [B-A4].
    public struct Failure: Hashable, Sendable, Codable {
        /// Index of the entry; nil for an invalidation that a change of a domain caused.
        public let index: Int?
        /// What went wrong with it.
        public let error: ErrorClass
        /// The host's device that it concerns, if one.
        public let device: DeviceID?
        /// The source id of the device; nil where none is involved.
        public let source: SourceID?
        /// The PASID; nil where none is.
        public let pasid: PASID?
        /// More than one device could be meant [B-A3].
        public let isAmbiguous: Bool
        /// Of a time-out: the port whose access section was late; nil when it was a device.
        public let portID: UInt32?

        /// Makes a failure from its parts.
        public init(
            index: Int?, error: ErrorClass, device: DeviceID? = nil, source: SourceID? = nil, pasid: PASID? = nil,
            isAmbiguous: Bool = false, portID: UInt32? = nil
        ) {
            self.index = index
            self.error = error
            self.device = device
            self.source = source
            self.pasid = pasid
            self.isAmbiguous = isAmbiguous
            self.portID = portID
        }
    }
}
