// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// The clone that these tests are part of.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

/// Real console text of guests that were crashed on purpose, as the KernelLog tests keep it.
enum Console {
    /// What the guest printed from the crash on, without what its own shutdown added.
    static func crash(_ name: String) throws -> [String] {
        let place = repository.appending(path: "Tests/KernelLogTests/Fixtures/\(name).log")
        var splitter = LineSplitter()
        let lines = splitter.feed(try Data(contentsOf: place))
        guard let start = lines.firstIndex(where: { $0.hasPrefix("a program may print") }) else {
            throw CocoaError(.fileReadCorruptFile)
        }
        return Array(lines[(start + 1)...].prefix { !$0.hasPrefix("exit status") })
    }
}

/// A folder that is gone when the test has ended.
func withTemporaryFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let folder = NSTemporaryDirectory() + "hmmlab-pipeline-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try await body(folder)
}
