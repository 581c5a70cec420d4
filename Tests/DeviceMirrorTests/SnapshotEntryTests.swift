// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import DeviceMirror
import Testing

@Suite("Snapshot entries")
struct SnapshotEntryTests {
    @Test(
        "Each backing of the interface has its case",
        arguments: [
            (HMM_DMIRROR_PROT_ZERO, SnapshotEntry.Backing.zeroPage),
            (HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL, .privateLocal),
            (HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE, .privateRemote),
            (HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL, .coherentLocal),
            (HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE, .coherentRemote),
        ])
    func backing(number: Int, backing: SnapshotEntry.Backing) {
        let entry = SnapshotEntry(rawValue: UInt8(number | HMM_DMIRROR_PROT_WRITE))
        #expect(entry.backing == backing)
        #expect(entry.mapping == .write)
        #expect(entry == SnapshotEntry(backing, .write))
    }

    @Test("An error has neither a backing nor a mapping, although all its bits are set")
    func error() {
        #expect(SnapshotEntry(rawValue: 0xff) == .error)
        #expect(SnapshotEntry.error.backing == nil)
        #expect(SnapshotEntry.error.mapping.isEmpty)
    }

    @Test("Nothing is system memory without a mapping")
    func none() {
        #expect(SnapshotEntry.none.backing == .system)
        #expect(SnapshotEntry.none.mapping.isEmpty)
    }

    @Test("A backing that is not known is nil, and its mapping is still read")
    func unknown() {
        let entry = SnapshotEntry(rawValue: 0x91)
        #expect(entry.backing == nil)
        #expect(entry.mapping == .read)
        #expect(entry.description == "unknown 0x91 read")
    }

    @Test("Every byte decodes without trapping and keeps its value")
    func everyByte() {
        for byte in UInt8.min...UInt8.max {
            let entry = SnapshotEntry(rawValue: byte)
            if let backing = entry.backing { #expect(SnapshotEntry(backing, entry.mapping).rawValue == byte) }
            #expect(!entry.description.isEmpty)
        }
    }

    @Test("An entry is described in words")
    func description() {
        #expect(SnapshotEntry(.system, [.write, .pmd]).description == "system write pmd")
        #expect(SnapshotEntry(.zeroPage, [.read, .pud]).description == "zeroPage read pud")
        #expect(SnapshotEntry.error.description == "error")
        #expect(SnapshotEntry.none.description == "none")
    }
}
