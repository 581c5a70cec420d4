// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import KernelSource

/// kill -9 of a whole hmmlab in the middle of its work; the next one must neither stumble nor believe what is half done.
@Suite struct KillTests {
    /// How many processes are killed for each kind of base, at evenly spread moments with some jitter.
    private static let rounds = 4

    /// What one killed process does, and what the one after it must manage.
    struct Job: Codable, Sendable {
        var folder: String
        var spec: String
        var mirror = ""
        var keyring = ""

        @discardableResult
        func run() async throws -> Base {
            let sources = KernelSources(
                cache: Cache(root: folder + "/cache"), runner: ProcessRunner(), progress: { _ in },
                environment: ["HMMLAB_MIRROR": mirror], keyring: keyring)
            let base = try await sources.resolve(BaseSpec(parsing: spec, currentDirectory: folder))
            try await sources.worktree(for: base).withCheckout(of: base.commit) { _ in }
            return base
        }

        /// The same in a process of its own that is killed after some microseconds, or at its end if that is earlier.
        static func runKilled(_ job: Job, after microseconds: Int) async {
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [job = job as Job, microseconds = microseconds as Int] in
                KillTests.killSelf(after: microseconds)
                try await job.run()
                kill(getpid(), SIGKILL)
            }
        }

        static func runToTheEnd(_ job: Job) async {
            await #expect(processExitsWith: .success) { [job = job as Job] in try await job.run() }
        }
    }

    static func killSelf(after microseconds: Int) {
        Thread.detachNewThread {
            usleep(UInt32(microseconds))
            kill(getpid(), SIGKILL)
        }
    }

    /// A tree that is big enough to be killed in the middle of.
    private func prepare(_ bench: Bench, _ kind: String) async throws -> Job {
        if kind == "debian" {
            let archive = try await LocalArchive(bench)
            try await archive.add("6.12.117-1", to: "trixie")
            return Job(folder: bench.folder, spec: "debian:6.12", mirror: archive.address, keyring: archive.keyring)
        }
        _ = try await bench.makeTree()
        try await bench.shell(
            """
            cd linux; mkdir -p many/{0..9}; for i in {0..999}; do echo "int f$i; /* $RANDOM */" > "many/$((i % 10))/$i.c"; done
            case $1 in
            tar) tar -C .. -czf ../linux.tar.gz linux;;
            git) rm -rf sub/.git scripts/.git .gitattributes pipe; git init -q .; git add -Af; git commit -qm x;;
            esac
            """, kind)
        let spec = ["tar": "tar:linux.tar.gz", "git": "git:linux@HEAD"][kind] ?? "dir:linux"
        return Job(folder: bench.folder, spec: spec)
    }

    @Test(arguments: ["dir", "tar", "git", "debian"])
    func aKilledImportIsDoneAgain(_ kind: String) async throws {
        let bench = try Bench()
        let job = try await prepare(bench, kind)
        let clock = ContinuousClock()
        let start = clock.now
        let expected = try await job.run()
        let whole = start.duration(to: clock.now)
        let content = try await bench.fingerprint(bench.sources().worktree(for: expected).path)
        for round in 0..<Self.rounds {
            try await bench.shell("rm -rf cache")
            let share = (Double(round) + Double.random(in: 0..<1)) / Double(Self.rounds)
            let delay = Int(whole * share / .microseconds(1))
            await Job.runKilled(job, after: delay)
            let base = try await job.run()
            #expect(base.commit == expected.commit, "killed after \(delay) µs")
            #expect(base.tree == expected.tree, "killed after \(delay) µs")
            #expect(
                try await bench.fingerprint(bench.sources().worktree(for: base).path) == content,
                "killed after \(delay) µs")
            let complaints = try await bench.shell(
                "GIT_DIR=cache/store.git git fsck --no-dangling 2>&1 | grep -v notice || true")
            #expect(complaints.isEmpty, "killed after \(delay) µs")
        }
    }

    @Test func aKilledSwitchIsFinished() async throws {
        let bench = try Bench()
        _ = try await prepare(bench, "dir")
        let first = try await bench.sources().resolve(bench.spec("dir:linux"))
        try await bench.shell(
            "cd linux/many; for f in */*.c; do echo '/* new */' >> $f; done; rm -r 3; mkdir 10; echo > 10/x.c")
        let second = try await bench.sources().resolve(bench.spec("dir:linux"))
        let clock = ContinuousClock()
        let check = { @Sendable (base: Base) in
            try await bench.sources().worktree(for: base).withCheckout(of: base.commit) {
                try await bench.fingerprint($0)
            }
        }
        let start = clock.now
        let contents = [try await check(first), try await check(second)]
        let whole = start.duration(to: clock.now) / 2
        for round in 0..<2 * Self.rounds {
            let share = (Double(round) + Double.random(in: 0..<1)) / Double(2 * Self.rounds)
            let delay = Int(whole * share / .microseconds(1))
            let job = Switch(folder: bench.folder, base: [first, second][round % 2])
            await #expect(processExitsWith: .signal(SIGKILL)) { [job = job as Switch, delay = delay as Int] in
                KillTests.killSelf(after: delay)
                let sources = KernelSources(cache: Cache(root: job.folder + "/cache"), runner: ProcessRunner())
                try await sources.worktree(for: job.base).withCheckout(of: job.base.commit) { _ in }
                kill(getpid(), SIGKILL)
            }
            // On to the other one or back, from whatever is there.
            let next = Int.random(in: 0...1)
            #expect(try await check([first, second][next]) == contents[next], "killed after \(delay) µs")
        }
    }

    struct Switch: Codable, Sendable {
        var folder: String
        var base: Base
    }

    @Test func aCancelledImportIsDoneAgain() async throws {
        let bench = try Bench()
        let job = try await prepare(bench, "dir")
        let task = Task { try await job.run() }
        try await Task.sleep(for: .milliseconds(300))
        task.cancel()
        _ = await task.result
        let base = try await job.run()
        let elsewhere = try Bench()
        #expect(try await elsewhere.sources().resolve(base.spec).commit == base.commit)
    }

    @Test func twoImportsAtOnce() async throws {
        let bench = try Bench()
        let job = try await prepare(bench, "tar")
        // Two processes, not two tasks: what they share is the disk only.
        async let one: Void = Job.runToTheEnd(job)
        async let two: Void = Job.runToTheEnd(job)
        _ = await (one, two)
        let bases = try await bench.sources().store.bases()
        #expect(bases.count == 1)
        #expect(try await job.run() == bases.first)
        #expect(try await bench.sources().resolve(bench.spec("dir:linux")).tree == bases.first?.tree)
    }
}
