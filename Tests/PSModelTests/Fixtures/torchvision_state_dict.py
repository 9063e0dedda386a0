#!/usr/bin/env python3
"""Writes torchvision's Inception-v3 state_dict, names and shapes in order, as JSON: [[name, [extents]], ...].

Needs: pip install torch torchvision.   Usage: torchvision_state_dict.py OUT.json
"""
import json
import sys

import torchvision

model = torchvision.models.inception_v3(weights=None, aux_logits=True, init_weights=False)
entries = [[name, list(tensor.shape)] for name, tensor in model.state_dict().items()]
with open(sys.argv[1], "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")
print(len(entries), "entries")
