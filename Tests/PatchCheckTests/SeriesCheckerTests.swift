// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import PatchSeries
import ProcessRunner
import Testing

@testable import PatchCheck

@Suite("Checking a series")
struct SeriesCheckerTests {
    let kernel: LittleKernel
    private let a = "#include <linux/x.h>\nint a(void) { return x(1); }\n"
    private let b = "#include <linux/x.h>\nint b(void) { int old; return x(2); }\n"

    init() throws { kernel = try LittleKernel() }

    @Test("A good patch passes, and is not looked at again")
    func cached() async throws {
        let series = try await kernel.series([
            ("mm/a: return more", [("mm/a.c", a, a + "int a2(void) { return 2; }\n")])
        ])
        let first = try await kernel.check(series)
        #expect(first.hasPassed && first.summary.ok == 5 && first.summary.cached == 0, "\(first.text)")
        let runs = kernel.checkpatchRuns
        #expect(runs == 1)
        let second = try await kernel.check(series)
        #expect(second.summary.cached == 4 && second.words(.build) == ["cached"], "\(second.text)")
        #expect(kernel.checkpatchRuns == runs)
    }

    @Test("A patch that breaks the build fails although the next one mends it")
    func bisectability() async throws {
        let broken = "#include <linux/x.h>\nint a(void) { return y(1); }\nint z = undeclared;\n"
        let series = try await kernel.series([
            ("mm/a: break it", [("mm/a.c", a, broken)]), ("mm/a: mend it", [("mm/a.c", broken, a)]),
        ])
        let report = try await kernel.check(series)
        #expect(report.words(.build) == ["FAIL", "ok"], "\(report.text)")
        let findings = try report.result(1, .build).findings
        #expect(findings.contains { $0.text.hasPrefix("mm/a.c:3:") && $0.text.contains("undeclared") }, "\(findings)")
        #expect(findings.allSatisfy { $0.configuration == "PRIVATE=y, PRIVATE=n" })
        #expect(!report.hasPassed)
    }

    @Test("A patch between the one that breaks and the one that mends fails, too, and names the culprit")
    func brokenSince() async throws {
        let broken = a + "int z = undeclared;\n"
        let series = try await kernel.series([
            ("mm/a: break it", [("mm/a.c", a, broken)]), ("mm/b: do more", [("mm/b.c", b, b + "int b2;\n")]),
            ("mm/a: mend it", [("mm/a.c", broken, a)]),
        ])
        let report = try await kernel.check(series)
        #expect(report.words(.build) == ["FAIL", "FAIL", "ok"], "\(report.text)")
        #expect(try report.result(2, .build).findings.map(\.text) == ["mm/a.o does not compile since patch 1, 1.patch"])
    }

    @Test("A new warning fails; one that only moved does not")
    func warnings() async throws {
        let moved = b.replacing("int b", with: "int other;\nint b")
        let warning = moved + "static int unused(void) { return 3; }\n"
        let series = try await kernel.series([
            ("mm/b: move it", [("mm/b.c", b, moved)]), ("mm/b: leave something behind", [("mm/b.c", moved, warning)]),
        ])
        let report = try await kernel.check(series)
        #expect(report.words(.build) == ["ok", "FAIL"], "\(report.text)")
        #expect(
            try report.result(2, .build).findings.map(\.text).allSatisfy {
                $0.contains("unused") && $0.contains("mm/b.c:4")
            })
        // A patch that changes nothing in that object is not blamed for it when make does not compile it again.
        let third = try await kernel.series([
            ("mm/b: move it", [("mm/b.c", b, moved)]), ("mm/b: leave something behind", [("mm/b.c", moved, warning)]),
            ("mm/a: add something", [("mm/a.c", a, a + "int a3;\n")]),
        ])
        #expect(try await kernel.check(third).words(.build) == ["cached", "FAIL", "ok"])
    }

    @Test("A header is compiled by those who include it")
    func header() async throws {
        let series = try await kernel.series([
            ("mm: take two", [("include/linux/x.h", "int x(int);\n", "int x(int, int);\n")])
        ])
        let report = try await kernel.check(series)
        #expect(report.words(.build) == ["FAIL"])
        let files = Set(try report.result(1, .build).findings.map { $0.text.prefix(6) })
        #expect(files == ["mm/a.c", "mm/b.c"])
    }

    @Test("An object that a configuration lacks is left out, and that is said")
    func absent() async throws {
        let old = "int private(void) { return 1; }\n"
        let series = try await kernel.series([("mm: do more", [("mm/private.c", old, old + "int p;\n")])])
        let result = try await kernel.check(series).result(1, .build)
        #expect(result.status == .ok && result.notes == ["PRIVATE=n has no mm/private.o"])
    }

    @Test("A new file is compiled, and all of its warnings are new")
    func newFile() async throws {
        let text = "int new(void) { int unused; return 0; }\n"
        let report = try await kernel.check(try await kernel.series([("mm: add a file", [("mm/new.c", nil, text)])]))
        #expect(try report.result(1, .build).findings.count == 1 && report.words(.build) == ["FAIL"], "\(report.text)")
    }

    @Test("A configuration that cannot be had is said, not failed")
    func dropped() async throws {
        let series = try await kernel.series([("mm/a: do more", [("mm/a.c", a, a + "int a4;\n")])])
        let gone = CheckConfiguration(
            name: "GONE=y",
            request: ConfigRequest(
                flavour: "gone", fragments: [Fragment(name: "t", lines: [ConfigLine("CONFIG_GONE", "y")])]))
        let report = try await kernel.check(series, [.build], configurations: [gone])
        #expect(report.words(.build) == ["not checked"])
        #expect(try report.result(1, .build).notChecked?.contains("CONFIG_GONE") == true)
        #expect(try await kernel.check(series, [.build], configurations: [gone]).summary.cached == 1)
    }

    @Test("Only a changed patch, and those behind it, are checked again")
    func changed() async throws {
        func series(_ number: Int) async throws -> PatchSeries {
            try await kernel.series([
                ("mm/a: do more", [("mm/a.c", a, a + "int a5;\n")]),
                ("mm/b: do more", [("mm/b.c", b, b + "int b\(number);\n")]),
            ])
        }
        _ = try await kernel.check(try await series(5))
        let again = try await kernel.check(try await series(6))
        #expect(
            again.words(.build) == ["cached", "ok"] && again.words(.checkpatch) == ["cached", "ok"], "\(again.text)")
        #expect(again.words(.applies) == ["cached", "ok"])
        #expect(kernel.checkpatchRuns == 3)
    }

    @Test("checkpatch's errors fail, its warnings do not, and what the message check judges is not said twice")
    func checkpatch() async throws {
        let series = try await kernel.series([
            ("mm/a: be bad", [("mm/a.c", a, a + "/* BADSTYLE */\n")]),
            ("mm/b: be odd", [("mm/b.c", b, b + "/* ODDSTYLE */\n")]),
        ])
        let report = try await kernel.check(series, [.checkpatch, .message])
        #expect(report.words(.checkpatch) == ["FAIL", "warn"])
        #expect(try report.result(1, .checkpatch).findings.map(\.type) == ["BAD_STYLE"])
        #expect(try report.result(2, .checkpatch).findings.first?.text.hasPrefix("message: warning: ") == true)
        let alone = try await kernel.check(series, [.checkpatch])
        #expect(try alone.result(2, .checkpatch).findings.map(\.type) == ["ODD_STYLE", "MISSING_SIGN_OFF"])
    }

    @Test("kernel-doc and sparse: new findings only")
    func otherCheckers() async throws {
        try kernel.write("mm/a.c", a + "/* UNDOCUMENTED SPARSE */\n")
        let old = try kernel.text("mm/a.c")
        let series = try await kernel.series([
            ("mm/a: do more", [("mm/a.c", old, old + "int a6;\n")]),
            ("mm/a: do too much", [("mm/a.c", old + "int a6;\n", old + "int a6;\n/* UNDOCUMENTED SPARSE */\n")]),
        ])
        let report = try await kernel.check(series, [.build, .sparse, .kernelDoc])
        #expect(report.words(.kernelDoc) == ["ok", "warn"], "\(report.text)")
        if ProcessRunner.find("sparse") != nil {
            #expect(report.words(.sparse) == ["ok", "warn"], "\(report.text)")
        } else {
            #expect(try report.result(1, .sparse).notChecked == "sparse is not installed")
        }
    }

    @Test("What does not apply is said with its hunk, and what stands behind it is not checked")
    func rejected() async throws {
        let series = try await kernel.series([
            ("mm/a: do more", [("mm/a.c", a, a + "int a7;\n")]), ("mm/a: fit nowhere", [("mm/a.c", "x\ny\n", "z\n")]),
            ("mm/b: do more", [("mm/b.c", b, b + "int b7;\n")]),
        ])
        let report = try await kernel.check(series)
        #expect(report.words(.applies) == ["ok", "FAIL", "not checked"])
        #expect(report.words(.build) == ["ok", "not checked", "not checked"])
        #expect(report.words(.message) == ["ok", "ok", "ok"])
    }

    @Test("A probe must be missing before the patch, and should be there after it")
    func probes() async throws {
        let one = a + "int once;\n"
        let series = try await kernel.series([
            ("mm/a: do more", [("mm/a.c", a, one)]), ("mm/a: do still more", [("mm/a.c", one, one + "int twice;\n")]),
            ("mm/b: do more", [("mm/b.c", b, b + "int b8;\n")]),
        ])
        let report = try await kernel.check(series, [.probe], probes: [["int once"], ["int a(void)"], ["nowhere"]])
        #expect(report.words(.probe) == ["ok", "FAIL", "warn"])
        let backport = try await kernel.check(
            series, [.probe], probes: [["int once"], ["int a(void)"], ["nowhere"]], isBackport: true)
        #expect(backport.words(.probe) == ["ok", "FAIL", "ok"])
    }
}
