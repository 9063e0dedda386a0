// ps-server: one parameter server of a job.

import ArgumentParser
import PSMemberCommand
import PSNode
import PSServer

@main
struct PSServerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps-server",
        abstract: "A parameter server: holds a part of the weights, adds gradients up, applies updates, publishes.",
        discussion: "Exit codes: 0 done, 1 failed, 64 usage, 75 stopped and resumable.")

    @OptionGroup var member: MemberArguments

    @Option(
        help:
            "Where workers reach this server: tcp://HOST:PORT; default: the address that faces the coordinator, a free port."
    )
    var bind: String?

    func validate() throws {
        if let mistake = member.mistake(bind: bind) { throw ValidationError(mistake) }
    }

    func run() throws {
        member.run("ps-server", as: .server, threads: ProcessLimits.serverThreads) { options, logger in
            try ServerNode(options, bind: bind, logger: logger).run()
        }
    }
}
