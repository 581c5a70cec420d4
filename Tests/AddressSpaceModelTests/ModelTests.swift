// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import AddressSpaceModel

/// Two pages of private anonymous memory, written with stamp 5.
private func written(devices: [Int] = [0, 1], flaws: Model.Flaws = []) throws -> Played {
    var played = Played(devices: devices, flaws: flaws)
    try played.play("0 map 0+2 access write backing anonymous target 0", then: "- - - -")
    try played.play("0 write 0+2 stamp 5", then: "s1 s2 - -")
    return played
}

@Suite("What the model allows")
struct AllowedTests {
    @Test func thereAndBack() throws {
        var played = try written()
        try played.play("0 take 0+2 device 0", answers: [1, 1], then: "a1 a2 - -")
        try played.play("0 device-read 0+2 device 0", reads: "0:5 1:5", then: "a1 a2 - -")
        try played.play("0 snapshot 0+3 device 0", answers: [0x23, 0x23, 0xff], then: "a1 a2 - -")
        try played.play("0 device-write 0+1 device 0 stamp 6", then: "a1 a2 - -")
        try played.play("0 read 0+1", reads: "0:6", then: "s7 a2 - -")
        try played.play("0 give-back 0+2 device 0", answers: [0, 1], then: "s7 s8 - -")
        try played.play("0 copy 0+2", reads: "0:6 1:5", then: "s7 s8 - -")
    }

    @Test func coherentMemoryStaysWhereItIs() throws {
        var played = try written(devices: [2, 3])
        try played.play("0 take 0+2 device 2", answers: [1, 1], then: "a1 a2 - -")
        try played.play("0 read 0+2", reads: "0:5 1:5", then: "a1 a2 - -")
        try played.play("0 device-read 0+2 device 3", reads: "0:5 1:5", then: "a1 a2 - -")
        try played.play("0 evict device 2", then: "s3 s4 - -")
    }

    @Test func twoProcessesUseOnePageUntilOneWrites() throws {
        var played = try written()
        try played.play("0 take 0+1 device 0", answers: [1], then: "a1 s2 - -")
        try played.play("0 fork", then: "a1 s2 - -")
        try played.play("1 write 0+1 stamp 9", then: "s3 s2 - -")
        // It left the device for the child's fault.
        try played.play("0 read 0+1", reads: "0:5", then: "s4 s2 - -")
        try played.play("1 read 0+2", reads: "0:9 1:5", then: "s3 s2 - -")
        try played.play("0 end", then: "s4 s2 - -")
        #expect(!played.model.hasChild)
    }

    @Test func filesAreSharedAndCopied() throws {
        var played = Played()
        try played.play("0 map 0+2 access write backing shared target 0", then: "- - - -")
        try played.play("0 map 2+2 access write backing copied target 0", then: "- - - -")
        try played.play("0 write 0+1 stamp 3", then: "s1 - - -")
        try played.play("0 read 2+2", reads: "0:3 z", then: "s1 - s1 s2")
        try played.play("0 write 2+1 stamp 4", then: "s1 - s3 s2")
        try played.play("0 write 0+1 stamp 5", then: "s1 - s3 s2")
        try played.play("0 take 2+2 device 0", answers: [1, 0], then: "s1 - a1 s2")
        try played.play("0 read 2+1", reads: "2:4", then: "s1 - s4 s2")
    }

    @Test func seizedUntilTheCPUComes() throws {
        var played = try written()
        try played.play("0 seize 0+2 device 0", reads: "0:5 1:5", then: "x1 x2 - -")
        try played.play("0 read 1+1", reads: "1:5", then: "x1 s2 - -")
        try played.play("0 protect 0+1 access read", then: "x1 s2 - -")
        try played.play("0 write 0+1 stamp 6", .forbidden, done: 0, then: "x1 s2 - -")
    }

    @Test func movedAndDiscarded() throws {
        var played = try written()
        try played.play("0 take 0+1 device 0", answers: [1], then: "a1 s2 - -")
        try played.play("0 move 0+2 target 2", then: "- - a1 s2")
        try played.play("0 read 0+1", .unmapped, done: 0, then: "- - a1 s2")
        try played.play("0 discard 0+4", .refused(12), then: "- - - -")
        try played.play("0 read 2+2", reads: "z z", then: "- - s9 s9")
    }

    @Test func whatTheKernelIsKnownToDo() throws {
        func behindHole(_ flaws: Model.Flaws) throws -> String? {
            var played = try written(flaws: flaws)
            try played.play("0 discard 0+1", then: "- s2 - -")
            try played.play("0 take 1+1 device 0", answers: [1], then: "- a1 - -")
            return try complaint { try played.play("0 device-read 0+2 device 0", reads: "z 1:5", then: "s1 s2 - -") }
        }
        #expect(try behindHole(.faultsGoOn) == nil)
        #expect(try behindHole([])?.contains("belongs in the memory of device 0") == true)
    }

    @Test func whatTheKernelMayDo() throws {
        var played = try written()
        // It may copy a page that was shared, also for a write that is refused further on.
        try played.play("0 fork", then: "s1 s2 - -")
        try played.play("0 unmap 1+1", then: "s1 - - -")
        try played.play("1 device-write 1+2 device 0 stamp 9", .refused(14), then: "s1 s3 - -")
        try played.play("0 end", then: "s1 - - -")
        // Who has touched a page for a moment may keep it where it is, but not what nobody has touched.
        try played.play("0 write 0+1 stamp 6", then: "s1 - - -")
        try played.play("0 copy 0+1", reads: "0:6", then: "s1 - - -")
        try played.play("0 take 0+1 device 0", answers: [0], then: "s1 - - -")
        try played.play("0 take 0+1 device 0", answers: [1], then: "a1 - - -")
    }

    @Test func aPinsCopyIsMappedAsTheSharedPageWas() throws {
        var played = try written()
        try played.play("0 fork", then: "s1 s2 - -")
        try played.play("0 copy 0+1", reads: "0:5", then: "s3 s2 - -")
        try played.play("0 take 0+1 device 0", answers: [1], then: "a3 s2 - -")
        // The device writes through an entry that may only be read.
        try played.play("0 device-write 0+1 device 0 stamp 6", then: "s4 s2 - -")
        try played.play("0 read 0+1", reads: "0:6", then: "s4 s2 - -")
    }

    @Test func whatNobodyKnowsIsLeftOut() throws {
        var played = try written(flaws: .readOnlyPageStays)
        #expect(!played.model.defines(Step(.read, 3..<5)))
        #expect(!played.model.defines(Step(.read, 0..<1, process: 1)))
        #expect(!played.model.defines(Step(.move, 0..<2, target: 1)), "onto itself")
        #expect(!played.model.defines(Step(.move, 1..<3, target: 0)), "with a hole")
        #expect(!played.model.defines(Step(.take, 1..<3)))
        let write = Step(.deviceWrite, 0..<1, stamp: 9)
        try played.play("0 take 0+1 device 0", answers: [1], then: "a1 s2 - -")
        #expect(played.model.defines(write))
        try played.play("0 protect 0+1 access read", then: "a1 s2 - -")
        try played.play("0 protect 0+1 access write", then: "a1 s2 - -")
        #expect(!played.model.defines(write))
    }
}

@Suite("What the model minds")
struct DivergenceTests {
    struct Wrong: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let sentence: String
        var devices = [0, 1]
        let play: @Sendable (inout Played) throws -> Void
    }

    static let wrongs: [Wrong] = [
        Wrong(
            testDescription: "contents are lost",
            sentence: "page 0 holds what was written to page 0 with stamp 5, but zeros is read"
        ) {
            try $0.play("0 take 0+1 device 0", answers: [1], then: "a1 s2 - -")
            try $0.play("0 read 0+1", reads: "z", then: "s1 s2 - -")
        },
        Wrong(testDescription: "contents are mixed up", sentence: "page 1 holds") {
            try $0.play("0 take 0+2 device 0", answers: [1, 1], then: "a1 a2 - -")
            try $0.play("0 device-read 0+2 device 0", reads: "0:5 0:5", then: "a1 a2 - -")
        },
        Wrong(testDescription: "a page is torn", sentence: "but a mixture is read") {
            try $0.play("0 copy 0+1", reads: "torn", then: "s1 s2 - -")
        },
        Wrong(testDescription: "a page did not move", sentence: "page 1 has to move; the driver says notMoved") {
            try $0.play("0 take 0+2 device 0", answers: [1, 0], then: "a1 s2 - -")
        },
        Wrong(
            testDescription: "a page moved only in the driver's words",
            sentence: "page 0 belongs in the memory of device 0"
        ) {
            try $0.play("0 take 0+1 device 0", answers: [1], then: "s1 s2 - -")
        },
        Wrong(testDescription: "a page that is not there moved", sentence: "does not have to move") {
            try $0.play("0 give-back 0+1 device 0", answers: [1], then: "s1 s2 - -")
        },
        Wrong(testDescription: "a frame was exchanged", sentence: "nothing has moved it") {
            try $0.play("0 take 0+2 device 0", answers: [1, 1], then: "a1 a2 - -")
            try $0.play("0 snapshot 0+1 device 0", answers: [0x23], then: "a3 a2 - -")
        },
        Wrong(testDescription: "the other device's memory", sentence: "which is device 0's") {
            try $0.play("0 take 0+1 device 0", answers: [1], then: "a1 s2 - -")
            try $0.play("0 take 1+1 device 1", answers: [1], then: "a1 a2 - -")
        },
        Wrong(testDescription: "the CPU reaches what is seized", sentence: "out of the CPU's reach") {
            try $0.play("0 seize 0+1 device 0", reads: "0:5", then: "s1 s2 - -")
        },
        Wrong(testDescription: "an access that is not allowed", sentence: "it ends with done, not with forbidden") {
            try $0.play("0 protect 0+1 access none", then: "s1 s2 - -")
            try $0.play("0 read 0+1", reads: "0:5", then: "s1 s2 - -")
        },
        Wrong(testDescription: "a signal that nobody has earned", sentence: "not with done") {
            try $0.play("0 read 0+1", .signal, done: 0, then: "s1 s2 - -")
        },
        Wrong(testDescription: "the device writes to what may be read", sentence: "not with refused(1)") {
            try $0.play("0 protect 0+1 access read", then: "s1 s2 - -")
            try $0.play("0 device-write 0+1 device 0 stamp 7", then: "s1 s2 - -")
        },
        Wrong(testDescription: "a page of an unmapped range", sentence: "nobody has touched page 0") {
            try $0.play("0 unmap 0+1", then: "s1 s2 - -")
        },
        Wrong(testDescription: "a page that comes from nowhere", sentence: "page 3") {
            try $0.play("0 read 0+1", reads: "0:5", then: "s1 s2 - s3")
        },
        Wrong(testDescription: "the device sees more than it may", sentence: "the mapping may not be written") {
            try $0.play("0 protect 0+1 access read", then: "s1 s2 - -")
            try $0.play("0 snapshot 0+1 device 0", answers: [0x03], then: "s1 s2 - -")
        },
        Wrong(testDescription: "the device may write what is shared", sentence: "others use what would be written") {
            try $0.play("0 fork", then: "s1 s2 - -")
            try $0.play("0 snapshot 0+1 device 0", answers: [0x03], then: "s1 s2 - -")
        },
        Wrong(testDescription: "the device misses a page", sentence: "there is a page that it can use") {
            try $0.play("0 take 0+1 device 0", answers: [1], then: "a1 s2 - -")
            try $0.play("0 snapshot 0+1 device 0", answers: [0x00], then: "a1 s2 - -")
        },
        Wrong(
            testDescription: "the child's write reaches its parent",
            sentence: "but what was written to page 0 with stamp 9 is read"
        ) {
            try $0.play("0 fork", then: "s1 s2 - -")
            try $0.play("1 write 0+1 stamp 9", then: "s3 s2 - -")
            try $0.play("0 read 0+1", reads: "0:9", then: "s1 s2 - -")
        },
        Wrong(testDescription: "eviction leaves a page behind", sentence: "page 0 belongs in system memory") {
            try $0.play("0 take 0+1 device 0", answers: [1], then: "a1 s2 - -")
            try $0.play("0 evict device 0", then: "a1 s2 - -")
        },
        Wrong(
            testDescription: "coherent memory goes to another device", sentence: "nothing has moved it",
            devices: [2, 3]
        ) {
            try $0.play("0 take 0+1 device 2", answers: [1], then: "a1 s2 - -")
            try $0.play("0 device-read 0+1 device 3", reads: "0:5", then: "b1 s2 - -")
        },
        Wrong(testDescription: "a page of the window is missing", sentence: "3 pages are looked at instead of 4") {
            try $0.play("0 read 0+1", reads: "0:5", then: "s1 s2 -")
        },
    ]

    @Test(arguments: wrongs)
    func isNoticed(_ wrong: Wrong) throws {
        var played = try written(devices: wrong.devices)
        let found = try complaint { try wrong.play(&played) }
        #expect(found?.contains(wrong.sentence) == true, "\(found ?? "nothing is said")")
    }
}
