// Which form a directory has, and what a person is told who has none or two.

import Glibc
import PSDatasets
import TestSupport
import Testing

private func form(_ directory: TemporaryDirectory) throws -> DatasetForm {
    try Dataset.open(directory.settings(), .train).form
}

@Test func everyFormIsFoundByItself() throws {
    let sets = [(smallFolder(), DatasetForm.folder), (smallIDX(), .idx), (smallCIFAR(), .cifar)]
    for (directory, wanted) in sets { #expect(try form(directory) == wanted) }
    for form in [DatasetSettings.Kind.shards, .tfrecord] {
        let inDirectories = TemporaryDirectory()
        let inOne = TemporaryDirectory()
        for split in ["train", "val"] {
            let bytes = form == .shards ? smallShard() : smallTFRecord()
            inDirectories.write("\(split)/a.\(form == .shards ? "tar" : "tfrecord")", bytes)
            inOne.write("things-\(split)-0.\(form == .shards ? "tar" : "tfrecords")", bytes)
        }
        for directory in [inDirectories, inOne] {
            for kind in [.auto, form] {
                #expect(try Dataset.open(directory.settings(kind), .train).form == form.form)
                #expect(try Dataset.open(directory.settings(kind), .test).count == 3)
            }
        }
    }
}

@Test func whatIsNotThereIsSaid() {
    #expect(
        problem(DatasetSettings(path: "/nonexistent/set"))
            == "/nonexistent/set is missing; check the path, or put the data set there (Fashion-MNIST: apt-get install dataset-fashion-mnist)"
    )
    let directory = TemporaryDirectory()
    #expect(
        problem(directory.settings()).contains("no data set is there. One of these must be: folder: train/ and val/"))
    for kind in DatasetSettings.Kind.allCases where kind != .auto {
        #expect(problem(directory.settings(kind)).contains("no data set of kind \(kind.rawValue): "))
    }
    directory.write("train.tar.gz", gzipped(smallShard()))
    #expect(problem(directory.settings()).contains("train.tar.gz is compressed; unpack it with gunzip"))
    directory.write("train/0.tar.gz", gzipped(smallShard()))
    #expect(problem(directory.settings()).contains("train/0.tar.gz: is compressed; unpack it with gunzip"))
    unlink("\(directory.path)/train/0.tar.gz")
    rmdir("\(directory.path)/train")
    unlink("\(directory.path)/train.tar.gz")
    directory.write("data_batch_1", [1])
    #expect(problem(directory.settings()).contains("Python version of CIFAR"))
    unlink("\(directory.path)/data_batch_1")
    directory.write("a.jpg", [1])
    #expect(problem(directory.settings()).contains("has pictures such as a.jpg but no folders"))
    #expect(problem(DatasetSettings(path: "\(directory.path)/a.jpg")).contains("is a file; the path of a data set is"))
}

/// ImageNet as it is fetched: the unpacked folders beside the archive they came from.
@Test func twoFormsAtOnceAreNotGuessed() throws {
    let directory = smallFolder()
    directory.write("ILSVRC2012_img_train.tar", smallShard())
    #expect(problem(directory.settings()).contains("could be a data set of kind folder or of kind shards; say which"))
    #expect(try Dataset.open(directory.settings(.folder), .train).form == .folder)
    #expect(try Dataset.open(directory.settings(.shards), .train).form == .shards)
}

@Test func filesThatAreNotWholeOrClear() {
    let directory = TemporaryDirectory()
    directory.write("a.tar", smallShard())
    #expect(problem(directory.settings()).contains("a.tar: its name does not say whether it is for training"))
    let records = TemporaryDirectory()
    for number in [0, 1, 3] { records.write("train-0000\(number)-of-00004", smallTFRecord()) }
    #expect(problem(records.settings()).contains("file 2 of 4 is missing; only 3 files named train-*-of-4 are there"))
    records.write("train-00002-of-00004", smallTFRecord())
    #expect(problem(records.settings()).isEmpty)
    #expect(problem(records.settings(), .test).contains("val is missing; no file there is for evaluation"))
}

/// Evaluation's files alone are a set that can be evaluated on, where its classes have names.
@Test func onlyEvaluation() throws {
    let directory = TemporaryDirectory()
    directory.write("val/a.tar", smallShard())
    #expect(problem(directory.settings()).contains("train is missing; no file there is for training"))
    directory.write("classes.txt", Array("a\nb\nc\n".utf8))
    #expect(try Dataset.open(directory.settings(), .test).count == 3)
    let folders = TemporaryDirectory()
    folders.write("val/a/1.jpg", [1])
    #expect(problem(folders.settings(), .test).contains("train is missing; a folder of classes has the pictures"))
}

@Test func settingsThatMakeNoSense() {
    var settings = DatasetSettings(path: "")
    #expect(problem(settings) == "path is empty; it must name a directory")
    settings.path = "/"
    for share in [0, 1.001, -1, .nan, .infinity] as [Double] {
        settings.validationShare = share
        #expect(problem(settings).hasPrefix("validationShare is"))
    }
    settings.validationShare = 0.5
    settings.firstLabel = 2
    #expect(problem(settings) == "firstLabel is 2; it must be 0 or 1")
}
