// SPDX-License-Identifier: Apache-2.0
import GuestImage
import Testing

@testable import Pipeline

@Suite("Programs of the host for the guest")
struct GuestToolsTests {
    private func test(_ requirements: [String]) -> GuestTest {
        GuestTest(
            id: "file/x", suite: "file", summary: "", requirements: requirements, timeoutMilliseconds: 1, arguments: [],
            form: .status)
    }

    @Test("none is there for tests that want none")
    func none() {
        let tools = GuestTools(for: [test(["coherent", "ext4"]), test([])]) { "/bin/\($0)" }
        #expect(tools.programs.isEmpty)
        #expect(tools.warnings.isEmpty)
    }

    @Test("each is there once, in an order that is always the same")
    func each() {
        let tests = [test(["mkfs_xfs"]), test(["fio", "mkfs_xfs"]), test(["mkfs_ext4", "fio"])]
        let tools = GuestTools(for: tests) { "/found/\($0)" }
        #expect(tools.programs.map(\.source) == ["/found/fio", "/found/mkfs.ext4", "/found/mkfs.xfs"])
        #expect(
            tools.programs.map(\.destination) == ["/usr/sbin/fio", "/usr/sbin/mkfs.ext4", "/usr/sbin/mkfs.xfs"])
        #expect(tools.warnings.isEmpty)
    }

    @Test("what the host lacks is told with its package and the number of tests")
    func lacking() {
        let tests = [test(["mkfs_xfs"]), test(["fio", "mkfs_xfs"]), test(["mkfs_ext4"])]
        let tools = GuestTools(for: tests) { $0 == "mkfs.xfs" ? nil : "/found/\($0)" }
        #expect(tools.programs.map(\.destination) == ["/usr/sbin/fio", "/usr/sbin/mkfs.ext4"])
        #expect(tools.warnings.count == 1)
        #expect(tools.warnings.first?.contains("mkfs.xfs") == true)
        #expect(tools.warnings.first?.contains("2 tests") == true)
        #expect(tools.warnings.first?.contains("package xfsprogs") == true)
    }
}
