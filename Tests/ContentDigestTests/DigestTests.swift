// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import Testing

@Suite struct DigestTests {
    @Test func matchesTheStandardsExample() {
        // FIPS 180-4's example for "abc".
        #expect(Digest(of: "abc").hexadecimal == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func aFileHasTheDigestOfItsBytes() throws {
        let path = NSTemporaryDirectory() + "hmmlab-digest-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let bytes = Data((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try bytes.write(to: URL(fileURLWithPath: path))
        #expect(try Digest(ofFile: path) == Digest(of: bytes))
    }

    @Test func namesAndValuesDoNotRunIntoEachOther() {
        var left = Signature()
        left.add("a", "b=c")
        var right = Signature()
        right.add("a=b", "c")
        #expect(left.digest != right.digest)
    }

    @Test func theOrderOfInputsDoesNotMatter() {
        var left = Signature()
        left.add("tree", "1")
        left.add("config", "2")
        var right = Signature()
        right.add("config", "2")
        right.add("tree", "1")
        #expect(left.digest == right.digest)
        right.add("config", "3")
        #expect(left.digest != right.digest)
    }
}
