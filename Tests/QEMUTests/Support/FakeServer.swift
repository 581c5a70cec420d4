// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// A unix socket server for one client.
///
/// Its blocking calls are made off Swift's own threads, of which there may be only one.
final class FakeServer: Sendable {
    private let listener: Int32

    /// Listens at a name in a folder; the name is bound from inside the folder, as QEMU does it.
    init(_ name: String, in folder: String) throws {
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw LabError("test", "no folder \(folder)") }
        defer { close(directory) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array("/proc/self/fd/\(directory)/\(name)".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let status = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0, listen(listener, 1) == 0 else { throw LabError("test", "no server: \(errno)") }
    }

    deinit { close(listener) }

    /// The one client.
    func accept() async -> Peer { await Self.blocking { Peer(descriptor: Glibc.accept(self.listener, nil, nil)) } }

    private static func blocking<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { done in
            DispatchQueue.global().async { done.resume(returning: work()) }
        }
    }

    /// The server's end of a connection.
    final class Peer: Sendable {
        private let descriptor: Int32

        init(descriptor: Int32) { self.descriptor = descriptor }
        deinit { close(descriptor) }

        func write(_ text: String) {
            let bytes = Array(text.utf8)
            _ = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        }

        /// Writes until the socket is full and nobody reads any more; returns the bytes written.
        func fill() async -> Int {
            let block = [UInt8](repeating: 0x78, count: 1 << 16)
            var total = 0
            var misses = 0
            while misses < 50 {
                let sent = block.withUnsafeBytes {
                    send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
                if sent > 0 {
                    total += sent
                    misses = 0
                } else {
                    misses += 1
                    try? await Task.sleep(for: .milliseconds(2))
                }
            }
            return total
        }

        /// Reads up to a newline.
        func readLine() async -> String {
            await FakeServer.blocking {
                var line: [UInt8] = []
                while let byte = self.readByte(), byte != UInt8(ascii: "\n") { line.append(byte) }
                return String(decoding: line, as: UTF8.self)
            }
        }

        /// Waits for a byte.
        func readFirstByte() async -> UInt8? { await FakeServer.blocking { self.readByte() } }

        private func readByte() -> UInt8? {
            var byte: UInt8 = 0
            return recv(descriptor, &byte, 1, 0) == 1 ? byte : nil
        }

        func hangUp() { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }
}
