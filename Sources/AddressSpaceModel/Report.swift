// SPDX-License-Identifier: Apache-2.0

/// What a page holds, as far as the model follows it: nothing but zeros, or what was written with one stamp for one page.
public struct Content: Sendable, Hashable, RawRepresentable, CustomStringConvertible {
    /// The stamp above the page's number, 16 bits.
    public let rawValue: UInt64

    /// Makes a content from its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// What is written for a page of the window.
    public init(stamp: UInt32, page: Int) { rawValue = UInt64(stamp) << 16 | UInt64(UInt16(clamping: page)) }

    /// Zeros.
    public static let zero = Content(rawValue: 0)
    /// Neither zeros nor what was written with one stamp.
    public static let torn = Content(rawValue: .max)

    /// The stamp; 0 for zeros.
    public var stamp: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 16) }
    /// The page that it was written for.
    public var page: Int { Int(rawValue & 0xffff) }

    /// The content in words.
    public var description: String {
        switch self {
        case .zero: "zeros"
        case .torn: "a mixture"
        default: "what was written to page \(page) with stamp \(stamp)"
        }
    }
}

/// What the page table of a process holds for one page.
public struct Seen: Sendable, Hashable, RawRepresentable, CustomStringConvertible {
    /// The kinds of entries.
    public enum Kind: UInt8, Sendable {
        /// Nothing.
        case nothing
        /// Ordinary memory.
        case system
        /// Memory of a device, whether the CPU reaches it or not.
        case device
        /// Ordinary memory that a device has to itself.
        case seized
        /// Anything else.
        case other
    }

    /// The kind in the topmost 8 bits, the frame's number below.
    public let rawValue: UInt64

    /// Makes a value from its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Names what is seen; `frame` below 2^56.
    public init(_ kind: Kind, frame: UInt64 = 0) { rawValue = UInt64(kind.rawValue) << 56 | frame & (1 << 56 - 1) }

    /// The kind.
    public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: rawValue >> 56)) ?? .other }
    /// The frame's number.
    public var frame: UInt64 { rawValue & (1 << 56 - 1) }
    /// The 256 MiB that the frame lies in; those of a device are its alone.
    public var piece: UInt64 { frame >> 16 }

    /// What is seen in words.
    public var description: String {
        let place = "frame 0x\(String(frame, radix: 16))"
        return switch kind {
        case .nothing: "nothing"
        case .system: "system memory (\(place))"
        case .device: "device memory (\(place))"
        case .seized: "system memory that a device has to itself (\(place))"
        case .other: "an entry of another kind (0x\(String(frame, radix: 16)))"
        }
    }
}

/// How a step went, as whoever did it saw it.
public struct Report: Sendable, Equatable {
    /// How it ended.
    public enum Ending: Sendable, Equatable {
        /// All of it was done.
        case done
        /// A system call or the device refused, with this error number.
        case refused(Int32)
        /// SIGSEGV: nothing is mapped there.
        case unmapped
        /// SIGSEGV: the mapping does not allow it.
        case forbidden
        /// Any other signal.
        case signal
    }

    /// How it ended.
    public var ending: Ending
    /// For `read`, `write` and `copy`: how many pages it got to.
    public var done: Int
    /// What was read: a value for each page of `done`, or, for the device's verbs, of the range.
    public var contents: [Content]
    /// For `snapshot`, the kernel's byte for each page of the range; for `take` and `giveBack`, the answer for each.
    public var answers: [UInt8]
    /// What the page table of the process holds for each page of the window, afterwards.
    public var window: [Seen]

    /// Makes a report.
    public init(
        _ ending: Ending = .done, done: Int = 0, contents: [Content] = [], answers: [UInt8] = [], window: [Seen] = []
    ) {
        (self.ending, self.done, self.contents, self.answers, self.window) = (ending, done, contents, answers, window)
    }
}

/// A difference between what was seen and what the model allows: one sentence.
public struct Divergence: Error, Sendable, Equatable, CustomStringConvertible {
    /// What must be so and is not.
    public let description: String

    /// Makes a difference.
    public init(_ description: String) { self.description = description }
}
