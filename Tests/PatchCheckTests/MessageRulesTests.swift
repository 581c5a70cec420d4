// SPDX-License-Identifier: Apache-2.0
import Foundation
import PatchSeries
import Testing

@testable import PatchCheck

@Suite("The rules for messages")
struct MessageRulesTests {
    let kernel: LittleKernel

    init() throws { kernel = try LittleKernel() }

    private func findings(
        _ subject: String = "mm/hmm: do one thing", _ body: String = "Because.",
        signer: String? = "Signed-off-by: A Developer <dev@example.org>"
    ) async throws -> [Finding] {
        let series = try await kernel.series([("x: y", [("mm/a.c", "int a;\n", "int b;\n")])])
        let patch = try series.patches[0].replacingMessage(
            subject: subject, body: [body, signer].compactMap(\.self).joined(separator: "\n\n"),
            author: series.patches[0].author)
        return MessageRules.findings(patch)
    }

    @Test(
        "Good subjects",
        arguments: [
            "mm: add a thing", "mm/hmm: embed it", "selftests/mm: hmm-tests: need it", "mm, slub: process all",
            "Revert \"mm: added a thing\"", "mm/memory.c: hmm_range_fault() returns early", "x86/mm: pass less",
        ])
    func good(subject: String) async throws { #expect(try await findings(subject) == []) }

    @Test(
        "Bad subjects",
        arguments: [
            ("add a thing", true, "no subsystem"), ("mm: add a thing.", true, "full stop"),
            ("mm: added a thing", false, "imperative"), ("mm: Adding a thing", false, "imperative"),
            ("mm: hmm: fixes a thing", false, "imperative"), ("Fix a thing: now", true, "no subsystem"),
            ("mm: " + String(repeating: "long ", count: 15), false, "columns"),
        ])
    func bad(subject: String, isFailure: Bool, text: String) async throws {
        let found = try await findings(subject.trimmingCharacters(in: .whitespaces))
        #expect(found.count == 1 && found[0].isFailure == isFailure && found[0].text.contains(text), "\(found)")
    }

    @Test("A body wraps at 75 columns; logs, trailers, addresses and quotations need not")
    func wrap() async throws {
        let long = String(repeating: "word ", count: 15) + "1"
        #expect(long.count == 76)
        #expect(
            try await findings("mm: do it", "Short.\n" + long).map(\.text) == [
                "Line 4 of the message has 76 columns, more than 75"
            ])
        #expect(try await findings("mm: do it", String(long.dropLast(1)) + "\n").isEmpty)
        for exempt in [
            "    " + long, "> " + long, "[   12.345678] " + long, "See https://example.org/ " + long,
            "Reported-by: " + long, "mm/hmm.c:12:3: " + long, String(repeating: "x", count: 100),
        ] { #expect(try await findings("mm: do it", "Why.\n\n" + exempt) == [], "\(exempt)") }
    }

    @Test("Signed-off-by must be there, and the author's")
    func signOff() async throws {
        #expect(try await findings(signer: nil).map(\.text) == ["There is no Signed-off-by"])
        let other = try await findings(signer: "Signed-off-by: Somebody <else@example.org>")
        #expect(other.count == 1 && other[0].isFailure && other[0].text.contains("did not sign it off"))
        #expect(try await findings(signer: "Signed-off-by: Another Name <DEV@example.org>") == [])
    }

    @Test(
        "Fixes names a commit",
        arguments: [
            ("Fixes: 0123456789ab (\"mm: a thing\")", true), ("Fixes: 0123456 (\"mm: a thing\")", false),
            ("Fixes: 0123456789ab mm: a thing", false), ("fixes: commit 0123456789ab (\"mm: a thing\")", false),
            ("Fixes: 0123456789AB (\"mm: a thing\")", false),
        ])
    func fixes(line: String, isGood: Bool) async throws {
        let found = try await findings("mm: do it", "Why.\n\n" + line)
        #expect(found.isEmpty == isGood && found.allSatisfy(\.isFailure), "\(found)")
    }

    @Test("A message that says nothing is worth a warning")
    func empty() async throws {
        #expect(try await findings("mm: do it", "").map(\.text) == ["The message does not say why"])
    }
}
