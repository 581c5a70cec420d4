// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// A fault that is planted on purpose, to see which tests notice it: a diff, and a header that says what is wrong.
///
/// The file begins with `Field: text` lines, whose texts may go on in lines that begin with a blank; an empty line and a
/// unified diff (`diff -u`, or git's) follow.
public struct Mutant: Sendable, Equatable {
    /// Where a fault comes from.
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// A bug that the kernel, or our driver, has had.
        case historical
        /// One place, changed by hand.
        case mutation
    }

    /// Which source a fault is planted in.
    public enum Target: Sendable, Equatable {
        /// The kernel.
        case kernel
        /// hmmlab's own driver.
        case driver
    }

    /// Its name: `H01`.
    public let id: String
    /// Where it comes from.
    public let kind: Kind
    /// What goes wrong, in a word or two: `OOB/DATA`.
    public let category: String
    /// The file and the function.
    public let place: String
    /// What is wrong.
    public let defect: String
    /// What a user would see.
    public let symptom: String
    /// The configuration, or the set-up, that it shows with; empty if any will do.
    public let needs: String
    /// Why nothing can notice it, being equivalent or out of reach; nil for one that tests should kill.
    public let inert: String?
    /// Whether it is a fault of our own series, and applies only on top of it.
    public let isOfSeries: Bool
    /// The file it was read from, as given.
    public let path: String
    /// The diff, from its first `---` line.
    public let diff: String

    /// The files that it changes, from the root of the source, in their order.
    public var files: [String] {
        diff.split(separator: "\n").compactMap { line in
            guard line.hasPrefix("+++ ") else { return nil }
            let name = line.dropFirst(4).prefix { $0 != "\t" }
            return String(name.hasPrefix("b/") ? name.dropFirst(2) : name)
        }
    }

    /// What it is planted in.
    public var target: Target { files.allSatisfy { $0.hasPrefix("kernel-patches/") } ? .driver : .kernel }

    /// Reads a mutant.
    ///
    /// - Throws: ``LabError`` `mutant-bad`.
    public init(text: String, path: String) throws {
        func bad(_ cause: String) -> LabError {
            LabError(
                "mutant-bad", exit: .usage, "\(path) is no mutant", cause: cause,
                next:
                    "It takes a header with Mutant, Kind, Where, Class, Defect and Symptom, an empty line, and a diff.")
        }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let first = lines.firstIndex(where: { $0.hasPrefix("--- ") || $0.hasPrefix("diff ") }) else {
            throw bad("It has no diff.")
        }
        var fields: [String: String] = [:]
        var last: String?
        for line in lines[..<first] where !line.allSatisfy(\.isWhitespace) {
            if line.first == " " || line.first == "\t", let last {
                fields[last, default: ""] += " " + line.trimmingCharacters(in: .whitespaces)
                continue
            }
            guard let colon = line.firstIndex(of: ":"), !line[..<colon].contains(" ") else {
                throw bad("This line of its header is no field: \(line.prefix(80))")
            }
            let name = String(line[..<colon])
            guard fields[name] == nil else { throw bad("It has the field \(name) twice.") }
            fields[name] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            last = name
        }
        func field(_ name: String) throws -> String {
            guard let text = fields[name], !text.isEmpty else { throw bad("It has no field \(name).") }
            return text
        }
        id = try field("Mutant")
        guard id.wholeMatch(of: /[A-Za-z0-9][A-Za-z0-9._-]*/) != nil else {
            throw bad("\(id) can be no name: letters, digits, dots, dashes and underscores can.")
        }
        let word = try field("Kind")
        guard let kind = Kind(rawValue: word) else {
            throw bad("Its kind \(word) is none of \(Kind.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        self.kind = kind
        category = try field("Class")
        place = try field("Where")
        defect = try field("Defect")
        symptom = try field("Symptom")
        needs = fields["Needs"] ?? ""
        inert = fields["Inert"]
        switch fields["On"] {
        case nil: isOfSeries = false
        case "series": isOfSeries = true
        case .some(let other): throw bad("It is on \(other); the only word there is series.")
        }
        self.path = path
        diff = lines[first...].joined(separator: "\n")
        guard !files.isEmpty else { throw bad("Its diff names no file.") }
    }

    /// The mutants of a folder, in an order in which neighbours change the same files.
    ///
    /// - Parameter folder: holds one mutant in each file `*.patch`.
    /// - Throws: ``LabError`` `mutant-bad`, `mutants-none`, and what reading files throws.
    public static func all(in folder: String) throws -> [Mutant] {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter {
            $0.hasSuffix(".patch")
        }
        guard !names.isEmpty else {
            throw LabError(
                "mutants-none", exit: .usage, "There are no mutants in \(folder)",
                cause: Files.isFolder(folder) ? "It has no file *.patch." : "There is no such folder.",
                next: "Name a folder with --corpus.")
        }
        var mutants: [Mutant] = []
        for name in names.sorted() {
            let path = "\(folder)/\(name)"
            let mutant = try Mutant(text: try Files.text(path, exit: .usage), path: path)
            if let other = mutants.first(where: { $0.id == mutant.id }) {
                throw LabError(
                    "mutant-bad", exit: .usage, "\(path) and \(other.path) are both called \(mutant.id)",
                    next: "Give one of them another name in its field Mutant.")
            }
            mutants.append(mutant)
        }
        // An object is compiled again when its file changes and when it changes back.
        return mutants.sorted { ($0.files, $0.id) < ($1.files, $1.id) }
    }
}

private func < (one: ([String], String), other: ([String], String)) -> Bool {
    one.0 == other.0 ? one.1 < other.1 : one.0.lexicographicallyPrecedes(other.0)
}
