// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ATSToken - lets a device store an answer to a translation request after the section that produced it has ended.

internal import CIOMMU

/// Says when an answer to an ATS translation request was true: see ``Port/storeIfValid(_:_:)``.
///
/// A plain value that may be kept for any time and used through any port of its unit, on any thread. It keeps nothing alive.
public struct ATSToken: Sendable {
    let wire: ciommu_ats_token

    /// The token that C wrote; nil if the answer may not be stored.
    init?(_ wire: ciommu_ats_token) {
        guard wire.unit != 0 else { return nil }
        self.wire = wire
    }
}
