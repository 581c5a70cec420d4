// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// Reads KTAP and TAP 13 as kselftests and KUnit print it.
///
/// Nothing is dropped: a line that is no KTAP is kept with the result it precedes, a planned test without a result
/// becomes a missing one, and every departure from the format is a ``KTAPProblem``. Follows
/// Documentation/dev-tools/ktap.rst, tools/testing/selftests/kselftest.h and kselftest_harness.h.
public struct KTAPReader: Sendable {
    /// One level of nesting.
    private struct Level {
        var column: Int
        var plan: Int?
        var skipReason: String?
        var tests: [KTAPTest] = []
        /// Lines waiting for the result they belong to.
        var pending: [String] = []
        /// Subtests waiting for their parent's result.
        var children: [KTAPTest] = []
        /// A test that the harness said it runs, until its result comes.
        var running: String?
        var totals: [String: Int]?
        var line = 0
    }

    /// Planned tests that are listed one by one when they are missing; a broken plan must not fill the memory.
    private static let missingLimit = 1000

    private var levels = [Level(column: 0)]
    private var bailOut: String?
    private var problems: [KTAPProblem] = []
    private var lineNumber = 0

    private init() {}

    /// Reads a whole text.
    public static func read(_ text: some StringProtocol) -> KTAPDocument {
        var reader = KTAPReader()
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for line in lines.last?.isEmpty == true ? lines.dropLast() : lines[...] { reader.feed(line: String(line)) }
        return reader.finish()
    }

    /// Takes the next line, without its newline.
    private mutating func feed(line: String) {
        lineNumber += 1
        let bare = line.hasSuffix("\r") ? String(line.dropLast()) : line
        let (parsed, column) = KTAPLine.parse(bare)
        if parsed == .text { return take(text: KTAPLine.text(of: bare, column: top.column)) }
        enter(column)
        switch parsed {
        case .bailOut(let reason) where levels.count == 1:
            bailOut = reason.isEmpty ? "no reason was given" : reason
        case .bailOut(let reason):
            // A nested program gave up; its parent's result says how that is to be taken.
            levels[levels.count - 1].pending.append("Bail out! \(reason)")
            note("a nested program gave up: \(reason)")
        case .version:
            if top.plan != nil || !top.tests.isEmpty { note("a second version line begins another list of tests") }
        case .plan(let count, let reason):
            if top.plan != nil { note("a second plan, \(count.of("more test")), is added to the first") }
            levels[levels.count - 1].plan = (top.plan ?? 0) + count
            levels[levels.count - 1].skipReason = reason
        case .result(let test):
            take(result: test)
        case .text:
            break
        }
    }

    /// Ends the text: what was planned or started and has no result is added as missing.
    private mutating func finish() -> KTAPDocument {
        enter(0)
        var root = levels[0]
        if !root.children.isEmpty {
            note("subtests without their parent's result", atLine: nil)
            root.tests.append(
                KTAPTest(
                    name: root.running ?? "unknown", isOK: false, diagnostics: take(&root.pending),
                    children: take(&root.children), isMissing: true))
            root.running = nil
        }
        addMissing(to: &root)
        checkTotals(of: root)
        if root.plan == nil && root.tests.isEmpty && bailOut == nil {
            note("the text holds no test results", atLine: nil)
        } else if root.plan == nil && bailOut == nil {
            note("there was no plan, so that tests may be missing unseen", atLine: nil)
        }
        return KTAPDocument(
            plan: root.plan, skipReason: root.skipReason, bailOut: bailOut, tests: root.tests, trailer: root.pending,
            problems: problems)
    }

    // MARK: Lines

    private var top: Level { levels[levels.count - 1] }

    private mutating func take(text: String) {
        levels[levels.count - 1].pending.append(text)
        let words = text.split(separator: " ").map(String.init)
        if words.count == 3, words[0] == "RUN", words[2] == "..." {
            levels[levels.count - 1].running = words[1]
        }
        if words.first == "Totals:" {
            let pairs = words.dropFirst().map { $0.split(separator: ":") }.filter { $0.count == 2 }
            levels[levels.count - 1].totals = Dictionary(
                pairs.compactMap { pair in Int(pair[1]).map { (String(pair[0]), $0) } }, uniquingKeysWith: { $1 })
        }
    }

    private mutating func take(result: KTAPTest) {
        var test = result
        var level = levels.removeLast()
        let expected = level.tests.count + 1
        if let number = test.number {
            if level.tests.contains(where: { $0.number == number }) {
                note("test number \(number) comes a second time")
            } else if number != expected {
                note("test number \(number) comes where \(expected) is due")
            }
        } else {
            note("a result has no number")
        }
        test.diagnostics = take(&level.pending)
        test.children = take(&level.children)
        if test.isOK && test.directive == nil
            && test.children.contains(where: { $0.verdict > .skip && $0.knownFailure == nil })
        {
            note("\(test.name.isEmpty ? "a test" : test.name) is ok although a subtest failed")
        }
        level.running = nil
        level.tests.append(test)
        levels.append(level)
    }

    // MARK: Nesting

    /// Makes the level at a column the current one.
    private mutating func enter(_ column: Int) {
        while levels.count > 1, top.column > column { leave() }
        if column > top.column { levels.append(Level(column: column, line: lineNumber)) }
    }

    /// Hands a finished level's tests to the level around it, where its parent's result is due.
    private mutating func leave() {
        var level = levels.removeLast()
        addMissing(to: &level)
        checkTotals(of: level)
        levels[levels.count - 1].children += level.tests
        levels[levels.count - 1].pending += level.pending
        if !level.children.isEmpty {
            note("subtests without their parent's result")
            levels[levels.count - 1].children += level.children
        }
    }

    // MARK: What is missing

    private mutating func addMissing(to level: inout Level) {
        guard let plan = level.plan else {
            if let name = level.running { level.tests.append(missing(number: nil, name: name, of: &level)) }
            return
        }
        if level.tests.count > plan { note("\(level.tests.count.of("result")), but a plan of \(plan)", atLine: nil) }
        guard level.tests.count < plan else { return }
        note("no result for \(plan - level.tests.count) of \(plan.of("planned test"))", atLine: nil)
        let seen = Set(level.tests.compactMap(\.number))
        var number = 0
        var count = plan - level.tests.count
        if count > KTAPReader.missingLimit {
            note("only the first \(KTAPReader.missingLimit) of them are listed", atLine: nil)
            count = KTAPReader.missingLimit
        }
        for _ in 0..<count {
            repeat { number += 1 } while seen.contains(number)
            level.tests.append(missing(number: number, name: level.running ?? "", of: &level))
            level.running = nil
        }
    }

    /// A test without a result; the first one takes the lines that were waiting for it.
    private mutating func missing(number: Int?, name: String, of level: inout Level) -> KTAPTest {
        KTAPTest(number: number, name: name, isOK: false, diagnostics: take(&level.pending), isMissing: true)
    }

    private mutating func checkTotals(of level: Level) {
        guard let totals = level.totals else { return }
        let told = totals.values.reduce(0, +)
        let seen = level.tests.count { !$0.isMissing }
        if told != seen { note("the program counted \(told) results, \(seen) were seen", atLine: nil) }
    }

    private func take<T>(_ list: inout [T]) -> [T] {
        defer { list = [] }
        return list
    }

    private mutating func note(_ sentence: String) { note(sentence, atLine: lineNumber) }

    private mutating func note(_ sentence: String, atLine line: Int?) {
        problems.append(KTAPProblem(line: line, sentence: sentence))
    }
}
