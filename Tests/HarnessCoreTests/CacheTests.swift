// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

/// A cache in a folder of its own, removed afterwards.
final class TemporaryCache: Sendable {
    let cache = Cache(root: NSTemporaryDirectory() + "hmmlab-cache-\(UUID().uuidString)")
    deinit { try? FileManager.default.removeItem(atPath: cache.root) }
}

@Suite struct CacheTests {
    let temporary = TemporaryCache()

    @Test func followsTheEnvironment() {
        #expect(Cache(environment: ["XDG_CACHE_HOME": "/x", "HOME": "/h"]).root == "/x/hmmlab")
        #expect(Cache(environment: ["HOME": "/h"]).root == "/h/.cache/hmmlab")
        // The XDG specification has relative paths ignored.
        #expect(Cache(environment: ["XDG_CACHE_HOME": "x", "HOME": "/h"]).root == "/h/.cache/hmmlab")
    }

    @Test func publishingPutsAFolderInPlaceWhole() throws {
        let staged = try temporary.cache.stagingFolder()
        try Files.write("one", to: staged + "/file")
        let final = try temporary.cache.path("artifacts", "a")
        try temporary.cache.publish(staged, as: final)
        #expect(try Files.text(final + "/file") == "one")
        #expect(!Files.exists(staged))
    }

    @Test func theFirstPublisherWins() throws {
        let final = try temporary.cache.path("artifacts", "b")
        for content in ["first", "second"] {
            let staged = try temporary.cache.stagingFolder()
            try Files.write(content, to: staged + "/file")
            try temporary.cache.publish(staged, as: final)
            #expect(!Files.exists(staged))
        }
        #expect(try Files.text(final + "/file") == "first")
    }

    @Test func sweepingRemovesOnlyWhatDeadProcessesLeft() throws {
        let mine = try temporary.cache.stagingFolder()
        // No process can have this number: it is above the kernel's limit (PID_MAX_LIMIT, 4 Mi).
        let dead = try temporary.cache.folder("staging", "99999999-dead")
        temporary.cache.sweepStaging()
        #expect(Files.exists(mine))
        #expect(!Files.exists(dead))
    }

    @Test func aPlaceThatCannotBeWrittenIsASentence() throws {
        let file = temporary.cache.root + "/file"
        try Files.write("", to: file)
        let error = #expect(throws: LabError.self) { try Cache(root: file).folder("x") }
        #expect(error?.code == "cache-unwritable")
        #expect(error?.nextStep?.contains("XDG_CACHE_HOME") == true)
    }

    @Test func aNameWithoutAFolderIsWrittenHere() throws {
        let name = "hmmlab-relative-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: name) }
        try Files.write("here", to: name)
        #expect(try Files.text(FileManager.default.currentDirectoryPath + "/" + name) == "here")
    }

    @Test func aResultDoesNotReplaceWhatIsNoFile() throws {
        let folder = temporary.cache.root
        try Files.writeResult("new", to: folder + "/new")
        #expect(try Files.text(folder + "/new") == "new")
        try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "new")
        try Files.writeResult("by link", to: folder + "/link")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/link") == "new")
        #expect(try Files.text(folder + "/new") == "by link")
        try FileManager.default.createSymbolicLink(atPath: folder + "/ahead", withDestinationPath: "later")
        try Files.writeResult("later", to: folder + "/ahead")
        #expect(try Files.text(folder + "/later") == "later")

        #expect(mkfifo(folder + "/pipe", 0o600) == 0)
        let reader = open(folder + "/pipe", O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        try Files.writeResult("piped", to: folder + "/pipe")
        var bytes = [UInt8](repeating: 0, count: 16)
        #expect(read(reader, &bytes, 16) == 5 && bytes.starts(with: Array("piped".utf8)))

        let error = #expect(throws: LabError.self) { try Files.writeResult("x", to: folder) }
        #expect(error?.code == "file-unwritable" && error?.cause == "Is a directory")
    }

    @Test func anUnreadableFileIsThePersonsMistakeOnlyIfTheyNamedIt() {
        for exit in [ExitCode.usage, .unavailable] {
            let error = #expect(throws: LabError.self) { try Files.text("/nowhere", exit: exit) }
            #expect(error?.exitCode == exit && error?.cause == "No such file or directory" && error?.nextStep != nil)
        }
        #expect(throws: LabError.self) { try Files.bytes("/nowhere") }
    }

    @Test func onlyAFileWithBytesHasContent() throws {
        let path = temporary.cache.root + "/file"
        #expect(!Files.hasContent(path))
        try Files.write("", to: path)
        #expect(!Files.hasContent(path) && !Files.hasContent(temporary.cache.root))
        try Files.write("x", to: path)
        #expect(Files.hasContent(path))
    }

    @Test func onlyALeadingTildeIsTheHomeFolder() {
        for (path, expected) in [("~/linux", "/h/linux"), ("~", "/h"), ("a/~/b", "a/~/b"), ("~you/x", "~you/x")] {
            #expect(Files.expandingHome(in: path, home: "/h") == expected)
        }
    }

    @Test func tooLittleSpaceSaysHowMuchIsNeeded() throws {
        let error = #expect(throws: LabError.self) { try Files.requireSpace(1 << 60, at: "/", for: "a build") }
        #expect(error?.code == "disk-full")
        #expect(error?.exitCode == .unavailable)
        try Files.requireSpace(1, at: "/", for: "a build")
    }
}

@Suite struct FileLockTests {
    let temporary = TemporaryCache()

    @Test func theSecondWaitsForTheFirst() async throws {
        let path = temporary.cache.root + "/lock"
        let order = LockedValue([String]())
        func holdFirst() async throws -> Task<Void, any Error> {
            let lock = try await FileLock.acquire(path)
            let task = Task {
                let second = try await FileLock.acquire(path) { order.withLock { $0.append("waiting") } }
                order.withLock { $0.append("second") }
                _ = consume second
            }
            while order.withLock({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(5)) }
            order.withLock { $0.append("first") }
            _ = consume lock
            return task
        }
        try await holdFirst().value
        #expect(order.withLock { $0 } == ["waiting", "first", "second"])
    }

    @Test func cancellingEndsTheWait() async throws {
        let path = temporary.cache.root + "/lock"
        let lock = try await FileLock.acquire(path)
        let task = Task { _ = try await FileLock.acquire(path) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        _ = consume lock
    }
}

@Suite struct ErrorAndJSONTests {
    @Test func anErrorShowsCauseAndNextStepOnLinesOfTheirOwn() {
        let error = LabError("x", "It broke", cause: "one\ntwo", next: "Mend it.")
        #expect(error.description == "It broke\n  because: one\n    two\n  next: Mend it.")
    }

    @Test func documentsCarryTheSchema() throws {
        struct Content: Encodable { var name = "n" }
        let text = try JSON.text(Document(Content()))
        #expect(text.contains("\"schema\" : 1") && text.contains("\"name\" : \"n\""))
    }
}
