// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The driver as a module.
let devmemModuleTests: [GuestTest] = [
    GuestTest(
        "devmem/unload-while-open", "The driver cannot be unloaded while a descriptor is open",
        needs: [.private, .ours]
    ) {
        let mirror = try MirrorDevice(unit: 0)
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        expectFailure(Errno(rawValue: 5), "rmmod is refused") { () throws(SystemCallError) in
            try Shell.run("rmmod hmm_dmirror 2>/dev/null")
        }
        expect(try TextFile.read("/proc/modules").contains("hmm_dmirror "), "the driver is still there")
        expectFailure(Errno(rawValue: 5), "the library cannot be unloaded below it") { () throws(SystemCallError) in
            try Shell.run("rmmod hmm_devmem 2>/dev/null")
        }
        try buffer.range.expectPlace(.privateWritable, "the pages are on the device still")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    },
    GuestTest(
        "devmem/unload-with-pages", "Unloading the driver brings every page back, private and coherent",
        needs: [.private, .coherent, .ours], timeoutMilliseconds: 60_000
    ) {
        let one = try MappedBuffer.filled(pages: span, seed: 1)
        let two = try MappedBuffer.filled(pages: span, seed: 2)
        do {
            let mirror = try MirrorDevice(unit: 0)
            let coherent = try MirrorDevice(unit: 2)
            try mirror.take(one.range, seed: 1)
            try coherent.take(two.range, seed: 2)
        }
        let parameters = try driverParameters()
        try one.range.expectPlace(.privateWritable, "private pages stay when the descriptor is closed")
        try two.range.expectPlace(.coherent, "so do coherent ones")
        try Shell.run("rmmod hmm_dmirror")
        expect(try !TextFile.read("/proc/modules").contains("hmm_dmirror "), "the driver is gone")
        expect(
            try !PhysicalMemory.current().regions.contains { $0.name.contains("dmirror") }, "and so is all its memory")
        try one.range.expectPlace(.system, "private pages are back")
        try two.range.expectPlace(.system, "so are coherent ones")
        one.range.expectHolds(seed: 1, "the private pages' contents are right")
        two.range.expectHolds(seed: 2, "so are the coherent ones'")
        try Shell.run("modprobe hmm_dmirror \(parameters.joined(separator: " "))")
        let mirror = try MirrorDevice(unit: 2)
        try mirror.take(two.range, seed: 2)
        try two.range.expectPlace(.coherent, "the driver works when it is back")
    },
]
