"""Data sets: what is known of each without loading it, and the tensors themselves."""

import dataclasses
import difflib
import math

import numpy as np

from tf_lottery.data import catalogue
from tf_lottery.data.catalogue import builder
from tf_lottery.data.description import Description, Split, Splits
from tf_lottery.data.form import Form
from tf_lottery.errors import UsageError, shown

__all__ = ['AS_IT_IS', 'DATASETS', 'Description', 'Form', 'Split', 'Splits', 'builder', 'chosen', 'describe',
           'examples', 'form', 'load']


DATASETS = {
    'digits': Description(1297, 500, (8, 8, 1), 10, 16, 200),
    'mnist': Description(60_000, 10_000, (28, 28, 1), 10, 255, 5_000),
    'fashion_mnist': Description(60_000, 10_000, (28, 28, 1), 10, 255, 5_000),
    'cifar10': Description(50_000, 10_000, (32, 32, 3), 10, 255, 5_000),
    # The papers that train on these two (1906.02773) do not say: as many as of CIFAR-10.
    'cifar100': Description(50_000, 10_000, (32, 32, 3), 100, 255, 5_000),
    'svhn': Description(73_257, 26_032, (32, 32, 3), 10, 255, 5_000, tfds='svhn_cropped'),
    # 1903.01611 does not say: the papers' training is on all images. Ours needs some to find the early-stop step.
    'imagenet2012': Description(1_281_167, 50_000, (224, 224, 3), 1000, 255, 10_000, streamed=True, varying=True,
                               # The labels of what is called 'test' there are not public.
                               splits=('train', 'validation')),
}


# All of a data set, its images as they are.
AS_IT_IS = Form()

# The keys of config.data that not all data sets read, each with the value that leaves it out.
STREAMED_KEYS = {'train': None, 'test': None, 'skip_corrupt': 0, 'rand_augment': 0,
                 'rand_augment_magnitude': 0.5, 'mix_up': 0.0, 'cut_mix': 0.0}
# Images of any size are cropped and mirrored as their papers do.
ONE_SIZE_KEYS = {'crop_pixels': 0, 'flip': False}
# Data sets in memory are taken in a form of `form.Form`.
MEMORY_KEYS = {'part': None, 'part_seed': 0, 'three_channels': False}


def describe(name, data_dir=None):
    """Returns the Description of a data set.

    Args:
      name: a key of DATASETS, or 'tfds:NAME/CONFIG:VERSION', where CONFIG and VERSION may be left out.
      data_dir: as in `load`.

    Raises:
      UsageError: an unknown name, or a data set that is not of images with a label each.
    """
    if name.startswith(catalogue.PREFIX):
        return catalogue.describe(name, data_dir)
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, 1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise UsageError(f'unknown dataset {shown(name)}: choose one of {", ".join(DATASETS)}, or any of TFDS as '
                         f'{catalogue.PREFIX}NAME.{hint}')
    return DATASETS[name]


def chosen(settings, data_dir=None):
    """Returns the Description of what a config's `data` chooses: its own image size, and the numbers of its sample.

    Args:
      settings: a config's `data`.
      data_dir: as in `load`.

    Raises:
      UsageError: as of `describe`, or a key that only another kind of data set reads.
    """
    description = describe(settings.name, data_dir)
    for key, needed, own in _unread(description):
        unset = {**STREAMED_KEYS, **ONE_SIZE_KEYS, **MEMORY_KEYS, 'image_size': None}[key]
        if settings[key] != unset:
            raise UsageError(f'data.{key} is {settings[key]}, which is for data sets that are {needed}; '
                             f'{settings.name} is {own}: leave it out.')
    if not description.streamed:
        return _formed(description, settings)
    if settings.rand_augment and description.shape[2] != 3:
        raise UsageError(f'data.rand_augment is {settings.rand_augment}, whose operations are on three colours; images '
                         f'of {settings.name} have {description.shape[2]}: leave it out.')
    height, width, channels = description.shape
    if description.varying:
        height = width = settings.image_size or height
    if height is None:
        raise UsageError(f'images of {settings.name} vary in size: give data.image_size, the pixels per side that they '
                         'are resized to.')
    return dataclasses.replace(description, shape=(height, width, channels), train=settings.train or description.train,
                               test=settings.test or description.test)


def form(settings):
    """The Form in which a config's `data` takes a data set in memory."""
    return Form(settings.part, settings.part_seed, settings.image_size, settings.three_channels)


def _formed(description, settings):
    """The Description of a data set in memory in the form that is chosen.

    Raises:
      UsageError: it has no such form.
    """
    if settings.part_seed and settings.part is None:
        raise UsageError(f'data.part_seed is {settings.part_seed}, which says what the halves of a data set are: leave '
                         "it out, or give data.part='a' or 'b'.")
    if settings.three_channels and description.shape[2] != 1:
        raise UsageError(f'data.three_channels is True, which is for grey images; those of {settings.name} have '
                         f'{description.shape[2]} channels: leave it out.')
    found = form(settings).described(description)
    size = (found.train + found.test) * math.prod(found.shape)
    if size > catalogue.LARGEST_IN_MEMORY:
        raise UsageError(f'data.image_size is {settings.image_size}, which makes {size / 2**30:.1f} GiB of '
                         f'{settings.name}, and what lies in memory has at most '
                         f'{catalogue.LARGEST_IN_MEMORY / 2**30:g}: give a smaller one.')
    return found


def _unread(description):
    """Yields each key of `data` that a data set does not read: (key, who does, what this data set is)."""
    if not description.streamed:
        yield from ((key, 'streamed', 'in memory') for key in STREAMED_KEYS)
        return
    yield from ((key, 'in memory', 'streamed') for key in MEMORY_KEYS)
    if description.varying:
        yield from ((key, 'of images of one size', 'of images of any size') for key in ONE_SIZE_KEYS)
    else:
        yield 'image_size', 'of images of any size', 'of images of one size'
    if description.folder:
        yield from ((key, 'known by their published numbers', 'counted in its folder') for key in ('train', 'test'))


def load(name, validation=None, data_dir=None, form=AS_IT_IS):
    """Loads a data set into memory.

    The validation set is a random sample of the published training set (1803.03635, section 2), the same one for every
    run: replicates differ by their three seeds only.

    Args:
      name: as in `describe`.
      validation: int, the number of validation examples; None for the papers' own.
      data_dir: where TFDS keeps data sets; None for `TFDS_DATA_DIR`, else TFDS's default folder.
      form: Form in which it is taken.

    Returns:
      Splits.

    Raises:
      UsageError: an unknown name, a data set that is not there and cannot be downloaded, or a damaged one.
    """
    description = describe(name, data_dir)
    validation = form.described(description).validation if validation is None else validation
    train, test = _digits() if name == 'digits' else catalogue.read(name, description, data_dir)
    train, test = form.shown(form.halved(train)), form.shown(test)
    order = np.random.default_rng(0).permutation(len(train))
    return Splits(train.take(order[validation:]), train.take(order[:validation]), test)


def require(name, dataset, data_dir=None):
    """Fetches a data set that `load` would fetch.

    Args:
      name, data_dir: as in `load`.
      dataset: Description, of `chosen`.

    Raises:
      UsageError: it is not there, and cannot be fetched or is streamed.
    """
    if name == 'digits':
        return
    (catalogue.prepared if dataset.streamed else catalogue.fetched)(dataset.tfds or name, data_dir)


# Test examples that an export of a streamed data set is verified on.
_STREAMED_TEST = 1000


def examples(settings, dataset, validation, training, data_dir=None):
    """Some training examples and the test set, to verify an export on.

    Args:
      settings: a config's `data`.
      dataset: Description, of `chosen`.
      validation: int, the number of validation examples.
      training: int, how many training examples; all where there are fewer.
      data_dir: as in `load`.

    Returns:
      (Split, Split): training and test examples; of a streamed test set the first, for it may not fit into memory.

    Raises:
      UsageError, CorruptFileError: as in `load`, and of `streaming.ImageStream`.
    """
    if not dataset.streamed:
        splits = load(settings.name, validation, data_dir, form(settings))
        return splits.train.take(np.arange(min(training, len(splits.train)))), splits.test
    from tf_lottery.data import streaming

    splits = streaming.splits(dataset, validation)
    counts = {splits['train']: training, splits['test']: min(_STREAMED_TEST, dataset.test)}
    return tuple(streaming.ImageStream(split, min(count, 100), dataset.shape[0], data_dir, settings.name).first(count)
                 for split, count in counts.items())


def _digits():
    """scikit-learn's embedded handwritten digits (UCI), 1,797 images of 8 x 8; a random 500 of them, always the same,
    are the test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8)[..., None], digits.target.astype(np.int32)
    every, cut = Split(images, labels), DATASETS['digits'].train
    order = np.random.default_rng(0).permutation(len(every))
    return every.take(order[:cut]), every.take(order[cut:])
