// The three hosts of cluster/README.md on this one: its names lead to loopback addresses, in namespaces of mounts and
// network that only the test sees.

import Foundation
import PSJob
import PSRun
import Testing

@Suite struct ClusterReadmeTests {
    private static let namespaces = "unshare \(getuid() == 0 ? "" : "--map-root-user ")--mount --net"

    /// Nil if all is there.
    private static let obstacle: String? = {
        let probe = "ip link set lo up && mount --bind /etc/hostname /etc/hosts"
        guard let tried = try? Running(shell: "\(namespaces) bash -c '\(probe)'").finish(within: 10) else {
            return "unshare cannot be started"
        }
        return tried.code == 0 ? nil : "names and a network of one's own need root and iproute2: \(tried.errors)"
    }()

    /// The commands as written, started on "hosts" together: a stop, which holds, going on, a stop that its coordinator
    /// does not live to see, and the end.
    @Test(.enabled(if: obstacle == nil, "needs root (or user namespaces) and iproute2"))
    func threeHosts() throws {
        let document = try Document("cluster/README.md")
        let scratch = try Scratch()
        try FileManager.default.createDirectory(
            atPath: scratch.file("cluster"), withIntermediateDirectories: true)
        try FileManager.default.createDirectory(atPath: scratch.file("shared"), withIntermediateDirectories: true)
        // The job file of the document, as small as the daemons allow, which read no environment.
        let printed = try Running(
            "psctl",
            ["train", "--print-config", "--config", Document.root.appending(path: "cluster/fashion-mnist.yaml").path],
            environment: ["PSCTL_MODEL_WIDTH": "0.01", "PSCTL_TRAIN_BATCH": "8", "PSCTL_TRAIN_STEPS": "1000000"]
        ).finish()
        try printed.output.write(
            toFile: scratch.file("cluster/fashion-mnist.yaml"), atomically: true, encoding: .utf8)
        let hosts = Set(document.blocks.compactMap(\.host))
        #expect(hosts == ["alpha", "beta", "gamma"])
        #expect(document.blocks.allSatisfy { $0.host != nil }, "a block without a host: \(document.blocks)")
        let names = hosts.sorted().enumerated().map { "127.0.0.\($0 + 1) \($1)\n" }.joined()
        try ("127.0.0.1 localhost\n" + names)
            .write(toFile: scratch.file("hosts"), atomically: true, encoding: .utf8)

        // What is written in the prose.
        var prose = Set(document.inline)
        let asked = ["psctl status", "psctl stop", "psctl evaluate"].map { "\($0) --run-dir /shared/runs/first" }
        let keys = ["add worker gpu7", "rotate gpu7", "revoke gpu7", "list", "rotate coordinator"].map {
            "psctl keys \($0) --run-dir /shared/runs/first"
        }
        let look = "psctl status --join /shared/runs/first/keys/viewer.join"
        let settings = "psctl train --print-config --set train.steps=500 > job.yaml"
        for command in asked + keys + [look, settings] {
            #expect(prose.remove(command) != nil, "\(command) is not in the document")
        }
        prose.subtract(["psctl train", "psctl stop", "psctl status", "psctl keys create"])  // ReadmeTests has them.
        #expect(prose.isEmpty, "no test runs these")

        func here(_ text: String) -> String { text.replacing("/shared/", with: scratch.file("shared") + "/") }
        func starts(_ commands: [Document.Command], more: String = "") -> String {
            commands.map {
                // Keys are made once, before anybody is started.
                if $0.text.hasPrefix("psctl keys") {
                    return "[[ -e \(here("/shared/runs/first/keys")) ]] || \(here($0.text))"
                }
                return "start \(here($0.text))\($0.text.hasPrefix("ps-coordinator") ? " \(more)" : "")"
            }.joined(separator: "\n")
        }
        let coordinators = document.blocks.filter { $0.text.hasPrefix("ps-coordinator") }
        let script = """
            ip link set lo up && mount --bind hosts /etc/hosts || exit 9
            start() { "$@" >>log 2>&1 & pids+=($!); if [[ $1 == ps-coordinator ]]; then coordinator=$!; fi; }
            finish() { codes=; for pid in "${pids[@]}"; do wait $pid; codes+=" $?"; done; pids=(); echo "$1:$codes"; }
            step() { \(here(asked[0])) | sed -n 's/^step \\([0-9]*\\) of.*/\\1/p'; }
            await() { for try in {1..200}; do now=$(step); ((${now:-0} > $1)) && return; sleep 0.1; done; }
            \(starts(document.blocks))
            await 0
            \(here(asked[0]))
            \(here(look)) | grep "^step" >/dev/null && echo looked
            \(here(asked[1]))
            finish stopped
            before=$(step)
            \(starts(coordinators))
            finish holds
            # Going on, in another order, and the coordinator dies with a stop promised.
            \(starts(document.blocks.reversed(), more: "--resume last"))
            await $before
            last=$(($(step) + 300))
            \(here(asked[1])) --after-step $last
            kill -KILL $coordinator
            \(starts(coordinators))
            finish again
            \(here(asked[0])) | grep "stopped after step $last as asked" >/dev/null && echo promised
            # Everybody starts with the new key files.
            \(here(keys[4]))
            sed -i "s/steps: 1000000/steps: $((last + 5))/" cluster/fashion-mnist.yaml
            \(starts(document.blocks, more: "--resume last"))
            finish finished
            \(here(asked[0]))
            \(here(keys[0])) && \(here(keys[2])) && \(here(keys[3])) && \(here(keys[1])) && echo keys
            \(here(asked[2]))
            \(settings)
            grep "steps: 500" job.yaml >/dev/null && echo written
            """
        try script.write(toFile: scratch.file("script"), atomically: true, encoding: .utf8)
        let finished = try Running(
            shell: "exec \(ClusterReadmeTests.namespaces) bash script", in: scratch.path,
            environment: ["PATH": Running.directory.path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "")]
        ).finish(within: 120)
        let log = (try? String(contentsOfFile: scratch.file("log"), encoding: .utf8)) ?? ""
        let output = finished.output
        let processes = document.blocks.count { !$0.text.hasPrefix("psctl") }
        let codes = { (code: Int) in String(repeating: " \(code)", count: processes) }
        for line in [
            "the job saves its last step and stops", "stopped:\(codes(75))", "holds: 75\n",
            "again: 75 75 75 75 75 137 75", "promised",
            "finished:\(codes(0))",
            "first: finished", "top-1", "written", "looked", "keys\n", "a new key for the coordinator",
        ] { #expect(output.contains(line), "\(line) is not in:\n\(output)\(finished.errors)\(log)") }
        // Every server and worker came to its host's name.
        #expect(output.contains("server 1") && output.contains("worker 2"))
        #expect(try RunSummary.read(from: RunDirectory(scratch.file("shared/runs/first"))).exitCode == 0)
    }
}
