// The plan of a job: made when the job begins, the same for all its starts and workers from then on.

import PSConfiguration
import PSModel
import PSPlanning
import PSProtocol
import PSRun

package enum JobPlan {
    /// The plan of the job in a run directory, whether `plan.json` is yet to be written, and a remark for people.
    ///
    /// A job that has its plan keeps it whatever the settings say: another plan gives other bits.
    package static func of(
        _ run: RunDirectory, replay: Replay, configuration: JobConfiguration, description: ModelDescription
    ) throws -> (plan: PlanFile, isNew: Bool, remark: String?) {
        let batch = configuration.train.batch
        if run.hasPlan || replay.planIdentity != nil {
            let plan = try PlanFile(path: run.plan)
            if let expected = replay.planIdentity, plan.identity != expected {
                throw PlanError.otherPlan(
                    path: run.plan, found: PlanFile.text(plan.identity), expected: PlanFile.text(expected))
            }
            try plan.check(description: description, batch: batch, path: run.plan)
            return (plan, false, nil)
        }
        if replay.job != 0 {
            return (
                PlanFile(.direct, origin: "direct as before there were plans", description: description, batch: batch),
                true,
                "a release without plans began the run and computed every layer direct: so it goes on, with a plan.json"
            )
        }
        return (try configuration.engine.trainingPlan(description: description, batch: batch), true, nil)
    }
}
