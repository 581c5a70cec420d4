// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelBuild

@Suite struct FragmentTests {
    @Test func readsTheKernelsOwnForm() throws {
        let fragment = try Fragment(
            name: "f", text: "# note\nCONFIG_A=y\n# CONFIG_B is not set\n\nCONFIG_C=\"a b\"\nCONFIG_D=n\n")
        #expect(
            fragment.lines == [
                .init("CONFIG_A", "y"), .init("CONFIG_B", nil), .init("CONFIG_C", "\"a b\""), .init("CONFIG_D", nil),
            ])
    }

    @Test(arguments: ["CONFIG_A", "A=y", "CONFIG_A=", "CONFIG_=y", "CONFIG_a-b=y", "hello"])
    func aBadLineIsNamed(_ line: String) throws {
        let error = #expect(throws: LabError.self) { try Fragment(name: "my.config", text: "CONFIG_X=y\n\(line)\n") }
        #expect(error?.sentence == "my.config line 2 is not a Kconfig line")
        #expect(error?.exitCode == .usage)
    }

    @Test func theLastWordWins() throws {
        let first = try Fragment(name: "a", text: "CONFIG_A=y\nCONFIG_B=m\n")
        let merged = Fragment.merged([first, try Fragment(settings: ["A=n", "CONFIG_C=3"])])
        #expect(merged.map(\.line.text) == ["# CONFIG_A is not set", "CONFIG_B=m", "CONFIG_C=3"])
        #expect(merged.map(\.from) == ["--set", "a", "--set"])
    }

    @Test func aDroppedSymbolIsFound() throws {
        let config = try FinalConfig(text: "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_M=y\n")
        let requests = try Fragment(
            name: "f", text: "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=m\n# CONFIG_D is not set\nCONFIG_M=m\n")
        #expect(
            config.dropped(from: Fragment.merged([requests])).map(\.line.symbol) == [
                "CONFIG_B", "CONFIG_C", "CONFIG_M",
            ])
    }
}

@Suite struct KconfigTreeTests {
    let folder = NSTemporaryDirectory() + "hmmlab-kconfig-\(UUID().uuidString)"

    private func tree(_ files: [String: String]) throws -> KconfigTree {
        for (name, text) in files { try Files.write(text, to: "\(folder)/\(name)") }
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return KconfigTree(root: folder, architecture: "x86")
    }

    @Test func namesTheUnmetDependencyThroughMenusAndIfs() throws {
        let tree = try tree([
            "Kconfig": "source \"mm/Kconfig\"\nsource \"arch/$(SRCARCH)/Kconfig\"\n",
            "arch/x86/Kconfig": "config MMU\n\tdef_bool y\n",
            "mm/Kconfig": """
            menu "Memory"
            \tdepends on MMU
            if EXPERT
            config FEATURE
            \ttristate "A feature"
            \tdepends on (ZONE && !TINY) || \\
            \t\tOTHER
            \thelp
            \t  depends on NOTHING at all
            config AFTER
            \tbool "After"
            endif
            endmenu
            """,
        ])
        let request = ConfigLine("CONFIG_FEATURE", "y")
        #expect(
            tree.explanation(
                for: request, values: ["CONFIG_MMU": "y", "CONFIG_EXPERT": "y", "CONFIG_TINY": "y", "CONFIG_ZONE": "y"])
                == "unmet dependency: (ZONE && !TINY) || OTHER (TINY=y, OTHER=n)")
        #expect(
            tree.explanation(for: request, values: ["CONFIG_MMU": "y", "CONFIG_OTHER": "y"])
                == "unmet dependency: EXPERT (EXPERT=n)")
        #expect(tree.definitions["AFTER"]?.first?.dependencies == ["MMU", "EXPERT"])
    }

    @Test func saysWhenASymbolIsUnknownOrHasNoPrompt() throws {
        let tree = try tree(["Kconfig": "config HIDDEN\n\tbool\nconfig USER\n\tbool \"User\"\n\tselect HIDDEN if X\n"])
        #expect(tree.explanation(for: ConfigLine("CONFIG_NOWHERE", "y"), values: [:]) == "this base has no such symbol")
        #expect(
            tree.explanation(for: ConfigLine("CONFIG_HIDDEN", "y"), values: [:])
                == "it has no prompt: enable one of USER")
        #expect(
            tree.explanation(for: ConfigLine("CONFIG_HIDDEN", nil), values: ["CONFIG_HIDDEN": "y", "CONFIG_USER": "y"])
                == "selected by USER")
    }

    @Test(arguments: [
        ("A && B", "n"), ("A || B", "y"), ("!A", "n"), ("!B", "y"), ("M && A", "m"), ("!M", "m"), ("A = y", "y"),
        ("N >= 4", "y"), ("N < 4", "n"), ("S = \"x\"", "y"), ("(A && (B || M))", "m"), ("A != n", "y"),
    ])
    func evaluatesAsKconfigDoes(_ text: String, _ expected: String) throws {
        let values = ["CONFIG_A": "y", "CONFIG_M": "m", "CONFIG_N": "4", "CONFIG_S": "x"]
        let names: [KconfigExpression.Value: String] = [.no: "n", .module: "m", .yes: "y"]
        #expect(names[try #require(KconfigExpression(text)).value(values)] == expected)
    }

    @Test(arguments: ["", "A &&", "$(cc-option,-x)", "(A", "A B"])
    func unknownFormsAreLeftAlone(_ text: String) { #expect(KconfigExpression(text) == nil) }
}

@Suite struct BuildFailureTests {
    @Test func theCompilersOwnLinesAreKept() {
        let log = """
              CC      mm/hmm.o
            /src/mm/hmm.c: In function 'hmm_range_fault':
            /src/mm/hmm.c:612:9: error: 'foo' undeclared (first use in this function)
              612 |         foo = 1;
                  |         ^~~
            /src/mm/hmm.c:612:9: note: each undeclared identifier is reported only once
            make[3]: *** [/src/scripts/Makefile.build:229: mm/hmm.o] Error 1
              CC      mm/gup.o
            """
        let failure = BuildFailure(log: log.split(separator: "\n"), source: "/src")
        #expect(failure.files == ["mm/hmm.c"])
        #expect(failure.lines.count == 4)
        #expect(failure.lines[1] == "  612 |         foo = 1;")
    }

    @Test(arguments: ["/work/src/mm/hmm.c", "../src/mm/hmm.c", "./mm/hmm.c", "mm/hmm.c"])
    func filesAreNamedAsTheTreeDoes(_ name: String) {
        let failure = BuildFailure(log: ["\(name):1:2: error: x"], source: "/work/src")
        #expect(failure.files == ["mm/hmm.c"])
    }

    @Test func linkErrorsAndModpostAreErrorsToo() {
        let log =
            "  LD vmlinux\nld: mm/x.o: in function `a':\nx.c:(.text+0x1): undefined reference to `b'\nERROR: modpost: \"c\" [d.ko] undefined!"
        #expect(BuildFailure(log: log.split(separator: "\n"), source: "/src").lines.count == 3)
    }

    @Test(arguments: [
        "mm/hmm.c:1:1: fatal error: error writing to /tmp/cc1.s: No space left on device",
        "/usr/bin/ld: final link failed: No space left on device",
        "gcc: fatal error: Killed signal terminated program cc1",
        "clang: error: unable to execute command: Killed",
    ])
    func aHostThatGaveOutIsNotTheKernelsFault(_ line: String) {
        #expect(BuildFailure(log: ["  CC mm/hmm.o", Substring(line)], source: "/src").hostProblem == line)
        #expect(BuildFailure(log: ["mm/hmm.c:1:1: error: no space left here"], source: "/src").hostProblem == nil)
    }

    @Test(arguments: [
        ("make[3]: *** [scripts/Makefile.build:229: mm/hmm.o] Killed", true),
        ("make[2]: *** [/src/Makefile:1936: .] Error 137", true),
        ("make[2]: *** [/src/Makefile:1936: .] Error 2", false),
        ("gcc: fatal error: Killed signal terminated program cc1", false),
    ])
    func aRuleThatWasKilledLeavesHalfWrittenFiles(_ line: String, _ expected: Bool) {
        let failure = BuildFailure(log: [Substring(line)], source: "/src")
        #expect(failure.wasKilled == expected)
        #expect(!expected || failure.hostProblem == line)
    }

    @Test func withoutADiagnosticMakesLastWordsAreKept() {
        let failure = BuildFailure(log: ["  CC a.o", "make: *** [x] Killed"], source: "/src")
        #expect(failure.lines == ["make: *** [x] Killed"])
    }
}

@Suite struct KselftestListingTests {
    @Test(arguments: ["mm", "vm"])
    func theFolderIsFoundUnderBothItsNames(_ name: String) throws {
        let place = NSTemporaryDirectory() + "hmmlab-selftests-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: place) }
        try Files.write("", to: "\(place)/mm/other.c")
        #expect(throws: LabError.self) { try KselftestBuilder.folder(in: place) }
        try Files.write("", to: "\(place)/\(name)/hmm-tests.c")
        #expect(try KselftestBuilder.folder(in: place) == "\(place)/\(name)")
    }

    @Test func everyVariantRunsEveryTest() {
        let source = """
            FIXTURE(hmm)
            FIXTURE_VARIANT(hmm)
            FIXTURE_VARIANT_ADD(hmm, hmm_device_private)
            FIXTURE_VARIANT_ADD(hmm, hmm_device_coherent)
            FIXTURE_SETUP(hmm)
            TEST_F(hmm, open_close)
             * TEST_F(hmm, in_a_comment)
            TEST_F(hmm2, snapshot)
            TEST_F_TIMEOUT(hmm, benchmark, 120)
            FIXTURE_VARIANT_ADD(hmm2,
                    hmm2_device_private)
            TEST_F(plain, works)
            TEST(alone)
            TEST_HARNESS_MAIN
            """
        #expect(
            KselftestBuilder.cases(inSource: source) == [
                "global.alone", "hmm.hmm_device_private.open_close", "hmm.hmm_device_private.benchmark",
                "hmm.hmm_device_coherent.open_close", "hmm.hmm_device_coherent.benchmark",
                "hmm2.hmm2_device_private.snapshot", "plain.works",
            ])
    }

    @Test func sourcesBesideTheirHeadersAreFound() throws {
        let folder = NSTemporaryDirectory() + "hmmlab-sources-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Files.write(
            "#include \"vm_util.h\"\n#include \"../kselftest.h\"\n#include <stdio.h>\n", to: folder + "/hmm-tests.c")
        try Files.write("#include \"other.h\"\n#include \"hmm-tests.h\"\n", to: folder + "/vm_util.c")
        try Files.write("", to: folder + "/other.c")
        #expect(try KselftestBuilder.sources(of: "hmm-tests.c", in: folder) == ["hmm-tests.c", "vm_util.c", "other.c"])
    }
}
