// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestResults
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// The elements of an XML text in document order, each with its attributes and its own text; nil if it is not well formed.
private final class Elements: NSObject, XMLParserDelegate {
    struct Element {
        var name: String
        var attributes: [String: String]
        var text = ""
    }

    private(set) var all: [Element] = []
    private var open: [Int] = []

    init?(_ text: String) {
        super.init()
        let parser = XMLParser(data: Data(text.utf8))
        parser.delegate = self
        guard parser.parse() else { return nil }
    }

    subscript(name: String) -> [Element] { all.filter { $0.name == name } }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        open.append(all.count)
        all.append(Element(name: name, attributes: attributes))
    }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        _ = open.popLast()
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
        if let index = open.last { all[index].text += text }
    }
}

@Suite("JUnit XML")
struct JUnitTests {
    @Test("Suites, cases, failures, errors and skips are where CI systems look for them")
    func structure() throws {
        let xml = try #require(Elements(try Sample.run.junit()))
        let root = try #require(xml["testsuites"].first)
        #expect(root.attributes["tests"] == "8")
        #expect(root.attributes["failures"] == "3")
        #expect(root.attributes["errors"] == "2")
        #expect(root.attributes["skipped"] == "1")
        #expect(root.attributes["time"] == "42.000")
        #expect(xml["testsuite"].map { $0.attributes["name"] } == ["mirror", "kselftest:mm/hmm", "run"])
        #expect(xml["testcase"].count == 8)
        #expect(xml["testcase"].first?.attributes == ["classname": "mirror", "name": "snapshot", "time": "0.250"])
        #expect(xml["failure"].map { $0.attributes["type"] } == ["fail", "timeout", "skip"])
        #expect(xml["error"].map { $0.attributes["type"] } == ["crash", "boot"])
        #expect(xml["error"].first?.text.contains("foo (mm/foo.c:12)") == true)
        #expect(xml["skipped"].first?.attributes["message"] == "EBUSY; known: 6.12 cannot make a tail page exclusive")
        #expect(xml["system-out"].first?.text == "line 1\nok 7 fake")
    }

    @Test("Any bytes a test may print leave the XML well formed")
    func controlCharacters() throws {
        let nasty =
            String(decoding: (0...255).map { UInt8($0) }, as: UTF8.self) + "\u{ffff}]]>&<tag a='b' c=\"d\">\u{1b}[31m"
        let record = TestRecord(
            suite: nasty, name: nasty, verdict: .fail, reason: nasty, output: [nasty],
            reports: [KernelFinding(title: nasty, kind: "oops", text: nasty, isFatal: true)])
        let text = try Sample.run([record], [RunProblem(.infra, nasty, console: [nasty])]).junit()
        let xml = try #require(Elements(text))
        let output = try #require(xml["system-out"].first?.text)
        #expect(output.contains("]]>&<tag a='b' c=\"d\">"))
        #expect(output.contains("\u{fffd}[31m"))
        #expect(!text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" && $0 != "\t" })
    }

    @Test("A run without tests is well formed too")
    func empty() throws {
        let xml = try #require(Elements(try Sample.run([]).junit()))
        #expect(xml["testsuites"].first?.attributes["tests"] == "0")
    }
}
