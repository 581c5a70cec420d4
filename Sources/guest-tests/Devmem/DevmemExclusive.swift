// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Device memory that a device holds exclusively in one process, while another one does something else with it.
let devmemExclusiveTests: [GuestTest] =
    onOwnDevice(
        "devmem/pin-beside-exclusive",
        "A shared page that another process's device holds is not lost when DMA for long wants it",
        on: [.coherent]
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let child = try Child { parent in
            let own = try memory.open()
            try own.seize(buffer.range, seed: 1)
            try buffer.range.expectPlace(.exclusive, "the child's device holds the pages")
            try parent.signal()
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has the contents")
        }
        try child.channel.wait()
        // Takes the pages back for this process only.
        buffer.range.touch()
        do throws(MirrorError) {
            try mirror.pin(buffer.range).release()
        } catch {
            try require(error.code == .busy, "the pages can be held, or are in use", "\(error)")
        }
        buffer.range.expectHolds(seed: 1, "the parent has the contents")
        try child.channel.signal()
        try child.expectPassed()
        try buffer.advise(.dontNeed)
        try mirror.expectHeld(0, "no page is left on the device")
    }
