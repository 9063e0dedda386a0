// A sliding window as the C kernels take it.

import CKernels
import PSPlanning

extension SlidingWindow {
    var raw: engine_window {
        engine_window(
            input_height: Int32(input.height), input_width: Int32(input.width), output_height: Int32(output.height),
            output_width: Int32(output.width), kernel_height: Int32(kernel.height),
            kernel_width: Int32(kernel.width), stride_height: Int32(stride.height),
            stride_width: Int32(stride.width), padding_height: Int32(padding.height),
            padding_width: Int32(padding.width))
    }
}
