// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BrokenRule - deliberate breaks of one rule each, so that `make mutants` can show which test would notice it. In debug builds alone;
// the engine's own are in debug.h. Behind each case stand the tests that must fail, as .ci/broken-rules gives them to `swift test`.

#if DEBUG
    internal import Glibc
#endif

/// A rule that the Swift side can be told to break: in a debug build, by its name in the environment variable `IOMMU_BROKEN_RULE`.
@usableFromInline
package enum BrokenRule: Sendable {
    // MARK: A guest's registers: when they say that something is done

    /// GSTS shows a global command before the engine has returned.
    case statusEarly  // LateSectionTests
    /// CCMD is done before the engine has returned.
    case contextDoneEarly  // LateSectionTests
    /// IOTLB is done before the engine has returned.
    case iotlbDoneEarly  // LateSectionTests
    /// A command that finds a section open longer than the unit's time-out counts as done.
    case sectionsNotAwaited  // LateSectionTests
    /// IOTLB reports the granularity that was asked for, not the one that it had.
    case granularityAsAsked  // VirtualVTdTests.CommandTests
    /// RTADDR is in force when it is written, without SRTP.
    case rootLatchedByWrite  // VirtualVTdTests.CommandTests
    /// A write that would wait for its own section is taken.
    case sectionWriteTaken  // VirtualVTdTests.CommandTests
    /// Bits that a 1 clears are set by it.
    case clearingSets  // VirtualVTdTests.RegisterTests
    /// A reset leaves faults that nobody has collected.
    case resetKeepsFaults  // RegisterFuzzFindingsTests

    // MARK: The invalidation queue

    /// The head moves before the descriptors are applied.
    case headEarly  // VirtualVTdTests.QueueTests
    /// The head comes back to the start one entry too early.
    case headWrapsEarly  // VirtualVTdTests.QueueTests|QueueEdgeTests
    /// A tail beyond the queue, or inside a descriptor, is no error.
    case tailUnchecked  // VirtualVTdTests.QueueTests|QueueEdgeTests
    /// IQE and ITE do not stop the queue.
    case stopIgnored  // VirtualVTdTests.QueueTests
    /// A device-TLB that does not answer in time is not told by ITE.
    case timeOutUntold  // VirtualVTdTests.DeviceTLBTests
    /// A wait that drains page requests does not wait for those that are in line.
    case drainForgetsPages  // VirtualVTdTests.PageRequestTests
    /// The host does not hear which interrupt entries changed.
    case entriesUntold  // InterruptInvalidationTests

    // MARK: Works

    /// A worker that found nothing to do forgets it a moment later: what came between waits for ever.
    case workerDozes  // WorkQueueTests
    /// What was asked for from inside a work is left.
    case owedWorkForgotten  // VirtualVTdTests.QueueTests
    /// Two threads do works at once.
    case worksAtOnce  // WorkQueueTests

    // MARK: Fault records and events

    /// FSTS.PPF goes with the first record that is cleared.
    case pendingFaultForgotten  // FaultRecordingTests
    /// FSTS.FRI follows the newest record.
    case faultIndexMoves  // FaultRecordingTests
    /// A fault that finds the ring full is lost without PFO.
    case fullRingUntold  // FaultRecordingTests
    /// So are faults that the engine's queue has lost.
    case engineLossUntold  // FaultRecordingTests
    /// A source gets a second record.
    case sourceRecordedAgain  // FaultRecordingTests
    /// An event that was pending is not signalled when its mask goes.
    case heldEventLost  // FaultRecordingTests

    // MARK: Page requests

    /// A full page-request queue is not told by PRS.PRO.
    case pageOverflowUntold  // VirtualVTdTests.PageRequestTests
    /// Page requests are stored over those that the guest has not read.
    case pageTailPassesHead  // VirtualVTdTests.PageRequestTests
    /// Of two groups of one name the newer one is answered first.
    case pageAnswersCrossed  // VirtualVTdTests.PageRequestTests
    /// A second response takes the place of one that the device has not heard yet.
    case secondAnswerTaken  // MigratedPagesTests

    // MARK: A unit that is moved

    /// The queue begins at its start again.
    case restoreForgetsHead  // VirtualVTdTests.SnapshotTests
    /// Descriptors before the tail are left until the guest writes it again.
    case restoreForgetsQueue  // VirtualVTdTests.SnapshotTests
    /// Pending events are not pending any more.
    case restoreForgetsEvents  // VirtualVTdTests.SnapshotTests
    /// RTADDR is in force as it stands, not as it was latched.
    case restoreForgetsLatch  // VirtualVTdTests.SnapshotTests
    /// Page requests that were not answered are forgotten.
    case restoreForgetsPages  // MigratedPagesTests
    /// Faults that nobody has collected are not in the snapshot.
    case snapshotForgetsFaults  // VirtualVTdTests.SnapshotTests

    // MARK: Spaces of input addresses

    /// An unmap does not wait for the pins of accessors.
    case pinsIgnored  // PinTests
    /// Areas that are being unmapped can be pinned and copied.
    case leavingPinned  // PinTests
    /// The second part of a split area leads to where the first one does.
    case partKeepsOutput  // IOAddressSpaceTests
    /// Reserved ranges are used.
    case reservedUsable  // IOAddressSpaceTests|IOVARangesTests
    /// Of several mirrors only the first hears of an unmap.
    case mirrorUntold  // IOAddressSpaceTests
    /// A map that a mirror refuses stays in the others.
    case halfMapKept  // IOAddressSpaceTests
    /// The gap that an unmap leaves is not found again.
    case gapForgotten  // AreaTableTests|IOVAAllocatorTests
    /// A snapshot of a unit lacks the first area of a space.
    case areaOmitted  // IOMMUDomainsTests.SnapshotTests
    /// Host memory that a late section may use is not kept mapped.
    case lingeringForgotten  // MemoryPlacementTests

    // MARK: Handlers

    /// Two calls of one lane run at once.
    case callsTogether  // HandlerLaneTests
    /// Closing a lane does not wait for its call.
    case closeDoesNotWait  // HandlerLaneTests
    /// A cancelled handler hears the rest of what was read.
    case cancelledHandlerCalled  // FaultDispatcherTests
    /// Faults beyond those of one turn wait for the next fault.
    case turnsNotRepeated  // FaultDispatcherTests
    /// A handler is called for a group that a detach has answered.
    case answeredGroupHandled  // PageHandlerTests

    // MARK: Devices

    /// The device-TLB of a slice covers the whole source id.
    case sliceCoversSource  // DeviceATSTests
    /// What was raised while an entry was masked is not told at unmask.
    case raiseLostAtUnmask  // MessageStateTests
    /// A guest reads entries of the store that are not behind its slots.
    case hostEntryShown  // DSAMessageSlotsTests
}

#if DEBUG
    extension BrokenRule: CaseIterable {
        /// The rule that is broken in this process.
        fileprivate static let chosen: BrokenRule? = {
            guard let value = unsafe getenv("IOMMU_BROKEN_RULE") else { return nil }
            let name = unsafe String(cString: value)
            guard let rule = allCases.first(where: { "\($0)" == name }) else {
                fatalError("IOMMU_BROKEN_RULE: \"\(name)\" is no rule; BrokenRule.swift lists them")
            }
            return rule
        }()
    }

    /// Whether a rule is to be broken now.
    package func broken(_ rule: BrokenRule) -> Bool {
        rule == BrokenRule.chosen
    }
#else
    /// No: this is no debug build.
    @inlinable @inline(__always)
    package func broken(_ rule: BrokenRule) -> Bool {
        false
    }
#endif
