// SPDX-License-Identifier: Apache-2.0
import Foundation
import KernelModules
import Testing

@Suite final class ModuleTests {
    private let base = NSTemporaryDirectory() + "/hmmlab-modules-\(UUID().uuidString)"
    private let release = "6.12.117"
    private var folder: String { "\(base)/lib/modules/\(release)" }

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: base) }

    @Test func readsWhatAModuleSays() throws {
        try ModuleFile.write(
            [
                "license=GPL", "parm=size:How much", "parmtype=size:ulong", "parm=name:Which: one",
                "parmtype=quiet:bool",
                "depends=a,b_c", "name=demo", "vermagic=6.12.117 SMP mod_unload ",
            ], to: folder + "/demo.ko")
        let info = try ModuleInfo(path: folder + "/demo.ko")
        #expect(info.name == "demo")
        #expect(info.vermagic == "6.12.117 SMP mod_unload")
        #expect(info.kernelRelease == "6.12.117")
        #expect(info.dependencies == ["a", "b_c"])
        #expect(info.parameters.map(\.name) == ["name", "quiet", "size"])
        #expect(info.parameters.map(\.type) == [nil, "bool", "ulong"])
        #expect(info.parameters.map(\.description) == ["Which: one", nil, "How much"])
    }

    @Test func moduleWithoutDependenciesOrVermagic() throws {
        try ModuleFile.write(["depends=", "name=demo"], to: folder + "/demo.ko")
        let info = try ModuleInfo(path: folder + "/demo.ko")
        #expect(info.dependencies.isEmpty)
        #expect(info.vermagic.isEmpty)
        #expect(info.kernelRelease.isEmpty)
        #expect(info.parameters.isEmpty)
    }

    @Test func missingFile() {
        let error = #expect(throws: ModuleError.self) { try ModuleInfo(path: folder + "/none.ko") }
        #expect(error?.operation == .inspect)
        #expect(error?.code == ENOENT)
        #expect(error?.description.contains("none.ko cannot be read: No such file or directory") == true)
    }

    @Test(arguments: ["", "not a module", "\u{7f}ELF"]) func otherFile(_ content: String) throws {
        let path = folder + "/other.ko"
        try content.write(toFile: path, atomically: true, encoding: .utf8)
        let error = #expect(throws: ModuleError.self) { try ModuleInfo(path: path) }
        #expect(error?.operation == .inspect)
        #expect(error?.module == path)
    }

    @Test func moduleWithoutName() throws {
        try ModuleFile.write(["license=GPL"], to: folder + "/nameless.ko")
        let error = #expect(throws: ModuleError.self) { try ModuleInfo(path: folder + "/nameless.ko") }
        #expect(error?.code == ENOEXEC)
    }

    @Test func loadingFromAFolderWithoutIndexSaysWhereItLooked() throws {
        let error = #expect(throws: ModuleError.self) {
            try ModuleContext(folder: folder).load("hmmlab_no_such_module", parameters: "a=1")
        }
        #expect(error?.code == ENOENT)
        #expect(error?.description.contains(folder) == true)
    }

    @Test func unloadingWhatIsNotLoaded() throws {
        let error = #expect(throws: ModuleError.self) {
            try ModuleContext(folder: folder).unload("hmmlab_no_such_module")
        }
        #expect(error?.operation == .unload)
        #expect(error?.description.hasPrefix("The module hmmlab_no_such_module cannot be unloaded: ") == true)
        #expect(try ModuleContext(folder: folder).isLoaded("hmmlab_no_such_module") == false)
    }

    /// The kernel itself is never asked: it would ignore the parameter and load the module.
    @Test(arguments: [
        (["parmtype=size:ulong", "parm=old_name:text"], "sise=1", "it has no parameter sise; it has old_name, size"),
        (["parmtype=size:ulong"], "size=1 quiet", "it has no parameter quiet; it has size"),
        ([], "size=1", "it has no parameter size; it has none"),
    ]) func unknownParameterIsRefused(_ entries: [String], _ parameters: String, _ reason: String) throws {
        try ModuleFile.write(["name=hmmlab_demo"] + entries, to: folder + "/hmmlab_demo.ko")
        try index()
        let error = #expect(throws: ModuleError.self) {
            try ModuleContext(folder: folder).load("hmmlab_demo", parameters: parameters)
        }
        #expect(error?.code == EINVAL)
        #expect(error?.description == "The module hmmlab_demo cannot be loaded: \(reason)")
    }

    @Test(arguments: ["size=1", "with-hyphen=2 size=3", "dyndbg=+p"]) func knownParameterReachesTheKernel(
        _ parameters: String
    ) throws {
        try ModuleFile.write(
            ["name=hmmlab_demo", "parmtype=size:ulong", "parmtype=with_hyphen:int"], to: folder + "/hmmlab_demo.ko")
        try index()
        let error = #expect(throws: ModuleError.self) {
            try ModuleContext(folder: folder).load("hmmlab_demo", parameters: parameters)
        }
        // No kernel takes the file, which has no code in it; what it says about that depends on the machine.
        #expect(error?.description.contains("no parameter") == false)
    }

    /// Makes the index that libkmod finds modules in.
    private func index() throws {
        let depmod = Process()
        depmod.executableURL = URL(fileURLWithPath: "/bin/sh")
        depmod.arguments = ["-c", "PATH=$PATH:/usr/sbin:/sbin exec depmod -b \"$0\" \(release) 2>/dev/null", base]
        try depmod.run()
        depmod.waitUntilExit()
        try #require(depmod.terminationStatus == 0)
    }
}
