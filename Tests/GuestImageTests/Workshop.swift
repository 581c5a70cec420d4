// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import GuestImage
import HarnessCore
import ProcessRunner

/// A folder of its own for each test, with the things that an image is made of.
final class Workshop {
    let folder = NSTemporaryDirectory() + "/hmmlab image \(UUID().uuidString)"
    let runner = ProcessRunner()

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Stands in for the kernel's gen_init_cpio: it takes the same call, and writes the list followed by every file
    /// that the list names, so that the result holds all that decides the real archive.
    func generator(ending: String = "TRAILER!!!") throws -> String {
        try script(
            "generator",
            """
            [ "$1 $2" = "-t 0" ] || exit 9
            cat "$3"
            while read -r kind name place rest; do
                if [ "$kind" = file ]; then printf '\n== %s\n' "$name"; cat "$place" || exit 8; fi
            done < "$3"
            echo '\(ending)'
            """)
    }

    func builder(generator: String? = nil) throws -> ImageBuilder {
        ImageBuilder(runner: runner, generator: try generator ?? self.generator())
    }

    func build(_ description: ImageDescription, to path: String, generator: String? = nil) async throws {
        let builder = try builder(generator: generator)
        try await builder.build(description, to: path, workingIn: "\(folder)/staging \(UUID().uuidString)")
    }

    func write(_ name: String, _ text: String) throws -> String {
        try Files.write(text, to: "\(folder)/\(name)")
        return "\(folder)/\(name)"
    }

    func script(_ name: String, _ text: String) throws -> String {
        let path = try write(name, "#!/bin/sh\n\(text)\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        return path
    }

    /// An object file with what a kernel module says about itself, and a debug section.
    @discardableResult
    func module(_ name: String, in place: String, vermagic: String = "6.12.117 SMP mod_unload ") async throws -> String
    {
        let source = try write(
            "\(place)/\(name).s",
            """
            .section .modinfo,"a"
            .asciz "name=\(name)"
            .asciz "depends="
            .asciz "vermagic=\(vermagic)"
            .section .debug_info,""
            .asciz "the debug information of \(name)"

            """)
        let path = "\(folder)/\(place)/\(name).ko"
        try await runner.check(Command("as", ["-o", path, source]))
        try FileManager.default.removeItem(atPath: source)
        return path
    }

    /// `.../lib/modules/6.12.117` as `make modules_install` leaves it.
    func installedModules(_ names: [String], in place: String = "installed") async throws -> String {
        let release = "\(place)/lib/modules/6.12.117"
        for name in names { try await module(name, in: release + "/kernel/lib") }
        _ = try write(release + "/modules.order", names.map { "kernel/lib/\($0).ko\n" }.joined())
        _ = try write(release + "/modules.dep.bin", "an index of the modules with their symbols")
        try FileManager.default.createSymbolicLink(
            atPath: "\(folder)/\(release)/build", withDestinationPath: "/nonexistent/build")
        return "\(folder)/\(release)"
    }

    /// What an image built with the stand-in generator holds, as text.
    func content(of path: String) throws -> String { try Files.text(path) }
}
