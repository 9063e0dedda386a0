"""Writes the tar fixtures of this directory: the same samples by Python's tarfile, by GNU tar and by webdataset.

    python make_tar_fixtures.py        (webdataset's own file only where that package is installed)

Beside every NAME.tar goes NAME.txt: what a reader must find, a line per sample: name, label, bytes, CRC-32 of the picture.
"""

import io
import json
import os
import subprocess
import tarfile
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))


def picture(seed, count):
    return bytes((index * 31 + seed * 7) % 256 for index in range(count))


def samples(longest):
    """(key, ending, label or properties, picture), no key longer than fits."""
    deep = "/".join(["a-folder-with-a-rather-long-name"] * 6)
    keys = ["cat/one", "cat/two", "n01440764/n01440764_10026", "Füße/größer", deep[:90] + "/picture-below-long-folders",
            deep + "/" + "p" * 90]
    endings = ["jpg", "JPEG", "png", "webp", "ppm", "Jpg"]
    for seed, (key, ending) in enumerate(zip(keys, endings)):
        if len((key + "." + ending).encode()) <= longest:
            yield key, ending, seed % 3, picture(seed, [0, 1, 511, 512, 513, 1300][seed])


def members(longest):
    """(name, bytes) in the order of the file, with things between that are no samples."""
    for number, (key, ending, label, content) in enumerate(samples(longest)):
        yield f"{key}.{ending}", content
        yield f"{key}.seg.png", b"no picture of the sample's own"
        if number % 2 == 0:
            yield f"{key}.cls", str(label).encode() + b"\n"
        else:
            yield f"{key}.json", json.dumps({"other": [1, {"label": 9}], "label": label}).encode()
    yield "cat/._one.jpg", b"what a Mac leaves"
    yield "README", b"text"


def expect(name, longest):
    with open(os.path.join(HERE, name + ".txt"), "w") as file:
        for key, ending, label, content in samples(longest):
            file.write(f"{key}.{ending}\t{label}\t{len(content)}\t{zlib.crc32(content)}\n")


def by_python(name, form, longest):
    tarfile.RECORDSIZE = 512
    with tarfile.open(os.path.join(HERE, name + ".tar"), "w", format=form) as tar:
        for member, content in members(longest):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            # A fraction of a second becomes a pax record of its own.
            info.mtime = 1234567890.25 if form == tarfile.PAX_FORMAT else 1234567890
            info.uname, info.gname = "someone", "users"
            tar.addfile(info, io.BytesIO(content))
    expect(name, longest)


def by_gnu_tar(name, form, longest):
    with tempfile.TemporaryDirectory() as directory:
        names = []
        for member, content in members(longest):
            path = os.path.join(directory, member)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
            names.append("./" + member)
        # Folders are members of their own, names begin with "./".
        subprocess.run(
            ["tar", "-b", "1", f"--format={form}", "--mtime=2020-01-01", "--owner=0", "--group=0", "--no-recursion",
             "-cf", os.path.join(HERE, name + ".tar"), "-C", directory, ".", "./cat"] + names, check=True)
    expect(name, longest)


def by_webdataset(name):
    import webdataset

    with webdataset.TarWriter(os.path.join(HERE, name + ".tar"), user="someone", group="users", mtime=0) as writer:
        for key, ending, label, content in samples(250):
            writer.write({"__key__": key, ending.lower(): content, "cls": label})
    with open(os.path.join(HERE, name + ".txt"), "w") as file:
        for key, ending, label, content in samples(250):
            file.write(f"{key}.{ending.lower()}\t{label}\t{len(content)}\t{zlib.crc32(content)}\n")


by_python("python-ustar", tarfile.USTAR_FORMAT, 160)
by_python("python-gnu", tarfile.GNU_FORMAT, 1000)
by_python("python-pax", tarfile.PAX_FORMAT, 1000)
by_gnu_tar("gnutar-v7", "v7", 99)
by_gnu_tar("gnutar-ustar", "ustar", 160)
by_gnu_tar("gnutar-gnu", "gnu", 1000)
by_gnu_tar("gnutar-pax", "pax", 1000)
try:
    by_webdataset("webdataset")
except ImportError:
    print("webdataset is not installed; its file stays as it is")
