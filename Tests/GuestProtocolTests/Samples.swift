// SPDX-License-Identifier: Apache-2.0
import GuestProtocol

/// Messages of every kind, with values that are awkward on a wire of lines, words and escapes.
enum Samples {
    static let texts = [
        "mirror/read", "", " ", "a b=c", "%20", "#hmmlab1 bye", "ä€😀", "tab\there\nand there\r\n", "\0",
    ]

    static let host: [HostMessage] =
        [
            .welcome, .loadModules([]),
            .loadModules([
                ModuleRequest("test_hmm", parameters: "spm_addr_dev0=0x40000000 spm_addr_dev1=0x60000000"),
                ModuleRequest("loop"),
            ]),
            .run(
                RunRequest(
                    id: "mirror/read", ["/bin/guest-tests", "run", "mirror/read"],
                    environment: ["A": "", "B": "x=y", "C": "two words"], timeoutMilliseconds: 0,
                    outputLimit: 1 << 20)),
            .shell(ShellRequest(id: "shell")),
            .shell(
                ShellRequest(
                    id: "shell", ["sh", "-l"], environment: ["TERM": "xterm"], size: TerminalSize(rows: 24, columns: 80)
                )),
            .resize(TerminalSize(rows: 0, columns: .max)), .powerOff, .unknown(verb: "dance-tango"),
        ]
        + texts.flatMap { text -> [HostMessage] in
            [
                .unloadModule(text), .kill(id: text), .read(path: text), .write(path: text, text: text),
                .run(RunRequest(id: text, ["x", text, text])),
            ]
        }

    static let guest: [GuestMessage] =
        [
            .hello(version: 1, kernelRelease: "6.12.117", uptimeMilliseconds: 1234),
            .hello(version: 0, kernelRelease: "", uptimeMilliseconds: .max), .bye, .unknown(verb: "x"),
            .output(id: "a", .standardOutput, []), .output(id: "a", .standardError, Array(0...255)),
            .file(path: "/proc/x", Array(0...255), isLast: false), .file(path: "", [], isLast: true),
        ]
        + [RunEnding.exited(0), .exited(255), .signalled(11), .timedOut, .unkillable].map { ending in
            .ended(id: "mirror/read", ending, milliseconds: 7)
        }
        + ModuleChange.allCases.map { .module("loop", $0, error: nil) }
        + texts.flatMap { text -> [GuestMessage] in
            [
                .module(text, .load, error: text), .started(id: text), .remains(id: text, text), .written(path: text),
                .fileFailed(path: text, error: text), .problem(text),
                .output(id: text, .standardOutput, Array(text.utf8)),
            ]
        }
}
