// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// Every entry of an image by its path in the guest, before anything is copied.
struct ImageContents {
    /// Where a file's content comes from.
    enum Source: Equatable {
        case path(String)
        case text(String)
    }

    struct File: Equatable {
        var source: Source
        var mode: UInt16
        /// Whether symbols are left out.
        var isStripped = false
    }

    /// Kernel modules and the lists that belong to them, by their path below `/lib/modules/RELEASE`.
    struct Modules: Equatable {
        var release: String
        var files: [String: String]
    }

    private(set) var files: [String: File] = [:]
    /// Symbolic links and where they point.
    private(set) var links: [String: String] = [:]
    private(set) var modules: Modules?

    /// Folders that the guest expects, with their permission bits; all others are 0755.
    static let folders: [String: UInt16] = [
        "/dev": 0o755, "/proc": 0o555, "/root": 0o700, "/run": 0o755, "/sys": 0o555, "/tmp": 0o1777,
    ]

    /// Works out what an image contains; modules that do not belong to the kernel are refused here.
    init(_ description: ImageDescription, runner: ProcessRunner) async throws {
        let programs = [ImageDescription.Program(description.initProgram, to: "/init")] + description.programs
        for program in programs {
            try add(program.destination, File(source: .path(program.source), mode: 0o755, isStripped: true))
        }
        let busybox = description.busybox.map { ImageDescription.Program($0, to: "/bin/busybox") }
        if let busybox { try add(busybox.destination, File(source: .path(busybox.source), mode: 0o755)) }
        for file in description.files {
            try add(file.destination, File(source: .path(file.source), mode: file.mode))
        }
        for program in programs + [busybox].compactMap({ $0 }) {
            for library in try await SharedLibraries(runner: runner).needed(by: program.source) {
                try add(library.destination, File(source: .path(library.source), mode: 0o755))
            }
        }
        if let modules = description.modules { try add(modules) }
        if let busybox { try await addApplets(of: busybox, runner) }
        addDefault("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        addDefault("/etc/group", "root:x:0:\n")
        try checkFolders()
    }

    private mutating func add(_ path: String, _ file: File) throws {
        try Self.check(path)
        if let other = files[path], other.source != file.source {
            throw LabError(
                "image-conflict", "Two files want to be \(path) in the guest",
                cause: "They are \(other.source.name) and \(file.source.name).")
        }
        files[path] = file
    }

    private mutating func addDefault(_ path: String, _ text: String) {
        if files[path] == nil { files[path] = File(source: .text(text), mode: 0o644) }
    }

    /// gen_init_cpio separates the words of its list by spaces, and knows no quoting.
    private static func check(_ path: String) throws {
        let isPlain = path.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        guard isPlain, path.hasPrefix("/"), parts.allSatisfy({ !["", ".", ".."].contains($0) }) else {
            throw LabError(
                "image-path", exit: .usage, "`\(path)` cannot be a path in the guest",
                next: "Use an absolute path without spaces, `.` and `..`.")
        }
    }

    // MARK: - Modules

    private mutating func add(_ modules: ImageDescription.Modules) throws {
        var files: [String: String] = [:]
        if let folder = modules.folder {
            guard let names = FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] else {
                throw Files.unreadable(folder, cause: "It should hold the kernel's modules.")
            }
            // The links to the build tree and the index that belongs to the unstripped modules stay behind.
            for name in names where Self.isModule(name) || name.hasPrefix("modules.builtin") || name == "modules.order"
            {
                files[name] = "\(folder)/\(name)"
            }
        }
        let own = files.filter { Self.isModule($0.key) }.sorted { $0.key < $1.key }.map(\.value)
        for path in modules.external { files["updates/" + (path as NSString).lastPathComponent] = path }
        for name in files.keys { try Self.check("/lib/modules/\(modules.kernelRelease)/\(name)") }
        try ModuleCheck.verify(
            own + modules.external, kernelRelease: modules.kernelRelease, reference: own.first)
        self.modules = Modules(release: modules.kernelRelease, files: files)
    }

    /// Whether a file is a kernel module, compressed or not.
    static func isModule(_ name: String) -> Bool {
        [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].contains { name.hasSuffix($0) }
    }

    // MARK: - Busybox

    private mutating func addApplets(of busybox: ImageDescription.Program, _ runner: ProcessRunner) async throws {
        let listing = try await runner.check(Command(busybox.source, ["--list"]))
        for applet in listing.split(separator: "\n").map(String.init) {
            let path = "/bin/\(applet)"
            try Self.check(path)
            if files[path] == nil { links[path] = "busybox" }
        }
        // The kernel loads modules on demand, such as a filesystem's, by this path.
        if links["/bin/modprobe"] != nil { links["/sbin/modprobe"] = "/bin/busybox" }
    }

    // MARK: - The whole

    /// Every folder, each after the one it is in.
    var folders: [(path: String, mode: UInt16)] {
        var folders = Self.folders
        var paths = Array(files.keys) + links.keys
        if let modules { paths += ["/lib/modules/\(modules.release)/x"] + modules.files.keys.map(path(ofModule:)) }
        for path in paths {
            var parent = (path as NSString).deletingLastPathComponent
            while parent != "/" && !parent.isEmpty && folders[parent] == nil {
                folders[parent] = 0o755
                parent = (parent as NSString).deletingLastPathComponent
            }
        }
        return folders.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private func path(ofModule name: String) -> String { "/lib/modules/\(modules?.release ?? "")/\(name)" }

    private func checkFolders() throws {
        for folder in folders where files[folder.path] != nil {
            throw LabError("image-conflict", "\(folder.path) would be both a file and a folder in the guest")
        }
    }

    /// Records every entry.
    ///
    /// - Throws: ``LabError`` `file-unreadable`.
    func sign(_ signature: inout Signature) throws {
        for (path, file) in files {
            signature.add("file \(path)", "\(file.mode) \(file.isStripped) \(try file.source.digest)")
        }
        for (path, target) in links { signature.add("link \(path)", target) }
        guard let modules else { return }
        signature.add("kernel", modules.release)
        for (name, source) in modules.files { signature.add("module \(name)", "\(try Source.path(source).digest)") }
    }
}

extension ImageContents.Source {
    /// What people can call it.
    fileprivate var name: String {
        switch self {
        case .path(let path): path
        case .text: "hmmlab's own"
        }
    }

    fileprivate var digest: Digest {
        get throws {
            switch self {
            case .text(let text): return Digest(of: text)
            case .path(let path):
                do {
                    return try Digest(ofFile: path)
                } catch {
                    throw Files.unreadable(path, cause: error.localizedDescription)
                }
            }
        }
    }
}
