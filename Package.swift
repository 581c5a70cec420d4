// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

/// Every Swift target is compiled with the same strictness; a weaker target would hide a data race from the others.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let parser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let toml: Target.Dependency = .product(name: "TOMLKit", package: "TOMLKit")
let xml: Target.Dependency = .product(name: "XMLCoder", package: "XMLCoder")
let rainbow: Target.Dependency = .product(name: "Rainbow", package: "Rainbow")

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies, exclude: [], resources: resources, swiftSettings: strict)
}

let package = Package(
    name: "hmmlab",
    products: [
        .executable(name: "hmmlab", targets: ["hmmlab"]),
        .executable(name: "hmmlab-supervise", targets: ["hmmlab-supervise"]),
        .executable(name: "guest-init", targets: ["guest-init"]),
        .executable(name: "guest-tests", targets: ["guest-tests"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        .package(url: "https://github.com/CoreOffice/XMLCoder", from: "0.18.0"),
        .package(url: "https://github.com/onevcat/Rainbow", from: "4.0.0"),
    ],
    targets: [
        // Both sides of the fence.
        .target(name: "CDeviceMirrorABI", path: "kernel-patches/abi"),
        library("GuestProtocol"),

        // Inside the guest: no Foundation, no host code.
        .systemLibrary(name: "CKmod", pkgConfig: "libkmod", providers: [.apt(["libkmod-dev"])]),
        .target(name: "CGuestShims"),
        library("KernelModules", ["CKmod"]),
        library("DeviceMirror", ["CDeviceMirrorABI"]),
        library("AddressSpaceModel"),
        library("GuestTestKit", ["DeviceMirror", "CGuestShims"]),
        .executableTarget(
            name: "guest-init", dependencies: ["GuestProtocol", "KernelModules", "CGuestShims"], swiftSettings: strict),
        .executableTarget(
            name: "guest-tests", dependencies: ["GuestTestKit", "DeviceMirror", "AddressSpaceModel"],
            swiftSettings: strict),

        // The host.
        library("HarnessCore", [systemPackage]),
        .systemLibrary(name: "CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        library("ContentDigest", ["CLibCrypto"]),
        .executableTarget(name: "hmmlab-supervise"),
        library("ProcessRunner", ["HarnessCore", subprocess, systemPackage]),
        library("KernelSource", ["HarnessCore", "ContentDigest", "ProcessRunner"]),
        library("PatchSeries", ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource"]),
        library("PatchModel", ["HarnessCore", "ProcessRunner", "KernelSource", "PatchSeries", toml]),
        library("Bisection"),
        library(
            "PatchWork", ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel"]),
        library(
            "PatchMail", ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel"]),
        library(
            "PatchCheck",
            [
                "HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel",
                "KernelBuild",
            ]),
        library("KernelBuild", ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", toml]),
        library("GuestImage", ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelModules"]),
        library("VirtualMachine", ["HarnessCore"]),
        library("QEMU", ["HarnessCore", "ProcessRunner", "VirtualMachine", toml]),
        library("KernelLog", ["HarnessCore"]),
        library("TestResults", ["HarnessCore", xml]),
        library("Mutation", ["HarnessCore", "TestResults"]),
        library(
            "Pipeline",
            [
                "HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel",
                "PatchWork",
                "PatchMail", "PatchCheck", "Bisection", "Mutation", "KernelBuild",
                "GuestImage",
                "GuestProtocol", "VirtualMachine", "QEMU", "KernelLog", "TestResults", toml,
            ]),
        .executableTarget(
            name: "hmmlab", dependencies: ["Pipeline", "HarnessCore", parser, rainbow], swiftSettings: strict),

        tests("GuestProtocol", ["GuestProtocol"]),
        tests("DeviceMirror", ["DeviceMirror", "CDeviceMirrorABI"]),
        tests("GuestTestKit", ["GuestTestKit"]),
        tests("KernelModules", ["KernelModules"]),
        tests("AddressSpaceModel", ["AddressSpaceModel"]),
        tests("HarnessCore", ["HarnessCore"]),
        tests("ContentDigest", ["ContentDigest"]),
        tests("ProcessRunner", ["ProcessRunner", "hmmlab-supervise"]),
        tests("KernelSource", ["KernelSource", "hmmlab-supervise"]),
        tests("PatchSeries", ["PatchSeries", "hmmlab-supervise"], resources: [.copy("Fixtures")]),
        tests("PatchModel", ["PatchModel", "hmmlab-supervise"]),
        tests("Bisection", ["Bisection"]),
        tests("Mutation", ["Mutation"]),
        tests("PatchWork", ["PatchWork", "hmmlab-supervise"]),
        tests("PatchMail", ["PatchMail", "hmmlab-supervise"]),
        tests("PatchCheck", ["PatchCheck", "hmmlab-supervise"]),
        tests("KernelBuild", ["KernelBuild", "hmmlab-supervise"]),
        tests("GuestImage", ["GuestImage", "hmmlab-supervise"]),
        tests("QEMU", ["QEMU", "VirtualMachine", "hmmlab-supervise"]),
        tests("KernelLog", ["KernelLog"], resources: [.copy("Fixtures"), .copy("Snapshots")]),
        tests("TestResults", ["TestResults"], resources: [.copy("Fixtures")]),
        tests("Pipeline", ["Pipeline", "hmmlab-supervise"]),
        tests("Architecture", []),
        tests("EndToEnd", ["HarnessCore", "ProcessRunner", "hmmlab", "hmmlab-supervise", "guest-init", "guest-tests"]),
    ]
)
