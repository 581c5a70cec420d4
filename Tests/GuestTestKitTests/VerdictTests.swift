// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Synchronization
import Testing

@testable import GuestTestKit

/// How a test ends and what it prints.
///
/// One at a time: the record of failures and the output belong to the process.
@Suite("Verdicts", .serialized)
struct VerdictTests {
    /// Runs a body as a test.
    private func run(
        needs: [Requirement] = [], _ body: @escaping @Sendable () throws -> Void
    ) -> (exit: TestExit, lines: [String]) {
        Console.captured.withLock { $0 = [] }
        defer { Console.captured.withLock { $0 = nil } }
        let exit = GuestTest("a/b", "Something holds", needs: needs, body).run()
        return (exit, Console.captured.withLock { $0 ?? [] })
    }

    @Test("A test whose expectations hold passes in silence")
    func passes() {
        let result = run {
            expect(true, "true is true")
            expectEqual(1, 1, "one is one")
            expectNone(nil, "there is nothing to complain about")
            try require(true, "true is still true")
            expectEqual(try requireValue(Int("3"), "3 is a number"), 3, "and it is 3")
        }
        #expect(result.exit == .passed)
        #expect(result.lines.isEmpty)
    }

    @Test("Every failed expectation is a line with its place, and the test goes on")
    func fails() {
        let line = #line + 2
        let result = run {
            expectEqual(1, 2, "one is two")
            expect(false, "false is true", "it\nis not")
            expectNone("a complaint", "all is well")
        }
        #expect(result.exit == .failed)
        #expect(
            result.lines == [
                "FAIL VerdictTests.swift:\(line): one is two (expected 2, got 1)",
                "FAIL VerdictTests.swift:\(line + 1): false is true (it is not)",
                "FAIL VerdictTests.swift:\(line + 2): all is well (a complaint)",
            ])
    }

    @Test("A failed requirement ends the test and is counted once")
    func requirement() {
        let line = #line + 2
        let result = run {
            try require(false, "there is something")
            expect(false, "this is never reached")
        }
        #expect(result.exit == .failed)
        #expect(result.lines == ["FAIL VerdictTests.swift:\(line): there is something"])
    }

    @Test("A skip is told with its reason, unless something failed before")
    func skips() {
        let skipped = run { try skip("no such thing here") }
        #expect(skipped.exit == .skipped)
        #expect(skipped.lines == ["SKIP: no such thing here"])
        let failed = run {
            expect(false, "it works")
            try skip("too late")
        }
        #expect(failed.exit == .failed)
        #expect(failed.lines.count == 2)
    }

    @Test("A requirement that is not met is a skip", .enabled(if: Requirement.private.missing() != nil))
    func unmet() {
        let result = run(needs: [.private]) { expect(false, "this is never reached") }
        #expect(result.exit == .skipped)
        #expect(result.lines.first?.hasPrefix("SKIP: device open of /dev/hmm_dmirror0 failed with ENOENT") == true)
    }

    @Test("An error that nobody expected fails the test at the place it came from")
    func uncaught() {
        let line = #line + 1
        let result = run { _ = try MirrorDevice(unit: 987_654) }
        #expect(result.exit == .failed)
        #expect(
            result.lines == [
                "FAIL VerdictTests.swift:\(line): device open of /dev/hmm_dmirror987654 failed with "
                    + "ENOENT (No such file or directory)"
            ])
    }

    @Test("A refusal must be the expected one, and success is none")
    func refusals() {
        let result = run {
            expectRefused(.noEntry, "right") { () throws(MirrorError) in _ = try MirrorDevice(unit: 987_654).descriptor
            }
            expectRefused(.busy, "wrong number") { () throws(MirrorError) in
                _ = try MirrorDevice(unit: 987_654).descriptor
            }
            expectRefused(.busy, "no refusal at all") {}
        }
        #expect(result.exit == .failed)
        #expect(result.lines.count == 2)
        #expect(result.lines.first?.contains("wrong number (expected EBUSY (Device or resource busy), got: ") == true)
        #expect(result.lines.last?.contains("no refusal at all (expected EBUSY") == true)
    }

    @Test("Threads all run, and what one throws is a failure")
    func workers() throws {
        let ran = Mutex<Set<Int>>([])
        let result = run {
            try Workers.run(4) { worker in
                ran.withLock { _ = $0.insert(worker) }
                try require(worker != 2, "the worker is not number 2")
            }
        }
        #expect(ran.withLock { $0 } == [0, 1, 2, 3])
        #expect(result.exit == .failed)
        #expect(result.lines.count == 1)
    }
}
