// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import Testing

@testable import Pipeline

@Suite("Matrices")
struct TestMatrixTests {
    static let text = """
        [[axis]]
        name = "base"
        values = [{ name = "6.12", base = "debian:6.12" }, { name = "7.2", base = "debian:7.2", suites = ["mirror"] }]

        [[axis]]
        name = "thp"
        [[axis.values]]
        name = "always"
        append = "transparent_hugepage=always quiet"
        cpus = 4
        [[axis.values]]
        name = "never"
        append = "transparent_hugepage=never"
        set = ["KSM=n"]
        prepare = ["true"]

        [[skip]]
        cells = { base = "7.2", thp = "never" }
        reason = "nobody asks"
        """

    static let selection = TestSelection(
        kernel: KernelSelection(base: "debian:6.1", settings: ["CONFIG_X=y"]),
        guest: GuestSelection(cpus: 2, append: ["a=b"], driver: .hmmDmirror), suites: ["migrate"], keepGoing: false)

    @Test func everyCombinationIsACell() throws {
        let cells = try TestMatrix(text: Self.text, path: "m").cells(of: Self.selection)
        #expect(cells.map(\.name) == ["6.12, always", "6.12, never", "7.2, always", "7.2, never"])
        #expect(cells.map(\.skip) == [nil, nil, nil, "nobody asks"])
        #expect(cells.map(\.selection.kernel.base) == ["debian:6.12", "debian:6.12", "debian:7.2", "debian:7.2"])
        #expect(cells.map(\.selection.guest.cpus) == [4, 2, 4, 2])
        #expect(cells[0].selection.guest.append == ["a=b", "transparent_hugepage=always", "quiet"])
        #expect(cells[1].selection.kernel.settings == ["CONFIG_X=y", "KSM=n"])
        #expect(cells[1].selection.guest.preparations == ["true"] && cells[0].selection.guest.preparations == [])
        #expect(cells.map(\.selection.suites) == [["migrate"], ["migrate"], ["mirror"], ["mirror"]])
    }

    @Test func aCellSaysHowItIsRunByItself() throws {
        let cells = try TestMatrix(text: Self.text, path: "m").cells(of: Self.selection)
        #expect(
            cells[1].selection.arguments == [
                "test", "--base", "debian:6.12", "--flavour", "fast", "--machine", "q35", "--set", "CONFIG_X=y",
                "--set",
                "KSM=n", "--cpus", "2", "--append", "a=b", "--append", "transparent_hugepage=never", "--driver",
                "hmm_dmirror", "--prepare", "true", "--suite", "migrate", "--no-keep-going",
            ])
    }

    @Test(arguments: [
        ("axis = 1", ""),
        ("[[axis]]\nname = \"a\"\nvalues = []", "has no value"),
        ("[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\", cpu = 1 }]", "cpu"),
        ("[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\", cpus = 0 }]", "0 for cpus"),
        ("[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\" }, { name = \"x\" }]", "has x twice"),
        (
            "[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\" }]\n[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\" }]",
            "two axes a"
        ),
        (
            "[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\", cpus = 1 }]\n"
                + "[[axis]]\nname = \"b\"\nvalues = [{ name = \"y\", cpus = 2 }]", "a and b both say cpus"
        ),
        (
            "[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\" }]\n[[skip]]\ncells = { b = \"x\" }\nreason = \"r\"",
            "b, which is no axis"
        ),
        (
            "[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\" }]\n[[skip]]\ncells = { a = \"y\" }\nreason = \"r\"",
            "y, which is no value"
        ),
        (
            "[[axis]]\nname = \"a\"\nvalues = [{ name = \"x\" }]\n[[skip]]\ncells = { a = \"x\" }\nreason = \"\"",
            "no reason"
        ),
    ])
    func whatIsNone(_ text: String, _ cause: String) throws {
        let error = try #require(throws: LabError.self) { try TestMatrix(text: text, path: "m.toml") }
        #expect(error.code == "matrix-bad" && error.exitCode == .usage && error.sentence.contains("m.toml"))
        #expect(error.cause?.contains(cause) == true, "\(error.cause ?? "")")
    }

    @Test func theWorstCellDecides() {
        func report(_ fates: MatrixReport.Fate...) -> ExitCode {
            let cell = TestMatrix.Cell(values: ["x"], selection: Self.selection)
            return MatrixReport(axes: ["a"], cells: fates.map { (cell, $0) }).exitCode
        }
        func ran(_ code: ExitCode) -> MatrixReport.Fate { .ran(Self.result(code), isEarlier: false) }
        let error = MatrixReport.Fate.failed(LabError("x", exit: .buildFailed, "y"))
        #expect(report() == .passed)
        #expect(report(ran(.passed), .skipped("r")) == .passed)
        #expect(report(ran(.passed), error) == .buildFailed)
        #expect(report(error, ran(.testsFailed), ran(.bootFailed)) == .testsFailed)
        #expect(report(ran(.testsFailed), .open) == .interrupted)
    }

    static func result(_ code: ExitCode) -> CellResult {
        CellResult(
            passed: 1, surprises: [:], expected: 0, sentence: "s", lines: [], exitCode: code.rawValue, seconds: 1,
            folder: "f")
    }
}
