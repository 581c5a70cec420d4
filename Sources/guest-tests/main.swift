// SPDX-License-Identifier: Apache-2.0
import Glibc
import GuestTestKit

let tests =
    mirrorAccessTests + mirrorDiskTests + mirrorHugeTests + mirrorProtectionTests + mirrorSnapshotTests
    + mirrorPageStateTests + mirrorInvalidationTests + mirrorProcessTests + mirrorArgumentTests
    + migrateRoundTripTests + migrateEmptyTests + migrateProtectionTests + migrateRefusedTests + migrateDevicesTests
    + migrateProcessTests + migrateExclusiveTests + migratePinTests + migrateReleaseTests + migrateMappingTests
    + migrateHugeTests + migrateReclaimTests + migrateThreadTests + migrateHugePartTests + migrateFlagTests
    + devmemChunkTests + devmemEvictionTests + devmemFailureTests + devmemContentsTests + devmemPinTests
    + devmemAtomicTests + devmemArgumentTests + devmemWaitingTests + devmemAllocationTests + devmem32BitTests
    + faultKindTests + faultErrorTests + faultUnplugTests + devmemContentionTests
    + contentsLostTests + contentsLostHugeTests + contentsLostUnplugTests + poisonTests
    + fileRenewTests + fileAccessTests + fileLifetimeTests + fileHoldTests + fileRefusedTests + fileLargeTests
    + fileSystemTests + fileStormTests + fileForeignTests + fileAccountTests + fileLostTests
    + onDemandAccessTests + onDemandRegionTests + onDemandArgumentTests + onDemandQueueTests + onDemandErrorTests
    + onDemandLedgerTests + onDemandOracleTests + onDemandOutOfMemoryTests + robustnessTests
    + modelTests + modelThreadTests + daxMappingTests + daxChangeTests + daxPinTests + daxDeviceTests + daxMirrorTests
    + daxStormTests + daxPoisonTests
    // Last, because a driver that cannot be loaded again fails everything behind it.
    + devmemModuleTests + contentsLostModuleTests + poisonModuleTests + fileModuleTests + fileLostModuleTests
    + devmemLoadTests
    + devmemExclusiveTests
let registry: TestRegistry
do {
    registry = try TestRegistry(tests)
} catch {
    Console.line("guest-tests: the list of tests is wrong: \(error)")
    exit(TestExit.usage.rawValue)
}

let arguments = Array(CommandLine.arguments.dropFirst())
switch (arguments.first, arguments.dropFirst().first) {
case ("list", nil):
    for line in registry.lines { Console.line(line) }
case ("run", let id?) where arguments.count == 2:
    guard let test = registry.test(id) else {
        Console.line("guest-tests: there is no test \(id); `guest-tests list` names them all")
        exit(TestExit.usage.rawValue)
    }
    exit(test.run().rawValue)
case ("helper", let name?):
    guard let helper = Helper(rawValue: name) else { exit(TestExit.usage.rawValue) }
    let part = GuestTest("helper/\(name)", "Part of a test", needs: []) {
        try helper.run(arguments: Array(arguments.dropFirst(2)))
    }
    exit(part.run().rawValue)
case ("measure", nil):
    let figures = GuestTest("measure/driver", "Figures of the driver", needs: [.private]) { try Measure.run() }
    exit(figures.run().rawValue)
case ("measure", "kernel"):
    exit(GuestTest("measure/kernel", "Figures of the kernel", needs: []) { try Measure.kernel() }.run().rawValue)
case ("measure", "files"):
    let figures = GuestTest("measure/files", "Page cache beside anonymous memory", needs: [.ours, .filesOnDevice]) {
        try Measure.files()
    }
    exit(figures.run().rawValue)
case ("measure", "unload"):
    let figures = GuestTest("measure/unload", "How long the driver takes to leave", needs: [.ours, .contentsLost]) {
        try Measure.unload()
    }
    exit(figures.run().rawValue)
default:
    Console.line("usage: guest-tests list | guest-tests run SUITE/NAME | guest-tests measure [kernel | files | unload]")
    exit(TestExit.usage.rawValue)
}
