// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Somebody who gets a mail: a mailbox of RFC 5322, section 3.4.
public struct Address: Sendable, Hashable, Codable {
    /// The name without quotes; may be empty.
    public var name: String
    /// The address without angle brackets.
    public var email: String

    /// Makes an address.
    public init(name: String, email: String) {
        self.name = name
        self.email = email
    }

    /// Reads `Name <user@host>`, `"Name, J." <user@host>` or `user@host`; what follows is left out.
    ///
    /// Nil if there is no address in the text.
    public init?(parsing text: some StringProtocol) {
        let text = String(text)
        if let match = text.firstMatch(of: /<\s*([^<>\s]+@[^<>\s]+)\s*>/) {
            name = Self.unquoted(String(text[..<match.range.lowerBound]))
            email = String(match.1)
        } else if let match = text.prefixMatch(of: /\s*([^<>()\s,"]+@[^<>()\s,"]+)/) {
            name = ""
            email = String(match.1)
        } else {
            return nil
        }
    }

    /// What tells two mailboxes apart: people write the host, and often the user, in any case.
    var key: String { email.lowercased() }

    /// As it stands in a mail's header, in ASCII.
    public var header: String { name.isEmpty ? email : "\(HeaderText.phrase(name)) <\(email)>" }

    /// As it is shown to people.
    public var text: String { name.isEmpty ? email : "\(name) <\(email)>" }

    /// A name without the quotes and backslashes of RFC 5322, section 3.2.4.
    private static func unquoted(_ text: String) -> String {
        var name = ""
        var isEscaped = false
        var isQuoted = false
        for character in text {
            if isEscaped || (character != "\\" && character != "\"") {
                name.append(character)
                isEscaped = false
            } else if character == "\"" {
                isQuoted.toggle()
            } else {
                isEscaped = isQuoted
                if !isQuoted { name.append(character) }
            }
        }
        return name.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

extension Sequence<Address> {
    /// Each mailbox once, where it came first; a later one's name is taken if the first had none.
    var unique: [Address] {
        var found: [Address] = []
        var places: [String: Int] = [:]
        for address in self {
            if let place = places[address.key] {
                if found[place].name.isEmpty { found[place].name = address.name }
            } else {
                places[address.key] = found.count
                found.append(address)
            }
        }
        return found
    }
}
