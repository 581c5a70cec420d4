// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import GuestImage
import HarnessCore
import KernelBuild
import ProcessRunner

extension Lab {
    /// The initramfs for a kernel and the modules of its driver that are not the tree's own, from the cache or made now.
    ///
    /// - Parameter tools: programs of the host that the tests want.
    func image(
        for kernel: PreparedKernel, externalModules: [String], kselftest: KselftestProgram?,
        tools: [ImageDescription.Program] = []
    ) async throws -> String {
        let artifact = kernel.artifact
        var programs = [ImageDescription.Program(installation.guestTests, to: "/bin/guest-tests")] + tools
        if let kselftest { programs.append(.init(kselftest.path, to: SuiteCatalog.kselftestProgram)) }
        let modules = "\(artifact.modules)/lib/modules/\(artifact.release)"
        let description = ImageDescription(
            initProgram: installation.guestInit, programs: programs,
            modules: .init(
                kernelRelease: artifact.release, folder: Files.isFolder(modules) ? modules : nil,
                external: externalModules),
            busybox: Files.exists(ImageDescription.usualBusybox) ? ImageDescription.usualBusybox : nil)
        let builder = ImageBuilder(runner: runner, generator: artifact.initramfsPacker)
        let path = try cache.path("images", try await builder.signature(of: description).digest.hexadecimal + ".cpio")
        if ImageBuilder.isComplete(path) {
            cache.markUsed(path)
        } else {
            progress(.step("Making the guest's image"))
            try await builder.build(description, to: path, workingIn: cache.stagingFolder())
        }
        return path
    }

    /// The driver's modules as far as the kernel's own tree has none.
    func modules(of driver: GuestSelection.Driver, for kernel: PreparedKernel) async throws -> [String] {
        switch driver {
        case .testHmm, .noDriver: []
        case .hmmDmirror:
            try await ModuleBuilder(builder).build(
                from: installation.kernelPatches, for: kernel.artifact, kernel.input, kernel.config)
        }
    }

    /// Looks at hmmlab's own modules with the checkers of a kernel that was prepared.
    ///
    /// - Throws: what ``ModuleBuilder/check(_:_:_:)`` throws.
    public func checkModules(on kernel: PreparedKernel) async throws -> [StyleCheck] {
        try await ModuleBuilder(builder).check(installation.kernelPatches, kernel.input, kernel.config)
    }
}
