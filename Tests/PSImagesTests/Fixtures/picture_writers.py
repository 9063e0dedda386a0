"""Pictures by formula, and writers of PNG and of baseline JPEG that can do what libraries do not: every depth and
colour key; every sampling, arrangement of scans and set of components.
"""

import math
import struct
import zlib

import numpy as np

U32 = 0xFFFFFFFF


def hashed(i, seed):
    z = (np.asarray(i, np.uint64) * 0x9E3779B1 + seed * 0x85EBCA77 + 0x27D4EB2F) & U32
    z ^= z >> np.uint64(15)
    z = (z * np.uint64(0x2C1B3C6D)) & U32
    z ^= z >> np.uint64(12)
    z = (z * np.uint64(0x297A2D39)) & U32
    z ^= z >> np.uint64(15)
    return (z >> np.uint64(24)).astype(np.int64)


def wave(t, period):
    m = t % period
    return 255 * np.abs(2 * m - period) // period


def formula(kind, w, h, seed=0):
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    if kind == "ramp":
        px = [255 * x // max(w - 1, 1), 255 * y // max(h - 1, 1), (7 * x + 13 * y) % 256]
    elif kind == "checker":
        odd = ((x // 3 + y // 2) % 2) == 1
        px = [np.where(odd, a, b) for a, b in ((230, 20), (40, 180), (60, 220))]
    elif kind == "noise":
        px = [hashed((y * w + x) * 3 + c, seed) for c in range(3)]
    elif kind == "photo":
        base = [wave(5 * x + 2 * y, 128), wave(3 * x + 7 * y, 160), wave(11 * x + y * y // 8, 192)]
        grain = [hashed((y * w + x) * 3 + c, seed) // 16 - 8 for c in range(3)]
        px = [np.clip(b + g, 0, 255) for b, g in zip(base, grain)]
        hot, cold = (x * 5 >= w * 3) & (y * 2 < h), (x * 5 < w) & (y * 3 >= h * 2)
        px = [np.where(cold, c, np.where(hot, a, v)) for v, a, c in zip(px, (250, 12, 8), (7, 9, 240))]
    elif kind == "mix":
        a, b, n = formula("ramp", w, h), formula("checker", w, h), formula("noise", w, h, seed)
        out = np.where((x * 2 < w)[..., None], a, b)
        return np.where((y * 3 >= 2 * h)[..., None], n, out).astype(np.uint8)
    return np.stack(px, -1).astype(np.uint8)


# A PNG writer: every depth, colour type, filter, and Adam7.

PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png_rows(px, depth, channels):
    h, w = px.shape[:2]
    step = max(1, depth * channels // 8)
    flat = px.reshape(h, w * channels).astype(np.uint32)
    if depth == 16:
        rows = np.stack([flat >> 8, flat & 255], -1).reshape(h, -1).astype(np.uint8)
    elif depth == 8:
        rows = flat.astype(np.uint8)
    else:
        per = 8 // depth
        padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % per)))
        groups = padded.reshape(h, -1, per)
        rows = sum(groups[:, :, k] << (8 - depth * (k + 1)) for k in range(per)).astype(np.uint8)
    out, above = bytearray(), np.zeros(rows.shape[1], np.int64)
    for n in range(h):
        row, kind = rows[n].astype(np.int64), n % 5
        left = (
            np.concatenate([np.zeros(step, np.int64), row[:-step]]) if len(row) > step else np.zeros(len(row), np.int64)
        )
        corner = (
            np.concatenate([np.zeros(step, np.int64), above[:-step]])
            if len(row) > step
            else np.zeros(len(row), np.int64)
        )
        p = left + above - corner
        da, db, dc = abs(p - left), abs(p - above), abs(p - corner)
        guess = [
            0 * row,
            left,
            above,
            (left + above) // 2,
            np.where((da <= db) & (da <= dc), left, np.where(db <= dc, above, corner)),
        ][kind]
        out.append(kind)
        out += ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    return bytes(out)


def png(px, depth, colour, interlace=False, palette=None, trns=None, before=(), split=0):
    px = np.asarray(px)
    px = px[..., None] if px.ndim == 2 else px
    h, w = px.shape[:2]
    if interlace:
        raw = b"".join(
            png_rows(px[y0::dy, x0::dx], depth, CHANNELS[colour]) for x0, y0, dx, dy in PASSES if y0 < h and x0 < w
        )
    else:
        raw = png_rows(px, depth, CHANNELS[colour])

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    z = zlib.compress(raw, 9)
    parts = [z[i : i + split] for i in range(0, len(z), split)] + [b""] if split else [z]
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(interlace)))
    out += b"".join(chunk(t, d) for t, d in before)
    if palette is not None:
        out += chunk(b"PLTE", bytes(np.asarray(palette, np.uint8).reshape(-1)))
    if trns is not None:
        out += chunk(b"tRNS", bytes(trns))
    return out + b"".join(chunk(b"IDAT", p) for p in parts) + chunk(b"IEND", b"")


# A baseline JPEG writer: any sampling, arrangement of scans, markers and components.

ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, (k // 8 if (k // 8 + k % 8) % 2 else k % 8)))
DCT = np.array(
    [
        [math.sqrt((1 if u == 0 else 2) / 8) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)]
        for u in range(8)
    ]
)
AC = [0x00, 0xF0] + [
    (r << 4) | s for r in range(16) for s in range(1, 11)
]  # all 8-bit codes; DC sizes 0..11 are 4-bit codes
AC_CODE = {s: i for i, s in enumerate(AC)}


def quantisers(step, slope):
    return np.array([[min(255, int(step + slope * (u + v))) for v in range(8)] for u in range(8)])


class Bits:
    def __init__(self):
        self.out, self.acc, self.n = bytearray(), 0, 0

    def put(self, value, length):
        self.acc, self.n = (self.acc << length) | value, self.n + length
        while self.n >= 8:
            byte = (self.acc >> (self.n - 8)) & 255
            self.out.append(byte)
            if byte == 255:
                self.out.append(0)
            self.n -= 8
            self.acc &= (1 << self.n) - 1

    def flush(self):
        if self.n:
            self.put((1 << (8 - self.n)) - 1, 8 - self.n)


def magnitude(v):
    size = int(abs(v)).bit_length()
    return size, (v if v >= 0 else v + (1 << size) - 1)


def write_block(bits, block, last):
    z = [int(block[k // 8, k % 8]) for k in ZIGZAG]
    size, extra = magnitude(z[0] - last)
    bits.put(size, 4)
    bits.put(extra, size)
    run = 0
    top = max([k for k in range(1, 64) if z[k]], default=0)
    for k in range(1, top + 1):
        if z[k] == 0:
            run += 1
            continue
        while run > 15:
            bits.put(AC_CODE[0xF0], 8)
            run -= 16
        size, extra = magnitude(z[k])
        bits.put(AC_CODE[(run << 4) | size], 8)
        bits.put(extra, size)
        run = 0
    if top < 63:
        bits.put(AC_CODE[0x00], 8)
    return z[0]


def segment(code, data):
    return b"\xff" + bytes([code]) + struct.pack(">H", len(data) + 2) + data


def jpeg(
    planes,
    w,
    h,
    factors,
    ids=(1, 2, 3, 4),
    tables=(0, 1, 1, 0),
    quant=None,
    jfif=True,
    adobe=None,
    apps=(),
    restart=0,
    separate=False,
    wide=False,
    fill=False,
    tail=b"",
):
    """planes: one float array per component at full image resolution."""
    quant = quant or [quantisers(4, 1.2), quantisers(6, 2.0)]
    hmax, vmax = max(f[0] for f in factors), max(f[1] for f in factors)
    mx, my = -(-w // (8 * hmax)), -(-h // (8 * vmax))
    comps = []
    for plane, (fh, fv), t in zip(planes, factors, tables):
        sx, sy = hmax // fh, vmax // fv
        cw, ch = -(-w * fh // hmax), -(-h * fv // vmax)
        full = np.pad(plane.astype(np.float64), ((0, ch * sy - h), (0, cw * sx - w)), mode="edge")
        small = full.reshape(ch, sy, cw, sx).mean((1, 3))
        small = np.pad(small, ((0, my * fv * 8 - ch), (0, mx * fh * 8 - cw)), mode="edge")
        blocks = small.reshape(my * fv, 8, mx * fh, 8).transpose(0, 2, 1, 3) - 128
        coef = np.clip(np.rint(DCT @ blocks @ DCT.T / quant[t]), -1023, 1023)
        comps.append(dict(f=(fh, fv), coef=coef, bw=-(-cw // 8), bh=-(-ch // 8)))
    out = b"\xff\xd8"
    if jfif:
        out += segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    out += b"".join(segment(c, d) for c, d in apps)
    if adobe is not None:
        out += segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, adobe))
    gapb = b"\xff\xff\xff" if fill else b""
    for i, q in enumerate(quant):
        z = [int(q[k // 8, k % 8]) for k in ZIGZAG]
        out += gapb + segment(0xDB, bytes([(16 if wide else 0) + i]) + (struct.pack(">64H", *z) if wide else bytes(z)))
    out += gapb + segment(
        0xC1 if wide else 0xC0,
        struct.pack(">BHHB", 8, h, w, len(comps))
        + b"".join(bytes([ids[i], (c["f"][0] << 4) | c["f"][1], tables[i]]) for i, c in enumerate(comps)),
    )
    dht = bytes([0x00]) + bytes([12 if n == 4 else 0 for n in range(1, 17)]) + bytes(range(12))
    dht += bytes([0x10]) + bytes([len(AC) if n == 8 else 0 for n in range(1, 17)]) + bytes(AC)
    out += segment(0xC4, dht)
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    for group in ([[i] for i in range(len(comps))] if separate or len(comps) == 1 else [list(range(len(comps)))]):
        out += gapb + segment(
            0xDA, bytes([len(group)]) + b"".join(bytes([ids[i], 0]) for i in group) + bytes([0, 63, 0])
        )
        bits, last, count = Bits(), [0] * len(comps), 0
        if len(group) == 1:
            c = comps[group[0]]
            units = [[(group[0], y, x)] for y in range(c["bh"]) for x in range(c["bw"])]
        else:
            units = [
                [
                    (i, y * comps[i]["f"][1] + v, x * comps[i]["f"][0] + u)
                    for i in group
                    for v in range(comps[i]["f"][1])
                    for u in range(comps[i]["f"][0])
                ]
                for y in range(my)
                for x in range(mx)
            ]
        for n, unit in enumerate(units):
            if restart and n and n % restart == 0:
                bits.flush()
                bits.out += bytes([255, 0xD0 + count % 8])
                count, last = count + 1, [0] * len(comps)
            for i, y, x in unit:
                last[i] = write_block(bits, comps[i]["coef"][y, x], last[i])
        bits.flush()
        out += bytes(bits.out)
    return out + b"\xff\xd9" + tail


def rgb_to_ycc(rgb):
    r, g, b = np.moveaxis(np.asarray(rgb, np.float64), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return [y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402]


def exif(orientation, order="II"):
    e = "<" if order == "II" else ">"
    return (
        b"Exif\0\0"
        + order.encode()
        + struct.pack(e + "HIH", 42, 8, 1)
        + struct.pack(e + "HHIHH", 0x112, 3, 1, orientation, 0)
        + struct.pack(e + "I", 0)
    )
