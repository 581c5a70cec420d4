// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import TestResults

/// What became of a cell that was run.
public struct CellResult: Sendable, Equatable, Codable {
    /// Tests that passed.
    public var passed: Int
    /// Tests that did not, and are not known to, by verdict.
    public var surprises: [Verdict: Int]
    /// Tests that did not pass, as is known.
    public var expected: Int
    /// The run in one sentence.
    public var sentence: String
    /// A line for each surprise.
    public var lines: [String]
    /// hmmlab's exit status for the run.
    public var exitCode: Int32
    /// How long the tests took.
    public var seconds: Double
    /// Everything about the run.
    public var folder: String

    /// Makes a result from its parts.
    init(
        passed: Int, surprises: [Verdict: Int], expected: Int, sentence: String, lines: [String], exitCode: Int32,
        seconds: Double, folder: String
    ) {
        (self.passed, self.surprises, self.expected) = (passed, surprises, expected)
        (self.sentence, self.lines) = (sentence, lines)
        (self.exitCode, self.seconds, self.folder) = (exitCode, seconds, folder)
    }

    init(_ report: TestReport) {
        let record = report.record
        passed = record.tests.count { $0.verdict == .pass }
        let wrong = record.tests.filter { $0.outcome == .unexpected }
        surprises = Dictionary(wrong.map { ($0.verdict, 1) }, uniquingKeysWith: +)
        expected = record.tests.count { $0.outcome == .expected }
        sentence = SummaryTable.closingLine(for: record)
        lines =
            record.problems.map(\.sentence)
            + wrong.filter { $0.verdict != .boot }.map {
                "\($0.id): \($0.explanation.isEmpty ? $0.verdict.rawValue : $0.explanation)"
            }
        exitCode = record.exitCode.rawValue
        seconds = record.ended.timeIntervalSince(record.started)
        folder = report.folder.path
    }
}

/// A finished matrix.
public struct MatrixReport: Sendable {
    /// What became of a cell.
    public enum Fate: Sendable {
        /// It was run; `isEarlier` if by an earlier call.
        case ran(CellResult, isEarlier: Bool)
        /// The matrix leaves it out, for this reason.
        case skipped(String)
        /// It could not be run.
        case failed(LabError)
        /// The call was interrupted before.
        case open
    }

    /// The names of the axes.
    public var axes: [String]
    /// Every cell, in order.
    public var cells: [(cell: TestMatrix.Cell, fate: Fate)]

    /// hmmlab's exit status: 0 only if every cell passed or is left out by the matrix.
    public var exitCode: ExitCode {
        var worst = ExitCode.passed
        for (_, fate) in cells {
            switch fate {
            case .open: return .interrupted
            case .ran(let result, _) where result.exitCode != 0 && worst != .testsFailed:
                worst = ExitCode(rawValue: result.exitCode) ?? .testsFailed
            case .failed(let error) where worst == .passed: worst = error.exitCode
            case .ran, .skipped, .failed: break
            }
        }
        return worst
    }
}

/// What is told while a matrix is run.
public enum MatrixEvent: Sendable {
    /// A cell begins, as its number from 1 of so many.
    case began(Int, of: Int, TestMatrix.Cell)
    /// Something happens in it.
    case test(TestEvent)
    /// It has ended, or needs not be run.
    case ended(TestMatrix.Cell, MatrixReport.Fate)
}

extension Lab {
    /// Runs the cells of a matrix one after the other.
    ///
    /// What a cell's tests ended with is kept under everything that it depends on, so that the same call goes on where it was
    /// interrupted. A cell that cannot be run does not keep the others from it.
    ///
    /// - Parameters:
    ///   - cells: what ``TestMatrix/cells(of:)`` gave.
    ///   - again: whether what is known is found out again.
    /// - Throws: what writing into the cache throws.
    public func test(
        _ cells: [TestMatrix.Cell], of matrix: TestMatrix, again: Bool,
        onEvent: @escaping @Sendable (MatrixEvent) -> Void
    ) async throws -> MatrixReport {
        var report = MatrixReport(axes: matrix.axes.map(\.name), cells: cells.map { ($0, .open) })
        for (index, cell) in cells.enumerated() {
            onEvent(.began(index + 1, of: cells.count, cell))
            do {
                report.cells[index].fate = try await fate(of: cell, again: again, onEvent)
            } catch is CancellationError {
                return report
            } catch let error as LabError where error.exitCode != .interrupted {
                report.cells[index].fate = .failed(error)
            }
            if case .open = report.cells[index].fate { return report }
            onEvent(.ended(cell, report.cells[index].fate))
        }
        return report
    }

    private func fate(
        of cell: TestMatrix.Cell, again: Bool, _ onEvent: @escaping @Sendable (MatrixEvent) -> Void
    ) async throws -> MatrixReport.Fate {
        if let reason = cell.skip { return .skipped(reason) }
        let folder = try cache.folder("matrices") + "/" + (try await key(of: cell)).short
        let path = folder + "/result.json"
        if !again, Files.exists(path), let known = try? JSON.value(CellResult.self, from: Data(Files.text(path).utf8)) {
            return .ran(known, isEarlier: true)
        }
        var selection = cell.selection
        selection.place = folder + "/run"
        let report = try await test(selection) { onEvent(.test($0)) }
        if report.record.isInterrupted { return .open }
        let result = CellResult(report)
        // Of what the host could not do, nothing is known.
        let isConclusive =
            result.exitCode == ExitCode.passed.rawValue || result.exitCode == ExitCode.testsFailed.rawValue
        if isConclusive { try Files.write(try JSON.text(result), to: path) }
        return .ran(result, isEarlier: false)
    }

    /// Everything that a cell's outcome depends on.
    private func key(of cell: TestMatrix.Cell) async throws -> Digest {
        let selection = cell.selection
        let kernel = try await prepare(selection.kernel, image: try machine(selection.guest).imageNeed)
        var signature = Signature()
        signature.add("kernel", kernel.artifact.signature)
        signature.add("guest", "\(selection.guest)")
        signature.add("tests", "\(selection.suites) \(selection.filter ?? "") \(selection.keepGoing)")
        try signPrograms(&signature)
        return signature.digest
    }
}

extension Lab {
    /// Adds what every run depends on beside kernel, machine and tests: our programs, what they heed, modules and expectations.
    ///
    /// - Throws: what reading them throws.
    func signPrograms(_ signature: inout Signature) throws {
        for name in Self.testVariables { signature.add(name, environment[name] ?? "") }
        let programs = [
            ("guest-tests", installation.guestTests), ("guest-init", installation.guestInit),
            ("expectations", installation.expectations),
        ]
        for (name, path) in programs {
            signature.add(name, try Digest(ofFile: path).description)
        }
        for part in ["modules", "abi"] {
            let folder = installation.kernelPatches + "/" + part
            for name in try FileManager.default.subpathsOfDirectory(atPath: folder).sorted()
            where !Files.isFolder("\(folder)/\(name)") {
                signature.add("\(part)/\(name)", try Digest(ofFile: "\(folder)/\(name)").description)
            }
        }
    }
}
