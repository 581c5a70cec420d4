// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import TOMLKit

/// A named list of configuration fragments.
public struct Flavour: Sendable, Equatable, Codable {
    /// The name that `--flavour` takes.
    public var name: String
    /// What it is for, in one clause.
    public var summary: String
    /// Fragment names without folder and suffix, in the order of merging.
    public var fragments: [String]
    /// Words for the kernel command line of whatever is booted with it; no part of the kernel.
    public var append: [String] = []
}

/// The folder `qemu/kconfig`: flavours and their fragments.
public struct FlavourFolder: Sendable {
    private let folder: String

    /// The folder at a path.
    public init(_ folder: String) { self.folder = folder }

    private struct Entry: Decodable {
        var summary: String
        var fragments: [String]
        var append: [String]?
    }

    /// All flavours, by name.
    ///
    /// - Throws: ``LabError`` `flavours-bad`, `file-unreadable`.
    public func all() throws -> [Flavour] {
        let path = folder + "/flavours.toml"
        do {
            let entries = try TOMLDecoder().decode([String: Entry].self, from: try Files.text(path))
            return try entries.map { try Self.flavour($0.key, $0.value, in: path) }.sorted { $0.name < $1.name }
        } catch let error as LabError {
            throw error
        } catch {
            throw LabError("flavours-bad", exit: .usage, "\(path) cannot be understood", cause: "\(error)")
        }
    }

    /// One word each, so that they can be told apart wherever they are shown or looked for.
    private static func flavour(_ name: String, _ entry: Entry, in path: String) throws -> Flavour {
        let words = entry.append ?? []
        if let wrong = words.first(where: { $0.isEmpty || $0.contains(where: \.isWhitespace) }) {
            throw LabError(
                "flavours-bad", exit: .usage, "\(path) cannot be understood",
                cause: "append of the flavour \(name) has \"\(wrong)\", which is not one word",
                next: "Make it a list with one word of the kernel command line in each string.")
        }
        return Flavour(name: name, summary: entry.summary, fragments: entry.fragments, append: words)
    }

    /// The flavour of a name.
    ///
    /// - Throws: ``LabError`` `flavour-unknown`.
    public func flavour(_ name: String) throws -> Flavour {
        let all = try all()
        guard let found = all.first(where: { $0.name == name }) else {
            throw LabError(
                "flavour-unknown", exit: .usage, "There is no flavour \(name)",
                next: "Take one of: \(all.map(\.name).joined(separator: ", ")).")
        }
        return found
    }

    /// A flavour's fragments for a kernel, those for its version only (`NAME@6.1.config`) after the general ones.
    ///
    /// - Parameter kernelVersion: such as `6.12.117`.
    /// - Throws: ``LabError`` `file-unreadable`, `fragment-bad`.
    public func fragments(of flavour: Flavour, kernelVersion: String) throws -> [Fragment] {
        let version = kernelVersion.split(separator: ".").prefix(2).joined(separator: ".")
        return try flavour.fragments.flatMap { name in
            let special = "\(name)@\(version).config"
            let files = ["\(name).config"] + (Files.exists("\(folder)/\(special)") ? [special] : [])
            return try files.map { try Fragment(name: $0, text: try Files.text("\(folder)/\($0)")) }
        }
    }
}
