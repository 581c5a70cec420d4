// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Every allocation of the two modules' start fails in turn.
let devmemLoadTests: [GuestTest] = [
    GuestTest(
        "devmem/fail-nth-load", "Whichever allocation of the modules' start fails, they can be loaded afterwards",
        needs: [.private, .coherent, .ours, .failingAllocations], timeoutMilliseconds: 900_000
    ) {
        try letKernelWarn()
        let parameters = try driverParameters().joined(separator: " ")
        try Shell.run("rmmod hmm_dmirror && rmmod hmm_devmem")
        let failures = try FailingAllocations()
        for (name, parameters) in [("hmm_devmem", ""), ("hmm_dmirror", parameters)] {
            let module = try KernelModule(name)
            // EBUSY: the kernel has no memory for the entry in /proc/iomem, which it tells as if the place was taken.
            try eachAllocation(name, allocates: true, documented: [.noMemory, .busy]) { nth in
                let answer = try failures.during(nth) { module.load(parameters) }
                if answer.result == nil {
                    expectNone(module.unload().map { "\($0)" }, "what was loaded can be unloaded")
                } else {
                    expect(
                        try !TextFile.read("/proc/modules").contains("\(name) "), "what was refused is not there")
                }
                expect(
                    try !PhysicalMemory.current().regions.contains { $0.name.contains("dmirror") },
                    "no memory is left behind", "allocation \(nth)")
                return answer
            }
            expectNone(module.load(parameters).map { "\($0)" }, "the module is loaded")
        }
        let one = try MirrorDevice(unit: 0)
        let two = try MirrorDevice(unit: 2)
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try one.take(buffer.range, seed: 1)
        try two.expectReads(buffer.range, seed: 1, "the devices work")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
]

/// What the driver was loaded with, so that the tests that follow find it as it was.
func driverParameters() throws -> [String] {
    try ["spm_addr_dev0", "spm_addr_dev1"].map { name in
        let value = try TextFile.read("/sys/module/hmm_dmirror/parameters/\(name)")
        return "\(name)=\(value.prefix { $0.isNumber })"
    }
}
