// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import Pipeline

@Suite("The folder of a run")
struct RunFolderTests {
    /// 2026-01-02 03:04:05 UTC.
    private static let date = Date(timeIntervalSince1970: 1_767_323_045)

    @Test("is named by time and process, and the latest is linked")
    func names() async throws {
        try await withTemporaryFolder { root in
            let cache = Cache(root: root + "/cache")
            let first = try RunFolder.make(in: cache, now: Self.date)
            #expect(first.id == "20260102-030405-\(getpid())")
            #expect(first.path == "\(root)/cache/runs/\(first.id)")
            #expect(Files.isFolder(first.path))
            let latest = cache.root + "/runs/latest"
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: latest) == first.id)

            let second = try RunFolder.make(in: cache, now: Self.date.addingTimeInterval(1))
            #expect(second.path != first.path)
            #expect(Files.isFolder(first.path) && Files.isFolder(second.path))
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: latest) == second.id)
            // The link was renamed into place; nothing of that is left.
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: cache.root + "/runs").sorted() == [
                    first.id, second.id, "latest",
                ])
        }
    }

    @Test("is another one for a second run of the same second")
    func sameSecond() async throws {
        try await withTemporaryFolder { root in
            let cache = Cache(root: root + "/cache")
            let first = try RunFolder.make(in: cache, now: Self.date)
            let second = try RunFolder.make(in: cache, now: Self.date)
            #expect(first.path != second.path)
        }
    }

    @Test("has a folder for each boot")
    func boots() async throws {
        try await withTemporaryFolder { root in
            let folder = try RunFolder.make(in: Cache(root: root), now: Self.date)
            #expect(try folder.boot(0) == folder.path + "/boot-0")
            #expect(try folder.boot(1) == folder.path + "/boot-1")
            #expect(try folder.boot(1) == folder.path + "/boot-1")
            #expect(Files.isFolder(folder.path + "/boot-0") && Files.isFolder(folder.path + "/boot-1"))
        }
    }

    @Test("pushes out the oldest of more than fifty, and nothing that is no run")
    func pruning() async throws {
        try await withTemporaryFolder { root in
            let cache = Cache(root: root)
            let runs = try cache.folder("runs")
            let old = (1...RunFolder.kept).map { String(format: "20250101-0000%02d-77", $0) }
            for name in old { try Files.write("x", to: try cache.folder("runs", name) + "/record.json") }
            try Files.write("mine", to: runs + "/notes")
            #expect(RunFolder.kept == 50)

            let made = try RunFolder.make(in: cache, now: Self.date)
            let names = Set(try FileManager.default.contentsOfDirectory(atPath: runs))
            #expect(names == Set(old.dropFirst() + [made.id, "latest", "notes"]))
        }
    }
}
