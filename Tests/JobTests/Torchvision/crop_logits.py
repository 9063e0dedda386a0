"""What torchvision's inception_v3 says of the 10, 12 and 144 crops that Pillow takes of pictures; two networks.

Usage: crop_logits.py FIXTURES PICTURES DIRECTORY. FIXTURES is the folder of crops.py, which has the rules of the crops;
PICTURES has a folder of pictures for each class. Writes to DIRECTORY: weights-0 and weights-1, and logits, all
.safetensors. Of logits the tensor "N.M" holds those of N crops by network M: pictures x crops x classes. Prints as JSON,
for each N, what the networks apart ("0", "1") and together ("both") come to: loss, top1, top5, and each picture's best
five classes.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file

from networks import calibrated, inception, weights

fixtures, pictures, directory = sys.argv[1:4]
sys.path.insert(0, fixtures)
from crops import crops  # noqa: E402

SIZE, COUNTS = 299, (10, 12, 144)
files = sorted(Path(pictures).glob("*/*"), key=lambda p: str(p).encode())
classes = sorted({p.parent.name for p in files})
labels = torch.tensor([classes.index(p.parent.name) for p in files])


def images(file, count):
    """The crops of a picture as Inception's weights take them, in -1...1."""
    picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    taken = np.stack([np.asarray(c) for c in crops(picture, count, SIZE)])
    return (torch.from_numpy(taken).permute(0, 3, 1, 2).float() / 255 - 0.5) * 2


logits = {}
some = torch.cat([images(file, 144)[::24] for file in files])
for network, seed in enumerate((3, 4)):
    model = calibrated(inception(seed), some)
    save_file(weights(model), f"{directory}/weights-{network}.safetensors")
    for count in COUNTS:
        with torch.no_grad():
            logits[f"{count}.{network}"] = torch.stack(
                [torch.cat([model(part) for part in images(file, count).split(16)]) for file in files])
save_file(logits, f"{directory}/logits.safetensors")


def figures(probabilities):
    order = probabilities.argsort(1, descending=True)[:, :5]
    hits = order == labels[:, None]
    return {
        "loss": float(-probabilities[range(len(labels)), labels].log().mean()),
        "top1": float(hits[:, :1].any(1).double().mean()), "top5": float(hits.any(1).double().mean()),
        "best": order.tolist(),
    }


report = {}
for count in COUNTS:
    means = [logits[f"{count}.{network}"].double().softmax(2).mean(1) for network in (0, 1)]
    report[str(count)] = {"0": figures(means[0]), "1": figures(means[1]), "both": figures((means[0] + means[1]) / 2)}
print(json.dumps(report))
