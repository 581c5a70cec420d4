// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import Testing

/// The layout that Swift sees is the layout that the kernel copies.
@Suite("The ioctl interface")
struct InterfaceTests {
    @Test("The command has the kernel's size and offsets")
    func layout() {
        #expect(MemoryLayout<hmm_dmirror_cmd>.size == 40)
        #expect(MemoryLayout<hmm_dmirror_cmd>.stride == 40)
        #expect(MemoryLayout<hmm_dmirror_cmd>.alignment == 8)
        #expect(MemoryLayout<hmm_dmirror_cmd>.offset(of: \.addr) == 0)
        #expect(MemoryLayout<hmm_dmirror_cmd>.offset(of: \.ptr) == 8)
        #expect(MemoryLayout<hmm_dmirror_cmd>.offset(of: \.npages) == 16)
        #expect(MemoryLayout<hmm_dmirror_cmd>.offset(of: \.cpages) == 24)
        #expect(MemoryLayout<hmm_dmirror_cmd>.offset(of: \.faults) == 32)
    }

    @Test("Each number is read and write, 40 bytes, of type H, counted from 0")
    func numbers() {
        let numbers: [UInt] = [
            hmm_dmirror_ioctl_read, hmm_dmirror_ioctl_write, hmm_dmirror_ioctl_migrate_to_dev,
            hmm_dmirror_ioctl_migrate_to_sys, hmm_dmirror_ioctl_snapshot, hmm_dmirror_ioctl_exclusive,
            hmm_dmirror_ioctl_check_exclusive, hmm_dmirror_ioctl_release, hmm_dmirror_ioctl_flags,
            hmm_dmirror_ioctl_read_unlocked,
        ]
        for (index, number) in numbers.enumerated() {
            // asm-generic/ioctl.h: direction 3 in bits 30 and 31, size in bits 16 to 29, type in bits 8 to 15.
            #expect(number == 3 << 30 | 40 << 16 | UInt(UInt8(ascii: "H")) << 8 | UInt(index))
        }
    }
}
