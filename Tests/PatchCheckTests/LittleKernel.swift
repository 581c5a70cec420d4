// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner
import Testing

@testable import PatchCheck

/// A source tree with a real Makefile that gcc compiles in a moment, and a cache for it.
///
/// `mm/private.o` is made with CONFIG_DEVICE_PRIVATE=y only. checkpatch and kernel-doc are stand-ins that find the words
/// BADSTYLE and UNDOCUMENTED, and write down that they ran.
final class LittleKernel: Sendable {
    let folder = NSTemporaryDirectory() + "hmmlab-patchcheck-\(UUID().uuidString)"
    let runner = ProcessRunner()
    var tree: String { folder + "/linux" }
    var cache: Cache { Cache(root: folder + "/cache") }
    var sources: KernelSources { KernelSources(cache: cache, runner: runner, environment: [:]) }

    private static let makefile = """
        VERSION = 6
        PATCHLEVEL = 12
        SUBLEVEL = 0
        EXTRAVERSION =

        ifndef inside
        .PHONY: all $(MAKECMDGOALS)
        $(firstword $(MAKECMDGOALS)):
        \t@mkdir -p $(O)/mm
        \t@$(MAKE) --no-print-directory -C $(O) -f $(CURDIR)/Makefile inside=1 src=$(CURDIR) $(MAKECMDGOALS)
        $(wordlist 2,99,$(MAKECMDGOALS)): $(firstword $(MAKECMDGOALS)) ;
        else
        objects := mm/a.o mm/b.o mm/new.o
        objects += $(if $(filter CONFIG_DEVICE_PRIVATE=y,$(shell cat .config 2>/dev/null)),mm/private.o)
        .PHONY: tinyconfig olddefconfig FORCE
        tinyconfig:
        \t@: >.config
        olddefconfig:
        \t@sed -i /GONE/d .config
        $(objects): mm/%.o: $(src)/mm/%.c $(wildcard $(src)/include/linux/*.h) $(if $(C),FORCE)
        \t@$(if $(C),echo '  CHECK   $<'; grep -n SPARSE $< | sed 's|:.*||;s|^|$<:|;s|$$|:1: warning: sparse|',echo '  CC      $@')
        \t@$(if $(C),,$(CC) -Wall -I$(src)/include -c $< -o $@)
        endif

        """

    private static let checkpatch = """
        use File::Basename;
        my $mail = $ARGV[-1];
        open my $log, '>>', dirname(dirname($0)) . '/../../../../ran.log'; print $log "checkpatch\\n"; close $log;
        open my $file, '<', $mail; my $line = 0; my $bad = 0;
        while (<$file>) {
            $line++;
            if (/BADSTYLE/) { print "mm/a.c:$line: ERROR:BAD_STYLE: bad style\\n"; $bad = 1; }
            if (/ODDSTYLE/) { print ":$line: WARNING:ODD_STYLE: odd style\\n"; $bad = 1; }
        }
        print ":9: ERROR:MISSING_SIGN_OFF: Missing Signed-off-by\\n";
        exit 1;

        """

    init() throws {
        for (name, text) in [
            ("Makefile", Self.makefile), ("scripts/checkpatch.pl", Self.checkpatch),
            ("scripts/kconfig/merge_config.sh", "#!/bin/sh\ncat \"$5\" >>\"$4\"\n"),
            (
                "scripts/kernel-doc",
                "#!/bin/sh\nshift\ngrep -n UNDOCUMENTED \"$@\" /dev/null | sed 's/:.*//;s/$/:1: warning: undocumented/' >&2\n"
            ),
            ("include/linux/x.h", "int x(int);\n"), ("mm/a.c", "#include <linux/x.h>\nint a(void) { return x(1); }\n"),
            ("mm/b.c", "#include <linux/x.h>\nint b(void) { int old; return x(2); }\n"),
            ("mm/private.c", "int private(void) { return 1; }\n"), ("Kconfig", "config FOO\n\tbool \"Foo\"\n"),
        ] { try write(name, text) }
        for name in ["scripts/kconfig/merge_config.sh", "scripts/kernel-doc"] {
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(tree)/\(name)")
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func write(_ name: String, _ text: String) throws { try Files.write(text, to: "\(tree)/\(name)") }

    func text(_ name: String) throws -> String { try Files.text("\(tree)/\(name)") }

    func base() async throws -> Base { try await sources.resolve(.directory(tree)) }

    static var configurations: [CheckConfiguration] {
        get throws {
            [true, false].map { isPrivate in
                let lines = [ConfigLine("CONFIG_DEVICE_PRIVATE", isPrivate ? "y" : nil)]
                return CheckConfiguration(
                    name: "PRIVATE=\(isPrivate ? "y" : "n")",
                    request: ConfigRequest(flavour: "check", fragments: [Fragment(name: "test", lines: lines)]))
            }
        }
    }

    /// A series that changes whole files: for each patch its subject, and files with their text before and after.
    func series(_ patches: [(String, [(String, String?, String)])], signer: String = "dev@example.org") async throws
        -> PatchSeries
    {
        let place = "\(folder)/mails-\(UUID().uuidString)"
        for (number, (subject, files)) in patches.enumerated() {
            var text = """
                From: A Developer <dev@example.org>
                Date: Sun, 22 Nov 2026 08:00:00 +0000
                Subject: [PATCH \(number + 1)/\(patches.count)] \(subject)

                Because.

                Signed-off-by: A Developer <\(signer)>
                ---

                """
            for (file, old, new) in files { text += Self.diff(file, old, new) }
            try Files.write(text, to: "\(place)/\(number + 1).patch")
        }
        return try await SeriesReader(runner: runner, cache: cache).read(place)
    }

    static func diff(_ file: String, _ old: String?, _ new: String) -> String {
        func lines(_ text: String) -> [Substring] { text.split(separator: "\n") }
        let before = lines(old ?? "")
        let after = lines(new)
        let head = old == nil ? "new file mode 100644\n--- /dev/null\n" : "--- a/\(file)\n"
        return "diff --git a/\(file) b/\(file)\n\(head)+++ b/\(file)\n"
            + "@@ -\(old == nil ? "0,0" : "1,\(before.count)") +1,\(after.count) @@\n"
            + before.map { "-\($0)\n" }.joined() + after.map { "+\($0)\n" }.joined()
    }

    /// Checks a series; everything but coccicheck unless said otherwise.
    func check(
        _ series: PatchSeries, _ checks: Set<CheckName> = [.applies, .checkpatch, .message, .build, .kernelDoc],
        probes: [[String]] = [], isBackport: Bool = false, configurations: [CheckConfiguration]? = nil
    ) async throws -> CheckReport {
        let builder = KernelBuilder(cache: cache, runner: runner, sources: sources, environment: [:])
        let checker = SeriesChecker(sources: sources, builder: builder, runner: runner, cache: cache)
        let patches = series.patches.enumerated().map { index, patch in
            CheckedPatch(
                id: patch.origin, patch: patch,
                probes: index < probes.count ? probes[index].map { .init(file: "mm/a.c", text: $0) } : nil,
                isBackport: isBackport)
        }
        return CheckReport(
            try await checker.check(
                patches, of: series, on: try await base(),
                CheckOptions(checks: checks, configurations: configurations ?? Self.configurations)))
    }

    /// How often checkpatch ran.
    var checkpatchRuns: Int {
        ((try? Files.text(folder + "/ran.log")) ?? "").split(separator: "\n").count
    }
}

extension CheckReport {
    /// What a check says about a patch, numbered from 1.
    func result(_ patch: Int, _ check: CheckName) throws -> CheckResult {
        try #require(patches[patch - 1].checks.first { $0.check == check })
    }

    func words(_ check: CheckName) -> [String] {
        patches.compactMap { $0.checks.first { $0.check == check }?.word }
    }
}
