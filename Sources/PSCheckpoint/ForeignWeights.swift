// Weight files from elsewhere that are nearly right: what makes them different, in one sentence instead of hundreds.

import PSFiles
import PSParameters

/// What PyTorch's own files begin with. They are no safetensors files, and what they hold is code to be run.
enum PyTorchFile {
    /// What a file with these first bytes is, and how it becomes a safetensors file; nil for others.
    static func problem(_ file: any ReadableFile) throws(StorageError) -> String? {
        let path = file.path
        let bytes = try file.bytes(0..<min(9, file.byteCount))
        // A safetensors file's header, which follows its length of 8 bytes, begins with a brace.
        if bytes.count > 8, bytes[8] == UInt8(ascii: "{") { return nil }
        let what: String
        if bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) {
            what = "PyTorch's own format (a zip archive of pickle)"
        } else if bytes.count > 2, bytes[0] == 0x80, (2...5).contains(bytes[1]), pickleOpcodes.contains(bytes[2]) {
            what = "PyTorch's old format (pickle)"
        } else {
            return nil
        }
        // A name that would need escapes in Python and in a shell is left to the person.
        let isPlain = path.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./+=,@ ".contains($0)) }
        let name = isPlain ? path : "weights.pth"
        return "\(what), no safetensors file; convert it with: python3 -c \"import torch, safetensors.torch; "
            + "safetensors.torch.save_file({k: v.clone().contiguous() for k, v in "
            + "torch.load('\(name)', map_location='cpu').items()}, '\(stem(name)).safetensors')\""
    }

    /// What pickle goes on with behind its version: a frame, a dictionary, a long (torch's magic number), a class, a list,
    /// a mark.
    private static let pickleOpcodes: Set<UInt8> = [0x95, 0x7D, 0x8A, 0x63, 0x5D, 0x28]

    private static func stem(_ name: String) -> String {
        for suffix in [".pth", ".pt", ".bin", ".pkl"] where name.hasSuffix(suffix) && name != suffix {
            return String(name.dropLast(suffix.count))
        }
        return name
    }
}

/// How a file's tensors differ from a model's as a whole.
enum ForeignWeights {
    /// A text before all names of the file without which they would be the model's: `module.`, say.
    ///
    /// Found where most of the model's names are in the file behind it; what is wrong besides is a person's next error.
    static func commonPrefix(of file: SafetensorsFile, layout: ParameterLayout) -> String? {
        for tensor in layout.tensors {
            let found = file.tensors.filter { $0.name.hasSuffix(tensor.name) }
            if found.isEmpty { continue }
            return found.map { String($0.name.dropLast(tensor.name.count)) }.first { prefix in
                !prefix.isEmpty && file.tensors.allSatisfy { $0.name.hasPrefix(prefix) }
                    && 2 * layout.tensors.count { file.tensor(named: prefix + $0.name) != nil } > layout.tensors.count
            }
        }
        return nil
    }

    /// What is wrong with all names, said with some of the file's own.
    static func prefixProblem(_ prefix: String, in file: SafetensorsFile) -> String {
        let origin =
            switch prefix {
            case "module.": " as PyTorch's DataParallel leaves it"
            case "_orig_mod.": " as torch.compile leaves it"
            default: ""
            }
        let names = file.tensors.map(\.name).sorted().prefix(2).joined(separator: ", ")
        return
            "all \(file.tensors.count) names begin with '\(prefix)'\(origin) (\(names), ...); psctl import takes it "
            + "away, or before you save: {k.removeprefix('\(prefix)'): v for k, v in state_dict.items()}"
    }

    /// The one type that all those tensors have that should be floating-point, where more than one is wrong and in nothing
    /// else.
    ///
    /// - Parameter wrong: tensors of the file of the right shape and another type.
    static func typeProblem(_ wrong: [SafetensorsTensor]) -> String? {
        guard wrong.count > 1, let type = wrong.first?.dataType, wrong.allSatisfy({ $0.dataType == type }) else {
            return nil
        }
        return "\(wrong.count) tensors are \(type.rawValue) (\(wrong[0].name) for one); the model needs F32: "
            + "convert each with .float() before you save"
    }
}
