// SPDX-License-Identifier: Apache-2.0

/// Error numbers of Linux (include/uapi/asm-generic/errno-base.h), here by number, since the model is independent of the machine it runs on.
enum Code {
    static let notPermitted: Int32 = 1
    static let noMemory: Int32 = 12
    static let badAddress: Int32 = 14
}

extension Model {
    /// Whether the model knows what a step does; a sequence goes on without a step that it does not know.
    public func defines(_ step: Step) -> Bool {
        guard step.process < processes.count, step.pages.upperBound <= size else { return false }
        guard step.verb.hasRange == !step.pages.isEmpty else { return false }
        let entries = step.verb.hasRange ? processes[Int(step.process)][step.pages] : []
        switch step.verb {
        case .fork: return !hasChild && step.process == 0
        case .end: return hasChild && step.process == 0
        case .map: return Int(step.target) + step.pages.count <= size
        case .unmap, .protect, .discard, .read, .write, .copy, .snapshot, .evict, .deviceRead: return true
        case .move:
            let target = Int(step.target)..<Int(step.target) + step.pages.count
            let groups = Set(entries.map { $0.area?.group })
            return target.upperBound <= size && !target.overlaps(step.pages) && groups.count == 1 && groups != [nil]
        case .take, .giveBack: return entries.allSatisfy { $0.area.map { $0.access != .none } ?? false }
        case .deviceWrite:
            let device = Int(step.device)
            return wouldLeaveFrames(step, Int(step.process))
                && (!flaws.contains(.readOnlyPageStays) || !isPrivate(device)
                    || !entries.contains { entry in
                        entry.frame.map { frames[$0].device == device && frames[$0].mayBeReadOnly } ?? false
                    })
        case .seize:
            return entries.allSatisfy { entry in
                entry.area?.backing == .anonymous && entry.area?.access == .write
                    && (entry.frame.flatMap { frames[$0].device }.map(isPrivate) ?? true)
            }
        }
    }

    /// Does a step, and compares how it went with how it should have gone.
    ///
    /// - Parameter step: one that ``defines(_:)`` knows.
    /// - Throws: ``Divergence``; the model is of no use afterwards.
    public mutating func apply(_ step: Step, _ report: Report) throws(Divergence) {
        let process = Int(step.process)
        switch step.verb {
        case .map, .unmap, .protect, .move, .discard: try change(step, process, report)
        case .read, .write, .copy: try access(step, process, report)
        case .take: try take(step, process, report)
        case .giveBack:
            try expect(report, .done)
            for (page, index) in zip(step.pages, 0...) {
                let frame = processes[process][page].frame
                let isThere = frame.map { frames[$0].device == Int(step.device) } ?? false
                try expectAnswer(report, index, page, hasMoved: isThere)
                if let frame, isThere { place(frame, on: nil) }
            }
        case .deviceRead: try deviceRead(step, process, report)
        case .deviceWrite: try deviceWrite(step, process, report)
        case .seize: try seize(step, process, report)
        case .snapshot: try snapshot(step, process, report)
        case .evict:
            try expect(report, .done)
            for frame in frames.indices where frames[frame].device == Int(step.device) { place(frame, on: nil) }
        case .fork:
            try expect(report, .done)
            makeChild()
        case .end:
            try expect(report, .done)
            endChild()
        }
        try look(at: report.window, of: process)
    }

    func expect(_ report: Report, _ ending: Report.Ending...) throws(Divergence) {
        if !ending.contains(report.ending) {
            throw Divergence(
                "it ends with \(report.ending), not with \(ending.map { "\($0)" }.joined(separator: " or "))")
        }
    }

    func expectContents(_ report: Report, _ process: Int, _ pages: Range<Int>) throws(Divergence) {
        if report.contents.count != pages.count {
            throw Divergence("\(report.contents.count) pages are read instead of \(pages.count)")
        }
        for (page, found) in zip(pages, report.contents) where found != content(process, page) {
            throw Divergence("page \(page) holds \(content(process, page)), but \(found) is read")
        }
    }

    // MARK: - Mappings

    private mutating func change(_ step: Step, _ process: Int, _ report: Report) throws(Divergence) {
        let firstHole = step.pages.first { processes[process][$0].area == nil }
        switch step.verb {
        case .map, .unmap:
            try expect(report, .done)
            let group = newGroup()
            for (page, filePage) in zip(step.pages, Int(step.target)...) {
                drop(process, page)
                processes[process][page].area =
                    step.verb == .unmap
                    ? nil
                    : Area(backing: step.backing, access: step.access, filePage: filePage, group: group)
            }
        case .protect:
            try expect(report, firstHole == nil ? .done : .refused(Code.noMemory))
            var groups: [Int: Int] = [:]
            // mprotect(2) goes as far as it gets.
            for page in step.pages.prefix(while: { $0 != firstHole }) {
                guard var area = processes[process][page].area else { continue }
                area.access = step.access
                area.group = groups[area.group] ?? newGroup()
                groups[processes[process][page].area?.group ?? 0] = area.group
                processes[process][page].area = area
                processes[process][page].maySeizureEnd = true
                if let frame = processes[process][page].frame { frames[frame].mayBeReadOnly = true }
            }
        case .move:
            try expect(report, .done)
            let group = newGroup()
            for (page, target) in zip(step.pages, Int(step.target)...) {
                drop(process, target)
                processes[process][target] = processes[process][page]
                processes[process][target].area?.group = group
                processes[process][page] = Entry()
            }
        default:
            // What lies behind a hole is discarded all the same.
            try expect(report, firstHole == nil ? .done : .refused(Code.noMemory))
            for page in step.pages { drop(process, page) }
        }
    }

    // MARK: - The CPU

    private mutating func access(_ step: Step, _ process: Int, _ report: Report) throws(Divergence) {
        let isWrite = step.verb == .write
        let stop = step.pages.first { !allows(process, $0, isWrite ? .write : .read) }
        let reached = step.pages.lowerBound..<(stop ?? step.pages.upperBound)
        let ending: Report.Ending =
            if step.verb == .copy {
                reached.isEmpty ? .refused(Code.badAddress) : .done
            } else if let stop {
                processes[process][stop].area == nil ? .unmapped : .forbidden
            } else {
                .done
            }
        try expect(report, ending)
        if report.done != reached.count {
            throw Divergence("it gets to \(report.done) of the \(reached.count) pages that it should get to")
        }
        if isWrite {
            for page in reached { write(Content(stamp: step.stamp, page: page), process, page) }
        } else {
            for page in reached {
                bringBack(process, page)
                let isOwn = processes[process][page].frame.map { !frames[$0].isFile } ?? false
                // A pin for reading gets the process a page of its own (gup_must_unshare() in mm/gup.c).
                guard step.verb == .copy, isOwn else { continue }
                let shared = processes[process][page].frame
                let own = frameToWrite(process, page)
                frames[own].mayBeHeld = true
                // The copy is mapped as the shared page was (wp_page_copy() in mm/memory.c).
                if own != shared { frames[own].mayBeReadOnly = true }
            }
            try expectContents(report, process, reached)
        }
    }

    private func allows(_ process: Int, _ page: Int, _ access: Step.Access) -> Bool {
        guard let allowed = processes[process][page].area?.access else { return false }
        return allowed.rawValue >= access.rawValue
    }

    /// What a fault of the CPU does: the page is in memory that it reaches, and its own again.
    private mutating func bringBack(_ process: Int, _ page: Int) {
        processes[process][page].isSeized = false
        guard let frame = frameToRead(process, page), let device = frames[frame].device, isPrivate(device) else {
            return
        }
        place(frame, on: nil)
    }

    private mutating func write(_ content: Content, _ process: Int, _ page: Int) {
        bringBack(process, page)
        let frame = frameToWrite(process, page)
        frames[frame].content = content
        frames[frame].mayBeReadOnly = false
        // The kernel may copy a page that nobody else has any more.
        if frames[frame].device != nil { frames[frame].mayLeave = true }
    }

    // MARK: - The device

    private mutating func take(_ step: Step, _ process: Int, _ report: Report) throws(Divergence) {
        try expect(report, .done)
        let device = Int(step.device)
        for (page, index) in zip(step.pages, 0...) {
            let entry = processes[process][page]
            let isOwn = entry.frame.map { !frames[$0].isFile } ?? (entry.area?.backing == .anonymous)
            let isSystem = entry.frame.map { frames[$0].device == nil } ?? true
            let moves = isOwn && isSystem && !entry.isSeized
            let mayStay = entry.frame.map { frames[$0].mayBeHeld } ?? false
            if mayStay, report.answer(index) == .notMoved { continue }
            try expectAnswer(report, index, page, hasMoved: moves)
            guard moves else { continue }
            let frame = entry.frame ?? newFrame()
            if entry.frame == nil { show(frame, process, page) }
            place(frame, on: device)
            // Whether an entry may be written is the mapping's business and, after fork(2), the frame's.
            if frames[frame].users > 1 || entry.area?.access != .write { frames[frame].mayBeReadOnly = true }
        }
    }

    private func expectAnswer(_ report: Report, _ index: Int, _ page: Int, hasMoved: Bool) throws(Divergence) {
        if (report.answer(index) == .moved) != hasMoved {
            let answer = report.answer(index).map { "\($0)" } ?? "nothing"
            throw Divergence("page \(page) \(hasMoved ? "has" : "does not have") to move; the driver says \(answer)")
        }
    }

    private mutating func deviceRead(_ step: Step, _ process: Int, _ report: Report) throws(Divergence) {
        let stop = step.pages.first { !allows(process, $0, .read) }
        try expect(report, stop == nil ? .done : .refused(Code.badAddress))
        for page in step.pages.prefix(while: { $0 != stop }) {
            // A device that has the page in its own page table does not look for it.
            processes[process][page].maySeizureEnd = true
            guard let frame = frameToRead(process, page), let holder = frames[frame].device, isPrivate(holder) else {
                continue
            }
            if holder == Int(step.device) {
                if page > step.pages.lowerBound, flaws.contains(.faultsGoOn) { frames[frame].mayLeave = true }
                continue
            }
            if stop == nil { place(frame, on: nil) } else { frames[frame].mayLeave = true }
        }
        if stop == nil { try expectContents(report, process, step.pages) }
    }

    private mutating func deviceWrite(_ step: Step, _ process: Int, _ report: Report) throws(Divergence) {
        var refusals: [Report.Ending] = []
        for page in step.pages where !allows(process, page, .write) {
            refusals.append(
                .refused(processes[process][page].area?.access == .read ? Code.notPermitted : Code.badAddress))
        }
        guard refusals.isEmpty else {
            if !refusals.contains(report.ending) { try expect(report, refusals[0]) }
            // Nothing is written, but what lies before has been faulted in.
            for page in writablePrefix(step, process) {
                processes[process][page].maySeizureEnd = true
                guard let frame = processes[process][page].frame else { continue }
                frames[frame].mayLeave = true
                if frames[frame].mayBeReadOnly { frames[frame].number = nil }
            }
            return
        }
        try expect(report, .done)
        for page in step.pages {
            processes[process][page].maySeizureEnd = true
            if let frame = processes[process][page].frame, let holder = frames[frame].device, isPrivate(holder),
                holder != Int(step.device) || frames[frame].users > 1
            {
                place(frame, on: nil)
            }
            let frame = frameToWrite(process, page)
            frames[frame].content = Content(stamp: step.stamp, page: page)
            if frames[frame].mayBeReadOnly || page > step.pages.lowerBound && flaws.contains(.faultsGoOn) {
                frames[frame].mayLeave = true
            }
        }
    }

    private func writablePrefix(_ step: Step, _ process: Int) -> Range<Int>.SubSequence {
        step.pages.prefix { allows(process, $0, .write) }
    }

    /// Whether it is known which frames there are after a write of the device, which may be refused with a part faulted in.
    private func wouldLeaveFrames(_ step: Step, _ process: Int) -> Bool {
        let prefix = writablePrefix(step, process)
        return prefix.count == step.pages.count
            || prefix.allSatisfy { page in
                let entry = processes[process][page]
                if entry.area?.backing == .shared { return true }
                return entry.frame.map { !frames[$0].isFile && frames[$0].users == 1 } ?? false
            }
    }

    private mutating func seize(_ step: Step, _ process: Int, _ report: Report) throws(Divergence) {
        try expect(report, .done)
        for page in step.pages {
            bringBack(process, page)
            frames[frameToWrite(process, page)].mayBeHeld = true
            processes[process][page].isSeized = true
        }
        try expectContents(report, process, step.pages)
    }
}

extension Report {
    /// What a driver says of a page that was to move.
    public enum Answer: UInt8, Sendable {
        case notMoved
        case moved
    }

    func answer(_ index: Int) -> Answer? { answers.indices.contains(index) ? Answer(rawValue: answers[index]) : nil }
}
