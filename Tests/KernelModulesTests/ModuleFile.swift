// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Writes the smallest file that libkmod takes for a kernel module: a relocatable ELF file (elf(5)) with a `.modinfo`
/// section and nothing else.
enum ModuleFile {
    static func write(_ entries: [String], to path: String) throws {
        let information = entries.flatMap { (entry: String) -> [UInt8] in Array(entry.utf8) + [0] }
        let names = Array("\0.modinfo\0.shstrtab\0".utf8)
        let headerSize = 64
        let namesOffset = headerSize + information.count
        let sectionsOffset = (namesOffset + names.count + 7) / 8 * 8

        var file: [UInt8] = [0x7f] + Array("ELF".utf8) + [2, 1, 1] + [UInt8](repeating: 0, count: 9)
        file += bytes(UInt16(1)) + bytes(UInt16(62)) + bytes(UInt32(1))
        file += bytes(UInt64(0)) + bytes(UInt64(0)) + bytes(UInt64(sectionsOffset)) + bytes(UInt32(0))
        file += bytes(UInt16(headerSize)) + bytes(UInt16(0)) + bytes(UInt16(0))
        file += bytes(UInt16(64)) + bytes(UInt16(3)) + bytes(UInt16(2))
        file += information + names
        file += [UInt8](repeating: 0, count: sectionsOffset - file.count)
        file += section(name: 0, type: 0, offset: 0, size: 0)
        file += section(name: 1, type: 1, offset: headerSize, size: information.count)
        file += section(name: 10, type: 3, offset: namesOffset, size: names.count)
        try Data(file).write(to: URL(fileURLWithPath: path))
    }

    private static func section(name: UInt32, type: UInt32, offset: Int, size: Int) -> [UInt8] {
        bytes(name) + bytes(type) + bytes(UInt64(0)) + bytes(UInt64(0)) + bytes(UInt64(offset)) + bytes(UInt64(size))
            + bytes(UInt32(0)) + bytes(UInt32(0)) + bytes(UInt64(1)) + bytes(UInt64(0))
    }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
