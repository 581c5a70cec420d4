// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import GuestTestKit

@Suite("The list of tests")
struct RegistryTests {
    private func named(_ id: String, _ summary: String = "Something holds", _ needs: [Requirement] = []) -> GuestTest {
        GuestTest(id, summary, needs: needs, timeoutMilliseconds: 1500) {}
    }

    @Test("A line has name, requirements, timeout and summary, separated by tabs")
    func lines() throws {
        let registry = try TestRegistry([named("a/b"), named("a/c-1", "It works", [.private, .gupTest])])
        #expect(registry.lines == ["a/b\t-\t1500\tSomething holds", "a/c-1\tprivate,gup_test\t1500\tIt works"])
        #expect(registry.test("a/c-1")?.summary == "It works")
        #expect(registry.test("a/c") == nil)
    }

    @Test("Two tests of one name are refused")
    func duplicate() {
        #expect(throws: TestRegistry.Problem.duplicate("a/b")) { try TestRegistry([named("a/b"), named("a/b")]) }
    }

    @Test(
        "A name is a suite and a test in lower case",
        arguments: ["", "a", "a/", "/b", "a/b/c", "A/b", "a/b c", "a/b_c", "a/b\t"])
    func badName(id: String) {
        #expect(throws: TestRegistry.Problem.badName(id)) { try TestRegistry([named(id)]) }
    }

    @Test("A summary that would break the list is refused", arguments: ["", "a\tb", "a\nb"])
    func badSummary(summary: String) {
        #expect(throws: TestRegistry.Problem.badSummary("a/b")) { try TestRegistry([named("a/b", summary)]) }
    }

    @Test("The words of the requirements are those of the host")
    func words() {
        #expect(
            Requirement.allCases.map(\.rawValue)
                == [
                    "private", "coherent", "ours", "hugetlb", "thp", "swap", "null_blk", "gup_test", "long_term_pin",
                    "flags", "unlocked_read", "ext4", "mkfs_ext4", "mkfs_xfs", "fio", "smp", "failing_allocations",
                    "secret_memory", "calls_32",
                    "contents_lost", "files_on_device", "pmem",
                ])
    }
}
