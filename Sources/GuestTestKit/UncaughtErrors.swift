// SPDX-License-Identifier: Apache-2.0
import DeviceMirror

extension Failures {
    /// Puts an error that nothing expected on the record, with the place it came from where the error knows it.
    static func record(uncaught error: any Error, file: String, line: Int) {
        switch error {
        case Interruption.requirementFailed:
            break
        case Interruption.skipped(let reason):
            record("the test decides to skip before anything failed", details: reason, file: file, line: line)
        case let error as MirrorError:
            record("\(error)", details: "", file: error.file, line: error.line)
        case let error as SystemCallError:
            record("\(error)", details: "", file: error.file, line: error.line)
        default:
            record("\(error)", details: "", file: file, line: line)
        }
    }
}
