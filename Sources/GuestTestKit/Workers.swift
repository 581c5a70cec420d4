// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import DeviceMirror
import Glibc

/// Threads that start together and are all joined before the call returns.
public enum Workers {
    /// Runs `body` in `count` threads, with a number from 0 on; what a thread throws becomes a failed expectation.
    public static func run(
        _ count: Int, file: String = #fileID, line: Int = #line, _ body: @Sendable (Int) throws -> Void
    ) throws(SystemCallError) {
        var barrier = pthread_barrier_t()
        pthread_barrier_init(&barrier, nil, UInt32(count))
        defer { pthread_barrier_destroy(&barrier) }
        try withoutActuallyEscaping(body) { body throws(SystemCallError) in
            try withUnsafeMutablePointer(to: &barrier) { barrier throws(SystemCallError) in
                let start = Start(barrier)
                var threads: [pthread_t] = []
                for index in 0..<count {
                    let work = Work {
                        start.wait()
                        do {
                            try body(index)
                        } catch {
                            Failures.record(uncaught: error, file: file, line: line)
                        }
                    }
                    threads.append(try work.startThread(file, line))
                }
                for thread in threads { pthread_join(thread, nil) }
            }
        }
    }

    /// Keeps this process on one processor from now on.
    ///
    /// MADV_PAGEOUT passes over pages that are not on the list for reclaim yet, and new pages wait for that in a batch
    /// of the processor that made them; the advice empties the batch of its own processor only (mm/swap.c).
    public static func stayOnOneProcessor(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("sched_setaffinity", file: file, line: line) { test_stay_on_processor() }
    }

    /// Takes this process to another processor, even after ``stayOnOneProcessor(file:line:)``.
    ///
    /// - Throws: `EINVAL` where there is none.
    public static func goToOtherProcessor(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("sched_setaffinity", file: file, line: line) { test_go_to_other_processor() }
    }

    private struct Start: @unchecked Sendable {
        // The barrier outlives every thread, because run() joins them all; pthread barriers are made to be shared.
        private let barrier: UnsafeMutablePointer<pthread_barrier_t>
        init(_ barrier: UnsafeMutablePointer<pthread_barrier_t>) { self.barrier = barrier }
        func wait() { pthread_barrier_wait(barrier) }
    }

    private final class Work: Sendable {
        private let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }

        func startThread(_ file: String, _ line: Int) throws(SystemCallError) -> pthread_t {
            var thread = pthread_t()
            let context = Unmanaged.passRetained(self)
            let code = pthread_create(
                &thread, nil,
                { context in
                    context.map { Unmanaged<Work>.fromOpaque($0).takeRetainedValue().body() }
                    return nil
                }, context.toOpaque())
            guard code == 0 else {
                // Threads that did start wait at the barrier for ever; the test is over anyway and the process ends.
                context.release()
                throw SystemCallError(call: "pthread_create", code: .init(rawValue: code), file: file, line: line)
            }
            return thread
        }
    }
}
