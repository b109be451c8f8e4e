"""Small data sets that TFDS prepares in a folder, of every kind that one may be."""

import functools
import typing

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

# What each config of the builder has beside the labels 0, 1, 2, 0, ... of its examples: (shape, dtype, split sizes).
KINDS = {
    'grey': ((9, 7, 1), 'uint8', {'train': 50, 'test': 12}),
    'halves': ((8, 8, 3), 'uint8', {'train': 20, 'validation': 10}),
    'alone': ((8, 8, 3), 'uint8', {'train': 21, 'extra': 5}),
    'no_train': ((8, 8, 3), 'uint8', {'full': 9}),
    'deep': ((8, 8, 1), 'uint16', {'train': 9, 'test': 3}),
    'sizes': ((None, None, 3), 'uint8', {'train': 30, 'test': 6}),
    'grey_sizes': ((None, None, 1), 'uint8', {'train': 9, 'test': 3}),
    'pairs': ((8, 8, 3), 'uint8', {'train': 9, 'test': 3}),
    'numbers': ((8, 8, 3), 'uint8', {'train': 9, 'test': 3}),
    'unlabelled': ((8, 8, 3), 'uint8', {'train': 9, 'test': 3}),
    'ordered': ((8, 8, 3), 'uint8', {'train': 9}),
}


def image(kind, split, number):
    """What was put in: smooth, so that little of it is lost where it is resized."""
    shape, dtype, _ = KINDS[kind]
    height, width = (size or least + 5 * (number % 4) for size, least in zip(shape, (20, 26), strict=False))
    rows, columns = np.mgrid[:height, :width]
    first = 90 + 60 * np.sin(rows / 4 + number) * np.cos(columns / 5) + 40 * (split == 'test')
    return np.stack([first + 20 * channel for channel in range(shape[2])], axis=-1).astype(dtype)


class Pictures(tfds.core.GeneratorBasedBuilder):
    """One config for each kind."""

    VERSION = tfds.core.Version('1.2.0')
    BUILDER_CONFIGS: typing.ClassVar = [tfds.core.BuilderConfig(name=kind, description=kind) for kind in KINDS]

    def _info(self):
        kind = self.builder_config.name
        shape, dtype, _ = KINDS[kind]
        picture = functools.partial(tfds.features.Image, shape=shape, dtype=getattr(np, dtype))
        label = np.int64 if kind == 'numbers' else tfds.features.ClassLabel(num_classes=3)
        features = {'picture': picture(encoding_format='png'), 'kind': label}
        if kind == 'pairs':
            features['other'] = picture()
        supervised = None if kind in ('pairs', 'halves') else ('picture', 'kind')
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features),
                                     supervised_keys=supervised, disable_shuffling=kind == 'ordered')

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in KINDS[self.builder_config.name][2]}

    def _generate_examples(self, split):
        kind = self.builder_config.name
        for number in range(KINDS[kind][2][split]):
            picture = image(kind, split, number)
            found = {'picture': picture, 'kind': -1 if kind == 'unlabelled' and split == 'test' else number % 3}
            if kind == 'pairs':
                found['other'] = picture
            if kind == 'sizes' and number % 2:
                # An encoding of its own, as in data sets that were collected from everywhere.
                found['picture'] = _File(tf.io.encode_jpeg(picture, quality=98, chroma_downsampling=False).numpy())
            yield number, found


class _File:
    """A file, which TFDS stores as it is."""

    def __init__(self, content):
        self._content = content

    def read(self):
        return self._content


def prepare(folder):
    """Prepares all of them below a folder."""
    for kind in KINDS:
        Pictures(data_dir=str(folder), config=kind).download_and_prepare()
