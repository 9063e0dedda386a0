// A job's status as a person reads it.

import Foundation
import PSProtocol
import PSReport

package enum StatusText {
    package static func table(_ status: JobStatus, run: String) -> String {
        var lines = ["\(run): \(status.state.rawValue)\(status.text.isEmpty ? "" : " (\(status.text))")"]
        var figures =
            "step \(status.version) of \(status.lastVersion), epoch \(Report.decimal(status.epoch, places: 2))"
        if let loss = status.loss { figures += ", loss \(Report.decimal(loss, places: 3))" }
        if status.state == .running {
            figures +=
                ", \(Report.decimal(status.imagesPerSecond, places: status.imagesPerSecond < 10 ? 2 : 0)) images/s"
            if let left = Progress.timeLeft(status) { figures += ", \(left) left" }
        }
        if let checkpoint = status.checkpoint { figures += "; last checkpoint at step \(checkpoint)" }
        if status.nonFiniteSteps > 0 { figures += "; \(status.nonFiniteSteps) steps in a row without finite gradient" }
        lines.append(figures)
        if let evaluation = status.evaluation {
            if let last = evaluation.last { lines.append("evaluation of step \(last.version): \(last.figures)") }
            if let best = evaluation.best, best.version != evaluation.last?.version {
                lines.append("best evaluation, of step \(best.version): \(best.figures)")
            }
            if let running = evaluation.running {
                lines.append("evaluating step \(running.version): \(running.done) of \(running.parts) parts")
            }
        }
        if let plan = status.plan { lines.append("plan: \(plan)") }
        if status.security == "off" { lines.append("security: off, nobody shows a key") }
        if let count = status.differingTickets, count > 0 {
            lines.append(
                "WRONG: \(Report.count(count, "ticket")) came twice with other values; the coordinator's log names the workers"
            )
        }
        if let stop = status.stopAfter, status.ending == nil, status.version < stop {
            lines.append("stops after step \(stop), as was asked")
        }
        if let copies = status.copies, copies.granted > 0 {
            lines.append(
                "computed twice: \(Report.count(copies.granted, "ticket")) of workers that were gone or late, "
                    + "\(copies.inVain) of them in vain")
        }
        if let replicas = status.replicas {
            var line = "replicas: \(replicas.inStep) of \(replicas.wanted) in step"
            if replicas.standingIn > 0 {
                line += ", \(Report.count(replicas.standingIn, "part")) answered for by another server"
            }
            lines.append(line + (replicas.spares > 0 ? ", \(Report.count(replicas.spares, "spare server"))" : ""))
        }
        if let away = status.turnedAway, away.handshakes + away.connections + away.messages > 0 {
            lines.append(
                "turned away: \(Report.count(away.handshakes, "handshake")), \(Report.count(away.connections, "connection")), "
                    + Report.count(away.messages, "message"))
        }
        var rows = [["process", "pid", "host", "state", "heartbeat", "sent", "received", "tickets", "activity"]]
        for process in status.processes {
            rows.append([
                process.role == "coordinator" ? process.role : "\(process.role) \(process.rank)", "\(process.pid)",
                process.host, process.state.rawValue,
                process.state == .up ? Report.decimal(process.heartbeatAgeSeconds, places: 1) + " s" : "-",
                Report.bytes(Int(clamping: process.bytesSent)), Report.bytes(Int(clamping: process.bytesReceived)),
                process.role == "worker" ? "\(process.tickets)" : "-", process.activity,
            ])
        }
        return lines.joined(separator: "\n") + "\n" + Report.table(rows)
    }
}
