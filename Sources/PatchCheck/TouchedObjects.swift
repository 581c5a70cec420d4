// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner

/// Finds the objects that a patch has to be compiled into to say that it builds.
///
/// A touched `.c` or `.S` file is its own object. A touched header is compiled by the files that name it in an
/// `#include`: those of mm/ and lib/test_hmm.c, and for a header that does not lie in an include folder those beside it.
/// That is a choice: all of the kernel includes linux/mm.h, and nobody would wait for all of the kernel after each patch.
struct TouchedObjects {
    /// What a patch touches.
    struct Touched: Sendable, Codable, Equatable {
        /// Objects by their names relative to the tree, sorted.
        var objects: [String]
        /// Files of C that the patch itself changes and leaves there, sorted.
        var files: [String]
        /// What no object stands for, in words.
        var notes: [String]
    }

    let store: ObjectStore
    let runner: ProcessRunner
    let ledger: CheckLedger

    /// Folders whose C is no part of the kernel.
    private static let foreign = ["tools/", "scripts/", "samples/", "Documentation/", "usr/"]

    /// What a patch touches.
    ///
    /// - Parameters:
    ///   - patch: the patch.
    ///   - tree: the tree after it.
    func of(_ patch: Patch, tree: String) async throws -> Touched {
        let paths = Set(patch.files.compactMap(\.newPath)).sorted()
        let ours = paths.filter { path in !Self.foreign.contains { path.hasPrefix($0) } }
        let files = ours.filter { $0.hasSuffix(".c") || $0.hasSuffix(".h") }
        var objects = Set(ours.filter { $0.hasSuffix(".c") || $0.hasSuffix(".S") }.map { String($0.dropLast(1) + "o") })
        var notes: [String] = []
        for header in ours where header.hasSuffix(".h") {
            let users = try await users(of: header, tree: tree)
            if users.isEmpty { notes.append("\(header): no file of mm/ or beside it names it in an #include") }
            objects.formUnion(users.map { String($0.dropLast(1) + "o") })
        }
        return Touched(objects: objects.sorted(), files: files, notes: notes)
    }

    /// The name by which a header is included, and where to look for who does.
    static func search(for header: String) -> (name: String, places: [String]) {
        let common = ["mm/*.c", "lib/test_hmm.c"]
        if let match = header.firstMatch(of: /(?:^|\/)include\/(?:uapi\/)?(.+)$/) { return (String(match.1), common) }
        let folder = (header as NSString).deletingLastPathComponent
        let name = (header as NSString).lastPathComponent
        return (name, folder.isEmpty || folder == "mm" ? common : common + ["\(folder)/*.c"])
    }

    private func users(of header: String, tree: String) async throws -> [String] {
        let key = CheckLedger.key(["question": "who includes", "header": header, "tree": tree])
        if let known = ledger.read([String].self, key) { return known }
        let (name, places) = Self.search(for: header)
        let pattern = #"^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^<"]*/)?"# + Self.quoted(name) + #"[>"]"#
        let output = try await runner.run(
            store.command(["grep", "-l", "-E", "-e", pattern, tree, "--"] + places.map { ":(glob)" + $0 }))
        // git-grep(1) returns 1 if there is nothing.
        guard [.exited(0), .exited(1)].contains(output.ending) else {
            throw ProcessRunner.failure(of: store.command(["grep", "-e", pattern, tree]), output)
        }
        let files = output.standardOutput.split(separator: "\n").map { String($0.dropFirst(tree.count + 1)) }
        try ledger.write(files, key)
        return files
    }

    private static func quoted(_ name: String) -> String { name.replacing(/[.+*?\[\](){}^$|\\]/) { "\\\($0.output)" } }
}
