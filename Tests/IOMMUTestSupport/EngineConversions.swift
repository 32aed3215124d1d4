// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The engine's answers in the terms of the tests. The only file here that knows both.

import IOMMU

extension UnitModel {
    /// The capabilities as the engine takes them.
    package func capabilities() throws -> Capabilities {
        try Capabilities(
            cap: cap, ecap: ecap, revision: revision == 3 ? .v3 : .v4, hostAddressWidth: hostAddressWidth)
    }
}

extension Access {
    init(_ rights: AccessRights) {
        self.init(rawValue: rights.rawValue & 15)
    }

    /// As the engine takes it.
    package var rights: AccessRights {
        AccessRights(rawValue: rawValue)
    }
}

extension DMARequest {
    /// The flags as the engine takes them.
    package var options: RequestOptions {
        var options: RequestOptions = []
        if isQuiet { options.insert(.noFault) }
        if leavesMarks { options.insert(.noAccessedDirty) }
        if isPASIDImplied { options.insert(.impliedPASID) }
        switch kind {
        case .untranslated: break
        case .translationRequest: options.insert(.translationRequest)
        case .translated: options.insert(.translated)
        }
        return options
    }
}

extension Port {
    /// Translates one request; `isCached` false walks the tables as they are now.
    package func answer(_ request: DMARequest, isCached: Bool = true) throws -> Answer {
        var options = request.options
        if !isCached { options.insert(.noCache) }
        let result = try translate(
            IOVA(request.iova), access: request.access.rights, source: SourceID(UInt32(request.source)),
            pasid: request.pasid.flatMap { PASID($0) }, options: options)
        return Answer(result)
    }
}

extension Answer {
    package init(_ result: TranslationResult) {
        switch result {
        case .mapped(let translation):
            self = .mapped(
                MappedAnswer(
                    address: translation.address.rawValue, pageSizeLog2: translation.pageSizeLog2,
                    rights: Access(translation.rights), isUntranslatedOnly: translation.isUntranslatedOnly))
        case .fault(let fault): self = .fault(FaultAnswer(fault))
        case .interrupt(let address): self = .interrupt(address.rawValue)
        }
    }
}

extension FaultAnswer {
    package init(_ fault: Fault) {
        self.init(
            code: fault.code, stage: Stage(fault.stage), level: fault.level, isSuppressed: fault.isSuppressed,
            isRecoverable: fault.isRecoverable, isRecorded: fault.isRecorded, isAborted: fault.reason == .aborted)
    }
}

extension FaultAnswer.Stage {
    init(_ stage: IOMMU.Stage) {
        switch stage {
        case .first: self = .first
        case .second: self = .second
        case .nested: self = .nested
        default: self = .none
        }
    }
}
