// SPDX-License-Identifier: Apache-2.0
import Foundation
import KernelLog

/// Console logs of real guests that were crashed on purpose (Fixtures/crasher/capture), and what has to be found in them.
///
/// `HMMLAB_UPDATE_SNAPSHOTS=1 swift test --filter KernelLogTests` rewrites the expectations; read the difference.
enum Golden {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

    static let isUpdating = ProcessInfo.processInfo.environment["HMMLAB_UPDATE_SNAPSHOTS"] == "1"

    /// The names of all logs.
    static let names: [String] = {
        let files =
            (try? FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "Fixtures").path)) ?? []
        return files.filter { $0.hasSuffix(".log") }.map { String($0.dropLast(4)) }.sorted()
    }()

    /// A log's text as the console gave it, carriage returns included.
    static func log(_ name: String) throws -> String {
        let data = try Data(contentsOf: folder.appending(path: "Fixtures/\(name).log"))
        return String(decoding: data, as: UTF8.self)
    }

    static func lines(_ name: String) throws -> [String] {
        try log(name).unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    }

    static func expectation(_ name: String) -> String? {
        try? String(contentsOf: folder.appending(path: "Snapshots/\(name).txt"), encoding: .utf8)
    }

    static func update(_ name: String, _ text: String) throws {
        try text.write(to: folder.appending(path: "Snapshots/\(name).txt"), atomically: true, encoding: .utf8)
    }

    /// Everything the parser says about a log, with the console line it said it at.
    static func describe(_ lines: [String]) -> String {
        var parser = ConsoleParser()
        var text: [String] = []
        for (number, line) in lines.enumerated() {
            for event in parser.feed(line: line) { text += describe(event, at: "line \(number + 1)") }
        }
        for event in parser.finish() { text += describe(event, at: "the end") }
        return text.joined(separator: "\n") + "\n"
    }

    private static func describe(_ event: ConsoleEvent, at place: String) -> [String] {
        switch event {
        case .fact(let fact): return ["\(place): \(fact)"]
        case .began(let start):
            return ["\(place): report \(start.index) began: \(start.kind.rawValue)\(start.isFatal ? ", fatal" : "")"]
        case .ended(let report):
            return ["\(place): report \(report.index) ended"] + describe(report).map { "    " + $0 }
        }
    }

    private static func describe(_ report: KernelReport) -> [String] {
        var text = ["\(report.kind.rawValue): \(report.title)"]
        text.append("headline: \(report.headline)")
        let flags = [
            report.isFatal ? "fatal" : nil, report.followsFatal ? "after a fatal one" : nil,
            report.isComplete ? "complete" : "cut off",
        ]
        text.append("state: " + flags.compactMap { $0 }.joined(separator: ", "))
        if let function = report.function {
            text.append("function: \(function)" + (report.module.map { " of \($0)" } ?? ""))
        }
        if let location = report.location { text.append("location: \(location)") }
        if let comm = report.comm { text.append("task: \(comm), PID \(report.pid.map(String.init) ?? "unknown")") }
        if let time = report.time { text.append("time: \(time) us") }
        for panic in report.panics { text.append("panic: \(panic)") }
        text.append("lines: \(report.lines.count)")
        text.append("    first: \(report.lines.first ?? "")")
        text.append("    last: \(report.lines.last ?? "")")
        if let instruction = report.instruction { text.append("instruction: \(describe(instruction))") }
        return text + ["frames:"] + report.frames.map { "    " + describe($0) }
    }

    private static func describe(_ frame: StackFrame) -> String {
        (frame.isReliable ? "" : "? ") + "\(frame.function)+\(frame.offset ?? -1)/\(frame.size ?? -1)"
            + (frame.module.map { " [\($0)]" } ?? "")
    }
}
