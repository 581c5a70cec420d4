// SPDX-License-Identifier: Apache-2.0

/// What goes into a guest's initramfs; paths in the guest are absolute, paths on the host as the caller likes.
public struct ImageDescription: Sendable, Equatable {
    /// A program, with the shared libraries it needs and without its symbols.
    public struct Program: Sendable, Equatable {
        /// Where it is on the host.
        public var source: String
        /// Where it goes in the guest.
        public var destination: String

        /// Names a program.
        public init(_ source: String, to destination: String) {
            self.source = source
            self.destination = destination
        }
    }

    /// A file that goes in as it is.
    public struct File: Sendable, Equatable {
        /// Where it is on the host.
        public var source: String
        /// Where it goes in the guest.
        public var destination: String
        /// Its permission bits, such as `0o644`.
        public var mode: UInt16

        /// Names a file.
        public init(_ source: String, to destination: String, mode: UInt16 = 0o644) {
            self.source = source
            self.destination = destination
            self.mode = mode
        }
    }

    /// Kernel modules, which get a depmod(8) index of their own.
    public struct Modules: Sendable, Equatable {
        /// The release of the kernel that will boot, as `make kernelrelease` prints it.
        public var kernelRelease: String
        /// `.../lib/modules/RELEASE` as `make modules_install` leaves it; nil if the kernel has no modules.
        public var folder: String?
        /// Modules built outside the kernel's tree.
        ///
        /// They go to `updates/`, where they are preferred to the kernel's own.
        public var external: [String]

        /// Names a kernel's modules.
        public init(kernelRelease: String, folder: String?, external: [String] = []) {
            self.kernelRelease = kernelRelease
            self.folder = folder
            self.external = external
        }
    }

    /// PID 1, which becomes `/init`.
    public var initProgram: String
    /// Further programs.
    public var programs: [Program]
    /// Kernel modules.
    public var modules: Modules?
    /// Further files.
    public var files: [File]
    /// A busybox on the host, which brings a shell and the usual commands to `/bin`; nil for none.
    public var busybox: String?

    /// Where Debian's busybox packages put it.
    public static let usualBusybox = "/bin/busybox"

    /// Describes an image.
    public init(
        initProgram: String, programs: [Program] = [], modules: Modules? = nil, files: [File] = [],
        busybox: String? = nil
    ) {
        self.initProgram = initProgram
        self.programs = programs
        self.modules = modules
        self.files = files
        self.busybox = busybox
    }
}
