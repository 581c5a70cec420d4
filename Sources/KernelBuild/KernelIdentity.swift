// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore

/// What a kernel and its modules do, without where in the sources it stands.
///
/// A patch that changes comments alone moves lines, and with them debug information, the line numbers of `WARN_ON()` and
/// the build id. Two kernels with the same identity run the same code on the same data.
public struct KernelIdentity: Sendable, Hashable {
    /// A digest of everything that is loaded.
    public let digest: String

    /// Reads the kernel's and the modules' ELF files (elf(5), 64 bit, little endian).
    ///
    /// - Throws: ``LabError`` `artifact-damaged`, or if a file cannot be read.
    public init(of artifact: KernelArtifact) throws {
        var signature = Signature()
        let size = Self.bugEntrySize(release: artifact.release)
        signature.add("vmlinux", try Self.loaded(artifact.vmlinux, bugEntrySize: size))
        let modules = "\(artifact.modules)/lib/modules/\(artifact.release)"
        let files = (FileManager.default.enumerator(atPath: modules)?.compactMap { $0 as? String } ?? []).filter {
            $0.hasSuffix(".ko")
        }
        for file in files.sorted() { signature.add(file, try Self.loaded(modules + "/" + file, bugEntrySize: size)) }
        digest = signature.digest.hexadecimal
    }

    /// Sections that are loaded and say only which build this is.
    private static let places: Set<String> = [".notes", ".note.gnu.build-id"]
    private static let (allocated, noBits): (UInt64, UInt32) = (2, 8)
    private static let (symbols, strings, relocations): (UInt32, UInt32, UInt32) = (2, 3, 4)

    /// The size of `struct bug_entry` on x86 with relative pointers (include/asm-generic/bug.h): 6.19 added a format.
    static func bugEntrySize(release: String) -> Int {
        let numbers = release.split(separator: ".").prefix(2).compactMap { Int($0.prefix { $0.isNumber }) }
        return numbers.lexicographicallyPrecedes([6, 19]) ? 12 : 16
    }

    /// The table of warnings without their line numbers, which stand before the flags at each entry's end.
    private static func withoutLines(_ table: Data, _ size: Int) -> Data {
        guard table.count % size == 0 else { return table }
        var table = table
        for entry in stride(from: table.startIndex, to: table.endIndex, by: size) {
            table[entry + size - 4] = 0
            table[entry + size - 3] = 0
        }
        return table
    }

    /// What modinfo(8) shows, without the checksum of the sources.
    private static func withoutChecksum(_ text: Data) -> Data {
        Data(text.split(separator: 0).filter { !$0.starts(with: Data("srcversion=".utf8)) }.joined(separator: [0]))
    }

    /// A digest of the sections that end up in memory.
    static func loaded(_ path: String, bugEntrySize: Int = 12) throws -> String {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        } catch {
            throw Files.unreadable(path, cause: error.localizedDescription)
        }
        let reader = Reader(data: data)
        guard data.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]), let table = reader.number(UInt64.self, at: 0x28),
            let size = reader.number(UInt16.self, at: 0x3a), let count = reader.number(UInt16.self, at: 0x3c),
            let names = reader.number(UInt16.self, at: 0x3e), size >= 64,
            reader.bytes(at: table, UInt64(count) * UInt64(size)) != nil,
            let namesOffset = reader.number(UInt64.self, at: table, UInt64(names) * UInt64(size), 0x18)
        else { throw damaged(path) }
        // What a module calls stands in its relocations, by the numbers of symbols.
        let isModule = reader.number(UInt16.self, at: 0x10) == 1
        var parts: [String] = []
        for index in 0..<UInt64(count) {
            let section = index * UInt64(size)
            guard let nameOffset = reader.number(UInt32.self, at: table, section),
                let type = reader.number(UInt32.self, at: table, section, 4),
                let flags = reader.number(UInt64.self, at: table, section, 8),
                let address = reader.number(UInt64.self, at: table, section, 0x10),
                let offset = reader.number(UInt64.self, at: table, section, 0x18),
                let length = reader.number(UInt64.self, at: table, section, 0x20),
                let target = reader.number(UInt32.self, at: table, section, 0x2c),
                let name = reader.text(at: namesOffset, UInt64(nameOffset))
            else { throw damaged(path) }
            var isLoaded = flags & allocated != 0 && !places.contains(name)
            if isModule, type == symbols || (type == strings && name == ".strtab") { isLoaded = true }
            if isModule, type == relocations {
                let of = reader.number(UInt64.self, at: table, UInt64(target) * UInt64(size), 8)
                isLoaded = (of ?? 0) & allocated != 0
            }
            guard isLoaded else { continue }
            parts.append("\(name) \(address) \(length)")
            if type == noBits { continue }
            guard let contents = reader.bytes(at: offset, length) else { throw damaged(path) }
            switch name {
            case "__bug_table": parts.append(Digest(of: withoutLines(contents, bugEntrySize)).hexadecimal)
            case ".modinfo": parts.append(Digest(of: withoutChecksum(contents)).hexadecimal)
            default: parts.append(Digest(of: contents).hexadecimal)
            }
        }
        return Digest(of: parts.joined(separator: "\n")).hexadecimal
    }

    private static func damaged(_ path: String) -> LabError {
        LabError("artifact-damaged", "\(path) is no ELF file that can be read", next: "hmmlab cache prune removes it.")
    }
}

/// Bounds-checked access; offsets are added up without overflow.
private struct Reader {
    let data: Data

    func bytes(at offset: UInt64, _ length: UInt64) -> Data? {
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow, end <= UInt64(data.count) else { return nil }
        return data.subdata(in: Int(offset)..<Int(end))
    }

    private func sum(_ offsets: [UInt64]) -> UInt64? {
        var total: UInt64 = 0
        for offset in offsets {
            let (next, overflow) = total.addingReportingOverflow(offset)
            if overflow { return nil }
            total = next
        }
        return total
    }

    func number<Number: FixedWidthInteger>(_ type: Number.Type, at offsets: UInt64...) -> Number? {
        guard let offset = sum(offsets), let bytes = bytes(at: offset, UInt64(MemoryLayout<Number>.size)) else {
            return nil
        }
        return bytes.reversed().reduce(0) { $0 << 8 | Number($1) }
    }

    func text(at offsets: UInt64...) -> String? {
        guard let offset = sum(offsets), offset < UInt64(data.count) else { return nil }
        let rest = data[Int(offset)...]
        guard let end = rest.firstIndex(of: 0) else { return nil }
        return String(decoding: rest[..<end], as: UTF8.self)
    }
}
