// SPDX-License-Identifier: Apache-2.0
import AddressSpaceModel
import DeviceMirror
import Glibc
import GuestTestKit

/// The model's window in this process and its child: it does steps, and says how they went.
final class Window {
    /// A descriptor in a dictionary, which cannot hold a value that is not copied.
    private final class OpenDevice {
        let mirror: MirrorDevice
        init(unit: Int) throws(MirrorError) { mirror = try MirrorDevice(unit: unit) }
    }

    private let size: Int
    // Below 2 GiB, where the kernel puts nothing by itself: the window has holes.
    private let buffer: MappedBuffer
    private let file: ScratchFile
    private let image: MappedBuffer
    private let units: [Int]
    private var devices: [Int: OpenDevice] = [:]
    private var table: PageTable
    private var child: Child?

    /// Makes a window of `size` pages with nothing in it.
    init(size: Int, devices units: [Int]) throws {
        self.size = size
        self.units = units
        buffer = try MappedBuffer.low(pages: size)
        file = try ScratchFile(.memory, pages: size)
        image = try MappedBuffer.anonymous(pages: size)
        table = try PageTable()
        try buffer.unmap(buffer.range)
        try openDevices()
    }

    private func openDevices() throws(MirrorError) {
        for unit in units { devices[unit] = try OpenDevice(unit: unit) }
    }

    /// Does a step.
    ///
    /// - Throws: what is no answer to the step, such as a child that is gone.
    func perform(_ step: Step) throws -> Report {
        guard step.process == 0 else { return try askChild(step) }
        var report = Report()
        do {
            try act(step, &report)
        } catch let error as MirrorError {
            report.ending = .refused(error.code.rawValue)
        } catch let error as SystemCallError {
            report.ending = .refused(error.code.rawValue)
        }
        report.window = try table.look(at: buffer.range)
        return report
    }

    private func act(_ step: Step, _ report: inout Report) throws {
        let range = buffer.range.pages(from: Int(step.first), count: Int(step.count))
        switch step.verb {
        case .map: try map(step, range)
        case .unmap: try buffer.unmap(range)
        case .protect:
            try systemCall("mprotect") { mprotect(range.pointer, Int(range.byteCount), step.access.bits) }
        case .move:
            try buffer.move(range, onto: buffer.range.pages(from: Int(step.target), count: range.count))
            try buffer.unmap(range)
        case .discard: try buffer.advise(.dontNeed, range)
        case .read, .write: touch(step, &report)
        case .copy:
            report.done = try range.copyThroughKernel(to: image.range.pointer)
            report.contents = imageContents(report.done)
        case .fork: try fork()
        case .end: try endChild()
        case .take, .giveBack, .deviceRead, .deviceWrite, .seize, .snapshot, .evict:
            guard let device = devices[Int(step.device)] else { return }
            try ask(device.mirror, step, range, &report)
        }
    }

    private func map(_ step: Step, _ range: PageRange) throws(SystemCallError) {
        let isAnonymous = step.backing == .anonymous
        let flags = MAP_FIXED | (step.backing == .shared ? MAP_SHARED : MAP_PRIVATE) | (isAnonymous ? MAP_ANONYMOUS : 0)
        try systemCall("mmap") {
            let address = mmap(
                range.pointer, Int(range.byteCount), step.access.bits, flags, isAnonymous ? -1 : file.descriptor,
                isAnonymous ? 0 : Int(step.target) * PageRange.pageSize)
            return address == range.pointer ? 0 : -1
        }
    }

    private func touch(_ step: Step, _ report: inout Report) {
        for number in step.pages {
            let page = buffer.range.page(number)
            switch step.verb == .read ? FaultProbe.read(page) : FaultProbe.write(0, to: page) {
            case .done: break
            case .unmapped(page): report.ending = .unmapped
            case .forbidden(page): report.ending = .forbidden
            case .segmentationFault, .busError: report.ending = .signal
            }
            guard report.ending == .done, let pointer = page.pointer else { return }
            report.done += 1
            if step.verb == .read {
                report.contents.append(PageWords.content(at: pointer))
            } else {
                PageWords.write(stamp: step.stamp, page: number, at: pointer)
            }
        }
    }

    private func ask(
        _ device: borrowing MirrorDevice, _ step: Step, _ range: PageRange, _ report: inout Report
    ) throws(MirrorError) {
        switch step.verb {
        case .take:
            report.answers = try device.migrate(range, .toDevice).outcomes.map { $0 == .moved ? 1 : 0 }
        case .giveBack:
            report.answers = try device.migrate(range, .toSystem).outcomes.map { $0 == .moved ? 1 : 0 }
        case .deviceRead:
            _ = try device.read(range, into: image.range.pointer)
            report.contents = imageContents(range.count)
        case .seize:
            _ = try device.exclusive(range, readingInto: image.range.pointer)
            report.contents = imageContents(range.count)
        case .deviceWrite:
            for (number, page) in zip(step.pages, 0...) {
                guard let pointer = image.range.page(page).pointer else { continue }
                PageWords.write(stamp: step.stamp, page: number, at: pointer)
            }
            _ = try device.write(range, from: image.range.pointer)
        case .snapshot:
            report.answers = try device.snapshot(range).map(\.rawValue)
        default:
            let eviction = try device.evict(within: 2000)
            if !eviction.isComplete { report.ending = .refused(Errno.busy.rawValue) }
        }
    }

    private func imageContents(_ pages: Int) -> [Content] {
        (0..<pages).map { page in
            image.range.page(page).pointer.map { PageWords.content(at: $0) } ?? .torn
        }
    }

    // MARK: - The second process

    private func fork() throws {
        child = try Child { channel in
            // Descriptors go on mirroring the address space that they were opened in.
            devices = [:]
            try openDevices()
            table = try PageTable()
            var step = Step(.end)
            while try withUnsafeMutableBytes(of: &step, { try channel.receive(into: $0) }), step.verb != .end {
                step.process = 0
                try perform(step).send(to: channel)
            }
        }
    }

    private func askChild(_ step: Step) throws -> Report {
        guard child != nil else { throw Divergence("there is no process 1") }
        try child?.channel.tell(step)
        guard let report = try child?.channel.receiveReport() else { throw Divergence("process 1 is gone") }
        return report
    }

    private func endChild() throws {
        try child?.channel.tell(Step(.end))
        guard let end = try child.take()?.wait() else { return }
        if end != .exited(0) { throw Divergence("process 1 ends with \(end)") }
    }
}

extension Step.Access {
    fileprivate var bits: Int32 {
        switch self {
        case .none: PROT_NONE
        case .read: PROT_READ
        case .write: PROT_READ | PROT_WRITE
        }
    }
}
