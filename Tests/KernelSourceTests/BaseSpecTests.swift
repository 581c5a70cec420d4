// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelSource

@Suite struct BaseSpecTests {
    @Test(arguments: [
        ("debian:6.12", BaseSpec.debian(.series("6.12"))),
        ("6.12", .debian(.series("6.12"))),
        ("debian:7.2", .debian(.series("7.2"))),
        ("debian:latest", .debian(.latest)),
        ("debian:6.12.117", .debian(.version("6.12.117"))),
        ("debian:6.12.117-1", .debian(.version("6.12.117-1"))),
        ("debian:6.12.117-1~deb12u1", .debian(.version("6.12.117-1~deb12u1"))),
        ("debian:7.3~rc7-1~exp1", .debian(.version("7.3~rc7-1~exp1"))),
        ("git:/src/linux@v6.12", .git(repository: "/src/linux", revision: "v6.12")),
        ("git:linux@HEAD~3", .git(repository: "/here/linux", revision: "HEAD~3")),
        ("git:/at@home/linux@main@{1}", .git(repository: "/at@home/linux", revision: "main@{1}")),
        ("git:~/linux@HEAD", .git(repository: "/home/me/linux", revision: "HEAD")),
        ("git:.@HEAD", .git(repository: "/here", revision: "HEAD")),
        ("dir:../linux/", .directory("/linux")),
        ("dir:/a//b/./c/../d", .directory("/a/b/d")),
        ("tar:linux-6.12.tar.xz", .tar("/here/linux-6.12.tar.xz")),
        ("tar:with:colon.tar", .tar("/here/with:colon.tar")),
    ])
    func parses(_ text: String, _ expected: BaseSpec) throws {
        let spec = try BaseSpec(parsing: text, currentDirectory: "/here", home: "/home/me")
        #expect(spec == expected)
        // The description leads back to the same specification from anywhere.
        #expect(try BaseSpec(parsing: spec.description, currentDirectory: "/elsewhere", home: "/") == spec)
        #expect(try JSON.value(BaseSpec.self, from: Data(JSON.text(spec).utf8)) == spec)
    }

    @Test(arguments: [
        "", "6", "debian", "debian:", "debian:6", "debian:six", "debian:6.12/../x", "debian:6.12 ", "debian:-1",
        "debian:1:6.12.1-1", "git:/src/linux", "git:@HEAD", "git:/src/linux@", "git:/src/linux@--upload-pack=x", "dir:",
        "tar:", "zip:/x", "dir:/a\nb",
    ])
    func refuses(_ text: String) throws {
        let error = try #require(throws: LabError.self) { try BaseSpec(parsing: text) }
        #expect(error.code == "base-spec-invalid")
        #expect(error.exitCode == .usage)
        for form in ["debian:6.12", "debian:latest", "git:PATH@REV", "dir:PATH", "tar:FILE"] {
            #expect(error.description.contains(form))
        }
    }

    @Test func identifiersAreFitForFoldersAndRefs() {
        #expect(Base.identifier(debianVersion: "6.12.117-1~deb12u1") == "debian-6.12.117-1-deb12u1")
        #expect(Base.identifier(debianVersion: "7.3.4-1~bpo13+1") == "debian-7.3.4-1-bpo13-1")
    }

    @Test(arguments: [
        ("# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\n", "6.12.117"),
        ("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc7\n", "7.3.0-rc7"),
        ("all:\n\techo\n", nil), ("VERSION = x\nPATCHLEVEL = 1\n", nil), ("", nil),
    ])
    func kernelVersion(_ makefile: String, _ expected: String?) {
        #expect(KernelVersion.parse(makefile: makefile) == expected)
    }
}
