// SPDX-License-Identifier: Apache-2.0

extension Int {
    /// The number with a noun, such as `1 patch` or `2 patches`; the plural is the noun and an `s` if none is given.
    public func of(_ noun: String, plural: String? = nil) -> String {
        "\(self) \(self == 1 ? noun : plural ?? noun + "s")"
    }
}

extension String {
    /// The text filled with spaces to a width in characters; longer text stays as it is.
    public func padded(_ width: Int) -> String {
        count >= width ? self : self + String(repeating: " ", count: width - count)
    }
}
