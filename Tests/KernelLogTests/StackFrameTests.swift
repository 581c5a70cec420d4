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
            "f (not a place)",
        ] {
            #expect(StackFrame(traceLine: line) == nil, "\(line)")
        }
    }

    @Test("Lines of a call trace, as scripts/decode_stacktrace.sh rewrites them")
    func decoded() throws {
        let inlined = try #require(
            StackFrame(
                traceLine: "? dmirror_fault (include/linux/mm.h:12 (discriminator 3) lib/test_hmm.c:612) test_hmm"))
        #expect(inlined.function == "dmirror_fault")
        #expect(inlined.sources == ["include/linux/mm.h:12", "lib/test_hmm.c:612"])
        #expect(inlined.module == "test_hmm")
        #expect(!inlined.isReliable)
        #expect(
            StackFrame(traceLine: "do_syscall_64 (arch/x86/entry/common.c:52 arch/x86/entry/common.c:83) ")?.module
                == nil)
    }

    @Test("A report takes over the source lines that the kernel's script found")
    func sources() throws {
        var report = try #require(ConsoleParser.reports(in: try Golden.log("page-fault-survived")).first)
        report.addSources(fromDecoded: try Golden.decoded("page-fault-survived"))
        #expect(report.instruction?.sources == ["crasher/crasher.c:332"])
        #expect(
            report.frames.prefix(4).map { "\($0.function) \($0.sources.joined(separator: " "))" } == [
                "crasher_init include/linux/rcupdate.h:94", "do_one_initcall init/main.c:1224 init/main.c:1241",
                "do_init_module kernel/module/main.c:2752", "load_module kernel/module/main.c:3219",
            ])
        #expect(report.frames.allSatisfy { !$0.sources.isEmpty })
        #expect(report.frames.last?.offset == 0x4b)
    }
}
