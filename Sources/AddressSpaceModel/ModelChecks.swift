// SPDX-License-Identifier: Apache-2.0

extension Model {
    /// Compares a process's page table with the model, and learns from it what the model leaves open.
    mutating func look(at window: [Seen], of process: Int) throws(Divergence) {
        if window.count != size { throw Divergence("\(window.count) pages are looked at instead of \(size)") }
        for (page, seen) in window.enumerated() {
            let entry = processes[process][page]
            processes[process][page].maySeizureEnd = false
            guard let index = entry.frame else {
                let isAllowed = seen.kind == .nothing || entry.area != nil && seen.kind == .system
                if !isAllowed {
                    throw Divergence("nobody has touched page \(page), but its entry has \(seen)")
                }
                continue
            }
            try look(at: seen, process, page, entry, index)
        }
    }

    private mutating func look(
        at seen: Seen, _ process: Int, _ page: Int, _ entry: Entry, _ index: Int
    ) throws(Divergence) {
        var frame = frames[index]
        switch seen.kind {
        case .nothing where frame.isFile: return
        case .system where frame.device == nil && !entry.isSeized: break
        case .system where frame.device == nil && entry.maySeizureEnd: processes[process][page].isSeized = false
        case .system where frame.mayLeave:
            frame.device = nil
            frame.number = nil
        case .seized where entry.isSeized: break
        case .device where frame.device != nil: break
        default:
            let place = frame.device.map { "the memory of device \($0)" } ?? "system memory"
            throw Divergence(
                "page \(page) belongs in \(place)\(entry.isSeized ? ", out of the CPU's reach" : ""); its entry has \(seen)"
            )
        }
        if let device = frame.device {
            if let owner = pieces[seen.piece], owner != device {
                throw Divergence(
                    "page \(page) belongs to device \(device); its entry has \(seen), which is device \(owner)'s")
            }
            pieces[seen.piece] = device
        }
        if let number = frame.number, number != seen.frame {
            throw Divergence(
                "page \(page) was in frame 0x\(String(number, radix: 16)); nothing has moved it, and its entry has \(seen)"
            )
        }
        frame.number = seen.frame
        frame.mayLeave = false
        frames[index] = frame
    }

    /// Compares what a device sees of the page table with the model.
    func snapshot(_ step: Step, _ process: Int, _ report: Report) throws(Divergence) {
        try expect(report, .done)
        if report.answers.count != step.pages.count {
            throw Divergence("the device sees \(report.answers.count) pages instead of \(step.pages.count)")
        }
        for (page, byte) in zip(step.pages, report.answers) {
            if let wrong = complaint(Sight(rawValue: byte), Int(step.device), processes[process][page]) {
                throw Divergence("of page \(page) the device sees 0x\(String(byte, radix: 16)): \(wrong)")
            }
        }
    }

    private func complaint(_ sight: Sight, _ device: Int, _ entry: Entry) -> String? {
        guard let area = entry.area, area.access != .none else {
            return sight == .error || sight == .none ? nil : "nothing can be read there"
        }
        if sight == .error { return "there is a mapping that can be read" }
        if sight == .none {
            // An entry of a file's page may be missing at any time.
            guard let frame = entry.frame.map({ frames[$0] }), !frame.isFile, !entry.isSeized else { return nil }
            if let holder = frame.device, isPrivate(holder), holder != device { return nil }
            return "there is a page that it can use"
        }
        if entry.isSeized { return "the CPU has no access to it" }
        if sight.isWritable {
            if area.access != .write { return "the mapping may not be written" }
            let isOthers = entry.frame.map { frames[$0].isFile || frames[$0].users > 1 } ?? false
            if isOthers, area.backing != .shared { return "others use what would be written" }
        }
        let expected: Sight.Place =
            if let frame = entry.frame, let holder = frames[frame].device {
                switch (isPrivate(holder), holder == device) {
                case (true, true): .privateLocal
                case (true, false): .privateRemote
                case (false, true): .coherentLocal
                case (false, false): .coherentRemote
                }
            } else {
                .system
            }
        let mayBeZero = entry.frame == nil && area.backing == .anonymous
        if sight.place == expected.rawValue || mayBeZero && sight.place == Sight.Place.zero.rawValue { return nil }
        return "the page is in \(expected)"
    }
}

/// What SNAPSHOT says of a page (kernel-patches/abi/include/hmm_dmirror_uapi.h): how it is mapped in bits 0 to 3, where it is above.
struct Sight: RawRepresentable, Equatable {
    enum Place: UInt8 {
        case system = 0x00
        case zero = 0x10
        case privateLocal = 0x20
        case privateRemote = 0x30
        case coherentLocal = 0x40
        case coherentRemote = 0x50
    }

    let rawValue: UInt8

    static let none = Sight(rawValue: 0)
    static let error = Sight(rawValue: 0xff)
    var isWritable: Bool { rawValue & 2 != 0 }
    var place: UInt8 { rawValue & 0xf0 }
}
