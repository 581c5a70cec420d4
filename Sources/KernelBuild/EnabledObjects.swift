// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Tells which objects a configuration has: make compiles any file that is asked for by name, enabled or not.
struct EnabledObjects {
    let source: String
    /// The object folder, whose `.config` counts.
    let objects: String
    let runner: ProcessRunner

    /// The objects among these that no Makefile on the way to them lists (Documentation/kbuild/makefiles.rst).
    ///
    /// Folders without a Makefile, and those of the architecture, which its own Makefile names in ways of its own, are
    /// taken to be there.
    func missing(_ names: [String]) async throws -> Set<String> {
        var lists: [String: Set<String>?] = [:]
        var missing: Set<String> = []
        for name in names where !name.hasPrefix("arch/") {
            var entry = (name as NSString).lastPathComponent
            var folder = (name as NSString).deletingLastPathComponent
            while !folder.isEmpty {
                if lists[folder] == nil { lists[folder] = .some(try await list(folder)) }
                if let list = lists[folder] ?? nil, !list.contains(entry) {
                    missing.insert(name)
                    break
                }
                entry = (folder as NSString).lastPathComponent + "/"
                folder = (folder as NSString).deletingLastPathComponent
                // The top Makefile lists folders in ways of its own.
                if folder.isEmpty { break }
            }
        }
        return missing
    }

    /// What a folder's Makefile lists, with the parts of what is linked from several objects; nil if it cannot be told.
    private func list(_ folder: String) async throws -> Set<String>? {
        guard let file = ["Kbuild", "Makefile"].map({ "\(source)/\(folder)/\($0)" }).first(where: Files.exists) else {
            return nil
        }
        let text = """
            hmmlab:
            include .config
            srctree := \(source)
            src := \(source)/\(folder)
            obj := \(folder)
            include \(file)
            listed = $(obj-y) $(obj-m) $(lib-y) $(lib-m)
            parts = $(foreach o,$(filter %.o,$(1)),$($(o:.o=)-y) $($(o:.o=)-objs) $($(o:.o=)-m))
            .PHONY: hmmlab
            hmmlab: ; @echo $(listed) $(call parts,$(listed)) $(call parts,$(call parts,$(listed)))

            """
        let path = objects + "/.hmmlab-objects.mk"
        try Files.write(text, to: path)
        let output = try await runner.run(
            Command(
                "make", ["-s", "-r", "-R", "-f", path], environment: ["MAKEFLAGS": nil, "LC_ALL": "C"], in: objects))
        guard output.ending.isSuccess else { return nil }
        return Set(output.standardOutput.split(whereSeparator: \.isWhitespace).map(String.init))
    }
}
