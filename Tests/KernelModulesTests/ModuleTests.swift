// SPDX-License-Identifier: Apache-2.0
import Foundation
import KernelModules
import Testing

@Suite final class ModuleTests {
    private let folder = NSTemporaryDirectory() + "/hmmlab-modules-\(UUID().uuidString)"

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

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
}
