// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import GuestImage
import HarnessCore
import ProcessRunner
import Testing

@Suite struct ImageTests {
    private let workshop: Workshop

    init() throws { workshop = try Workshop() }

    private func description(in place: String) async throws -> ImageDescription {
        var external: [String] = []
        for number in 1...5 { external.append(try await workshop.module("outside\(number)", in: place)) }
        return ImageDescription(
            initProgram: try workshop.script("\(place)/init program", "exit 0"),
            programs: [.init("/bin/true", to: "/bin/true")],
            modules: .init(
                kernelRelease: "6.12.117",
                folder: try await workshop.installedModules(["second", "first"], in: place),
                external: external),
            files: [.init(try workshop.write("\(place)/data", "some data"), to: "/etc/data", mode: 0o600)])
    }

    @Test func sameInputsInOtherPlacesGiveTheSameBytes() async throws {
        let builder = try workshop.builder()
        var images: [Digest] = []
        var signatures: [Digest] = []
        for place in ["here", "there, with spaces"] {
            let description = try await description(in: place)
            let image = "\(workshop.folder)/\(place).cpio"
            signatures.append(try await builder.signature(of: description).digest)
            try await workshop.build(description, to: image)
            images.append(try Digest(ofFile: image))
        }
        #expect(images[0] == images[1])
        #expect(signatures[0] == signatures[1])
    }

    @Test func holdsWhatWasAskedForAndWhatItNeeds() async throws {
        let image = workshop.folder + "/image"
        try await workshop.build(try await description(in: "here"), to: image)
        let text = try workshop.content(of: image)
        let lines = Set(text.split(separator: "\n").map { String($0.replacing(/files\/\d+/, with: "FILE")) })
        for line in [
            "dir /dev 0755 0 0", "dir /tmp 01777 0 0", "dir /lib/modules/6.12.117/updates 0755 0 0",
            "nod /dev/console 0600 0 0 c 5 1", "file /init FILE 0755 0 0", "file /bin/true FILE 0755 0 0",
            "file /etc/data FILE 0600 0 0", "file /etc/passwd FILE 0644 0 0", "== /etc/data", "some data",
            "file /lib/modules/6.12.117/kernel/lib/first.ko lib/modules/6.12.117/kernel/lib/first.ko 0644 0 0",
            "file /lib/modules/6.12.117/modules.dep.bin lib/modules/6.12.117/modules.dep.bin 0644 0 0",
            "kernel/lib/second.ko:", "kernel/lib/first.ko:", "updates/outside1.ko:",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        func place(_ text: String, _ line: String) -> Int? {
            text.firstRange(of: line).map { $0.lowerBound.utf16Offset(in: text) }
        }
        for (first, second) in [
            ("dir /lib/modules 0755", "dir /lib/modules/6.12.117 0755"),
            // depmod keeps the order of modules.order, and prefers what it finds first.
            ("kernel/lib/second.ko:", "kernel/lib/first.ko:"),
        ] {
            #expect(try #require(place(text, first)) < #require(place(text, second)), "\(first)")
        }
        #expect(!text.contains("/build"), "links to the build tree stay out")
        #expect(!text.contains("the debug information of"), "modules are stripped")
        #expect(!text.contains("an index of the modules with their symbols"), "the index is made anew")
        #expect(lines.contains { $0.hasPrefix("file ") && $0.contains("/libc.so.6 FILE") }, "libc for /bin/true")
        #expect(lines.contains { $0.hasPrefix("file ") && $0.contains("/ld-linux") }, "the loader for /bin/true")
    }

    @Test func leavesNothingButTheImage() async throws {
        let description = try await description(in: "here")
        let place = workshop.folder + "/out"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        try await workshop.build(description, to: place + "/image")
        #expect(try FileManager.default.contentsOfDirectory(atPath: place) == ["image"])
        for broken in [
            try workshop.generator(ending: "cut off"), try workshop.script("failing", "echo TRAILER!!!; exit 1"),
        ] {
            await #expect(throws: LabError.self) {
                try await workshop.build(description, to: place + "/broken", generator: broken)
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: place) == ["image"])
        }
    }

    @Test(arguments: [1, 500, 505, 511, 512, 600])
    func aTrailerMayLieAcrossABlocksBorder(_ distance: Int) throws {
        let path = workshop.folder + "/image"
        let trailer = Data("TRAILER!!!".utf8)
        let before = Data(repeating: 0, count: 2048 - distance - trailer.count)
        try Files.write(before + trailer + Data(repeating: 0, count: distance), to: path)
        #expect(ImageBuilder.isComplete(path))
    }

    @Test func anImageThatLostItsEndIsMadeAgain() async throws {
        let path = workshop.folder + "/image"
        #expect(!ImageBuilder.isComplete(path))
        let description = try await description(in: "here")
        try await workshop.build(description, to: path)
        #expect(ImageBuilder.isComplete(path))
        let whole = try Files.bytes(path)
        for damaged in [whole.prefix(whole.count / 2), Data()] {
            try Files.write(damaged, to: path)
            #expect(!ImageBuilder.isComplete(path))
            try await workshop.build(description, to: path)
            #expect(try Files.bytes(path) == whole)
        }
    }

    @Test func archiveWithoutAnEndIsRefused() async throws {
        let generator = try workshop.generator(ending: "cut off")
        let description = ImageDescription(initProgram: try workshop.script("init", "exit 0"))
        let error = await #expect(throws: LabError.self) {
            try await workshop.build(description, to: workshop.folder + "/image", generator: generator)
        }
        #expect(error?.code == "image-incomplete")
    }

    @Test func busyboxBringsItsApplets() async throws {
        let busybox = try workshop.script("busybox", "printf 'ls\\nsh\\nmodprobe\\ntrue\\n'")
        let image = workshop.folder + "/image"
        try await workshop.build(
            ImageDescription(
                initProgram: busybox, programs: [.init(busybox, to: "/bin/true")], busybox: busybox), to: image)
        let lines = try workshop.content(of: image).split(separator: "\n")
        #expect(lines.contains("slink /bin/sh busybox 0777 0 0"))
        #expect(lines.contains("slink /sbin/modprobe /bin/busybox 0777 0 0"))
        #expect(lines.contains("dir /sbin 0755 0 0"))
        #expect(!lines.contains { $0.hasPrefix("slink /bin/true") }, "a program goes before an applet of its name")
    }

    @Test func everyInputChangesTheSignature() async throws {
        let builder = try workshop.builder()
        let base = try await description(in: "here")
        func signature(_ change: (inout ImageDescription) throws -> Void) async throws -> Digest {
            var description = base
            try change(&description)
            return try await builder.signature(of: description).digest
        }
        let other = try workshop.write("other", "other data")
        let outside = try await workshop.module("another", in: "here")
        let signatures = [
            try await signature { _ in },
            try await signature { $0.files[0].source = other },
            try await signature { $0.files[0].mode = 0o644 },
            try await signature { $0.files[0].destination = "/etc/other" },
            try await signature { $0.files = [] },
            try await signature { $0.initProgram = other },
            try await signature { $0.programs[0].destination = "/bin/yes" },
            try await signature { $0.modules?.external = [] },
            try await signature { $0.modules?.external = [outside] },
            try await signature { $0.modules = nil },
            try await workshop.builder(generator: workshop.script("newer", "exit 0")).signature(of: base).digest,
        ]
        #expect(Set(signatures).count == signatures.count)
        #expect(try await signature { _ in } == signatures[0])
    }

    @Test(arguments: ["relative", "/two words", "/a/../b", "/a//b", "/", "/line\nbreak", ""])
    func pathThatTheListCannotHold(_ path: String) async throws {
        let program = try workshop.script("init", "exit 0")
        let error = await #expect(throws: LabError.self) {
            try await workshop.builder().signature(
                of: ImageDescription(initProgram: program, files: [.init(program, to: path)]))
        }
        #expect(error?.code == "image-path")
        #expect(error?.exitCode == .usage)
    }

    @Test(arguments: ["/init", "/init/below"]) func conflictIsRefused(_ path: String) async throws {
        let program = try workshop.script("init", "exit 0")
        let other = try workshop.write("other", "")
        let error = await #expect(throws: LabError.self) {
            try await workshop.builder().signature(
                of: ImageDescription(initProgram: program, files: [.init(other, to: path)]))
        }
        #expect(error?.code == "image-conflict")
    }

    @Test func missingFileIsNamed() async throws {
        let description = ImageDescription(
            initProgram: try workshop.script("init", "exit 0"), files: [.init(workshop.folder + "/none", to: "/none")])
        for work in ["signature", "build"] {
            let error = await #expect(throws: LabError.self) {
                if work == "build" {
                    try await workshop.build(description, to: workshop.folder + "/image")
                } else {
                    _ = try await workshop.builder().signature(of: description)
                }
            }
            #expect(error?.code == "file-unreadable")
            #expect(error?.sentence.contains("/none") == true)
        }
    }
}
