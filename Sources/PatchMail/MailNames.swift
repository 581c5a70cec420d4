// SPDX-License-Identifier: Apache-2.0

/// The file names of git-format-patch(1).
enum MailNames {
    /// The longest name with `.patch` that git makes, less one (`format.filenameMaxLength`).
    private static let longestStem = 57

    /// The name of a patch's file, such as `v2-0001-mm-do-one-thing.patch`; the cover letter is number 0.
    ///
    /// - Parameters:
    ///   - version: the series' version; 1 is not written.
    ///   - number: the patch's place from 1.
    ///   - subject: the patch's subject.
    static func file(version: Int, number: Int, subject: String) -> String {
        let digits = String(number)
        let padded = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        return String((prefix(version) + padded + "-" + sanitized(subject)).prefix(longestStem)) + ".patch"
    }

    /// What stands in front of a version's files.
    static func prefix(_ version: Int) -> String { version > 1 ? "v\(version)-" : "" }

    /// The version and the number that a file's name says; nil for other files.
    static func parse(_ file: String) -> (version: Int, number: Int)? {
        guard let match = file.wholeMatch(of: /(?:v([0-9]{1,3})-)?([0-9]{4,5})-.*\.patch/),
            let number = Int(match.2)
        else { return nil }
        return (match.1.flatMap { Int($0) } ?? 1, number)
    }

    /// Letters, digits, `.` and `_` stay, everything else becomes one hyphen.
    private static func sanitized(_ subject: String) -> String {
        var name = ""
        var hasGap = false
        var last: UInt8 = 0
        for byte in subject.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"):
                let isDotAgain = byte == UInt8(ascii: ".") && last == byte
                if hasGap, !name.isEmpty { name += "-" }
                hasGap = false
                if !isDotAgain { name.unicodeScalars.append(UnicodeScalar(byte)) }
            default: hasGap = true
            }
            last = byte
        }
        while name.hasSuffix(".") || name.hasSuffix("-") { name.removeLast() }
        return name
    }
}
