// SPDX-License-Identifier: Apache-2.0
import CLibCrypto
import Foundation

/// A SHA-256 digest (FIPS 180-4) that names the content of an artifact, an image or a configuration.
public struct Digest: Hashable, Sendable, Codable, CustomStringConvertible {
    /// 64 lower-case hexadecimal digits.
    public let hexadecimal: String

    /// The digest of bytes in memory.
    public init(of bytes: some DataProtocol) {
        var hash = Hash()
        for region in bytes.regions { region.withUnsafeBytes { hash.update($0) } }
        hexadecimal = hash.finish()
    }

    /// The digest of a text's UTF-8 form.
    public init(of text: String) {
        self.init(of: Array(text.utf8))
    }

    /// The digest of a file's content, read in pieces of 1 MiB.
    ///
    /// - Throws: a Foundation error if the file cannot be read.
    public init(ofFile path: String) throws {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        defer { try? file.close() }
        var hash = Hash()
        while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty {
            piece.withUnsafeBytes { hash.update($0) }
        }
        hexadecimal = hash.finish()
    }

    /// The first 16 digits: enough to name a folder, short enough to read.
    public var short: String { String(hexadecimal.prefix(16)) }

    /// The whole digest.
    public var description: String { hexadecimal }
}

/// Collects named inputs into one digest; the order of the calls does not matter, names and values cannot run into each other.
public struct Signature: Sendable {
    private var parts: [String: String] = [:]

    /// An empty signature.
    public init() {}

    /// Records one input; a later value for the same name replaces the earlier one.
    public mutating func add(_ name: String, _ value: String) {
        parts[name] = value
    }

    /// The inputs by name, for a manifest that people can compare.
    public var inputs: [String: String] { parts }

    /// The digest over all inputs.
    public var digest: Digest {
        let text = parts.keys.sorted().map { key in
            "\(key.utf8.count):\(key)=\(parts[key]?.utf8.count ?? 0):\(parts[key] ?? "")"
        }
        return Digest(of: text.joined(separator: "\n"))
    }
}

/// A running SHA-256 of libcrypto (EVP_DigestInit_ex(3)), which only fails for want of memory.
private struct Hash: ~Copyable {
    private let context = EVP_MD_CTX_new()

    init() { EVP_DigestInit_ex(context, EVP_sha256(), nil) }

    deinit { EVP_MD_CTX_free(context) }

    mutating func update(_ bytes: UnsafeRawBufferPointer) { EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) }

    consuming func finish() -> String {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        EVP_DigestFinal_ex(context, &digest, &count)
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: digest.prefix(Int(count)).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
