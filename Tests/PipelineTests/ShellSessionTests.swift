// SPDX-License-Identifier: Apache-2.0
import GuestProtocol
import HarnessCore
import Testing
import VirtualMachine

@testable import Pipeline

@Suite("The session of a shell")
struct ShellSessionTests {
    @Test("gives the guest the window as it is when the shell begins, not as it was at the start")
    func windowSize() throws {
        let size = LockedValue(TerminalSize(rows: 24, columns: 80))
        var session = ShellSession(
            modules: [ModuleRequest("test_hmm")], size: { size.withLock { $0 } }, onReady: {}, onEnd: {})
        var watchdog = Watchdog(start: .now)
        func sent(after message: GuestMessage) throws -> [HostMessage] {
            var decoder = MessageDecoder<HostMessage>()
            var messages: [HostMessage] = []
            for case .send(let bytes) in session.observe(.bytes(ByteChunk(try message.encoded())), watchdog: &watchdog)
            {
                for case .message(let message) in decoder.feed(bytes) { messages.append(message) }
            }
            return messages
        }
        let greeting = GuestMessage.hello(version: 1, kernelRelease: "6.12.117", uptimeMilliseconds: 900)
        #expect(try sent(after: greeting) == [.welcome, .loadModules([ModuleRequest("test_hmm")])])
        size.withLock { $0 = TerminalSize(rows: 50, columns: 120) }
        let answer = try sent(after: .module("test_hmm", .load, error: nil))
        guard case .shell(let request)? = answer.first else {
            Issue.record("no shell was asked for: \(answer)")
            return
        }
        #expect(request.size == TerminalSize(rows: 50, columns: 120))
    }
}
