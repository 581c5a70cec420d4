// SPDX-License-Identifier: Apache-2.0

/// What a patch does to one file.
public struct FileChange: Sendable, Equatable {
    /// How the change is described.
    public enum Content: Sendable, Equatable {
        /// Hunks of lines; none for a pure rename or mode change.
        case text
        /// A `GIT binary patch` that carries the new content.
        case binary
        /// Only the remark that two binary files differ, as it stands in the diff: nothing that could be applied.
        case binaryWithoutData(String)
    }

    /// The path before; nil if the file is created.
    public var oldPath: String?
    /// The path after; nil if the file is removed.
    public var newPath: String?
    /// The mode before as git writes it, such as 0o100644; nil where the diff does not say.
    public var oldMode: Int?
    /// The mode after; nil where the diff does not say.
    public var newMode: Int?
    /// The beginning of the blob id before (at least 4 digits); nil where the diff does not say or the file is created.
    public var oldBlob: String?
    /// The beginning of the blob id after; nil where the diff does not say or the file is removed.
    public var newBlob: String?
    /// How the change is described.
    public var content: Content
    /// The hunks, in order.
    public var hunks: [Hunk]

    /// The one or two paths concerned.
    public var paths: [String] {
        [oldPath, newPath == oldPath ? nil : newPath].compactMap { $0 }
    }

    /// The same change backwards, except for the hunks, which stay as they stand in the diff.
    var reversed: FileChange {
        FileChange(
            oldPath: newPath, newPath: oldPath, oldMode: newMode, newMode: oldMode, oldBlob: newBlob, newBlob: oldBlob,
            content: content, hunks: hunks)
    }
}

/// A run of changed lines with the lines around it (the unified format of diff(1)).
public struct Hunk: Sendable, Equatable {
    /// The `@@` line as it stands in the patch.
    public var header: String
    /// The first line before, counted from 1; 0 if there was none.
    public var oldStart: Int
    /// The number of lines before.
    public var oldCount: Int
    /// The first line after, counted from 1; 0 if there is none.
    public var newStart: Int
    /// The number of lines after.
    public var newCount: Int
    /// The bytes of the hunk below its header, as a range of ``Patch/diff``.
    public var body: Range<Int>
}
