// SPDX-License-Identifier: Apache-2.0

extension KernelReport {
    /// The report's lines as one text, which is what the kernel's scripts/decode_stacktrace.sh takes.
    public var text: String { lines.joined(separator: "\n") + "\n" }

    /// Adds the source lines that scripts/decode_stacktrace.sh found, given what it made of ``text``.
    ///
    /// The script rewrites every frame in its place, so the n-th frame of the decoded call trace is the n-th of
    /// ``frames``; one that it could not decode stays as it is.
    public mutating func addSources(fromDecoded decoded: String) {
        let lines = decoded.split(whereSeparator: \.isNewline)
        if let place = lines.lazy.compactMap({ $0.after("RIP: 0010:") ?? $0.dropping("pc : ") }).first,
            let frame = StackFrame(traceLine: place), frame.function == instruction?.function
        {
            instruction?.sources = frame.sources
        }
        let trace = lines.drop { !OpenReport.beginsTrace($0) }.dropFirst().lazy.compactMap { line in
            StackFrame(traceLine: line.dropping("kmemleak: ") ?? line)
        }
        for (index, frame) in zip(frames.indices, trace) where frames[index].function == frame.function {
            frames[index].sources = frame.sources
        }
    }
}
