// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import HarnessCore
import Pipeline

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run one command in a guest and exit with its exit code.",
        discussion: """
            Example: hmmlab run -- sh -c 'dmesg | tail'
            The guest has busybox, the suites' programs and the driver loaded. A kernel crash is exit code 1.
            """)

    @OptionGroup(title: "Kernel") var kernel: KernelOptionGroup
    @OptionGroup(title: "Guest") var guest: GuestOptionGroup
    @OptionGroup var common: CommonOptions
    @Option(help: ArgumentHelp("Seconds after which the command is killed; no limit without it.", valueName: "seconds"))
    var timeout: Int?
    @Argument(parsing: .postTerminator, help: "The command, after --.") var command: [String] = []

    func validate() throws {
        _ = try kernel.selection()
        _ = try guest.selection()
        if command.isEmpty { throw ValidationError("Give a command after --, such as: hmmlab run -- uname -r") }
        if let timeout, !(1...Lab.longestCommand).contains(timeout) {
            throw ValidationError("--timeout takes seconds from 1 to \(Lab.longestCommand), not \(timeout).")
        }
    }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        let status = LockedValue(Int32(0))
        try await withLab(terminal) { lab in
            let result = try await lab.run(
                command, kernel: try kernel.selection(), guest: try guest.selection(), timeoutSeconds: timeout
            ) { stream, bytes in
                terminal.clear()
                let handle = stream == .standardOutput ? FileHandle.standardOutput : FileHandle.standardError
                handle.write(Data(bytes))
            }
            for title in result.reports { terminal.line(terminal.colour("kernel: ", .red) + title, always: true) }
            terminal.line("Everything about this run: \(result.folder.path)")
            status.withLock { $0 = result.status }
            return .passed
        }
        let code = status.withLock { $0 }
        if code != 0 { throw ArgumentParser.ExitCode(code) }
    }
}

struct ShellCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shell", abstract: "Boot a guest and give you a shell in it.",
        discussion: "Leave with exit or Ctrl-D; Ctrl-] ends the guest at once.")

    @OptionGroup(title: "Kernel") var kernel: KernelOptionGroup
    @OptionGroup(title: "Guest") var guest: GuestOptionGroup
    @OptionGroup var common: CommonOptions

    func validate() throws {
        _ = try kernel.selection()
        _ = try guest.selection()
    }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal) { lab in
            let titles = try await lab.shell(kernel: try kernel.selection(), guest: try guest.selection()) {
                terminal.clear()
            }
            for title in titles { terminal.line(terminal.colour("kernel: ", .red) + title, always: true) }
            return .passed
        }
    }
}
