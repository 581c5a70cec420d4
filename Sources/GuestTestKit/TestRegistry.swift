// SPDX-License-Identifier: Apache-2.0

/// All tests of a program, in the order in which they are listed.
public struct TestRegistry: Sendable {
    /// The tests.
    public let tests: [GuestTest]

    /// A registry that contradicts itself or the list's format.
    public enum Problem: Error, Equatable, Sendable {
        /// Two tests have this name.
        case duplicate(String)
        /// The name is not `suite/name` in lower case words.
        case badName(String)
        /// The summary is empty, or holds a tab or a line break, which the list uses.
        case badSummary(String)
    }

    /// Makes a registry and checks it.
    public init(_ tests: [GuestTest]) throws(Problem) {
        var seen: Set<String> = []
        for test in tests {
            guard seen.insert(test.id).inserted else { throw .duplicate(test.id) }
            guard TestRegistry.isName(test.id) else { throw .badName(test.id) }
            guard !test.summary.isEmpty, !test.summary.contains(where: { $0 == "\t" || $0.isNewline }) else {
                throw .badSummary(test.id)
            }
        }
        self.tests = tests
    }

    /// The test with this name.
    public func test(_ id: String) -> GuestTest? { tests.first { $0.id == id } }

    /// One line for each test: name, requirements joined by commas or `-`, timeout in milliseconds, and summary,
    /// separated by tabs.
    public var lines: [String] {
        tests.map { test in
            let words = test.requirements.map(\.rawValue).joined(separator: ",")
            return "\(test.id)\t\(words.isEmpty ? "-" : words)\t\(test.timeoutMilliseconds)\t\(test.summary)"
        }
    }

    private static func isName(_ id: String) -> Bool {
        let parts = id.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2
            && parts.allSatisfy { part in
                !part.isEmpty && part.allSatisfy { ("a"..."z").contains($0) || ("0"..."9").contains($0) || $0 == "-" }
            }
    }
}
