// What every kernel is handed: threads, and a piece of scratch memory for each of them.

import COpenBLAS

/// The threads and scratch memory of one network.
package final class KernelContext {
    package let pool: ThreadPool
    private let scratch: UnsafeMutablePointer<Float>
    private let scratchStride: Int

    /// - Parameters:
    ///   - scratch: `threads * scratchFloats` floats that outlive the context.
    ///   - scratchFloats: what the greediest kernel needs for one thread.
    package init(threads: Int, scratch: UnsafeMutablePointer<Float>, scratchFloats: Int) throws(KernelError) {
        // The engine's own threads split the work; OpenBLAS must not add its own beneath them.
        openblas_set_num_threads(1)
        pool = try ThreadPool(threads: threads)
        self.scratch = scratch
        scratchStride = scratchFloats
    }

    /// One thread's scratch memory.
    package func scratch(_ thread: Int) -> UnsafeMutablePointer<Float> { scratch + thread * scratchStride }
}

/// The name of the kernel set OpenBLAS chose for this processor. With one build of OpenBLAS, equal names give
/// equal bits.
package func blasCoreName() -> String { String(cString: openblas_get_corename()) }

/// Product sizes up to this many multiply-adds take OpenBLAS's small-matrix path: no packing, no lock, 110 of the
/// 117 GF/s a Zen 4 core has, where larger ones drop to 90. Every product the engine asks for is cut to fit.
let smallProduct = 1_000_000

/// output (rows x columns) = left (rows x depth) * right (depth x columns), added to it if `accumulate`. Row-major, each
/// matrix with the distance between its rows.
@inline(__always)
func multiply(
    rows: Int, columns: Int, depth: Int, _ left: UnsafePointer<Float>, _ leftStride: Int,
    _ right: UnsafePointer<Float>, _ rightStride: Int, accumulate: Bool, _ output: UnsafeMutablePointer<Float>,
    _ outputStride: Int
) {
    cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(rows), Int32(columns), Int32(depth), 1, left,
        Int32(leftStride), right, Int32(rightStride), accumulate ? 1 : 0, output, Int32(outputStride))
}

/// output (rows x columns) = left^T * right with left (depth x rows), right (depth x columns); see `multiply`.
@inline(__always)
func multiplyTransposed(
    rows: Int, columns: Int, depth: Int, _ left: UnsafePointer<Float>, _ leftStride: Int,
    _ right: UnsafePointer<Float>, _ rightStride: Int, accumulate: Bool, _ output: UnsafeMutablePointer<Float>,
    _ outputStride: Int
) {
    cblas_sgemm(
        CblasRowMajor, CblasTrans, CblasNoTrans, Int32(rows), Int32(columns), Int32(depth), 1, left,
        Int32(leftStride), right, Int32(rightStride), accumulate ? 1 : 0, output, Int32(outputStride))
}
