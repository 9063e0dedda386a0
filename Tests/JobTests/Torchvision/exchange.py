"""A network's reference implementation: its weights and logits, or its logits with weights that it loads strictly.

Usage: exchange.py FIXTURES NAME make DIRECTORY   writes weights, batch and theirs, all .safetensors
       exchange.py FIXTURES NAME load DIRECTORY   loads DIRECTORY/out.safetensors, writes theirs.safetensors

FIXTURES is the folder of networks.py, which has the references. Needs: torch, torchvision, timm, facenet-pytorch.
"""
import sys

import torch
from safetensors.torch import load_file, save_file

fixtures, name, mode, directory = sys.argv[1:]
sys.path[0] = fixtures
import networks

make, size, _, bias, _ = networks.NETWORKS[name]
model = make().eval()
if mode == "make":
    networks.fill(model, bias)
    save_file({key: value.clone().contiguous() for key, value in model.state_dict().items()},
              f"{directory}/weights.safetensors")
    images, labels = torch.randn(2, 3, size, size), torch.randint(0, 1000, (2,))
    save_file({"images": images, "labels": labels}, f"{directory}/batch.safetensors")
else:
    model.load_state_dict(load_file(f"{directory}/out.safetensors"), strict=True)
with torch.no_grad():
    logits = networks.heads(model(load_file(f"{directory}/batch.safetensors")["images"]))[0]
save_file({"logits": logits}, f"{directory}/theirs.safetensors")
