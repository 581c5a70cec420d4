// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner

/// Turns the modules that are kept outside of the kernel's tree into patches that add them to it.
///
/// The library and the driver get a folder in drivers/misc, the ioctl header goes to include/uapi/linux. What differs
/// between bases is decided for this one: the tree must not ask for its own version.
public struct ModulePatches: Sendable {
    /// The modules' place in the tree.
    static let folder = "drivers/misc/hmm_dmirror"
    /// The ioctl header's place in the tree.
    static let header = "include/uapi/linux/hmm_dmirror.h"

    /// The cover letter's subject where the modules are all there is.
    public static let title = "misc: a device that mirrors address spaces, for tests of HMM"
    /// The cover letter's text where the modules are all there is.
    public static let text = """
        A driver for a device of software with memory of its own, by which HMM and
        ZONE_DEVICE can be tested without hardware, and the library that it shares
        with drivers of real devices.
        """

    let store: ObjectStore
    let runner: ProcessRunner
    let cache: Cache

    /// A renderer for bases in a store.
    public init(store: ObjectStore, runner: ProcessRunner, cache: Cache) {
        self.store = store
        self.runner = runner
        self.cache = cache
    }

    /// Two patches: the library hmm_devmem, and the driver hmm_dmirror on top of it.
    ///
    /// - Parameters:
    ///   - sources: the folder that holds `modules` and `abi`.
    ///   - commit: what the patches are put on.
    ///   - kernelVersion: of that commit, such as `6.12.117`.
    ///   - author: who signs them.
    ///   - date: in the form of RFC 5322.
    /// - Throws: ``LabError`` `modules-unrenderable`; failures of the host.
    public func patches(
        from sources: String, onto commit: String, kernelVersion: String, author: Address, date: String?
    ) async throws -> [Patch] {
        let kbuild = try Kbuild(text: try Files.text("\(sources)/modules/Kbuild"))
        let compat = try CompatText.number(of: kernelVersion)
        func source(_ path: String) throws -> String {
            var text = try Files.text("\(sources)/\(path)")
            if path.hasSuffix("/compat.h") { text = try CompatText.resolved(text, for: compat) }
            return text.replacing("#include \"hmm_dmirror_uapi.h\"", with: "#include <linux/hmm_dmirror.h>")
        }
        let modules = try FileManager.default.contentsOfDirectory(atPath: "\(sources)/modules").sorted()
        let headers = ["compat.h", "devmem_internal.h", "hmm_devmem.h"]

        var library = TreeDiff()
        let librarySources = try kbuild.sources(of: "hmm_devmem")
        for name in librarySources + headers { library.add("\(Self.folder)/\(name)", try source("modules/\(name)")) }
        library.add("\(Self.folder)/Kconfig", Self.kconfig(driver: false))
        library.add("\(Self.folder)/Makefile", Self.makefile(["hmm_devmem"], kbuild))
        for (name, line) in [
            ("Kconfig", "source \"\(Self.folder)/Kconfig\""), ("Makefile", "obj-$(CONFIG_HMM_DEVMEM)\t+= hmm_dmirror/"),
        ] {
            try library.insert(line, into: "drivers/misc/\(name)", try await text("drivers/misc/\(name)", of: commit))
        }

        var driver = TreeDiff()
        let rest = modules.filter {
            ($0.hasSuffix(".c") || $0.hasSuffix(".h")) && !librarySources.contains($0) && !headers.contains($0)
        }
        for name in rest { driver.add("\(Self.folder)/\(name)", try source("modules/\(name)")) }
        driver.add("\(Self.folder)/hmm_dmirror_layout.h", try source("abi/include/hmm_dmirror_layout.h"))
        driver.add(Self.header, try source("abi/include/hmm_dmirror_uapi.h"))
        try driver.replace(
            "\(Self.folder)/Kconfig", Self.kconfig(driver: false), by: Self.kconfig(driver: true))
        try driver.replace(
            "\(Self.folder)/Makefile", Self.makefile(["hmm_devmem"], kbuild),
            by: Self.makefile(["hmm_devmem", "hmm_dmirror"], kbuild))

        return try await read(
            [
                mail("misc: hmm_devmem: add a library for device memory of HMM drivers", Self.libraryText, library),
                mail("misc: hmm_dmirror: add a driver that mirrors address spaces", Self.driverText, driver),
            ].map { head, diff in
                "From: \(author.header)\n\(date.map { "Date: \($0)\n" } ?? "")\(head)"
                    + "\nSigned-off-by: \(author.text)\n---\n\(diff)"
            })
    }

    private func mail(_ subject: String, _ text: String, _ diff: TreeDiff) -> (head: String, diff: String) {
        (
            """
            Subject: [PATCH] \(subject)
            MIME-Version: 1.0
            Content-Type: text/plain; charset=UTF-8
            Content-Transfer-Encoding: 8bit

            \(text)

            """, diff.text
        )
    }

    private func read(_ mails: [String]) async throws -> [Patch] {
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        var paths: [String] = []
        for (index, mail) in mails.enumerated() {
            paths.append("\(staging)/module-\(index + 1).patch")
            try Files.write(mail, to: paths[index])
        }
        return try await SeriesReader(runner: runner, cache: cache).read(files: paths)
    }

    private func text(_ path: String, of commit: String) async throws -> String {
        let output = try await runner.run(store.command(["cat-file", "blob", "\(commit):\(path)"]))
        guard output.ending.isSuccess else { throw Self.problem("The base has no \(path).") }
        return output.standardOutput
    }

    static func problem(_ cause: String) -> LabError {
        LabError(
            "modules-unrenderable", exit: .usage, "The modules cannot be made into patches for this base", cause: cause,
            next: "Leave out --modules, or use a base with drivers/misc.")
    }

    // MARK: - What they say

    private static let libraryText = """
        A driver whose device has memory of its own repeats the same work for
        ZONE_DEVICE: adding chunks of address space, handing out pages, moving
        them between system and device memory in batches, serving CPU faults, and
        evicting everything before the memory goes away.

        Add that work as a library with a small interface, so that a driver only
        says how its device copies pages.
        """

    private static let driverText = """
        HMM and ZONE_DEVICE can only be tested with a device that mirrors address
        spaces and has memory of its own, which few people have.

        Add a driver for a device of software: it mirrors the address space of the
        process that opened it, keeps a page table by hmm_range_fault() and an
        interval notifier, migrates pages to memory of its own, takes pages for
        exclusive access, and serves work requests by on-demand paging. Commands
        0x00 to 0x09 have the numbers and the layout of lib/test_hmm_uapi.h, so
        that tools/testing/selftests/mm/hmm-tests.c runs with it.
        """

    private static func makefile(_ modules: [String], _ kbuild: Kbuild) -> String {
        "# SPDX-License-Identifier: GPL-2.0\n"
            + modules.map { module in
                "\nobj-$(CONFIG_\(module.uppercased())) += \(module).o\n\n\(kbuild.lists[module] ?? "")\n"
            }.joined()
    }

    private static func kconfig(driver: Bool) -> String {
        let library = """
            # SPDX-License-Identifier: GPL-2.0

            config HMM_DEVMEM
            \ttristate "Device memory for HMM drivers"
            \tdepends on DEVICE_PRIVATE
            \tselect HMM_MIRROR
            \tselect MMU_NOTIFIER
            \thelp
            \t  A library for drivers whose device has memory that the CPU cannot
            \t  address: it hands out pages, moves them between system and device
            \t  memory, and evicts them before the memory goes away.

            \t  To compile it as a module, choose M here: it is called hmm_devmem.

            \t  If unsure, say N.

            """
        guard driver else { return library }
        return library + """

            config HMM_DMIRROR
            \ttristate "Device that mirrors address spaces, for tests of HMM"
            \tdepends on HMM_DEVMEM && TRANSPARENT_HUGEPAGE
            \thelp
            \t  A driver for a device of software that mirrors the address space of
            \t  the process that opens it. It is of use for tests of HMM only.

            \t  To compile it as a module, choose M here: it is called hmm_dmirror.

            \t  If unsure, say N.

            """
    }
}

/// The list of objects in the modules' Kbuild.
struct Kbuild {
    /// The assignment of each module, with its continued lines.
    private(set) var lists: [String: String] = [:]

    init(text: String) throws {
        let joined = text.replacing(/\\\n/, with: "\\\u{1}")
        for line in joined.split(separator: "\n") {
            guard let match = line.prefixMatch(of: /([a-z_]+)-y\s*:=/), match.1 != "ccflags" else { continue }
            lists[String(match.1)] = String(line).replacing("\u{1}", with: "\n")
        }
        guard lists["hmm_devmem"] != nil, lists["hmm_dmirror"] != nil else {
            throw ModulePatches.problem("modules/Kbuild does not list the objects of hmm_devmem and hmm_dmirror.")
        }
    }

    func sources(of module: String) throws -> [String] {
        (lists[module] ?? "").matches(of: /([a-z_]+)\.o/).map { "\($0.1).c" }
    }
}

/// Text that asks for the base's version, decided for one.
enum CompatText {
    /// 612 for `6.12.117`, as modules/Kbuild counts.
    static func number(of kernelVersion: String) throws -> Int {
        guard let match = kernelVersion.prefixMatch(of: /([0-9]+)\.([0-9]+)/), let major = Int(match.1),
            let minor = Int(match.2)
        else { throw ModulePatches.problem("\(kernelVersion) is no version of a kernel.") }
        return major * 100 + minor
    }

    /// The text without `#if COMPAT_BASE >= N`, `#else` and `#endif`; other conditions stay.
    static func resolved(_ text: String, for version: Int) throws -> String {
        /// Conditions from the outermost in: nil for one that stays, else whether its lines are kept.
        var open: [Bool?] = []
        var lines: [Substring] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("#if") {
                let asked = line.wholeMatch(of: /#if COMPAT_BASE >= ([0-9]+)/).flatMap { Int($0.1) }
                open.append(asked.map { version >= $0 })
                if asked != nil { continue }
            } else if line.hasPrefix("#else") || line.hasPrefix("#endif") {
                guard let last = open.last else { throw ModulePatches.problem("compat.h has an \(line) too many.") }
                if line.hasPrefix("#endif") {
                    open.removeLast()
                } else if let last {
                    open[open.count - 1] = !last
                }
                if last != nil { continue }
            }
            if open.allSatisfy({ $0 ?? true }) { lines.append(line) }
        }
        guard !lines.contains(where: { $0.hasPrefix("#") && $0.contains("COMPAT_BASE") }) else {
            throw ModulePatches.problem("compat.h asks for the version in a form other than #if COMPAT_BASE >= N.")
        }
        return lines.joined(separator: "\n")
    }
}
