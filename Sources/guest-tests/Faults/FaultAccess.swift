// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// A way in which a process, or the kernel for it, touches a page.
enum Access: String, CaseIterable, Sendable {
    /// The CPU reads a byte.
    case load
    /// The CPU writes a byte.
    case store
    /// The CPU adds to a word atomically.
    case atomic
    /// The kernel writes the page with read(2) of a file.
    case readInto = "read-into"
    /// The kernel reads the page with write(2) to a pipe.
    case writeFrom = "write-from"
    /// A pipe refers to the page (vmsplice(2)).
    case splice
    /// process_vm_readv(2).
    case copy

    /// The access as the end of a sentence that begins with who does it.
    var phrase: String {
        switch self {
        case .load: "by reading a byte"
        case .store: "by writing a byte"
        case .atomic: "by an atomic addition"
        case .readInto: "by read(2) into it"
        case .writeFrom: "by write(2) from it"
        case .splice: "by vmsplice(2) of it"
        case .copy: "by process_vm_readv(2) of it"
        }
    }

    /// What an access brought.
    enum Answer: Equatable, Sendable {
        /// It went through and found what has to be there.
        case done
        /// It went through and found something else.
        case wrong(String)
        /// The CPU's access was a signal.
        case signal(FaultProbe)
        /// The system call failed.
        case failed(Errno)
    }

    /// Touches a page that holds the pattern of seed 1, as thread `worker`.
    ///
    /// - Parameters:
    ///   - number: the page's number in the pattern.
    ///   - file: holds the pattern of seed 2, at least up to this page.
    func perform(on page: PageRange, number: Int, worker: Int, file: borrowing ScratchFile) -> Answer {
        let address = page.address
        let word = PagePattern.word(seed: 1, page: number, word: worker)
        do {
            switch self {
            case .load:
                let byte = PageRange(address: address + UInt64(worker) * 8, pageCount: 1)
                return answer(FaultProbe.read(byte)) { $0 == word & 0xff }
            case .store:
                let byte = PageRange(address: address + UInt64(worker) * 8, pageCount: 1)
                return answer(FaultProbe.write(Self.stored, to: byte)) { _ in true }
            case .atomic:
                let before = PagePattern.word(seed: 1, page: number, word: 0)
                // Others may have added before.
                return answer(FaultProbe.add(1, to: page)) { $0 &- before < 1000 }
            case .readInto:
                try file.read(into: page, fromPage: number)
                return .done
            case .writeFrom:
                let pipe = try PagePipe()
                guard try pipe.write(page) == PageRange.pageSize else { return .wrong("not all was written") }
                let contents = try pipe.drain(pages: 1)
                return answer(contents.range.mismatch(seed: 1, firstPage: number))
            case .splice:
                let pipe = try PagePipe()
                guard try pipe.splice(page) == PageRange.pageSize else { return .wrong("not all was spliced") }
                let contents = try pipe.drain(pages: 1)
                return answer(contents.range.mismatch(seed: 1, firstPage: number))
            case .copy:
                let contents = try page.copyThroughKernel()
                return answer(contents.range.mismatch(seed: 1, firstPage: number))
            }
        } catch {
            return .failed(error.code)
        }
    }

    /// What the access brings when the page's contents cannot be had.
    func refusal(of page: PageRange) -> Answer {
        switch self {
        case .load, .store, .atomic: .signal(.unreachable(page))
        case .readInto, .writeFrom, .splice, .copy: .failed(.badAddress)
        }
    }

    /// The words of the page once threads from number 0 on have touched it.
    func words(ofPage number: Int, threads: Int) -> [UInt64] {
        var words = (0..<PagePattern.wordsPerPage).map { PagePattern.word(seed: 1, page: number, word: $0) }
        switch self {
        case .load, .writeFrom, .splice, .copy: break
        case .store: for worker in 0..<threads { words[worker] = words[worker] & ~0xff | UInt64(Self.stored) }
        case .atomic: words[0] &+= UInt64(threads)
        case .readInto: words = words.indices.map { PagePattern.word(seed: 2, page: number, word: $0) }
        }
        return words
    }

    private static let stored: UInt8 = 0xa5

    private func answer(_ probe: FaultProbe, _ isRight: (UInt64) -> Bool) -> Answer {
        guard case .done(let value) = probe else { return .signal(probe) }
        return isRight(value) ? .done : .wrong("0x\(String(value, radix: 16))")
    }

    private func answer(_ complaint: String?) -> Answer { complaint.map { .wrong($0) } ?? .done }
}

/// A file with the pattern of seed 2, for ``Access/readInto``.
func sourceFile(pages: Int, file: String = #fileID, line: Int = #line) throws -> ScratchFile {
    let source = try ScratchFile(.tmpfs, pages: pages, file: file, line: line)
    try source.fill(seed: 2, pages: pages, file: file, line: line)
    return source
}
