// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Pipeline

@Suite("What has to leave the cache")
struct CacheContentsTests {
    /// A thing of a gibibyte that was used on a day.
    private func thing(_ kind: CacheThing.Kind, _ path: String, day: Int) -> CacheThing {
        CacheThing(
            kind: kind, paths: [path], size: 1 << 30, lastUse: Date(timeIntervalSince1970: Double(day) * 86_400))
    }

    private func removed(
        _ things: [CacheThing], kept: Int64 = 0, limit gibibytes: Int64, since day: Int? = nil
    ) -> [String] {
        let size = Int64(things.count + Int(kept)) << 30
        let contents = CacheContents(things: things.shuffled(), size: size, bases: kept << 30, ccache: 0)
        let start = day.map { Date(timeIntervalSince1970: Double($0) * 86_400) } ?? .distantFuture
        return contents.removals(limit: gibibytes << 30, keepingUsedSince: start).flatMap(\.paths)
    }

    @Test("is nothing while everything fits")
    func fits() {
        #expect(removed([thing(.artifacts, "a", day: 1), thing(.images, "b", day: 2)], limit: 2) == [])
        #expect(removed([], limit: 0) == [])
    }

    @Test("is what was not used for longest, and no more than is needed")
    func oldestFirst() {
        let things = [
            thing(.artifacts, "third", day: 3), thing(.runs, "second", day: 2), thing(.worktrees, "first", day: 1),
            thing(.objects, "fourth", day: 4),
        ]
        #expect(removed(things, limit: 3) == ["first"])
        #expect(removed(things, limit: 2) == ["first", "second"])
        #expect(removed(things, limit: 0) == ["first", "second", "third", "fourth"])
    }

    @Test("counts what is never removed")
    func fixedPart() {
        let things = [thing(.artifacts, "old", day: 1), thing(.artifacts, "new", day: 2)]
        #expect(removed(things, kept: 3, limit: 4) == ["old"])
        #expect(removed(things, kept: 30, limit: 4) == ["old", "new"])
    }

    @Test("is not what the present command used")
    func presentCommand() {
        let things = [thing(.artifacts, "old", day: 1), thing(.artifacts, "used", day: 5)]
        #expect(removed(things, limit: 0, since: 5) == ["old"])
    }

    @Test("is what killed processes left, whether it is needed or not")
    func leftovers() {
        let things = [thing(.artifacts, "old", day: 1), thing(.staging, "half", day: 9)]
        #expect(removed(things, limit: 99) == ["half"])
        #expect(removed(things, limit: 99, since: 5) == ["half"])
        // Its room counts before anything of use goes.
        #expect(removed(things, limit: 1) == ["half"])
    }

    @Test("is an object folder before the worktree that it depends on")
    func objectsFirst() {
        let things = [thing(.worktrees, "src", day: 1), thing(.objects, "obj", day: 1)]
        #expect(removed(things, limit: 1) == ["obj"])
    }
}
