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

    @Test func theLimitIsTwentyGibibytesUnlessTheEnvironmentSaysOtherwise() throws {
        #expect(try Cache.limit(environment: [:]) == ByteCount(20 << 30))
        #expect(try Cache.limit(environment: ["HMMLAB_CACHE_SIZE": ""]) == ByteCount(20 << 30))
        #expect(try Cache.limit(environment: ["HMMLAB_CACHE_SIZE": "512M"]) == ByteCount(512 << 20))
        let error = #expect(throws: LabError.self) { try Cache.limit(environment: ["HMMLAB_CACHE_SIZE": "much"]) }
        #expect(error?.code == "cache-size-bad" && error?.exitCode == .usage)
        #expect(error?.sentence.contains("much") == true)
    }

    @Test func useIsRecordedAndContentIsNot() throws {
        let path = temporary.cache.root + "/thing"
        try Files.write("x", to: path)
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: 1)], ofItemAtPath: path)
        temporary.cache.markUsed(path)
        let date = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
        #expect(try #require(date) > Date(timeIntervalSince1970: 1_700_000_000))
        #expect(try Files.text(path) == "x")
        temporary.cache.markUsed(temporary.cache.root + "/nothing")
        #expect(!Files.exists(temporary.cache.root + "/nothing"))
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

    @Test(arguments: [false, true]) func theSecondWaitsForTheFirst(_ isShared: Bool) async throws {
        let path = temporary.cache.root + "/lock"
        let order = LockedValue([String]())
        func holdFirst() async throws -> Task<Void, any Error> {
            let lock = try await FileLock.acquire(path)
            let task = Task {
                let second = try await FileLock.acquire(path, isShared: isShared) {
                    order.withLock { $0.append("waiting") }
                }
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

extension FileLockTests {
    /// Whether nobody holds the lock in any way.
    private func isFree(_ path: String) throws -> Bool {
        guard let lock = try FileLock.acquireNow(path) else { return false }
        _ = consume lock
        return true
    }

    @Test func sharedHoldersKeepOutAnExclusiveOneAndNotEachOther() async throws {
        let path = temporary.cache.root + "/lock"
        let first = try await FileLock.acquire(path, isShared: true)
        let second = try await FileLock.acquire(path, isShared: true)
        #expect(try !isFree(path))
        _ = consume first
        #expect(try !isFree(path))
        _ = consume second
        #expect(try isFree(path))
    }

    /// As a child has one between fork and exec.
    @Test func aCopyOfTheDescriptorKeepsNothing() throws {
        let path = temporary.cache.root + "/lock"
        guard let lock = try FileLock.acquireNow(path) else {
            Issue.record("nobody has the lock yet")
            return
        }
        let numbers = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { Int32($0) }
        let resolved = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        let number = try #require(
            numbers.first {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == resolved
            })
        let copy = dup(number)
        defer { close(copy) }
        #expect(copy >= 0)
        _ = consume lock
        #expect(try isFree(path))
    }
}

@Suite struct AmountTests {
    @Test(
        arguments: [
            ("0", 0), ("1000", 1000), ("1K", 1024), ("30G", 30 << 30), ("2m", 2 << 20), ("1T", 1 << 40),
        ] as [(String, Int64)])
    func isRead(_ text: String, _ bytes: Int64) {
        #expect(ByteCount(parsing: text)?.bytes == bytes)
    }

    @Test(arguments: ["", "G", "-1G", "1.5G", "10 G", "10GB", "1P", "9999999999999999999", "9223372036854775807K"])
    func isRefused(_ text: String) { #expect(ByteCount(parsing: text) == nil) }

    @Test(
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 << 20, "1.5 GiB"), (3 << 40, "3.0 TiB"),
            (5000 << 40, "5000.0 TiB"),
        ] as [(Int64, String)])
    func isWritten(_ bytes: Int64, _ text: String) { #expect(ByteCount(bytes).description == text) }

    @Test func numbersAndNounsAgree() {
        #expect([0, 1, 2].map { $0.of("patch", plural: "patches") } == ["0 patches", "1 patch", "2 patches"])
        #expect(1.of("test") == "1 test" && 3.of("test") == "3 tests")
    }
}

@Suite struct ErrorAndJSONTests {
    @Test func anErrorShowsCauseAndNextStepOnLinesOfTheirOwn() {
        let error = LabError("x", "It broke", cause: "one\ntwo", next: "Mend it.")
        #expect(error.description == "It broke\n  because: one\n    two\n  next: Mend it.")
    }

    @Test func anErrorsDetailsAreDataInItsJSON() throws {
        struct Details: Codable, Equatable {
            var texts = ["a", "ä\n"]
            var number = -3
            var share = 0.5
            var isThere = true
            var nothing: [String: Int?] = ["key": nil]
        }
        let error = LabError("x", "It broke", details: try JSONValue(Details()))
        let text = try JSON.text(Document(["error": error]))
        #expect(text.contains("\"number\" : -3,") && text.contains("\"share\" : 0.5"))
        struct Content: Decodable {
            struct Failure: Decodable { var details: Details }
            var error: Failure
        }
        #expect(try JSON.value(Content.self, from: Data(text.utf8)).error.details == Details())
        #expect(try JSON.value(LabError.self, from: Data(JSON.text(error).utf8)) == error)
        #expect(try !JSON.text(LabError("x", "It broke")).contains("details"))
    }

    @Test func documentsCarryTheSchema() throws {
        struct Content: Encodable { var name = "n" }
        let text = try JSON.text(Document(Content()))
        #expect(text.contains("\"schema\" : 1") && text.contains("\"name\" : \"n\""))
    }
}
