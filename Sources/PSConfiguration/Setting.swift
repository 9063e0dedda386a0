// One row of the settings table: a key, what its values may be, and the way into and out of a configuration.

/// The value of one setting, apart from any configuration.
package enum SettingValue: Sendable, Hashable {
    /// Only for a setting that may be left open.
    case none
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case list([String])
}

/// One setting: its name, its meaning, its allowed values, and its place in a `JobConfiguration`.
package struct Setting: Sendable {
    package enum Kind: Sendable, Hashable {
        case boolean
        case integer(ClosedRange<Int>)
        /// A whole number, or `null` for none.
        case optionalInteger(ClosedRange<Int>)
        case number(ClosedRange<Double>)
        case choice([String])
        /// A number, or `null` for none.
        case optionalNumber(ClosedRange<Double>)
        /// A whole number out of a few.
        case integerChoice([Int])
        /// A whole number out of a few, or `null` for none.
        case optionalIntegerChoice([Int])
        case text
        /// A text, or `null` for none.
        case optionalText
        /// Texts: a sequence in YAML, elsewhere parted by commas. The text says what each is.
        case list(of: String)
        /// Letters, digits, `-`, `_` and `.`, not beginning with `.`: it becomes part of a file's name.
        case identifier
    }

    package let key: String
    package let kind: Kind
    package let documentation: String
    package let read: @Sendable (JobConfiguration) -> SettingValue
    /// - Precondition: the value passes `kind.problem(with:)`.
    package let write: @Sendable (inout JobConfiguration, SettingValue) -> Void

    /// The environment variable of this setting: `train.ticketsPerStep` is `PSCTL_TRAIN_TICKETS_PER_STEP`.
    package var environmentVariable: String {
        var name = "PSCTL_"
        for character in key {
            if character == "." {
                name += "_"
            } else if character.isUppercase {
                name += "_\(character)"
            } else {
                name += character.uppercased()
            }
        }
        return name
    }
}

/// A scalar as a person wrote it.
struct WrittenScalar {
    let text: String
    /// Text in quotation marks is text, whatever it looks like.
    var isQuoted = false

    /// "the text 'abc'", "the number 5", ... for error messages.
    var description: String {
        if isQuoted { return "the text \"\(text)\"" }
        switch text {
        case "", "~", "null": return "empty"
        case "true", "false": return text
        default: return Double(text) == nil ? "the text '\(text)'" : "the number \(text)"
        }
    }
}

/// Why a written value cannot become a setting's value.
package enum SettingProblem: Error {
    case wrongKind
    case outOfRange
}

extension Setting.Kind {
    /// What a value has to be, for messages: "a whole number".
    package var expectation: String {
        switch self {
        case .boolean: "true or false"
        case .integer, .integerChoice: "a whole number"
        case .optionalInteger, .optionalIntegerChoice: "a whole number or null"
        case .optionalNumber: "a number or null"
        case .number: "a number"
        case .choice(let names): names.count == 1 ? names[0] : "one of " + names.joined(separator: ", ")
        case .text: "a text"
        case .optionalText: "a text or null"
        case .list(let element): "a list of \(element)"
        case .identifier: "a name of letters, digits, '-', '_' and '.', not beginning with '.'"
        }
    }

    /// The allowed values, for messages and lists.
    package var range: String {
        switch self {
        case .integer(let range): describe(range)
        case .optionalInteger(let range): describe(range) + ", or null"
        case .number(let range): describe(range)
        case .optionalNumber(let range): describe(range) + ", or null"
        case .integerChoice(let numbers): "one of " + numbers.map(String.init).joined(separator: ", ")
        case .optionalIntegerChoice(let numbers):
            "one of " + numbers.map(String.init).joined(separator: ", ") + ", or null"
        case .boolean, .choice, .text, .optionalText, .list, .identifier: expectation
        }
    }

    private func describe(_ range: ClosedRange<Int>) -> String {
        range.upperBound == Int.max
            ? "at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
    }

    /// Bounds next to a whole number stand for that number left out.
    private func describe(_ range: ClosedRange<Double>) -> String {
        let lower = range.lowerBound == .leastNonzeroMagnitude ? "above 0" : "at least \(range.lowerBound)"
        let isOpen = range.upperBound.nextUp == range.upperBound.rounded(.up)
        return lower + (isOpen ? " and below \(range.upperBound.nextUp)" : ", at most \(range.upperBound)")
    }

    /// The value that `scalar` writes.
    func parse(_ scalar: WrittenScalar) throws(SettingProblem) -> SettingValue {
        let value = try convert(scalar)
        if let problem = problem(with: value) { throw problem }
        return value
    }

    private func convert(_ scalar: WrittenScalar) throws(SettingProblem) -> SettingValue {
        let plain = scalar.isQuoted ? nil : scalar.text
        switch self {
        case .boolean:
            guard let plain, let value = Bool(plain) else { throw .wrongKind }
            return .boolean(value)
        case .optionalInteger where plain == "null" || plain == "~" || plain == "",
            .optionalIntegerChoice where plain == "null" || plain == "~" || plain == "",
            .optionalNumber where plain == "null" || plain == "~" || plain == "",
            .optionalText where plain == "null" || plain == "~" || plain == "":
            return .none
        case .integer, .optionalInteger, .integerChoice, .optionalIntegerChoice:
            guard let plain else { throw .wrongKind }
            if let value = Int(plain) { return .integer(value) }
            // A whole number too large for any range is out of range, not of the wrong kind.
            let digits = plain.drop { $0 == "-" || $0 == "+" }
            throw !digits.isEmpty && digits.allSatisfy { $0.isASCII && $0.isNumber } ? .outOfRange : .wrongKind
        case .number, .optionalNumber:
            guard let plain, let value = Double(plain) else { throw .wrongKind }
            return .number(value)
        case .list:
            if scalar.text.isEmpty || plain == "null" || plain == "~" { return .list([]) }
            return .list(
                scalar.text.split(separator: ",", omittingEmptySubsequences: false).map { element in
                    String(element.trimmingPrefix { $0 == " " }.reversed().trimmingPrefix { $0 == " " }.reversed())
                })
        case .choice, .text, .optionalText, .identifier:
            if let plain, ["", "~", "null"].contains(plain) { throw .wrongKind }
            return .text(scalar.text)
        }
    }

    /// What is wrong with `value` for this kind, or nil.
    package func problem(with value: SettingValue) -> SettingProblem? {
        switch (self, value) {
        case (.list, .list(let elements)): elements.contains("") ? .outOfRange : nil
        case (.boolean, .boolean), (.text, .text), (.optionalText, .text), (.optionalText, .none),
            (.optionalInteger, .none), (.optionalIntegerChoice, .none), (.optionalNumber, .none):
            nil
        case (.integer(let range), .integer(let value)), (.optionalInteger(let range), .integer(let value)):
            range.contains(value) ? nil : .outOfRange
        case (.integerChoice(let numbers), .integer(let value)),
            (.optionalIntegerChoice(let numbers), .integer(let value)):
            numbers.contains(value) ? nil : .outOfRange
        // Also refuses NaN, which no range contains.
        case (.number(let range), .number(let value)), (.optionalNumber(let range), .number(let value)):
            range.contains(value) ? nil : .outOfRange
        case (.choice(let names), .text(let value)): names.contains(value) ? nil : .outOfRange
        case (.identifier, .text(let value)):
            value.isEmpty || value.first == "." || value.contains { !isIdentifierCharacter($0) } ? .outOfRange : nil
        default: .wrongKind
        }
    }

    private func isIdentifierCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "-_.".contains(character))
    }
}
