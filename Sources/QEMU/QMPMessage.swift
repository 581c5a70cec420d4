// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What hmmlab understands of QEMU's monitor, which writes one JSON object to a line (docs/interop/qmp-spec.txt of QEMU).
enum QMPMessage: Equatable {
    /// A command was done.
    case result
    /// A command was refused, with QEMU's own sentence.
    case refusal(String)
    /// QEMU is about to end, for this reason.
    case shutdown(reason: String)
    /// The greeting, and events that do not matter here.
    case other

    /// Reads a line; nil for one that is no message.
    init?(line: String) {
        guard let raw = try? JSONDecoder().decode(Raw.self, from: Data(line.utf8)) else { return nil }
        if let refusal = raw.error {
            self = .refusal(refusal.desc)
        } else if raw.isResult {
            self = .result
        } else if raw.event == "SHUTDOWN", let reason = raw.data?.reason {
            self = .shutdown(reason: reason)
        } else {
            self = .other
        }
    }

    private struct Raw: Decodable {
        struct Failure: Decodable {
            var desc: String
        }
        struct Details: Decodable {
            var reason: String?
        }
        enum CodingKeys: String, CodingKey {
            case event, data, error
            case result = "return"
        }
        var event: String?
        var data: Details?
        var error: Failure?
        var isResult: Bool

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            event = try container.decodeIfPresent(String.self, forKey: .event)
            data = try container.decodeIfPresent(Details.self, forKey: .data)
            error = try container.decodeIfPresent(Failure.self, forKey: .error)
            isResult = container.contains(.result)
        }
    }
}
