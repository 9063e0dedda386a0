#!/usr/bin/env python3
"""Small pictures of every kind that the decoders read, and what they decode to.

    pictures.py > pictures.json

Needs numpy and Pillow. What was committed: Python 3.11, numpy 2.4, Pillow 13.0.0 (libjpeg-turbo 3.2.0, libwebp 1.6.0).

All are drawn by formula. The expected pixels are Pillow's, but where Pillow is known to be wrong (it saturates 16-bit
grey and misses colour keys of 4 and 16 bits): there they are the high bytes and exact blends, as TensorFlow's decoder
gives them. One case a line: the file in base64; `plain` is the CRC-32 of the RGB bytes with alpha ignored, `white` and
`black` of the picture laid over these colours, `turned` with the EXIF orientation applied.
"""

import base64
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from picture_writers import exif, formula, jpeg, png, quantisers, rgb_to_ycc


def jpeg_files():
    """name -> (bytes, what it is)."""
    out = {}

    def pil(name, kind, w, h, note, mode="RGB", **options):
        im = Image.fromarray(formula(kind, w, h, 5))
        box = io.BytesIO()
        (im if mode == "RGB" else im.convert(mode)).save(box, "JPEG", **options)
        out[name] = (box.getvalue(), note)

    for s, tag in ((0, "444"), (1, "422"), (2, "420")):
        for w, h in ((1, 1), (7, 5), (17, 33)):
            pil(f"{tag}-{w}x{h}", "photo", w, h, "baseline, libjpeg's encoder", quality=90, subsampling=s)
    for w in (2, 3, 4, 5, 6):
        pil(
            f"420-{w}x{w}",
            "ramp",
            w,
            w,
            "small chroma: smooth upsampling only where the chroma plane is wider than 2 samples",
            quality=95,
            subsampling=2,
        )
    pil("422-4x3", "ramp", 4, 3, "as above", quality=95, subsampling=1)
    pil("422-5x3", "ramp", 5, 3, "as above", quality=95, subsampling=1)
    pil("420-48x32", "mix", 48, 32, "whole MCUs, hard edges, noise", quality=75, subsampling=2)
    pil("444-q5", "mix", 24, 16, "coarse quantisers: values leave 0..255 before clamping", quality=5, subsampling=0)
    pil("444-q100", "noise", 16, 16, "quality 100", quality=100, subsampling=0)
    pil("gray-7x5", "photo", 7, 5, "one component", mode="L", quality=90)
    pil("gray-17x33", "photo", 17, 33, "one component", mode="L", quality=90)
    pil("gray-1x1", "photo", 1, 1, "one component", mode="L", quality=90)
    for s, tag in ((0, "444"), (1, "422"), (2, "420")):
        pil(
            f"progressive-{tag}-17x33",
            "photo",
            17,
            33,
            "progressive, libjpeg's script",
            quality=85,
            subsampling=s,
            progressive=True,
        )
    pil("progressive-420-7x5", "photo", 7, 5, "progressive", quality=85, subsampling=2, progressive=True)
    pil("progressive-420-1x1", "photo", 1, 1, "progressive", quality=85, subsampling=2, progressive=True)
    pil("progressive-gray-17x33", "photo", 17, 33, "progressive, one component", mode="L", quality=85, progressive=True)
    pil(
        "progressive-420-48x32-restart",
        "mix",
        48,
        32,
        "progressive with restart markers",
        quality=75,
        subsampling=2,
        progressive=True,
        restart_marker_blocks=2,
    )
    pil(
        "restart-blocks1",
        "mix",
        40,
        24,
        "a restart marker after every MCU (more than 8: the numbers wrap)",
        quality=80,
        subsampling=2,
        restart_marker_blocks=1,
    )
    pil(
        "restart-rows1",
        "mix",
        40,
        24,
        "a restart marker after every MCU row",
        quality=80,
        subsampling=1,
        restart_marker_rows=1,
    )
    pil("optimised", "mix", 24, 16, "optimised Huffman tables", quality=80, subsampling=2, optimize=True)
    pil(
        "cmyk-adobe-pillow",
        "photo",
        20,
        14,
        "CMYK written by Pillow: Adobe marker, transform 0, inverted",
        mode="CMYK",
        quality=90,
    )

    def own(name, w, h, note, how="ycc", kind="photo", **options):
        rgb = formula(kind, w, h, 5).astype(np.float64)
        gray = rgb @ [0.25, 0.625, 0.125]
        ink = 255 - rgb
        black = ink.min(-1, keepdims=True) * 0.5
        ink = np.concatenate([ink - black, black], -1)  # c, m, y, k as amounts of ink, 0..255
        turned = 255 - ink
        planes = dict(
            ycc=lambda: rgb_to_ycc(rgb),
            gray=lambda: [gray],
            rgb=lambda: list(np.moveaxis(rgb, -1, 0)),
            cmyk=lambda: list(np.moveaxis(turned, -1, 0)),
            plaincmyk=lambda: list(np.moveaxis(ink, -1, 0)),
            ycck=lambda: rgb_to_ycc(255 - turned[..., :3]) + [turned[..., 3]],
        )[how]()
        data = jpeg(planes, w, h, **options)
        out[name] = (data, note)

    one = [(1, 1)]
    own("own-444-17x33", 17, 33, "own writer, 4-bit DC and 8-bit AC codes", factors=one * 3)
    own("own-422-17x33", 17, 33, "4:2:2", factors=[(2, 1)] + one * 2)
    own("own-420-17x33", 17, 33, "4:2:0", factors=[(2, 2)] + one * 2)
    own("own-440-17x33", 17, 33, "4:4:0: chroma halved downwards only", factors=[(1, 2)] + one * 2)
    own("own-440-7x5", 7, 5, "4:4:0", factors=[(1, 2)] + one * 2)
    own(
        "own-411-33x17",
        33,
        17,
        "4:1:1: chroma quartered across; libjpeg repeats samples here",
        factors=[(4, 1)] + one * 2,
    )
    own("own-410-33x17", 33, 17, "4:1:0: 4 across, 2 down; samples repeated", factors=[(4, 2)] + one * 2)
    own(
        "own-mixed-17x33",
        17,
        33,
        "Y 2x2, Cb 2x1, Cr 1x2: each chroma plane has its own factors",
        factors=[(2, 2), (2, 1), (1, 2)],
    )
    own(
        "own-444-as-2x2",
        17,
        33,
        "all three components declare 2x2, three scans (one scan would exceed 10 blocks an MCU): this is 4:4:4",
        factors=[(2, 2)] * 3,
        separate=True,
    )
    own("own-444-as-2x1", 17, 9, "all three declare 2x1", factors=[(2, 1)] * 3)
    own(
        "own-gray-2x2",
        17,
        33,
        "one component that declares 2x2: in a scan of one component an MCU is one block, whatever the factors",
        how="gray",
        factors=[(2, 2)],
    )
    own(
        "own-scans-420",
        17,
        33,
        "4:2:0 in three scans of one component: their block counts are not padded to MCUs",
        factors=[(2, 2)] + one * 2,
        separate=True,
    )
    own(
        "own-scans-420-restart",
        17,
        33,
        "as above with restart interval 2",
        factors=[(2, 2)] + one * 2,
        separate=True,
        restart=2,
    )
    own("own-420-restart", 40, 24, "4:2:0, restart interval 1", factors=[(2, 2)] + one * 2, restart=1)
    own(
        "own-coarse",
        24,
        16,
        "quantisers of 90 and more on noise: many samples leave 0..255 and are clamped after the inverse DCT",
        kind="noise",
        factors=[(2, 1)] + one * 2,
        quant=[quantisers(90, 5)] * 2,
    )
    own(
        "own-wide-tables",
        16,
        16,
        "16-bit quantiser tables, SOF1",
        factors=one * 3,
        wide=True,
        quant=[quantisers(4, 1), np.full((8, 8), 300)],
    )
    own(
        "own-fill-bytes",
        16,
        16,
        "fill bytes FF before markers, a comment, an unknown APP7 segment",
        factors=one * 3,
        fill=True,
        apps=[(0xFE, b"a comment"), (0xE7, bytes(range(256)))],
    )
    own("own-tail", 16, 16, "bytes after the end marker", factors=one * 3, tail=b"\0\xff\xd8 more")
    own("own-no-jfif-123", 16, 16, "no JFIF, no Adobe, component ids 1 2 3: YCbCr", factors=one * 3, jfif=False)
    own("own-no-jfif-012", 16, 16, "no JFIF, no Adobe, ids 0 1 2: YCbCr", factors=one * 3, jfif=False, ids=(0, 1, 2, 3))
    own(
        "own-rgb-ids",
        16,
        16,
        "no JFIF, no Adobe, ids R G B: components are RGB",
        how="rgb",
        factors=one * 3,
        jfif=False,
        ids=tuple(b"RGB?"),
        tables=(0, 0, 0),
    )
    own(
        "own-rgb-adobe0",
        16,
        16,
        "Adobe transform 0: components are RGB",
        how="rgb",
        factors=one * 3,
        jfif=False,
        adobe=0,
        tables=(0, 0, 0),
    )
    own("own-ycc-adobe1", 16, 16, "Adobe transform 1: YCbCr", factors=one * 3, jfif=False, adobe=1)
    own(
        "own-jfif-and-adobe0",
        16,
        16,
        "JFIF and Adobe transform 0 together: JFIF wins, YCbCr",
        factors=one * 3,
        jfif=True,
        adobe=0,
    )
    own(
        "own-cmyk-adobe0",
        17,
        9,
        "CMYK, Adobe transform 0, stored inverted (255 = no ink)",
        how="cmyk",
        factors=one * 4,
        jfif=False,
        adobe=0,
        tables=(0,) * 4,
    )
    own(
        "own-ycck-adobe2",
        17,
        9,
        "YCCK, Adobe transform 2, stored inverted",
        how="ycck",
        factors=one * 4,
        jfif=False,
        adobe=2,
    )
    own(
        "own-ycck-420",
        17,
        9,
        "YCCK with halved Cb and Cr",
        how="ycck",
        factors=[(2, 2), (1, 1), (1, 1), (2, 2)],
        jfif=False,
        adobe=2,
    )
    own(
        "own-cmyk-no-adobe",
        17,
        9,
        "CMYK with no Adobe marker, stored as ink (255 = full ink): Pillow inverts all the same, TensorFlow does not",
        how="plaincmyk",
        factors=one * 4,
        jfif=False,
        tables=(0,) * 4,
    )
    for o in range(1, 9):
        own(
            f"exif-{o}",
            12,
            7,
            f"EXIF orientation {o}" + (", big-endian" if o % 2 else ", little-endian"),
            kind="ramp",
            factors=one * 3,
            jfif=False,
            apps=[(0xE1, exif(o, "MM" if o % 2 else "II"))],
            quant=[quantisers(2, 0.3)] * 2,
        )
    return out


def png_files():
    """name -> (bytes, what it is), or with Pillow wrong (bytes, what it is, RGBA)."""
    out = {}

    def keyed(samples, key, high):
        alpha = np.where((samples == key).all(-1), 0, 255)[..., None]
        return np.concatenate([high if high.shape[-1] == 3 else high.repeat(3, -1), alpha], -1).astype(np.uint8)

    gray16 = formula("noise", 13, 7, 3)[..., 0].astype(np.uint32) * 256 + formula("ramp", 13, 7)[..., 2]
    for depth in (1, 2, 4, 8):
        px = formula("photo", 13, 7)[..., 1] >> (8 - depth)
        out[f"gray{depth}"] = (png(px, depth, 0), f"grey, {depth} bit")
        out[f"gray{depth}-adam7"] = (png(px, depth, 0, interlace=True), f"grey, {depth} bit, interlaced")
    wide_gray = gray16[..., None]
    out["gray16"] = (png(gray16, 16, 0), "grey, 16 bit", keyed(wide_gray, -1, wide_gray >> 8))
    palette = formula("noise", 16, 16, 9).reshape(256, 3)
    for depth in (1, 2, 4, 8):
        px = formula("photo", 13, 7)[..., 0] >> (8 - depth)
        n = 1 << depth
        out[f"palette{depth}"] = (png(px, depth, 3, palette=palette[:n]), f"palette, {depth} bit")
        out[f"palette{depth}-trns"] = (
            png(px, depth, 3, palette=palette[:n], trns=[(37 * i) % 256 for i in range(max(1, n * 3 // 4))]),
            f"palette, {depth} bit; transparency for the first three quarters of the entries, the rest opaque",
        )
    rgb, alpha = formula("photo", 13, 7), formula("ramp", 13, 7)[..., 2]
    rgba = np.concatenate([rgb, alpha[..., None]], -1)
    la = np.stack([rgb[..., 1], alpha], -1)
    wide = lambda a, s: a.astype(np.uint32) * 256 + formula("noise", 13, 7, s)[..., :1].repeat(a.shape[-1], -1)
    out["rgb8"] = (png(rgb, 8, 2), "RGB 8")
    out["rgb8-adam7"] = (png(rgb, 8, 2, interlace=True), "RGB 8, interlaced")
    out["rgb8-chunks"] = (png(rgb, 8, 2, split=40), "data split over many IDAT chunks, the last one empty")
    out["rgb16"] = (png(wide(rgb, 4), 16, 2), "RGB 16: the high byte, not a rounded division by 257")
    out["rgba8"] = (png(rgba, 8, 6), "RGBA 8")
    out["rgba8-adam7"] = (png(rgba, 8, 6, interlace=True), "RGBA 8, interlaced")
    out["rgba8-bkgd"] = (
        png(rgba, 8, 6, before=[(b"bKGD", struct.pack(">HHH", 10, 200, 30))]),
        "RGBA 8 with a background chunk (ignored)",
    )
    out["rgba16"] = (png(wide(rgba, 5), 16, 6), "RGBA 16")
    out["la8"] = (png(la, 8, 4), "grey and alpha 8")
    out["la16"] = (png(wide(la, 6), 16, 4), "grey and alpha 16")
    out["rgb8-key"] = (png(rgb, 8, 2, trns=struct.pack(">HHH", 250, 12, 8)), "RGB 8, one transparent colour")
    g4 = formula("photo", 13, 7)[..., 1] >> 4
    out["gray4-key"] = (
        png(g4, 4, 0, trns=struct.pack(">H", int(g4[3, 5]))),
        "grey 4, one transparent level (given at 4 bit)",
        keyed(g4[..., None], g4[3, 5], g4[..., None] * 17),
    )
    r16 = wide(rgb, 4)
    out["rgb16-key"] = (
        png(r16, 16, 2, trns=struct.pack(">HHH", *[int(v) for v in r16[2, 3]])),
        "RGB 16, one transparent colour (compared at 16 bit)",
        keyed(r16, r16[2, 3], r16 >> 8),
    )
    out["gray16-key"] = (
        png(gray16, 16, 0, trns=struct.pack(">H", int(gray16[1, 4]))),
        "grey 16, one transparent level",
        keyed(wide_gray, gray16[1, 4], wide_gray >> 8),
    )
    out["rgb8-gamma"] = (
        png(rgb, 8, 2, before=[(b"gAMA", struct.pack(">I", 100000))]),
        "gamma 1.0 chunk: ignored by both libraries",
    )
    out["rgb8-gamma-srgb"] = (
        png(rgb, 8, 2, before=[(b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0")]),
        "gamma 1/2.2 and sRGB chunks",
    )
    out["rgb8-exif6"] = (
        png(rgb, 8, 2, before=[(b"eXIf", exif(6)[6:])]),
        "eXIf chunk, orientation 6: not applied by a plain decode",
    )
    for w, h in ((1, 1), (2, 2), (3, 5)):
        out[f"rgb8-adam7-{w}x{h}"] = (png(formula("ramp", w, h), 8, 2, interlace=True), "interlaced, with empty passes")
    return out


def webp_files():
    """name -> (bytes, what it is)."""
    out = {}
    rgb = formula("photo", 33, 17, 5)
    rgba = np.concatenate([rgb, formula("ramp", 33, 17)[..., 2:]], -1)

    def add(name, px, **options):
        box = io.BytesIO()
        Image.fromarray(px).save(box, "WEBP", method=4, **options)
        out[name] = (box.getvalue(), "made by Pillow's libwebp")

    add("lossless-rgb", rgb, lossless=True)
    add("lossless-rgba", rgba, lossless=True, exact=True)
    add("lossless-palette", formula("checker", 33, 17), lossless=True)
    add("lossy-q80", rgb, quality=80)
    add("lossy-q30-rgba", rgba, quality=30)
    add("lossy-1x1", formula("photo", 1, 1), quality=80)
    add("lossy-7x5", formula("photo", 7, 5), quality=80)
    add("lossy-150x101", formula("ramp", 150, 101), quality=20)
    add("exif6", formula("photo", 7, 5), quality=80, exif=exif(6))
    return out


def crc(px):
    return zlib.crc32(np.ascontiguousarray(px, np.uint8).tobytes())


def over(rgba, level):
    alpha = rgba[..., 3:] / 255.0
    return np.rint(rgba[..., :3] * alpha + level * (1 - alpha))


def case(name, data, note, rgba=None):
    im = Image.open(io.BytesIO(data))
    plain = np.asarray(im.convert("RGB")) if rgba is None else rgba[..., :3]
    out = dict(name=name, note=note, rows=im.height, columns=im.width, plain=crc(plain))
    if im.mode in ("RGBA", "LA", "PA") or "transparency" in im.info:
        blended = np.asarray(im.convert("RGBA")) if rgba is None else rgba
        out.update(white=crc(over(blended, 255)), black=crc(over(blended, 0)))
    turned = ImageOps.exif_transpose(im)
    if turned.size != im.size or crc(np.asarray(turned.convert("RGB"))) != out["plain"] and rgba is None:
        out["turned"] = crc(np.asarray(turned.convert("RGB")))
    out["file"] = base64.b64encode(data).decode()
    return out


if __name__ == "__main__":
    kinds = [("", jpeg_files()), ("png-", png_files()), ("webp-", webp_files())]
    cases = [case(prefix + name, *found) for prefix, files in kinds for name, found in files.items()]
    print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")
