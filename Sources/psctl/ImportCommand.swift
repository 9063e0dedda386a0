// `psctl import`: weights from elsewhere in the names of a network's reference.

import ArgumentParser
import PSCheckpoint
import PSPrediction
import PSReport

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Writes weights from elsewhere as model.init takes them: the names of the reference, float32.",
        discussion: """
            Takes a safetensors file of any network here in the names of its reference (psctl model summary says which), \
            behind a prefix such as DataParallel's "module." or not, or of Inception-v3 in those of TF-slim's variables. \
            Half precision, bfloat16 and doubles become float32.

            A PyTorch file (.pth, .pt) becomes a safetensors file in Python, where torch and safetensors are installed:
              import torch, safetensors.torch
              safetensors.torch.save_file({k: v.clone().contiguous() for k, v in torch.load("weights.pth", map_location="cpu").items()}, "weights.safetensors")
            and a TensorFlow checkpoint:
              import tensorflow as tf, safetensors.numpy
              r = tf.train.load_checkpoint("inception_v3.ckpt"); safetensors.numpy.save_file({k: r.get_tensor(k) for k in r.get_variable_to_shape_map() if k.startswith("InceptionV3/")}, "weights.safetensors")
            """)

    @Argument(help: "The safetensors file to read.")
    var file: String

    @Option(help: "The safetensors file to write.")
    var out: String

    @OptionGroup var json: JSONOption

    func run() throws {
        let imported = try WeightFile.importing(file, to: checkedOutput(out))
        if json.isOn { return write(Report.json(imported)) }
        var text =
            "\(out): \(imported.model), \(Report.count(imported.tensors, "tensor")) of \(file) "
            + "(\(imported.origin == .slim ? "TF-slim's names" : "its reference's names")"
            + "\(imported.prefix.isEmpty ? "" : " behind '\(imported.prefix)'")), "
            + "\(Report.count(imported.classes, "class").replacing("classs", with: "classes")), "
            + "\(imported.auxiliary ? "with" : "without") auxiliary heads\n"
        if imported.scalesAreOne { text += "scales of batch norm, which it does not have, are 1\n" }
        if !imported.leftOut.isEmpty {
            text +=
                "left out, as no weights of the network: \(imported.leftOut.prefix(5).joined(separator: ", "))"
                + (imported.leftOut.count > 5 ? " and \(imported.leftOut.count - 5) more\n" : "\n")
        }
        if imported.origin == .slim, imported.classes == 1001 {
            text += "its class 0 is the background, before ImageNet's 1000\n"
        }
        write(text)
    }
}
