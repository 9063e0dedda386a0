"""The table of `psctl bench errors --json` in Markdown, with PyTorch's float32 convolutions beside ours.

Usage: rounding.py ERRORS.json. Each convolution in channels_last, its output and both gradients, against the same in
float64; operands drawn as psctl draws them. Errors are in units of 1e-7: output / data gradient / weight gradient.
"""
import json
import sys

import torch

with open(sys.argv[1]) as file:
    report = json.load(file)
torch.manual_seed(report["seed"])


def directions(x, w, dy, shape):
    settings = (None, shape["stride"], shape["padding"], [1, 1], False, [0, 0], 1)
    y = torch.ops.aten.convolution(x, w, *settings)
    dx, dw, _ = torch.ops.aten.convolution_backward(
        dy, x, w, None, *settings[1:], output_mask=[True, True, False])
    return y, dx, dw


def pytorch(shape):
    """Relative RMS errors of the three directions."""
    inputs, outputs, kernel = shape["input_channels"], shape["output_channels"], shape["kernel"]
    x = torch.randn(report["batch"], inputs, *shape["input"]).relu()
    w = torch.randn(outputs, inputs, *kernel) / (inputs * kernel[0] * kernel[1]) ** 0.5
    extents = [(size + 2 * padding - taps) // stride + 1 for size, padding, taps, stride in
               zip(shape["input"], shape["padding"], kernel, shape["stride"])]
    dy = torch.randn(report["batch"], outputs, *extents)
    single = directions(*(t.contiguous(memory_format=torch.channels_last) for t in (x, w, dy)), shape)
    double = directions(x.double(), w.double(), dy.double(), shape)
    return [float((a.double() - b).norm() / b.norm()) for a, b in zip(single, double)]


def cell(errors):
    return " / ".join(f"{error * 1e7:.1f}" if error < 1e-6 else f"{error * 1e7:.0f}" for error in errors)


def ours(algorithm):
    errors = cell(algorithm["errors"][key] for key in ("forward", "data_gradient", "weight_gradient"))
    return errors if algorithm["algorithm"] == "direct" else f"{algorithm['name']}: {errors}"


print(f"| convolution | layers | PyTorch {torch.__version__.split('+')[0]} | im2col | smaller tile | larger tile |")
print("|---|---|---|---|---|---|")
for shape in report["shapes"]:
    cells = [ours(algorithm) for algorithm in shape["algorithms"]]
    cells += ["-"] * (3 - len(cells))
    print("|", " | ".join([shape["shape"], str(len(shape["layers"])), cell(pytorch(shape)), *cells]), "|")
