// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import Testing

@testable import DeviceMirror

@Suite("Answers of our own driver, decoded")
struct AnswerTests {
    @Test("INFO's bits become command numbers and states, and what is used is what is not free")
    func information() {
        var info = hmm_dmirror_info()
        info.type = UInt32(HMM_DMIRROR_MEMORY_DEVICE_COHERENT)
        info.state = 2
        info.commands = 1 | 1 << 0x11
        info.pages = 1024
        info.free_pages = 1000
        let decoded = DeviceInformation(info)
        #expect(decoded.memory == .coherent)
        #expect(decoded.state == .unplugged)
        #expect(decoded.commands == [0x20, 0x31])
        #expect(decoded.usedPages == 24)
        info.type = 9
        #expect(DeviceInformation(info).memory == nil)
    }

    @Test(
        "Each event of STATS is found at the interface's number",
        arguments: [
            (HMM_DMIRROR_EVENT_UNMAP, DeviceStatistics.Event.unmap), (HMM_DMIRROR_EVENT_CLEAR, .clear),
            (HMM_DMIRROR_EVENT_PROTECTION_VMA, .protectionOfMapping),
            (HMM_DMIRROR_EVENT_PROTECTION_PAGE, .protectionOfPage), (HMM_DMIRROR_EVENT_SOFT_DIRTY, .softDirty),
            (HMM_DMIRROR_EVENT_RELEASE, .release), (HMM_DMIRROR_EVENT_MIGRATE, .migrate),
            (HMM_DMIRROR_EVENT_EXCLUSIVE, .exclusive),
        ])
    func events(number: Int, event: DeviceStatistics.Event) {
        var stats = hmm_dmirror_stats()
        withUnsafeMutableBytes(of: &stats.invalidations) {
            $0.storeBytes(of: 7, toByteOffset: number * 8, as: UInt64.self)
        }
        let decoded = DeviceStatistics(stats)
        #expect(decoded.invalidations(by: event) == 7)
        #expect(DeviceStatistics.Event.allCases.map(decoded.invalidations(by:)).reduce(0, +) == 7)
    }

    @Test(
        "Each outcome of MIGRATE2 has the interface's number",
        arguments: [
            (HMM_DMIRROR_PAGE_MOVED, Migration.Outcome.moved), (HMM_DMIRROR_PAGE_THERE, .there),
            (HMM_DMIRROR_PAGE_NONE, .none), (HMM_DMIRROR_PAGE_PINNED, .pinned),
            (HMM_DMIRROR_PAGE_WRITEBACK, .writeback), (HMM_DMIRROR_PAGE_MAPPING, .mapping),
            (HMM_DMIRROR_PAGE_LARGE, .large), (HMM_DMIRROR_PAGE_NO_MEMORY, .noMemory),
            (HMM_DMIRROR_PAGE_COPY_FAILED, .copyFailed), (HMM_DMIRROR_PAGE_OTHER_DEVICE, .otherDevice),
            (HMM_DMIRROR_PAGE_OTHER, .other),
        ])
    func outcomes(number: Int, outcome: Migration.Outcome) {
        var counts = [UInt64](repeating: 0, count: 16)
        counts[number] = 3
        let migration = Migration(bytes: [UInt8(number), 0xff], counts: counts)
        #expect(migration.outcomes == [outcome, nil])
        #expect(migration.count(of: outcome) == 3)
    }

    @Test("The counted pages include those of an outcome that is not known")
    func countedPages() {
        var counts = [UInt64](repeating: 0, count: 16)
        (counts[0], counts[15]) = (2, 5)
        #expect(Migration(bytes: [], counts: counts).countedPages == 7)
    }

    @Test("A chunk's frames are those from its first on")
    func frames() {
        #expect(DeviceChunk(firstFrame: 512, pages: 1024).frames == 512..<1536)
    }

    @Test("A region's counters are found where the interface has them")
    func counters() {
        var answer = hmm_dmirror_odp_dereg()
        answer.parts = 3
        answer.requests = 11
        answer.faults = 5
        answer.retries = 2
        answer.present = 7
        answer.max_fault_ns = 900
        withUnsafeMutableBytes(of: &answer.invalidations) {
            $0.storeBytes(of: 4, toByteOffset: Int(HMM_DMIRROR_EVENT_MIGRATE) * 8, as: UInt64.self)
        }
        let counters = OnDemandRegion.Counters(answer)
        #expect(counters.parts == 3)
        #expect(counters.requests == 11)
        #expect(counters.faults == 5)
        #expect(counters.retries == 2)
        #expect(counters.presentPages == 7)
        #expect(counters.longestFault == 900)
        #expect(counters.invalidations(by: .migrate) == 4)
        #expect(DeviceStatistics.Event.allCases.map(counters.invalidations(by:)).reduce(0, +) == 4)
    }

    @Test("A completion's status is no error when it is 0, and else the error without its sign")
    func completions() {
        var answer = hmm_dmirror_odp_completion()
        (answer.id, answer.faults, answer.done, answer.value, answer.ns) = (9, 2, 4096, 77, 500)
        let done = WorkCompletion(answer)
        #expect(done.error == nil)
        #expect((done.id, done.faults, done.bytes, done.old) == (9, 2, 4096, 77))
        #expect(done.nanoseconds == 500)
        answer.status = -14
        #expect(WorkCompletion(answer).error == .badAddress)
        // Nothing that a driver should say, and no reason to trap.
        answer.status = .min
        #expect(WorkCompletion(answer).error != nil)
    }
}
