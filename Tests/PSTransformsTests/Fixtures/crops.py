#!/usr/bin/env python3
"""Writes crops.json: the 10, 12 and 144 crops that Pillow takes of small pictures.

    crops.py > crops.json

Runs in an environment with Pillow 13.0.0 and NumPy 2.4.6. Pictures are the formulas of pixels.py. The rules are written
down here once more, from the papers and torchvision's Resize and TenCrop, and not from the Swift code.
"""
import base64
import json
import zlib

import numpy as np
from PIL import Image

from pixels import formula, named

# Pictures (formula, width, height) and the network's size: wide, tall, square, smaller than the network, far from square.
CASES = [("photo", 50, 37, 7), ("photo", 37, 61, 14), ("mix", 40, 40, 13), ("noise", 9, 5, 21), ("photo", 4, 90, 11),
         ("photo", 150, 111, 32)]
BILINEAR = Image.Resampling.BILINEAR


def resized(picture, side):
    """The shorter side to `side`, the longer one cut down to a whole number."""
    w, h = picture.size
    return picture.resize((side, int(side * h / w)) if w <= h else (int(side * w / h), side), BILINEAR)


def window(picture, left, top, w, h):
    return picture.crop((left, top, left + w, top + h))


def corners_and_centre(picture, size):
    w, h = picture.size
    places = [(0, 0), (w - size, 0), (0, h - size), (w - size, h - size), (round((w - size) / 2), round((h - size) / 2))]
    return [window(picture, left, top, size, size) for left, top in places]


def squares(picture):
    w, h = picture.size
    side = min(w, h)
    along = [0, round((max(w, h) - side) / 2), max(w, h) - side]
    return [window(picture, p, 0, side, side) if w >= h else window(picture, 0, p, side, side) for p in along]


def mirrored_too(pictures):
    return [m for p in pictures for m in (p, p.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]


def crops(picture, count, size):
    """`count` pictures of size x size."""
    sides = [round(size * side / 224) for side in (256, 288, 320, 352)]
    if count == 10:
        return mirrored_too(corners_and_centre(resized(picture, sides[0]), size))
    chosen = [squares(resized(picture, sides[0]))[1]] if count == 12 else [s for side in sides for s in squares(resized(picture, side))]
    return [c for s in chosen for c in mirrored_too(corners_and_centre(s, size) + [s.resize((size, size), BILINEAR)])]


def case(kind, w, h, size):
    picture, row = Image.fromarray(formula(kind, w, h, 5)), dict(image=named(kind, w, h, 5), size=size)
    for count in (10, 12, 144):
        taken = [np.asarray(c) for c in crops(picture, count, size)]
        assert len(taken) == count and all(c.shape == (size, size, 3) for c in taken)
        row[f"crops{count}"] = [zlib.crc32(c.tobytes()) for c in taken]
        if size == 7:                                                # small enough to hold all values
            row[f"bytes{count}"] = base64.b64encode(np.stack(taken).tobytes()).decode()
    return row


if __name__ == "__main__":
    print("[\n" + ",\n".join(json.dumps(case(*c), separators=(",", ":")) for c in CASES) + "\n]")
