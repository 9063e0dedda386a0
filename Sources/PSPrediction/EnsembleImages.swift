// What several networks together say of test images.

import PSDatasets

/// The same test images as each network of an ensemble sees them; of one network, what it says.
package struct EnsembleImages {
    private let members: [TestImages]

    /// - Precondition: of one data set, in parts of one size, with as many classes.
    package init(_ members: [TestImages]) {
        precondition(!members.isEmpty)
        precondition(members.allSatisfy { $0.batch == members[0].batch && $0.classes == members[0].classes })
        self.members = members
    }

    /// As `TestImages.compute`: of several networks the logarithm of the mean of their softmax. An image counts if all of
    /// them could read it.
    package func compute(
        part: Int, take: (_ sample: Int, _ label: Int, _ logits: ArraySlice<Float>) -> Void
    ) throws -> [Int] {
        if members.count == 1 { return try members[0].compute(part: part, next: part + 1, take: take) }
        var said: [Int: (label: Int, logits: [Float], members: Int)] = [:]
        var unreadable: Set<Int> = []
        for member in members {
            let missing = try member.compute(part: part, next: part + 1) { sample, label, logits in
                var entry = said[sample] ?? (label, [], 0)
                entry.logits += logits
                entry.members += 1
                said[sample] = entry
            }
            unreadable.formUnion(missing)
        }
        for (sample, entry) in said.sorted(by: { $0.key < $1.key }) where entry.members == members.count {
            take(
                sample, entry.label,
                SoftmaxMean.logarithms(of: entry.logits[...], classes: members[0].classes))
        }
        return unreadable.sorted()
    }
}
