// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelSource

@Suite struct GitBaseTests {
    /// A repository with five commits on `main`, tags `v0` to `v4`, and an uncommitted change.
    private func makeRepository(_ bench: Bench) async throws {
        _ = try await bench.makeTree()
        try await bench.shell(
            """
            cd linux; rm -rf sub/.git scripts/.git pipe; git init -q -b main .
            echo '* -text -ident -filter !working-tree-encoding' > .git/info/attributes; git add -A; git commit -qm 'commit 0'; git tag v0
            for i in 1 2 3 4; do echo "int v$i;" > mm/migrate.c; git commit -qam "commit $i"; git tag -am "v$i" v$i; done
            echo 'int uncommitted;' > mm/hmm.c; touch mm/migrate.c
            """)
    }

    private func revision(_ bench: Bench, _ name: String) async throws -> String {
        try await bench.shell("git -C linux rev-parse \"$1\"", name + "^{commit}").trimmingCharacters(in: .newlines)
    }

    @Test(arguments: ["HEAD", "v2", "main~3", "v3^{commit}"])
    func aCommitStaysAsItIs(_ name: String) async throws {
        let bench = try Bench()
        try await makeRepository(bench)
        let before = try await bench.fingerprint(bench.folder + "/linux", times: true)
        let sources = bench.sources()
        let base = try await sources.resolve(bench.spec("git:linux@\(name)"))
        let commit = try await revision(bench, name)
        #expect(base.commit == commit)
        #expect(base.kernelVersion == "6.12.117" && base.version == name)
        #expect(try await bench.shell("git -C linux rev-parse \"$1^{tree}\"", commit) == base.tree + "\n")
        #expect(try await bench.fingerprint(bench.folder + "/linux", times: true) == before)
        try await sources.worktree(for: base).withCheckout(of: base.commit) { path in
            let text = try Files.text(path + "/mm/hmm.c")
            #expect(text == "int a;\n")
        }
        // Again, without the repository.
        try await bench.shell("mv linux gone")
        let offline = try await sources.resolve(bench.spec("git:linux@\(name)"))
        #expect(offline == base)
        #expect(bench.warnings.count == 1)
    }

    @Test func aMovingBranchSharesOneWorkspace() async throws {
        let bench = try Bench()
        try await makeRepository(bench)
        let sources = bench.sources()
        let first = try await sources.resolve(bench.spec("git:linux@main"))
        try await bench.shell("cd linux; git commit -qam next")
        let second = try await sources.resolve(bench.spec("git:linux@main"))
        #expect(second.commit != first.commit && second.workspace == first.workspace)
        #expect(try await sources.resolve(bench.spec("git:linux@main")) == second)
    }

    @Test(arguments: ["worktree", "shallow", "bare", "subfolder", "readonly", "packed"])
    func everyKindOfRepository(_ kind: String) async throws {
        let bench = try Bench()
        try await makeRepository(bench)
        try await bench.shell(
            """
            case $1 in
            worktree) git -C linux worktree add -q --detach ../other v2;;
            shallow) git clone -q --depth 2 -b main "file://$PWD/linux" other; git -C other checkout -q --detach HEAD~1;;
            bare) git clone -q --bare linux other; git -C other update-ref --no-deref HEAD "$(git -C other rev-parse 'v2^{commit}')";;
            subfolder) git -C linux checkout -q -f --detach v2; ln -s linux/mm other;;
            readonly) git clone -q linux other; git -C other checkout -q --detach v2; chmod -R a-w other;;
            packed) git clone -q linux other; cd other; git checkout -q --detach v2; git gc -q; git pack-refs --all;;
            esac
            """, kind)
        let place = kind == "subfolder" ? "linux" : "other"
        let before = try await bench.fingerprint("\(bench.folder)/\(place)", times: true)
        let main = try await bench.fingerprint(bench.folder + "/linux/.git", times: true)
        let base = try await bench.sources().resolve(bench.spec("git:other@HEAD"))
        #expect(try await base.commit == revision(bench, kind == "shallow" ? "v3" : "v2"))
        #expect(try await bench.fingerprint("\(bench.folder)/\(place)", times: true) == before)
        #expect(try await bench.fingerprint(bench.folder + "/linux/.git", times: true) == main)
        try await bench.shell("chmod -R u+w .")
    }

    @Test func anotherUsersRepositoryIsExplained() {
        let repository = UserRepository(path: "/src/linux", runner: Bench.anyRunner)
        let error = repository.failure(
            "fatal: detected dubious ownership in repository at '/src/linux'\nTo add an exception ...")
        #expect(error.code == "repository-foreign" && error.exitCode == .unavailable)
        #expect(error.nextStep?.contains("safe.directory /src/linux") == true)
    }
}
