// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

/// All end-to-end tests, one after the other.
///
/// They share the machine's two cores and the cache, from which one of them takes a kernel away.
@Suite(.serialized) enum EndToEnd {}

/// The built hmmlab as people run it, on the machine's real cache.
struct Tool {
    let runner = ProcessRunner()
    /// A folder for this test's files; removed with it.
    let folder: String

    init() throws {
        folder = NSTemporaryDirectory() + "hmmlab-e2e-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(atPath: folder) }

    /// The program that `scripts/test` has built.
    static var binary: String {
        get throws {
            try #require(
                ProcessInfo.processInfo.environment["HMMLAB_BINARY"],
                "HMMLAB_BINARY does not name the built hmmlab: run these tests through scripts/test")
        }
    }

    func command(_ arguments: [String], environment: [String: String?] = [:]) throws -> Command {
        Command(try Self.binary, arguments, environment: environment, in: folder)
    }

    /// Runs hmmlab to its end; half an hour is enough for a cold cache.
    func run(_ arguments: String..., environment: [String: String?] = [:]) async throws -> CommandOutput {
        try await run(arguments, environment: environment)
    }

    func run(_ arguments: [String], environment: [String: String?] = [:]) async throws -> CommandOutput {
        try await runner.run(command(arguments, environment: environment), deadline: .seconds(3000))
    }

    /// Starts hmmlab without waiting for it; standard error goes to a file of that name in the folder, if one is given.
    func start(
        _ arguments: [String], environment: [String: String] = [:], standardError: String? = nil
    ) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try Self.binary)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        // Open to the end: a shell must not end by itself.
        process.standardInput = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        if let standardError {
            let path = "\(folder)/\(standardError)"
            try Files.write("", to: path)
            process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        }
        try process.run()
        return process
    }

    /// Starts hmmlab and kills it in the middle of whatever it is at.
    func killDuring(
        _ arguments: [String], milliseconds: ClosedRange<Int>, environment: [String: String] = [:]
    ) async throws {
        let process = try start(arguments, environment: environment)
        try await Task.sleep(for: .milliseconds(Int.random(in: milliseconds)))
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// The QEMU processes whose command line has a text.
    func guests(with text: String) async throws -> [Int32] {
        let output = try await runner.run(Command("pgrep", ["-f", "[q]emu-system.*\(text)"]))
        return output.standardOutput.split(separator: "\n").compactMap { Int32($0) }
    }

    /// Waits until something holds.
    ///
    /// - Parameter seconds: how long at most; a kernel may have to be built first.
    func wait(seconds: Int = 30, _ condition: () async throws -> Bool) async throws -> Bool {
        for _ in 0..<seconds * 20 {
            if try await condition() { return true }
            try await Task.sleep(for: .milliseconds(50))
        }
        return false
    }

    /// A patch file with one change to one file of the kernel, from `git diff`-like text.
    func patch(_ name: String, _ text: String) throws -> String {
        let path = "\(folder)/\(name)"
        try Files.write(text, to: path)
        return path
    }
}

/// What the tests read of a run's JSON.
struct RunDocument: Decodable {
    struct Test: Decodable {
        var id: String
        var suite: String
        var verdict: String
        var outcome: String
        var explanation: String
        var boot: Int
        var reports: [Report]
    }
    struct Report: Decodable {
        var title: String
        var kind: String
        var text: String
    }
    struct Problem: Decodable {
        var sentence: String
    }
    struct Summary: Decodable {
        var total: Int
        var unexpected: [String]
        var exitCode: Int32
    }
    var schema: Int
    var folder: String
    var tests: [Test]
    var problems: [Problem]
    var summary: Summary
    var notRun: [String]
    var interrupted: Bool

    /// Everything that nobody expected, in sentences.
    var surprises: [String] {
        tests.filter { $0.outcome == "unexpected" }.map { "\($0.id): \($0.verdict): \($0.explanation)" }
            + problems.map(\.sentence)
    }

    init(path: String) throws { self = try JSON.value(RunDocument.self, from: try Files.bytes(path)) }
}
