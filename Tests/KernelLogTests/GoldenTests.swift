// SPDX-License-Identifier: Apache-2.0
import KernelLog
import Testing

@Suite("Console logs of real guests")
struct GoldenTests {
    @Test("Each log tells exactly what its snapshot says", arguments: Golden.names)
    func matchesSnapshot(name: String) throws {
        let found = Golden.describe(try Golden.lines(name))
        if Golden.isUpdating { try Golden.update(name, found) }
        #expect(Golden.expectation(name) == found)
    }
}
