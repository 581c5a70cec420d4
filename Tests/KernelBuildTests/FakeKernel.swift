// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

@testable import KernelBuild

/// A folder with a source tree that looks enough like a kernel's to be configured, built and installed in a moment, and
/// a cache for it.
///
/// `Kconfig` names the symbols that olddefconfig keeps, `Kconfig.defaults` the ones it adds. `mm/hmm.c` is a shell
/// script: it runs while its object is half written.
final class FakeKernel: Sendable {
    let folder = NSTemporaryDirectory() + "hmmlab-build-\(UUID().uuidString)"
    let runner = ProcessRunner()
    var tree: String { folder + "/linux" }
    var cache: Cache { Cache(root: folder + "/cache") }

    private static let makefile = """
        VERSION = 6
        PATCHLEVEL = 12
        SUBLEVEL = 0
        EXTRAVERSION =

        tinyconfig:
        \t@echo again >> $(O)/.hmmlab-configured
        \t@echo CONFIG_TINY=y > $(O)/.config
        olddefconfig:
        \t@sh scripts/settle.sh $(O)
        vmlinux:
        \t@echo '  CC      mm/hmm.o'
        \t@sh scripts/build.sh $(O)
        bzImage: vmlinux
        \t@cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
        modules:
        \t@if [ -n "$(M)" ]; then sh $(M)/Kbuild $(M) $(O); fi
        modules_install:
        \t@mkdir -p $(INSTALL_MOD_PATH)/lib/modules/6.12.0
        headers_install:
        \t@mkdir -p $(INSTALL_HDR_PATH)/include

        """

    private static let settle = """
        while read -r line; do
            name=${line%%=*}
            if grep -qx "config ${name#CONFIG_}" Kconfig; then echo "$line"; fi
        done <"$1/.config" >"$1/.config.new"
        cat Kconfig.defaults >>"$1/.config.new"
        mv "$1/.config.new" "$1/.config"

        """

    private static let build = """
        set -e
        o=$1
        mkdir -p "$o/mm" "$o/usr" "$o/arch/x86/boot" "$o/include/config"
        if [ ! -e "$o/mm/hmm.o" ]; then
            echo half >"$o/mm/hmm.o"
            . ./mm/hmm.c
            echo whole >"$o/mm/hmm.o"
        fi
        cat "$o/mm/hmm.o" >"$o/vmlinux"
        for file in System.map usr/gen_init_cpio; do echo x >"$o/$file"; done
        echo 6.12.0 >"$o/include/config/kernel.release"

        """

    init() throws {
        for (name, text) in [
            ("Makefile", Self.makefile), ("scripts/settle.sh", Self.settle), ("scripts/build.sh", Self.build),
            ("scripts/kconfig/merge_config.sh", "#!/bin/sh\ncat \"$5\" >>\"$4\"\n"),
            ("scripts/decode_stacktrace.sh", "#!/bin/sh\n"), ("mm/hmm.c", ":\n"),
            ("Kconfig", "config FOO\n\tbool \"Foo\"\nconfig BAR\n\tbool \"Bar\"\n"), ("Kconfig.defaults", ""),
            ("tools/testing/selftests/mm/hmm-tests.c", "int main(void) { return 0; }\n"),
        ] { try write(name, text) }
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: tree + "/scripts/kconfig/merge_config.sh")
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func write(_ name: String, _ text: String) throws { try Files.write(text, to: "\(tree)/\(name)") }

    private func sources() -> KernelSources { KernelSources(cache: cache, runner: runner, environment: [:]) }

    func builder(_ environment: [String: String] = [:]) -> KernelBuilder {
        KernelBuilder(cache: cache, runner: runner, sources: sources(), environment: environment)
    }

    static func config(_ text: String = "CONFIG_FOO=y\n") throws -> ConfigRequest {
        ConfigRequest(flavour: "test", fragments: [try Fragment(name: "test", text: text)])
    }

    /// The tree as it is now.
    func input() async throws -> KernelInput {
        let base = try await sources().resolve(.directory(tree))
        return KernelInput(base: base, commit: base.commit, tree: base.tree)
    }

    /// Builds the tree as it is now.
    @discardableResult
    func build(
        _ environment: [String: String] = [:], config: ConfigRequest? = nil, image: ImageNeed = .always
    ) async throws -> KernelArtifact {
        try await builder(environment).build(input(), config ?? Self.config(), image: image)
    }

    /// Where its objects lie.
    func objectFolder() async throws -> String {
        let base = try await input().base
        return builder().objectFolder(
            source: sources().worktree(for: base).path, workspace: base.workspace, try Self.config())
    }

    /// A folder with a module whose Kbuild is a shell script: it gets the module's folder and the object folder.
    func moduleSources(_ kbuild: String) throws -> String {
        try Files.write(kbuild, to: folder + "/ours/modules/Kbuild")
        try Files.write("int x;\n", to: folder + "/ours/modules/x.c")
        try Files.write("#define X 1\n", to: folder + "/ours/abi/x.h")
        return folder + "/ours"
    }

    /// Makes the next build compile again, as make does for an object whose source changed.
    func forgetObject() async throws {
        try await FileManager.default.removeItem(atPath: objectFolder() + "/mm/hmm.o")
    }

    /// How often the kernel was configured in its object folder.
    func configurations() async throws -> Int {
        try await Files.text(objectFolder() + "/.hmmlab-configured").split(separator: "\n").count
    }
}
