"""Weights and a batch for `psctl gradients` and `psctl predict`, and PyTorch's own float64 answer.

Usage: make_batch.py DIRECTORY HEIGHT WIDTH COUNT. Writes weights, batch and reference, all .safetensors.
Needs: torch, torchvision, safetensors.
"""
import sys

import torch
import torchvision
from safetensors.torch import save_file

directory, (height, width, count) = sys.argv[1], map(int, sys.argv[2:5])
classes = 20
torch.manual_seed(3)
model = torchvision.models.inception_v3(
    weights=None, aux_logits=True, init_weights=True, transform_input=False, num_classes=classes, dropout=0.0)
with torch.no_grad():
    # Away from the values of a fresh network, so that each tensor matters. Shifts of 1 keep most ReLUs open: where one
    # closes in float32 and not in float64, whole gradients differ.
    for name, value in model.state_dict().items():
        if name.endswith("bn.bias"):
            value.add_(1 + 0.2 * torch.randn_like(value))
        elif name.endswith("running_mean"):
            value.add_(0.1 * torch.randn_like(value))
        elif name.endswith("running_var"):
            value.mul_(0.5 + torch.rand_like(value))
save_file({k: v.clone() for k, v in model.state_dict().items()}, f"{directory}/weights.safetensors")

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
