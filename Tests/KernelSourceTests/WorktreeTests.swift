// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelSource

@Suite struct WorktreeTests {
    /// Two states of one folder in one workspace.
    private func twoStates(_ bench: Bench) async throws -> (first: Base, second: Base) {
        _ = try await bench.makeTree()
        let first = try await bench.sources().resolve(bench.spec("dir:linux"))
        try await bench.shell(
            "cd linux; printf 'int changed;\\n' > mm/migrate.c; rm text.u; mkdir new; echo > new/file; rm mm/link.c; echo > mm/link.c"
        )
        return (first, try await bench.sources().resolve(bench.spec("dir:linux")))
    }

    private func tree(_ bench: Bench, _ path: String) async throws -> String {
        try await bench.shell(
            """
            export GIT_DIR=$PWD/cache/store.git GIT_WORK_TREE=$1 GIT_INDEX_FILE=$PWD/probe-$BASHPID
            cd "$1"; git add -Af; git write-tree; rm "$GIT_INDEX_FILE"
            """, path
        ).trimmingCharacters(in: .newlines)
    }

    @Test func switchingTouchesOnlyWhatDiffers() async throws {
        let bench = try Bench()
        let (first, second) = try await twoStates(bench)
        let worktree = bench.sources().worktree(for: first)
        #expect(worktree.path == bench.sources().worktree(for: second).path)
        try await worktree.withCheckout(of: first.commit) { _ in }
        try await bench.shell("cd \"$1\"; find . -exec touch -h -d 2001-01-01 {} +", worktree.path)
        try await worktree.withCheckout(of: second.commit) { path in
            let changed = try await bench.shell("cd \"$1\"; find . -newermt 2002-01-01 ! -type d | sort", path)
            #expect(changed == "./mm/link.c\n./mm/migrate.c\n./new/file\n")
            let found = try await tree(bench, path)
            #expect(found == second.tree)
        }
        try await worktree.withCheckout(of: first.commit) { path in
            #expect(!Files.exists(path + "/new"))
            let found = try await tree(bench, path)
            #expect(found == first.tree)
        }
    }

    @Test func straysGoAndChangesAreUndone() async throws {
        let bench = try Bench()
        let (first, _) = try await twoStates(bench)
        let worktree = bench.sources().worktree(for: first)
        try await worktree.withCheckout(of: first.commit) { _ in }
        try await bench.shell(
            """
            cd "$1"; echo stray > stray.c; echo object > mm/hmm.o; mkdir -p out/deep; echo > out/deep/f; mkdir -p nested; git init -q nested/repo
            printf 'int x;\\n' > mm/hmm.c; chmod -x scripts/run.sh; rm Makefile; rm linked-dir; mkdir linked-dir; echo > linked-dir/f
            """, worktree.path)
        try await worktree.withCheckout(of: first.commit) { path in
            let found = try await tree(bench, path)
            #expect(found == first.tree)
            #expect(!Files.exists(path + "/stray.c") && !Files.exists(path + "/nested") && !Files.exists(path + "/out"))
        }
    }

    @Test(arguments: [
        "touch \"$(echo work/*/index).lock\"", "printf torn > \"$(echo work/*/index)\"", "rm work/*/index",
        "rm -rf work/*/src",
        "rm -rf work/*/src/mm", ": > \"$(echo work/*/index)\"",
    ])
    func damageIsRepaired(_ damage: String) async throws {
        let bench = try Bench()
        let (first, second) = try await twoStates(bench)
        let worktree = bench.sources().worktree(for: first)
        try await worktree.withCheckout(of: first.commit) { _ in }
        try await bench.shell("cd cache; " + damage)
        try await worktree.withCheckout(of: second.commit) { path in
            let found = try await tree(bench, path)
            #expect(found == second.tree)
        }
    }

    @Test func anUnknownCommitIsAnError() async throws {
        let bench = try Bench()
        let (first, _) = try await twoStates(bench)
        let error = try await #require(throws: LabError.self) {
            try await bench.sources().worktree(for: first).withCheckout(of: String(repeating: "0", count: 40)) { _ in }
        }
        #expect(error.code == "checkout-failed")
    }

    @Test func nobodySwitchesWhileSomebodyBuilds() async throws {
        let bench = try Bench()
        let (first, second) = try await twoStates(bench)
        let running = LockedValue(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for base in [first, second, first, second] {
                group.addTask {
                    try await bench.sources().worktree(for: base).withCheckout(of: base.commit) { path in
                        let count = running.withLock { count in
                            count += 1
                            return count
                        }
                        #expect(count == 1)
                        let found = try await tree(bench, path)
                        #expect(found == base.tree)
                        running.withLock { $0 -= 1 }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
