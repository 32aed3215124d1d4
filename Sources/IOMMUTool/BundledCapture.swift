// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BundledCapture - the recording that comes with the tool, so that it can be tried without one.

import Foundation

/// The recording beside the tool.
enum BundledCapture {
    private static let name = "C1-scalable-fs-strict"
    private static let bundle = "swift-iommu_IOMMUTool.resources"

    /// Its folder; nil if the tool was moved away from its resources.
    static var folder: String? {
        let beside = Bundle.main.bundleURL.appending(path: bundle).appending(path: "Captures").appending(path: name)
        return FileManager.default.fileExists(atPath: beside.path) ? beside.path : nil
    }
}
