// SPDX-License-Identifier: Apache-2.0

extension Int {
    /// The number with a noun, such as `1 patch` or `2 patches`; the plural is the noun and an `s` if none is given.
    public func of(_ noun: String, plural: String? = nil) -> String {
        "\(self) \(self == 1 ? noun : plural ?? noun + "s")"
    }
}
