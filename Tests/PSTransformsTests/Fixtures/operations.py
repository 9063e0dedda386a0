#!/usr/bin/env python3
"""Writes operations.json: what torchvision's RandAugment and TrivialAugmentWide do to pictures of bytes.

    operations.py > operations.json

Made with Pillow 13.0.0, torch 2.15.0 and torchvision 0.29.2.  Pictures are formulas (Pictures.swift has them too); of each
result only a checksum is kept, but for the first picture's at one magnitude.
"""
import base64
import json
import zlib

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, autoaugment


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


def noise(size, seed):
    y, x = np.mgrid[0:size, 0:size].astype(np.int64)
    return np.stack([hashed((y * size + x) * 3 + c, seed) for c in range(3)], -1)


def picture(kind, size, seed):
    y, x = np.mgrid[0:size, 0:size].astype(np.int64)
    if kind == "noise":
        px = noise(size, seed)
    elif kind == "dull":                                  # few values in a narrow band: contrast and equalisation have work
        px = 90 + noise(size, seed) // 16 * np.array([1, 2, 5])
    elif kind == "flat":
        px = np.full((size, size, 3), 77)
    else:
        base = np.stack([wave(5 * x + 2 * y, 128), wave(3 * x + 7 * y, 160), wave(11 * x + y * y // 8, 192)], -1)
        px = np.clip(base + noise(size, seed) // 16 - 8, 0, 255)
        px[(x * 5 >= size * 3) & (y * 2 < size)] = (250, 12, 8)
        px[(x * 5 < size) & (y * 3 >= size * 2)] = (7, 9, 240)
    return px.astype(np.uint8)


PICTURES = [("photo", 32, 3), ("noise", 17, 4), ("dull", 48, 5), ("flat", 8, 6), ("photo", 3, 7), ("noise", 2, 8), ("noise", 1, 9)]


def main():
    policies = dict(randaugment=autoaugment.RandAugment(), trivialaugment=autoaugment.TrivialAugmentWide())
    cases = []
    for policy, transform in policies.items():
        for kind, size, seed in PICTURES:
            image = Image.fromarray(picture(kind, size, seed))
            if policy == "randaugment":
                space = transform._augmentation_space(31, (size, size))
            else:
                space = transform._augmentation_space(31)
            for name, (magnitudes, signed) in space.items():
                if name == "Identity":
                    continue
                results = []
                for bin in range(31 if magnitudes.ndim else 1):
                    magnitude = float(magnitudes[bin].item()) if magnitudes.ndim else 0.0
                    for sign in (1, -1) if signed else (1,):
                        got = autoaugment._apply_op(image, name, sign * magnitude, interpolation=InterpolationMode.NEAREST, fill=None)
                        results.append(zlib.crc32(np.asarray(got).tobytes()))
                case = dict(policy=policy, kind=kind, size=size, seed=seed, operation=name, signed=signed, checksums=results)
                if (kind, size) == ("photo", 32) and policy == "randaugment":
                    magnitude = float(magnitudes[9].item()) if magnitudes.ndim else 0.0
                    got = autoaugment._apply_op(image, name, magnitude, interpolation=InterpolationMode.NEAREST, fill=None)
                    case["atNine"] = base64.b64encode(np.asarray(got).tobytes()).decode()
                cases.append(case)
    print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")


main()
