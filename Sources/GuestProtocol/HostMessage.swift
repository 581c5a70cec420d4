// SPDX-License-Identifier: Apache-2.0

/// What the host asks of the guest.
///
/// The guest does one activity at a time, a run or a shell; while one is under way, a further one is refused with a
/// ``GuestMessage/problem(_:)`` and nothing else happens. Once a task hangs in the kernel, each is answered with a
/// ``GuestMessage/problem(_:)`` and the ending ``RunEnding/unkillable``.
public enum HostMessage: ProtocolMessage {
    /// The host is there; the guest stops repeating its hello. Wire: `welcome`.
    case welcome
    /// Load kernel modules in this order, each with what it depends on; answered by one
    /// ``GuestMessage/module(_:_:error:)`` each. Wire: `load module=NAME%20PARAMETERS ...`.
    case loadModules([ModuleRequest])
    /// Unload one kernel module; answered by ``GuestMessage/module(_:_:error:)``. Wire: `unload name=`.
    case unloadModule(String)
    /// Run a program; answered by ``GuestMessage/started(id:)``, output and ``GuestMessage/ended(id:_:milliseconds:)``.
    /// Wire: `run id= arg= ... env=KEY%3DVALUE ... timeout= limit=`.
    case run(RunRequest)
    /// Run an interactive program on a terminal, whose bytes go through the port ``Vocabulary/terminalPortName``; the
    /// host connects to it first. Answered by ``GuestMessage/started(id:)`` and
    /// ``GuestMessage/ended(id:_:milliseconds:)``. Wire: `shell id= arg= ... env= ... rows= columns=`.
    case shell(ShellRequest)
    /// The window of the person at the shell has this size now. Wire: `resize rows= columns=`.
    case resize(TerminalSize)
    /// End a run or a shell with SIGKILL, with everything it started. Wire: `kill id=`.
    case kill(id: String)
    /// Send a file's content, up to ``Vocabulary/fileLimit``; answered by ``GuestMessage/file(path:_:isLast:)`` or
    /// ``GuestMessage/fileFailed(path:error:)``. Wire: `read path=`.
    case read(path: String)
    /// Write a text to a file that exists, such as a sysctl, with one write(2); answered by
    /// ``GuestMessage/written(path:)`` or ``GuestMessage/fileFailed(path:error:)``. Wire: `write path= text=`.
    case write(path: String, text: String)
    /// End everything, sync and power off; answered by ``GuestMessage/bye``. Wire: `poweroff`.
    case powerOff
    /// A message of a later vocabulary.
    case unknown(verb: String)
}

/// A kernel module to load.
public struct ModuleRequest: Sendable, Equatable {
    /// The module's name or an alias of it, as modprobe(8) takes it.
    public var name: String
    /// Its parameters as on modprobe's command line, such as `a=1 b=2`; may be empty.
    public var parameters: String

    /// Names a module and its parameters.
    public init(_ name: String, parameters: String = "") {
        self.name = name
        self.parameters = parameters
    }
}

/// A program to run to its end, without input.
public struct RunRequest: Sendable, Equatable {
    /// The name that the answers carry, such as a test's identifier.
    public var id: String
    /// The program, searched for in PATH if it has no slash, and its arguments.
    public var arguments: [String]
    /// Variables on top of the guest's few (PATH, HOME).
    public var environment: [String: String]
    /// After so many milliseconds everything that the run started is killed; nil for never.
    public var timeoutMilliseconds: Int?
    /// So many bytes of output, both streams together, are handed on and the rest is dropped; nil for all of it.
    public var outputLimit: Int?

    /// Describes a run.
    public init(
        id: String, _ arguments: [String], environment: [String: String] = [:], timeoutMilliseconds: Int? = nil,
        outputLimit: Int? = nil
    ) {
        self.id = id
        self.arguments = arguments
        self.environment = environment
        self.timeoutMilliseconds = timeoutMilliseconds
        self.outputLimit = outputLimit
    }
}

/// An interactive program to run on a terminal of its own, whose other end is ``Vocabulary/terminalPortName``.
public struct ShellRequest: Sendable, Equatable {
    /// The name that the answers carry.
    public var id: String
    /// The program and its arguments; empty for a login shell.
    public var arguments: [String]
    /// Variables on top of the guest's few; TERM belongs here.
    public var environment: [String: String]
    /// The size of the person's window; nil leaves it unknown.
    public var size: TerminalSize?

    /// Describes an interactive session.
    public init(id: String, _ arguments: [String] = [], environment: [String: String] = [:], size: TerminalSize? = nil)
    {
        self.id = id
        self.arguments = arguments
        self.environment = environment
        self.size = size
    }
}

/// The size of a terminal, in characters.
public struct TerminalSize: Sendable, Equatable {
    /// Lines.
    public var rows: UInt16
    /// Characters in a line.
    public var columns: UInt16

    /// Makes a size.
    public init(rows: UInt16, columns: UInt16) {
        self.rows = rows
        self.columns = columns
    }
}

// MARK: - Wire form

extension HostMessage {
    /// The message as a frame.
    public var frame: Frame {
        switch self {
        case .welcome: return Frame("welcome")
        case .loadModules(let modules):
            var frame = Frame("load")
            for module in modules {
                frame.add("module", module.parameters.isEmpty ? module.name : "\(module.name) \(module.parameters)")
            }
            return frame
        case .unloadModule(let name): return Frame("unload", ("name", name))
        case .run(let request):
            var frame = Frame("run", ("id", request.id))
            frame.add(arguments: request.arguments, environment: request.environment)
            if let timeout = request.timeoutMilliseconds { frame.add("timeout", timeout) }
            if let limit = request.outputLimit { frame.add("limit", limit) }
            return frame
        case .shell(let request):
            var frame = Frame("shell", ("id", request.id))
            frame.add(arguments: request.arguments, environment: request.environment)
            if let size = request.size { frame.add(size) }
            return frame
        case .resize(let size):
            var frame = Frame("resize")
            frame.add(size)
            return frame
        case .kill(let id): return Frame("kill", ("id", id))
        case .read(let path): return Frame("read", ("path", path))
        case .write(let path, let text): return Frame("write", ("path", path), ("text", text))
        case .powerOff: return Frame("poweroff")
        case .unknown(let verb): return Frame(verb)
        }
    }

    /// Reads a message from a frame.
    ///
    /// - Throws: ``InvalidFrame``.
    public init(_ frame: Frame) throws(InvalidFrame) {
        switch frame.verb {
        case "welcome": self = .welcome
        case "load":
            self = .loadModules(
                frame.texts("module").map { text in
                    let parts = text.split(separator: " ", maxSplits: 1)
                    return ModuleRequest(
                        parts.first.map(String.init) ?? "", parameters: parts.dropFirst().first.map(String.init) ?? "")
                })
        case "unload": self = .unloadModule(try frame.text("name"))
        case "run":
            self = .run(
                RunRequest(
                    id: try frame.text("id"), try frame.arguments(), environment: frame.environment,
                    timeoutMilliseconds: try frame.optionalNumber("timeout"),
                    outputLimit: try frame.optionalNumber("limit")))
        case "shell":
            self = .shell(
                ShellRequest(
                    id: try frame.text("id"), frame.texts("arg"), environment: frame.environment,
                    size: frame.optionalBytes("rows") == nil ? nil : try frame.size()))
        case "resize": self = .resize(try frame.size())
        case "kill": self = .kill(id: try frame.text("id"))
        case "read": self = .read(path: try frame.text("path"))
        case "write": self = .write(path: try frame.text("path"), text: try frame.text("text"))
        case "poweroff": self = .powerOff
        default: self = .unknown(verb: frame.verb)
        }
    }
}

extension Frame {
    init(_ verb: String, _ fields: (String, String)...) {
        self.init(verb)
        for (key, value) in fields { add(key, value) }
    }

    fileprivate mutating func add(arguments: [String], environment: [String: String]) {
        for argument in arguments { add("arg", argument) }
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) { add("env", "\(name)=\(value)") }
    }

    fileprivate mutating func add(_ size: TerminalSize) {
        add("rows", size.rows)
        add("columns", size.columns)
    }

    fileprivate func size() throws(InvalidFrame) -> TerminalSize {
        TerminalSize(rows: try number("rows"), columns: try number("columns"))
    }

    /// At least the program itself.
    fileprivate func arguments() throws(InvalidFrame) -> [String] {
        let arguments = texts("arg")
        guard arguments.first?.isEmpty == false else { throw InvalidFrame(verb: verb, key: "arg") }
        return arguments
    }

    fileprivate var environment: [String: String] {
        texts("env").reduce(into: [:]) { variables, text in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
        }
    }
}
