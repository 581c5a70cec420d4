// SPDX-License-Identifier: Apache-2.0
import Foundation

/// JSON in the one form that hmmlab writes: sorted keys, two-space indentation, ISO 8601 dates, a newline at the end.
public enum JSON {
    /// The version that every document carries as `"schema"`; documents only ever gain keys.
    public static let schema = 1

    /// Encodes a value.
    ///
    /// - Throws: `EncodingError`.
    public static func text(_ value: some Encodable) throws -> String {
        String(decoding: try encoded(value, [.prettyPrinted]), as: UTF8.self) + "\n"
    }

    /// Encodes a value into one line, its newline included.
    ///
    /// - Throws: `EncodingError`.
    public static func line(_ value: some Encodable) throws -> Data { try encoded(value, []) + Data("\n".utf8) }

    private static func encoded(_ value: some Encodable, _ form: JSONEncoder.OutputFormatting) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = form.union([.sortedKeys, .withoutEscapingSlashes])
        encoder.dateEncodingStrategy = .iso8601
        return try encoder.encode(value)
    }

    /// Decodes a value.
    ///
    /// - Throws: `DecodingError`.
    public static func value<T: Decodable>(_ type: T.Type, from data: Data) throws -> T {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return try decoder.decode(type, from: data)
    }
}

/// Adds `"schema": 1` to a document without a field of its own in every type.
public struct Document<Content: Encodable>: Encodable {
    /// The document's own keys.
    public let content: Content

    /// Wraps a document.
    public init(_ content: Content) { self.content = content }

    private enum Key: String, CodingKey { case schema }

    /// Writes the content's keys and `schema` into one object.
    public func encode(to encoder: any Encoder) throws {
        try content.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(JSON.schema, forKey: .schema)
    }
}
