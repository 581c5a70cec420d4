// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelSource

/// The real Debian archive through the host's own mirror: some 200 MB, and a minute or two.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["HMMLAB_NETWORK_TESTS"] == "1"))
struct NetworkTests {
    @Test func theNewestSixTwelveFromTheRealArchive() async throws {
        let bench = try Bench()
        let sources = bench.sources()
        let base = try await sources.resolve(bench.spec("debian:6.12"))
        #expect(base.kernelVersion.hasPrefix("6.12.") && base.version.hasPrefix(base.kernelVersion))
        try await sources.worktree(for: base).withCheckout(of: base.commit) { path in
            for file in ["mm/hmm.c", "lib/test_hmm.c", "tools/testing/selftests/mm/hmm-tests.c"] {
                #expect(Files.exists(path + "/" + file))
            }
        }
        let listing = try await sources.list(refresh: .never)
        #expect(listing.offered.count > 1 && listing.cached == [base])
        #expect(listing.offered.contains { $0.version == base.version && $0.size > 100 << 20 })
        let error = try await #require(throws: LabError.self) {
            try await sources.resolve(bench.spec("debian:6.12.1-1"))
        }
        #expect(error.code == "base-unknown" && error.cause?.contains(base.version) == true)
    }
}
