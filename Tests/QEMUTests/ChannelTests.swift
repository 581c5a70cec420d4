// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing
import VirtualMachine

@testable import QEMU

/// Sockets, the monitor on top of them, and the console file, against a server in this process.
@Suite struct ChannelTests {
    /// Runs a body with a connection and its server's end; the folder's path alone is longer than an address may be.
    private func withConnection(_ body: (UnixConnection, FakeServer.Peer) async throws -> Void) async throws {
        try await withFolder { folder in
            #expect(folder.utf8.count > 108)
            let server = try FakeServer("test.sock", in: folder)
            let connection = try #require(try OpenFolder(folder).connect("test.sock"))
            defer { connection.hangUp() }
            try await body(connection, await server.accept())
        }
    }

    @Test func bytesGoBothWays() async throws {
        try await withConnection { connection, peer in
            try await connection.send(Array("ping\n".utf8))
            #expect(await peer.readLine() == "ping")
            peer.write("pong")
            peer.hangUp()
            var heard: [UInt8] = []
            for await chunk in connection.incoming { heard += chunk.bytes }
            #expect(String(decoding: heard, as: UTF8.self) == "pong")
        }
    }

    @Test func nobodyListeningIsNoError() async throws {
        try await withFolder { folder in
            let place = try OpenFolder(folder)
            #expect(try place.connect("test.sock") == nil)
            // What a killed server leaves behind.
            do { _ = try FakeServer("test.sock", in: folder) }
            #expect(Files.exists(folder + "/test.sock"))
            #expect(try place.connect("test.sock") == nil)
            try Files.write("", to: folder + "/plain")
            #expect(throws: LabError.self) { try place.connect(String(repeating: "x", count: 100)) }
        }
    }

    @Test func floodIsSlowedDownInsteadOfStored() async throws {
        try await withConnection { connection, peer in
            let written = await peer.fill()
            peer.hangUp()
            // Sixteen pieces, one in hand, and what the kernel's own buffers hold.
            #expect(written < 4 << 20)
            var read = 0
            for await chunk in connection.incoming { read += chunk.bytes.count }
            #expect(read == written)
        }
    }

    @Test func hangingUpEndsASendThatWaits() async throws {
        try await withConnection { connection, peer in
            let sending = Task { try await connection.send([UInt8](repeating: 0, count: 16 << 20)) }
            // The send has begun when its first byte is here.
            _ = await peer.readFirstByte()
            connection.hangUp()
            await #expect(throws: LabError.self) { try await sending.value }
        }
    }

    @Test func hangingUpEndsAFlood() async throws {
        try await withConnection { connection, peer in
            _ = await peer.fill()
            connection.hangUp()
            for await _ in connection.incoming {}
        }
    }

    @Test func cancelledReaderReturns() async throws {
        try await withConnection { connection, _ in
            let reader = Task { for await _ in connection.incoming {} }
            reader.cancel()
            await reader.value
        }
    }

    @Test func monitorIsGreetedAndItsEndIsUnderstood() async throws {
        try await withConnection { connection, peer in
            let client = QMPClient(connection)
            async let pump: Void = client.pump()
            #expect(await peer.readLine() == #"{"execute":"qmp_capabilities"}"#)
            #expect(await peer.readLine() == #"{"execute":"cont"}"#)
            // In pieces that end inside a message.
            peer.write(#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabi"#)
            peer.write(#"lities": ["oob"]}}"# + "\r\n" + #"{"return": {}}"# + "\r\n")
            client.post("quit")
            #expect(await peer.readLine() == #"{"execute":"quit"}"#)
            peer.write(#"{"return": {}}"# + "\r\n")
            peer.write(#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "#)
            peer.write(#""data": {"guest": false, "reason": "host-qmp-quit"}}"# + "\r\n")
            peer.hangUp()
            #expect(await client.shutdownReasonAtEnd() == "host-qmp-quit")
            await pump
            #expect(client.isReady)
        }
    }

    @Test func monitorThatEndsWithoutAWordIsNotReady() async throws {
        try await withConnection { connection, peer in
            let client = QMPClient(connection)
            peer.write("{\"QMP\": {}}\r\n")
            peer.hangUp()
            await client.pump()
            #expect(!client.isReady)
            #expect(await client.shutdownReasonAtEnd() == nil)
        }
    }

    @Test(arguments: [
        (#"{"return": {}}"#, QMPMessage.result),
        (#"{"return": [1, "a"], "id": 7}"#, .result),
        (#"{"error": {"class": "GenericError", "desc": "no"}}"#, .refusal("no")),
        (#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#, .shutdown(reason: "guest-reset")),
        (#"{"event": "RESUME", "timestamp": {"seconds": 1}}"#, .other),
        (#"{"QMP": {"capabilities": []}}"#, .other),
        ("", nil), ("{", nil), ("[]", nil), (#"{"event": 7}"#, nil),
    ])
    func messages(line: String, message: QMPMessage?) { #expect(QMPMessage(line: line) == message) }

    @Test func consoleIsFollowedWhileItGrows() async throws {
        try await withFolder { folder in
            let path = folder + "/console.log"
            let ended = LockedValue(false)
            let lines = ConsoleFollower(path) { ended.withLock { $0 } }.lines
            var iterator = lines.makeAsyncIterator()
            async let writer: Void = {
                // Not there at first, then in pieces that end inside a line.
                try await Task.sleep(for: .milliseconds(50))
                try Files.write("one\r\ntw", to: path)
            }()
            #expect(await iterator.next()?.text == "one")
            try await writer
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try file.seekToEnd()
            try file.write(contentsOf: Data("o\nthree\n\nlast \u{1b}[0m".utf8))
            #expect(await iterator.next()?.text == "two")
            #expect(await iterator.next()?.text == "three")
            #expect(await iterator.next()?.text == "")
            try file.write(contentsOf: Data(" words".utf8))
            ended.withLock { $0 = true }
            #expect(await iterator.next()?.text == "last \u{1b}[0m words")
            #expect(await iterator.next() == nil)
        }
    }

    @Test func consoleThatNeverAppearsIsEmpty() async throws {
        let lines = ConsoleFollower("/nowhere/console.log") { true }.lines
        for await line in lines { Issue.record("\(line)") }
    }
}
