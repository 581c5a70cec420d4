// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import PatchSeries

@Suite struct MailTests {
    static let diff = """
        diff --git a/mm/hmm.c b/mm/hmm.c
        --- a/mm/hmm.c
        +++ b/mm/hmm.c
        @@ -1,3 +1,3 @@
         int hmm_1;
        -int hmm_2;
        +int hmm_2 = 1;
         int hmm_3;

        """

    /// A mail that changes one line of mm/hmm.c.
    static func mail(_ subject: String, line: Int = 2, headers: String = "", body: String = "") -> String {
        """
        From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
        From: Bea <bea@example.org>
        Date: Wed, 5 Nov 2025 08:00:00 -0500
        Subject: \(subject)
        \(headers)
        \(body)
        ---
        diff --git a/mm/hmm.c b/mm/hmm.c
        --- a/mm/hmm.c
        +++ b/mm/hmm.c
        @@ -\(line - 1),3 +\(line - 1),3 @@
         int hmm_\(line - 1);
        -int hmm_\(line);
        +int hmm_\(line) = 1;
         int hmm_\(line + 1);
        --\u{20}
        2.39.5


        """
    }

    func series(_ text: String, _ bench: borrowing MailBench) async throws -> PatchSeries {
        try await bench.read(Data(text.utf8))
    }

    @Test func shuffledMailsAreSortedAndTheCoverLetterIsLeftOut() async throws {
        let bench = try MailBench()
        let order = [3, 11, 1, 7, 2, 9, 10, 4, 8, 5, 6]
        let cover =
            "From c Mon Sep 17 00:00:00 2001\nFrom: B <b@c>\nSubject: [PATCH v2 00/11] all of it\n\nblurb\n\n mm/hmm.c | 2 +-\n"
        let found = try await series(
            Self.mail("[PATCH v2 03/11] p3", line: 3) + cover
                + order.dropFirst().map { Self.mail("[PATCH v2 \($0)/11] p\($0)", line: $0 + 1) }.joined(), bench)
        #expect(found.patches.map(\.subject) == (1...11).map { "p\($0)" })
        #expect(found.patches.first?.origin == "x.mbox, mail 4")
        #expect(found.notes == ["\"[PATCH v2 00/11] all of it\" has no diff and was left out."])
    }

    @Test func mailsWithoutNumbersKeepTheirOrder() async throws {
        let bench = try MailBench()
        let found = try await series(
            Self.mail("[PATCH] b") + Self.mail("[PATCH 2/2] a", line: 3) + Self.mail("[RFC mm] [x] c: d", line: 4),
            bench)
        #expect(found.patches.map(\.subject) == ["b", "a", "c: d"])
    }

    @Test func repliesAndDuplicatesAreLeftOut() async throws {
        let bench = try MailBench()
        let first = Self.mail("[PATCH 1/2] a")
        let found = try await series(
            first + Self.mail("Re: [PATCH 1/2] a", line: 9) + Self.mail("[PATCH 2/2] b", line: 3)
                + first.replacing("Subject", with: "X-List: copy\nSubject"), bench)
        #expect(found.patches.map(\.subject) == ["a", "b"])
        #expect(found.notes.count == 2)
        // A reply alone is what was asked for.
        #expect(try await series(Self.mail("Re: [PATCH] a"), bench).patches.map(\.subject) == ["a"])
    }

    @Test(arguments: [
        ("[PATCH 1/3] a|[PATCH 3/3] c", "series-incomplete", "2/3"),
        ("[PATCH 1/2] a|[PATCH v2 2/2] b", "series-mixed", "1, 2"),
        ("[PATCH 1/2] a|[PATCH 1/2] b|[PATCH 2/2] c", "series-mixed", "\"b\""),
        ("[PATCH 1/2] a|[PATCH 2/2] b|[PATCH 3/2] c", "series-incomplete", "beyond 2"),
    ])
    func unusableNumbers(_ subjects: String, _ code: String, _ cause: String) async throws {
        let bench = try MailBench()
        let text = subjects.split(separator: "|").enumerated().map { Self.mail(String($1), line: $0 + 2) }.joined()
        let error = try await labError { _ = try await series(text, bench) }
        #expect(error.code == code && error.exitCode == .usage)
        #expect(error.cause?.contains(cause) == true, "\(error)")
    }

    @Test func onePatchOfASeriesAlone() async throws {
        let bench = try MailBench()
        #expect(try await series(Self.mail("[PATCH 2/3] b"), bench).patches.map(\.subject) == ["b"])
    }

    @Test func aNumberedMailWithoutDiffIsAnError() async throws {
        let bench = try MailBench()
        let empty = "From c Mon Sep 17 00:00:00 2001\nFrom: B <b@c>\nSubject: [PATCH 2/2] gone\n\nblurb\n"
        let error = try await labError { _ = try await series(Self.mail("[PATCH 1/2] a") + empty, bench) }
        #expect(error.code == "patch-malformed" && error.sentence.contains("mail 2"))
    }

    @Test func quotedPrintableWithUmlauts() async throws {
        let bench = try MailBench()
        let found = try await series(
            """
            From: =?iso-8859-1?Q?J=FCrgen_M=FCller?= <j@example.org>
            Subject: =?UTF-8?B?W1BBVENIIDEvMV0gbW06IGdyw7zDn2Vu?=
             =?UTF-8?Q?_weiter?=
            MIME-Version: 1.0
            Content-Type: text/plain; charset=iso-8859-1
            Content-Transfer-Encoding: quoted-printable

            F=FCr alle=
             da.
            ---
            \(Self.diff.replacing("=", with: "=3D").replacing("hmm_3", with: "hmm=5F3"))
            """, bench)
        let patch = try #require(found.patches.first)
        #expect(patch.author == Patch.Author(name: "Jürgen Müller", email: "j@example.org", date: nil))
        #expect(patch.subject == "mm: grüßen weiter" && patch.body == "Für alle da.")
        #expect(patch.diff == Data(Self.diff.utf8))
    }

    @Test func base64AndAttachment() async throws {
        let bench = try MailBench()
        let head = "From: B <b@c>\nSubject: [PATCH] x\nMIME-Version: 1.0\n"
        let encoded = Data("body\n---\n\(Self.diff)".replacing("\n", with: "\r\n").utf8).base64EncodedString(
            options: .lineLength76Characters)
        let base64 = try await series(
            head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
                + encoded.replacing("\r\n", with: "\n") + "\n", bench)
        let attached = try await series(
            head + "Content-Type: multipart/mixed; boundary=\"zz\"\n\n--zz\nContent-Type: text/plain\n\nbody\n--zz\n"
                + "Content-Type: text/x-patch; name=\"x.patch\"\nContent-Disposition: attachment\n\n\(Self.diff)\n--zz--\n",
            bench)
        for found in [base64, attached] {
            #expect(found.patches.first?.diff == Data(Self.diff.utf8))
            #expect(found.patches.first?.body == "body")
        }
        // The way in which a mail travelled does not matter.
        #expect(base64.patches.first?.digest == attached.patches.first?.digest)
    }

    @Test func theDigestIgnoresWhatDoesNotMatter() async throws {
        let bench = try MailBench()
        let one = try await series(Self.mail("[PATCH 1/2] a"), bench).patches[0]
        let same = try await series(
            Self.mail("[PATCH v9 4/7] a", headers: "To: x@y\nMessage-Id: <1@2>").replacing("2.39.5", with: "2.47.1")
                .replacing("\n", with: "\r\n"), bench
        ).patches[0]
        #expect(one.digest == same.digest)
        for other in [
            Self.mail("[PATCH] b"), Self.mail("[PATCH] a", line: 3), Self.mail("[PATCH] a", body: "c"),
            Self.mail("[PATCH] a").replacing("Bea", with: "Ben"),
            Self.mail("[PATCH] a").replacing("08:00", with: "08:01"),
        ] {
            #expect(try await series(other, bench).patches[0].digest != one.digest)
        }
    }

    @Test func escapedFromLines() async throws {
        let bench = try MailBench()
        let found = try await series(Self.mail("[PATCH] a", body: "see\n>From here on\nFrom here too"), bench)
        #expect(found.patches.map(\.body) == ["see\nFrom here on\nFrom here too"])
    }

    @Test func undecodableMails() async throws {
        let bench = try MailBench()
        let charset =
            "From: B <b@c>\nSubject: [PATCH] x\nContent-Type: text/plain; charset=klingon\n\nbödy\n---\n\(Self.diff)"
        let error = try await labError { _ = try await series(charset, bench) }
        #expect(error.code == "series-unreadable" && error.exitCode == .usage)
        #expect(error.cause?.contains("klingon") == true)
        let html = "From: B <b@c>\nSubject: [PATCH] x\nContent-Type: text/html\n\n<pre>diff --git a/x b/x</pre>\n"
        #expect(try await labError { _ = try await series(html, bench) }.code == "series-empty")
    }

    @Test func titlesAndDates() {
        #expect(CommitText.subject("Re: [PATCH v2 1/2] [mm] re: a [b]") == "a [b]")
        #expect(CommitText.subject("[unclosed") == "[unclosed")
        #expect(Mail.Tag("[PATCH RFCv3,RESEND 07/12] x [1/2]").index == 7)
        #expect(Mail.Tag("[PATCHv4 1/2] x").version == 4)
        #expect(Mail.Tag("mm: 1/2 of [3/4]").index == nil)
        #expect(CommitText.date("Mon,  3 Nov 2025 10:20:30 +0130 (CET)") == "Mon, 3 Nov 2025 10:20:30 +0130")
        #expect(CommitText.date("Mon, 33 Nov 2025 10:20:30 +0130") == nil)
        #expect(CommitText.date("yesterday") == nil)
        #expect(CommitText.body("\n\n a \r\n\n\n\nb\t\n\n") == " a\n\nb")
        #expect(CommitText.identity(" \"Dr. A <x>\n. ") == "Dr. A x")
    }
}

/// A reader and a folder for one mbox.
struct MailBench: ~Copyable {
    let root = NSTemporaryDirectory() + "hmmlab-mail-\(UUID().uuidString)"

    init() throws { try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    func read(_ mails: Data) async throws -> PatchSeries {
        try Files.write(mails, to: root + "/x.mbox")
        return try await SeriesReader(runner: ProcessRunner(), cache: Cache(root: root + "/cache")).read(
            root + "/x.mbox")
    }
}
