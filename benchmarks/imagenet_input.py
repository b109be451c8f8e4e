"""How fast training images come from ImageNet's files, next to decoding alone and to a pipeline of KerasCV's layers.

    TFDS_DATA_DIR=... python benchmarks/imagenet_input.py --repeats=5
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import keras_cv
import tensorflow as tf
from absl import app
from benchmarks import measure
from tf_lottery import data
from tf_lottery.data import jpeg
from tf_lottery.data.streaming import ImageStream

BATCH, SIZE, CORES = 64, 224, os.cpu_count()
FEATURES = {'image': tf.io.FixedLenFeature([], tf.string), 'label': tf.io.FixedLenFeature([], tf.int64)}


def decoded(steps):
    """The images of the same files as `tf.io.decode_jpeg` makes them, whole and in order."""
    def decode(record):
        return tf.io.decode_jpeg(tf.io.parse_single_example(record, FEATURES)['image'], channels=3)

    files = [file.filename for file in data.builder('imagenet2012').info.splits['train'].file_instructions]
    return tf.data.TFRecordDataset(files).repeat().take(steps * BATCH).map(
        decode, num_parallel_calls=CORES, deterministic=True)


def keras_layers(steps):
    """What KerasCV's layers make of them: its random crops take images of one size only."""
    crop = keras_cv.layers.RandomCropAndResize((SIZE, SIZE), crop_area_factor=jpeg.AREA, aspect_ratio_factor=jpeg.RATIO)
    flip = keras_cv.layers.RandomFlip('horizontal')
    resize = keras_cv.layers.Resizing(256, 256, crop_to_aspect_ratio=True)
    images = decoded(steps).map(resize, num_parallel_calls=CORES, deterministic=True).batch(BATCH)
    return images.map(lambda batch: flip(crop(batch, training=True), training=True), num_parallel_calls=CORES)


def consumed(dataset):
    """Returns a function that takes every element of a dataset, built once."""
    dataset = dataset.with_options(data.quiet_options(tf.data.Options()))

    def work():
        for element in dataset:
            del element

    return work


def main(argv):
    del argv
    steps = 20
    sides = {'ours': ImageStream('train', BATCH, SIZE).training(0, 0, 0, steps),
             'lenient': ImageStream('train', BATCH, SIZE, skip_corrupt=10).training(0, 0, 0, steps),
             'decoded': decoded(steps), 'keras': keras_layers(steps)}
    seconds = measure.interleaved({name: consumed(side) for name, side in sides.items()}, measure.REPEATS.value)
    rate = {name: measure.rate(steps * BATCH, values, 'images') for name, values in seconds.items()}
    measure.header()
    for side, other, what, asked in (
            ('ours', 'decoded', 'training input / bare `tf.io.decode_jpeg`', 'at least 1.0'),
            ('ours', 'keras', "training input / KerasCV's layers only", 'at least 2'),
            ('lenient', 'ours', 'training input with `skip_corrupt` / without', 'for comparison')):
        measure.row(f'ImageNet at {SIZE} pixels, {what}, images/s', f'{rate[side]}, {rate[other]}',
                    measure.ratio(seconds[other], seconds[side]), asked)


if __name__ == '__main__':
    app.run(main)
