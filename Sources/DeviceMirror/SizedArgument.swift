// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import Glibc

/// An argument of the commands from 0x20 on: its first two words are its size in bytes and its flags.
protocol SizedArgument {
    /// All zero.
    init()
    var size: UInt32 { get set }
    var flags: UInt32 { get set }
}

extension hmm_dmirror_info: SizedArgument {}
extension hmm_dmirror_migrate: SizedArgument {}
extension hmm_dmirror_evict: SizedArgument {}
extension hmm_dmirror_inject: SizedArgument {}
extension hmm_dmirror_stats: SizedArgument {}
extension hmm_dmirror_devmem: SizedArgument {}
extension hmm_dmirror_atomic: SizedArgument {}
extension hmm_dmirror_odp_reg: SizedArgument {}
extension hmm_dmirror_odp_dereg: SizedArgument {}
extension hmm_dmirror_odp_post: SizedArgument {}
extension hmm_dmirror_odp_poll: SizedArgument {}
extension hmm_dmirror_pin: SizedArgument {}
extension hmm_dmirror_unpin: SizedArgument {}
extension hmm_dmirror_chunk: SizedArgument {}
extension hmm_dmirror_unplug: SizedArgument {}

extension MirrorDevice {
    /// Makes a request of this project's own and fills in the argument's size.
    ///
    /// - Parameters:
    ///   - request: the command's number with its direction and size.
    ///   - subject: what the request is about, for the message; nil for the device itself.
    func perform<Argument: SizedArgument>(
        _ operation: MirrorError.Operation, _ request: UInt, _ argument: inout Argument, about subject: String? = nil,
        _ file: String, _ line: Int
    ) throws(MirrorError) {
        argument.size = UInt32(MemoryLayout<Argument>.size)
        let code = withUnsafeMutablePointer(to: &argument) {
            raw(request: request, argument: UInt(bitPattern: $0))
        }
        guard let code else { return }
        let target = subject.map { "\($0) on \(path)" } ?? path
        throw MirrorError(operation: operation, code: code, target: target, file: file, line: line)
    }
}
