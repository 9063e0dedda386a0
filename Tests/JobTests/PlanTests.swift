// A job's plan: made once, kept, the same for every worker, and missed when it is gone.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSCoordinator
import PSFiles
import PSJob
import PSModel
import PSPlanning
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct PlanTests {
    private static let settings = [
        "train.steps=8", "train.batch=8", "model.width=0.1", "eval.atEnd=false", "optimizer.averageDecay=0.9",
        "cluster.workers=1", "cluster.servers=1", "seed=3", "learningRate.shape=constant",
    ]

    private func train(
        _ run: String, set: [String] = [], _ more: String..., within seconds: Double = 60
    ) throws -> Finished {
        let all = PlanTests.settings + set
        return try Running("psctl", ["train", "--json", "--run-dir", run] + all.flatMap { ["--set", $0] } + more)
            .finish(within: seconds)
    }

    private func summary(_ finished: Finished) throws -> RunSummary {
        #expect(finished.code == 0, "\(finished.errors)")
        return try finished.json(RunSummary.self)
    }

    private func expectRefusal(
        _ run: String, _ parts: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let finished = try train(run, set: ["train.steps=12"], "--resume", "last")
        #expect(finished.code == 1, sourceLocation: sourceLocation)
        let errors = finished.errors.split(separator: "\n").filter { $0.contains("error: ") }
        #expect(errors.count == 1, "\(finished.errors)", sourceLocation: sourceLocation)
        for part in parts + ["\(run)/plan.json"] {
            #expect(finished.errors.contains(part), "\(finished.errors)", sourceLocation: sourceLocation)
        }
    }

    /// What eight steps come to, computed direct.
    private static let calm: Result<RunSummary, any Error> = Result {
        let scratch = try Scratch()
        let tests = PlanTests()
        return try tests.summary(tests.train(scratch.file("run"), set: ["engine.convolution=direct"]))
    }

    @Test func aResumedJobKeepsItsPlanWhateverTheSettingsSay() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let first = try summary(train(run, set: ["train.steps=4", "engine.convolution=direct"]))
        let text = try String(contentsOfFile: "\(run)/plan.json", encoding: .utf8)
        let plan = try PlanFile(text: text, path: "plan")
        #expect(plan.origin == "direct" && plan.batch == 8 && plan.imageSize == 32)
        #expect(plan.layers.allSatisfy { $0.forward == .direct && $0.backward == .direct })
        #expect(first.plan == plan.summary)
        let second = try summary(train(run, set: ["engine.convolution=winograd"], "--resume", "last"))
        #expect(second.plan == plan.summary)
        #expect(second.steps == 8)
        #expect(try second.weightsSHA256 == PlanTests.calm.get().weightsSHA256)
        #expect(try String(contentsOfFile: "\(run)/plan.json", encoding: .utf8) == text)
        // The workers were sent it.
        let log = try String(contentsOfFile: "\(run)/logs/worker-0.log", encoding: .utf8)
        #expect(log.components(separatedBy: "plan=\(plan.summary)").count == 3, "\(log)")
        let status = try psctl("status", "--run-dir", run)
        #expect(status.output.contains("\nplan: \(plan.summary)\n"), "\(status.output)")
    }

    @Test func workersComputeByThePlanTheyAreSent() throws {
        let scratch = try Scratch()
        let pinned = scratch.file("pinned.json")
        var model = JobConfiguration().model
        model.width = 0.1
        model.classes = 10
        let description = try ModelDescription(model)
        var plan = EnginePlan(layers: [:])
        for convolution in description.plannedConvolutions(batch: 8) {
            guard let tile = WinogradScheme.tiles(for: convolution.shape).first else { continue }
            plan.layers[convolution.name] = ConvolutionChoice(
                forward: .winograd(tile: tile), backward: .winograd(tile: tile))
        }
        let file = PlanFile(plan, origin: "by hand", description: description, batch: 8)
        try file.text.write(toFile: pinned, atomically: true, encoding: .utf8)
        let whole = try summary(train(scratch.file("whole"), set: ["engine.plan=\(pinned)"]))
        #expect(whole.plan == file.summary)
        #expect(try whole.weightsSHA256 != PlanTests.calm.get().weightsSHA256, "Winograd rounds otherwise")
        let run = scratch.file("parts")
        _ = try summary(train(run, set: ["train.steps=4", "engine.plan=\(pinned)"]))
        try FileManager.default.removeItem(atPath: pinned)
        let parts = try summary(
            train(run, set: ["engine.convolution=direct"], "--resume", "last"))
        #expect(parts.plan == file.summary)
        #expect(parts.weightsSHA256 == whole.weightsSHA256)
    }

    @Test func aPinnedPlanIsTheJobs() throws {
        let scratch = try Scratch()
        let pinned = scratch.file("pinned.json")
        let measured = try psctl(
            "bench", "plan", "--image-size", "32", "--stem", "79", "--width", "0.1", "--classes", "10", "--batch", "8",
            "--steps", "1", "--max-error", "1e-7", "--no-auxiliary", "--out", pinned)
        #expect(measured.code == 0, "\(measured.errors)")
        let run = scratch.file("run")
        let summary = try summary(train(run, set: ["engine.plan=\(pinned)"]))
        let plan = try PlanFile(path: pinned)
        #expect(summary.plan == plan.summary)
        #expect(plan.origin == "measured")
        // No algorithm but direct is as exact as was asked.
        #expect(try summary.weightsSHA256 == PlanTests.calm.get().weightsSHA256)
    }

    @Test func aPinnedPlanThatDoesNotFitIsRefusedBeforeThereIsARun() throws {
        let scratch = try Scratch()
        let pinned = scratch.file("pinned.json")
        let run = scratch.file("run")
        let missing = try train(run, set: ["engine.plan=\(pinned)"])
        #expect(missing.code == 1)
        #expect(missing.errors.contains("cannot read the plan \(pinned)"), "\(missing.errors)")
        let description = try ModelDescription(ModelSettings())
        let large = PlanFile(.direct, origin: "direct", description: description, batch: 8)
        try large.text.write(toFile: pinned, atomically: true, encoding: .utf8)
        let other = try train(run, set: ["engine.plan=\(pinned)"])
        #expect(other.code == 1)
        #expect(other.errors.contains("\(pinned) is a plan for another model"), "\(other.errors)")
        #expect(!FileManager.default.fileExists(atPath: run))
    }

    @Test func aPlanThatIsDamagedOrAnotherIsNamed() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        _ = try summary(train(run))
        let file = "\(run)/plan.json"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        func write(_ text: String) throws { try text.write(toFile: file, atomically: true, encoding: .utf8) }
        try write(String(text.prefix(text.count / 2)))
        try expectRefusal(run, "is no plan of this release")
        let layer = try #require(PlanFile(text: text, path: file).layers.last)
        try write(text.replacing("\"name\": \"\(layer.name)\"", with: "\"name\": \"another\""))
        try expectRefusal(run, "another gives other bits")
        try FileManager.default.removeItem(atPath: file)
        try expectRefusal(run, "cannot read the plan")
        try write(text)
        #expect(try summary(train(run, set: ["train.steps=12"], "--resume", "last")).steps == 12)
    }

    /// A run directory as releases left it that knew no plans: neither the file nor its record in the journal.
    @Test func aRunWithoutAPlanGoesOnDirect() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        _ = try summary(train(run, set: ["train.steps=4", "engine.convolution=direct"]))
        try FileManager.default.removeItem(atPath: "\(run)/plan.json")
        let path = "\(run)/journal"
        // After its checkpoint the journal began anew with one record of all before.
        let records = try JournalFile.read(path).records.flatMap { try #require(JournalRecord.decode($0)) }
        guard case .state(var state)? = records.first else { throw CocoaError(.fileReadCorruptFile) }
        #expect(state.planIdentity != nil)
        state.planIdentity = nil
        try FileManager.default.removeItem(atPath: path)
        let journal = try Journal(RunDirectory(run))
        for record in [.state(state)] + records.dropFirst() { try journal.append(record, sync: true) }

        let resumed = try train(run, set: ["engine.convolution=winograd"], "--resume", "last")
        #expect(resumed.errors.contains("plan: direct as before there were plans, 0 of "), "\(resumed.errors)")
        let log = try String(contentsOfFile: "\(run)/logs/coordinator-0.log", encoding: .utf8)
        #expect(log.components(separatedBy: "a release without plans began the run").count == 2)
        #expect(try summary(resumed).weightsSHA256 == PlanTests.calm.get().weightsSHA256)
        let written = try PlanFile(path: "\(run)/plan.json")
        #expect(written.layers.allSatisfy { $0.forward == .direct && $0.backward == .direct })
    }
}
