// SPDX-License-Identifier: Apache-2.0
public import DeviceMirror
import Synchronization

/// The failed expectations of this process so far.
///
/// One counter per process is enough: a process runs one test, and a forked child starts again at zero.
enum Failures {
    private static let counter = Mutex(0)

    static var count: Int { counter.withLock { $0 } }

    static func reset() { counter.withLock { $0 = 0 } }

    static func record(_ sentence: String, details: String, file: String, line: Int) {
        counter.withLock { $0 += 1 }
        let name = file.split(separator: "/").last.map(String.init) ?? file
        let suffix = details.isEmpty ? "" : " (\(details))"
        Console.line("FAIL \(name):\(line): \(sentence)\(suffix)")
    }
}

/// Why a test ended before its last line.
enum Interruption: Error {
    /// A required expectation failed; it is on the record already.
    case requirementFailed
    /// The environment lacks something.
    case skipped(reason: String)
}

/// States what must be true; a false condition is put on the record and the test goes on.
///
/// The sentence says what is true on a correct kernel, as a full clause. The details say what was found instead; they
/// are evaluated only on failure.
///
/// - Returns: the condition.
@discardableResult
public func expect(
    _ condition: Bool, _ sentence: String, _ details: @autoclosure () -> String = "", file: String = #fileID,
    line: Int = #line
) -> Bool {
    if !condition { Failures.record(sentence, details: details(), file: file, line: line) }
    return condition
}

/// States that two values are equal.
///
/// - Returns: whether they are.
@discardableResult
public func expectEqual<Value: Equatable>(
    _ actual: Value, _ expected: Value, _ sentence: String, file: String = #fileID, line: Int = #line
) -> Bool {
    expect(actual == expected, sentence, "expected \(expected), got \(actual)", file: file, line: line)
}

/// States that there is nothing to complain about, where a check returns its complaint or nil.
///
/// - Returns: whether there was none.
@discardableResult
public func expectNone(
    _ complaint: String?, _ sentence: String, file: String = #fileID, line: Int = #line
) -> Bool {
    expect(complaint == nil, sentence, complaint ?? "", file: file, line: line)
}

/// States that the device refuses a request with this error number.
public func expectRefused<Result>(
    _ code: Errno, _ sentence: String, file: String = #fileID, line: Int = #line,
    _ request: () throws(MirrorError) -> Result
) {
    do {
        _ = try request()
        Failures.record(sentence, details: "expected \(code), but it succeeded", file: file, line: line)
    } catch {
        expect(error.code == code, sentence, "expected \(code), got: \(error)", file: file, line: line)
    }
}

/// States what must be true for the rest of the test to make sense.
///
/// - Throws: an error that ends the test when the condition is false.
public func require(
    _ condition: Bool, _ sentence: String, _ details: @autoclosure () -> String = "", file: String = #fileID,
    line: Int = #line
) throws {
    guard expect(condition, sentence, details(), file: file, line: line) else { throw Interruption.requirementFailed }
}

/// Unwraps what the rest of the test needs.
///
/// - Throws: an error that ends the test when there is nothing.
public func requireValue<Value>(
    _ value: Value?, _ sentence: String, file: String = #fileID, line: Int = #line
) throws -> Value {
    guard let value else {
        Failures.record(sentence, details: "", file: file, line: line)
        throw Interruption.requirementFailed
    }
    return value
}

/// Ends the test as skipped, because of what the environment lacks.
///
/// - Throws: the error that ends the test.
public func skip(_ reason: String) throws -> Never { throw Interruption.skipped(reason: reason) }
