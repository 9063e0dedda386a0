// The daemons' log on standard error: what files and peers are called cannot move the cursor of whoever reads it.

import Logging
import PSMessages

struct PrintableLogHandler: LogHandler {
    private var inner: StreamLogHandler

    init(label: String) { inner = StreamLogHandler.standardError(label: label) }

    var logLevel: Logger.Level {
        get { inner.logLevel }
        set { inner.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        var event = event
        event.message = "\(event.message.description.printable(inOneLine: false))"
        event.metadata = event.metadata?.mapValues { "\($0.description.printable(inOneLine: false))" }
        inner.log(event: event)
    }
}
