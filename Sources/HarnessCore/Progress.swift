// SPDX-License-Identifier: Apache-2.0

/// What long work tells the person who waits; the command line decides how it looks.
public enum ProgressEvent: Sendable, Equatable {
    /// A new step began, such as `Unpacking linux-source-6.12`.
    case step(String)
    /// The running step's state changed; `fraction` is 0 to 1 where the total is known.
    case update(String, fraction: Double?)
    /// Something worth keeping on the screen.
    case note(String)
    /// Something that may be a mistake; shown as a warning and never hidden.
    case warning(String)
}

/// Receives progress; called from any thread.
public typealias ProgressHandler = @Sendable (ProgressEvent) -> Void
