// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import Pipeline

@Suite("Pruning a cache")
struct CachePrunerTests {
    /// A cache in a temporary folder.
    private struct Bench {
        let cache: Cache
        var pruner: CachePruner { CachePruner(cache: cache) }

        init(_ folder: String) { cache = Cache(root: folder + "/hmmlab") }

        /// Makes a folder with a file of 64 KiB in it, last used on a day of 2001.
        func put(_ path: String, day: Int) throws {
            try Files.write(Data(count: 64 << 10), to: "\(cache.root)/\(path)/data")
            try setUse(path, day: day)
        }

        func setUse(_ path: String, day: Int) throws {
            let date = Date(timeIntervalSince1970: 978_307_200 + Double(day) * 86_400)
            try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: "\(cache.root)/\(path)")
        }

        func has(_ path: String) -> Bool { Files.exists("\(cache.root)/\(path)") }

        /// Prunes; a program that another test starts at that moment holds a copy of the lock until its exec.
        func prune(
            to limit: ByteCount, believesNotes: Bool = false, isDryRun: Bool = false
        ) async throws -> PruneReport {
            for _ in 0..<500 {
                let report = try await pruner.prune(to: limit, believesNotes: believesNotes, isDryRun: isDryRun)
                if let report { return report }
                try await Task.sleep(for: .milliseconds(10))
            }
            return try #require(nil, "the lock stays taken")
        }

        /// The cache's size less a little, so that the oldest thing has to go.
        func tooSmall() async throws -> ByteCount { ByteCount(try await pruner.contents().size - 1) }
    }

    private func withBench(_ body: (Bench) async throws -> Void) async throws {
        try await withTemporaryFolder { try await body(Bench($0)) }
    }

    @Test("keeps recorded resolutions of conflicts, which nobody can make again")
    func resolutions() async throws {
        try await withBench { bench in
            try bench.put("rerere/0123456789", day: 1)
            try bench.put("artifacts/a", day: 2)
            #expect(try await bench.prune(to: ByteCount(0)).removed.map(\.paths) == [["artifacts/a"]])
            #expect(bench.has("rerere/0123456789/data"))
        }
    }

    @Test("removes the kernel that was not used for longest; looking one up counts as use")
    func leastRecentlyUsed() async throws {
        try await withBench { bench in
            for (day, name) in ["artifacts/a", "artifacts/b", "artifacts/c"].enumerated() {
                try bench.put(name, day: day)
            }
            bench.cache.markUsed(bench.cache.root + "/artifacts/a")
            let report = try await bench.prune(to: bench.tooSmall())
            #expect(report.removed.map(\.paths) == [["artifacts/b"]])
            #expect(report.failures.isEmpty)
            #expect(report.freed >= 64 << 10)
            #expect(bench.has("artifacts/a/data") && !bench.has("artifacts/b") && bench.has("artifacts/c/data"))
            let left = try await bench.pruner.contents()
            #expect(left.things.map(\.kind) == [.artifacts, .artifacts])
            #expect(try FileManager.default.contentsOfDirectory(atPath: bench.cache.root + "/staging").isEmpty)
        }
    }

    @Test("knows every kind, and leaves bases, ccache, locks and what it does not know")
    func everything() async throws {
        try await withBench { bench in
            let things = [
                "artifacts/s", "kselftests/s", "modules/s", "runs/20260101-000000-1", "work/w/src",
                "work/w/obj-fast-1", "staging/\(getpid())-x",
            ]
            for name in things { try bench.put(name, day: 1) }
            let files = [
                "images/s.cpio", "series/ab/abc.json", "checks/ab/abc.json", "recipients/ab/abc.json", "bisections/1",
                "matrices/1",
                "work/w/index",
            ]
            for name in files { try Files.write("x", to: "\(bench.cache.root)/\(name)") }
            let kept = ["store.git/objects", "ccache/a", "accelerator", "apt", "work/w/own", "runs/notes"]
            for name in kept { try bench.put(name, day: 1) }
            try Files.write("", to: bench.cache.root + "/work/w/lock")
            try FileManager.default.createSymbolicLink(
                atPath: bench.cache.root + "/runs/latest", withDestinationPath: "20260101-000000-1")

            let contents = try await bench.pruner.contents()
            #expect(Set(contents.things.flatMap(\.paths)) == Set(things + files))
            #expect(Set(contents.things.map(\.kind)) == Set(CacheThing.Kind.allCases))
            #expect(contents.bases >= 64 << 10 && contents.ccache >= 64 << 10)
            #expect(contents.size >= 64 << 10 * Int64(things.count + kept.count))

            let report = try await bench.prune(to: ByteCount(0))
            #expect(report.failures.isEmpty)
            for name in things + files { #expect(!bench.has(name), "\(name)") }
            for name in kept { #expect(bench.has(name + "/data"), "\(name)") }
            #expect(bench.has("work/w/lock"))
            let runs = try FileManager.default.contentsOfDirectory(atPath: bench.cache.root + "/runs")
            #expect(runs == ["notes"], "a link to nothing is left")
        }
    }

    @Test("takes a worktree for as young as its objects")
    func worktree() async throws {
        try await withBench { bench in
            try bench.put("work/w/src", day: 1)
            try bench.put("artifacts/a", day: 2)
            try bench.put("work/w/obj-fast-1", day: 3)
            let report = try await bench.prune(to: ByteCount(0), isDryRun: true)
            #expect(report.removed.map(\.kind) == [.artifacts, .objects, .worktrees])
            #expect(report.removed.last?.paths == ["work/w/index", "work/w/src"])
        }
    }

    @Test("measures worktrees and objects again after an hour only, or if a person asks")
    func notes() async throws {
        try await withBench { bench in
            let path = "work/w/obj-fast-1"
            try bench.put(path, day: 1)
            func size(_ believesNotes: Bool) async throws -> Int64 {
                try await bench.prune(
                    to: ByteCount(1 << 40), believesNotes: believesNotes, isDryRun: true
                ).size
            }
            let before = try await size(true)
            try Files.write(Data(count: 1 << 20), to: "\(bench.cache.root)/\(path)/more")
            #expect(try await size(true) < before + (1 << 20))
            #expect(try await size(false) >= before + (1 << 20))

            let now = Date()
            #expect(SizeNotes(in: bench.cache, now: now).sizes.keys.sorted() == [path])
            #expect(SizeNotes(in: bench.cache, now: now + SizeNotes.lifetime + 1).sizes.isEmpty)
            // A clock that was put back.
            #expect(SizeNotes(in: bench.cache, now: now - 60).sizes.isEmpty)
            try FileManager.default.removeItem(atPath: "\(bench.cache.root)/\(path)")
            #expect(SizeNotes(in: bench.cache, now: now).sizes.isEmpty)
        }
    }

    @Test("makes room by what the notes say")
    func notesCount() async throws {
        try await withBench { bench in
            try bench.put("work/w/obj-fast-1", day: 1)
            try bench.put("artifacts/a", day: 2)
            _ = try await bench.prune(to: ByteCount(1 << 40), believesNotes: true)
            let report = try await bench.prune(to: bench.tooSmall(), believesNotes: true)
            #expect(report.removed.map(\.kind) == [.objects])
            #expect(bench.has("artifacts/a/data"))
        }
    }

    @Test("only tells what would go, if so asked")
    func dryRun() async throws {
        try await withBench { bench in
            try bench.put("artifacts/a", day: 1)
            let report = try await bench.prune(to: ByteCount(0), isDryRun: true)
            #expect(report.removed.map(\.paths) == [["artifacts/a"]])
            #expect(bench.has("artifacts/a/data"))
        }
    }

    @Test("of a cache that does not exist is nothing")
    func noCache() async throws {
        try await withBench { bench in
            #expect(try await bench.pruner.contents().things.isEmpty)
            let report = try await bench.prune(to: ByteCount(0))
            #expect(report.removed.isEmpty)
        }
    }

    @Test("does nothing while another process uses the cache, and works again when that was killed")
    func otherProcess() async throws {
        try await withBench { bench in
            try bench.put("artifacts/a", day: 1)
            let lock = try bench.cache.useLock()
            // It says when it has the lock; then it is killed with it.
            let ready = bench.cache.root + "/ready"
            let other = Task {
                try await ProcessRunner().run(
                    Command("flock", ["-s", lock, "sh", "-c", "touch \"$0\"; exec sleep 600", ready]))
            }
            while !Files.exists(ready) { try await Task.sleep(for: .milliseconds(10)) }
            #expect(try await bench.pruner.prune(to: ByteCount(0)) == nil)
            #expect(bench.has("artifacts/a/data"))
            other.cancel()
            _ = try? await other.value
            #expect(try await bench.pruner.prune(to: ByteCount(0)) != nil)
            #expect(!bench.has("artifacts/a"))
        }
    }

    @Test("that is killed leaves everything whole or gone")
    func killed() async throws {
        try await withBench { bench in
            let names = (0..<10).map { "artifacts/\($0)" }
            func fill() throws {
                for name in names {
                    let folder = try bench.cache.folder(name)
                    for number in 0..<40 {
                        _ = FileManager.default.createFile(atPath: "\(folder)/\(number)", contents: nil)
                    }
                }
            }
            try fill()
            let clock = ContinuousClock()
            let whole = try await clock.measure { _ = try await bench.pruner.prune(to: ByteCount(0)) }
            // Longer only if the machine is busy with something else.
            let (work, rounds) = (min(whole, .seconds(1)), 5)
            for round in 1...rounds {
                try fill()
                let patience = Int(work / .microseconds(1)) * round / rounds
                await #expect(processExitsWith: .signal(SIGKILL)) {
                    [root = bench.cache.root as String, patience = patience as Int] in
                    Thread.detachNewThread {
                        usleep(UInt32(patience))
                        kill(getpid(), SIGKILL)
                    }
                    _ = try await CachePruner(cache: Cache(root: root)).prune(to: ByteCount(0))
                    kill(getpid(), SIGKILL)
                }
                for name in names where bench.has(name) {
                    let count = try FileManager.default.contentsOfDirectory(atPath: "\(bench.cache.root)/\(name)").count
                    #expect(count == 40, "\(name) is half gone")
                }
            }
            #expect(try await bench.pruner.prune(to: ByteCount(0)) != nil)
            #expect(try await bench.pruner.contents().things.isEmpty)
        }
    }
}

@Suite("A command that uses the cache")
struct LabUseTests {
    private let told = LockedValue([ProgressEvent]())

    private func using<Result>(
        _ folder: String, limit: String = "1K", _ work: (Lab) async throws -> Result
    ) async throws -> Result {
        let told = told
        return try await Lab.using(
            environment: [
                "XDG_CACHE_HOME": folder, "HMMLAB_ROOT": repository.path, "HMMLAB_CACHE_SIZE": limit,
            ], progress: { event in told.withLock { $0.append(event) } }, work)
    }

    /// Makes something that was last used long ago.
    private func putOld(_ folder: String) throws -> String {
        let old = folder + "/hmmlab/artifacts/old"
        try Files.write("x", to: old + "/data")
        for path in [old, folder + "/hmmlab/artifacts"] {
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: 1)], ofItemAtPath: path)
        }
        return old
    }

    private func add(_ lab: Lab) throws -> String {
        let new = try lab.cache.folder("artifacts", "new")
        try Files.write("x", to: new + "/data")
        return new
    }

    @Test("removes what is old when it has added something, and says so")
    func prunes() async throws {
        try await withTemporaryFolder { folder in
            let old = try putOld(folder)
            let new = try await using(folder) { try add($0) }
            #expect(Files.exists(new + "/data") && !Files.exists(old))
            let notes = told.withLock { $0 }.compactMap { if case .note(let text) = $0 { text } else { nil } }
            #expect(notes.count == 1)
            #expect(
                notes.first?.hasPrefix("The cache was larger than 1.0 KiB, so 1 thing not used for long went") == true)
        }
    }

    @Test("does so too when its work failed")
    func failure() async throws {
        try await withTemporaryFolder { folder in
            let old = try putOld(folder)
            let error = await #expect(throws: LabError.self) {
                try await using(folder) { lab in
                    _ = try add(lab)
                    throw LabError("x", "It broke")
                }
            }
            #expect(error?.code == "x")
            #expect(!Files.exists(old))
        }
    }

    @Test("leaves the cache alone when it only looked something up, or when it fits")
    func nothingToDo() async throws {
        try await withTemporaryFolder { folder in
            let old = try putOld(folder)
            try await using(folder) { lab in lab.cache.markUsed(old) }
            #expect(Files.exists(old))
            _ = try await using(folder, limit: "1G") { try add($0) }
            #expect(Files.exists(old))
        }
    }

    @Test("leaves the pruning to the last of those that run side by side")
    func sideBySide() async throws {
        try await withTemporaryFolder { folder in
            let old = try putOld(folder)
            try await using(folder) { outer in
                _ = try await using(folder) { try add($0) }
                #expect(Files.exists(old))
                #expect(try await CachePruner(cache: outer.cache).prune(to: ByteCount(0)) == nil)
            }
            #expect(!Files.exists(old))
        }
    }

    @Test("refuses a limit that is none before it does anything")
    func badLimit() async throws {
        try await withTemporaryFolder { folder in
            let error = await #expect(throws: LabError.self) {
                try await using(folder, limit: "lots") { _ in Issue.record("the work was begun") }
            }
            #expect(error?.code == "cache-size-bad")
        }
    }
}
