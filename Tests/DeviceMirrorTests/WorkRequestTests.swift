// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import Testing

@testable import DeviceMirror

@Suite("Work requests, encoded")
struct WorkRequestTests {
    private let region = OnDemandRegion.Handle(rawValue: 3)
    private let other = OnDemandRegion.Handle(rawValue: 4)
    private let bytes = RegionBytes(.init(rawValue: 3), 0x7000, count: 100)

    private func check(
        _ operation: WorkRequest.Operation, op: Int, address: UInt64, length: UInt64, to: UInt32, data: UInt64,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let request = WorkRequest(17, operation).encoded
        #expect(request.id == 17, sourceLocation: sourceLocation)
        #expect(request.op == UInt32(op), sourceLocation: sourceLocation)
        #expect(request.flags == 0, sourceLocation: sourceLocation)
        #expect(request.addr == address, sourceLocation: sourceLocation)
        #expect(request.length == length, sourceLocation: sourceLocation)
        #expect(request.handle == 3, sourceLocation: sourceLocation)
        #expect(request.to_handle == to, sourceLocation: sourceLocation)
        #expect(request.data == data, sourceLocation: sourceLocation)
    }

    @Test("A read names the bytes and the buffer that gets them")
    func read() {
        check(
            .read(bytes, into: UnsafeMutableRawPointer(bitPattern: 0x5000)), op: Int(HMM_DMIRROR_ODP_OP_READ),
            address: 0x7000, length: 100, to: 0, data: 0x5000)
        check(
            .read(bytes, into: nil), op: Int(HMM_DMIRROR_ODP_OP_READ), address: 0x7000, length: 100, to: 0, data: 0)
    }

    @Test("A write names the bytes and the buffer that they come from")
    func write() {
        check(
            .write(bytes, from: UnsafeRawPointer(bitPattern: 0x5000)), op: Int(HMM_DMIRROR_ODP_OP_WRITE),
            address: 0x7000, length: 100, to: 0, data: 0x5000)
    }

    @Test("An addition is of eight bytes, and its data is what is added")
    func fetchAdd() {
        check(
            .fetchAdd(.max, to: region, at: 0x7008), op: Int(HMM_DMIRROR_ODP_OP_FETCH_ADD), address: 0x7008,
            length: 8, to: 0, data: .max)
    }

    @Test("A copy names both regions, and its data is the destination's address")
    func copy() {
        check(
            .copy(bytes, to: other, at: 0x9000), op: Int(HMM_DMIRROR_ODP_OP_COPY), address: 0x7000, length: 100,
            to: 4, data: 0x9000)
    }
}
