// `psctl doctor`: is all there that a job needs?

import ArgumentParser
import Foundation
import PSJob
import PSReport

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Examines libraries, processor, ports, memory, disk and data set, and says what to do.",
        discussion: "Exit code 0 if a job can run, else 1.")

    @OptionGroup var settings: ConfigurationOptions
    @OptionGroup var json: JSONOption

    func run() throws {
        let doctor = Doctor(
            configuration: try settings.configuration(), directory: FileManager.default.currentDirectoryPath)
        write(json.isOn ? Report.json(doctor) : doctor.text)
        if !doctor.healthy { throw ExitCode(CommandExit.failed.rawValue) }
    }
}
