// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation

/// A kernel source tree in the local object store: what a ``BaseSpec`` meant when it was resolved.
public struct Base: Sendable, Hashable, Codable {
    /// The specification that was resolved; in a listing, the one that brought the base into the store.
    public var spec: BaseSpec
    /// A name for cache folders and refs, made of letters, digits, `.`, `_` and `-`: `debian-6.12.117-1-deb12u1`,
    /// `git-` and the commit, `dir-` and the tree, `tar-` and the archive's digest.
    public var identifier: String
    /// The name of the folder that its worktree lives in.
    ///
    /// Successive states of one folder or repository share it, so that make sees only changed files as changed.
    public var workspace: String
    /// The version as people know it: the Debian version, the revision, or the kernel version.
    public var version: String
    /// VERSION.PATCHLEVEL.SUBLEVEL and EXTRAVERSION of the top Makefile, such as `6.12.117` or `7.3.0-rc7`.
    public var kernelVersion: String
    /// The commit in the store, as 40 hexadecimal digits.
    public var commit: String
    /// The commit's tree, as 40 hexadecimal digits.
    public var tree: String
    /// The suite that a Debian package came from, such as `bookworm-security`; nil for other bases.
    public var origin: String?
    /// When the tree entered the store.
    public var importedAt: Date

    /// The Debian version; nil for a base that is not a Debian package.
    var debianVersion: String? {
        if case .debian = spec { version } else { nil }
    }

    /// The identifier of a Debian version: `~` and `+` would be odd in folder names and `~` is no part of a ref.
    static func identifier(debianVersion: String) -> String {
        "debian-" + debianVersion.replacing(/[^A-Za-z0-9.]/, with: "-")
    }

    /// The workspace of everything that comes from one path.
    static func workspace(_ kind: String, path: String) -> String { "\(kind)-\(Digest(of: path).short)" }
}
