// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchMail

@Suite("Names, headers and addresses")
struct MailTextTests {
    @Test(
        "Addresses are read as people write them",
        arguments: [
            ("Ada Author <ada@example.org>", "Ada Author", "ada@example.org"),
            ("\"Author, Ada\" <ada@example.org> (maintainer:MM (CORE))", "Author, Ada", "ada@example.org"),
            ("\"Ada \\\"A\\\" Author\" <ada@example.org>", "Ada \"A\" Author", "ada@example.org"),
            ("  <stable@example.org> # 6.12+", "", "stable@example.org"),
            ("linux-mm@example.org (open list:MM)", "", "linux-mm@example.org"),
            ("Jörg O'Neil <j@example.org>", "Jörg O'Neil", "j@example.org"),
        ])
    func parse(text: String, name: String, email: String) {
        #expect(Address(parsing: text) == Address(name: name, email: email))
    }

    @Test("What is no address is none", arguments: ["", "Ada Author", "Linus <>", "(a@b)"])
    func noAddress(text: String) { #expect(Address(parsing: text) == nil) }

    @Test(
        "Names are quoted as RFC 5322 and RFC 2047 want it",
        arguments: [
            ("Ada Author", "Ada Author"), ("Ada O'Neil-B", "Ada O'Neil-B"), ("Ada A. Author", "\"Ada A. Author\""),
            ("Author, Ada (Corp)", "\"Author, Ada (Corp)\""), ("Ada \"A\" \\", "\"Ada \\\"A\\\" \\\\\""),
            ("Jörg, M.", "=?UTF-8?q?J=C3=B6rg=2C_M=2E?="), ("=?x?=", "=?UTF-8?q?=3D=3Fx=3F=3D?="),
        ])
    func phrase(name: String, header: String) { #expect(HeaderText.phrase(name) == header) }

    @Test("No encoded word is longer than 75 characters, none ends inside of a character, and git reads all of it")
    func longNames() async throws {
        let name = String(repeating: "日本語", count: 20)
        let header = Address(name: name, email: "a@example.org").header
        for word in header.split(separator: "\n") {
            let word = word.trimmingCharacters(in: .whitespaces).prefix { $0 != " " }
            #expect(word.count <= 75)
            #expect((word.count - 12) % 9 == 0)
        }
    }

    @Test("Long subjects are folded at spaces, and short ones are not")
    func subjects() {
        #expect(HeaderText.subject(prefix: "[PATCH 1/2]", "mm: a") == "Subject: [PATCH 1/2] mm: a\n")
        let long = "mm: " + (1...20).map { "word\($0)" }.joined(separator: " ")
        let header = HeaderText.subject(prefix: "[PATCH v2 1/2]", long)
        #expect(header.split(separator: "\n").allSatisfy { $0.count <= 78 })
        #expect(header.replacing("\n ", with: " ") == "Subject: [PATCH v2 1/2] \(long)\n")
        let word = String(repeating: "x", count: 100)
        #expect(HeaderText.subject(prefix: "[PATCH 1/1]", word) == "Subject: [PATCH 1/1] \(word)\n")
    }

    @Test("Files have the names that git-format-patch gives them")
    func names() async throws {
        let subjects = [
            "mm/hmm: fix hmm_range_fault() for 2 pages", "a..b...c. ", "Üben", "...", "x -- y", "tail-.",
            "a very long subject that does not end where its name has to end, and goes on and on",
            "[brackets] stay",
        ]
        let bench = try await MailBench()
        for version in [1, 2, 12] {
            try await bench.shell("rm -rf ../out; git checkout -q --detach main")
            for subject in subjects {
                try await bench.shell("git commit -q --allow-empty --cleanup=verbatim -m '\(subject)'")
            }
            let flag = version == 1 ? "" : "-v\(version)"
            let git = try await bench.shell("git format-patch --always \(flag) -o ../out main")
                .split(separator: "\n").map { ($0 as NSString).lastPathComponent }
            let ours = subjects.enumerated().map {
                MailNames.file(version: version, number: $0 + 1, subject: $1)
            }
            #expect(ours == git)
            for (index, name) in ours.enumerated() {
                #expect(MailNames.parse(name)?.version == version)
                #expect(MailNames.parse(name)?.number == index + 1)
            }
        }
        #expect(MailNames.parse("series") == nil)
        #expect(MailNames.parse("v2-fix.patch") == nil)
    }

    @Test("Maintainers are asked, everybody else is told, and everybody once")
    func roles() {
        let found = Maintainers.parse(
            """
            Andrew (M) <a@example.org> (maintainer:MM (CORE))
            "Q. R" <q@example.org> (supporter:X)
            r@example.org (reviewer:MM)
            l@example.org (open list:MM (maintainer stuff))
            a@EXAMPLE.org (open list)
            no address here

            """)
        #expect(found.to.map(\.text) == ["Andrew (M) <a@example.org>", "Q. R <q@example.org>"])
        #expect(found.cc.map(\.email) == ["r@example.org", "l@example.org", "a@EXAMPLE.org"])
        let mail = found.cleaned(sender: Address(name: "", email: "Q@example.org"))
        #expect(mail.to.map(\.email) == ["a@example.org"])
        #expect(mail.cc.map(\.email) == ["r@example.org", "l@example.org"])
    }

    @Test("People are found in trailers, whatever stands behind the address")
    func trailers() {
        let people = Trailers.people(
            in:
                "Text: no <one@example.org>\n\nCc: <stable@example.org> # 6.12+\nReported-by: \"B, C\" <b@example.org>\n"
                + "Fixes: 012345678901 (\"x\")\nSigned-off-by: Ada <ada@example.org>")
        #expect(people.map(\.email) == ["stable@example.org", "b@example.org", "ada@example.org"])
    }
}
