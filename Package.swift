// swift-tools-version: 6.2
// SPDX-License-Identifier: LGPL-2.1-or-later
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
]

/// `make fuzz` alone has the fuzz targets, and assertions in a release build: it is fast and checks the most.
let isFuzzing = Context.environment["IOMMU_FUZZ"] != nil

/// Release builds of C drop assertions; debug builds carry the protocol's test switches (see debug.h).
let cSettings: [CSetting] =
    isFuzzing
    ? [.define("CIOMMU_INTERNAL_CHECKS")]
    : [
        .define("NDEBUG", .when(configuration: .release)),
        .define("CIOMMU_INTERNAL_CHECKS", .when(configuration: .debug)),
    ]

let package = Package(
    name: "swift-iommu",
    products: [
        .library(name: "IOMMU", targets: ["IOMMU"]),
        .library(name: "IOMMUCapture", targets: ["IOMMUCapture"]),
        .library(name: "VirtualVTd", targets: ["VirtualVTd"]),
        // For hosts in C: iommu_vtd.h, and the engine's own headers.
        .library(name: "iommu-vtd", type: .dynamic, targets: ["VirtualVTdC"]),
        .library(name: "ciommu", type: .static, targets: ["CIOMMU"]),
        .executable(name: "iommu", targets: ["IOMMUTool"]),
        // What the nested package Benchmarks/ shares with the tool; no interface for users.
        .library(name: "IOMMUBench", targets: ["IOMMUBench", "CIOMMUBench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        .systemLibrary(
            name: "CLibURCU", path: "CSources/CLibURCU", pkgConfig: "liburcu-bp",
            providers: [.apt(["liburcu-dev"])]),
        .systemLibrary(
            name: "CLibURCUCDS", path: "CSources/CLibURCUCDS", pkgConfig: "liburcu-cds",
            providers: [.apt(["liburcu-dev"])]),
        .systemLibrary(
            name: "CZlib", path: "CSources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(
            name: "CIOMMU", dependencies: ["CLibURCU"], path: "CSources/CIOMMU", cSettings: cSettings),
        .target(
            name: "CIOMMUBench", dependencies: ["CIOMMU", "CLibURCU", "CLibURCUCDS"],
            path: "CSources/CIOMMUBench",
            cSettings: cSettings + [.define("_GNU_SOURCE"), .define("_LGPL_SOURCE")]),

        .target(name: "IOMMUCore", dependencies: ["CIOMMU"], swiftSettings: swiftSettings),
        .target(
            name: "IOMMUDomains",
            dependencies: ["CIOMMU", "IOMMUCore"],
            swiftSettings: swiftSettings),
        .target(
            name: "IOMMUInvalidation",
            dependencies: ["CIOMMU", "IOMMUCore", "IOMMUDomains"],
            swiftSettings: swiftSettings),
        .target(
            name: "IOMMUFaults",
            dependencies: ["CIOMMU", "IOMMUCore", "IOMMUDomains"],
            swiftSettings: swiftSettings),
        .target(
            name: "IOMMUInterrupts",
            dependencies: ["CIOMMU", "IOMMUCore", "IOMMUDomains"],
            swiftSettings: swiftSettings),
        .target(
            name: "IOMMU",
            dependencies: ["IOMMUCore", "IOMMUDomains", "IOMMUInvalidation", "IOMMUFaults", "IOMMUInterrupts"],
            swiftSettings: swiftSettings),
        .target(
            name: "VirtualVTd",
            dependencies: ["IOMMUCore", "IOMMUFaults", "IOMMUInterrupts", "IOMMUInvalidation"],
            swiftSettings: swiftSettings),
        .target(name: "CVirtualVTd", dependencies: ["CIOMMU"], path: "CSources/CVirtualVTd"),
        .target(
            name: "VirtualVTdC", dependencies: ["CIOMMU", "CVirtualVTd", "IOMMUCore", "VirtualVTd"],
            swiftSettings: swiftSettings),
        .target(name: "IOMMUCapture", dependencies: ["CZlib"], swiftSettings: swiftSettings),
        .executableTarget(
            name: "IOMMUTool",
            dependencies: [
                "IOMMU", "IOMMUBench", "IOMMUCapture", "IOMMUReplay", "VirtualVTd",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            resources: [.copy("Captures")],
            swiftSettings: swiftSettings),
        .target(
            name: "IOMMUReplay", dependencies: ["IOMMU", "IOMMUCapture", "VirtualVTd"], swiftSettings: swiftSettings),
        .target(
            name: "IOMMUBench", dependencies: ["CIOMMU", "CIOMMUBench"], swiftSettings: swiftSettings),
        .executableTarget(
            name: "IOMMUExample", dependencies: ["IOMMU", "VirtualVTd"], swiftSettings: swiftSettings),

        .target(
            name: "CIOMMUProbe", dependencies: ["CIOMMU", "CLibURCU"], path: "Tests/CIOMMUProbe",
            cSettings: cSettings + [.headerSearchPath("../../CSources/CIOMMU")]),
        .target(
            name: "IOMMUTestSupport", dependencies: ["IOMMU"], path: "Tests/IOMMUTestSupport",
            swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUCoreTests", dependencies: ["IOMMU", "IOMMUTestSupport"], swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUDomainsTests", dependencies: ["IOMMU", "IOMMUTestSupport"], swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUInvalidationTests", dependencies: ["IOMMU", "IOMMUTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUFaultsTests",
            dependencies: ["IOMMU", "IOMMUCapture", "IOMMUReplay", "IOMMUTestSupport"], swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUInterruptsTests", dependencies: ["IOMMU", "IOMMUTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "VirtualVTdTests", dependencies: ["IOMMU", "IOMMUTestSupport", "VirtualVTd"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "VirtualVTdCTests", dependencies: ["CIOMMU", "CVirtualVTd", "IOMMUTestSupport", "VirtualVTdC"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUHostileTests", dependencies: ["IOMMU", "IOMMUTestSupport"], swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUCaptureTests", dependencies: ["IOMMUCapture", "IOMMUReplay", "VirtualVTd"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUBenchTests",
            dependencies: [
                "CIOMMU", "CIOMMUBench", "IOMMUBench", "IOMMUReplay", "IOMMUTool", "VirtualVTd",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "CIOMMUTests", dependencies: ["CIOMMU", "CIOMMUProbe"], swiftSettings: swiftSettings),
        .testTarget(
            name: "CIOMMUDomainTests", dependencies: ["CIOMMU", "CIOMMUProbe", "IOMMUTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "CIOMMUBatchTests", dependencies: ["CIOMMU", "CIOMMUProbe", "IOMMUTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "CIOMMUFaultTests", dependencies: ["CIOMMU", "CIOMMUProbe", "IOMMUTestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUFailureTests",
            dependencies: ["CIOMMUProbe", "IOMMU", "IOMMUTestSupport", "VirtualVTd"], swiftSettings: swiftSettings),
        .testTarget(
            name: "IOMMUStressTests", dependencies: ["CIOMMU", "CIOMMUProbe"], swiftSettings: swiftSettings),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)

if isFuzzing {
    package.targets += [
        .target(name: "CIOMMUFuzz", path: "Tests/Fuzz/CIOMMUFuzz"),
        .executableTarget(
            name: "IOMMUFuzz",
            dependencies: [
                "IOMMU", "IOMMUCapture", "IOMMUReplay", "IOMMUTestSupport", "VirtualVTd", "CIOMMUFuzz", "CIOMMUProbe",
            ],
            path: "Tests/Fuzz/IOMMUFuzz", swiftSettings: swiftSettings),
    ]
}
