// The daemons' log on standard error, a line a message: "TIME LEVEL PROGRAM: MESSAGE key=value". Times are UTC with
// milliseconds, so that the logs of several processes can be laid side by side; what files and peers are called cannot move
// the cursor of whoever reads it.

import Glibc
import Logging

struct PrintableLogHandler: LogHandler {
    private let label: String
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    init(label: String) { self.label = label }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let values = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
            .map { " \($0.key)=\($0.value)" }.joined()
        StandardStreams.write(
            "\(Self.time()) \(event.level) \(label): \(event.message)\(values)\n", to: STDERR_FILENO)
    }

    private static func time() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &parts)
        let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) + ".\(milliseconds)Z"
    }
}
