"""Relative errors of our gradients and logits against PyTorch's float64 ones, as JSON.

Usage: compare.py DIRECTORY. Reads reference, gradients and logits, all .safetensors.
"""
import json
import sys

from safetensors.torch import load_file

directory = sys.argv[1]
reference, gradients, logits = (load_file(f"{directory}/{n}.safetensors") for n in ("reference", "gradients", "logits"))


def error(ours, theirs):
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float((ours.double() - theirs).norm() / theirs.norm())


evaluation = reference.pop("evaluation")
assert set(gradients) == set(reference), set(gradients) ^ set(reference)
errors = sorted(error(gradients[name], reference[name]) for name in reference if name.startswith("grad."))
print(json.dumps({
    "loss": error(gradients["loss"], reference["loss"]),
    "logits": error(gradients["logits"], reference["logits"]),
    "aux_logits": error(gradients["aux_logits"], reference["aux_logits"]),
    "evaluation": error(logits["logits"], evaluation),
    "median": errors[len(errors) // 2],
    "largest": errors[-1],
}))
