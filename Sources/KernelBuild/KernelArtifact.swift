// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Who needs the compressed image: packing it takes as long as compiling a patch does.
public enum ImageNeed: Sendable {
    /// It is made, whatever the configuration.
    case always
    /// It is made if vmlinux cannot be started by itself.
    case unlessPVH
}

/// A built kernel in the cache, named by the content of everything that made it.
public struct KernelArtifact: Sendable, Codable, Equatable {
    /// SHA-256 over the inputs, 64 hexadecimal digits.
    public var signature: String
    /// `uname -r` of the kernel.
    public var release: String
    /// Folder that holds everything below; absolute.
    public var folder: String
    /// The compressed image, arch/x86/boot/bzImage; nil if nobody needed it yet, see ``ImageNeed``.
    public var image: String?
    /// The ELF image with line numbers.
    public var vmlinux: String
    /// Symbol addresses.
    public var systemMap: String
    /// The configuration as built.
    public var config: String
    /// Folder that holds `lib/modules/<release>` with a depmod index.
    public var modules: String
    /// The kernel's own initramfs packer, usr/gen_init_cpio.
    public var initramfsPacker: String
    /// The kernel's own scripts/decode_stacktrace.sh.
    public var stackDecoder: String
    /// The log of make.
    public var buildLog: String
    /// Objects compiled in the run that made this artifact.
    public var objectsCompiled: Int
    /// The inputs by name, so that two artifacts can be compared.
    public var inputs: [String: String]

    /// Whether vmlinux can be started without its boot loader stages (`CONFIG_PVH`).
    public var hasPVHEntry: Bool { Self.hasPVHEntry(config) }

    /// Whether a finished .config asks for the PVH entry.
    static func hasPVHEntry(_ config: String) -> Bool {
        ((try? Files.text(config)) ?? "").split(whereSeparator: \.isNewline).contains("CONFIG_PVH=y")
    }

    /// Whether whoever needs the image this much has it.
    func satisfies(_ need: ImageNeed) -> Bool { image != nil || need == .unlessPVH && hasPVHEntry }

    static let manifestName = "manifest.json"

    /// The artifact in a folder; nil unless everything is there.
    static func load(from folder: String) -> KernelArtifact? {
        guard let data = try? Files.bytes(folder + "/" + manifestName),
            var artifact = try? JSON.value(KernelArtifact.self, from: data)
        else { return nil }
        artifact.relocate(to: folder)
        let files = [
            artifact.vmlinux, artifact.systemMap, artifact.config, artifact.initramfsPacker,
            artifact.stackDecoder,
        ]
        let isWhole =
            files.allSatisfy(Files.hasContent) && Files.exists(artifact.buildLog)
            && Files.isFolder("\(artifact.modules)/lib/modules/\(artifact.release)")
        return isWhole ? artifact : nil
    }

    /// Where the compressed image lies, or would lie.
    var imagePath: String { folder + "/bzImage" }

    mutating func relocate(to folder: String) {
        self.folder = folder
        image = Files.hasContent(imagePath) ? imagePath : nil
        vmlinux = folder + "/vmlinux"
        systemMap = folder + "/System.map"
        config = folder + "/config"
        modules = folder + "/modules"
        initramfsPacker = folder + "/gen_init_cpio"
        stackDecoder = folder + "/decode_stacktrace.sh"
        buildLog = folder + "/build.log"
    }

    init(signature: String, release: String, folder: String, objectsCompiled: Int, inputs: [String: String]) {
        self.signature = signature
        self.release = release
        self.objectsCompiled = objectsCompiled
        self.inputs = inputs
        (self.folder, vmlinux, systemMap, config) = ("", "", "", "")
        (modules, initramfsPacker, stackDecoder, buildLog) = ("", "", "", "")
        relocate(to: folder)
    }
}
