"""How fast training images come from ImageNet's files, next to decoding alone and to a pipeline of KerasCV's layers.

    TFDS_DATA_DIR=... python benchmarks/imagenet_input.py --repeats=5
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import keras_cv
import tensorflow as tf
from absl import app
from benchmarks import measure
from tf_lottery import data
from tf_lottery.data import jpeg
from tf_lottery.data.streaming import ImageStream
from tf_lottery.training.order import quiet_options

BATCH, SIZE = 64, 224
# Images in work at a time, on all sides.
AT_ONCE = 4 * os.cpu_count()
# Batches before the clock runs: they fill the window in which records are shuffled, once per epoch of ImageNet.
WARM = 10
# How often a small sample stands in the data set that is read: an epoch is to be longer than a measurement.
COPIES = 20
FEATURES = {'image': tf.io.FixedLenFeature([], tf.string), 'label': tf.io.FixedLenFeature([], tf.int64)}


def decoded(folder, steps, then):
    """Batches of what `then` makes of the images of the same files, decoded by `tf.io.decode_jpeg`, whole, in order."""
    def decode(record):
        return then(tf.io.decode_jpeg(tf.io.parse_single_example(record, FEATURES)['image'], channels=3))

    files = [file.filename for file in data.builder('imagenet2012', folder).info.splits['train'].file_instructions]
    return tf.data.TFRecordDataset(files).take(steps * BATCH).map(
        decode, num_parallel_calls=AT_ONCE, deterministic=True).batch(BATCH)


def first_pixels(folder, steps):
    """Decoding alone. The images have many sizes; one by one they would keep Python busy, a tenth of the time."""
    return decoded(folder, steps, lambda image: image[0, 0])


def keras_layers(folder, steps):
    """What KerasCV's layers make of them: its random crops take images of one size only."""
    crop = keras_cv.layers.RandomCropAndResize((SIZE, SIZE), crop_area_factor=jpeg.AREA, aspect_ratio_factor=jpeg.RATIO)
    flip = keras_cv.layers.RandomFlip('horizontal')
    resize = keras_cv.layers.Resizing(256, 256, crop_to_aspect_ratio=True)
    return decoded(folder, steps, resize).map(lambda batch: flip(crop(batch, training=True), training=True),
                                              num_parallel_calls=AT_ONCE)


def repeated(source, folder):
    """Makes a data set in `folder` whose training split holds that of a prepared one `COPIES` times, as links."""
    to = pathlib.Path(folder, *pathlib.Path(source.data_dir).parts[-2:])
    to.mkdir(parents=True)
    shutil.copy(pathlib.Path(source.data_dir, 'features.json'), to)
    info = json.loads(pathlib.Path(source.data_dir, 'dataset_info.json').read_text())
    split = next(split for split in info['splits'] if split['name'] == 'train')
    files = sorted(source.info.splits['train'].filenames)
    split['shardLengths'] *= COPIES
    split['numBytes'] = str(int(split['numBytes']) * COPIES)
    for number in range(total := len(files) * COPIES):
        name = f'imagenet2012-train.tfrecord-{number:05}-of-{total:05}'
        (to / name).symlink_to(pathlib.Path(source.data_dir, files[number % len(files)]))
    (to / 'dataset_info.json').write_text(json.dumps(info))


def consumed(dataset):
    """Returns a function that takes every batch of a dataset and returns the seconds that those after `WARM` took."""
    dataset = dataset.with_options(quiet_options(tf.data.Options()))

    def work():
        for number, batch in enumerate(dataset):
            del batch
            if number == WARM - 1:
                began = time.perf_counter()
        return time.perf_counter() - began

    return work


def main(argv):
    del argv
    steps = 20
    with tempfile.TemporaryDirectory() as folder:
        repeated(data.builder('imagenet2012'), folder)
        sides = {'ours': ImageStream('train', BATCH, SIZE, folder).training(0, 0, 0, WARM + steps),
                 'lenient': ImageStream('train', BATCH, SIZE, folder, skip_corrupt=10).training(0, 0, 0, WARM + steps),
                 'decoded': first_pixels(folder, WARM + steps), 'keras': keras_layers(folder, WARM + steps)}
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
