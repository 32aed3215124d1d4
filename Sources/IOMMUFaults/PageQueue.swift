// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageQueue - the side of whoever owns an address space: gets whole groups of page requests and answers each once. The C
// queue is owned by PageQueueCore, the handler's calls are arranged by PageLanes.

internal import CIOMMU
public import IOMMUCore
public import IOMMUDomains

/// Takes the page requests of one domain, or of a guest's own tables, in whole groups.
///
/// Groups come to a handler, one at a time for each device, on the executor that the host chooses; or without one they
/// are read, with ``read()`` or as an asynchronous sequence (``groups``). Each is answered with
/// ``PageGroup/respond(_:)``, from anywhere.
///
/// When a device is detached (replaced, reset, destroyed), what it has outstanding is answered with `invalid`, and the
/// detaching call returns when no handler runs for it; called from that device's own handler it waits for no other.
/// Detaching another device from a handler whose own device that one's handler detaches would wait for ever.
///
/// Any thread may call, at any time. It keeps its domain and unit alive.
public final class PageQueue: Sendable {
    /// How many groups it takes, and for how long.
    public let configuration: Configuration

    /// The unit.
    public let unit: RemappingUnit

    /// Whose requests it takes; nil for those that a guest's own tables translate.
    public let domain: Domain?

    let core: PageQueueCore

    /// Makes a queue that is read: ``read()``, ``groups``.
    ///
    /// - Parameters:
    ///   - domain: A ``PagingDomain`` that is no nest parent, or a ``NestedDomain``.
    ///   - configuration: Its limits.
    /// - Throws: ``IOMMUError/exists`` when the domain has one; ``IOMMUError/unsupported`` without ECAP.PRS, or for a
    ///   nest parent; ``IOMMUError/invalidArgument`` for another kind of domain or a value out of its range;
    ///   ``IOMMUError/noMemory``.
    public convenience init(_ domain: Domain, configuration: Configuration = Configuration()) throws(IOMMUError) {
        try self.init(domain.unit, domain, configuration, nil)
    }

    /// Makes a queue whose groups come to a handler.
    ///
    /// - Parameters:
    ///   - domain: A ``PagingDomain`` that is no nest parent, or a ``NestedDomain``.
    ///   - configuration: Its limits.
    ///   - executor: Where the handler runs.
    ///   - handler: Gets each group, and answers it now or later. Calls for one device come one after the other; a slow
    ///     one delays other devices only as far as they share a thread.
    /// - Throws: As ``init(_:configuration:)``.
    public convenience init(
        _ domain: Domain, configuration: Configuration = Configuration(), executor: HandlerExecutor = .thread(),
        handler: @escaping @Sendable (PageGroup) -> Void
    ) throws(IOMMUError) {
        try self.init(domain.unit, domain, configuration, PageLanes(executor, handler))
    }

    /// Makes the queue of the requests that a guest's own tables translate: sources behind the root table, and devices
    /// with a bound PASID table. It is read.
    ///
    /// - Throws: As ``init(_:configuration:)``.
    public convenience init(
        guestTablesOf unit: RemappingUnit, configuration: Configuration = Configuration()
    ) throws(IOMMUError) {
        try self.init(unit, nil, configuration, nil)
    }

    /// Makes the queue of the requests that a guest's own tables translate, whose groups come to a handler.
    ///
    /// - Parameters:
    ///   - unit: The unit.
    ///   - configuration: Its limits.
    ///   - executor: Where the handler runs.
    ///   - handler: Gets each group, as that of ``init(_:configuration:executor:handler:)``.
    /// - Throws: As ``init(_:configuration:)``.
    public convenience init(
        guestTablesOf unit: RemappingUnit, configuration: Configuration = Configuration(), executor: HandlerExecutor,
        handler: @escaping @Sendable (PageGroup) -> Void
    ) throws(IOMMUError) {
        try self.init(unit, nil, configuration, PageLanes(executor, handler))
    }

    private init(
        _ unit: RemappingUnit, _ domain: Domain?, _ configuration: Configuration, _ lanes: PageLanes?
    ) throws(IOMMUError) {
        self.configuration = configuration
        self.unit = unit
        self.domain = domain
        core = try PageQueueCore(unit, domain, configuration, lanes)
    }

    deinit {
        core.close()
    }

    /// Ends the queue: everything outstanding is answered with `invalid`, and when this returns no handler runs, but one
    /// that called this. Groups that are held can no longer be answered; later requests find nobody. Without this call
    /// it happens when nothing refers to this object any more.
    public func shutdown() {
        core.close()
    }

    /// Takes the oldest group, or nil if there is none. A group with a handler comes to that instead.
    ///
    /// - Throws: ``IOMMUError/closed``.
    public func read() throws(IOMMUError) -> PageGroup? {
        try core.read()
    }

    /// Answers a group by the name that a guest's response gives it: the oldest one that was read and not answered.
    ///
    /// - Throws: ``IOMMUError/notFound`` when there is none; ``IOMMUError/invalidArgument`` for an index over 511.
    public func respond(to name: PageGroupName, _ response: PageResponse) throws(IOMMUError) {
        try core.respond(to: name, response)
    }

    /// A group found the queue full. Until ``acknowledgeOverflow()`` every request to this queue is discarded; the last
    /// of a group is answered with success, so that the device asks again [FORMATS-VTD D2].
    public var hasOverflowed: Bool {
        core.hasOverflowed
    }

    /// Ends an overflow.
    public func acknowledgeOverflow() {
        core.acknowledgeOverflow()
    }

    /// A file descriptor to poll: readable while there is a group to be read, or the queue has overflowed or is shut
    /// down. The queue's own: neither read nor close it.
    ///
    /// - Throws: ``IOMMUError/noMemory`` when the system gives none.
    public func fileDescriptor() throws(IOMMUError) -> Int32 {
        try core.fileDescriptor()
    }

    /// What it did so far.
    public var statistics: PageQueueStatistics {
        core.statistics
    }
}

extension PageQueue {
    /// Limits of a queue.
    public struct Configuration: Sendable {
        /// Most groups that were not answered: 1 to 65,536. One more is an overflow.
        public var groups = 1024
        /// Most pages in them: 1 to 1,048,576.
        public var pages = 8192
        /// Longest time from the completion of a group to its answer; nil for ever. A group that is not answered in time
        /// is answered with failure.
        public var timeout: Duration? = .seconds(10)
        /// A group that asks for the same pages as one that is not answered yet, also of another device, is answered
        /// with it [B-E4].
        public var sharesAnswers = true
        /// Monotonic nanoseconds, so that tests need not wait; nil for the system's clock. Any thread calls it, under a
        /// lock: it calls nothing of the library. Then ``RemappingUnit/expirePageRequests()`` keeps the deadlines.
        public var clock: (@Sendable () -> UInt64)?
        /// The handler acknowledges an overflow by itself when it has taken all groups that there are.
        public var acknowledgesOverflow = true

        /// Makes the default configuration.
        public init() {}
    }
}

extension RemappingUnit {
    /// Answers page requests whose time is over. Needed only with a clock of the host's own; otherwise the unit's event
    /// thread does it.
    ///
    /// - Returns: Nanoseconds to the next deadline; nil if there is none.
    @discardableResult
    public func expirePageRequests() -> UInt64? {
        let next = unsafe ciommu_unit_poll(handle)
        return next == .max ? nil : next
    }
}
