// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// Makes the guest's initramfs, without root rights, and so that the same inputs give the same bytes.
///
/// The format is the kernel's (Documentation/driver-api/early-userspace/buffer-format.rst).
///
/// The archive is written by the kernel's own `gen_init_cpio`. It is not compressed: QEMU hands it over in memory, and
/// unpacking it would cost an emulated processor more time than copying it.
public struct ImageBuilder: Sendable {
    /// Changes when the same inputs would give another image than an earlier hmmlab made.
    private static let layout = 1

    private let runner: ProcessRunner
    private let generator: String

    /// A builder that uses a kernel's `usr/gen_init_cpio`, from the object directory of any base.
    public init(runner: ProcessRunner, generator: String) {
        self.runner = runner
        self.generator = generator
    }

    /// What decides the image's bytes; two descriptions with the same signature give the same image.
    ///
    /// - Throws: ``LabError``, as ``build(_:to:workingIn:)`` does.
    public func signature(of description: ImageDescription) async throws -> Signature {
        var signature = Signature()
        signature.add("layout", "\(Self.layout)")
        signature.add("generator", "\(try Digest(of: Files.bytes(generator)))")
        for tool in ["strip", "depmod"] {
            let version = try await runner.check(Command(tool, ["--version"]))
            signature.add(tool, String(version.prefix { !$0.isNewline }))
        }
        try await ImageContents(description, runner: runner).sign(&signature)
        return signature
    }

    /// Whether there is an image at a path that goes to its end: a `TRAILER!!!` in the last 1024 bytes, since
    /// the padding to whole blocks of 512 may begin in the middle of it.
    ///
    /// One that does not, after a crash of the host, is built again by ``build(_:to:workingIn:)``, which replaces it.
    public static func isComplete(_ path: String) -> Bool {
        guard let image = FileHandle(forReadingAtPath: path) else { return false }
        defer { try? image.close() }
        guard let size = try? image.seekToEnd(), (try? image.seek(toOffset: size > 1024 ? size - 1024 : 0)) != nil,
            let end = try? image.readToEnd()
        else { return false }
        return end.range(of: Data("TRAILER!!!".utf8)) != nil
    }

    /// Builds the image; it appears at its path when it is complete.
    ///
    /// - Parameters:
    ///   - path: where the image is to be.
    ///   - work: a folder for work in progress on the same filesystem; it is made, and removed at the end.
    /// - Throws: ``LabError`` `module-mismatch`, `module-unreadable`, `library-missing`, `image-conflict`,
    ///   `image-path`, `image-incomplete`, `file-unreadable`, `file-unwritable`, and what ProcessRunner's `check`
    ///   throws.
    public func build(_ description: ImageDescription, to path: String, workingIn work: String) async throws {
        let contents = try await ImageContents(description, runner: runner)
        let staging = ImageStaging(folder: work, runner: runner)
        defer { staging.remove() }
        try await staging.fill(contents)
        try await staging.archive(generator: generator, to: path)
    }
}
