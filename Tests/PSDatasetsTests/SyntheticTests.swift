// The three layouts of ImageNet hold the same pictures.

import PSDatasets
import SyntheticData
import TestSupport
import Testing

@Test func theThreeLayoutsOfImageNet() throws {
    let directory = TemporaryDirectory()
    let made = SyntheticSet(classCount: 6, trainPerClass: 3, testPerClass: 2)
    try made.write(to: directory.path)
    for split in DatasetSplit.allCases {
        let sets = try [("folder", DatasetForm.folder), ("shards", .shards), ("tfrecord", .tfrecord)].map {
            name, form in
            var settings = DatasetSettings(path: "\(directory.path)/\(name)")
            settings.firstLabel = form == .tfrecord ? 1 : 0
            let set = try Dataset.open(settings, split)
            #expect(set.form == form)
            return set
        }
        for set in sets {
            #expect(try set.classNames == made.classNames())
            #expect(set.count == 6 * (split == .train ? 3 : 2))
            #expect(set.digest == sets[0].digest)
            for sample in 0..<set.count {
                #expect(try set.name(of: sample) == sets[0].name(of: sample))
                #expect(try set.label(of: sample) == sample * 6 / set.count)
                #expect(try set.read(sample) == sets[0].read(sample))
            }
        }
    }
}
