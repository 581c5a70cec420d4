// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import KernelBuild

extension TreePlan {
    /// What the trees around a patch say about it.
    func results(_ patch: Int) -> [CheckResult] {
        var results: [CheckResult] = []
        if options.checks.contains(.build) { results.append(build(patch)) }
        for (check, kind) in [(CheckName.sparse, Kind.sparse), (.coccicheck, .coccicheck), (.kernelDoc, .kernelDoc)]
        where options.checks.contains(check) {
            if let reason = reason(check) {
                results.append(CheckResult(check, notChecked: reason))
            } else {
                results.append(compare(check, kind, patch))
            }
        }
        return results
    }

    // MARK: - Compiling

    private func build(_ patch: Int) -> CheckResult {
        guard !objects(upTo: patch).isEmpty else {
            let reason = ["it touches nothing that is compiled"] + touched[patch].notes
            return CheckResult(.build, notChecked: reason.joined(separator: "; "))
        }
        var findings: [Finding] = []
        var notes = touched[patch].notes
        var obstacles: [String] = []
        for (number, configuration) in options.configurations.enumerated() {
            let (found, left, obstacle) = build(patch, number)
            notes += left
            if let obstacle { obstacles.append("\(configuration.name): \(obstacle)") }
            for text in found {
                if let index = findings.firstIndex(where: { $0.text == text }) {
                    findings[index].configuration? += ", \(configuration.name)"
                } else {
                    findings.append(Finding(isFailure: true, text, configuration: configuration.name))
                }
            }
        }
        let isCached = options.configurations.indices.allSatisfy { self.isCached(.build($0), patch) }
        if findings.isEmpty, obstacles.count == options.configurations.count {
            return CheckResult(.build, notChecked: obstacles.joined(separator: "; "), isCached: isCached)
        }
        notes += obstacles.map { "NOT CHECKED with \($0)" }
        return CheckResult(.build, findings, notes: notes, isCached: isCached)
    }

    private func build(_ patch: Int, _ number: Int) -> (findings: [String], notes: [String], obstacle: String?) {
        let kind = Kind.build(number)
        let name = options.configurations[number].name
        let (before, after) = (record(kind, patch), record(kind, patch + 1))
        if let obstacle = before.obstacle { return ([], [], obstacle) }
        if let obstacle = after.obstacle { return (["It cannot be configured any more: \(obstacle)"], [], nil) }
        var findings: [String] = []
        var absent: [String] = []
        var broken: [String] = []
        for object in objects(upTo: patch) {
            guard let made = after.objects[object] else { continue }
            switch made.state {
            case .absent: absent.append(object)
            case .failed:
                switch history(of: object, kind, before: patch) {
                case .brokenFromStart: broken.append(object)
                case .brokenSince(let culprit):
                    findings.append("\(object) does not compile since patch \(culprit), \(patches[culprit - 1].id)")
                case .sound, .new:
                    let errors = made.diagnostics.filter(\.isError)
                    findings += errors.prefix(4).map(\.line)
                    if errors.isEmpty { findings.append("\(object) does not compile") }
                    if errors.count > 4 { findings.append("\(object): \((errors.count - 4).of("more error"))") }
                }
            case .built:
                var old: [Diagnostic] = []
                if case .brokenFromStart = history(of: object, kind, before: patch) { continue }
                for step in (0...patch).reversed() {
                    guard let earlier = record(kind, step).objects[object], earlier.state == .built else { continue }
                    old = earlier.diagnostics
                    break
                }
                findings += NewDiagnostics.of(made.diagnostics, before: old).map(\.line)
            }
        }
        var notes: [String] = []
        if !absent.isEmpty { notes.append("\(name) has no \(absent.joined(separator: ", "))") }
        if !broken.isEmpty {
            notes.append("\(broken.joined(separator: ", ")) does not compile with \(name) before the series, either")
        }
        var seen: Set<String> = []
        return (findings.filter { seen.insert($0).inserted }, notes, nil)
    }

    private enum History {
        /// It compiles before the patch.
        case sound
        /// There is no such object before the patch.
        case new
        /// It has never compiled.
        case brokenFromStart
        /// It does not compile before the patch, because of an earlier one: its number, from 1.
        case brokenSince(Int)
    }

    /// What became of an object at the steps up to the one before a patch.
    private func history(of object: String, _ kind: Kind, before patch: Int) -> History {
        var history = History.new
        for step in 0...patch {
            guard let made = record(kind, step).objects[object] else { continue }
            switch (made.state, history) {
            case (.built, _): history = .sound
            case (.absent, _): history = .new
            // Whoever makes an object is to blame if it does not compile.
            case (.failed, .new): history = isKnown(object, kind, before: step) ? .brokenSince(step) : .brokenFromStart
            case (.failed, .sound): history = .brokenSince(step)
            case (.failed, _): break
            }
        }
        return history
    }

    private func isKnown(_ object: String, _ kind: Kind, before step: Int) -> Bool {
        (0..<step).contains { record(kind, $0).objects[object] != nil }
    }

    // MARK: - The other checkers

    private func compare(_ check: CheckName, _ kind: Kind, _ patch: Int) -> CheckResult {
        let names = names(kind, of: patch)
        let isCached = isCached(kind, patch)
        guard !names.isEmpty else {
            return CheckResult(check, notChecked: "it touches no C file of the kernel", isCached: isCached)
        }
        let (before, after) = (record(kind, patch), record(kind, patch + 1))
        if let obstacle = before.obstacle { return CheckResult(check, notChecked: obstacle, isCached: isCached) }
        if let obstacle = after.obstacle {
            return CheckResult(check, [Finding(isFailure: true, obstacle)], isCached: isCached)
        }
        var findings: [Finding] = []
        var absent: [String] = []
        for name in names {
            guard let made = after.objects[name], made.state == .built else {
                absent.append(name)
                continue
            }
            for diagnostic in NewDiagnostics.of(made.diagnostics, before: before.objects[name]?.diagnostics ?? []) {
                let finding = Finding(isFailure: diagnostic.isError, diagnostic.line)
                if !findings.contains(finding) { findings.append(finding) }
            }
        }
        let note = "\(absent.joined(separator: ", ")): not there, or does not compile"
        if absent.count == names.count { return CheckResult(check, notChecked: note, isCached: isCached) }
        return CheckResult(check, findings, notes: absent.isEmpty ? [] : [note], isCached: isCached)
    }
}
