// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import KernelSource

@Suite struct ImportTests {
    @Test func aFolderGoesInAndComesOutByteByByte() async throws {
        let bench = try Bench()
        let folder = try await bench.makeTree()
        let before = try await bench.fingerprint(folder, times: true)
        let sources = bench.sources()
        let base = try await sources.resolve(bench.spec("dir:linux"))
        #expect(base.kernelVersion == "6.12.117")
        #expect(base.identifier == "dir-" + base.tree.prefix(16))
        #expect(base.spec == .directory(folder))
        #expect(try await bench.fingerprint(folder, times: true) == before)

        // What a checkout must lack: repositories inside, pipes, empty folders.
        try await bench.shell(
            "cp -a linux expected; cd expected; rm -rf sub/.git scripts/.git pipe empty; chmod -R go-w .; chmod 755 .")
        let (out, expected) = try await sources.worktree(for: base).withCheckout(of: base.commit) { path in
            try await (bench.fingerprint(path), bench.fingerprint("\(bench.folder)/expected"))
        }
        #expect(out == expected)
        #expect(try await bench.shell("GIT_DIR=cache/store.git git rev-list --count " + base.commit) == "1\n")
        #expect(
            try await bench.shell("GIT_DIR=cache/store.git git fsck --no-dangling 2>&1 | grep -v notice || true")
                .isEmpty)
    }

    @Test func equalContentIsTheSameCommitEverywhere() async throws {
        let one = try Bench()
        let two = try Bench()
        _ = try await one.makeTree()
        _ = try await two.makeTree("elsewhere")
        let first = try await one.sources().resolve(one.spec("dir:linux"))
        try await two.shell("touch -d 2001-01-01 elsewhere/Makefile")
        let second = try await two.sources().resolve(two.spec("dir:elsewhere"))
        #expect(first.commit == second.commit)
        #expect(first.workspace != second.workspace)
    }

    @Test func aChangedFolderIsANewBaseInTheSameWorkspace() async throws {
        let bench = try Bench()
        _ = try await bench.makeTree()
        let sources = bench.sources()
        let first = try await sources.resolve(bench.spec("dir:linux"))
        let again = try await sources.resolve(bench.spec("dir:linux"))
        #expect(again == first)
        try await bench.shell(
            "cd linux; printf 'int c;\\n' > mm/migrate.c; rm mm/hmm.c; rm -r .hidden; echo x > .hidden; rm dos.crlf; mkdir dos.crlf; echo > dos.crlf/f"
        )
        let second = try await sources.resolve(bench.spec("dir:linux"))
        #expect(second.tree != first.tree)
        #expect(second.workspace == first.workspace)
        // The same as an import without any memory of the first.
        let fresh = try Bench()
        let copy = try await fresh.sources().resolve(BaseSpec(parsing: "dir:\(bench.folder)/linux"))
        #expect(copy.commit == second.commit)
        #expect(try await sources.store.bases() == [second])
        // The former state can still be checked out.
        #expect(try await sources.store.objectID(of: first.commit) == first.commit)
    }

    @Test(arguments: [
        ("linux.tar", "-c"), ("linux.tar.gz", "-cz"), ("linux.tar.xz", "-cJ"), ("linux.tar.zst", "-c --zstd"),
    ])
    func archives(_ name: String, _ options: String) async throws {
        let bench = try Bench()
        let folder = try await bench.makeTree()
        try await bench.shell("tar \(options) -f \"$1\" linux", name)
        let sources = bench.sources()
        let base = try await sources.resolve(bench.spec("tar:\(name)"))
        #expect(try await base.tree == sources.resolve(.directory(folder)).tree)
        #expect(base.identifier.hasPrefix("tar-") && base.workspace == base.identifier)
        // The unpacked folder has become the worktree; what git does not keep is cleaned away at the checkout.
        let worktree = sources.worktree(for: base)
        #expect(Files.exists(worktree.path + "/empty"))
        let stamp = { try await bench.shell("stat -c %i-%y \"$1\"", worktree.path + "/mm/hmm.c") }
        let before = try await stamp()
        try await worktree.withCheckout(of: base.commit) { _ in }
        #expect(try await stamp() == before)
        for stray in ["empty", "pipe", "sub/.git", "scripts/.git"] {
            #expect(!Files.exists(worktree.path + "/" + stray))
        }
        // Again, without the archive.
        try await bench.shell("rm \"$1\"", name)
        #expect(try await sources.resolve(bench.spec("tar:\(name)")) == base)
        #expect(bench.warnings.count == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.cache.root + "/staging").isEmpty)
    }

    @Test func anArchiveWithoutATopFolder() async throws {
        let bench = try Bench()
        let folder = try await bench.makeTree()
        try await bench.shell("tar -C linux -cf flat.tar .")
        let sources = bench.sources()
        #expect(try await sources.resolve(bench.spec("tar:flat.tar")).tree == sources.resolve(.directory(folder)).tree)
    }

    @Test func anArchiveThatReachesOutsideIsRefused() async throws {
        let bench = try Bench()
        _ = try await bench.makeTree()
        try await bench.shell(
            "echo evil > evil; tar -cf linux.tar linux; tar --transform 's,evil,linux/../../../evil-here,' -P -rf linux.tar evil"
        )
        let error = try await #require(throws: LabError.self) {
            try await bench.sources().resolve(bench.spec("tar:linux.tar"))
        }
        #expect(error.code == "archive-unreadable")
        #expect(try await bench.shell("find . -name 'evil-here'").isEmpty)
    }

    @Test(arguments: [
        ("dir:missing", "folder-missing"), ("dir:empty", "base-not-kernel"), ("tar:missing.tar", "archive-missing"),
        ("tar:text", "archive-unreadable"), ("tar:cut.tar.gz", "archive-unreadable"),
        ("tar:small.tar", "base-not-kernel"),
        ("git:missing@HEAD", "repository-missing"), ("git:empty@HEAD", "repository-missing"),
        ("git:repo@nonsense", "revision-unknown"), ("git:repo@HEAD", "base-not-kernel"),
        ("tar:empty", "archive-missing"),
    ])
    func whatPeopleGetWrong(_ spec: String, _ code: String) async throws {
        let bench = try Bench()
        try await bench.shell(
            """
            mkdir empty; printf 'no archive, just text' > text; tar -cf small.tar text
            head -c 300000 /dev/urandom > noise; tar -czf whole.tar.gz noise; head -c 100000 whole.tar.gz > cut.tar.gz
            git init -q repo; cd repo; echo > file; git add .; git commit -qm x
            """)
        let error = try await #require(throws: LabError.self) { try await bench.sources().resolve(bench.spec(spec)) }
        #expect(error.code == code)
        #expect(error.exitCode == .usage)
        #expect(error.nextStep != nil)
        #expect(try await bench.sources().store.bases().isEmpty)
    }

    @Test func aFullDiskIsSaidBefore() async throws {
        let error = #expect(throws: LabError.self) { try Files.requireSpace(1 << 62, at: "/", for: "the import") }
        #expect(error?.code == "disk-full")
    }

    @Test func aStoreThatLostPiecesIsRepaired() async throws {
        let bench = try Bench()
        _ = try await bench.makeTree()
        let sources = bench.sources()
        let base = try await sources.resolve(bench.spec("dir:linux"))
        try await bench.shell("cd cache/store.git; rm HEAD config info/attributes; touch config.lock shallow.lock")
        #expect(try await sources.resolve(bench.spec("dir:linux")) == base)
        // A torn index and one that speaks of a store that is gone.
        try await bench.shell(
            "printf torn > \"$(echo cache/store.git/hmmlab/*.index)\"; touch \"$(echo cache/store.git/hmmlab/*.index).lock\""
        )
        #expect(try await sources.resolve(bench.spec("dir:linux")) == base)
        try await bench.shell("rm -rf cache/store.git/objects cache/store.git/refs")
        let again = try await sources.resolve(bench.spec("dir:linux"))
        #expect(again.commit == base.commit)
        // Names without the objects behind them are beyond repair, but not beyond words.
        try await bench.shell("rm -rf cache/store.git/objects/??")
        let error = try await #require(throws: LabError.self) { try await sources.store.bases() }
        #expect(error.code == "store-damaged" && error.nextStep?.contains("store.git") == true)
    }

    @Test(arguments: [".config", "include/config/auto.conf", "arch/x86/include/generated/x"])
    func aTreeThatWasBuiltInIsRefusedBeforeItIsRead(_ trace: String) async throws {
        let bench = try Bench()
        _ = try await bench.makeTree()
        try await bench.shell("mkdir -p \"linux/$(dirname \"$1\")\"; echo x > \"linux/$1\"; tar cf l.tar linux", trace)
        for (spec, next) in [("dir:linux", "@HEAD"), ("tar:l.tar", "before packing")] {
            let error = try await #require(throws: LabError.self) {
                try await bench.sources().resolve(bench.spec(spec))
            }
            #expect(error.code == "base-not-clean" && error.exitCode == .usage)
            #expect(error.nextStep?.contains("make mrproper") == true && error.nextStep?.contains(next) == true)
        }
        #expect(!bench.events.contains(.step("Reading \(bench.folder)/linux")))
        #expect(try await bench.shell("GIT_DIR=cache/store.git git count-objects") == "0 objects, 0 kilobytes\n")
    }

    @Test(arguments: [" ", ":", "$", "'", "\t"])
    func aCacheThatNoKernelCanBeBuiltInIsRefusedFirst(_ character: String) async throws {
        let bench = try Bench()
        let cache = Cache(root: "\(bench.folder)/a\(character)b")
        let sources = KernelSources(cache: cache, runner: bench.runner)
        let error = try await #require(throws: LabError.self) { try await sources.resolve(.directory("/")) }
        #expect(error.code == "path-unbuildable" && error.nextStep?.contains("XDG_CACHE_HOME") == true)
        #expect(!Files.exists(cache.root))
    }

    @Test func aCacheThatCannotBeWritten() async throws {
        let bench = try Bench()
        try Files.write("a file", to: bench.folder + "/cache")
        let error = try await #require(throws: LabError.self) { try await bench.sources().resolve(.directory("/")) }
        #expect(error.code == "cache-unwritable" && error.nextStep?.contains("XDG_CACHE_HOME") == true)
    }

    @Test func theCallersGitVariablesChangeNothing() async throws {
        let bench = try Bench()
        let command = bench.sources().store.command(["status"], index: "/i", workTree: "/w")
        #expect(command.environment["GIT_DIR"] == bench.cache.root + "/store.git")
        #expect(command.environment["GIT_INDEX_FILE"] == "/i" && command.environment["GIT_WORK_TREE"] == "/w")
        #expect(command.environment["GIT_CONFIG_GLOBAL"] == "/dev/null")
        let inherited = ["GIT_OBJECT_DIRECTORY": "/x", "GIT_DIR": "/y", "GIT_EXEC_PATH": "/z", "HOME": "/h"]
        let variables = GitEnvironment.isolated(from: inherited)
        #expect(variables["GIT_OBJECT_DIRECTORY"] == .some(nil) && variables["GIT_DIR"] == .some(nil))
        #expect(variables["GIT_EXEC_PATH"] == nil && variables["HOME"] == nil)
        #expect(variables["GIT_NO_LAZY_FETCH"] == "1" && variables["GIT_CONFIG_COUNT"] == "2")
    }
}
