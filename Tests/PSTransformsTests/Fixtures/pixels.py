#!/usr/bin/env python3
"""Writes pixels.json: what TensorFlow and torchvision make of small pictures.

    pixels.py TENSORFLOW_PYTHON > pixels.json

Runs in an environment with torch 2.15.0, torchvision 0.29.2 and Pillow 13.0.0; TENSORFLOW_PYTHON is the interpreter of
another one, with tensorflow-cpu 2.21.0, in which the script runs itself for TensorFlow's part.  NumPy 2.4.6 in both.
Pictures are formulas on integers; Pictures.swift has them too.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import zlib

import numpy as np

F = np.float32


def hashed(i, seed):
    mask = np.uint64(0xFFFFFFFF)
    z = (np.asarray(i, np.uint64) * np.uint64(0x9E3779B1) + np.uint64(seed * 0x85EBCA77 + 0x27D4EB2F)) & mask
    z ^= z >> np.uint64(15)
    z = (z * np.uint64(0x2C1B3C6D)) & mask
    z ^= z >> np.uint64(12)
    z = (z * np.uint64(0x297A2D39)) & mask
    z ^= z >> np.uint64(15)
    return (z >> np.uint64(24)).astype(np.int64)


def wave(t, period):
    m = t % period
    return 255 * np.abs(2 * m - period) // period


def formula(kind, w, h, seed):
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    noise = np.stack([hashed((y * w + x) * 3 + c, seed) for c in range(3)], -1)
    if kind == "ramp":
        px = np.stack([255 * x // max(w - 1, 1), 255 * y // max(h - 1, 1), (7 * x + 13 * y) % 256], -1)
    elif kind == "checker":
        odd = ((x // 3 + y // 2) % 2) == 1
        px = np.stack([np.where(odd, a, b) for a, b in ((230, 20), (40, 180), (60, 220))], -1)
    elif kind == "noise":
        px = noise
    elif kind == "mix":
        px = np.where((x * 2 < w)[..., None], formula("ramp", w, h, seed), formula("checker", w, h, seed))
        px = np.where((y * 3 >= 2 * h)[..., None], noise, px)
    else:
        base = np.stack([wave(5 * x + 2 * y, 128), wave(3 * x + 7 * y, 160), wave(11 * x + y * y // 8, 192)], -1)
        px = np.clip(base + noise // 16 - 8, 0, 255)
        px[(x * 5 >= w * 3) & (y * 2 < h)] = (250, 12, 8)
        px[(x * 5 < w) & (y * 3 >= h * 2)] = (7, 9, 240)
    return px.astype(np.uint8)


def named(kind, w, h, seed):
    return dict(formula=kind, width=w, height=h, seed=seed, crc32=zlib.crc32(formula(kind, w, h, seed).tobytes()))


def array(a):
    a = np.ascontiguousarray(a)
    kind = {"uint8": "u8", "float32": "f32"}[a.dtype.name]
    return dict(dtype=kind, shape=list(a.shape), b64=base64.b64encode(a.tobytes()).decode())


# name, picture, width, height, new height, new width
RESIZES = [("up2", "mix", 8, 6, 12, 16), ("up-odd", "noise", 7, 5, 13, 17), ("down-odd", "photo", 23, 17, 7, 9), ("down2", "mix", 16, 12, 6, 8),
           ("down-far", "photo", 64, 48, 3, 5), ("to-1x1", "noise", 13, 9, 1, 1), ("to-column", "photo", 13, 9, 5, 1), ("from-1x1", "ramp", 1, 1, 4, 5),
           ("from-column", "ramp", 1, 7, 3, 3), ("equal", "photo", 11, 9, 9, 11), ("width-only", "photo", 21, 9, 9, 11), ("down-up", "photo", 20, 9, 21, 11),
           ("to-29", "photo", 40, 30, 29, 29), ("rows-first", "photo", 20, 40, 11, 16), ("thirds", "noise", 10, 10, 30, 30)]
ORDERS = {"slim-0": "bshc", "slim-1": "sbch", "slim-2": "chbs", "slim-3": "hscb", "slim-fast-0": "bs", "slim-fast-1-2-3": "sb",
          "distributed-0": "bshc", "distributed-1": "bcsh"}
NAMES = dict(b="brightness", s="saturation", h="hue", c="contrast")
DRAWS = {"A": dict(b=0.1, s=1.3, h=0.15, c=0.7), "B": dict(b=-32 / 255, s=0.5, h=-0.2, c=1.5), "C": dict(b=32 / 255, s=1.5, h=0.2, c=0.5)}
BOX = (5, 7, 23, 29)                                     # y, x, rows, columns
COLOURS = (("hue", (0.0, 0.1, -0.2, 0.2, 0.5)), ("saturation", (0.0, 0.5, 1.0, 1.5)), ("contrast", (0.5, 1.5)), ("brightness", (-32 / 255, 32 / 255)))
GRID = [0, 1, 2, 24, 49, 74, 99, 124, 149, 174, 199, 249, 297, 298]
SLIM = (("photo", 96, 80), ("noise", 33, 47), ("mix", 75, 96))


def awkward():
    """Corners, greys, ties, values outside 0...1, and red with blue one float above green."""
    up = float(np.nextafter(F(.2), F(2)))
    return np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1], [.5, .5, .5], [.2, .2, .7], [.7, .2, .2], [.7, .7, .2],
                     [.9, .4, .1], [.1, .4, .9], [.3, .6, .2], [1.1, .5, -.1], [-.1, -.05, -.02], [-.2, 0, 0], [1.2, 1.1, 1.05], [.01, .012, .011], [.9, .2, up],
                     [.9, .2, .2001]], F)[:, None]


def exact_saturation(x, factor):
    """Towards or away from the largest component, in double precision: for the pixel that TensorFlow gets wrong."""
    x = x.astype(np.float64)
    top, low = x.max(-1, keepdims=True), x.min(-1, keepdims=True)
    most = top / np.where(top > low, top - low, 1)
    scale = np.where(top > 0, np.minimum(factor, np.where(top > low, most, factor)), 0)
    return (top - (top - x) * scale).astype(F)


def tensorflow_part(path):
    import tensorflow as tf
    v1, out = tf.compat.v1.image, {}
    colour = dict(brightness=tf.image.adjust_brightness, saturation=tf.image.adjust_saturation, hue=tf.image.adjust_hue, contrast=tf.image.adjust_contrast)

    def resize(x, size):
        return v1.resize_bilinear(x[None], size)[0]
    for name, kind, w, h, oh, ow in RESIZES:
        out[f"resize {name}"] = resize(formula(kind, w, h, 2).astype(F), [oh, ow])
    source = tf.image.convert_image_dtype(formula("photo", 48, 36, 4), tf.float32)
    for name, order in ORDERS.items():
        for draw, values in DRAWS.items():
            x = resize(source[BOX[0]:BOX[0] + BOX[2], BOX[1]:BOX[1] + BOX[3]], [16, 16])
            x = tf.image.flip_left_right(x) if draw != "B" else x
            for letter in order:
                x = colour[NAMES[letter]](x, values[letter])
            out[f"distortion {name}/{draw}"] = (tf.clip_by_value(x, 0.0, 1.0) - 0.5) * 2.0
    for op, values in COLOURS:
        for v in values:
            out[f"colour {op} {v}"] = colour[op](awkward(), v)
    for kind, w, h in SLIM:
        x = tf.image.central_crop(tf.image.convert_image_dtype(formula(kind, w, h, 8), tf.float32), 0.875)
        out[f"slim {kind}"] = (resize(x, [299, 299]) - 0.5) * 2.0
    np.savez(path, **{k: np.asarray(v) for k, v in out.items()})


def main(tensorflow_python):
    import torch
    import torchvision
    from PIL import Image
    from torchvision.transforms import InterpolationMode, functional as V1, v2
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "tensorflow.npz")
        subprocess.run([tensorflow_python, os.path.abspath(__file__), "--tensorflow", path], check=True, stdout=sys.stderr)
        theirs = dict(np.load(path))

    resizes = []
    for name, kind, w, h, oh, ow in RESIZES:
        pil = V1.resize(Image.fromarray(formula(kind, w, h, 2)), [oh, ow], InterpolationMode.BILINEAR, antialias=True)
        resizes.append(dict(name=name, image=named(kind, w, h, 2), rows=oh, columns=ow, tensorflow=array(theirs[f"resize {name}"]),
                            pillow=array(np.asarray(pil))))
    big, crops = Image.fromarray(formula("photo", 40, 30, 2)), []
    for top, left, h, w, oh, ow in ((5, 7, 20, 13, 16, 16), (0, 0, 30, 40, 8, 8), (11, 3, 4, 5, 16, 16), (2, 9, 16, 16, 16, 16)):
        pil = V1.resized_crop(big, top, left, h, w, [oh, ow], InterpolationMode.BILINEAR)
        crops.append(dict(image=named("photo", 40, 30, 2), top=top, left=left, height=h, width=w, out=[oh, ow], pillow=array(np.asarray(pil))))

    distortions = [dict(name=f"{name}/{draw}", image=named("photo", 48, 36, 4), box=BOX, size=16, flip=draw != "B", order=[NAMES[c] for c in order],
                        parameters={NAMES[c]: values[c] for c in order}, expected=array(theirs[f"distortion {name}/{draw}"]))
                   for name, order in ORDERS.items() for draw, values in DRAWS.items()]
    colours = []
    for op, values in COLOURS:
        for v in values:
            got = theirs[f"colour {op} {v}"]
            row = dict(op=op, value=v, expected=array(got))
            if op == "saturation":
                exact = exact_saturation(awkward(), v)
                wrong = np.nonzero(np.abs(got - exact).max((1, 2)) > 1e-5)[0]
                if len(wrong):
                    row["defect"] = dict(pixels=wrong.tolist(), expected=array(exact[wrong]))
            colours.append(row)

    slim = [dict(image=named(kind, w, h, 8), grid=GRID, samples=array(theirs[f"slim {kind}"][GRID][:, GRID])) for kind, w, h in SLIM]
    weights, evaluation = torchvision.models.Inception_V3_Weights.IMAGENET1K_V1.transforms(), []
    for kind, w, h in (("photo", 96, 80), ("mix", 60, 75)):
        got = weights(Image.fromarray(formula(kind, w, h, 8))).permute(1, 2, 0).numpy()
        evaluation.append(dict(image=named(kind, w, h, 8), grid=GRID, samples=array(got[GRID][:, GRID])))

    pixels = torch.from_numpy(formula("photo", 20, 16, 6)).permute(2, 0, 1).contiguous().to(torch.float32) / 255
    normal = V1.normalize(pixels, weights.mean, weights.std).permute(1, 2, 0).contiguous().numpy()
    kinds = ("ramp", "checker", "photo", "noise")
    batch = torch.from_numpy(np.stack([formula(k, 10, 8, 1) for k in kinds])).permute(0, 3, 1, 2).to(torch.float32) / 255
    labels, mix = torch.tensor([2, 0, 4, 2]), []

    def mixed(transform, **parameters):
        return array(transform.transform(batch, dict(labels=labels, batch_size=4, **parameters)).permute(0, 2, 3, 1).contiguous().numpy())
    for lam in (0.3, 0.85):
        mix.append(dict(kind="mixup", lam=lam, box=None, share=lam, images=mixed(v2.MixUp(num_classes=5), lam=lam)))
    for lam, box, share in ((0.6, [1, 1, 7, 5], 0.7), (0.3, [5, 0, 10, 3], 0.8125), (0.999, [5, 5, 5, 5], 1.0), (0.0, [0, 3, 5, 8], 0.6875)):
        mix.append(dict(kind="cutmix", lam=lam, box=box, share=share, images=mixed(v2.CutMix(num_classes=5), box=tuple(box), lam_adjusted=share)))

    tree = dict(resize=resizes, resizedCrop=crops, distortions=distortions, colourTable=colours, colourPixels=array(awkward()), slimEvaluation=slim,
                torchvisionEvaluation=evaluation, erase=[dict(image=named("photo", 20, 16, 6), normalised=array(normal))], mix=mix,
                mixInputs=dict(images=[named(k, 10, 8, 1) for k in kinds]))

    def emit(v):
        if isinstance(v, list):
            return "[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in v) + "\n]"
        return json.dumps(v, separators=(",", ":"))
    print("{\n" + ",\n".join(f"{json.dumps(k)}: {emit(v)}" for k, v in tree.items()) + "\n}")


if __name__ == "__main__":
    if sys.argv[1] == "--tensorflow":
        tensorflow_part(sys.argv[2])
    else:
        main(sys.argv[1])
