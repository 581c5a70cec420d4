// SPDX-License-Identifier: Apache-2.0

/// What the guest tells the host.
public enum GuestMessage: ProtocolMessage {
    /// The guest is ready; repeated until the host says anything, as it may connect late.
    /// Wire: `hello version= release= uptime=`.
    ///
    /// `version` is the guest's ``Vocabulary/version``, `uptimeMilliseconds` the kernel's age (CLOCK_BOOTTIME).
    case hello(version: Int, kernelRelease: String, uptimeMilliseconds: Int)
    /// A kernel module was loaded or unloaded, or could not be: then `error` is a sentence.
    /// Wire: `module name= change= error=`.
    case module(String, ModuleChange, error: String?)
    /// A run or a shell began. Wire: `started id=`.
    case started(id: String)
    /// Some output of a run, at most ``Vocabulary/chunkSize`` bytes, cut anywhere. Wire: `output id= stream= data=`.
    case output(id: String, RunStream, [UInt8])
    /// What a run that has ended left behind in the kernel, in words; before its `ended`. Wire: `remains id= text=`.
    case remains(id: String, String)
    /// A run or a shell ended after so long, and nothing that it started is left. No output follows.
    /// Wire: `ended id= how= code= ms=`.
    case ended(id: String, RunEnding, milliseconds: Int)
    /// A piece of a file, in order; `isLast` marks the end. Wire: `file path= data= last=`.
    case file(path: String, [UInt8], isLast: Bool)
    /// A text was written to a file. Wire: `written path=`.
    case written(path: String)
    /// A file could not be read or written, for this reason. Wire: `file-failed path= error=`.
    case fileFailed(path: String, error: String)
    /// Something that the host did not ask about and should know, in a sentence. Wire: `problem text=`.
    case problem(String)
    /// The last message: the guest powers off now. Wire: `bye`.
    case bye
    /// A message of a later vocabulary.
    case unknown(verb: String)
}

/// What was to happen to a kernel module.
public enum ModuleChange: String, Sendable, Equatable, CaseIterable {
    /// It was to be loaded.
    case load
    /// It was to be unloaded.
    case unload
}

/// The two output streams of a run.
public enum RunStream: String, Sendable, Equatable, CaseIterable {
    /// Standard output.
    case standardOutput = "out"
    /// Standard error; the guest's own remarks about a run come here too, on lines that begin with `hmmlab: `.
    case standardError = "err"
}

/// How a run or a shell ended.
public enum RunEnding: Sendable, Hashable {
    /// It returned this status; 127 or 126 where the program could not be started, as a shell does.
    case exited(Int32)
    /// This signal ended it.
    case signalled(Int32)
    /// It took too long and was killed.
    case timedOut
    /// It took too long, or left something behind, and SIGKILL did not end that within seconds: a task hangs in the
    /// kernel, and the guest is of no further use. Whatever is to be run after that ends like this without having begun.
    case unkillable
}

// MARK: - Wire form

extension GuestMessage {
    /// The message as a frame.
    public var frame: Frame {
        switch self {
        case .hello(let version, let release, let uptime):
            return Frame("hello", ("version", "\(version)"), ("release", release), ("uptime", "\(uptime)"))
        case .module(let name, let change, let error):
            var frame = Frame("module", ("name", name), ("change", change.rawValue))
            if let error { frame.add("error", error) }
            return frame
        case .started(let id): return Frame("started", ("id", id))
        case .output(let id, let stream, let bytes):
            var frame = Frame("output", ("id", id), ("stream", stream.rawValue))
            frame.add("data", bytes)
            return frame
        case .remains(let id, let text): return Frame("remains", ("id", id), ("text", text))
        case .ended(let id, let ending, let milliseconds):
            var frame = Frame("ended", ("id", id))
            switch ending {
            case .exited(let status):
                frame.add("how", "exited")
                frame.add("code", status)
            case .signalled(let number):
                frame.add("how", "signalled")
                frame.add("code", number)
            case .timedOut: frame.add("how", "timed-out")
            case .unkillable: frame.add("how", "unkillable")
            }
            frame.add("ms", milliseconds)
            return frame
        case .file(let path, let bytes, let isLast):
            var frame = Frame("file", ("path", path))
            frame.add("data", bytes)
            frame.add("last", isLast ? 1 : 0)
            return frame
        case .written(let path): return Frame("written", ("path", path))
        case .fileFailed(let path, let error): return Frame("file-failed", ("path", path), ("error", error))
        case .problem(let text): return Frame("problem", ("text", text))
        case .bye: return Frame("bye")
        case .unknown(let verb): return Frame(verb)
        }
    }

    /// Reads a message from a frame.
    ///
    /// - Throws: ``InvalidFrame``.
    public init(_ frame: Frame) throws(InvalidFrame) {
        switch frame.verb {
        case "hello":
            self = .hello(
                version: try frame.number("version"), kernelRelease: try frame.text("release"),
                uptimeMilliseconds: try frame.number("uptime"))
        case "module":
            self = .module(try frame.text("name"), try frame.word("change"), error: frame.optionalText("error"))
        case "started": self = .started(id: try frame.text("id"))
        case "output": self = .output(id: try frame.text("id"), try frame.word("stream"), try frame.bytes("data"))
        case "remains": self = .remains(id: try frame.text("id"), try frame.text("text"))
        case "ended":
            self = .ended(id: try frame.text("id"), try frame.ending(), milliseconds: try frame.number("ms"))
        case "file":
            self = .file(
                path: try frame.text("path"), try frame.bytes("data"), isLast: try frame.number("last") as Int == 1)
        case "written": self = .written(path: try frame.text("path"))
        case "file-failed": self = .fileFailed(path: try frame.text("path"), error: try frame.text("error"))
        case "problem": self = .problem(try frame.text("text"))
        case "bye": self = .bye
        default: self = .unknown(verb: frame.verb)
        }
    }
}

extension Frame {
    /// A value that is one of a few words.
    fileprivate func word<Word: RawRepresentable<String>>(_ key: String) throws(InvalidFrame) -> Word {
        guard let word = Word(rawValue: try text(key)) else { throw InvalidFrame(verb: verb, key: key) }
        return word
    }

    fileprivate func ending() throws(InvalidFrame) -> RunEnding {
        switch try text("how") {
        case "exited": .exited(try number("code"))
        case "signalled": .signalled(try number("code"))
        case "timed-out": .timedOut
        case "unkillable": .unkillable
        default: throw InvalidFrame(verb: verb, key: "how")
        }
    }
}
