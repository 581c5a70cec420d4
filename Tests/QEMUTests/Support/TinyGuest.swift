// SPDX-License-Identifier: Apache-2.0

/// A kernel of a few dozen bytes: prints a text on ttyS0 and then does one thing.
///
/// Boots in a fraction of a second, so that tests can have a real guest without having a real kernel. It is an ELF file with a PVH note (xen/include/public/elfnote.h of Xen: type 18, a 32-bit entry point), entered in
/// 32-bit protected mode without paging.
enum TinyGuest {
    /// What it does after the text.
    enum Finale {
        /// ACPI S5: PM1a control is at 0x604 on q35, once the firmware has been there.
        case powerOff
        /// An empty interrupt table and a breakpoint: the CPU shuts down, and the machine resets.
        case tripleFault
        /// Spins with interrupts off.
        case hang
        /// Prints the text again and again.
        case flood
        /// Prints the text once more when an NMI comes, and spins.
        case answerNMI
    }

    /// The file's bytes.
    static func elf(_ text: String, then finale: Finale) -> [UInt8] {
        let base: UInt32 = 0x10_0000
        let noteOffset = 0x100
        let codeOffset = 0x200
        let entry = base + UInt32(codeOffset)
        var code = Assembler(origin: entry)
        code.program(text: text, finale: finale)
        // QEMU looks at the first 8 KiB whatever the size of the file.
        let size = 8192
        var file = [UInt8](repeating: 0, count: size)
        func put(_ bytes: [UInt8], at offset: Int) { file.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
        // Elf64_Ehdr: 64-bit, little endian, executable, x86-64, two program headers.
        put([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], at: 0)
        put(le16(2) + le16(62) + le32(1) + le64(UInt64(entry)) + le64(64) + le64(0), at: 16)
        put(le32(0) + le16(64) + le16(56) + le16(2) + le16(64) + le16(0) + le16(0), at: 48)
        // PT_LOAD of the whole file, PT_NOTE.
        put(le32(1) + le32(7) + le64(0) + le64(UInt64(base)) + le64(UInt64(base)), at: 64)
        put(le64(UInt64(size)) + le64(UInt64(size)) + le64(0x1000), at: 96)
        put(le32(4) + le32(4) + le64(UInt64(noteOffset)), at: 120)
        put(le64(UInt64(base) + UInt64(noteOffset)) + le64(UInt64(base) + UInt64(noteOffset)), at: 136)
        put(le64(20) + le64(20) + le64(4), at: 152)
        put(le32(4) + le32(4) + le32(18) + Array("Xen\0".utf8) + le32(entry), at: noteOffset)
        put(code.bytes, at: codeOffset)
        return file
    }

    fileprivate static func le16(_ value: UInt16) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
    fileprivate static func le32(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
    fileprivate static func le64(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
}

/// Just enough of a 32-bit x86 assembler.
private struct Assembler {
    let origin: UInt32
    private(set) var bytes: [UInt8] = []

    init(origin: UInt32) { self.origin = origin }

    mutating func program(text: String, finale: TinyGuest.Finale) {
        let message = Array(text.utf8) + [0]
        // jmp over the text
        bytes += [0xe9] + TinyGuest.le32(UInt32(message.count))
        let text = origin + UInt32(bytes.count)
        bytes += message
        let start = bytes.count
        print(text)
        switch finale {
        case .powerOff:
            // mov dx, 0x604; mov ax, 0x2000 (S5, SLP_EN); out dx, ax
            bytes += [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]
            spin()
        case .tripleFault:
            // push 0; push 0; lidt [esp]; int3
            bytes += [0x6a, 0x00, 0x6a, 0x00, 0x0f, 0x01, 0x1c, 0x24, 0xcc]
        case .hang: spin()
        case .flood: bytes += [0xe9] + TinyGuest.le32(UInt32(bitPattern: Int32(start - bytes.count - 5)))
        case .answerNMI: answerNMI(text)
        }
    }

    // mov esi, text; next: lodsb; test al, al; jz done; mov dx, 0x3f8; out dx, al; jmp next; done:
    private mutating func print(_ text: UInt32) {
        bytes += [0xbe] + TinyGuest.le32(text)
        bytes += [0xac, 0x84, 0xc0, 0x74, 0x07, 0x66, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf4]
    }

    // cli; spin: pause; jmp spin
    private mutating func spin() { bytes += [0xfa, 0xf3, 0x90, 0xeb, 0xfc] }

    /// Builds a GDT and an IDT at 0x200000 whose vector 2 leads to code that prints and spins.
    private mutating func answerNMI(_ text: UInt32) {
        let table: UInt32 = 0x20_0000
        // lidt of a descriptor at table + 0x100: limit 0x1f, base table
        store(0x001f, at: table + 0x100)
        store(table, at: table + 0x102)
        bytes += [0x0f, 0x01, 0x1d] + TinyGuest.le32(table + 0x100)
        // lgdt of a flat code segment, selector 8, at table + 0x200
        store(0x0000_ffff, at: table + 0x208)
        store(0x00cf_9a00, at: table + 0x20c)
        store(0x0000_ffff, at: table + 0x210)
        store(0x00cf_9200, at: table + 0x214)
        store(0x0017, at: table + 0x180)
        store(table + 0x200, at: table + 0x182)
        bytes += [0x0f, 0x01, 0x15] + TinyGuest.le32(table + 0x180)
        // mov ax, 0x10; mov ss, ax; mov ds, ax; mov esp, table + 0x1000
        bytes += [0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd0, 0x8e, 0xd8, 0xbc] + TinyGuest.le32(table + 0x1000)
        // The handler's address is only known behind the code that stores it: 2 stores of 10 bytes and a spin of 5.
        let handler = origin + UInt32(bytes.count) + 25
        store(0x0008_0000 | (handler & 0xffff), at: table + 16)
        store((handler & 0xffff_0000) | 0x8e00, at: table + 20)
        spin()
        print(text)
        spin()
    }

    // mov dword [address], value
    private mutating func store(_ value: UInt32, at address: UInt32) {
        bytes += [0xc7, 0x05] + TinyGuest.le32(address) + TinyGuest.le32(value)
    }
}
