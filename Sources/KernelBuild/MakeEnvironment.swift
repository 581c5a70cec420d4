// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What the kernel's make sees of the environment.
enum MakeEnvironment {
    /// Variables that kbuild, Kconfig or make take from the environment (Documentation/kbuild/kbuild.rst and
    /// kconfig.rst, `make --environment-overrides` apart).
    ///
    /// What hmmlab honours goes onto make's command line and into the signature; a variable that changed the kernel
    /// without being in the signature would give two kernels one name.
    private static let names: Set<String> = [
        "MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKEFILES", "MAKELEVEL", "MAKEOVERRIDES",
        "SUBARCH", "LOCALVERSION", "LLVM_IAS", "KCPPFLAGS", "KAFLAGS", "KRUSTFLAGS", "USERCFLAGS", "USERLDFLAGS",
        "HOSTCFLAGS", "HOSTCXXFLAGS", "HOSTLDFLAGS", "HOSTLDLIBS", "HOSTRUSTFLAGS", "PROCMACROLDFLAGS",
        "EXTRA_CFLAGS", "EXTRA_AFLAGS", "EXTRA_CPPFLAGS", "EXTRA_LDFLAGS", "KASAN_SHADOW_OFFSET", "MODLIB", "CONFIG_",
    ]
    private static let prefixes = ["KBUILD_", "KCONFIG_", "INSTALL_"]

    /// The changes that keep a person's variables out; those that hmmlab sets itself are not among them.
    static func cleared(of inherited: some Sequence<String>) -> [String: String?] {
        inherited.reduce(into: [:]) { changes, name in
            if names.contains(name) || prefixes.contains(where: name.hasPrefix) {
                changes.updateValue(nil, forKey: name)
            }
        }
    }

    /// Fixed time, user and host make identical inputs give identical images
    /// (Documentation/kbuild/reproducible-builds.rst).
    static let reproducible = [
        "KBUILD_BUILD_TIMESTAMP": "@0", "KBUILD_BUILD_USER": "hmmlab", "KBUILD_BUILD_HOST": "hmmlab",
        "KBUILD_BUILD_VERSION": "1", "LC_ALL": "C", "TZ": "UTC", "LOCALVERSION": "",
    ]

    /// ccache's variables: a cache of our own, unless the person has theirs, whose size is then theirs too.
    ///
    /// - Parameters:
    ///   - inherited: the person's environment.
    ///   - folder: our own cache.
    static func ccache(_ inherited: [String: String], folder: String) -> [String: String] {
        if let theirs = inherited["CCACHE_DIR"], !theirs.isEmpty { return [:] }
        return ["CCACHE_DIR": folder, "CCACHE_MAXSIZE": inherited["CCACHE_MAXSIZE"] ?? "10G"]
    }
}
