// Whether each sample of each epoch was used once: the samples of the committed tickets, by the stream that gave them.

import PSParameters
import PSSamples

package struct SampleUse: Sendable, Hashable, Codable {
    /// Training samples of an epoch.
    package var samples: Int
    /// Epochs of which every sample was used once.
    package var wholeEpochs = 0
    /// Samples used of the epoch that is not whole yet, each once.
    package var ofLastEpoch = 0
    package var problems: [String] = []

    enum CodingKeys: String, CodingKey {
        case samples, problems
        case wholeEpochs = "whole_epochs"
        case ofLastEpoch = "of_last_epoch"
    }

    /// - Parameters:
    ///   - tickets: those of the steps that count, once each.
    ///   - stream: which samples a ticket names.
    package init(of tickets: Range<UInt64>, stream: SampleStream) {
        samples = stream.sampleCount
        let count = UInt64(stream.sampleCount)
        let batch = UInt64(stream.batch)
        let positions = tickets.lowerBound * batch..<tickets.upperBound * batch
        guard !positions.isEmpty else { return }
        for epoch in positions.lowerBound / count...(positions.upperBound - 1) / count {
            let part = (epoch * count..<(epoch + 1) * count).clamped(to: positions)
            var used = [UInt8](repeating: 0, count: stream.sampleCount)
            for position in part {
                let sample = stream.sample(of: Ticket(position / batch), place: Int(position % batch))
                if used[sample] > 0 { problems.append("sample \(sample) is used twice in epoch \(epoch + 1)") }
                used[sample] = 1
            }
            if part.count == stream.sampleCount {
                wholeEpochs += 1
            } else {
                ofLastEpoch = part.count
            }
        }
    }
}
