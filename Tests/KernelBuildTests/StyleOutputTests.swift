// SPDX-License-Identifier: Apache-2.0
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

    @Test("have names of their own with checkpatch, whose one remark about static asserts is none")
    func checkpatch() {
        let text = """
            abi/include/hmm_dmirror_uapi.h:488: CHECK:CAMELCASE: Avoid CamelCase: <_Static_assert>
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

    @Test("need a sparse that is new enough for the kernel")
    func unchecked() {
        let headers = "./include/linux/rcupdate.h:41:9: error: Expected ) in function call"
        let missing = "/cache/src/Makefile:1311: C=2 specified, but sparse is not available or not up to date"
        #expect(output.whyUnchecked(in: headers) == headers)
        #expect(output.whyUnchecked(in: missing) == missing)
        #expect(output.whyUnchecked(in: "/cache/obj/hmmlab-check/modules/a.c:1:1: error: Expected ;") == nil)
    }
}
