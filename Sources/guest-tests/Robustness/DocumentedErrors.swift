// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc

/// What a command may be refused with, as docs/driver-abi.md has it.
enum DocumentedErrors {
    /// The numbers of all commands that there are.
    static let commands: [(number: UInt8, name: String)] = [
        (0x00, "read"), (0x01, "write"), (0x02, "migrate-to-dev"), (0x03, "migrate-to-sys"), (0x04, "snapshot"),
        (0x05, "exclusive"), (0x06, "check-exclusive"), (0x07, "release"), (0x08, "flags"), (0x09, "read-unlocked"),
        (0x20, "info"), (0x21, "migrate2"), (0x22, "evict"), (0x23, "inject"), (0x24, "stats"),
        (0x25, "devmem-read"), (0x26, "dev-atomic"), (0x27, "odp-reg"), (0x28, "odp-dereg"),
        (0x29, "odp-post"), (0x2a, "odp-poll"), (0x2d, "pin"), (0x2e, "unpin"), (0x2f, "chunk-add"),
        (0x30, "chunk-remove"), (0x31, "unplug"),
    ]

    /// The errors of a command, by number.
    static func of(_ number: UInt8) -> Set<Errno> {
        let argument: Set<Errno> =
            number < 0x20 ? [.invalidArgument, .badAddress] : [.invalidArgument, .badAddress, .tooLong]
        let further: Set<Errno> =
            switch number {
            case 0x00, 0x09: [.noMemory, .busy, .noDevice]
            case 0x01: [.notPermitted, .noMemory, .busy, .noDevice]
            case 0x02: [.noEntry, .noMemory, .busy, .noDevice]
            case 0x03: [.noMemory, .noDevice]
            case 0x04: [.noMemory, .busy]
            case 0x05: [.noMemory, .busy, .notSupported, .noEntry, .noDevice]
            case 0x06: [.notPermitted]
            case 0x07: [.busy, .noMemory]
            case 0x21: [.noMemory, .busy, .noDevice, .notSupported]
            case 0x22: [.busy, .noDevice, .noMemory]
            case 0x23: [.notSupported]
            case 0x25: [.noEntry, .noMemory, .busy, .noDevice]
            case 0x26: [.notPermitted, .noMemory, .busy, .noDevice]
            case 0x27: [.noMemory, Errno(rawValue: ESRCH), Errno(rawValue: ENOSPC)]
            case 0x28: [.noEntry]
            case 0x29: [.noEntry, .noMemory, Errno(rawValue: EAGAIN)]
            case 0x2d: [.noMemory, .busy]
            case 0x2e: [.noEntry]
            case 0x2f: [.noMemory, .busy, .noDevice]
            case 0x30: [.noEntry, .busy, .noMemory]
            case 0x31: [.busy, .noMemory]
            default: []
            }
        return argument.union(further)
    }
}
