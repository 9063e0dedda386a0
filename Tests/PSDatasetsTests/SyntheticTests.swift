// The three layouts of ImageNet hold the same pictures.

import PSDatasets
import TestSupport
import Testing

@Test func theThreeLayoutsOfImageNet() throws {
    let set = SyntheticSet()
    let pictures = set.pictures(.train)
    #expect(pictures.count == 3000 && Set(pictures.map(\.name)).count == 3000)
    #expect(set.classNames == set.classNames.sorted() && set.classNames.allSatisfy { $0.utf8.count == 9 })
    let rows = pictures.reduce(0) { $0 + $1.rows } / 3000
    let columns = pictures.reduce(0) { $0 + $1.columns } / 3000
    #expect((320...420).contains(rows) && (370...470).contains(columns), "\(rows) x \(columns)")

    var small = SyntheticSet()
    small.classCount = 20
    func content(_ picture: SyntheticSet.Picture) -> [UInt8] {
        (0..<(picture.rows + picture.columns)).map { UInt8(truncatingIfNeeded: UInt64($0) &* picture.seed >> 8) }
    }
    for split in DatasetSplit.allCases {
        // Label, size and content by file name, which every layout has.
        func file(_ name: String) -> Substring { name.split(separator: "/").last ?? "" }
        let wanted = Dictionary(uniqueKeysWithValues: small.pictures(split).map { (file($0.name), $0) })
        for form in [DatasetForm.folder, .shards, .tfrecord] {
            let directory = TemporaryDirectory()
            try small.write(form, to: directory.path, content)
            var settings = directory.settings()
            settings.firstLabel = 1
            let found = try Dataset.open(settings, split)
            #expect(found.form == form && found.count == small.pictures(split).count && found.classNames.count == 20)
            if form != .tfrecord { #expect(found.classNames == small.classNames) }
            for sample in 0..<found.count {
                guard let picture = try wanted[file(found.name(of: sample))] else {
                    Issue.record("\(try found.name(of: sample)) was not made")
                    continue
                }
                #expect(try found.label(of: sample) == picture.label)
                #expect(try found.read(sample) == .encoded(content(picture)))
            }
        }
    }
}
