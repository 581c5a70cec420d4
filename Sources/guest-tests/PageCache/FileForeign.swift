// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Programs of others check files that they wrote themselves, while this one moves their pages.
let fileForeignTests: [GuestTest] =
    onEachFile(
        "file/fio-verify",
        "fio finds what it wrote, by write(2) and by a mapping, while another process moves the pages",
        kinds: [.tmpfs] + FileKind.onDisk, needs: [.filesOnDevice, .fio, .smp], timeoutMilliseconds: 400_000
    ) { test, mirror in
        let seed = RandomSource.processSeed
        Console.line("seed \(seed): HMMLAB_SEED=\(seed) makes the same moves again")
        let path = "\(test.folder)/fio-\(getpid())"
        let file = try TestFile(in: test, named: path, pages: fioPages)
        try file.fill(seed: 1, pages: fioPages)
        try file.settle()
        let buffer = try file.mapped(pages: fioPages, .read)
        let mover = FileMover()
        try Workers.run(3) { worker in
            switch worker {
            case 0:
                defer { mover.stop() }
                var runs = 0
                // However slow the machine is, fio is there while much moves; the host's limit ends that.
                while runs < 2 || !mover.hasMovedEnough {
                    runs += 1
                    let engine = runs.isMultiple(of: 2) ? "mmap" : "psync"
                    guard try fioVerifies(path, by: engine, seed: seed &+ UInt64(runs)) else { break }
                }
                Console.line("fio ran \(runs) times")
            case 1: try mover.move(buffer.range, by: mirror, isWhole: true, seed: seed)
            default: try mover.writeBack(file, every: 50_000)
            }
        }
        Console.line(mover.summary)
        // fio's headers are in all blocks: it did what it was asked for.
        let contents = try file.file.contents(pages: fioPages)
        let missing = (0..<fioPages).first { contents.range.page($0).wordValues().first.map { $0 & 0xffff } != 0xacca }
        expectNone(missing.map { "not in page \($0)" }, "every page has fio's mark")
        unlink(path)
    }

/// The pages of fio's file: 2 MiB.
private let fioPages = 512

/// fio writes every block of its file in random order, and reads each one back soon after and again when all are written.
///
/// - Parameter engine: how fio writes and reads; only one of them at a time, since its `mmap` takes the beginning of the
///   file for the part that it is given (3.33).
/// - Returns: whether it is content; if not, the expectation has failed, and its words are in the log.
private func fioVerifies(_ path: String, by engine: String, seed: UInt64) throws -> Bool {
    let log = "/tmp/fio-\(getpid()).log"
    let words = [
        "fio", "--eta=never", "--output=\(log)", "--name=\(engine)", "--ioengine=\(engine)", "--thread",
        "--filename=\(path)", "--size=\(fioPages * PageRange.pageSize)", "--bs=4k", "--rw=randwrite",
        "--fallocate=none",
        "--fadvise_hint=random", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=64", "--do_verify=1",
        "--loops=3", "--fsync=100", "--randseed=\(seed)",
    ]
    var failure: String?
    do {
        try Shell.run(words.joined(separator: " "))
    } catch {
        failure = "\(error)"
    }
    let told = try TextFile.read(log)
    if failure == nil, told.contains("verify:") { failure = "fio speaks of a block that it could not verify" }
    if failure != nil { for line in told.split(separator: "\n") { Console.line(String(line)) } }
    unlink(log)
    return expectNone(failure, "fio finds what it wrote")
}
