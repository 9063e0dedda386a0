// The socket files of a job on one machine: who has them, who removes them, and what happens when somebody else does.

import Foundation
import PSNode
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct SocketFileTests {
    private let jobs = SmallJobs()

    private func endpoint(of run: String) throws -> String {
        try #require(Endpoints.read(from: RunDirectory(jobs.path(run)))).coordinator
    }

    /// Waits until what that cost, the steps since the last checkpoint, is computed again.
    private func loseSteps(_ body: () throws -> Void) rethrows {
        let before = try? jobs.status("run").generation
        try body()
        eventually("another generation trains") {
            guard let before, let now = try? jobs.status("run") else { return false }
            return now.generation > before && now.state == .running && now.version > 5
        }
    }

    /// Who gives a job up while another start has it already leaves that one's sockets alone.
    @Test func aSuccessorKeepsItsSockets() throws {
        let former = try jobs.begin("run", steps: SmallJobs.endless, set: ["cluster.maxRestarts=0"])
        jobs.waitForStep(5, of: "run")
        // It takes its time to leave.
        kill(try former.pid(of: "worker"), SIGSTOP)
        kill(try former.pid(of: "coordinator"), SIGKILL)
        let next = try jobs.resume("run", set: ["cluster.maxRestarts=20"])
        // Its servers have the last steps.
        try loseSteps {
            let end = try former.finish(within: 20)
            #expect(end.code == 1)
        }
        #expect(SocketDirectory.isServed(try endpoint(of: "run")))
        let server = try next.pid(of: "server", rank: 1)
        loseSteps { kill(server, SIGKILL) }
        #expect(try !next.errorsSoFar().contains("somebody removed the socket"))
        next.send(SIGTERM)
        try expectUndisturbed(next.summary(code: 75))
    }

    /// Somebody cleans /tmp: the sockets are made again, and who comes later finds them.
    @Test func socketsThatWereRemovedAreMadeAgain() throws {
        let job = try jobs.begin("run", steps: SmallJobs.endless)
        jobs.waitForStep(5, of: "run")
        let place = try endpoint(of: "run")
        try FileManager.default.removeItem(atPath: SocketDirectory.directory(of: place))
        try job.waitForWords("somebody removed the socket \(place): it is made again")
        let victims = try [job.pid(of: "server"), job.pid(of: "worker")]
        loseSteps { for victim in victims { kill(victim, SIGKILL) } }
        job.send(SIGTERM)
        try expectUndisturbed(job.summary(code: 75))
        #expect(!FileManager.default.fileExists(atPath: SocketDirectory.directory(of: place)))
    }

    /// A coordinator that cannot begin leaves nothing.
    @Test func aStartThatFailsLeavesNoSockets() throws {
        let place = jobs.path("s")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
        try jobs.train("run", steps: 2)
        try FileManager.default.removeItem(atPath: jobs.path("run/config.yaml"))
        try FileManager.default.createDirectory(
            atPath: jobs.path("run/config.yaml/full"), withIntermediateDirectories: true)
        let failed = try jobs.resume("run", steps: 4, environment: ["XDG_RUNTIME_DIR": place]).finish()
        #expect(failed.code == 1)
        #expect(failed.errors.contains("config.yaml"), "\(failed.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: place) == [])
    }
}
