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

/// Capital letters come before small ones, and what is not ASCII behind both, whatever the language of the machine.
@Test func theOrderIsThatOfBytes() throws {
    let directory = TemporaryDirectory()
    for name in ["b", "B", "ä", "a", "Z", "a-b"] { directory.write("train/\(name)/1.jpg", [1]) }
    for name in ["é.jpg", "z.jpg", "Z.jpg", "10.jpg", "9.jpg"] { directory.write("train/B/\(name)", [1]) }
    let set = try Dataset.open(directory.settings(), .train)
    #expect(set.classNames == ["B", "Z", "a", "a-b", "b", "ä"])
    #expect(
        try (0..<6).map(set.name) == ["B/1.jpg", "B/10.jpg", "B/9.jpg", "B/Z.jpg", "B/z.jpg", "B/é.jpg"])
}

@Test func whatIsNoPictureIsLeftOutAndSaid() throws {
    let directory = smallFolder()
    directory.write("train/cat/notes.txt", [1])
    directory.write("train/cat/.hidden.jpg", [1])
    directory.write("train/.cache/x.jpg", [1])
    directory.write("train/dog/jpg", [1])
    mkfifo("\(directory.path)/train/dog/pipe.jpg", 0o600)
    let set = try Dataset.open(directory.settings(), .train)
    #expect(set.count == 5 && set.classNames.count == 2)
    #expect(set.remarks.count == 1 && set.remarks[0].contains("3 files are left out"), "\(set.remarks)")
}

@Test func linksAreFollowed() throws {
    let directory = smallFolder()
    let elsewhere = TemporaryDirectory()
    elsewhere.write("far/z.jpg", [1, 2, 3])
    directory.link("train/cat/z.jpg", to: "\(elsewhere.path)/far/z.jpg")
    directory.link("train/eel", to: "\(elsewhere.path)/far")
    let set = try Dataset.open(directory.settings(), .train)
    #expect(set.classNames == ["cat", "dog", "eel"])
    #expect(try set.name(of: 3) == "cat/z.jpg" && set.byteCount(of: 3) == 3)
    #expect(try set.read(set.count - 1) == .encoded([1, 2, 3]))
    #expect(try set.place(of: 3) == "\(directory.path)/train/cat/z.jpg")
}

/// A share of one folder: every picture in one of the two, about as many as wanted, none moved by pictures that come.
@Test func aShareIsAFunctionOfTheName() throws {
    let directory = TemporaryDirectory()
    func add(_ numbers: Range<Int>) {
        for number in numbers { directory.write("\(number % 3)/\(number).jpg", [UInt8(number % 256)]) }
    }
    func names(_ split: DatasetSplit) throws -> Set<String> {
        var settings = directory.settings()
        settings.validationShare = 0.25
        let set = try Dataset.open(settings, split)
        #expect(set.classNames == ["0", "1", "2"])
        return Set(try (0..<set.count).map(set.name))
    }
    add(0..<600)
    let (train, test) = (try names(.train), try names(.test))
    #expect(train.count + test.count == 600 && train.isDisjoint(with: test))
    // 150 with a deviation of 10.6.
    #expect(abs(test.count - 150) < 45)
    add(600..<900)
    let (more, moreTest) = (try names(.train), try names(.test))
    #expect(train.isSubset(of: more) && test.isSubset(of: moreTest) && more.count + moreTest.count == 900)
    // The same on every machine: which of these are for evaluation.
    #expect(test.filter { $0.hasPrefix("0/") }.sorted().prefix(4) == ["0/0.jpg", "0/102.jpg", "0/111.jpg", "0/12.jpg"])
}

@Test func aClassWithoutPicturesForEvaluationIsSaid() throws {
    let directory = smallFolder()
    directory.write("train/eel/a.jpg", [1])
    directory.makeDirectory("train/fox")
    #expect(problem(directory.settings()).contains("train/fox: has no pictures (jpg, jpeg"))
    rmdir("\(directory.path)/train/fox")
    let set = try Dataset.open(directory.settings(), .test)
    #expect(set.classNames == ["cat", "dog", "eel"] && set.count == 3)
    #expect(set.remarks.count == 1 && set.remarks[0].contains("1 class has no pictures for evaluation: eel"))
}

@Suite struct FolderProblems {
    @Test func aClassThatTrainingLacks() {
        let directory = smallFolder()
        directory.write("val/eel/a.jpg", [1])
        #expect(
            problem(directory.settings(), .test).contains("val/eel: is a class that \(directory.path)/train does not"))
        #expect(problem(directory.settings(), .train).isEmpty)
    }

    @Test func noClassFoldersForEvaluation() {
        let directory = smallFolder()
        let flat = TemporaryDirectory()
        flat.write("train/cat/a.jpg", [1])
        flat.write("train/dog/a.jpg", [1])
        #expect(problem(flat.settings(), .test).contains("val is missing; the pictures for evaluation belong there"))
        flat.write("val/ILSVRC2012_val_00000001.JPEG", [1])
        #expect(problem(flat.settings(), .test).contains("has files such as ILSVRC2012_val_00000001.JPEG but no class"))
        flat.makeDirectory("val/cat")
        #expect(problem(flat.settings(), .test).contains("has no pictures for evaluation in its 2 class folders"))
        _ = directory
    }

    @Test func oneClassOrNone() {
        let directory = TemporaryDirectory()
        directory.write("train/cat/a.jpg", [1])
        #expect(problem(directory.settings()).contains("one class folder only, cat"))
        let empty = TemporaryDirectory()
        empty.makeDirectory("train")
        #expect(problem(empty.settings()).contains("no data set is there"))
        #expect(problem(empty.settings(.folder)).contains("no data set of kind folder"))
    }

    @Test func aNameThatIsNotUTF8() {
        let directory = smallFolder()
        let name: [UInt8] = Array("\(directory.path)/train/cat/".utf8) + [0xFF, 0xFE] + Array(".jpg".utf8)
        name.map { CChar(bitPattern: $0) }.withUnsafeBufferPointer { _ = creat(Array($0) + [0], 0o644) }
        #expect(problem(directory.settings()).contains("whose name is not UTF-8"))
    }

    @Test func linksInACircle() {
        let directory = smallFolder()
        directory.link("train/cat/again", to: "..")
        #expect(problem(directory.settings()).contains("a symbolic link leads back to a folder it lies in"))
        unlink("\(directory.path)/train/cat/again")
        directory.link("train/cat/nowhere.jpg", to: "gone.jpg")
        #expect(problem(directory.settings()).contains("train/cat/nowhere.jpg is missing; it is a symbolic link"))
        unlink("\(directory.path)/train/cat/nowhere.jpg")
        directory.link("train/cat/self.jpg", to: "self.jpg")
        #expect(problem(directory.settings()).contains("symbolic links lead in a circle"))
    }

    @Test func tooDeep() {
        let directory = smallFolder()
        directory.write("train/cat/" + String(repeating: "a/", count: 40) + "x.jpg", [1])
        #expect(problem(directory.settings()).contains("lies more than 32 folders deep"))
    }

    @Test func aPictureThatHasChanged() throws {
        let directory = smallFolder()
        let set = try Dataset.open(directory.settings(), .train)
        directory.write("train/cat/a.jpg", [1, 2])
        let changed = #expect(throws: DatasetError.self) { try set.read(0) }
        #expect(
            changed?.description.contains("cat/a.jpg has changed: it has 2 bytes, and had 120 when the data set")
                == true)
        unlink("\(directory.path)/train/cat/a.jpg")
        let gone = #expect(throws: DatasetError.self) { try set.read(0) }
        #expect(gone?.description.contains("is gone") == true)
        #expect(try set.read(1) == .encoded(picture(0, 20)))
    }
}
