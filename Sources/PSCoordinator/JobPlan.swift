// The plan of a job: made when the job begins, the same for all its starts and workers from then on.

import Logging
import PSCheckpoint
import PSConfiguration
import PSModel
import PSPlanning
import PSProtocol

package enum JobPlan {
    /// The plan of the job in a run directory, and whether `plan.json` is yet to be written.
    ///
    /// A job that has its plan keeps it whatever the settings say: another plan gives other bits.
    package static func of(
        _ directory: RunDirectory, replay: Replay, configuration: JobConfiguration, description: ModelDescription,
        logger: Logger
    ) throws -> (plan: PlanFile, isNew: Bool) {
        let batch = configuration.train.batch
        if directory.hasPlan || replay.planIdentity != nil {
            let plan = try PlanFile(path: directory.plan)
            if let expected = replay.planIdentity, plan.identity != expected {
                throw PlanError.otherPlan(
                    path: directory.plan, found: PlanFile.text(plan.identity), expected: PlanFile.text(expected))
            }
            try plan.check(description: description, batch: batch, path: directory.plan)
            return (plan, false)
        }
        if replay.job != 0 {
            logger.warning(
                "a release without plans began the run and computed every layer direct: so it goes on, with a plan.json"
            )
            return (
                PlanFile(.direct, origin: "direct as before there were plans", description: description, batch: batch),
                true
            )
        }
        return (try configuration.engine.trainingPlan(description: description, batch: batch), true)
    }
}
