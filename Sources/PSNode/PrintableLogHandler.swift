// The daemons' log on standard error: what files and peers are called cannot move the cursor of whoever reads it.

import Logging

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
        event.message = "\(StandardStreams.printable(event.message.description))"
        event.metadata = event.metadata?.mapValues { "\(StandardStreams.printable($0.description))" }
        inner.log(event: event)
    }
}
