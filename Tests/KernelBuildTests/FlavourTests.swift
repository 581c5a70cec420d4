// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelBuild

@Suite("Flavours")
struct FlavourTests {
    private func all(_ text: String) throws -> [Flavour] {
        let folder = NSTemporaryDirectory() + "flavours-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Files.write(text, to: folder + "/flavours.toml")
        return try FlavourFolder(folder).all()
    }

    @Test("have words for the kernel command line, or none")
    func words() throws {
        let flavours = try all(
            """
            [plain]
            summary = "nothing special"
            fragments = ["base"]

            [more]
            summary = "with memory of its own"
            fragments = ["base", "extra"]
            append = ["memmap=384M!384M", "loglevel=8"]
            """)
        #expect(flavours.map(\.name) == ["more", "plain"])
        #expect(flavours.map(\.append) == [["memmap=384M!384M", "loglevel=8"], []])
        #expect(flavours.map(\.fragments) == [["base", "extra"], ["base"]])
    }

    @Test("take one word in each string, or say which flavour does not", arguments: ["", "a b", "a\\t"])
    func notOneWord(word: String) throws {
        let error = #expect(throws: LabError.self) {
            try all("[x]\nsummary = \"s\"\nfragments = []\nappend = [\"good\", \"\(word)\"]\n")
        }
        #expect(error?.code == "flavours-bad")
        #expect(error?.exitCode == .usage)
        #expect(error?.cause?.contains("flavour x") == true)
    }

    @Test("whose words are no list are refused")
    func noList() throws {
        let error = #expect(throws: LabError.self) {
            try all("[x]\nsummary = \"s\"\nfragments = []\nappend = \"memmap=1M!1M\"\n")
        }
        #expect(error?.code == "flavours-bad")
    }

    @Test("of hmmlab itself are sound, and the words of pmem are those that the suite dax wants")
    func ours() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let folder = FlavourFolder(root.path + "/qemu/kconfig")
        let flavours = try folder.all()
        #expect(flavours.map(\.name) == ["debug", "fast", "pmem"])
        #expect(flavours.map(\.append.count) == [0, 0, 1])
        for flavour in flavours {
            #expect(try !folder.fragments(of: flavour, kernelVersion: "6.12.1").isEmpty)
        }
    }
}
