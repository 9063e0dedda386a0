"""Loads an exported model into torchvision's inception_v3, strictly, and writes its evaluation logits of a batch.

Usage: load_strictly.py MODEL BATCH OUT, all safetensors.
"""
import sys

import torch
import torchvision
from safetensors.torch import load_file, save_file

weights = load_file(sys.argv[1])
model = torchvision.models.inception_v3(
    weights=None, aux_logits=True, init_weights=False, transform_input=False, num_classes=len(weights["fc.bias"]))
model.load_state_dict(weights, strict=True)
with torch.no_grad():
    save_file({"logits": model.eval()(load_file(sys.argv[2])["images"])}, sys.argv[3])
