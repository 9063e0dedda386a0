// Folders of classes: what is listed in which order, and everything that can be wrong with folders.

import Glibc
import PSDatasets
import TestSupport
import Testing

@Test func aFolderIsListedByClassThenName() throws {
    let directory = smallFolder()
    let train = try Dataset.open(directory.settings(), .train)
    #expect(train.form == .folder)
    #expect(train.classNames == ["cat", "dog"])
    #expect(
        try (0..<train.count).map(train.name) == [
            "cat/a.jpg", "cat/b.JPEG", "cat/c.d.png", "dog/deep/y.ppm", "dog/x.webp",
        ])
    #expect(try (0..<train.count).map(train.label) == [0, 0, 0, 1, 1])
    #expect(try train.read(1) == .encoded(picture(0, 20)))
    #expect(try train.byteCount(of: 3) == 420)
    #expect(train.remarks.isEmpty)
    let test = try Dataset.open(directory.settings(.folder), .test)
    #expect(test.classNames == ["cat", "dog"])
    #expect(try (0..<test.count).map(test.name) == ["cat/e.jpg", "dog/f.jpg", "dog/g.jpg"])
    #expect(test.digest != train.digest)
    #expect(try Dataset.open(directory.settings(), .train).digest == train.digest)
}
