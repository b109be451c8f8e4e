"""Data sets: what is known of each without loading it, and the tensors themselves."""

import dataclasses
import difflib
import os

import numpy as np

from tf_lottery.errors import UsageError, reason, shown
from tf_lottery.runtime import storage


@dataclasses.dataclass(frozen=True)
class Description:
    """A data set, known without loading it.

    Attributes:
      train, test: int, examples in each split as published (the validation set is taken from `train`).
      shape: (height, width, channels).
      classes: int.
      brightest: the pixel value that becomes 1.0.
      validation: int, the size of the validation set in the papers' protocol.
      tfds: its name in TFDS, where that is another one.
      streamed: bool, whether it is read from its files (`streaming`), at any number of pixels, instead of memory.
    """

    train: int
    test: int
    shape: tuple
    classes: int
    brightest: int
    validation: int
    tfds: str | None = None
    streamed: bool = False


DATASETS = {
    'digits': Description(1297, 500, (8, 8, 1), 10, 16, 200),
    'mnist': Description(60_000, 10_000, (28, 28, 1), 10, 255, 5_000),
    'fashion_mnist': Description(60_000, 10_000, (28, 28, 1), 10, 255, 5_000),
    'cifar10': Description(50_000, 10_000, (32, 32, 3), 10, 255, 5_000),
    # The papers that train on these two (1906.02773) do not say: as many as of CIFAR-10.
    'cifar100': Description(50_000, 10_000, (32, 32, 3), 100, 255, 5_000),
    'svhn': Description(73_257, 26_032, (32, 32, 3), 10, 255, 5_000, tfds='svhn_cropped'),
    # 1903.01611 does not say: the papers' training is on all images. Ours needs some to find the early-stop step.
    'imagenet2012': Description(1_281_167, 50_000, (224, 224, 3), 1000, 255, 10_000, streamed=True),
}


# The keys of config.data that one kind of data set reads, each with the value that leaves it out.
STREAMED_KEYS = {'image_size': None, 'train': None, 'test': None, 'skip_corrupt': 0, 'rand_augment': 0,
                 'rand_augment_magnitude': 0.5, 'mix_up': 0.0, 'cut_mix': 0.0}
MEMORY_KEYS = {'crop_pixels': 0, 'flip': False}


@dataclasses.dataclass(frozen=True)
class Split:
    """Images uint8 [n, height, width, channels] and labels int32 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, indices):
        return Split(self.images[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class Splits:
    """What an experiment reads: training, validation and test examples."""

    train: Split
    validation: Split
    test: Split


def describe(name):
    """Returns the Description of a data set.

    Raises:
      UsageError: an unknown name.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, 1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise UsageError(f'unknown dataset {shown(name)}: choose one of {", ".join(DATASETS)}.{hint}')
    return DATASETS[name]


def chosen(settings):
    """Returns the Description of what a config's `data` chooses: its own image size, and the numbers of its sample.

    Raises:
      UsageError: an unknown name, or a key that only the other kind of data set reads.
    """
    description = describe(settings.name)
    for key, unset in (STREAMED_KEYS if not description.streamed else MEMORY_KEYS).items():
        if settings[key] != unset:
            kind, others = ('streamed', 'in memory') if description.streamed else ('in memory', 'streamed')
            raise UsageError(f'data.{key} is {settings[key]}, which is for data sets that are {others}; '
                             f'{settings.name} is {kind}: leave it out.')
    if not description.streamed:
        return description
    size = settings.image_size or description.shape[0]
    return dataclasses.replace(description, shape=(size, size, 3), train=settings.train or description.train,
                               test=settings.test or description.test)


def load(name, validation=None, data_dir=None):
    """Loads a data set into memory.

    The validation set is a random sample of the published training set (1803.03635, section 2), the same one for every
    run: replicates differ by their three seeds only.

    Args:
      name: a key of DATASETS.
      validation: int, the number of validation examples; None for the papers' own.
      data_dir: where TFDS keeps data sets; None for `TFDS_DATA_DIR`, else TFDS's default folder.

    Returns:
      Splits.

    Raises:
      UsageError: an unknown name, a data set that is not there and cannot be downloaded, or a damaged one.
    """
    description = describe(name)
    validation = description.validation if validation is None else validation
    train, test = _digits() if name == 'digits' else _tfds(description.tfds or name, data_dir)
    order = np.random.default_rng(0).permutation(len(train))
    return Splits(train.take(order[validation:]), train.take(order[:validation]), test)


# Test examples that an export of a streamed data set is verified on.
_STREAMED_TEST = 1000


def examples(settings, dataset, validation, training, data_dir=None):
    """Some training examples and the test set, to verify an export on.

    Args:
      settings: a config's `data`.
      dataset: Description, of `chosen`.
      validation: int, the number of validation examples.
      training: int, how many training examples.
      data_dir: as in `load`.

    Returns:
      (Split, Split): training and test examples; of a streamed test set the first, for it may not fit into memory.

    Raises:
      UsageError, CorruptFileError: as in `load`, and of `streaming.ImageStream`.
    """
    if not dataset.streamed:
        splits = load(settings.name, validation, data_dir)
        return splits.train.take(np.arange(training)), splits.test
    from tf_lottery.data import streaming

    counts = {streaming.training_splits(validation)[0]: training, streaming.TEST: min(_STREAMED_TEST, dataset.test)}
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


def builder(name, data_dir=None):
    """Opens a data set in TFDS's folder, prepared or not.

    Args:
      name: its name in TFDS.
      data_dir: as in `load`.

    Returns:
      A tfds.core.DatasetBuilder.

    Raises:
      UsageError: the folder does not exist, or what describes the data set there is damaged.
      StorageError: the folder cannot be reached.
    """
    import tensorflow_datasets as tfds

    data_dir = data_dir or os.environ.get('TFDS_DATA_DIR')
    if data_dir and storage.is_remote(data_dir):
        # One that cannot be reached is not damaged; TFDS makes one that is not there.
        storage.exists(data_dir)
    elif data_dir and not os.path.isdir(data_dir):
        raise UsageError(f'the data folder {data_dir} does not exist: give --data_dir or TFDS_DATA_DIR a folder that '
                         'holds TFDS data sets, or create it to download them there.')
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        raise _damaged(name, os.path.join(data_dir or '~/tensorflow_datasets', name), error) from error


def _tfds(name, data_dir):
    import requests
    import tensorflow as tf

    source = builder(name, data_dir)
    if not source.is_prepared():
        try:
            # Without a network TFDS would go on trying for minutes.
            for url in list(source.url_infos)[:1]:
                requests.head(url, timeout=10)
            source.download_and_prepare()
        except Exception as error:
            raise UsageError(
                f'{name} is not in {source.data_dir} and could not be downloaded ({type(error).__name__}): run once '
                f'where there is a network, or point --data_dir or TFDS_DATA_DIR at a folder that holds {name}.'
            ) from error
    try:
        return [_in_memory(source, split) for split in ('train', 'test')]
    except (tf.errors.OpError, KeyError) as error:
        raise _damaged(name, source.data_dir, error) from error


def _damaged(name, folder, error):
    return UsageError(f'{name} in {folder} is damaged ({reason(error)}): delete that folder and prepare it again.')


def _in_memory(source, split):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from tf_lottery.training.order import quiet_options

    config = tfds.ReadConfig(options=quiet_options(tf.data.Options()), num_parallel_calls_for_decode=os.cpu_count())
    rows = source.as_dataset(split=split, shuffle_files=False, read_config=config, as_supervised=True)
    images, labels = next(iter(rows.batch(source.info.splits[split].num_examples)))
    return Split(images.numpy(), labels.numpy().astype(np.int32))
