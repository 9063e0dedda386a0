// What keeps an image from becoming numbers.

import PSDatasets
import PSImages

package enum DataError: Error, Sendable, CustomStringConvertible {
    case dataset(DatasetError)
    /// A picture's bytes are no picture that can be decoded; `name` is the sample's in its data set.
    case picture(name: String, path: String, error: ImageError)
    /// Too many in a row cannot be read for others to take their place.
    case nothingReadable(path: String, tries: Int, last: String)
    /// A training list that is not the job's.
    case otherSamples(path: String, problem: String)

    package var description: String {
        switch self {
        case .dataset(let error): "\(error)"
        case .picture(let name, let path, let error):
            "\(name) of \(path) \(error); remove or repair it, or set data.onBadImage=skip to take others in place of such"
        case .nothingReadable(let path, let tries, let last):
            "\(path): \(tries) images in a row cannot be read, the last because \(last); is this the right data set?"
        case .otherSamples(let path, let problem): "\(path) is not the job's data set: \(problem)"
        }
    }

    /// Whether another try may fare better.
    package var mayPass: Bool {
        if case .dataset(.system) = self { true } else { false }
    }
}
