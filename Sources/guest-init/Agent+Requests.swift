// SPDX-License-Identifier: Apache-2.0
import Glibc
import GuestProtocol
import KernelModules

extension Agent {
    /// Does one thing that the host asked for.
    func obey(_ message: HostMessage) {
        switch message {
        case .welcome: break
        case .loadModules(let modules): load(modules)
        case .unloadModule(let name): unload(name)
        case .run(let request): startRun(request)
        case .shell(let request): startShell(request)
        case .resize(let size): activity?.terminal?.resize(size)
        case .kill(let id): if activity?.id == id { activity?.kill(.signalled(SIGKILL)) }
        case .read(let path): sendFile(path)
        case .write(let path, let text): writeFile(path, text)
        case .powerOff: powerOff(because: nil)
        case .unknown(let verb): report("The guest does not know the request \(verb)")
        }
    }

    // MARK: - Modules

    private func load(_ modules: [ModuleRequest]) {
        for module in modules {
            change(module.name, .load) { kmod throws(ModuleError) in
                try kmod.load(module.name, parameters: module.parameters)
            }
        }
    }

    private func unload(_ name: String) {
        change(name, .unload) { kmod throws(ModuleError) in try kmod.unload(name) }
    }

    /// Changes a module between two lines in the log, so that a crash in its code can be told from a test's.
    private func change(
        _ name: String, _ change: ModuleChange, _ work: (borrowing ModuleContext) throws(ModuleError) -> Void
    ) {
        System.log("begin \(change.rawValue):\(name)")
        var failure: String?
        do throws(ModuleError) {
            try work(ModuleContext())
        } catch {
            failure = error.description
        }
        System.log("end \(change.rawValue):\(name)")
        send(.module(name, change, error: failure))
    }

    // MARK: - Programs

    private func startRun(_ request: RunRequest) {
        start(request.id) { () throws(SystemError) in
            balance = Balance.now()
            return try Activity(request)
        }
    }

    func startShell(_ request: ShellRequest, device: String? = nil) {
        start(request.id) { () throws(SystemError) in
            balance = nil
            return try Activity(request, device: device)
        }
    }

    private func start(_ id: String, _ make: () throws(SystemError) -> Activity) {
        if let activity { return report("\(id) was not started, since \(activity.id) is running") }
        if isStuck {
            report("\(id) was not started, since a task hangs in the kernel")
            return send(.ended(id: id, .unkillable, milliseconds: 0))
        }
        System.log("begin \(id)")
        do throws(SystemError) {
            let activity = try make()
            self.activity = activity
            send(.started(id: id))
        } catch {
            // As a shell does it: 127 for a program that is not there, 126 for one that cannot be run.
            System.log("end \(id)")
            send(.started(id: id))
            send(.output(id: id, .standardError, Array("hmmlab: \(error)\n".utf8.prefix(Vocabulary.chunkSize))))
            send(.ended(id: id, .exited(error.code == ENOENT ? 127 : 126), milliseconds: 0))
        }
    }

    // MARK: - Files

    private func sendFile(_ path: String) {
        do throws(SystemError) {
            let (bytes, isCutOff) = try System.read(path, limit: Vocabulary.fileLimit)
            if isCutOff { report("\(path) is cut off after \(Vocabulary.fileLimit) bytes") }
            var rest = bytes[...]
            repeat {
                let piece = rest.prefix(Vocabulary.chunkSize)
                rest = rest.dropFirst(piece.count)
                send(.file(path: path, Array(piece), isLast: rest.isEmpty))
            } while !rest.isEmpty
        } catch {
            send(.fileFailed(path: path, error: error.description))
        }
    }

    private func writeFile(_ path: String, _ text: String) {
        do throws(SystemError) {
            try System.write(text, to: path)
            send(.written(path: path))
        } catch {
            send(.fileFailed(path: path, error: error.description))
        }
    }
}
