// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import Pipeline

@Suite("The doctor")
struct DoctorTests {
    private static let file = repository.appending(path: "scripts/dependencies.txt")

    @Test("reads package, probe and purpose")
    func parse() throws {
        let entries = try Doctor.dependencies(
            "# a remark\n\ngit                 git     keeps bases and   applies patches \nlibc6-dev /a/b.h  links\n")
        #expect(entries.map(\.package) == ["git", "libc6-dev"])
        #expect(entries.map(\.probe) == ["git", "/a/b.h"])
        #expect(entries.map(\.purpose) == ["keeps bases and   applies patches", "links"])
    }

    @Test("does not overlook a line that is short of something")
    func malformed() {
        _ = #expect(throws: LabError.self) { try Doctor.dependencies("git git\n") }
    }

    @Test("gets every line of this repository's list, each package once")
    func shipped() throws {
        let text = try String(contentsOf: Self.file, encoding: .utf8)
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        let entries = try Doctor.dependencies(text)
        #expect(!entries.isEmpty)
        #expect(entries.count == lines.count, "A line has fewer than three fields.")
        #expect(Set(entries.map(\.package)).count == entries.count)
        #expect(Set(entries.map(\.probe)).count == entries.count)
    }

    @Test("looks at everything without changing it")
    func examine() async throws {
        try await withTemporaryFolder { root in
            try FileManager.default.createDirectory(atPath: root + "/qemu/kconfig", withIntermediateDirectories: true)
            try FileManager.default.createDirectory(atPath: root + "/scripts", withIntermediateDirectories: true)
            try Files.write(
                "coreutils sh runs\nnobody hmmlab-no-such-program never runs\nfile \(root)/qemu is there\n"
                    + "gone \(root)/gone is not\n", to: root + "/scripts/dependencies.txt")
            let doctor = Doctor(
                installation: try Installation(environment: ["HMMLAB_ROOT": root]), cache: Cache(root: root + "/cache"))
            let findings = try doctor.examine()
            #expect(
                findings.map(\.name) == [
                    "sh", "hmmlab-no-such-program", "\(root)/qemu", "\(root)/gone", "/dev/kvm", "disk space",
                ])
            #expect(findings.prefix(4).map(\.isPresent) == [true, false, true, false])
            #expect(findings.map(\.isOptional) == [false, false, false, false, true, false])
            #expect(findings.prefix(4).map(\.package) == ["coreutils", "nobody", "file", "gone"])
            #expect(findings[1].detail == "never runs")
        }
    }
}
