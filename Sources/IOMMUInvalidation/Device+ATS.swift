// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Switching ATS on for a device: source id, PASIDs and name are the device's.

public import IOMMUCore
public import IOMMUDomains

extension Device {
    /// Makes this device's cache of translations known (ATS is switched on). It covers what the device owns: a slice of
    /// PASIDs, or the whole source id; for a parent device all that no slice's own device-TLB covers. Until then the
    /// device's translation requests are refused: see ``RequestOptions/translationRequest``.
    ///
    /// Beside a parent's device-TLB, which may hold translations of the slice, the call waits for access sections and
    /// asks the parent to drop everything: not from inside a section, nor from a handler.
    ///
    /// - Parameters:
    ///   - physicalFunction: Source id of the physical function; nil for the device's own.
    ///   - queueDepth: Requests in flight for the physical function, 1 to 32.
    ///   - timeout: Longest time from a request to its answer; nil for the unit's.
    ///   - handler: Asks the device to drop translations: see ``DeviceTLB/init(unit:configuration:handler:)``.
    /// - Returns: The device-TLB. ATS is on until it is closed or nothing refers to it any more. It does not keep the
    ///   device alive: close it before the device goes.
    /// - Throws: As ``DeviceTLB/init(unit:configuration:handler:)``.
    public func enableATS(
        physicalFunction: SourceID? = nil, queueDepth: Int = 32, timeout: Duration? = nil,
        handler: @escaping @Sendable (DeviceTLBRequest) -> Void
    ) throws(IOMMUError) -> DeviceTLB {
        let configuration = ats(physicalFunction, queueDepth, timeout)
        return try DeviceTLB(unit: unit, configuration: configuration, handler: handler)
    }

    /// The same for a device that answers asynchronously: what `answer` returns is the answer.
    public func enableATS(
        physicalFunction: SourceID? = nil, queueDepth: Int = 32, timeout: Duration? = nil,
        answeringWith answer: @escaping @Sendable (DeviceTLBRequest) async -> Bool
    ) throws(IOMMUError) -> DeviceTLB {
        let configuration = ats(physicalFunction, queueDepth, timeout)
        return try DeviceTLB(unit: unit, configuration: configuration, answeringWith: answer)
    }

    private func ats(
        _ physicalFunction: SourceID?, _ queueDepth: Int, _ timeout: Duration?
    ) -> DeviceTLB.Configuration {
        var configuration = DeviceTLB.Configuration(source: sourceID, pasids: share.pasids, device: id)
        if broken(.sliceCoversSource) { configuration.pasids = nil }
        configuration.sharesSource = share == .parent
        configuration.physicalFunction = physicalFunction ?? sourceID
        configuration.queueDepth = queueDepth
        configuration.timeout = timeout
        return configuration
    }
}
