// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import AddressSpaceModel

/// A model and what a kernel is made to answer, both in short words.
///
/// A window is a word for each page: `-` nothing, `s7` system memory in frame 7, `a7` and `b7` frame 7 of the devices' memories,
/// `x7` system memory that a device has to itself. Contents are a word for each page: `z` zeros, `2:17` what was written for page 2
/// with stamp 17, `torn`.
struct Played {
    var model: Model

    init(size: Int = 4, devices: [Int] = [0, 1], flaws: Model.Flaws = []) {
        model = Model(size: size, devices: devices, flaws: flaws)
    }

    /// Does a step that ends as given.
    mutating func play(
        _ line: String, _ ending: Report.Ending = .done, done: Int? = nil, reads: String = "", answers: [UInt8] = [],
        then window: String
    ) throws {
        let step = try #require(Step(line))
        #expect(model.defines(step), "\(line)")
        let contents = try reads.split(separator: " ").map { try Self.content(String($0)) }
        let reached = done ?? (contents.isEmpty ? step.pages.count : contents.count)
        try model.apply(
            step,
            Report(
                ending, done: reached, contents: contents, answers: answers,
                window: try window.split(separator: " ").map { try Self.seen(String($0)) }))
    }

    private static func content(_ word: String) throws -> Content {
        if word == "z" { return .zero }
        if word == "torn" { return .torn }
        let numbers = word.split(separator: ":").compactMap { Int($0) }
        try #require(numbers.count == 2)
        return Content(stamp: UInt32(numbers[1]), page: numbers[0])
    }

    private static func seen(_ word: String) throws -> Seen {
        let number = UInt64(word.dropFirst()) ?? 0
        switch word.first {
        case "-": return Seen(.nothing)
        case "s": return Seen(.system, frame: number)
        case "a": return Seen(.device, frame: 1 << 20 + number)
        case "b": return Seen(.device, frame: 2 << 20 + number)
        case "x": return Seen(.seized, frame: number)
        default: return try #require(nil, "\(word) is no entry")
        }
    }
}

/// What the model says against it; nil if nothing.
func complaint(_ body: () throws -> Void) throws -> String? {
    do {
        try body()
        return nil
    } catch let divergence as Divergence {
        return divergence.description
    }
}
