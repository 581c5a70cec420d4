// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// A folder in which an image's files are made ready, and the list that `gen_init_cpio` reads.
///
/// ```
/// files/NUMBER              one for each file of the image but the modules; symbolic links where nothing is changed
/// lib/modules/RELEASE/...   the modules, as depmod -b wants them
/// list, image
/// ```
/// Files are numbered since the list cannot name a path with a space in it.
struct ImageStaging {
    let folder: String
    let runner: ProcessRunner

    func remove() { try? FileManager.default.removeItem(atPath: folder) }

    /// Copies what has to be changed, makes the module index, and writes the list.
    func fill(_ contents: ImageContents) async throws {
        try make("files")
        var lines = contents.folders.map { "dir \($0.path) \(octal($0.mode)) 0 0" }
        // The kernel opens it as PID 1's standard streams before anything is mounted.
        lines.append("nod /dev/console 0600 0 0 c 5 1")

        var programs: [String] = []
        for (number, (path, file)) in contents.files.sorted(by: { $0.key < $1.key }).enumerated() {
            let staged = "files/\(number)"
            if try place(file, at: staged) { programs.append(staged) }
            lines.append("file \(path) \(staged) \(octal(file.mode)) 0 0")
        }
        try await strip("--strip-all", programs)
        for (path, target) in contents.links.sorted(by: { $0.key < $1.key }) {
            lines.append("slink \(path) \(target) 0777 0 0")
        }
        if let modules = contents.modules { lines += try await fill(modules) }
        try Files.write(lines.joined(separator: "\n") + "\n", to: folder + "/list")
    }

    /// Puts one file into the staging folder; true if it is a program whose symbols are to go.
    private func place(_ file: ImageContents.File, at staged: String) throws -> Bool {
        let target = "\(folder)/\(staged)"
        switch file.source {
        case .text(let text): try Files.write(text, to: target)
        case .path(let path) where file.isStripped:
            let content = try Files.bytes(path)
            try Files.write(content, to: target)
            return content.starts(with: [0x7f, 0x45, 0x4c, 0x46])
        case .path(let path):
            let absolute = URL(fileURLWithPath: path).path
            guard Files.exists(absolute) else { throw Files.unreadable(path, cause: "It is not there.") }
            try making(staged) {
                try FileManager.default.createSymbolicLink(atPath: target, withDestinationPath: absolute)
            }
        }
        return false
    }

    private func strip(_ option: String, _ files: [String]) async throws {
        if !files.isEmpty { try await runner.check(Command("strip", [option] + files, in: folder)) }
    }

    // MARK: - Modules

    /// Copies the modules without their debug information, indexes them, and returns the lines for all of it.
    private func fill(_ modules: ImageContents.Modules) async throws -> [String] {
        let base = "lib/modules/\(modules.release)"
        try make(base)
        for (name, source) in modules.files { try Files.write(Files.bytes(source), to: "\(folder)/\(base)/\(name)") }
        let names = modules.files.keys.filter(ImageContents.isModule).sorted()
        try await strip("--strip-debug", names.filter { $0.hasSuffix(".ko") }.map { "\(base)/\($0)" })

        // An empty configuration, since the host's own may prefer other folders.
        try make("configuration")
        try await runner.check(Command("depmod", ["-b", ".", "-C", "configuration", modules.release], in: folder))
        let found = FileManager.default.enumerator(atPath: "\(folder)/\(base)")?.allObjects as? [String] ?? []
        return found.sorted().filter { !Files.isFolder("\(folder)/\(base)/\($0)") }.map { name in
            "file /\(base)/\(name) \(base)/\(name) 0644 0 0"
        }
    }

    // MARK: - The archive

    /// Runs `gen_init_cpio` and moves its output to the final place.
    func archive(generator: String, to path: String) async throws {
        let generator = URL(fileURLWithPath: generator).path
        // Bases differ in the other options; a timestamp and standard output are what all of them know.
        try await runner.check(Command("sh", ["-c", "exec \"$0\" -t 0 list > image", generator], in: folder))
        // It does not look at whether its last write succeeded.
        guard ImageBuilder.isComplete(folder + "/image") else {
            throw LabError(
                "image-incomplete", "The guest's image could not be written to its end",
                cause: "The archive at \(path) has no trailer.", next: "Free some disk space.")
        }
        guard rename(folder + "/image", path) == 0 else {
            throw LabError("file-unwritable", "\(path) cannot be put in place", cause: String(cString: strerror(errno)))
        }
    }

    private func make(_ name: String) throws {
        try making(name) {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
        }
    }

    private func making(_ name: String, _ work: () throws -> Void) throws {
        do {
            try work()
        } catch {
            throw LabError("file-unwritable", "\(folder)/\(name) cannot be made", cause: error.localizedDescription)
        }
    }

    private func octal(_ mode: UInt16) -> String { "0" + String(mode, radix: 8) }
}
