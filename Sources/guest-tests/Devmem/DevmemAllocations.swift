// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Every allocation of every command fails in turn: what was begun is undone, and the device goes on working.
let devmemAllocationTests: [GuestTest] =
    AllocatingCommand.all.flatMap { command in
        onOwnDevice(
            "devmem/fail-nth-\(command.name)", "Whichever allocation of \(command.name) fails, nothing is left behind",
            needs: [.failingAllocations], timeoutMilliseconds: 300_000
        ) { memory, mirror in
            if command.number == 0x2f { try letKernelWarn() }
            let buffer = try MappedBuffer.filled(pages: command.pages, seed: 1)
            try buffer.advise(.noHugePage)
            let scratch = try MappedBuffer.anonymous(pages: 64)
            let stage = AllocatingCommand.Stage(
                memory: memory, range: buffer.range, scratch: scratch.range.pages(from: 1, count: 63))
            try eachAllocation(of: command, within: stage, scratch.range.page(0), mirror)
            try mirror.makeWhole()
            try mirror.release()
            try mirror.expectHeld(0, "every page that was handed out has been given back")
            buffer.range.fill(seed: 2)
            try mirror.take(buffer.range, seed: 2)
            try buffer.range.expectPlace(memory.place, "the device works as before")
            buffer.range.expectHolds(seed: 2, "the contents are right")
        }
    }
    + onOwnDevice(
        "devmem/fail-nth-open", "Whichever allocation of open fails, nothing is left behind", on: [.private],
        needs: [.failingAllocations], timeoutMilliseconds: 120_000
    ) { _, mirror in
        let failures = try FailingAllocations()
        try eachAllocation("open", allocates: true, documented: [.noMemory]) { nth in
            let (opened, hasFailed) = try failures.during(nth) { () -> (Int32, Errno) in
                (open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC), .current)
            }
            if opened.0 >= 0 { close(opened.0) }
            return (opened.0 >= 0 ? nil : opened.1, hasFailed)
        }
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let other = try MirrorDevice(unit: 0)
        try other.take(buffer.range, seed: 1)
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }

/// A command with what it needs, so that it does its work each time.
struct AllocatingCommand: Sendable {
    /// Where a command works.
    struct Stage {
        let memory: DeviceMemory
        /// Small pages.
        let range: PageRange
        /// Room for answers.
        let scratch: PageRange
    }

    let name: String
    let number: UInt8
    /// Whether the driver allocates anything for it.
    var allocates = true
    /// The pages of the range; fewer where each attempt takes long.
    var pages = 12
    /// Brings the range to where the command has something to do.
    var prepare: @Sendable (Stage, borrowing MirrorDevice) throws -> Void = { _, _ in }
    /// The argument in 64-bit words, the first of which says the size of those from 0x20 on; `device` is the descriptor
    /// that the request is made on.
    let argument: @Sendable (Stage, _ device: borrowing MirrorDevice) throws -> [UInt64]
    /// Undoes what a success left behind.
    var undo: @Sendable (Stage, borrowing MirrorDevice) throws -> Void = { _, _ in }
}

/// Repeats a command with its first allocation failing, with the second one, and so on.
private func eachAllocation(
    of command: AllocatingCommand, within stage: AllocatingCommand.Stage, _ place: PageRange,
    _ mirror: borrowing MirrorDevice
) throws {
    let failures = try FailingAllocations()
    let target = try requireValue(place.pointer, "there is room for the argument")
    let documented =
        command.number == 0x09 && KernelVersion.running < KernelVersion(7, 3)
        ? [.invalidArgument] : DocumentedErrors.of(command.number)
    try eachAllocation(command.name, allocates: command.allocates, documented: documented) { nth in
        try command.prepare(stage, mirror)
        // New each time: what a descriptor has allocated once it keeps.
        let device = try stage.memory.open()
        var words = try command.argument(stage, device)
        if command.number >= 0x20 { words[0] = words[0] & ~0xffff_ffff | UInt64(words.count * 8) }
        target.initializeMemory(as: UInt64.self, from: words, count: words.count)
        let request = MirrorDevice.request(number: command.number, bytes: words.count * 8)
        let answer = try failures.during(nth) { device.raw(request: request, argument: UInt(place.address)) }
        try command.undo(stage, mirror)
        return answer
    }
}

/// Repeats a step with its first allocation failing, with the second one, and so on, until none does.
func eachAllocation(
    _ name: String, allocates: Bool, documented: Set<Errno>, _ step: (_ nth: Int) throws -> (Errno?, hasFailed: Bool)
) throws {
    var answers: [Errno?: Int] = [:]
    let leaks = allocates ? try LeakDetector() : nil
    for nth in 1...10_000 {
        let (answer, hasFailed) = try step(nth)
        if let answer, !documented.contains(answer) {
            expect(false, "\(name) gets documented errors only", "allocation \(nth): \(answer)")
        }
        guard hasFailed else {
            let words = answers.map { "\($0.key?.description ?? "done"): \($0.value)" }.sorted()
            Console.line("\(name): \(nth - 1) allocations failed in turn: \(words.joined(separator: ", "))")
            expectEqual(nth > 1, allocates, "as many allocations fail as there are")
            try leaks?.expectNone()
            return
        }
        answers[answer, default: 0] += 1
    }
    expect(false, "there is an end of allocations")
}

/// kmemleak, where the guest was booted with `kmemleak=on`.
struct LeakDetector: ~Copyable {
    private static let path = "/sys/kernel/debug/kmemleak"
    private let isOn: Bool

    /// Forgets what was found before.
    init() throws {
        // Refused while it is off (mm/kmemleak.c).
        isOn = (try? TextFile.write("scan=off", to: Self.path)) != nil
        if isOn {
            try TextFile.write("clear", to: Self.path)
        } else {
            Console.line("kmemleak is off: --append kmemleak=on looks for leaks as well")
        }
    }

    /// Nothing has been lost since then.
    func expectNone() throws {
        guard isOn else { return }
        // It keeps quiet about what is younger than five seconds, and about what it has seen once only.
        sleep(6)
        for _ in 0..<2 { try TextFile.write("scan", to: Self.path) }
        let found = try TextFile.read(Self.path)
        GuestTestKit.expectNone(found.isEmpty ? nil : found, "kmemleak finds nothing")
    }
}

/// Has the kernel give the one warning that it gives for an allocation that fails, where no test is ended by it.
///
/// `add_pages()` (arch/x86/mm/init_64.c) warns once in a boot when it has no memory, which is no defect of a driver. It
/// is not shown on the console, but looked for in the log, and nothing else may be there.
func letKernelWarn() throws {
    let failures = try FailingAllocations()
    let device = try MirrorDevice(unit: 0)
    let argument = try MappedBuffer.anonymous(pages: 1)
    let pointer = try requireValue(argument.range.pointer, "there is room for the argument")
    let log = try KernelMessages()
    let quiet = try KernelSetting("/proc/sys/kernel/printk", 4)
    var hasFailed = true
    var nth = 0
    while hasFailed {
        nth += 1
        pointer.initializeMemory(as: UInt64.self, from: [40, 512, 0, 0, 0], count: 5)
        let answer: Errno?
        (answer, hasFailed) = try failures.during(nth) {
            device.raw(request: MirrorDevice.request(number: 0x2f, bytes: 40), argument: UInt(argument.range.address))
        }
        if answer == nil {
            let chunk = DeviceChunk(firstFrame: pointer.load(fromByteOffset: 16, as: UInt64.self), pages: 512)
            expectEqual(try device.removeChunk(chunk), .removed, "the piece goes")
        }
    }
    quiet.restore()
    let messages = try log.next()
    let warnings = messages.filter { $0.contains("WARNING:") }
    for warning in warnings { Console.line("the base's own, once in a boot: \(warning)") }
    expect(
        messages.count { $0.contains("cut here") } == warnings.count { $0.contains("add_pages") },
        "the kernel warns of nothing else", messages.joined(separator: " | "))
    for word in ["BUG", "INFO:", "possible", "suspicious"] {
        GuestTestKit.expectNone(messages.first { $0.contains(word) }, "nor does it report anything else")
    }
}
