// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import ProcessRunner
import TOMLKit

/// A file of axes: each combination of their values is a cell, a test run of its own (docs/matrix.md).
public struct TestMatrix: Sendable, Equatable {
    /// A value of an axis: what it changes of a run, named as the options of `hmmlab test` are.
    public struct Value: Sendable, Equatable, Decodable {
        var name: String
        var base: String?
        var series: String?
        var flavour: String?
        var config: [String]?
        var set: [String]?
        var machine: String?
        var cpus: Int?
        var memory: Int?
        var nodes: Int?
        var append: String?
        var driver: GuestSelection.Driver?
        var suites: [String]?
        var filter: String?
        var prepare: [String]?
    }

    /// What varies.
    public struct Axis: Sendable, Equatable, Decodable {
        /// Its name, such as `thp`.
        public var name: String
        /// Its values.
        public var values: [Value]
    }

    /// Cells that are left out.
    struct Skip: Sendable, Equatable, Decodable {
        /// Values by axis: a cell that has all of them is left out.
        var cells: [String: String]
        var reason: String
    }

    /// A combination of one value of each axis.
    public struct Cell: Sendable {
        /// The names of its values, in the order of the axes.
        public var values: [String]
        /// What is run.
        public var selection: TestSelection
        /// Why it is left out; nil if it is run.
        public var skip: String?

        /// The cell as one word for a person.
        public var name: String { values.joined(separator: ", ") }
        /// What runs it by itself, as a shell takes it.
        public var command: String { Command("hmmlab", selection.arguments).shellText }
    }

    private struct Document: Decodable {
        var axis: [Axis]
        var skip: [Skip]?
    }

    /// The axes; the last one varies fastest, so kernels belong to the first.
    public let axes: [Axis]
    let skips: [Skip]

    /// Reads a matrix.
    ///
    /// - Throws: ``LabError`` `matrix-bad` with the reason, `file-unreadable`.
    public init(path: String) throws { try self.init(text: try Files.text(path), path: path) }

    init(text: String, path: String) throws {
        do {
            let document = try TOMLDecoder(strictDecoding: true).decode(Document.self, from: text)
            (axes, skips) = (document.axis, document.skip ?? [])
        } catch {
            throw Self.bad(path, "\(error)")
        }
        if let wrong { throw Self.bad(path, wrong) }
    }

    private static func bad(_ path: String, _ cause: String) -> LabError {
        LabError(
            "matrix-bad", exit: .usage, "\(path) is no matrix that can be run", cause: cause,
            next: "docs/matrix.md says what belongs into it.")
    }

    /// What is wrong with it, in a sentence.
    private var wrong: String? {
        if let name = Self.twice(axes.map(\.name)) { return "There are two axes \(name)" }
        for axis in axes {
            if axis.values.isEmpty { return "The axis \(axis.name) has no value" }
            if let name = Self.twice(axis.values.map(\.name)) { return "The axis \(axis.name) has \(name) twice" }
        }
        for skip in skips {
            for (name, value) in skip.cells {
                guard let axis = axes.first(where: { $0.name == name }) else {
                    return "A skip names \(name), which is no axis"
                }
                if !axis.values.contains(where: { $0.name == value }) {
                    return "A skip names \(value), which is no value of the axis \(name)"
                }
            }
            if skip.reason.isEmpty { return "A skip gives no reason" }
        }
        for (index, axis) in axes.enumerated() {
            let keys = Set(axis.values.flatMap(\.keys))
            for other in axes[(index + 1)...] {
                if let key = keys.intersection(other.values.flatMap(\.keys)).min() {
                    return "The axes \(axis.name) and \(other.name) both say \(key)"
                }
            }
            for value in axis.values {
                if let wrong = value.wrong { return "\(value.name) of the axis \(axis.name) has \(wrong)" }
            }
        }
        return nil
    }

    private static func twice(_ names: [String]) -> String? {
        var seen: Set<String> = []
        return names.first { !seen.insert($0).inserted }
    }

    /// All cells.
    ///
    /// - Parameter selection: what holds for every cell, unless its values say otherwise.
    public func cells(of selection: TestSelection) -> [Cell] {
        var cells = [Cell(values: [], selection: selection)]
        for axis in axes {
            cells = cells.flatMap { cell in
                axis.values.map { value in
                    Cell(values: cell.values + [value.name], selection: value.applied(to: cell.selection))
                }
            }
        }
        for index in cells.indices {
            let values = Dictionary(uniqueKeysWithValues: zip(axes.map(\.name), cells[index].values))
            cells[index].skip = skips.first { $0.cells.allSatisfy { values[$0.key] == $0.value } }?.reason
            cells[index].selection.arguments = cells[index].selection.words
        }
        return cells
    }
}

extension TestMatrix.Value {
    /// The options that can be said once only, of those that it says.
    fileprivate var keys: [String] {
        let said: [(String, Bool)] = [
            ("base", base != nil), ("series", series != nil), ("flavour", flavour != nil), ("machine", machine != nil),
            ("cpus", cpus != nil), ("memory", memory != nil), ("nodes", nodes != nil), ("driver", driver != nil),
            ("suites", suites != nil), ("filter", filter != nil),
        ]
        return said.filter(\.1).map(\.0)
    }

    fileprivate var wrong: String? {
        if name.isEmpty { return "no name" }
        for (key, number) in [("cpus", cpus), ("memory", memory), ("nodes", nodes)] {
            if let number, number < 1 { return "\(number) for \(key), which is a number from 1" }
        }
        return nil
    }

    fileprivate func applied(to selection: TestSelection) -> TestSelection {
        var result = selection
        result.kernel.base = base ?? result.kernel.base
        result.kernel.series = series ?? result.kernel.series
        result.kernel.flavour = flavour ?? result.kernel.flavour
        result.kernel.configFiles += config ?? []
        result.kernel.settings += set ?? []
        result.guest.machine = machine ?? result.guest.machine
        result.guest.cpus = cpus ?? result.guest.cpus
        result.guest.memoryMiB = memory ?? result.guest.memoryMiB
        result.guest.nodes = nodes ?? result.guest.nodes
        result.guest.append += (append ?? "").split(separator: " ").map(String.init)
        result.guest.driver = driver ?? result.guest.driver
        result.guest.preparations += prepare ?? []
        result.suites = suites ?? result.suites
        result.filter = filter ?? result.filter
        return result
    }
}

extension TestSelection {
    /// The words after `hmmlab` that run this selection by itself.
    var words: [String] {
        var words = ["test", "--base", kernel.base, "--flavour", kernel.flavour, "--machine", guest.machine]
        func add(_ option: String, _ value: String?) { if let value { words += [option, value] } }
        add("--series", kernel.series)
        add("--upto", kernel.upTo.map(String.init))
        for file in kernel.configFiles { add("--config", file) }
        for setting in kernel.settings { add("--set", setting) }
        add("--cpus", guest.cpus.map(String.init))
        add("--memory", guest.memoryMiB.map(String.init))
        add("--nodes", guest.nodes.map(String.init))
        for word in guest.append { add("--append", word) }
        add("--accel", guest.accelerator == .auto ? nil : guest.accelerator.rawValue)
        add("--driver", guest.driver.rawValue)
        for line in guest.preparations { add("--prepare", line) }
        add("--seed", guest.seed.map(String.init))
        for suite in suites { add("--suite", suite) }
        add("--filter", filter)
        if !keepGoing { words.append("--no-keep-going") }
        return words
    }
}
