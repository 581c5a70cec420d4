// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import Glibc

/// Starts programs, each as the leader of a session of its own.
enum Spawn {
    /// What a program's first three descriptors are.
    enum Streams {
        /// Nothing to read, and two descriptors to write to.
        case captured(output: Int32, error: Int32)
        /// A terminal device. A session's leader that opens one gets it as the controlling terminal (tty_ioctl(4)).
        case terminal(String)
    }

    /// Variables that every program gets; a request's own come on top.
    static let environment = ["PATH": "/bin:/sbin:/usr/bin:/usr/sbin", "HOME": "/root"]

    /// Starts a program; nothing of init's own descriptors or blocked signals comes along.
    static func start(
        _ arguments: [String], environment: [String: String], _ streams: Streams
    ) throws(SystemError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        switch streams {
        case .captured(let output, let error):
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_adddup2(&actions, output, 1)
            posix_spawn_file_actions_adddup2(&actions, error, 2)
        case .terminal(let device):
            posix_spawn_file_actions_addopen(&actions, 0, device, O_RDWR, 0)
            posix_spawn_file_actions_adddup2(&actions, 0, 1)
            posix_spawn_file_actions_adddup2(&actions, 0, 2)
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(SHIM_SPAWN_SETSID) | Int16(POSIX_SPAWN_SETSIGMASK))

        let variables = Self.environment.merging(environment) { _, asked in asked }
        let assignments = variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        var pid: pid_t = 0
        let program = arguments.first ?? ""
        let status = withCStrings(arguments) { argv in
            withCStrings(assignments) { envp in posix_spawnp(&pid, program, &actions, &attributes, argv, envp) }
        }
        guard status == 0 else { throw SystemError(program, code: status) }
        return pid
    }

    private static func withCStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        let copies = strings.map { strdup($0) } + [nil]
        defer { for copy in copies { free(copy) } }
        return copies.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return withUnsafePointer(to: nil) { body($0) } }
            return body(base)
        }
    }
}
