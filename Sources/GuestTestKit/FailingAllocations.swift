// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Makes the kernel fail one allocation after the other of what a thread does.
///
/// The kernel counts the allocations of a thread down from what stands in its `/proc/thread-self/fail-nth`, slab and pages
/// alike, and fails the one that reaches zero (Documentation/fault-injection/fault-injection.rst). Only the thread that
/// made this value may use it.
public struct FailingAllocations: ~Copyable {
    private let descriptor: Int32

    private static let slab = "/sys/kernel/debug/failslab"
    private static let pages = "/sys/kernel/debug/fail_page_alloc"

    /// Whether the kernel can do that.
    static var areThere: Bool {
        ["\(slab)/verbose", "\(pages)/verbose", "/proc/thread-self/fail-nth"].allSatisfy { (path: String) in
            access(path, W_OK) == 0
        }
    }

    /// Prepares the kernel: every allocation of a thread counts, whatever its kind, unless it cannot fail by contract.
    ///
    /// That stays so, and means nothing to those who ask for no failures.
    public init(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        let settings = [
            // No report for each: they would drown what is really wrong.
            "\(Self.slab)/verbose", "\(Self.pages)/verbose", "\(Self.slab)/ignore-gfp-wait",
            "\(Self.pages)/ignore-gfp-wait", "\(Self.pages)/ignore-gfp-highmem", "\(Self.pages)/min-order",
        ]
        for setting in settings { try TextFile.write("0", to: setting, file: file, line: line) }
        descriptor = try systemCall("open fail-nth", file: file, line: line) {
            open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC)
        }
    }

    deinit { close(descriptor) }

    /// Runs a step with its `nth` allocation failing, from 1 on.
    ///
    /// - Returns: what the step returned, and whether it made that many allocations.
    public borrowing func during<Result>(
        _ nth: Int, file: String = #fileID, line: Int = #line, _ step: () -> Result
    ) throws(SystemCallError) -> (result: Result, hasFailed: Bool) {
        let number = Array("\(nth)".utf8)
        let none = Array("0".utf8)
        var left = [UInt8](repeating: 0, count: 16)
        let descriptor = descriptor
        // Nothing that allocates between the two calls but the step.
        let armed = pwrite(descriptor, number, number.count, 0)
        let result = step()
        let count = pread(descriptor, &left, left.count, 0)
        let disarmed = pwrite(descriptor, none, none.count, 0)
        try systemCall("fail-nth", file: file, line: line) { min(armed, count, disarmed) }
        return (result, left[0] == UInt8(ascii: "0"))
    }
}
