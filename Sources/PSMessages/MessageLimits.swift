// What a message may hold at most: every text, list and number in one table, each bound with its reason.
//
// A message within these bounds makes nobody's arithmetic overflow and nobody's memory grow beyond what the job's own
// settings allow. The bounds are wide: none is met by a job that the configuration lets begin.

package enum MessageLimits {
    /// How long a text may be, in bytes of UTF-8.
    struct Text: Sendable {
        let bytes: Int
        /// One that people are shown: cut to its limit when it is sent, made printable when it comes. Any other text is
        /// of use only as it is.
        let isForPeople: Bool

        static func shown(_ bytes: Int) -> Text { Text(bytes: bytes, isForPeople: true) }
        static func exact(_ bytes: Int) -> Text { Text(bytes: bytes, isForPeople: false) }
    }

    /// A sentence or a paragraph that says what is wrong and what to do, with a path or two in it.
    private static let sentences = Text.shown(4096)
    /// Linux's PATH_MAX.
    private static let path = Text.exact(4096)
    /// "tcp://", the longest name of a host, a port; twice that for whatever else finds room in an address.
    private static let endpoint = Text.exact(512)
    /// A SHA-256 in hexadecimal has 64; others find room.
    private static let digest = Text.exact(128)
    /// Those of a large model are some ten thousand bytes.
    private static let document = Text.exact(1 << 20)

    /// 32 bytes in Z85.
    private static let key = Text.exact(40)

    /// By message and field.
    static let texts: [String: Text] = [
        // The longest name that DNS knows.
        "Hello.host": .shown(255),
        "Hello.endpoint": endpoint,
        // OpenBLAS calls them "Haswell" or "SkylakeX".
        "Hello.kernel_core": .shown(64),
        "Hello.public_key": key,
        "Challenge.run_directory": path,
        "Keys.members": key,
        "Welcome.configuration": document,
        "Welcome.run_directory": path,
        "Welcome.nonce": digest,
        "Welcome.plan": document,
        "Welcome.data_digest": digest,
        "Welcome.test_digest": digest,
        "Refusal.text": sentences,
        // Half a line in a table of processes.
        "Heartbeat.activity": .shown(256),
        "Members.Server.endpoint": endpoint,
        "Members.Server.public_key": key,
        "Checkpoint.foreign": path,
        // NAME_MAX of Linux's file systems.
        "Saved.File.name": .exact(255),
        // The name of a role: "weights", "average".
        "Saved.File.content": .exact(64),
        "Saved.File.sha256": .exact(64),
        "Failed.text": sentences,
        "Finish.text": sentences,
        "Leave.text": sentences,
        // As large as the message that who asks takes: some 350 bytes for each of 20,000 processes.
        "Status.json": .exact(8 << 20),
        "ControlReply.text": sentences,
    ]

    /// Elements of a repeated field, by message and field.
    static let elements: [String: Int] = [
        "Members.servers": Int(processes),
        "Members.holders": Int(processes),
        "Reset.serves": Int(processes),
        "Reset.follows": Int(processes),
        "Reset.expects": Int(processes),
        "Follow.slices": Int(slices),
        "Follow.reaches_plus_one": Int(slices),
        "Keys.members": Int(processes),
        // As many as a message of eight megabytes has room for; `replacementsOfASample` is narrower.
        "Contribution.replaced": 1 << 20,
        "Pull.slices": Int(slices),
        "Gone.slices": Int(slices),
        "Prepare.tickets": tickets,
        "Prepare.attempts": tickets,
        "Prepared.slices": Int(slices),
        "Prepared.squared_norms": Int(slices),
        // A server's part is a few files, one for each kind of content.
        "Saved.files": 64,
    ]

    /// Bytes of a field of bytes. A slice's values travel beside the head.
    static let bytes: [String: Int] = ["Slice.values": 0]

    // MARK: Numbers, each the largest that is allowed

    /// Of a rank plus 1 and of a count: `cluster.servers` and `cluster.workers` are at most 10,000.
    static let processes: UInt32 = 1 << 16
    /// Slices of a layout: at a mebibyte each, a model of a tebibyte.
    static let slices: UInt32 = 1 << 20
    /// `train.ticketsPerStep` is at most 100,000.
    static let tickets = 1 << 17
    /// `train.batch` and `eval.batch` are at most 65,536.
    static let samples: UInt32 = 1 << 16
    /// A worker gives up on an image of which it has tried a hundred. All of them are journaled.
    static let replacementsOfASample = 100
    /// Parts of a slice's state: weights, average and the optimizer's slots.
    static let stateParts: UInt32 = 3
    /// Parts of an evaluation: each has an image, and their sums stay far below 2^63.
    static let parts: UInt32 = (1 << 31) - 1

    /// Of a version and a sample: one more is no overflow, and JSON keeps it exact. `train.steps` is at most 10^9.
    static let version: UInt64 = (1 << 53) - 1
    /// The version after it can be named as well.
    static let step = version - 1
    /// Steps times tickets of a step come to 10^14; two of them can be added as signed numbers.
    static let ticket: UInt64 = (1 << 62) - 1
    /// One more is no overflow, signed or not. A generation begins with a server's loss.
    static let generation: UInt32 = (1 << 31) - 1
    /// A start of the coordinator. An attempt's number is its coordinator's term << 40 plus a count, and the sum stays
    /// below 2^63.
    static let term: UInt64 = (1 << 23) - 1
    static let attempt: UInt64 = (1 << 63) - 1
    /// Bytes sent and received, and progress: two of them can be added as signed numbers.
    static let counter: UInt64 = 1 << 62
    /// What the kernel calls a process.
    static let pid = UInt32(Int32.max)
    /// What a shell sees of it.
    static let exitCode: UInt32 = 255
    /// Thirty years: the sum of many is still finite.
    static let seconds = 1e9
}
