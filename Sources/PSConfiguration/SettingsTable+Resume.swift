// Which settings a resumed job may have otherwise than when it began.

extension SettingsTable {
    /// The settings that give a run's journal and checkpoints their meaning: which samples a ticket names, what a step
    /// is, which tensors and slots there are, what step 0 holds. They stay as they were when the run began.
    static let fixedKeys: Set<String> = [
        "seed",
        "model.name", "model.width", "model.classes", "model.stem", "model.imageSize", "model.auxiliary",
        "model.auxiliaryNorm", "model.factorizeStem", "model.factorize5x5", "model.factorize7x7", "model.reduction",
        "model.groups",
        "model.initialValues", "model.poolBorder", "model.batchNormScale", "model.unbiasedVariance",
        "model.transformInput",
        "optimizer.rule", "optimizer.clipScope", "optimizer.reduction",
        "train.ticketsPerStep", "train.batch",
        "data.validationShare", "data.augment", "data.evaluate", "data.autoAugment", "data.randomErasing", "data.mixup",
        "data.cutmix", "data.flip", "data.cropPadding", "data.decode", "data.exifOrientation", "data.background",
    ]

    /// Settings that have no effect on a run that has begun: its plan stays whatever they say.
    static let keptKeys: Set<String> = ["engine.convolution", "engine.maxError", "engine.plan"]

    /// Settings that only matter when a run begins.
    static let beginningKeys: Set<String> = ["model.init"]
}

extension Setting {
    /// Whether a run keeps the value it began with, and refuses to go on with another.
    package var isFixed: Bool { SettingsTable.fixedKeys.contains(key) }

    /// For the README's column.
    var onResume: String {
        if SettingsTable.beginningKeys.contains(key) { return "of no effect" }
        return isFixed ? "fixed" : SettingsTable.keptKeys.contains(key) ? "the run's plan stays" : "may change"
    }
}

extension JobConfiguration {
    /// The values of all settings by key, as YAML writes them.
    package var settings: [String: String] {
        Dictionary(uniqueKeysWithValues: SettingsTable.all.map { ($0.key, $0.yamlValue(in: self)) })
    }

    /// The values of the fixed settings by key, as YAML writes them: what the journal's header knows.
    package var recipe: [String: String] {
        var settled = self
        // What is left open means what the network makes of it.
        settled.model = model.settled
        return Dictionary(
            uniqueKeysWithValues: SettingsTable.all.filter(\.isFixed).map { ($0.key, $0.yamlValue(in: settled)) })
    }
}
