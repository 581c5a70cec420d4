// SPDX-License-Identifier: Apache-2.0
import KernelLog
import Testing

@Suite("Stack frames")
struct StackFrameTests {
    @Test("Lines of a call trace, as the kernel prints them")
    func raw() throws {
        let frame = try #require(StackFrame(traceLine: " ? hmm_range_fault.cold+0x1c/0x90 [test_hmm a1b2c3d4]"))
        #expect(
            frame
                == StackFrame(
                    function: "hmm_range_fault.cold", offset: 28, size: 144, module: "test_hmm", isReliable: false))
        #expect(frame.name == "hmm_range_fault")
        #expect(StackFrame(traceLine: "[<ffffffff81000000>] f+0x1/0x2")?.function == "f")
        #expect(StackFrame(traceLine: "       lock_acquire+0x1b8/0x4f0")?.isReliable == true)
        #expect(StackFrame(traceLine: " f+0x1/0x2 (P)")?.size == 2)
        for line in [
            "", " <TASK>", " ? 0xffffffffc00e9000", "RIP: 0033:0x47fbe9", " f+0x1", "f+0xg/0x2", "Comm: f+0x1/0x2",
            "f (not a place)", "dmirror_fault (lib/test_hmm.c:612) test_hmm",
        ] {
            #expect(StackFrame(traceLine: line) == nil, "\(line)")
        }
    }
}
