// swift-tools-version: 6.2
// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A package of its own, so that users of the library never fetch what only benchmarks need.
import PackageDescription

let package = Package(
    name: "swift-iommu-benchmarks",
    dependencies: [
        // The name is given because the identity would otherwise be that of the checkout's folder.
        .package(name: "swift-iommu", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "HostSetup", dependencies: [.product(name: "ciommu", package: "swift-iommu")], path: "HostSetup",
            cSettings: [.define("_GNU_SOURCE"), .define("NDEBUG", .when(configuration: .release))]),
        .executableTarget(
            name: "Invalidation", dependencies: [.product(name: "ciommu", package: "swift-iommu")],
            path: "Invalidation",
            cSettings: [.define("_GNU_SOURCE"), .define("NDEBUG", .when(configuration: .release))]),
    ],
    cLanguageStandard: .gnu17
)
