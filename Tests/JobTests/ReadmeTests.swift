// The commands of the documents, run as they are written there: by a shell, with the programs on PATH. Small settings come
// from the environment, so that the words stay as they are.

import Foundation
import PSCheckpoint
import PSFiles
import PSJob
import PSRun
import Testing

/// Commands that these tests do not run, and why.
private let exceptions = [
    "scripts/train": "a whole build; `theQuickStartFromACopy` runs it with PS_LONG_TESTS=1",
    "scripts/test": "is what runs this",
    "scripts/test --long": "is what runs this, and installs PyTorch",
    "scripts/check": "a whole build; `theChecksThatNeedNoBuild` runs the rest of it with PS_LONG_TESTS=1",
    "scripts/check --quick": "`theChecksThatNeedNoBuild` runs it with PS_LONG_TESTS=1",
    "scripts/swarm 100000": "a whole build and half an hour; `stormyJobs` runs 1,500 of its jobs",
    "scripts/plant-bugs": "a whole build for each fault",
    "scripts/storm": "three quarters of an hour; `StormTests` runs its storms in small with PS_LONG_TESTS=1",
    "scripts/compare-convolutions FOLDER": "hours of training, and installs matplotlib",
    "scripts/compare-networks": "an hour of measuring, and installs PyTorch",
    "scripts/paper-report DATA OUT": "an hour of training, and installs matplotlib",
]

private let isLong = ProcessInfo.processInfo.environment["PS_LONG_TESTS"] == "1"

/// The smallest network, nothing measured at the end.
private let small = [
    "PSCTL_MODEL_WIDTH": "0.01", "PSCTL_TRAIN_BATCH": "8", "PSCTL_EVAL_AT_END": "false",
    "PSCTL_CHECKPOINT_EVERY_SECONDS": "0",
]

/// A working directory in which commands are run, and the memory of which were.
private final class Person {
    let scratch: Scratch
    private(set) var commands: Set<String> = []
    private var environment = small.merging([
        "PATH": Running.directory.path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
    ]) { $1 }

    init(steps: Int = 1_000_000) throws {
        scratch = try Scratch()
        plan(steps: steps)
    }

    /// What `train.steps` is from now on.
    func plan(steps: Int) { environment["PSCTL_TRAIN_STEPS"] = "\(steps)" }

    /// A library that stands in for some of the system's functions.
    func preload(_ library: String?) { environment["LD_PRELOAD"] = library }

    /// - Parameters:
    ///   - more: arguments that make it shorter, or that fit it to the small network.
    ///   - placeholders: what stands for the words in capitals.
    ///   - folder: where, below the working directory.
    func start(
        _ command: String, adding more: String = "", placeholders: [String: String] = [:], in folder: String = ""
    ) throws -> Running {
        commands.insert(command)
        var text = command
        for (word, value) in placeholders { text = text.replacing(word, with: value) }
        return try Running(
            shell: "exec \(text) \(more)", in: scratch.file(folder), environment: environment)
    }

    @discardableResult
    func run(
        _ command: String, adding more: String = "", placeholders: [String: String] = [:], in folder: String = "",
        code: Int32 = 0, says words: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Finished {
        let finished = try start(command, adding: more, placeholders: placeholders, in: folder).finish()
        #expect(
            finished.code == code, "\(command): \(finished.output)\(finished.errors)", sourceLocation: sourceLocation)
        if !words.isEmpty {
            #expect(
                (finished.output + finished.errors).contains(words),
                "\(command): \(finished.output)\(finished.errors)", sourceLocation: sourceLocation)
        }
        return finished
    }

    /// Waits until the run has committed some steps.
    func awaitRunning(_ status: String = "psctl status") throws {
        try eventually(within: 60, "the job does not get on") {
            let text = try start(status).finish().output
            return text.contains(": running") && !text.contains("\nstep 0 of")
        }
    }

    /// The newest checkpoint's directory of `runs/last`.
    func checkpoint() throws -> String {
        try #require(RunSummary.read(from: RunDirectory(scratch.file("runs/last"))).checkpoint)
    }
}

@Suite struct ReadmeTests {
    @Test func aNewCommandIsFound() {
        let document = Document(
            markdown: """
                Try `psctl new
                --flag` or `scripts/new`, not `psctl`, `new` or `Sources/New`.

                On `alpha`:

                    psctl block        # comment

                          picture | psctl
                    | psctl picture |
                """)
        #expect(document.inline == ["psctl new --flag", "scripts/new"])
        #expect(document.blocks == [Document.Command(text: "psctl block", host: "alpha")])
    }

    @Test func theCommandsOfTheReadme() throws {
        let person = try Person()
        let training = try person.start("psctl train")
        eventually(within: 60, "no run") {
            FileManager.default.fileExists(atPath: person.scratch.file("runs/last/status.json"))
        }
        try person.awaitRunning()
        let watching = try person.start("psctl watch")
        let helper = try person.start("ps-worker --coordinator run:runs/last")
        try helper.waitForWords("joined")
        helper.send(SIGTERM)
        #expect(try helper.finish().code == 75)
        try person.run("psctl checkpoint", says: "a checkpoint of the next committed step will be written")
        try person.run("psctl stop", says: "the job saves its last step and stops")
        let stopped = try training.finish()
        #expect(stopped.code == 75, "\(stopped.errors)")
        let watched = try watching.finish(within: 5)
        #expect(watched.code == 0)
        #expect(watched.output.contains(": stopped (stopped on request)"))

        try person.run("psctl evaluate", says: "top-1")
        try person.run("psctl export --out model.safetensors", says: "running-average weights")
        try writeImages(to: person.scratch.file("images.safetensors"))
        for command in [
            "psctl predict --weights model.safetensors --batch images.safetensors --out logits.safetensors",
            "psctl gradients --weights model.safetensors --batch images.safetensors --out gradients.safetensors",
        ] {
            try person.run(command, adding: "--set model.stem=79 --set model.width=0.01")
        }
        #expect(try SafetensorsFile(person.scratch.file("logits.safetensors")).tensors.map(\.shape) == [[2, 10]])
        let gradients = try SafetensorsFile(person.scratch.file("gradients.safetensors")).tensors.map(\.name)
        #expect(gradients.contains("loss") && gradients.contains("grad.fc.bias"))

        try person.run("psctl journal verify", says: "nothing contradicts itself")
        try person.run("psctl journal show", says: "ticket 0 goes to worker")

        let first = try person.checkpoint()
        let steps = try #require(Int(first.split(separator: "-").last!))
        person.plan(steps: steps + 3)
        try person.run("psctl train --resume last", says: "finished: \(steps + 3) steps")
        let run = Paths.parent(of: Paths.parent(of: first))
        #expect(try Paths.parent(of: Paths.parent(of: person.checkpoint())) == run)
        // Another run, from its middle.
        sleep(1)
        person.plan(steps: steps + 2)
        try person.run(
            "psctl train --resume CHECKPOINT", placeholders: ["CHECKPOINT": first], says: "finished: \(steps + 2) steps"
        )
        #expect(try Paths.parent(of: Paths.parent(of: person.checkpoint())) != run)
        // The same run, back.
        try person.run(
            "psctl train --resume CHECKPOINT", adding: "--run-dir \(run)", placeholders: ["CHECKPOINT": first],
            says: "finished: \(steps + 2) steps")
        #expect(try Paths.parent(of: Paths.parent(of: person.checkpoint())) == run)

        try person.run("psctl train --print-config", says: "steps: \(steps + 2)")
        try person.run("psctl model summary inception-v3", says: "27,161,264")
        try person.run("psctl model list", says: "inception-resnet-v2")
        try person.run("psctl model compare", says: "xception")
        try person.run("psctl model compare alexnet vgg16 googlenet inception-v3", says: "138.4 M")
        try person.run("psctl model receptive inception-v3", says: "31 x 31")
        try person.run("psctl model draw inception-v3 --svg network.svg")
        try person.run("psctl doctor", says: "ok")
        let tiny = "--image-size 75 --width 0.01 --classes 10"
        let network = "\(tiny) --threads 1"
        try person.run("psctl bench step", adding: "\(network) --batch 2 --steps 1", says: "images/s")
        try person.run("psctl bench step --plan", adding: "\(network) --batch 2 --steps 1", says: "Conv2d_2b_3x3")
        try person.run("psctl bench inference", adding: "\(network) --batch 2 --batches 1", says: "images/s")
        try person.run("psctl bench exchange", adding: "\(tiny) --rounds 1", says: "weights verified bit for bit")
        try person.run("psctl bench exchange --security", adding: "\(tiny) --rounds 1", says: "the same over all three")
        try person.run("psctl bench recovery", adding: "--kills 1", says: "those of the job without kills, bit for bit")
        try person.run(
            "psctl bench recovery --servers 3 --replicas 1", adding: "--kills 1", says: "3 servers, replicas")
        try person.run(
            "psctl bench bits", adding: "--workers 1 --servers 2 --steps 12", says: "2 jobs of 12 steps: one hash")
        try person.run(
            "psctl bench storm", adding: "--kills 1 --every 2 --workers 2 --tickets 4 --svg storm.svg",
            says: "those of the calm job, bit for bit")
        try person.run(
            "psctl bench storm --every 1 --others 30 --tickets 96",
            adding: "--kills 2 --others 1 --workers 3 --tickets 8",
            says: "those of the calm job, bit for bit")
        try person.run(
            "psctl bench plan --out plan.json", adding: "\(network) --batch 2 --steps 1", says: "plan: measured")
        try person.run("psctl bench errors", adding: "\(network) --batch 2", says: "im2col")

        let data = ["DATA": FewPictures.path, "SHARDS": "shards"]
        try person.run("psctl data inspect DATA --sheet sheet.png", placeholders: data, says: "3 classes")
        try person.run("psctl data verify DATA", placeholders: data, says: "JPEG")
        try person.run(
            "psctl data preview --set data.path=DATA --out ticket.png", placeholders: data, says: "8 images")
        try person.run("psctl data pack DATA SHARDS", placeholders: data, says: "27 training pictures")
        for command in ["psctl data inspect", "psctl data verify"] { try person.run(command, adding: "shards") }
        try person.run("psctl data preview", adding: "--out ticket.png --set data.path=shards")
        try person.run("psctl data pack", adding: "shards again", code: 1, says: "only folders are packed")
        let photographs = ["PHOTOS": FewPictures.path, "PICTURES": "\(FewPictures.path)/val", "RUN": run]
        person.plan(steps: 2)
        sleep(1)
        try person.run(
            "psctl train --set data.path=PHOTOS --set model.init=RUN --set data.augment=light --set data.evaluate=resize "
                + "--set train.epochs=20 --set eval.everyEpochs=1",
            adding: "--set eval.everyEpochs=0 --set eval.everySteps=1", placeholders: photographs,
            says: "finished: 2 steps")
        try person.run("psctl evaluate --html report.html", says: "cat")
        try "cat_9.JPEG\n".write(toFile: person.scratch.file("list"), atomically: true, encoding: .utf8)
        try person.run(
            "psctl evaluate --crops 144 --ensemble CHECKPOINTS --exclude LIST",
            placeholders: ["CHECKPOINTS": "runs/last", "LIST": "list"], says: "8 test images, 144 crops of each: top-1")
        try person.run("psctl predict --best --top 3 PICTURES", placeholders: photographs, says: "eel_9.JPEG: ")
        try person.run("psctl predict PICTURES", placeholders: photographs, says: "eel_9.JPEG: ")
        try person.run("psctl export --best --out best.safetensors", says: "running-average weights")
        try person.run(
            "psctl import WEIGHTS --out weights.safetensors", placeholders: ["WEIGHTS": "best.safetensors"],
            says: "3 classes")
        try person.run("psctl bench data", adding: "--images 8 --rounds 1", says: "images/s")
        try person.run(
            "psctl bench step --data", adding: "\(network) --batch 2 --steps 1", says: "waiting for images")

        sleep(1)
        person.plan(steps: 2)
        try person.run(
            "psctl train --set server.replicas=1", adding: "--set eval.atEnd=false --run-dir replicas", says: "finished"
        )
        try person.run(
            "psctl train --set model.name=googlenet", adding: "--set eval.atEnd=false --run-dir googlenet",
            says: "finished: 2 steps")
        let document = try Document("README.md")
        let reasons = Set(exceptions.keys)
        #expect(document.commands.subtracting(person.commands).subtracting(reasons) == [], "no test runs these")
        #expect(person.commands.union(reasons).subtracting(document.commands) == [], "the README has these no more")
    }

    @Test func fromElsewhereAndThroughLinks() throws {
        let person = try Person(steps: 2)
        for folder in ["home", "elsewhere"] {
            try FileManager.default.createDirectory(
                atPath: person.scratch.file(folder), withIntermediateDirectories: true)
        }
        try person.run("psctl train", adding: "--run-dir runs/own", in: "home", says: "finished: 2 steps")
        try person.run("psctl status", in: "home", says: "home/runs/own: finished")

        let missing = try person.run("psctl status", in: "elsewhere", code: 1)
        #expect(
            missing.errors == "psctl: error: there is no run in runs/last; name one with --run-dir, or train first\n")
        try person.run("psctl train --resume last", in: "elsewhere", code: 1, says: "there is no run in runs/last")
        #expect(!FileManager.default.fileExists(atPath: person.scratch.file("elsewhere/runs")))

        // A person's own link, from another directory; `runs/last` there is then this run.
        try FileManager.default.createSymbolicLink(
            atPath: person.scratch.file("elsewhere/mine"), withDestinationPath: "../home/runs/own")
        try person.run("psctl status --run-dir mine", in: "elsewhere", says: "home/runs/own: finished")
        person.plan(steps: 4)
        try person.run(
            "psctl train --resume last", adding: "--run-dir mine", in: "elsewhere", says: "finished: 4 steps")
        try person.run("psctl evaluate", in: "elsewhere", says: "step 4")
        try person.run("psctl export --out model.safetensors", in: "elsewhere", says: "weights of step 4")
        try person.run("psctl status --run-dir .", in: "elsewhere/mine", says: "home/runs/own: finished")
        let answer = try person.run("psctl stop --run-dir mine", in: "elsewhere", code: 1)
        #expect(answer.errors.contains("home/runs/own"), "\(answer.errors)")

        // A link that leads nowhere is not made a run of its own.
        try FileManager.default.removeItem(atPath: person.scratch.file("elsewhere/mine"))
        try FileManager.default.createSymbolicLink(
            atPath: person.scratch.file("elsewhere/mine"), withDestinationPath: "../home/runs/next")
        try person.run("psctl train", adding: "--run-dir mine", in: "elsewhere", code: 1, says: "mine: File exists")
        #expect(!FileManager.default.fileExists(atPath: person.scratch.file("home/runs/next")))
        try person.run("psctl status", in: "elsewhere", says: "home/runs/own: finished")
    }

    enum NoLink: CaseIterable { case aDirectory, notPermitted }

    /// Where `runs/last` cannot be a link, a file beside it names the run, and commands mean that run.
    @Test(arguments: NoLink.allCases) func whereRunsLastCannotBeALink(cause: NoLink) throws {
        let person = try Person(steps: 2)
        switch cause {
        case .aDirectory:
            try FileManager.default.createDirectory(
                atPath: person.scratch.file("runs/last"), withIntermediateDirectories: true)
            try Data("mine".utf8).write(to: URL(filePath: person.scratch.file("runs/last/notes")))
        case .notPermitted:
            let source = person.scratch.file("nolinks.c")
            try """
            #include <errno.h>
            int symlink(const char *target, const char *path) { errno = EPERM; return -1; }
            """.write(toFile: source, atomically: true, encoding: .utf8)
            let library = person.scratch.file("nolinks.so")
            // Debian's compiler, or the one that Swift brings along.
            let compiled = try Running(
                shell: "$(command -v gcc || command -v clang) -shared -fPIC -o '\(library)' '\(source)'"
            ).finish()
            try #require(compiled.code == 0, "\(compiled.errors)")
            person.preload(library)
        }
        try person.run("psctl train", says: "runs/last-run names this run instead")
        try person.run("psctl status", says: ": finished")
        person.plan(steps: 3)
        try person.run("psctl train --resume last", says: "finished: 3 steps")
        let note = try String(contentsOfFile: person.scratch.file("runs/last-run"), encoding: .utf8)
        #expect(note.hasPrefix("fashion-mnist-") && note.hasSuffix("\n"), "\(note)")
        #expect(
            try RunSummary.read(from: RunDirectory(person.scratch.file("runs/\(note.dropLast())"))).steps == 3)
        if cause == .aDirectory {
            #expect(FileManager.default.fileExists(atPath: person.scratch.file("runs/last/notes")))
            return
        }
        // The tree on a file system with links again: the link replaces the note.
        person.preload(nil)
        person.plan(steps: 4)
        try person.run("psctl train --resume last", says: "finished: 4 steps")
        #expect(!FileManager.default.fileExists(atPath: person.scratch.file("runs/last-run")))
        #expect(
            try FileManager.default.destinationOfSymbolicLink(atPath: person.scratch.file("runs/last"))
                == String(note.dropLast()))
    }

    @Test(.enabled(if: isLong, "PS_LONG_TESTS=1 runs it")) func theChecksThatNeedNoBuild() throws {
        let checked = try Running(shell: "exec scripts/check --quick", in: Document.root.path).finish(within: 120)
        #expect(checked.code == 0, "\(checked.errors)")
    }

    @Test(.enabled(if: isLong, "PS_LONG_TESTS=1 runs it: a whole build")) func theQuickStartFromACopy() throws {
        let scratch = try Scratch()
        let copied = try Running(
            shell: """
                tar -C '\(Document.root.path)' -c --exclude=./.build --exclude='./.build-*' --exclude=./runs \
                --exclude=./.git . | tar x
                """,
            in: scratch.path
        ).finish()
        try #require(copied.code == 0, "\(copied.errors)")
        let trained = try Running(
            shell: "exec scripts/train", in: scratch.path, environment: small.merging(["PSCTL_TRAIN_STEPS": "3"]) { $1 }
        ).finish(within: 1800)
        #expect(trained.code == 0, "\(trained.errors)")
        #expect(trained.output.hasPrefix("finished: 3 steps"), "\(trained.output)")
        #expect(FileManager.default.fileExists(atPath: scratch.file("runs/last/summary.json")))
    }

    /// Two images of the small job's size, with labels.
    private func writeImages(to path: String) throws {
        let labels = OutgoingTensor(name: "labels", dataType: .int64, shape: [2]) { (emit) throws(StorageError) in
            for value in [Int64(1), 7] {
                try withUnsafePointer(to: value.littleEndian) { (pointer) throws(StorageError) in
                    try emit(UnsafeRawBufferPointer(start: pointer, count: 8))
                }
            }
        }
        let count = 2 * 3 * 32 * 32
        let values: [Float] = (0..<count).map { Float($0 % 251) / 250 }
        try SafetensorsWriter.write(
            path: path, metadata: [:],
            tensors: [OutgoingTensor(name: "images", shape: [2, 3, 32, 32], values: values), labels])
    }
}
