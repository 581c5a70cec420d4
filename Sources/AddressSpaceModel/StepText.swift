// SPDX-License-Identifier: Apache-2.0

/// A step as a line, such as `0 device-write 3+2 device 1 stamp 17`: the process, the verb, the first page and how many, and what
/// else the verb uses.
extension Step: LosslessStringConvertible {
    /// Reads a line; nil if it is none.
    public init?(_ text: String) {
        var words = text.split(separator: " ")[...]
        guard let process = words.popFirst().flatMap({ Int($0) }), (0...1).contains(process),
            let verb = words.popFirst().flatMap({ word in Verb.allCases.first { $0.name == word } })
        else { return nil }
        self.init(verb, process: process)
        if verb.hasRange {
            let numbers = words.popFirst()?.split(separator: "+", maxSplits: 1).map { UInt16($0) } ?? []
            guard numbers.count == 2, let first = numbers[0], let count = numbers[1], count > 0 else { return nil }
            (self.first, self.count) = (first, count)
        }
        for property in verb.properties {
            guard words.popFirst().map(String.init) == property.rawValue, let word = words.popFirst(),
                set(property, String(word))
            else { return nil }
        }
        if !words.isEmpty { return nil }
    }

    /// The step as a line.
    public var description: String {
        var words = ["\(process)", verb.name]
        if verb.hasRange { words.append("\(first)+\(count)") }
        for property in verb.properties { words += [property.rawValue, text(property)] }
        return words.joined(separator: " ")
    }

    fileprivate enum Property: String {
        case access, backing, device, stamp, target
    }

    private func text(_ property: Property) -> String {
        switch property {
        case .access: "\(access)"
        case .backing: "\(backing)"
        case .device: "\(device)"
        case .stamp: "\(stamp)"
        case .target: "\(target)"
        }
    }

    private mutating func set(_ property: Property, _ word: String) -> Bool {
        switch property {
        case .access: replace(&access, Access.allCases.first { "\($0)" == word })
        case .backing: replace(&backing, Backing.allCases.first { "\($0)" == word })
        case .device: replace(&device, UInt8(word))
        case .stamp: replace(&stamp, UInt32(word))
        case .target: replace(&target, UInt16(word))
        }
    }

    private func replace<Value>(_ place: inout Value, _ value: Value?) -> Bool {
        guard let value else { return false }
        place = value
        return true
    }
}

extension Step.Verb {
    /// The verb in a line.
    public var name: String {
        switch self {
        case .giveBack: "give-back"
        case .deviceRead: "device-read"
        case .deviceWrite: "device-write"
        default: "\(self)"
        }
    }

    /// Whether the verb is about some pages of the window.
    public var hasRange: Bool {
        switch self {
        case .evict, .fork, .end: false
        default: true
        }
    }

    fileprivate var properties: [Step.Property] {
        switch self {
        case .map: [.access, .backing, .target]
        case .protect: [.access]
        case .move: [.target]
        case .write: [.stamp]
        case .take, .giveBack, .deviceRead, .seize, .snapshot, .evict: [.device]
        case .deviceWrite: [.device, .stamp]
        case .unmap, .discard, .read, .copy, .fork, .end: []
        }
    }
}
