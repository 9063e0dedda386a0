"""Weights and a batch for `psctl gradients` and `psctl predict`, and PyTorch's own float64 answer.

Usage: make_batch.py DIRECTORY HEIGHT WIDTH COUNT. Writes weights, batch and reference, all .safetensors.
Needs: torch, torchvision, safetensors.
"""
import sys

import torch
from safetensors.torch import save_file

from networks import inception, weights

directory, (height, width, count) = sys.argv[1], map(int, sys.argv[2:5])
classes = 20
model = inception(3, classes)
save_file(weights(model), f"{directory}/weights.safetensors")

images, labels = torch.randn(count, 3, height, width), torch.randint(0, classes, (count,))
save_file({"images": images, "labels": labels}, f"{directory}/batch.safetensors")

model.double().eval()
with torch.no_grad():
    reference = {"evaluation": model(images.double())}
model.train()
logits, auxiliary = model(images.double())
loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
loss = loss_of(logits, labels) + 0.4 * loss_of(auxiliary, labels)
loss.backward()
reference |= {"loss": loss.detach(), "logits": logits.detach(), "aux_logits": auxiliary.detach()}
reference |= {f"grad.{name}": value.grad for name, value in model.named_parameters()}
save_file({k: v.contiguous() for k, v in reference.items()}, f"{directory}/reference.safetensors")
