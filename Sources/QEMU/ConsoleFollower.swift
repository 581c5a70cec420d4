// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import SystemPackage
import VirtualMachine

/// Reads a console file while QEMU writes it.
///
/// The file is looked at every 20 ms, and at once when ``look()`` is called: a line is handed on well within 50 ms, the file
/// is the buffer, and a look costs a single read(2). (QEMU writes the file byte by byte: inotify would wake for each.)
actor ConsoleFollower {
    private let path: String
    private let hasEnded: @Sendable () -> Bool
    private var file: FileDescriptor?
    private var splitter = LineSplitter()
    private var ready: ArraySlice<String> = []
    private var arrival = MachineClock.Instant.now
    /// At most one is kept: the file is read to its end whenever it is looked at.
    private let wakes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let ticker: Task<Void, Never>

    /// A follower of a file that may not be there yet; `hasEnded` says whether its writer is gone.
    init(_ path: String, hasEnded: @escaping @Sendable () -> Bool) {
        self.path = path
        self.hasEnded = hasEnded
        ticker = Task { [wake = wakes.continuation] in
            while (try? await Task.sleep(for: .milliseconds(20), clock: .suspending)) != nil { wake.yield() }
        }
    }

    deinit {
        ticker.cancel()
        try? file?.close()
    }

    /// Has the file read now: something says that the console has something new.
    nonisolated func look() { wakes.continuation.yield() }

    /// The lines; the stream ends after the last one that was written, or when the task is cancelled.
    nonisolated var lines: AsyncStream<ConsoleLine> {
        AsyncStream(unfolding: { await self.next() })
    }

    private func next() async -> ConsoleLine? {
        while !Task.isCancelled {
            if let line = ready.popFirst() { return ConsoleLine(line, arrival: arrival) }
            // Asked before the file is read: what was written before the end is then read for certain.
            let isLast = hasEnded()
            let bytes = read()
            arrival = .now
            if !bytes.isEmpty {
                ready = splitter.feed(bytes)[...]
            } else if isLast {
                return splitter.finish().map { ConsoleLine($0, arrival: arrival) }
            } else {
                for await _ in wakes.stream { break }
            }
        }
        return nil
    }

    private func read() -> [UInt8] {
        if file == nil { file = try? FileDescriptor.open(path, .readOnly, options: [.closeOnExec]) }
        guard let file else { return [] }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = buffer.withUnsafeMutableBytes { try? file.read(into: $0) }
        return Array(buffer.prefix(count ?? 0))
    }
}
