// What can be wrong with a configuration, said so that the person can mend it.

/// Where a value was written.
package enum SettingOrigin: Sendable, Hashable, CustomStringConvertible {
    case file(path: String, line: Int)
    case environment(variable: String)
    /// `--set`.
    case flag

    package var description: String {
        switch self {
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let variable): "environment variable \(variable)"
        case .flag: "--set"
        }
    }
}

/// A configuration that cannot be used.
package enum ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    case unknownSetting(String, origin: SettingOrigin, nearest: String)
    case wrongKind(String, origin: SettingOrigin, found: String, expected: String)
    case outOfRange(String, origin: SettingOrigin, found: String, allowed: String)
    case givenTwice(String, origin: SettingOrigin)
    /// Text that is no YAML, or no mapping of settings.
    case malformed(origin: SettingOrigin, problem: String)
    case unreadableFile(path: String, reason: String)
    /// Settings that are allowed one by one, but not together.
    case unusable(String, problem: String)

    package var description: String {
        switch self {
        case .unknownSetting(let name, let origin, let nearest):
            "\(origin): unknown setting '\(name)'; the nearest is '\(nearest)' (psctl train --help lists all)"
        case .wrongKind(let key, let origin, let found, let expected):
            "\(origin): \(key) is \(found), expected \(expected)"
        case .outOfRange(let key, let origin, let found, let allowed):
            "\(origin): \(key) is \(found), allowed is \(allowed)"
        case .givenTwice(let key, let origin):
            "\(origin): \(key) is given more than once; keep one"
        case .malformed(let origin, let problem):
            "\(origin): \(problem)"
        case .unreadableFile(let path, let reason):
            "cannot read the configuration \(path): \(reason)"
        case .unusable(let key, let problem):
            "\(key) \(problem)"
        }
    }
}
