// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import Testing

@testable import GuestImage

@Suite struct ModuleCheckTests {
    private let workshop: Workshop

    init() throws { workshop = try Workshop() }

    @Test func modulesOfTheKernelPass() async throws {
        let first = try await workshop.module("first", in: "a")
        let second = try await workshop.module("second", in: "a")
        try ModuleCheck.verify([first, second], kernelRelease: "6.12.117", reference: first)
        try ModuleCheck.verify([second], kernelRelease: "6.12.117")
        try ModuleCheck.verify([], kernelRelease: "6.12.117")
    }

    @Test(arguments: ["6.1.192 SMP mod_unload ", "6.12.117 SMP preempt mod_unload ", "6.12.117+ SMP mod_unload ", ""])
    func moduleOfAnotherKernelIsRefused(_ vermagic: String) async throws {
        let own = try await workshop.module("own", in: "a")
        let stranger = try await workshop.module("stranger", in: "a", vermagic: vermagic)
        let error = #expect(throws: LabError.self) {
            try ModuleCheck.verify([own, stranger], kernelRelease: "6.12.117", reference: own)
        }
        #expect(error?.code == "module-mismatch")
        #expect(error?.exitCode == .buildFailed)
        #expect(error?.sentence.contains("stranger") == true)
        let trimmed = vermagic.split(separator: " ").joined(separator: " ")
        #expect(error?.cause?.contains("`\(trimmed)`") == true)
        #expect(error?.cause?.contains("`6.12.117 SMP mod_unload`") == true)
        #expect(error?.nextStep != nil)
    }

    @Test func wholeFolderOfAnotherKernelIsRefused() async throws {
        let folder = try await workshop.installedModules(["first"])
        let description = ImageDescription(
            initProgram: try workshop.script("init", "exit 0"), modules: .init(kernelRelease: "7.2.13", folder: folder))
        let error = await #expect(throws: LabError.self) {
            try await workshop.build(description, to: workshop.folder + "/image")
        }
        #expect(error?.code == "module-mismatch")
    }

    @Test func fileThatIsNoModule() throws {
        let path = try workshop.write("broken.ko", "half writ")
        let error = #expect(throws: LabError.self) { try ModuleCheck.verify([path], kernelRelease: "6.12.117") }
        #expect(error?.code == "module-unreadable")
    }
}

@Suite struct SharedLibrariesTests {
    private let listing = """
        \tlinux-vdso.so.1 (0x00007ffc)
        \tlibswiftCore.so => /opt/swift/lib/libswiftCore.so (0x00007f01)
        \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f02)
        \t/lib64/ld-linux-x86-64.so.2 (0x00007f03)

        """

    @Test func librariesMoveToTheFolderOfLibcAndTheLoaderStays() throws {
        let found = try SharedLibraries.parse(listing, of: "x").map { "\($0.source) \($0.destination)" }
        #expect(
            found == [
                "/lib64/ld-linux-x86-64.so.2 /lib64/ld-linux-x86-64.so.2",
                "/opt/swift/lib/libswiftCore.so /lib/x86_64-linux-gnu/libswiftCore.so",
                "/lib/x86_64-linux-gnu/libc.so.6 /lib/x86_64-linux-gnu/libc.so.6",
            ])
    }

    @Test func missingLibraryIsNamedWithItsProgram() {
        let error = #expect(throws: LabError.self) {
            try SharedLibraries.parse(listing + "\tlibkmod.so.2 => not found\n", of: "/bin/guest-init")
        }
        #expect(error?.code == "library-missing")
        #expect(error?.sentence.contains("libkmod.so.2") == true)
        #expect(error?.cause?.contains("/bin/guest-init") == true)
    }

    @Test func scriptNeedsNothing() async throws {
        let workshop = try Workshop()
        let script = try workshop.script("script", "exit 0")
        #expect(try await SharedLibraries(runner: workshop.runner).needed(by: script).isEmpty)
    }
}
