"""Writes tensorflow.tfrecord and tensorflow.txt: records as TensorFlow itself writes them.

    python make_tfrecord_fixtures.py       (needs tensorflow)

A line per sample: name, label as stored, bytes, CRC-32 of the picture, text of the class.
"""

import os
import zlib

import tensorflow as tf

HERE = os.path.dirname(os.path.abspath(__file__))


def picture(seed, count):
    return bytes((index * 31 + seed * 7) % 256 for index in range(count))


def of_bytes(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def of_int(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


path = os.path.join(HERE, "tensorflow.tfrecord")
with tf.io.TFRecordWriter(path) as writer, open(os.path.join(HERE, "tensorflow.txt"), "w") as lines:
    for seed, count in enumerate([0, 1, 127, 128, 5000, 20000]):
        # The features of ImageNet's files, those that are not read among them.
        content = picture(seed, count)
        name = f"n{1440764 + seed:08d}_{seed}.JPEG"
        label = 1 + seed % 3
        text = ["tench, Tinca tinca", "goldfish, Carassius auratus", "großer Hai"][seed % 3]
        example = tf.train.Example(features=tf.train.Features(feature={
            "image/height": of_int(375), "image/width": of_int(500), "image/colorspace": of_bytes(b"RGB"),
            "image/channels": of_int(3), "image/class/label": of_int(label),
            "image/class/synset": of_bytes(b"n01440764"), "image/class/text": of_bytes(text.encode()),
            "image/object/bbox/xmin": tf.train.Feature(float_list=tf.train.FloatList(value=[0.25, 0.5])),
            "image/object/bbox/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[7] * (seed % 3))),
            "image/object/number": of_int(-1), "image/format": of_bytes(b"JPEG"),
            "image/filename": of_bytes(name.encode()), "image/encoded": of_bytes(content)}))
        writer.write(example.SerializeToString())
        lines.write(f"{name}\t{label}\t{count}\t{zlib.crc32(content)}\t{text}\n")
