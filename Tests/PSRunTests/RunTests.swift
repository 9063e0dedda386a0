// A run's truth: what counts by the journal, damage told from absence, the newest run, one job at a time.

import Foundation
import Glibc
import PSCheckpoint
import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import PSRun
import TestSupport
import Testing

private let layout = ParameterLayout(tensors: [
    TensorSpecification(name: "w", shape: [40], kind: .weight, initialization: .constant(1)),
    TensorSpecification(name: "m", shape: [3], kind: .statistic, initialization: .constant(0)),
])

private func begun(_ path: String, job: UInt64 = 7) throws -> (run: RunDirectory, journal: Journal) {
    let run = RunDirectory(path)
    try run.create()
    let journal = try Journal(run)
    _ = try start().begin(journal, run: run, job: job, endpoint: "tcp://h:1")
    return (run, journal)
}

private func start(
    _ wish: RunStart.Wish = .takeUp, recipe: [String: String] = ["train.batch": "2"], data: String = "d"
) -> RunStart {
    RunStart(seed: 1, layoutDigest: layout.digest, recipe: recipe, planIdentity: 5, dataDigest: data, wish: wish)
}

private func writeCheckpoint(_ run: RunDirectory, step: Int, generation: Int, job: UInt64 = 7) throws {
    let store = run.checkpoints
    let part = try store.createPartDirectory(step: step, generation: generation)
    let files = try ShardWriter(directory: part, server: 0, serverCount: 1, layout: layout).write(tensors: [0, 1]) {
        (value, tensor, emit) throws(StorageError) in
        let bytes = [UInt8](repeating: UInt8(step), count: layout.tensors[tensor].elementCount * 4)
        try bytes.withUnsafeBufferPointer { (buffer) throws(StorageError) in try emit(UnsafeRawBufferPointer(buffer)) }
    }
    try store.complete(
        Manifest(
            job: String(job, radix: 16), model: "m", settings: "{}", step: step, generation: generation, seed: 1,
            ticketsConsumed: 0, layoutDigest: layout.digest, serverCount: 1, files: files), layout: layout)
}

@Suite struct RunTests {
    /// Another recipe is refused by the names of its settings, and nothing is written.
    @Test func anotherRecipeIsRefused() throws {
        let directory = TemporaryDirectory()
        let (run, journal) = try begun("\(directory.path)/run")
        let before = journal.replay
        #expect(before.recipe == ["train.batch": "2"])
        let error = #expect(throws: StorageError.self) {
            try start(recipe: ["train.batch": "3", "seed": "1"]).check(before, run: run)
        }
        #expect(error?.description.contains("train.batch is 3, the run's is 2") == true)
        try start(recipe: ["train.batch": "2", "a.newer": "setting"]).check(before, run: run)
        #expect(try Journal.read(run) == before)
    }

    @Test func startsAreCountedAndStopsHold() throws {
        let directory = TemporaryDirectory()
        let (run, journal) = try begun("\(directory.path)/run")
        try journal.append(.stopAfter(version: 3), sync: false)
        #expect(try start().begin(journal, run: run, job: 9, endpoint: "e").stopAfter == 3)
        #expect(journal.replay.term == 2 && journal.replay.job == 7)
        #expect(try start(.goOn).begin(journal, run: run, job: 9, endpoint: "e").stopAfter == nil)
        let base = CheckpointReference(version: 4, foreign: "/elsewhere")
        let back = try start(.from(base)).begin(journal, run: run, job: 9, endpoint: "e")
        #expect(back.checkpoints == [base] && back.generation == 1 && back.version == 4)
        // Begun anew, the journal says the same in one record.
        try journal.beginAnew(reported: 0)
        #expect(try JournalFile.read(run.journal).records.count == 1)
        var next = back
        next.part = 2
        #expect(try Journal.read(run) == next)
        try journal.append(.resumed, sync: true)
        #expect(try JournalFile.read(run.journal).records.count == 2)
        #expect(names(in: run.path) == ["journal", "journals", "logs"])
        // And what led there can be looked up.
        #expect(names(in: run.formerJournals) == ["000001"])
        #expect(try JournalFile.read(run.formerJournal(1)).records.count > 5)
    }

    /// A journal that cannot begin anew goes on as it is.
    @Test func aFailedNewBeginningCostsNothing() throws {
        let directory = TemporaryDirectory()
        let (run, journal) = try begun("\(directory.path)/run")
        mkdir("\(run.journal).new", 0o755)
        #expect(throws: StorageError.self) { try journal.beginAnew(reported: 0) }
        try journal.append(.stopAfter(version: 8), sync: true)
        #expect(try Journal.read(run).stopAfter == 8)
        rmdir("\(run.journal).new")
        #expect(journal.replay.part == 1)
        try journal.beginAnew(reported: 0)
        #expect(try Journal.read(run) == journal.replay)
        // The try before left its name for what is the same file.
        #expect(names(in: run.formerJournals) == ["000001"])
        let kept = try JournalFile.read(run.formerJournal(1)).records
        #expect(kept.last.flatMap { JournalRecord.decode($0) } == [.stopAfter(version: 8)])
    }

    /// Reading changes nothing, a torn tail included; opening cuts it.
    @Test func readingLeavesATornTail() throws {
        let directory = TemporaryDirectory()
        let (run, journal) = try begun("\(directory.path)/run")
        let sound = readFile(run.journal)
        writeFile(run.journal, sound + [1, 2, 3])
        #expect(try Journal.read(run) == journal.replay)
        #expect(readFile(run.journal).count == sound.count + 3)
        #expect(try Journal(run).cutByteCount == 3)
        #expect(readFile(run.journal) == sound)
    }

    /// A checkpoint that got its name but not its record counts from the next start on, if it is of the history that counts.
    @Test func aCheckpointWithoutItsRecordIsAdopted() throws {
        let directory = TemporaryDirectory()
        let (run, journal) = try begun("\(directory.path)/run")
        try journal.append(.rollback(generation: 1, base: nil), sync: false)
        for step in 0..<4 as Range<UInt64> {
            try journal.append(
                .step(
                    .committed(
                        Commit(step: Step(step), scale: 1, learningRate: 1, averageDecay: 0, skip: false), norm: 1)),
                sync: false)
        }
        for (step, generation, job) in [(1, 1, 7), (2, 1, 8), (3, 2, 7), (4, 1, 7), (5, 1, 7)] as [(Int, Int, UInt64)] {
            try writeCheckpoint(run, step: step, generation: generation, job: job)
        }
        #expect(try Journal.read(run).checkpoints.isEmpty, "for nobody before")
        let replay = try start().begin(journal, run: run, job: 7, endpoint: "e")
        #expect(
            replay.checkpoints == [1, 4].map { CheckpointReference(version: Version($0), generation: 1) },
            "not another job's, not a void generation's, not one above the history")
    }

    /// Damage is proved, everything else may pass.
    @Test func damageAndAbsenceAreTwoThings() throws {
        let directory = TemporaryDirectory()
        let (run, _) = try begun("\(directory.path)/run")
        let nonce = try run.writeKey().nonce
        try writeCheckpoint(run, step: 3, generation: 1)
        let reference = CheckpointReference(version: 3, generation: 1)
        func problem(
            _ reference: CheckpointReference, _ run: RunDirectory, job: UInt64 = 7, nonce: String? = nil
        ) -> StorageError? {
            do throws(StorageError) {
                _ = try run.open(reference, job: job, nonce: nonce)
                return nil
            } catch { return error }
        }
        #expect(problem(reference, run, nonce: nonce) == nil)
        // Moved: there is nothing to be seen there. In its new place it is read.
        rename(run.path, "\(directory.path)/moved")
        #expect(problem(reference, run, nonce: nonce)?.isDamage == false)
        #expect(problem(reference, run)?.isDamage == false)
        let moved = RunDirectory("\(directory.path)/moved")
        #expect(problem(reference, moved, nonce: nonce) == nil)
        // Another mount under the same name.
        #expect(problem(reference, moved, nonce: "other")?.isDamage == false)
        // Another run's, which is away.
        #expect(problem(CheckpointReference(version: 3, foreign: "/nowhere"), moved)?.isDamage == false)
        // Not what the journal means.
        #expect(problem(CheckpointReference(version: 3, generation: 2), moved)?.isDamage == true)
        #expect(problem(reference, moved, job: 8)?.isDamage == true)
        #expect(problem(CheckpointReference(version: 4), moved)?.description.hasSuffix("step-4: is gone") == true)
        #expect(problem(CheckpointReference(version: 4), moved)?.isDamage == true)
        let shard = "\(moved.checkpoints.path(step: 3))/model-00001-of-00001.safetensors"
        var bytes = readFile(shard)
        bytes[bytes.count - 1] ^= 1
        writeFile(shard, bytes)
        #expect(problem(reference, moved, nonce: nonce)?.isDamage == true)
        // A directory that cannot be looked into is not one without a job.
        if getuid() != 0 {
            chmod(moved.path, 0)
            #expect(throws: StorageError.self) { try moved.hasJob() }
            chmod(moved.path, 0o755)
        }
    }

    @Test func oneJobAtATime() throws {
        let directory = TemporaryDirectory()
        let run = RunDirectory("\(directory.path)/run")
        try run.create()
        try RunLock.check(run)
        #expect(names(in: run.path) == ["logs"], "a look changes nothing")
        var lock: RunLock? = try RunLock(run)
        try lock!.sign()
        for attempt in [{ _ = try RunLock(run) }, { try RunLock.check(run) }] {
            let error = #expect(throws: StorageError.self) { try attempt() }
            #expect(error?.description.contains("in use by pid \(getpid())") == true)
        }
        _ = lock
        lock = nil
        try RunLock.check(run)
    }

    /// Each step of the history that counts once; void lines apart; a line that a crash cut short is written over.
    @Test func metricsAreOfTheHistoryThatCounts() throws {
        let directory = TemporaryDirectory()
        let (run, _) = try begun("\(directory.path)/run")
        func report(_ step: UInt64, _ loss: Double) -> StepReport {
            StepReport(
                Replay.Committed(
                    commit: Commit(step: Step(step - 1), scale: 1, learningRate: 1, averageDecay: 0, skip: false),
                    contributions: [
                        Contribution(
                            attempt: Attempt(ticket: 1, number: 1), loss: loss, correct: 1, samples: 2, norm: 0)
                    ], norm: 3), stepsPerEpoch: 10)
        }
        func losses(_ file: String) -> [Double] {
            String(decoding: readFile(file), as: UTF8.self).split(separator: "\n").compactMap {
                try? JSON.decode(StepReport.self, from: $0.utf8).loss
            }
        }
        let metrics = Metrics(run)
        for step in 1...5 as ClosedRange<UInt64> { try metrics.append(report(step, Double(step))) }
        try metrics.append(report(5, 50))
        #expect(losses(run.metrics) == [1, 2, 3, 4, 5], "decided again, written once")
        try metrics.rollBack(to: 3)
        try metrics.append(report(4, 40))
        #expect(losses(run.metrics) == [1, 2, 3, 40])
        #expect(losses(run.voidMetrics) == [4, 5])
        writeFile(run.metrics, Array(readFile(run.metrics).dropLast(9)))
        let later = Metrics(run)
        #expect(later.report(of: 4) == nil)
        #expect(later.report(of: 3)?.loss == 3)
        try later.append(report(4, 41))
        #expect(losses(run.metrics) == [1, 2, 3, 41])
        try later.rollBack(to: 2)
        #expect(losses(run.voidMetrics) == [4, 5, 3, 41])
        // What cannot be written is written before what comes next, unless it is void by then.
        rename(run.path, run.path + "-away")
        #expect(throws: StorageError.self) { try later.append(report(3, 31)) }
        #expect(throws: StorageError.self) { try later.append(report(4, 42)) }
        try later.rollBack(to: 3)
        rename(run.path + "-away", run.path)
        try later.append(report(4, 43))
        #expect(losses(run.metrics) == [1, 2, 31, 43])
        // What cannot be read is kept for who can.
        let other = RunDirectory(directory.path + "/pipe")
        try other.create()
        #expect(mkfifo(other.metrics, 0o644) == 0)
        try Metrics(other).append(report(1, 1))
        #expect(losses(other.metrics) == [1])
        #expect(try other.files.entry(other.unreadableMetrics) == .other)
        // Somebody empties it while the job runs.
        writeFile(run.metrics, [])
        try later.rollBack(to: 1)
        try later.append(report(2, 20))
        #expect(losses(run.metrics) == [20])
        #expect(losses(run.voidMetrics) == [4, 5, 3, 41])
    }
}

/// Changes the working directory, which is the process's: one test at a time.
@Suite(.serialized) struct LastRunTests {
    private func inDirectory(_ body: (String) throws -> Void) throws {
        let directory = TemporaryDirectory()
        let before = FileManager.default.currentDirectoryPath
        #expect(chdir(directory.path) == 0)
        defer { chdir(before) }
        try body(Paths.resolved(directory.path)!)
    }

    @Test func theLinkLeadsToTheNewestRunAndNeverToItself() throws {
        try inDirectory { here in
            #expect(LastRun.path == nil)
            for name in ["runs/a", "runs/b"] { try RunDirectory(name).create() }
            try RunDirectory("elsewhere").create()
            #expect(LastRun.become(RunDirectory("runs/a")) == nil)
            #expect(
                try FileManager.default.destinationOfSymbolicLink(atPath: "runs/last") == "a", "moves with the tree")
            #expect(LastRun.path == "\(here)/runs/a")
            // Through the link itself, and through a person's own.
            #expect(LastRun.become(RunDirectory("runs/last")) == nil)
            #expect(LastRun.path == "\(here)/runs/a")
            symlink("\(here)/runs/b", "mine")
            #expect(LastRun.become(RunDirectory("mine")) == nil)
            #expect(LastRun.path == "\(here)/runs/b")
            #expect(LastRun.become(RunDirectory("elsewhere")) == nil)
            #expect(LastRun.path == "\(here)/elsewhere")
            #expect(names(in: "runs") == ["a", "b", "last"])
        }
    }

    /// A copy that follows links makes a directory of it.
    @Test func whereThereCanBeNoLinkAFileNamesTheRun() throws {
        try inDirectory { here in
            for name in ["runs/last", "runs/b", "runs/c"] { try RunDirectory(name).create() }
            #expect(LastRun.path == "\(here)/runs/last")
            let remark = LastRun.become(RunDirectory("runs/b"))
            #expect(remark?.contains("runs/last is there and is no link: runs/last-run names this run") == true)
            #expect(LastRun.path == "\(here)/runs/b")
            // A person mends it.
            rename("runs/last", "runs/old")
            #expect(LastRun.become(RunDirectory("runs/c")) == nil)
            #expect(LastRun.path == "\(here)/runs/c")
            #expect(!names(in: "runs").contains("last-run"))
        }
    }
}
