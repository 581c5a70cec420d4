// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import DeviceMirror
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

    @Test("Each of our own arguments begins with its size and flags, and its number says the same size")
    func ownRequests() {
        check(hmm_dmirror_info.self, \.size, \.flags, hmm_dmirror_ioctl_info, number: 0x20, bytes: 104)
        check(hmm_dmirror_migrate.self, \.size, \.flags, hmm_dmirror_ioctl_migrate2, number: 0x21, bytes: 160)
        check(hmm_dmirror_evict.self, \.size, \.flags, hmm_dmirror_ioctl_evict, number: 0x22, bytes: 40)
        check(hmm_dmirror_inject.self, \.size, \.flags, hmm_dmirror_ioctl_inject, number: 0x23, bytes: 40)
        check(hmm_dmirror_stats.self, \.size, \.flags, hmm_dmirror_ioctl_stats, number: 0x24, bytes: 168)
        check(hmm_dmirror_devmem.self, \.size, \.flags, hmm_dmirror_ioctl_devmem_read, number: 0x25, bytes: 40)
        check(hmm_dmirror_atomic.self, \.size, \.flags, hmm_dmirror_ioctl_dev_atomic, number: 0x26, bytes: 48)
        check(hmm_dmirror_odp_reg.self, \.size, \.flags, hmm_dmirror_ioctl_odp_reg, number: 0x27, bytes: 32)
        check(hmm_dmirror_odp_dereg.self, \.size, \.flags, hmm_dmirror_ioctl_odp_dereg, number: 0x28, bytes: 120)
        check(hmm_dmirror_odp_post.self, \.size, \.flags, hmm_dmirror_ioctl_odp_post, number: 0x29, bytes: 24)
        check(hmm_dmirror_odp_poll.self, \.size, \.flags, hmm_dmirror_ioctl_odp_poll, number: 0x2a, bytes: 32)
        check(hmm_dmirror_pin.self, \.size, \.flags, hmm_dmirror_ioctl_pin, number: 0x2d, bytes: 48)
        check(hmm_dmirror_unpin.self, \.size, \.flags, hmm_dmirror_ioctl_unpin, number: 0x2e, bytes: 16)
        check(hmm_dmirror_chunk.self, \.size, \.flags, hmm_dmirror_ioctl_chunk_add, number: 0x2f, bytes: 40)
        check(hmm_dmirror_chunk.self, \.size, \.flags, hmm_dmirror_ioctl_chunk_remove, number: 0x30, bytes: 40)
        check(hmm_dmirror_unplug.self, \.size, \.flags, hmm_dmirror_ioctl_unplug, number: 0x31, bytes: 16)
    }

    @Test("Work requests and completions lie side by side as the kernel copies them")
    func arrays() {
        #expect(MemoryLayout<hmm_dmirror_odp_request>.stride == 48)
        #expect(MemoryLayout<hmm_dmirror_odp_completion>.stride == 40)
    }

    private func check<Argument>(
        _ type: Argument.Type, _ size: PartialKeyPath<Argument>, _ flags: PartialKeyPath<Argument>, _ request: UInt,
        number: UInt8, bytes: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(MemoryLayout<Argument>.size == bytes, sourceLocation: sourceLocation)
        #expect(MemoryLayout<Argument>.offset(of: size) == 0, sourceLocation: sourceLocation)
        #expect(MemoryLayout<Argument>.offset(of: flags) == 4, sourceLocation: sourceLocation)
        #expect(
            request == 3 << 30 | UInt(bytes) << 16 | UInt(UInt8(ascii: "H")) << 8 | UInt(number),
            sourceLocation: sourceLocation)
        #expect(MirrorDevice.request(number: number, bytes: bytes) == request, sourceLocation: sourceLocation)
        #expect(MirrorDevice.argumentBytes(number: number) == bytes, sourceLocation: sourceLocation)
    }

    @Test("A request without a size has that of the first command's argument")
    func plainRequest() {
        #expect(MirrorDevice.request(number: 7) == hmm_dmirror_ioctl_release)
    }
}
