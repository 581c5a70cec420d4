// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache", abstract: "Show what the cache holds, and remove what was not used for long.",
        discussion: """
            Everything in it can be made again, but for recorded resolutions (rerere), which stay. At the end of every \
            command that added something, what was not used for \
            longest is removed until the cache is no larger than HMMLAB_CACHE_SIZE (20G without it). \
            Bases stay; ccache keeps its own limit.
            """,
        subcommands: [CacheShow.self, CachePrune.self], defaultSubcommand: CacheShow.self)
}

struct CacheShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show what the cache holds and how much room it takes.")

    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await report(terminal, json: json) {
            let cache = Cache()
            let document = CacheDocument(
                folder: cache.root, limit: try Cache.limit(), contents: try await CachePruner(cache: cache).contents())
            if let json { try json.write(Document(document)) }
            if json?.path != "-" {
                printResult("\("kind".padded(12)) \(aligned("count", 6)) \(aligned("size", 11))")
                for row in document.kinds {
                    let remark = row.isPruned ? "" : row.kind == "ccache" ? "  see CCACHE_MAXSIZE" : "  never removed"
                    printResult(
                        row.kind.padded(12) + " \(aligned(row.count.map { "\($0)" } ?? "-", 6))"
                            + " \(aligned(ByteCount(row.size).description, 11))\(remark)")
                }
                printResult("\(ByteCount(document.size)) of \(ByteCount(document.limit)) in \(document.folder)")
            }
            return .passed
        }
    }

    private func aligned(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(width - text.count, 0)) + text
    }
}

/// The JSON of `cache show`; sizes are in bytes.
private struct CacheDocument: Encodable {
    struct Row: Encodable {
        let kind: String
        let count: Int?
        let size: Int64
        let isPruned: Bool
    }

    let folder: String
    let limit: Int64
    let size: Int64
    let kinds: [Row]

    init(folder: String, limit: ByteCount, contents: CacheContents) {
        self.folder = folder
        self.limit = limit.bytes
        size = contents.size
        var rows = CacheThing.Kind.allCases.reversed().map { kind in
            let things = contents.things.filter { $0.kind == kind }
            return Row(
                kind: kind.rawValue, count: things.count, size: things.reduce(0) { $0 + $1.size }, isPruned: true)
        }
        rows.append(Row(kind: "bases", count: nil, size: contents.bases, isPruned: false))
        rows.append(Row(kind: "ccache", count: nil, size: contents.ccache, isPruned: false))
        let rest = contents.size - rows.reduce(0) { $0 + $1.size }
        kinds = rows + [Row(kind: "other", count: nil, size: max(rest, 0), isPruned: false)]
    }
}

struct CachePrune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Remove what was not used for longest until the cache is small enough.",
        discussion: "Nothing is removed while another hmmlab uses the cache; then the exit code is 69.")

    @Option(
        help: ArgumentHelp(
            "How large the cache may stay, such as 10G; HMMLAB_CACHE_SIZE or 20G without it.", valueName: "size"))
    var maxSize: ByteCount?
    @Flag(help: "Only say what would be removed.") var dryRun = false
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await report(terminal) {
            let cache = Cache()
            let limit = try maxSize ?? Cache.limit()
            guard let pruned = try await CachePruner(cache: cache).prune(to: limit, isDryRun: dryRun) else {
                throw LabError(
                    "cache-busy", "Another hmmlab is using the cache \(cache.root)",
                    next: "Try again when it has ended.")
            }
            for kind in CacheThing.Kind.allCases {
                let things = pruned.removed.filter { $0.kind == kind }
                if things.isEmpty { continue }
                let size = ByteCount(things.reduce(0) { $0 + $1.size })
                printResult("\(kind.rawValue.padded(12)) \("\(things.count)".padded(6)) \(size)")
            }
            for failure in pruned.failures {
                terminal.progress(.warning("This could not be removed: \(failure)"))
            }
            let (count, freed, left) = (
                pruned.removed.count.of("thing"), ByteCount(pruned.freed), ByteCount(pruned.size)
            )
            printResult(
                dryRun
                    ? "Would remove \(count), \(freed); \(left) would be left."
                    : "Removed \(count), \(freed); \(left) are left.")
            return pruned.failures.isEmpty ? .passed : .unavailable
        }
    }
}

extension ByteCount: ExpressibleByArgument {
    /// Reads the value of an option.
    public init?(argument: String) { self.init(parsing: argument) }
}
