// swift-tools-version: 6.2
// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A package of its own, so that users of the library never fetch what only benchmarks need.
import PackageDescription

let ciommu: Target.Dependency = .product(name: "ciommu", package: "swift-iommu")
let bench: Target.Dependency = .product(name: "IOMMUBench", package: "swift-iommu")
let iommu: Target.Dependency = .product(name: "IOMMU", package: "swift-iommu")
let swiftSettings: [SwiftSetting] = [.swiftLanguageMode(.v5)]
let cSettings: [CSetting] = [.define("_GNU_SOURCE"), .define("NDEBUG", .when(configuration: .release))]

let package = Package(
    name: "swift-iommu-benchmarks",
    dependencies: [
        // The name is given because the identity would otherwise be that of the checkout's folder.
        .package(name: "swift-iommu", path: ".."),
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        .target(name: "Samples", dependencies: [ciommu], path: "Samples", cSettings: cSettings),
        .executableTarget(
            name: "HostSetup", dependencies: [ciommu, "Samples"], path: "HostSetup", cSettings: cSettings),
        .executableTarget(
            name: "Faults", dependencies: [ciommu, "Samples"], path: "Faults", cSettings: cSettings),
        .executableTarget(
            name: "Invalidation", dependencies: [ciommu, "Samples"], path: "Invalidation", cSettings: cSettings),
        .executableTarget(
            name: "Interrupts", dependencies: [ciommu, "Samples"], path: "Interrupts", cSettings: cSettings),
        .target(name: "CostInC", dependencies: [ciommu], path: "CostInC", cSettings: cSettings),
        .executableTarget(
            name: "SwiftCost", dependencies: [iommu, "CostInC"], path: "SwiftCost", swiftSettings: swiftSettings),
        .target(name: "EngineInC", dependencies: [ciommu, "Samples"], path: "EngineInC", cSettings: cSettings),
        .executableTarget(
            name: "Engine",
            dependencies: [iommu, bench, "BusyThread", "EngineInC", .product(name: "Benchmark", package: "benchmark")],
            path: "Engine", swiftSettings: swiftSettings,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),

        .target(name: "BusyThread", path: "BusyThread", swiftSettings: swiftSettings),
        .executableTarget(
            name: "RegisterCost",
            dependencies: [iommu, .product(name: "VirtualVTd", package: "swift-iommu"), "BusyThread", "Samples"],
            path: "RegisterCost", swiftSettings: swiftSettings),

        .target(name: "ScalingLoops", dependencies: [ciommu, bench], path: "ScalingLoops", cSettings: cSettings),
        .executableTarget(
            name: "Scaling",
            dependencies: [
                bench, "ScalingLoops",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Scaling"),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu17
)
