// The schedules, and the settings that are refused.

import PSOptimization
import Testing

/// The paper's job: 50 replicas of 32 images on 1,281,167 images decay every 1,601 steps.
@Test func thePapersSchedule() {
    let schedule = LearningRateSchedule()
    let stepsPerEpoch = 1_281_167.0 / (50 * 32)
    func rate(_ step: Int) -> Float { schedule.rate(step: step, totalSteps: 80_073, stepsPerEpoch: stepsPerEpoch) }
    #expect(rate(0) == Float(0.045))
    #expect(rate(1600) == Float(0.045))
    #expect(rate(1601) == Float(0.045 * 0.94))
    #expect(rate(3201) == Float(0.045 * 0.94))
    #expect(abs(rate(3202) - Float(0.045 * 0.94 * 0.94)) < 1e-9)
    // 80,072 / 1,601 = 50.01: fifty decays by the last step.
    #expect(abs(rate(80_072) / 0.045 - 0.04533) < 1e-4)
}

@Test func otherShapes() {
    var schedule = LearningRateSchedule()
    schedule.base = 2
    func rate(_ step: Int) -> Float { schedule.rate(step: step, totalSteps: 100, stepsPerEpoch: 10) }
    schedule.shape = .linear
    #expect(rate(0) == 2 && rate(50) == 1 && abs(rate(99) - 0.02) < 1e-6 && rate(100) == 0)
    schedule.shape = .cosine
    #expect(rate(0) == 2 && abs(rate(50) - 1) < 1e-6 && abs(rate(25) - (1 + Float(0.5).squareRoot())) < 1e-6)
    schedule.shape = .constant
    #expect(rate(0) == 2 && rate(99) == 2)
    schedule.warmupSteps = 4
    #expect((0..<5).map(rate) == [0.5, 1, 1.5, 2, 2])
    schedule.warmupSteps = 0
    schedule.shape = .exponential
    schedule.staircase = false
    #expect(abs(rate(10) - 2 * Float(0.94).squareRoot()) < 1e-6)
}

@Test func theRunningAveragesDecay() {
    let settings = OptimizerSettings()
    #expect(settings.averageDecay(commit: 0) == 0.1)
    #expect(settings.averageDecay(commit: 90) == 0.91)
    #expect(settings.averageDecay(commit: 10_000_000) == Float(0.9999))
}

@Test func settingsThatAreRefused() throws {
    try OptimizerSettings().validate()
    try LearningRateSchedule().validate()

    let updates: [(String, (inout OptimizerSettings) -> Void)] = [
        ("decay", { $0.decay = 1 }), ("momentum", { $0.momentum = -0.1 }), ("epsilon", { $0.epsilon = 0 }),
        ("clip", { $0.clip = .nan }), ("weightDecay", { $0.weightDecay = .infinity }),
        ("averageDecay", { $0.averageDecay = 1 }), ("batchNormMomentum", { $0.batchNormMomentum = 1.5 }),
    ]
    for (key, change) in updates {
        var settings = OptimizerSettings()
        change(&settings)
        let error = #expect(throws: InvalidSetting.self) { try settings.validate() }
        #expect(error?.key == key)
    }
    let schedules: [(String, (inout LearningRateSchedule) -> Void)] = [
        ("base", { $0.base = -1 }), ("factor", { $0.factor = 0 }), ("everyEpochs", { $0.everyEpochs = 0 }),
        ("warmupSteps", { $0.warmupSteps = -1 }),
    ]
    for (key, change) in schedules {
        var schedule = LearningRateSchedule()
        change(&schedule)
        let error = #expect(throws: InvalidSetting.self) { try schedule.validate() }
        #expect(error?.key == key)
    }
}
