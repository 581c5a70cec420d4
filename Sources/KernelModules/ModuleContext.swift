// SPDX-License-Identifier: Apache-2.0
import CKmod
import Glibc

/// The kernel's modules: those of one folder, and those that are loaded.
///
/// A thin owner of libkmod's context. The host's own configuration (modprobe.d) is not read, so that the outcome
/// depends on the folder alone. libkmod contexts belong to one thread.
public struct ModuleContext: ~Copyable {
    private let context: OpaquePointer

    /// Opens a folder of modules with its depmod(8) index; nil for the running kernel's, `/lib/modules/RELEASE`.
    ///
    /// - Throws: ``ModuleError``.
    public init(folder: String? = nil) throws(ModuleError) {
        var noConfiguration: UnsafePointer<CChar>?
        guard let context = withUnsafePointer(to: &noConfiguration, { kmod_new(folder, $0) }) else {
            throw ModuleError(.prepare, folder ?? "", errno)
        }
        // Failures are returned; libkmod need not print them as well.
        kmod_set_log_priority(context, 0)
        self.context = context
    }

    deinit { kmod_unref(context) }

    /// Loads a module by name or alias, after the modules it depends on.
    ///
    /// - Parameters:
    ///   - name: the module's name or an alias of it.
    ///   - parameters: as on modprobe's command line, such as `a=1 b=2`.
    /// - Throws: ``ModuleError``, with `EEXIST` if it is loaded already, since its parameters would not take effect,
    ///   and with `EINVAL` for a parameter that it does not have.
    public func load(_ name: String, parameters: String = "") throws(ModuleError) {
        var list: OpaquePointer?
        let found = kmod_module_new_from_lookup(context, name, &list)
        guard found >= 0 else { throw ModuleError(.load, name, -found) }
        guard let list else {
            throw ModuleError(
                .load, name, ENOENT, "there is no such module in \(String(cString: kmod_get_dirname(context)))")
        }
        defer { kmod_module_unref_list(list) }
        // An alias can stand for several modules; all of them are meant, as with modprobe.
        var entry: OpaquePointer? = list
        while let current = entry {
            guard let module = kmod_module_get_module(current) else { throw ModuleError(.load, name, ENOENT) }
            defer { kmod_module_unref(module) }
            try insert(module, as: name, parameters)
            entry = kmod_list_next(list, current)
        }
    }

    private func insert(_ module: OpaquePointer, as name: String, _ parameters: String) throws(ModuleError) {
        if kmod_module_get_initstate(module) == Int32(KMOD_MODULE_BUILTIN.rawValue) {
            if parameters.isEmpty { return }
            throw ModuleError(
                .load, name, EEXIST,
                "it is built into the kernel, and takes parameters on the kernel's command line only")
        }
        if !parameters.isEmpty { try check(parameters, of: module, name) }
        let status = kmod_module_probe_insert_module(
            module, KMOD_PROBE_FAIL_ON_LOADED.rawValue, parameters.isEmpty ? nil : parameters, nil, nil, nil)
        // Positive values are for blacklists, of which there are none.
        guard status >= 0 else { throw ModuleError(.load, name, -status) }
    }

    /// Unloads a module; what it depends on stays.
    ///
    /// - Throws: ``ModuleError``, with `EAGAIN` while something uses the module.
    public func unload(_ name: String) throws(ModuleError) {
        var module: OpaquePointer?
        let found = kmod_module_new_from_name(context, name, &module)
        guard found >= 0, let module else { throw ModuleError(.unload, name, found < 0 ? -found : ENOENT) }
        defer { kmod_module_unref(module) }
        let status = kmod_module_remove_module(module, UInt32(KMOD_REMOVE_NOLOG.rawValue))
        guard status >= 0 else {
            throw ModuleError(.unload, name, -status, -status == EAGAIN ? users(of: module) : nil)
        }
    }

    /// Who keeps a module from being unloaded.
    private func users(of module: OpaquePointer) -> String? {
        let list = kmod_module_get_holders(module)
        defer { kmod_module_unref_list(list) }
        var names: [String] = []
        var entry = list
        while let current = entry {
            if let holder = kmod_module_get_module(current) {
                names.append(String(cString: kmod_module_get_name(holder)))
                kmod_module_unref(holder)
            }
            entry = kmod_list_next(list, current)
        }
        if !names.isEmpty { return "it is in use by \(names.joined(separator: ", "))" }
        let references = kmod_module_get_refcnt(module)
        return references > 0 ? "it is in use, \(references) times (an open device or a mapping)" : nil
    }

    /// Whether a module is loaded or built into the kernel.
    public func isLoaded(_ name: String) -> Bool {
        var module: OpaquePointer?
        guard kmod_module_new_from_name(context, name, &module) >= 0, let module else { return false }
        defer { kmod_module_unref(module) }
        return [KMOD_MODULE_LIVE, KMOD_MODULE_BUILTIN].contains {
            kmod_module_get_initstate(module) == Int32($0.rawValue)
        }
    }

    /// Refuses a parameter that the module does not have: the kernel would only log that it is ignored.
    private func check(_ parameters: String, of module: OpaquePointer, _ name: String) throws(ModuleError) {
        // The kernel takes hyphens for underscores (kernel/params.c), and two parameters for every module.
        func normal(_ text: some StringProtocol) -> String { String(text.map { $0 == "-" ? "_" : $0 }) }
        let known = ModuleInfo.parameters(in: try entries(of: module, name)).map(\.name)
        let accepted = Set(known.map { normal($0) } + ["dyndbg", "async_probe"])
        for parameter in parameters.split(separator: " ") {
            let asked = parameter.prefix { $0 != "=" }
            if accepted.contains(normal(asked)) { continue }
            let list = known.isEmpty ? "it has none" : "it has \(known.joined(separator: ", "))"
            throw ModuleError(.load, name, EINVAL, "it has no parameter \(asked); \(list)")
        }
    }

    /// Everything in the `.modinfo` section of a module's file, in its order.
    func entries(path: String) throws(ModuleError) -> [(key: String, value: String)] {
        var module: OpaquePointer?
        let found = kmod_module_new_from_path(context, path, &module)
        guard found >= 0, let module else { throw ModuleError(.inspect, path, found < 0 ? -found : ENOENT) }
        defer { kmod_module_unref(module) }
        return try entries(of: module, path)
    }

    private func entries(of module: OpaquePointer, _ name: String) throws(ModuleError) -> [(key: String, value: String)]
    {
        var list: OpaquePointer?
        let status = kmod_module_get_info(module, &list)
        guard status >= 0 else { throw ModuleError(.inspect, name, -status) }
        defer { kmod_module_info_free_list(list) }
        var entries: [(key: String, value: String)] = []
        var entry = list
        while let current = entry {
            if let key = kmod_module_info_get_key(current), let value = kmod_module_info_get_value(current) {
                entries.append((String(cString: key), String(cString: value)))
            }
            entry = kmod_list_next(list, current)
        }
        return entries
    }
}
