#!/usr/bin/env python3
"""Writes boxes.json: what TensorFlow's and torchvision's random crops, centre crops and mixing boxes are.

    boxes.py TENSORFLOW_PYTHON > boxes.json

Runs in an environment with torch 2.15.0, torchvision 0.29.2 and Pillow 13.0.0; TENSORFLOW_PYTHON is the interpreter of
another one, with tensorflow-cpu 2.21.0, in which the script runs itself for TensorFlow's part.  NumPy 2.4.6 in both.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

F = np.float32
U32 = 0xFFFFFFFF

TENSORFLOW = [
    dict(name="inception-500x375", width=500, height=375, aspect=[0.75, 1.33], area=[0.05, 1.0], covered=0.1, attempts=100),
    dict(name="inception-375x500", width=375, height=500, aspect=[0.75, 1.33], area=[0.05, 1.0], covered=0.1, attempts=100),
    dict(name="inception-96x80", width=96, height=80, aspect=[0.75, 1.33], area=[0.05, 1.0], covered=0.1, attempts=100),
    dict(name="inception-1000x200", width=1000, height=200, aspect=[0.75, 1.33], area=[0.05, 1.0], covered=0.1, attempts=100),
    dict(name="brief-500x375", width=500, height=375, aspect=[3 / 4, 4 / 3], area=[0.05, 1.0], covered=0.0, attempts=100),
    dict(name="brief-96x80", width=96, height=80, aspect=[3 / 4, 4 / 3], area=[0.05, 1.0], covered=0.0, attempts=100),
    dict(name="tiny-7x5", width=7, height=5, aspect=[0.75, 1.33], area=[0.05, 1.0], covered=0.1, attempts=100),
    dict(name="fallback-500x375", width=500, height=375, aspect=[0.75, 1.33], area=[0.9, 1.0], covered=0.1, attempts=2),
]
TORCHVISION = [(500, 375, 0.08), (375, 500, 0.08), (96, 80, 0.08), (1000, 200, 0.08), (500, 375, 0.05), (7, 5, 0.08)]
CENTRAL = [(375, 500), (500, 375), (333, 500), (299, 299), (300, 301), (17, 33), (1, 1), (7, 5), (15, 31), (16, 16), (767, 1023)]
AREA_EDGES = [round(0.05 * k, 2) for k in range(21)]
ASPECT_EDGES = [round(0.70 + 0.05 * k, 2) for k in range(15)]


def draws(case):
    return 100000 if case["name"].split("-")[0] in ("inception", "brief") else 20000


def tensorflow_part(path):
    import tensorflow as tf
    sampler = tf.image.stateless_sample_distorted_bounding_box
    out = {}
    for case in TENSORFLOW:
        def one(i):
            begin, extent, _ = sampler(
                tf.constant([case["height"], case["width"], 3]), tf.zeros([1, 0, 4]), seed=tf.stack([i, 7]),
                min_object_covered=case["covered"], aspect_ratio_range=case["aspect"], area_range=case["area"],
                max_attempts=case["attempts"], use_image_if_no_bounding_boxes=True)
            return tf.concat([begin[:2], extent[:2]], 0)
        run = tf.function(lambda ids: tf.map_fn(one, ids, fn_output_signature=tf.int32, parallel_iterations=1))
        out[case["name"]] = run(tf.range(draws(case), dtype=tf.int32)).numpy()
    for h, w in CENTRAL:
        out[f"central-{h}-{w}"] = tf.image.central_crop(np.arange(h * w, dtype=np.int32).reshape(h, w, 1), 0.875).numpy()
    np.savez(path, **out)


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & U32, (a >> 32) ^ c[3] ^ k[1], a & U32]
        k = [(k[0] + 0x9E3779B9) & U32, (k[1] + 0xBB67AE85) & U32]
    return c


class Words:
    """The 32-bit words behind TensorFlow's stateless operations for a pair of small seeds, and those that were taken."""

    def __init__(self, seed0, seed1):
        self.mix, self.block, self.ready, self.used = philox([seed0, 0, seed1, 0], [0x3EC8F720, 0x02461E29]), 0, [], []

    def word(self):
        if not self.ready:
            self.ready = philox([self.block & U32, self.block >> 32, self.mix[2], self.mix[3]], self.mix[:2])
            self.block += 1
        self.used.append(int(self.ready.pop(0)))
        return self.used[-1]

    def unit(self):
        return F((self.word() & 0x7FFFFF) / 8388608.0)

    def below(self, n):
        if n & (n - 1) == 0:
            return self.word() & (n - 1)
        word = self.word()
        while word < U32 % n + 1:
            word = self.word()
        return word % n


def distorted_box(words, height, width, aspect, area, covered, attempts):
    """TensorFlow's rule with the whole picture as the object; main() compares it with TensorFlow."""
    def rint(v):
        return int(np.rint(v))
    least, most = F(area[0]) * F(width) * F(height), F(area[1]) * F(width) * F(height)
    a0, a1 = F(aspect[0]), F(aspect[1])
    for _ in range(attempts):
        r = words.unit() * (a1 - a0) + a0
        h, top = rint(np.sqrt(least / r)), rint(np.sqrt(most / r))
        if rint(F(top) * r) > width:
            top = int((width + 0.5 - float(F(1e-7))) / float(r))
            if rint(F(top) * r) > width:
                top -= 1
        top = min(top, height)
        h = min(h, top)
        if h < top:
            h += words.below(top - h + 1)
        w = rint(F(h) * r)
        if F(w * h) < least:
            h += 1
            w = rint(F(h) * r)
        if F(w * h) > most:
            h -= 1
            w = rint(F(h) * r)
        if not (least <= F(w * h) <= most and 0 < w <= width and 0 < h <= height):
            continue
        y = words.below(height - h) if h < height else 0
        x = words.below(width - w) if w < width else 0
        if F(w * h) / F(width * height) >= F(covered):
            return y, x, h, w
    return 0, 0, height, width


def statistics(b, width, height):
    y, x, h, w = (b[:, i].astype(np.float64) for i in range(4))
    area, aspect = h * w / (height * width), w / h
    row, col = y[h < height] / (height - h[h < height]), x[w < width] / (width - w[w < width])
    return dict(
        draws=len(b), area_edges=AREA_EDGES, area_counts=np.histogram(area, AREA_EDGES)[0].tolist(),
        aspect_edges=ASPECT_EDGES, aspect_counts=np.histogram(aspect, ASPECT_EDGES)[0].tolist(),
        row_tenths=np.histogram(row, 10, (0, 1))[0].tolist(), column_tenths=np.histogram(col, 10, (0, 1))[0].tolist(),
        whole_image=int(((h == height) & (w == width)).sum()), full_height=int((h == height).sum()),
        full_width=int((w == width).sum()),
        touches_last_row_though_shorter=int(((y + h == height) & (h < height)).sum()),
        touches_last_column_though_narrower=int(((x + w == width) & (w < width)).sum()))


def main(tensorflow_python):
    import torch
    from PIL import Image
    from torchvision.transforms import RandomResizedCrop, functional as V1, v2
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "tensorflow.npz")
        subprocess.run([tensorflow_python, os.path.abspath(__file__), "--tensorflow", path], check=True, stdout=sys.stderr)
        theirs = dict(np.load(path))

    tensorflow = []
    for case in TENSORFLOW:
        got, scripted = theirs[case["name"]], []
        args = [case[k] for k in ("height", "width", "aspect", "area", "covered", "attempts")]
        for seed in range(200):
            words = Words(seed, 7)
            box = distorted_box(words, *args)
            assert list(box) == got[seed].tolist(), (case["name"], seed)
            if seed < 12 or (len(scripted) < 16 and 8 < len(words.used) < 60):
                scripted.append(dict(words=words.used, words_used=len(words.used), **dict(zip("yxhw", box))))
        tensorflow.append(dict(**case, statistics=statistics(got, case["width"], case["height"]), scripted=scripted))

    torchvision = []
    for width, height, least in TORCHVISION:
        torch.manual_seed(1)
        image = torch.empty(1, height, width)
        got = np.array([RandomResizedCrop.get_params(image, [least, 1.0], [3 / 4, 4 / 3]) for _ in range(100000)])
        torchvision.append(dict(
            name=f"random-resized-crop-{width}x{height}-{least}", width=width, height=height, scale=[least, 1.0],
            statistics=statistics(got, width, height)))

    sizes = [(a, r) for a in (12.25, 100.0, 6.25, 187500.0, 93750.0, 15000.0, 0.2, 3.0) for r in (0.75, 1.0, 1.2, 4 / 3)]
    rounding = [dict(target_area=a, ratio=r, width=int(round(math.sqrt(a * r))), height=int(round(math.sqrt(a / r)))) for a, r in sizes]
    fallbacks = []
    for w, h in ((1000, 200), (200, 1000), (500, 375), (5, 7), (7, 5), (3, 1), (1, 9), (401, 300), (333, 250)):
        # An area ten times the picture's is refused ten times.
        box = RandomResizedCrop.get_params(torch.empty(1, h, w), [10.0, 10.0], [3 / 4, 4 / 3])
        fallbacks.append(dict(width=w, height=h, y_x_h_w=list(box)))

    central = []
    for h, w in CENTRAL:
        got = theirs[f"central-{h}-{w}"]
        top, left = divmod(int(got[0, 0, 0]), w)
        central.append(dict(height=h, width=w, top=top, left=left, crop_height=got.shape[0], crop_width=got.shape[1]))

    table = []
    for w, h in ((500, 375), (375, 500), (500, 333), (333, 500), (640, 480), (299, 299), (342, 342), (96, 80), (1024, 683), (400, 401), (341, 1000), (1000, 341)):
        rw, rh = V1.resize(Image.new("L", (w, h)), 342).size
        got = V1.center_crop(torch.arange(rw * rh).view(1, rh, rw), [299, 299])
        top, left = divmod(int(got[0, 0, 0]), rw)
        table.append(dict(width=w, height=h, resized_width=rw, resized_height=rh, crop_left=left, crop_top=top))
    parity = []
    for n in range(299, 311):
        got = V1.center_crop(torch.arange(n * 299).view(1, 299, n), [299, 299])
        parity.append(dict(length=n, crop=299, offset=int(got[0, 0, 0]) % n))

    cutmix = []
    for lam, cx, cy in ((0.6, 4, 3), (0.3, 9, 0), (0.999, 5, 5), (0.0, 0, 7)):
        transform, randint = v2.CutMix(num_classes=5), torch.randint
        feed = iter([torch.tensor([cx]), torch.tensor([cy])])
        transform._dist = type("Fixed", (), dict(sample=lambda self, shape: torch.tensor([lam], dtype=torch.float64)))()
        torch.randint = lambda *a, **k: next(feed)
        made = transform.make_params([torch.zeros(4, 3, 8, 10)])
        torch.randint = randint
        cutmix.append(dict(lam=lam, centre_x_y=[cx, cy], box_x1_y1_x2_y2=list(made["box"]), lam_adjusted=made["lam_adjusted"]))

    tree = dict(tensorflow=tensorflow, torchvision=torchvision, rounding=rounding, fallbacks=fallbacks, centralCrop=central,
                torchvisionTable=table, centreCropParity=parity, cutmix=cutmix)
    lines = lambda cases: "[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]"
    print("{\n" + ",\n".join(f"{json.dumps(k)}: {lines(v)}" for k, v in tree.items()) + "\n}")


if sys.argv[1] == "--tensorflow":
    tensorflow_part(sys.argv[2])
else:
    main(sys.argv[1])
