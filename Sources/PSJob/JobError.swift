// What can be wrong with a command that its settings and files do not already say.

package enum JobError: Error, Sendable, Hashable, CustomStringConvertible {
    case noRunDirectory(path: String, isDefault: Bool)
    case noCheckpoint(runDirectory: String, step: Int?, available: [UInt64])
    case notEvaluated(runDirectory: String)
    /// The newest checkpoint cannot be used; the text names it and what else there is.
    case damagedCheckpoint(String)
    /// A run whose coordinator has not written its first status.
    case notStarted(runDirectory: String)
    case cannotStart(program: String, reason: String)
    /// A run directory that holds something, a job perhaps, without --resume.
    case notEmpty(runDirectory: String, hasJob: Bool)
    case nothingToResume(runDirectory: String)
    case noAnswer(runDirectory: String)
    /// Asked of a job that is over; the state is the last one it had.
    case hasEnded(runDirectory: String, state: String)
    /// The coordinator that the files name works in the directory which this one is a copy of.
    case isCopy(runDirectory: String)
    /// The directory went while the job ran.
    case runIsGone(runDirectory: String)
    /// The job has no port: only its own machine reaches it.
    case isElsewhere(host: String)
    case emptyPath(option: String)
    /// The coordinator answered that it will not.
    case requestDeclined(String)
    /// The job failed; the text says why.
    case jobFailed(String)

    package var description: String {
        switch self {
        case .noRunDirectory(let path, let isDefault):
            isDefault
                ? "there is no run in \(path); name one with --run-dir, or train first"
                : "\(path) is no run directory: it has no config.yaml"
        case .noCheckpoint(let runDirectory, let step, let available):
            if let step, !available.isEmpty {
                "\(runDirectory) has no checkpoint of step \(step), only of: "
                    + available.map(String.init).joined(separator: ", ")
            } else {
                "\(runDirectory) has no complete checkpoint"
            }
        case .notEvaluated(let path):
            "\(path) has no evaluation yet, so that none is the best; set eval.everyEpochs or eval.everySteps"
        case .notStarted(let path): "\(path): the job has not started yet; look at its logs directory if it does not"
        case .cannotStart(let program, let reason):
            "cannot start \(program): \(reason)"
        case .notEmpty(let path, let hasJob):
            hasJob
                ? "\(path) is not empty: go on with the job in it by --resume last, or choose another --run-dir"
                : "\(path) is not empty and holds no job that --resume last could go on with: choose another --run-dir; from "
                    + "a checkpoint, --resume CHECKPOINT goes on"
        case .nothingToResume(let path):
            "\(path) holds no job to resume; start one without --resume, or from a checkpoint by --resume CHECKPOINT"
        case .emptyPath(let option): "\(option) is empty: name a directory"
        case .noAnswer(let path): "the coordinator of \(path) does not answer: psctl status --run-dir \(path) says more"
        case .hasEnded(let path, let state): "the job of \(path) has ended (\(state)): there is nobody to ask"
        case .isCopy(let path):
            "\(path) is a copy of a run whose job works elsewhere: name that one by --run-dir; no job works here"
        case .isElsewhere(let host):
            "the job runs on \(host) and has no port: run this command there (psctl status shows what it wrote last)"
        case .runIsGone(let path):
            "\(path) is no longer there: was it moved or removed? Go on where it is now, or move it back, with --resume last"
        case .requestDeclined(let text), .jobFailed(let text), .damagedCheckpoint(let text): text
        }
    }
}
