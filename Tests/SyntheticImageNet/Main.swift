// Makes a data set of ImageNet's form from nothing, for measuring whole jobs.

import Foundation
import SyntheticData

@main
struct SyntheticImageNet {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        let numbers = arguments.dropFirst().map { Int($0) ?? 0 }
        guard let out = arguments.first, !out.hasPrefix("-"), numbers.count <= 3, numbers.allSatisfy({ $0 > 0 }) else {
            print("synthetic-imagenet OUT [CLASSES [TRAINING-PICTURES-A-CLASS [VALIDATION-PICTURES-A-CLASS]]]")
            exit(64)
        }
        func number(_ index: Int, _ usual: Int) -> Int { numbers.count > index ? numbers[index] : usual }
        let set = SyntheticSet(classCount: number(0, 1000), trainPerClass: number(1, 2), testPerClass: number(2, 1))
        try set.write(to: out)
        print("\(out): folder, shards, tfrecord")
    }
}
