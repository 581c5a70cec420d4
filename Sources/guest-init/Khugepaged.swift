// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The kernel's thread that looks every ten seconds for small pages to make a huge one of.
enum Khugepaged {
    /// Lets it sleep for good.
    ///
    /// It touches what a device holds on the way (`__collapse_huge_page_swapin()` in mm/khugepaged.c), and a test whose
    /// few milliseconds fall on such a moment finds its pages back in system memory (docs/findings.md). It sleeps for
    /// the time that it is told, but not while it has no process to look at: the first one wakes it. This process is
    /// one from now on, with memory that nobody touches.
    ///
    /// - Throws: ``SystemError`` if the thread is there and cannot be told.
    static func sleepForGood() throws(SystemError) {
        let setting = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs"
        guard access(setting, F_OK) == 0 else { return }
        // Wherever it begins, there is one huge page in it.
        let size = 4 << 20
        guard let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED
        else { throw SystemError("memory for khugepaged cannot be mapped") }
        guard madvise(memory, size, MADV_HUGEPAGE) == 0 else {
            throw SystemError("khugepaged cannot be given this process's memory")
        }
        try System.write("\(UInt32.max)", to: setting)
    }
}
