// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import KernelBuild

@Suite struct ObjectTreeTests {
    let kernel: FakeKernel

    init() throws { kernel = try FakeKernel() }

    private func error(_ environment: [String: String] = [:]) async throws -> LabError {
        try await #require(throws: LabError.self) { try await kernel.build(environment) }
    }

    @Test func anUnchangedKernelIsNotMadeAgain() async throws {
        let first = try await kernel.build()
        #expect(first.release == "6.12.0" && first.objectsCompiled == 1)
        #expect(try Files.text(first.config) == "CONFIG_FOO=y\n")
        #expect(try await kernel.build() == first)
        try kernel.write("mm/hmm.c", "# changed\n")
        #expect(try await kernel.build().signature != first.signature)
        #expect(try await kernel.configurations() == 1)
    }

    @Test func theCompressedImageIsMadeWhenItIsNeeded() async throws {
        try kernel.write("Kconfig", "config PVH\n\tbool \"PVH\"\nconfig FOO\n\tbool \"Foo\"\n")
        let pvh = try FakeKernel.config("CONFIG_PVH=y\n")
        // What cannot be started without it has it in any case.
        #expect(try await kernel.build(image: .unlessPVH).image != nil)
        let without = try await kernel.build(config: pvh, image: .unlessPVH)
        #expect(without.image == nil)
        #expect(try await kernel.builder().cached(kernel.input(), pvh) == nil)
        #expect(try await kernel.builder().cached(kernel.input(), pvh, image: .unlessPVH) == without)

        let with = try await kernel.build(config: pvh)
        let image = try #require(with.image)
        #expect(try Files.text(image) == Files.text(with.vmlinux))
        #expect(try FileManager.default.contentsOfDirectory(atPath: with.folder).count { $0.hasPrefix("bzImage") } == 1)
        #expect(with.signature == without.signature)
        // Whoever does not need it takes the one that is there, and the next kernel does not inherit it.
        #expect(try await kernel.build(config: pvh, image: .unlessPVH) == with)
        try kernel.write("mm/hmm.c", "# changed\n")
        #expect(try await kernel.build(config: pvh, image: .unlessPVH).image == nil)
    }

    /// The other series leaves a configuration that the former one's notes do not describe.
    @Test func aConfigurationOfAFailedBuildIsNotTakenOver() async throws {
        try await kernel.build()
        try kernel.write("Kconfig.defaults", "CONFIG_OTHER=y\n")
        try kernel.write("mm/hmm.c", "exit 1\n")
        try await kernel.forgetObject()
        #expect(try await error().code == "kernel-build-failed")
        try kernel.write("Kconfig.defaults", "")
        try kernel.write("mm/hmm.c", "# a third series\n")
        #expect(try Files.text(try await kernel.build().config) == "CONFIG_FOO=y\n")
    }

    @Test func aConfigurationThatWasInterruptedIsMadeAgain() async throws {
        try await kernel.build()
        // Killed between tinyconfig and olddefconfig, while another series is configured.
        let script = try Files.text(kernel.tree + "/scripts/settle.sh")
        try kernel.write("scripts/settle.sh", "kill -KILL $PPID\n")
        #expect(try await error().code == "host-exhausted")
        try kernel.write("scripts/settle.sh", script)
        try kernel.write("mm/hmm.c", "# new\n")
        #expect(try Files.text(try await kernel.build().config) == "CONFIG_FOO=y\n")
    }

    @Test func aConfigurationThatWasNotBuiltYetIsKept() async throws {
        try kernel.write("mm/hmm.c", "exit 1\n")
        #expect(try await error().code == "kernel-build-failed")
        try await kernel.forgetObject()
        try kernel.write("mm/hmm.c", ":\n")
        try await kernel.build()
        #expect(try await kernel.configurations() == 1)
    }

    @Test func whatWasSettledOnceIsNotSettledAgain() async throws {
        let kconfig = try Files.text(kernel.tree + "/Kconfig")
        #expect(try Files.text(try await kernel.build().config) == "CONFIG_FOO=y\n")
        try kernel.write("Kconfig.defaults", "CONFIG_NEW=y\n")
        #expect(try Files.text(try await kernel.build().config) == "CONFIG_FOO=y\nCONFIG_NEW=y\n")
        #expect(try await kernel.configurations() == 2)
        try kernel.write("Kconfig.defaults", "")
        try kernel.write("mm/hmm.c", "# as before for Kconfig\n")
        #expect(try Files.text(try await kernel.build().config) == "CONFIG_FOO=y\n")
        #expect(try await kernel.configurations() == 2)
        // What drops a requested symbol is never kept.
        try kernel.write("Kconfig", "config BAR\n\tbool \"Bar\"\n")
        for _ in 0..<2 { #expect(try await error().code == "config-dropped") }
        try kernel.write("Kconfig", kconfig)
        try kernel.write("mm/hmm.c", "# once more\n")
        #expect(try Files.text(try await kernel.build().config) == "CONFIG_FOO=y\n")
        #expect(try await kernel.configurations() == 4)
    }

    @Test func otherToolsConfigureAgain() async throws {
        try await kernel.build()
        try await kernel.build(["KCFLAGS": "-DX"])
        #expect(try await kernel.configurations() == 2)
    }

    @Test(arguments: [
        ("mm/Kconfig", true), ("arch/x86/Kconfig.cpu", true), ("kernel/configs/tiny.config", true),
        ("arch/x86/configs/tiny.config", true), ("scripts/Makefile.compiler", true), ("Makefile", true),
        ("arch/x86/Makefile", true), ("mm/Makefile", false), ("arch/x86/mm/Makefile", false),
        ("mm/hmm.c", false), ("fs/configfs/file.c", false), ("configs.c", false),
    ])
    func someFilesDecideTheConfiguration(_ path: String, _ expected: Bool) {
        #expect(ObjectTree.isReadByKconfig(path) == expected)
    }

    @Test func aMakeThatWasKilledIsNoVerdictAndItsObjectsAreMadeAgain() async throws {
        try kernel.write("mm/hmm.c", "kill -KILL $PPID\n")
        let error = try await error()
        #expect(error.code == "host-exhausted" && error.exitCode == .unavailable)
        #expect(error.cause == "make was ended by signal 9")
        try kernel.write("mm/hmm.c", ":\n")
        #expect(try Files.text(try await kernel.build().vmlinux) == "whole\n")
    }

    /// The shell of a rule died, and make with several jobs says so: the others' files may be half written.
    @Test func aRuleThatWasKilledIsNoVerdictEither() async throws {
        try kernel.write("mm/hmm.c", "kill -KILL $$\n")
        #expect(try await error().code == "host-exhausted")
        try kernel.write("mm/hmm.c", ":\n")
        #expect(try Files.text(try await kernel.build().vmlinux) == "whole\n")
    }

    @Test func aKernelThatDoesNotBuildKeepsItsObjects() async throws {
        try kernel.write("mm/hmm.c", "echo 'mm/hmm.c:1:2: error: bad' >&2; echo kept >\"$o/mm/other.o\"; exit 1\n")
        let error = try await error()
        #expect(error.code == "kernel-build-failed" && error.exitCode == .buildFailed)
        #expect(error.cause?.contains("mm/hmm.c:1:2: error: bad") == true)
        let objects = try await kernel.objectFolder()
        try await kernel.forgetObject()
        try kernel.write("mm/hmm.c", ":\n")
        try await kernel.build()
        #expect(try Files.text(objects + "/mm/other.o") == "kept\n")
    }

    // MARK: - Places

    @Test func thePersonsOwnObjectFolderIsLeftAlone() async throws {
        let output = kernel.folder + "/out"
        try Files.write("CONFIG_MINE=y\n", to: output + "/.config")
        try await kernel.build(["KBUILD_OUTPUT": output])
        #expect(try Files.text(output + "/.config") == "CONFIG_MINE=y\n")
        let names = try FileManager.default.contentsOfDirectory(atPath: output).filter { $0 != ".config" }
        #expect(names.count == 1)
        #expect(names.first?.hasPrefix("hmmlab-dir-") == true && names.first?.contains("-test-") == true)
    }

    @Test func objectFoldersDifferByWorktreeAndConfiguration() throws {
        let builder = kernel.builder(["KBUILD_OUTPUT": "out"])
        let (one, two) = (try FakeKernel.config(), try FakeKernel.config("CONFIG_BAR=y\n"))
        let folders = [
            builder.objectFolder(source: "/a/src", workspace: "w", one),
            builder.objectFolder(source: "/b/src", workspace: "w", one),
            builder.objectFolder(source: "/a/src", workspace: "w", two),
        ]
        #expect(Set(folders).count == 3)
        let start = FileManager.default.currentDirectoryPath + "/out/hmmlab-w-test-"
        #expect(folders.allSatisfy { $0.hasPrefix(start) })
        #expect(kernel.builder().objectFolder(source: "/a/src", workspace: "w", one).hasPrefix("/a/obj-test-"))
    }

    @Test func anObjectFolderThatMakeCannotWorkInIsRefused() async throws {
        let error = #expect(throws: LabError.self) {
            try kernel.builder(["KBUILD_OUTPUT": "/my objects"]).checkPaths()
        }
        #expect(error?.code == "path-unbuildable" && error?.nextStep?.contains("KBUILD_OUTPUT") == true)
        try kernel.builder(["KBUILD_OUTPUT": "/objects"]).checkPaths()
    }

    // MARK: - Damage

    @Test(arguments: ["System.map", "vmlinux", "gen_init_cpio", "decode_stacktrace.sh", "modules", "manifest.json"])
    func aDamagedArtifactIsReplaced(_ name: String) async throws {
        let first = try await kernel.build()
        let path = "\(first.folder)/\(name)"
        try FileManager.default.removeItem(atPath: path)
        if name != "modules" { try Files.write("", to: path) }
        #expect(KernelArtifact.load(from: first.folder) == nil)
        #expect(try await kernel.build().signature == first.signature)
        #expect(KernelArtifact.load(from: first.folder) != nil)
    }

    @Test func aDamagedSelftestIsReplaced() async throws {
        let builder = KselftestBuilder(kernel.builder())
        let input = try await kernel.input()
        let program = try await builder.build(input, config: FakeKernel.config())
        #expect(Files.hasContent(program.path) && program.cases.isEmpty)
        try Files.write("", to: program.path)
        #expect(try await builder.build(input, config: FakeKernel.config()) == program)
        #expect(Files.hasContent(program.path))
    }
}

@Suite struct MakeEnvironmentTests {
    @Test func whatRustTheMachineHasMakesNoOtherKernel() async throws {
        let toolchain = try await Toolchain.detect(environment: [:], runner: ProcessRunner())
        let variables = toolchain.variables.map { "\($0.name)=\($0.value)" }
        #expect(variables.contains("RUSTC=false") && variables.contains("BINDGEN=false"))
        #expect(toolchain.identity["rustc"] == "none")
    }

    @Test func whatTheSignatureDoesNotKnowStaysOutside() {
        let outside = [
            "KCPPFLAGS", "KAFLAGS", "KRUSTFLAGS", "KCONFIG_CONFIG", "KCONFIG_ALLCONFIG", "LLVM_IAS", "HOSTCFLAGS",
            "HOSTLDFLAGS", "INSTALL_MOD_STRIP", "GNUMAKEFLAGS", "MAKEFLAGS", "MAKEFILES", "SUBARCH", "LOCALVERSION",
            "KBUILD_EXTRA_SYMBOLS", "KBUILD_OUTPUT", "KBUILD_EXTMOD", "USERCFLAGS",
        ]
        let cleared = MakeEnvironment.cleared(of: outside + ["PATH", "HOME", "HOSTNAME", "CCACHE_DIR", "TMPDIR"])
        #expect(Set(cleared.keys) == Set(outside))
        #expect(cleared.values.allSatisfy { $0 == nil })
    }

    @Test func theSizeOfAPersonsCcacheIsTheirs() {
        #expect(MakeEnvironment.ccache(["CCACHE_DIR": "/theirs"], folder: "/ours").isEmpty)
        #expect(
            MakeEnvironment.ccache(["CCACHE_DIR": ""], folder: "/ours")
                == ["CCACHE_DIR": "/ours", "CCACHE_MAXSIZE": "10G"])
        #expect(MakeEnvironment.ccache(["CCACHE_MAXSIZE": "1G"], folder: "/ours")["CCACHE_MAXSIZE"] == "1G")
    }
}
