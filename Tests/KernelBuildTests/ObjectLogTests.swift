// SPDX-License-Identifier: Apache-2.0
import ProcessRunner
import Testing

@testable import KernelBuild

@Suite("The output of a make for single objects")
struct ObjectLogTests {
    private func log(_ text: String) -> ObjectLog {
        ObjectLog(text.split(whereSeparator: \.isNewline), source: "/cache/work/base/src")
    }

    @Test("What is said below an object's line is said of that object")
    func attribution() {
        let log = log(
            """
            make[1]: Entering directory '/cache/work/base/obj'
              GEN     Makefile
              CC      mm/memory.o
            ../src/mm/memory.c: In function 'f':
            ../src/mm/memory.c:12:3: warning: unused variable 'x' [-Wunused-variable]
               12 |   int x;
              CC [M]  lib/test_hmm.o
            In file included from /cache/work/base/src/include/linux/mm.h:5,
            ./include/linux/hmm.h:9: warning: "X" redefined
              CC      mm/hmm.o
            mm/hmm.o: warning: objtool: f() falls through to next function g()
            """)
        #expect(
            log.diagnostics.mapValues { $0.map(\.line) } == [
                "mm/memory.o": ["mm/memory.c:12:3: warning: unused variable 'x' [-Wunused-variable]"],
                "lib/test_hmm.o": ["include/linux/hmm.h:9: warning: \"X\" redefined"],
                "mm/hmm.o": ["mm/hmm.o: warning: objtool: f() falls through to next function g()"],
            ])
        #expect(log.obstacle(to: ["mm/memory.o"], .exited(0)) == nil)
    }

    @Test("Objects that fail and those that do not exist are told apart")
    func endings() {
        let log = log(
            """
              CC      mm/memory.o
            ../src/mm/memory.c:12:3: error: 'y' undeclared (first use in this function)
            make[4]: *** [../src/scripts/Makefile.build:229: mm/memory.o] Error 1
            make[4]: *** No rule to make target 'mm/hmm.o'.
            make[4]: *** No rule to make target 'mm/gone.h', needed by 'mm/rmap.o'.
            make[4]: Target 'mm/' not remade because of errors.
            make[3]: *** [../src/scripts/Makefile.build:478: mm] Error 2
            make[2]: *** [/cache/work/base/src/Makefile:1944: .] Error 2
            make: *** [Makefile:224: __sub-make] Error 2
            """)
        #expect(log.failed == ["mm/memory.o"] && log.absent == ["mm/hmm.o"])
        #expect(log.diagnostics["mm/memory.o"]?.map(\.isError) == [true])
        #expect(log.obstacle(to: ["mm/memory.o", "mm/hmm.o"], .exited(2)) == nil)
    }

    @Test("What keeps make from trying the objects is an obstacle to all of them")
    func obstacle() {
        let log = log(
            """
              CC      arch/x86/kernel/asm-offsets.s
            /cache/work/base/src/include/linux/mm.h:7:1: error: unknown type name 'y'
            make[3]: *** [../src/scripts/Makefile.build:117: arch/x86/kernel/asm-offsets.s] Error 1
            make[2]: *** [/cache/work/base/src/Makefile:1193: prepare0] Error 2
            """)
        #expect(
            log.obstacle(to: ["mm/memory.o"], .exited(2))?.map(\.line)
                == ["include/linux/mm.h:7:1: error: unknown type name 'y'"])
        let other = self.log("make: *** [Makefile:224: __sub-make] Error 2")
        #expect(other.obstacle(to: ["mm/memory.o"], .exited(2))?.first?.isError == true)
    }

    @Test("A sparse that kbuild refuses, or that stumbles over a header, has not judged")
    func sparse() {
        let good = log("  CHECK   ../src/mm/hmm.c\n../src/mm/hmm.c:315:18: warning: context imbalance in 'f'")
        #expect(good.checker(.exited(0)).obstacle == nil)
        #expect(good.checker(.exited(0)).diagnostics["mm/hmm.o"]?.count == 1)
        let refused = log("../src/Makefile:1311: C=2 specified, but sparse is not available or not up to date")
        #expect(refused.checker(.exited(0)).obstacle?.contains("not up to date") == true)
        let lost = log("  CHECK   ../src/mm/hmm.c\n../src/include/linux/x.h:1:1: error: Expected )")
        #expect(lost.checker(.exited(0)).obstacle == "include/linux/x.h:1:1: error: Expected )")
    }

    @Test("A coccicheck that breaks down has not judged, and says why")
    func semanticPatches() {
        let log = self.log(
            """
              CHECK   ../src/mm/hmm.c
            /usr/bin/spatch -D report --cocci-file ../src/scripts/coccinelle/api/check_bq27xxx_data.cocci ../src/mm/hmm.c
            No OCaml compiler found! Install either ocamlopt or ocamlopt.opt
            coccicheck failed
            make[3]: *** [../src/scripts/Makefile.build:235: mm/hmm.o] Error 255
            """)
        #expect(
            log.checker(.exited(2)).obstacle == "No OCaml compiler found! Install either ocamlopt or ocamlopt.opt")
    }

    @Test(
        "The forms in which tools speak",
        arguments: [
            (
                "/cache/work/base/src/mm/a.c:12:3-10: WARNING: NULL check before",
                "mm/a.c:12:3-10: WARNING: NULL check before", false
            ),
            ("mm/a.c:12:3-10: Unneeded semicolon", "mm/a.c:12:3-10: Unneeded semicolon", false),
            ("mm/a.c:12: warning: Function parameter 'x'", "mm/a.c:12: warning: Function parameter 'x'", false),
            ("Warning: mm/a.c:12 parameter 'x'", "mm/a.c:12: warning: parameter 'x'", false),
            ("mm/a.c:1:1: fatal error: x.h: No such file", "mm/a.c:1:1: fatal error: x.h: No such file", true),
        ])
    func forms(line: String, read: String, isError: Bool) throws {
        let diagnostic = try #require(Diagnostic(line, source: "/cache/work/base/src"))
        #expect(diagnostic.line == read && diagnostic.isError == isError)
    }

    @Test(
        "Lines that are no finding",
        arguments: ["   12 |   int x;", "  CC      mm/a.o", "mm/a.c: In function 'f':", "make: *** x"])
    func none(line: String) { #expect(Diagnostic(line, source: "/s") == nil) }

    @Test("A diagnostic stays the same when lines move")
    func identity() {
        let one = Diagnostic("mm/a.c:1:2: warning: 'f' (see mm/b.c:12:1)", source: "/s")
        let other = Diagnostic("mm/a.c:7:2: warning: 'f' (see mm/b.c:13:1)", source: "/s")
        #expect(one != nil && one?.identity == other?.identity && one != other)
    }
}
