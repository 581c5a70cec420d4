// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Reads Package.swift and the sources themselves: a forbidden edge is a defect even if it compiles.
@Suite struct ArchitectureTests {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The allowed edges between our own targets; dependencies point one way.
    static let allowed: [String: Set<String>] = [
        "GuestProtocol": [], "CGuestShims": [], "CKmod": [], "CDeviceMirrorABI": [],
        "KernelModules": ["CKmod"], "DeviceMirror": ["CDeviceMirrorABI"],
        "GuestTestKit": ["DeviceMirror", "CGuestShims"],
        "guest-init": ["GuestProtocol", "KernelModules", "CGuestShims"],
        "AddressSpaceModel": [],
        "guest-tests": ["GuestTestKit", "DeviceMirror", "AddressSpaceModel"],
        "HarnessCore": [], "CLibCrypto": [], "ContentDigest": ["CLibCrypto"], "hmmlab-supervise": [],
        "ProcessRunner": ["HarnessCore"], "Bisection": [],
        "KernelSource": ["HarnessCore", "ContentDigest", "ProcessRunner"],
        "PatchSeries": ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource"],
        "PatchModel": ["HarnessCore", "ProcessRunner", "KernelSource", "PatchSeries"],
        "PatchWork": ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel"],
        "PatchMail": ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel"],
        "PatchCheck": [
            "HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel", "KernelBuild",
        ],
        "KernelBuild": ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource"],
        "GuestImage": ["HarnessCore", "ContentDigest", "ProcessRunner", "KernelModules"],
        "VirtualMachine": ["HarnessCore"], "QEMU": ["HarnessCore", "ContentDigest", "ProcessRunner", "VirtualMachine"],
        "KernelLog": ["HarnessCore"], "TestResults": ["HarnessCore", "KernelLog"],
        "Mutation": ["HarnessCore", "TestResults"],
        "Pipeline": [
            "HarnessCore", "ContentDigest", "ProcessRunner", "KernelSource", "PatchSeries", "PatchModel",
            "PatchWork", "PatchMail", "PatchCheck", "Bisection", "Mutation", "KernelBuild", "GuestImage",
            "GuestProtocol",
            "VirtualMachine", "QEMU", "KernelLog", "TestResults",
        ],
        "hmmlab": ["Pipeline", "HarnessCore"],
    ]
    /// Targets that run in the guest, or on both sides.
    static let guest = [
        "GuestProtocol", "KernelModules", "DeviceMirror", "GuestTestKit", "AddressSpaceModel", "guest-init",
        "guest-tests",
    ]

    private func sources(of target: String) throws -> [(name: String, text: String)] {
        let folder = root.appendingPathComponent("Sources/\(target)")
        let files =
            FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)?.allObjects as? [URL] ?? []
        return try files.filter { $0.pathExtension == "swift" }.map {
            ("\(target)/\($0.lastPathComponent)", try String(contentsOf: $0, encoding: .utf8))
        }
    }

    private func imports(_ text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let position = words.firstIndex(of: "import"), position < 3, words.count > position + 1,
                words[..<position].allSatisfy({ $0.hasPrefix("@") || ["public", "internal", "private"].contains($0) })
            else { return nil }
            return String(words[words.count - 1].split(separator: ".")[0])
        }
    }

    /// Dependencies on own targets, as Package.swift declares them for a target.
    private func declared() throws -> [String: Set<String>] {
        let text = try String(contentsOf: root.appendingPathComponent("Package.swift"), encoding: .utf8)
        let flat = text.split(separator: "\n").filter { !$0.contains("//") }.joined(separator: " ")
        var edges: [String: Set<String>] = [:]
        let pattern =
            /(?:library|\.executableTarget|\.target|\.systemLibrary)\(\s*(?:name:\s*)?"([^"]+)"([^;]*?)\)(?:,|\s*\])/
        for match in flat.matches(of: pattern) {
            let own = String(match.1)
            guard Self.allowed[own] != nil else { continue }
            let named = String(match.2).matches(of: /"([^"]+)"/).map { String($0.1) }
            edges[own, default: []].formUnion(named.filter { Self.allowed[$0] != nil })
        }
        return edges
    }

    @Test func everyDeclaredEdgeIsAllowed() throws {
        let edges = try declared()
        #expect(Set(edges.keys) == Set(Self.allowed.keys), "a target is missing here or in Package.swift")
        for (target, dependencies) in edges {
            #expect(
                dependencies.subtracting(Self.allowed[target] ?? []).isEmpty, "\(target) depends on more than it may")
        }
    }

    @Test func everyImportOfAnOwnTargetIsAllowed() throws {
        for target in Self.allowed.keys {
            for (file, text) in try sources(of: target) {
                let own = Set(imports(text).filter { Self.allowed[$0] != nil })
                #expect(own.subtracting(Self.allowed[target] ?? []).isEmpty, "\(file)")
            }
        }
    }

    @Test func guestTargetsDoNotImportFoundation() throws {
        var read = 0
        for target in Self.guest {
            for (file, text) in try sources(of: target) {
                read += 1
                #expect(!imports(text).contains { $0.hasPrefix("Foundation") }, "\(file)")
            }
        }
        #expect(read > 0)
    }

    @Test func theSharedProtocolImportsNothing() throws {
        for (file, text) in try sources(of: "GuestProtocol") { #expect(imports(text).isEmpty, "\(file)") }
    }
}
