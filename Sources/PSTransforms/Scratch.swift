// Memory that is used again from picture to picture.

/// Uninitialised memory that grows to what was asked for most.
struct Scratch<Element: BitwiseCopyable>: ~Copyable {
    private var memory: UnsafeMutableBufferPointer<Element>?

    /// Room for `count` elements; what was in it before is lost.
    mutating func room(_ count: Int) -> UnsafeMutablePointer<Element> {
        if let memory, let base = memory.baseAddress, memory.count >= count { return base }
        memory?.deallocate()
        let grown = UnsafeMutableBufferPointer<Element>.allocate(capacity: max(count, 1))
        memory = grown
        return grown.baseAddress!
    }

    deinit { memory?.deallocate() }
}
