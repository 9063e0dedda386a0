// What a run is: resumed as the README says, moved, copied, mounted read-only, refused without a trace, rotten in parts,
// taken back to an older checkpoint. In the end there are the bits of a job that nobody disturbs.

import Foundation
import PSCheckpoint
import PSFiles
import PSJob
import PSParameters
import PSPlanning
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct ResumeTests {
    private let jobs = SmallJobs()

    private func target(_ link: String = "runs/last") throws -> String {
        try FileManager.default.destinationOfSymbolicLink(atPath: jobs.path(link))
    }

    /// No `--run-dir` anywhere.
    @Test func goesOnInTheDefaultPlace() throws {
        try jobs.train(nil, steps: 4)
        let run = try target()
        #expect(run.hasPrefix("fashion-mnist-"), "relative, so that the tree can be moved: \(run)")
        try expectUndisturbed(jobs.resume(nil, steps: 6).summary())
        #expect(try target() == run)
        #expect(try jobs.checkpoints("runs/last").contains("step-6"))

        // From a checkpoint named through the link, which the start moves to the new run.
        try expectUndisturbed(jobs.resume(nil, steps: 8, from: "runs/last/checkpoints/step-4").summary())
        let second = try target()
        #expect(second != run && second.hasPrefix("fashion-mnist-"))
        #expect(try jobs.checkpoints("runs/last").contains("step-8"))
        #expect(try jobs.checkpoints("runs/\(run)").contains("step-6"), "the former run is as it was")

        // Through links of one's own, and the tree elsewhere.
        for name in ["runs/last", "mine"] {
            try? FileManager.default.createSymbolicLink(atPath: jobs.path("mine"), withDestinationPath: "runs/\(run)")
            #expect(try jobs.resume(name, steps: name == "mine" ? 7 : 9).summary().steps == (name == "mine" ? 7 : 9))
        }
        #expect(try target() == run)
        #expect(try target("mine") == "runs/\(run)", "a person's link stays")
        try jobs.move("runs", "elsewhere")
        try FileManager.default.createDirectory(atPath: jobs.path("new"), withIntermediateDirectories: true)
        try jobs.move("elsewhere", "new/runs")
        let there = try Running("psctl", ["status"], in: jobs.path("new")).finish()
        #expect(there.output.contains("step 7 of 7"), "\(there.output)\(there.errors)")
    }

    @Test func aRefusedResumeLeavesEveryByte() throws {
        let run = "run"
        try jobs.train(run, steps: 4)
        let before = try jobs.tree(run)
        func expectRefusal(
            _ set: [String], code: Int32 = 1, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let finished = try jobs.resume(run, steps: 6, set: set).finish()
            #expect(finished.code == code, "\(finished.errors)", sourceLocation: sourceLocation)
            for word in words {
                #expect(finished.errors.contains(word), "\(finished.errors)", sourceLocation: sourceLocation)
            }
            #expect(try jobs.tree(run) == before, sourceLocation: sourceLocation)
        }
        try expectRefusal(["seed=2"], "seed is 2, the run's is 1")
        try expectRefusal(["train.batch=4"], "train.batch is 4, the run's is 8")
        try expectRefusal(["train.ticketsPerStep=3"], "train.ticketsPerStep is 3")
        try expectRefusal(["optimizer.rule=momentum"], "optimizer.rule is momentum")
        try expectRefusal(["model.width=0.2"], "model.width is 0.2")
        try expectRefusal(["train.stepz=1"], code: 64, "train.stepz", "train.steps")
        try expectRefusal(["data.path=\(jobs.path("none"))"], jobs.path("none"))
        let none = try jobs.resume(run, steps: 6, from: "\(run)/checkpoints/step-3").finish()
        #expect(none.code == 1)
        #expect(try jobs.tree(run) == before)
        for command in ["stop", "checkpoint"] {
            let asked = try jobs.psctl(command, "--run-dir", jobs.path(run))
            #expect(asked.errors.contains("has ended (finished)"), "\(asked.errors)")
        }
        // Without the wish to resume at all.
        #expect(try jobs.begin(run, steps: 6).finish().code == 1)
        #expect(try jobs.tree(run) == before)

        let file = jobs.path("\(run)/plan.json")
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let layer = try #require(PlanFile(text: text, path: file).layers.last)
        try text.replacing("\"name\": \"\(layer.name)\"", with: "\"name\": \"another\"")
            .write(toFile: file, atomically: false, encoding: .utf8)
        let changed = try jobs.tree(run)
        #expect(try jobs.resume(run, steps: 6).finish().code == 1)
        #expect(try jobs.tree(run) == changed)
        try text.write(toFile: file, atomically: false, encoding: .utf8)

        try expectUndisturbed(jobs.resume(run, steps: 6).summary())
    }

    /// A mount that is not there, a link that leads nowhere, a file in the way: nothing becomes void by that.
    @Test func checkpointsThatAreAwayForAMoment() throws {
        let run = "run"
        try jobs.train(run, steps: 4)
        for stand in hasTimeForLongTests ? ["empty", "link", "file"] : ["empty"] {
            try jobs.copy(run, stand)
            try jobs.move("\(stand)/checkpoints", "aside")
            let place = jobs.path("\(stand)/checkpoints")
            switch stand {
            case "empty":
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
            case "link":
                try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: "nowhere/at/all")
            default: try "".write(toFile: place, atomically: false, encoding: .utf8)
            }
            let refused = try jobs.resume(stand, steps: 6).finish(within: 50)
            #expect(refused.code == 1, "\(stand): \(refused.errors)")
            try FileManager.default.removeItem(atPath: place)
            try jobs.move("aside", "\(stand)/checkpoints")
            let resumed = try jobs.resume(stand, steps: 6).finish(within: 50)
            #expect(resumed.errors.contains("step 4/6"), "\(stand): \(resumed.errors)")
            #expect(try RunSummary.read(from: RunDirectory(jobs.path(stand))).steps == 6)
            #expect(jobs.steps(stand, "metrics-void.jsonl").isEmpty, "\(stand)")
        }
    }

    /// Asked for fewer steps than there are.
    @Test func aRunThatIsPastItsEndHasNothingLeft() throws {
        try jobs.train("run", steps: 4)
        let resumed = try jobs.resume("run", steps: 3).finish()
        #expect(
            resumed.code == 0 && resumed.errors.contains("has reached step 4 already, of 3 by train.steps"),
            "\(resumed.errors)")
        #expect(resumed.errors.contains("step 4/4"), "\(resumed.errors)")
        try expectUndisturbed(jobs.resume("run", steps: 6).summary())
    }

    /// What is left of a job without its journal is not the room of a new one, nor is another job's run.
    @Test func aNewJobDoesNotGoOverAnothers() throws {
        try jobs.train("run", steps: 4)
        try jobs.train("other", steps: 5)
        let other = try jobs.tree("other")
        let foreign = try jobs.resume("other", steps: 6, from: "run/checkpoints/step-4").finish()
        #expect(foreign.code == 1 && foreign.errors.contains("has a job of its own"), "\(foreign.errors)")
        #expect(try jobs.tree("other") == other)
        let journal = jobs.path("run/journal")
        let bytes = try Data(contentsOf: URL(fileURLWithPath: journal))
        for count in [0, 4, 8] {
            try bytes.prefix(count).write(to: URL(fileURLWithPath: journal))
            let before = try jobs.tree("run")
            let refused = try jobs.resume("run", steps: 6).finish()
            #expect(refused.code == 1 && refused.errors.contains("--resume CHECKPOINT"), "\(refused.errors)")
            #expect(try jobs.tree("run") == before)
        }
        // By hand, without a wish to resume.
        try FileManager.default.removeItem(atPath: journal)
        let before = try jobs.tree("run")
        let refused = try Running(
            "ps-coordinator",
            ["--config", "run/config.yaml", "--run-dir", "run", "--bind", "tcp://127.0.0.1:*"], in: jobs.path("")
        ).finish(within: 20)
        #expect(refused.code == 1 && refused.errors.contains("--resume CHECKPOINT"), "\(refused.errors)")
        #expect(try jobs.tree("run") == before)
    }

    /// A wish that fails is not in the journal.
    @Test func aFailedWayBackChangesNoHistory() throws {
        try jobs.train("run", checkpoints: [2, 4])
        let obstacle = jobs.path("run/config.yaml.tmp")
        try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: false)
        #expect(try jobs.resume("run", steps: 6, from: "run/checkpoints/step-2").finish().code == 1)
        try FileManager.default.removeItem(atPath: obstacle)
        try expectUndisturbed(jobs.resume("run", steps: 6).summary())
        #expect(jobs.steps("run", "metrics-void.jsonl").isEmpty)
    }

    @Test func aRunSomebodyElseHoldsIsLeftAlone() throws {
        let run = "run"
        let job = try jobs.begin(run, steps: SmallJobs.endless)
        jobs.waitForStep(2, of: run)
        // They stand still, so that nothing but the refused command could change a byte.
        let all = [pid_t(job.pid)] + job.children.map(\.pid)
        for pid in all { kill(pid, SIGSTOP) }
        usleep(100_000)
        let before = try jobs.tree(run)
        let refused = try jobs.resume(run, steps: 6).finish(within: 20)
        #expect(refused.code == 1)
        #expect(refused.errors.contains("in use"), "\(refused.errors)")
        #expect(try jobs.tree(run) == before)
        for pid in all { kill(pid, SIGCONT) }
        job.send(SIGTERM)
        let stopped = try job.summary(code: 75)
        #expect(try jobs.resume(run, steps: Int(stopped.steps) + 2).summary().steps == stopped.steps + 2)
    }

    @Test func whatMayChangeIsAccepted() throws {
        try jobs.train("run", steps: 2)
        #expect(try Running(shell: "cp -r '\(FewImages.path)' '\(jobs.path("images"))'").finish().code == 0)
        let second = try jobs.resume(
            "run", steps: 4,
            set: [
                "learningRate.base=0.02", "cluster.workers=2", "cluster.servers=3", "cluster.threads=2",
                "checkpoint.everySteps=1", "checkpoint.keep=2", "data.path=\(jobs.path("images"))", "eval.batch=7",
                "optimizer.clip=1", "engine.convolution=direct",
            ]
        ).summary()
        #expect(second.steps == 4)
        #expect(second.servers == 3 && second.workers == 2)
        #expect(try jobs.checkpoints("run") == ["step-3", "step-4"])
        // What was accepted holds for the next time.
        let text = try String(contentsOfFile: jobs.path("run/config.yaml"), encoding: .utf8)
        #expect(text.contains("base: 0.02") && text.contains("servers: 3"), "\(text)")
        // Nothing is left to do: what is said of the work is what the start that did it said.
        let again = try jobs.resume("run", steps: 4).summary()
        #expect(second.seconds > 0 && again.seconds == second.seconds)
        #expect(again.ticketsByWorker == second.ticketsByWorker && again.weightsSHA256 == second.weightsSHA256)
    }
}

@Suite(.serialized)
struct RunPlaceTests {
    private let jobs = SmallJobs()

    @Test func aRenamedRunGoesOn() throws {
        try jobs.train("old", steps: 4)
        try jobs.move("old", "new")
        try expectUndisturbed(jobs.resume("new", steps: 6).summary())
        #expect(try jobs.loadedStep("new") == "4")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("old")))
        try jobs.move("new", "old")
        try expectUndisturbed(jobs.resume("old", steps: 8).summary())
        #expect(try jobs.loadedStep("old") == "6")
    }

    @Test func aCopyReadsItsOwnFiles() throws {
        try jobs.train("original", steps: 4)
        try jobs.copy("original", "copy")
        try jobs.train("other", steps: 4, set: ["seed=9"])
        try FileManager.default.removeItem(atPath: jobs.path("original/checkpoints/step-4"))
        try jobs.copy("other/checkpoints/step-4", "original/checkpoints/step-4")
        try expectUndisturbed(jobs.resume("copy", steps: 6).summary())
        // The original has a checkpoint of another job under its name: that is damage, by name.
        let export = try jobs.psctl("export", "--run-dir", "original", "--out", jobs.path("w"))
        #expect(export.code == 1 && export.errors.contains("is of another job"), "\(export.errors)")
        let back = try jobs.resume("original", steps: 6).finish()
        #expect(back.code == 0 && back.errors.contains("step 0"), "\(back.errors)")
        try expectUndisturbed(try back.json(RunSummary.self))
    }

    /// The files that were copied name a coordinator, which is the original's.
    @Test func aCopyOfARunThatWorksIsNotIt() throws {
        let job = try jobs.begin("original", steps: SmallJobs.endless)
        jobs.waitForStep(6, of: "original")
        try jobs.copy("original", "copy")
        for command in ["stop", "checkpoint"] {
            let asked = try jobs.psctl(command, "--run-dir", "copy")
            #expect(asked.code == 1 && asked.errors.contains("is a copy"), "\(asked.output)\(asked.errors)")
        }
        let seen = try jobs.status("copy")
        #expect(seen.state == .stopped && seen.text.contains("a copy"), "\(seen)")
        let now = try #require(jobs.steps("original").last)
        jobs.waitForStep(now + 3, of: "original")
        // What is moved is still itself.
        try jobs.move("original", "moved")
        #expect(try jobs.status("moved").state == .running)
        try jobs.move("moved", "original")
        job.send(SIGTERM)
        _ = try job.summary(code: 75)
        let reached = try #require(jobs.steps("copy").last)
        try expectUndisturbed(jobs.resume("copy", steps: Int(reached) + 10).summary())
    }

    @Test(.enabled(if: getuid() == 0, "mounts are for root")) func aRunMountedReadOnly() throws {
        try jobs.train("run", steps: 4)
        let before = try jobs.tree("run")
        let bin = Running.directory.path
        func inside(_ commands: String) throws -> Finished {
            try Running(
                shell: "cd '\(jobs.scratch.path)' && exec unshare --mount bash -c 'mount --bind run run && "
                    + "mount -o remount,ro,bind run && \(commands)'"
            ).finish()
        }
        guard try inside("true").code == 0 else { return }  // a container without the right to mount
        let read = try inside(
            "\(bin)/psctl status --run-dir run && \(bin)/psctl evaluate --run-dir run --json && "
                + "\(bin)/psctl export --run-dir run --out w.safetensors")
        #expect(read.code == 0, "\(read.errors)")
        #expect(read.output.contains("step 4 of 4") && read.output.contains("\"images\" : 30"), "\(read.output)")
        let resumed = try inside("\(bin)/psctl train --run-dir run --resume last --set train.steps=6")
        #expect(resumed.code == 1)
        #expect(resumed.errors.contains("Read-only file system"), "\(resumed.errors)")
        #expect(resumed.errors.split(separator: "\n").count { $0.contains("error: ") } == 1, "\(resumed.errors)")
        #expect(try jobs.tree("run") == before)
        try expectUndisturbed(jobs.resume("run", steps: 6).summary())
    }

    /// For a moment: a checkpoint is missed and tried again, training goes on.
    @Test func aRunMovedAwayAndBackWhileItsJobRuns() throws {
        let job = try jobs.begin("run", steps: SmallJobs.endless, set: ["checkpoint.everySteps=4"])
        eventually("there is a checkpoint") { (try? jobs.checkpoints("run").contains("step-4")) ?? false }
        try jobs.move("run", "away")
        try job.waitForWords("it is tried again for 30 s")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("run")), "nothing begins anew in the old place")
        try jobs.move("away", "run")
        let newest = try #require(try jobs.checkpoints("run").compactMap { Int($0.dropFirst(5)) }.max())
        eventually("another checkpoint") {
            (try? jobs.checkpoints("run").compactMap { Int($0.dropFirst(5)) }.max()).flatMap { $0 }.map { $0 > newest }
                ?? false
        }
        job.send(SIGTERM)
        let stopped = try job.summary(code: 75)
        try expectUndisturbed(jobs.resume("run", steps: Int(stopped.steps) + 2).summary())
    }

    /// For good: the job ends, and goes on where it was when the run is back.
    @Test(.enabled(if: hasTimeForLongTests)) func aRunMovedAwayWhileItsJobRuns() throws {
        let job = try jobs.begin("run", steps: SmallJobs.endless, set: ["checkpoint.everySteps=4"])
        eventually("there is a checkpoint") { (try? jobs.checkpoints("run").contains("step-4")) ?? false }
        try jobs.move("run", "away")
        let ended = try job.finish(within: 60)
        #expect(ended.code == 1)
        #expect(ended.errors.contains("moved"), "\(ended.errors)")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("run")), "nothing begins anew in the old place")
        let last = try #require(try jobs.checkpoints("away").compactMap { Int($0.dropFirst(5)) }.max())
        #expect(last >= 4)
        try jobs.move("away", "run")
        try expectUndisturbed(jobs.resume("run", steps: last + 2).summary())
        #expect(try jobs.loadedStep("run") == "\(last)")
    }
}

@Suite(.serialized)
struct DamageTests {
    private let jobs = SmallJobs()

    /// A run with the checkpoints 0, 2, 4, 6.
    private static let base: Result<String, any Error> = Result {
        let run = "\(SharedFolder.path)/base"
        try SmallJobs().train(run, checkpoints: [2, 4, 6])
        return run
    }

    private func take() throws {
        let from = try DamageTests.base.get()
        #expect(try Running(shell: "cp -a '\(from)' '\(jobs.path("run"))'").finish().code == 0)
    }

    @Test(arguments: [
        "flipped bit", "truncated shard", "shard gone", "directory gone", "manifest rotten", "manifest gone",
    ])
    func aDamagedCheckpointIsPassedOver(damage: String) throws {
        try take()
        let checkpoint = jobs.path("run/checkpoints/step-6")
        let shard = "\(checkpoint)/slots-00002-of-00002.safetensors"
        let manifest = "\(checkpoint)/\(Manifest.fileName)"
        func change(_ file: String, _ body: (inout Data) -> Void) throws {
            var bytes = try Data(contentsOf: URL(filePath: file))
            body(&bytes)
            try bytes.write(to: URL(filePath: file))
        }
        switch damage {
        case "flipped bit": try change(shard) { $0[$0.count - 100] ^= 1 }
        case "truncated shard": try change(shard) { $0.removeLast(4096) }
        case "shard gone": try FileManager.default.removeItem(atPath: shard)
        case "directory gone": try FileManager.default.removeItem(atPath: checkpoint)
        case "manifest rotten": try change(manifest) { $0[$0.count / 2] = 0 }
        default: try FileManager.default.removeItem(atPath: manifest)
        }
        for arguments in [["evaluate"], ["export", "--out", jobs.path("w")]] {
            let refused = try jobs.start(arguments + ["--run-dir", "run"]).finish()
            #expect(refused.code == 1)
            #expect(refused.errors.contains("checkpoints/step-6"), "\(refused.errors)")
            #expect(refused.errors.contains("--step, there are: 0, 2, 4"), "\(refused.errors)")
        }
        let other = try jobs.psctl("export", "--run-dir", "run", "--step", "4", "--out", jobs.path("w"))
        #expect(other.code == 0, "\(other.errors)")

        let resumed = try jobs.resume("run", steps: 8).finish()
        #expect(resumed.code == 0, "\(resumed.errors)")
        #expect(resumed.errors.contains("cannot load the checkpoint of step 6"), "\(resumed.errors)")
        #expect(resumed.errors.contains("the one of step 4 is tried"), "\(resumed.errors)")
        #expect(try jobs.loadedStep("run") == "4")
        try expectUndisturbed(resumed.json(RunSummary.self))
        #expect(jobs.steps("run") == Array(1...8))
    }

    @Test func theOnlyCheckpointIsDamaged() throws {
        try take()
        // A new run that begins with a checkpoint of another and has come no further.
        #expect(try jobs.resume("one", steps: 4, from: "run/checkpoints/step-4").summary().steps == 4)
        #expect(try jobs.checkpoints("one") == ["step-4"])
        let shard = URL(filePath: jobs.path("one/checkpoints/step-4/model-00001-of-00002.safetensors"))
        let sound = try Data(contentsOf: shard)
        var rotten = sound
        rotten[sound.count - 7] ^= 0x40
        try rotten.write(to: shard)
        let before = try jobs.tree("one/checkpoints")
        let refused = try jobs.resume("one", steps: 6).finish()
        #expect(refused.code == 1)
        #expect(refused.errors.split(separator: "\n").count { $0.contains("error: ") } == 1, "\(refused.errors)")
        #expect(refused.errors.contains("model-00001-of-00002.safetensors: has SHA-256"), "\(refused.errors)")
        #expect(try jobs.tree("one/checkpoints") == before)
        try sound.write(to: shard)
        try expectUndisturbed(jobs.resume("one", steps: 6).summary())
        #expect(try jobs.loadedStep("one") == "4")
    }

    /// What cannot be read for a while is waited for.
    @Test func awayIsNotDamaged() throws {
        try take()
        try jobs.move("run/checkpoints", "away")
        let job = try jobs.resume("run", steps: 8)
        try job.waitForWords("it is tried again")
        try jobs.move("away", "run/checkpoints")
        let finished = try job.finish()
        #expect(finished.code == 0, "\(finished.errors)")
        #expect(!finished.errors.contains("is tried;"))
        #expect(try jobs.loadedStep("run") == "6")
        try expectUndisturbed(finished.json(RunSummary.self))
    }
}
