// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// Two devices that stay open.
struct ControlDevices: ~Copyable, Sendable {
    /// One with private memory.
    let privateDevice: MirrorDevice
    /// One with coherent memory.
    let coherentDevice: MirrorDevice

    init() throws(MirrorError) {
        let first = try MirrorDevice(unit: 0)
        let second = try MirrorDevice(unit: 2)
        privateDevice = first
        coherentDevice = second
    }

    /// Ends all failures on request and an unplugged state.
    func makeWhole() throws(MirrorError) {
        try privateDevice.makeWhole()
        try coherentDevice.makeWhole()
    }

    /// Gives all memory of both devices back.
    func release() throws(MirrorError) {
        try privateDevice.release()
        try coherentDevice.release()
    }
}

/// What requests were answered with, and how often; nil is success.
typealias Answers = [Errno?: Int]

/// The devices that requests are made on, each of another address space.
private struct Targets: ~Copyable, Sendable {
    /// Of this process; their open files change.
    let ownPrivate: MirrorDevice
    let ownCoherent: MirrorDevice
    /// Of a process that lives.
    let foreign: MirrorDevice
    /// Of a process that is gone.
    let closed: MirrorDevice

    func answer(to request: RequestMaker.Request, on index: Int) -> Errno? {
        switch index {
        case 0...2: ownPrivate.raw(request: request.code, argument: request.argument)
        case 3...5: ownCoherent.raw(request: request.code, argument: request.argument)
        case 6: foreign.raw(request: request.code, argument: request.argument)
        default: closed.raw(request: request.code, argument: request.argument)
        }
    }

    /// Makes a region of all memory on either device of this process; `place` is for arguments.
    func addRegions(_ place: PageRange) {
        for isPrivate in [true, false] { request(isPrivate, 0x27, [32 | 3 << 32, 0, 0, 0], place) }
    }

    /// Ends a region that was just made if it holds pages.
    ///
    /// With DMA_API_DEBUG the kernel warns when nine regions have the same page mapped for DMA.
    func endPrefetched(_ request: RequestMaker.Request, on target: Int, _ place: PageRange) {
        guard let argument = UnsafeRawPointer(bitPattern: request.argument) else { return }
        let isPrefetched = argument.loadUnaligned(fromByteOffset: 4, as: UInt32.self) & 4 != 0
        let handle = argument.loadUnaligned(fromByteOffset: 28, as: UInt32.self)
        guard isPrefetched else { return }
        let words = [120, UInt64(handle)] + [UInt64](repeating: 0, count: 13)
        place.pointer?.initializeMemory(as: UInt64.self, from: words, count: words.count)
        let end = MirrorDevice.request(number: 0x28, bytes: words.count * 8)
        _ = answer(to: RequestMaker.Request(code: end, argument: UInt(place.address)), on: target)
    }

    /// Gives the engine something to do in the first regions.
    func post(_ arena: PageRange, _ place: PageRange) {
        let work = place.address + 2048
        let words: [UInt64] = [1, 0, arena.address, 5000, 1, arena.address(ofPage: 8)]
        UnsafeMutableRawPointer(bitPattern: UInt(work))?.initializeMemory(
            as: UInt64.self, from: words, count: words.count)
        for isPrivate in [true, false] { request(isPrivate, 0x29, [24, work, 1], place) }
    }

    /// Takes what the engine has done, so that it gets more.
    func takeCompletions(_ scratch: PageRange, _ place: PageRange) {
        for isPrivate in [true, false] { request(isPrivate, 0x2a, [32, scratch.address, 256, 0], place) }
    }

    /// What is refused now is not missed later.
    private func request(_ isPrivate: Bool, _ number: UInt8, _ words: [UInt64], _ place: PageRange) {
        place.pointer?.initializeMemory(as: UInt64.self, from: words, count: words.count)
        let request = MirrorDevice.request(number: number, bytes: words.count * 8)
        _ =
            isPrivate
            ? ownPrivate.raw(request: request, argument: UInt(place.address))
            : ownCoherent.raw(request: request, argument: UInt(place.address))
    }

    /// Holds a page until UNPIN names it or the file is closed.
    func pinOnce(_ page: PageRange, _ place: PageRange) -> Errno? {
        place.pointer?.initializeMemory(as: UInt64.self, repeating: 0, count: 6)
        place.pointer?.initializeMemory(as: UInt64.self, from: [48, page.address, 1], count: 3)
        return ownPrivate.raw(request: MirrorDevice.request(number: 0x2d, bytes: 48), argument: UInt(place.address))
    }
}

/// Makes requests of one command from two threads, while a third one closes descriptors and changes the memory.
///
/// - Returns: the answers.
func requestStorm(
    _ number: UInt8, requests: Int, seed: UInt64, _ controls: borrowing ControlDevices
) throws -> Answers {
    let arena = try MappedBuffer.filled(pages: 96, seed: 1)
    let scratch = try MappedBuffer.anonymous(pages: 64)
    let one = try MappedBuffer.anonymous(pages: 2)
    let two = try MappedBuffer.anonymous(pages: 2)
    let frames = try PhysicalMemory.current().regions.filter { $0.name.contains("dmirror") }.map {
        $0.bytes.lowerBound >> 12
    }
    // Before there is a second thread.
    let neighbour = try deviceOwner(unit: 2)
    let predecessor = try deviceOwner(unit: 0)
    let targets = Targets(
        ownPrivate: try MirrorDevice(unit: 0), ownCoherent: try MirrorDevice(unit: 2),
        foreign: try neighbour.adoptDevice(), closed: try predecessor.adoptDevice())
    try predecessor.channel.signal()
    try predecessor.expectPassed()

    let total = Mutex<Answers>([:])
    let isOver = Mutex(0)
    try Workers.run(3) { worker in
        if worker == 2 {
            var random = RandomSource(seed: seed &+ 2)
            while isOver.withLock({ $0 }) < 2 {
                try disturb(arena, targets, controls, pinning(beside: number), &random)
                usleep(100)
            }
            return
        }
        defer { isOver.withLock { $0 += 1 } }
        let ground = RequestMaker.Ground(
            arena: arena.range, scratch: scratch.range, arguments: worker == 0 ? one.range : two.range, frames: frames)
        var maker = RequestMaker(number: number, ground: ground, seed: seed &+ UInt64(worker))
        var random = RandomSource(seed: seed &+ UInt64(worker) &+ 3)
        var answers: Answers = [:]
        for index in 0..<(requests / 2) {
            let request = maker.next()
            let target = Int(random.next() % 8)
            let answer = targets.answer(to: request, on: target)
            answers[answer, default: 0] += 1
            switch number {
            case 0x27 where answer == nil: targets.endPrefetched(request, on: target, ground.arguments)
            case 0x23 where index % 4 == 3, 0x31 where index % 4 == 3: try controls.makeWhole()
            // Something to be read.
            case 0x25 where index % 16 == 0:
                _ = try? controls.privateDevice.migrate(arena.range.pages(from: 0, count: 32), .toDevice)
            case 0x28 where index % 4 == 3: targets.addRegions(ground.arguments)
            case 0x29 where index % 8 == 7:
                targets.takeCompletions(ground.scratch, ground.arguments)
                targets.addRegions(ground.arguments)
            case 0x2a where index % 4 == 3:
                targets.addRegions(ground.arguments)
                targets.post(arena.range, ground.arguments)
            // A pin that nobody else lets go of.
            case 0x2e where index % 8 == 7: _ = targets.pinOnce(arena.range.page(index % 16), ground.arguments)
            // Memory that was added goes again.
            case 0x2f where index % 64 == 63: try controls.release()
            // A piece at the place of one that has gone.
            case 0x30 where index % 8 == 7:
                _ = try? controls.coherentDevice.migrate(arena.range.pages(from: 0, count: 32), .toDevice)
            default: break
            }
        }
        total.withLock { $0.merge(answers, uniquingKeysWith: +) }
    }
    try neighbour.channel.signal()
    try neighbour.expectPassed()
    return total.withLock { $0 }
}

/// How pages are pinned while requests of a command are made.
///
/// Before 6.15 a pin for long of coherent memory that is just made exclusive loses a reference now and then, and with it
/// a page of the device until the next boot, in which every removal of memory waits for it in vain.
private func pinning(beside number: UInt8) -> PinnedPages.Mode {
    number == 0x05 && KernelVersion.running < KernelVersion(6, 15) ? .write : [.write, .longTerm]
}

/// A child with an open device, which it keeps until it is told to go.
private func deviceOwner(unit: Int) throws -> Child {
    try Child { parent in
        let device = try MirrorDevice(unit: unit)
        try parent.signal(number: device.descriptor)
        try parent.wait()
    }
}

extension Child {
    /// A copy of the descriptor that the child told of.
    fileprivate borrowing func adoptDevice() throws -> MirrorDevice {
        MirrorDevice(adopting: try duplicate(descriptor: try channel.waitForNumber()))
    }
}

/// Changes something that requests rely on.
///
/// Some of it cannot be done at times, which is no failure.
/// Nothing else maps memory as small as the hole meanwhile, so that nothing else comes to lie in it.
private func disturb(
    _ arena: borrowing MappedBuffer, _ targets: borrowing Targets, _ controls: borrowing ControlDevices,
    _ pinning: PinnedPages.Mode, _ random: inout RandomSource
) throws {
    let hole = arena.range.pages(from: 64, count: 16)
    switch random.next() % 10 {
    case 0, 1:
        // Closes the old file and puts a new one in its place in one step.
        let unit = random.once(in: 2) ? 0 : 2
        let fresh = try MirrorDevice(unit: unit)
        let target = unit == 0 ? targets.ownPrivate.descriptor : targets.ownCoherent.descriptor
        try systemCall("dup2") { dup2(fresh.descriptor, target) }
    case 2: try arena.replace(hole)
    case 3: try arena.unmap(hole)
    case 4:
        try arena.protect(arena.range.pages(from: 32, count: 16), .read)
        try arena.protect(arena.range.pages(from: 48, count: 16), .none)
    case 5: try arena.protect(arena.range.pages(from: 32, count: 32), .readWrite)
    case 6: try arena.advise(.dontNeed, arena.range.pages(from: 16, count: 32))
    case 7: _ = FaultProbe.write(1, to: arena.range.page(Int(random.next() % 96)))
    case 8:
        let part = arena.range.pages(from: 0, count: 32)
        _ =
            try? random.once(in: 2)
            ? controls.privateDevice.migrate(part, .toDevice) : controls.coherentDevice.migrate(part, .toDevice)
    default:
        do {
            let pin = try targets.ownPrivate.pin(arena.range.pages(from: 0, count: 4), pinning)
            usleep(UInt32(50 + pin.systemPages))
        } catch {
            guard DocumentedErrors.of(0x2d).contains(error.code) else { throw error }
        }
    }
}
