import Testing

// SPDX-License-Identifier: Apache-2.0
@testable import GuestProtocol

@Suite struct RoundTripTests {
    @Test(arguments: Samples.host) func hostMessage(_ message: HostMessage) throws {
        try expectRoundTrip(message)
    }

    @Test(arguments: Samples.guest) func guestMessage(_ message: GuestMessage) throws {
        try expectRoundTrip(message)
    }

    private func expectRoundTrip<Message: ProtocolMessage>(_ message: Message) throws {
        let line = try message.encoded()
        #expect(line.last == UInt8(ascii: "\n"))
        #expect(line.dropLast().allSatisfy { 0x20...0x7e ~= $0 }, "a frame is one line of ASCII")
        #expect(line.filter { $0 == UInt8(ascii: "#") }.count == 1, "# only begins a frame")
        var decoder = MessageDecoder<Message>()
        #expect(decoder.feed(line) == [.message(message)])
        #expect(decoder.finish() == nil)
    }

    /// The wire itself, so that a change of both directions at once is noticed.
    ///
    /// The checksums come from zlib's crc32().
    @Test(arguments: [
        (HostMessage.powerOff, "#hmmlab1 poweroff d2c5c196\n"),
        (.read(path: "/proc/a b"), "#hmmlab1 read path=/proc/a%20b 0d0bca26\n"),
        (
            .loadModules([ModuleRequest("m", parameters: "a=1 b=2"), ModuleRequest("n")]),
            "#hmmlab1 load module=m%20a%3D1%20b%3D2 module=n 1008eb6b\n"
        ),
    ]) func wire(_ message: HostMessage, _ line: String) throws {
        #expect(String(decoding: try message.encoded(), as: UTF8.self) == line)
    }

    @Test func streamInPiecesOfEverySize() throws {
        let lines = try Samples.guest.flatMap { try $0.encoded() }
        let expected = Samples.guest.map { MessageDecoder<GuestMessage>.Event.message($0) }
        for size in [1, 2, 3, 7, 64, 1000, lines.count] {
            var decoder = MessageDecoder<GuestMessage>()
            var events: [MessageDecoder<GuestMessage>.Event] = []
            for start in stride(from: 0, to: lines.count, by: size) {
                events += decoder.feed(lines[start..<min(start + size, lines.count)])
            }
            #expect(events == expected, "pieces of \(size) bytes")
        }
    }

    @Test func randomBytesSurvive() throws {
        var random = SplitMix(state: 1)
        for _ in 0..<300 {
            let bytes = (0..<Int.random(in: 0...Vocabulary.chunkSize, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            try expectRoundTrip(GuestMessage.output(id: "random", .standardError, bytes))
        }
    }

    @Test func largestChunkFitsIntoAFrame() throws {
        let worst = [UInt8](repeating: 0, count: Vocabulary.chunkSize)
        try expectRoundTrip(GuestMessage.output(id: String(repeating: "ä", count: 2000), .standardError, worst))
        try expectRoundTrip(GuestMessage.file(path: String(repeating: "ä", count: 2000), worst, isLast: true))
    }

    @Test func messageThatIsTooLongIsRefused() throws {
        let fitting = try HostMessage.write(path: "/", text: "").encoded().count
        let room = Frame.maximumLength - fitting
        try expectRoundTrip(HostMessage.write(path: "/", text: String(repeating: "x", count: room)))
        #expect(throws: FrameTooLong(verb: "write", length: Frame.maximumLength + 1)) {
            try HostMessage.write(path: "/", text: String(repeating: "x", count: room + 1)).encoded()
        }
    }
}

/// A small generator with a fixed seed, so that a failure can be repeated (SplitMix64).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
