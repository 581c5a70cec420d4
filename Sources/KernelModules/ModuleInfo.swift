// SPDX-License-Identifier: Apache-2.0
import CKmod
import Glibc

/// What a module's file says about itself, in its `.modinfo` section (kernel: include/linux/moduleinfo.h).
public struct ModuleInfo: Sendable, Equatable {
    /// One parameter of a module.
    public struct Parameter: Sendable, Equatable {
        /// Its name, as on modprobe's command line.
        public let name: String
        /// Its C type such as `int` or `charp`, where the file tells.
        public let type: String?
        /// What the module's author says about it.
        public let description: String?
    }

    /// The module's name.
    public let name: String
    /// The kernel it was built for: release, then the options that change the binary interface, such as
    /// `6.12.117 SMP mod_unload` (kernel: include/linux/vermagic.h); empty if the file has none.
    public let vermagic: String
    /// The modules it needs, by name.
    public let dependencies: [String]
    /// Its parameters, by name.
    public let parameters: [Parameter]

    /// The kernel release, the first word of ``vermagic``.
    public var kernelRelease: String { vermagic.split(separator: " ").first.map(String.init) ?? "" }

    /// Reads a module's file; it is not loaded, and need not fit the running kernel.
    ///
    /// - Throws: ``ModuleError``, with `ENOEXEC` for a file that is not a kernel module.
    public init(path: String) throws(ModuleError) {
        let kmod = try ModuleContext()
        let entries = try kmod.entries(path: path)
        func first(_ key: String) -> String? { entries.first { $0.key == key }?.value }

        guard let name = first("name") else {
            throw ModuleError(.inspect, path, ENOEXEC, "it does not tell its name")
        }
        self.name = name
        vermagic = Self.trimmed(first("vermagic") ?? "")
        dependencies = (first("depends") ?? "").split(separator: ",").map(String.init)
        parameters = Self.parameters(in: entries)
    }

    /// The parameters that `.modinfo` entries tell of, by name.
    static func parameters(in entries: [(key: String, value: String)]) -> [Parameter] {
        let types = Dictionary(pairs(entries, "parmtype")) { first, _ in first }
        let descriptions = Dictionary(pairs(entries, "parm")) { first, _ in first }
        return Set(types.keys).union(descriptions.keys).sorted().map { name in
            Parameter(name: name, type: types[name], description: descriptions[name])
        }
    }

    /// The values of a key that look like `name:text`.
    private static func pairs(_ entries: [(key: String, value: String)], _ key: String) -> [(String, String)] {
        entries.filter { $0.key == key }.compactMap { entry in
            let parts = entry.value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
        }
    }

    /// The kernel ends a vermagic with a space.
    private static func trimmed(_ text: String) -> String {
        text.split(separator: " ").joined(separator: " ")
    }
}
