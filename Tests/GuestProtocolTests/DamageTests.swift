// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import GuestProtocol

/// What is torn, damaged or hostile is noticed and stepped over, and never read as something else.
@Suite struct DamageTests {
    typealias Event = MessageDecoder<GuestMessage>.Event

    private let victim = GuestMessage.output(id: "mirror/read", .standardOutput, Array("ok 1 - a\n".utf8))
    private let next = GuestMessage.ended(id: "mirror/read", .exited(0), milliseconds: 12)

    private func decode(_ bytes: some Sequence<UInt8>) -> [Event] {
        var decoder = MessageDecoder<GuestMessage>()
        return decoder.feed(bytes) + [decoder.finish()].compactMap { $0 }
    }

    @Test func endCutOffAtEveryByte() throws {
        let line = try victim.encoded()
        let after = try next.encoded()
        for length in 1..<line.count {
            #expect(decode(line.prefix(length)) == [.garbage(byteCount: length)])
            #expect(decode(line.prefix(length) + after) == [.garbage(byteCount: length), .message(next)])
        }
    }

    @Test func beginningCutOffAtEveryByte() throws {
        let line = try victim.encoded()
        let after = try next.encoded()
        for length in 1..<line.count {
            #expect(decode(line.suffix(length) + after) == [.garbage(byteCount: length), .message(next)])
        }
    }

    @Test func pieceMissingInTheMiddle() throws {
        let line = try victim.encoded()
        for start in 1..<line.count {
            for end in start + 1..<line.count {
                let torn = line[..<start] + line[end...]
                #expect(decode(torn) == [.garbage(byteCount: torn.count)])
            }
        }
    }

    @Test func everyFlippedBitIsNoticed() throws {
        let line = try victim.encoded()
        let after = try next.encoded()
        for index in line.indices {
            for bit in 0..<8 {
                var damaged = line
                damaged[index] ^= 1 << bit
                let messages = decode(damaged + after).compactMap { event in
                    if case .message(let message) = event { message } else { nil }
                }
                #expect(messages == [next], "bit \(bit) of byte \(index)")
            }
        }
    }

    @Test func foreignBytesAreCounted() throws {
        let line = try next.encoded()
        #expect(
            decode(Array("login: ".utf8) + line + Array("\n\nBye".utf8)) == [
                .garbage(byteCount: 7), .message(next), .garbage(byteCount: 5),
            ])
    }

    @Test func randomNoiseNeverBecomesAMessage() {
        var random = SplitMix(state: 2)
        let alphabet = Array("#hmmlab1 \n=%0aoutput".utf8)
        for _ in 0..<200 {
            let noise = (0..<2000).map { _ in alphabet.randomElement(using: &random) ?? 0 }
            let events = decode(noise)
            #expect(events.allSatisfy { if case .garbage = $0 { true } else { false } })
            let counted = events.reduce(0) { if case .garbage(let count) = $1 { $0 + count } else { $0 } }
            #expect(counted == noise.count)
        }
    }

    @Test func endlessLineTakesBoundedMemory() throws {
        var decoder = MessageDecoder<GuestMessage>()
        let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 100_000)
        var counted = 0
        for _ in 0..<20 {
            for event in decoder.feed(Array("#".utf8) + piece) {
                guard case .garbage(let count) = event else {
                    Issue.record("\(event)")
                    continue
                }
                counted += count
            }
        }
        #expect(counted == 20 * (piece.count + 1))
        #expect(decoder.feed(try next.encoded()) == [.message(next)])
    }

    @Test func otherVersionIsTold() {
        #expect(decode(signed("#hmmlab2 hello world")) == [.otherVersion(2)])
    }

    @Test func laterVocabularyIsTolerated() throws {
        #expect(decode(signed("#hmmlab1 sing song=x")) == [.message(.unknown(verb: "sing"))])
        #expect(decode(signed("#hmmlab1 bye why=tired")) == [.message(.bye)])
    }

    /// Right checksums around wrong content: what a hostile or broken peer could send.
    @Test(arguments: [
        ("hello version=1 release=x", "uptime"), ("hello version=-1 release=x uptime=1", "version"),
        ("hello version=+1 release=x uptime=1", "version"), ("hello version= release=x uptime=1", "version"),
        ("hello version=1 release=x uptime=99999999999999999999999999", "uptime"),
        ("ended id=x how=exited code=4294967296 ms=1", "code"), ("ended id=x how=exited ms=1", "code"),
        ("ended id=x how=slowly ms=1", "how"), ("ended id=x how=timed-out", "ms"),
        ("output id=x stream=in data=", "stream"),
        ("output id=x stream=out", "data"), ("started", "id"), ("module name=x change=love", "change"),
    ]) func invalidValue(_ line: String, _ key: String) {
        let verb = String(line.prefix { $0 != " " })
        #expect(decode(signed("#hmmlab1 " + line)) == [.invalid(InvalidFrame(verb: verb, key: key))])
    }

    @Test(arguments: [
        "run id=x", "run id=x arg=", "run arg=ls", "run id=x arg=ls timeout=soon", "resize rows=65536 columns=1",
    ])
    func invalidRequest(_ line: String) {
        var decoder = MessageDecoder<HostMessage>()
        let events = decoder.feed(signed("#hmmlab1 " + line))
        #expect(events.count == 1)
        guard case .invalid = events.first else {
            Issue.record("\(events)")
            return
        }
    }

    @Test(arguments: [
        "#hmmlab1", "#hmmlab1 ", "#hmmlab bye", "#hmmlabx bye", "#hmmlab1  bye", "#hmmlab1 Bye", "#hmmlab1 bye ",
        "#hmmlab1 problem text", "#hmmlab1 problem =x", "#hmmlab1 problem text=a=b", "#hmmlab1 problem text=%4",
        "#hmmlab1 problem text=%zz", "#hmmlab1 problem text=%4g", "#hmmlab1 problem TEXT=x", "#hmmlab1 problem text=ä",
    ]) func malformedLine(_ line: String) {
        let bytes = signed(line)
        #expect(decode(bytes) == [.garbage(byteCount: bytes.count)])
    }

    private func signed(_ line: String) -> [UInt8] {
        let checksum = String(Checksum.crc32(line.utf8), radix: 16)
        return Array("\(line) \(String(repeating: "0", count: 8 - checksum.count))\(checksum)\n".utf8)
    }
}
