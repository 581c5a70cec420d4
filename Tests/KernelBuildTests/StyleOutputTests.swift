// SPDX-License-Identifier: Apache-2.0
import ProcessRunner
import Testing

@testable import KernelBuild

@Suite("Findings about kernel C")
struct StyleOutputTests {
    private let output = StyleOutput(folder: "/cache/obj/hmmlab-check/")

    @Test("are the lines about the files in question, whoever prints them")
    func ours() {
        let text = """
            make: Entering directory '/cache/src'
            /cache/obj/hmmlab-check/modules/devmem_batch.c:127:13: warning: unused variable 'unused' [-Wunused-variable]
            /cache/src/include/linux/mm.h:99:2: warning: something of the kernel's own
            /cache/obj/hmmlab-check/modules/devmem_batch.c:127:13: warning: unused variable 'unused' [-Wunused-variable]
              127 |         int unused;
            hmmlab-check/modules/devmem_batch.c:125:5: warning: no previous prototype for 'f' [-Wmissing-prototypes]
            """
        #expect(
            output.findings(in: text)
                == [
                    "modules/devmem_batch.c:127:13: warning: unused variable 'unused' [-Wunused-variable]",
                    "modules/devmem_batch.c:125:5: warning: no previous prototype for 'f' [-Wmissing-prototypes]",
                ])
    }

    @Test("have names of their own with checkpatch")
    func checkpatch() {
        let text = """
            modules/devmem_batch.c:126: ERROR:OPEN_BRACE: open brace '{' following function definitions go on the next line
            modules/devmem_batch.c:125: CHECK:CAMELCASE: Avoid CamelCase: <thisOne>
            """
        #expect(output.findings(in: text).count == 2)
        #expect(output.findings(in: text).allSatisfy { $0.hasPrefix("modules/devmem_batch.c:12") })
    }

    @Test("are told by kernel-doc with its word in front, since it is Python")
    func kernelDoc() {
        let text = "Warning: modules/devmem_batch.c:123 function parameter 'x' not described in 'f'"
        #expect(output.findings(in: text) == [text])
    }

    @Test(
        "need a checker that can judge",
        arguments: [
            ("./include/linux/rcupdate.h:41:9: error: Expected ) in function call", 2),
            ("/cache/src/Makefile:1311: C=2 specified, but sparse is not available or not up to date", 0),
            ("Can't open perl script \"checkpatch.pl\": No such file or directory", 2),
        ])
    func unchecked(text: String, status: Int32) {
        let check = output.check("x", said(text, status))
        #expect(check == StyleCheck(name: "x", findings: [], notChecked: text))
    }

    @Test("are what another checker has not said already, whatever the status")
    func judged() {
        let (first, second) = ("modules/a.c:1:1: warning: one", "modules/a.c:2:1: error: two")
        for status: Int32 in [0, 1] {
            let check = output.check(
                "x", said("/cache/obj/hmmlab-check/\(first)\n/cache/obj/hmmlab-check/\(second)", status),
                except: [first])
            #expect(check == StyleCheck(name: "x", findings: [second]))
        }
        #expect(output.check("x", said("", 0)) == StyleCheck(name: "x", findings: []))
        #expect(output.check("x", said("", 1)).notChecked != nil)
    }

    private func said(_ text: String, _ status: Int32) -> CommandOutput {
        CommandOutput(ending: .exited(status), standardOutput: "", standardError: text)
    }
}
