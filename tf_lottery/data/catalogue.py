"""Data sets of TFDS: what the files of each say of it, the examples, and how one that is not there is fetched.

A prepared data set is described by two files of JSON, which are read without TensorFlow.
"""

import difflib
import math
import os
import re

import numpy as np

from tf_lottery.data.description import Description, Split
from tf_lottery.errors import CorruptFileError, UsageError, in_one_line, reason, shown
from tf_lottery.runtime import elsewhere, keras2, storage

# What stands before the name of a data set that no paper here trains on.
PREFIX = 'tfds:'
_REFERENCE = re.compile(PREFIX + r'(?P<name>\w+)(?:/(?P<config>[^/:\s]+))?(?::(?P<version>\d+\.\d+\.\d+))?')

# Bytes of all images of a data set, decoded, beyond which it is streamed: a quarter of 8 GB, for a copy lies on every
# device and several in the machine while it is read, and so many elements of an array XLA counts in 32 bits. The same
# everywhere, not a share of the machine at hand: a run that is resumed on another one goes on as it began.
LARGEST_IN_MEMORY = 2**31

# Where there is no other split one of so many training examples tests.
_TEST_SHARE = 5

# One of so many training examples validates, as of CIFAR-10, and at most as many as of ImageNet.
_VALIDATION_SHARE, _MOST_VALIDATION = 10, 10_000


def describe(name, data_dir=None):
    """Returns the Description of 'tfds:NAME/CONFIG:VERSION', where CONFIG and VERSION may be left out.

    One that is not there is fetched first, for TFDS does not know before how many examples it has.

    Args:
      name: str.
      data_dir: where TFDS keeps data sets; None for `TFDS_DATA_DIR`, else TFDS's default folder.

    Raises:
      UsageError: there is no such data set, it cannot be fetched, or it is not of images with a label each.
      StorageError: the folder cannot be reached.
    """
    folder = _find(name, data_dir) or elsewhere.call(f'{__name__}:fetch', name, data_dir)
    try:
        return _description(name, folder, data_dir)
    except UsageError:
        raise
    except (CorruptFileError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(name, folder, error) from error


def builder(name, data_dir=None):
    """Opens a data set in TFDS's folder, prepared or not.

    Args:
      name: its name in TFDS, or as of `describe`.
      data_dir: as in `describe`.

    Returns:
      A tfds.core.DatasetBuilder.

    Raises:
      UsageError: the folder does not exist, or what describes the data set there is damaged.
      StorageError: the folder cannot be reached.
    """
    import tensorflow_datasets as tfds

    folder = _find(name, data_dir) if name.startswith(PREFIX) else None
    root = _root(data_dir)
    try:
        return tfds.builder_from_directory(folder) if folder else tfds.builder(
            name.removeprefix(PREFIX), data_dir=root)
    except Exception as error:
        raise _damaged(name, folder or os.path.join(root or _DEFAULT, name), error) from error


def read(name, description, data_dir=None):
    """Reads a data set into memory, and fetches one that is not there.

    Returns:
      [Split, Split]: training and test examples.

    Raises:
      UsageError: it is not there and cannot be fetched, is damaged, or has images without a label.
    """
    import tensorflow as tf

    name = description.tfds or name
    source = fetched(name, data_dir)
    try:
        return [_in_memory(source, name, description, split) for split in description.splits]
    except (tf.errors.OpError, KeyError) as error:
        raise _damaged(name, source.data_dir, error) from error


def prepared(name, data_dir=None):
    """The `builder` of a data set that is there; a UsageError where it is not."""
    source = builder(name, data_dir)
    if not source.is_prepared():
        raise not_prepared(source, name)
    return source


def fetched(name, data_dir=None):
    """The `builder` of a data set that is there, downloaded where it was not; raises what `prepare` does."""
    source = builder(name, data_dir)
    prepare(source, name)
    return source


def prepare(source, name):
    """Downloads a data set and prepares it in its folder, where it is not there yet.

    Args:
      source: tfds.core.DatasetBuilder.
      name: str, what it is called.

    Raises:
      UsageError: it cannot be downloaded.
    """
    if source.is_prepared():
        return
    if source.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise not_prepared(source, name)
    import requests

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


def not_prepared(source, name):
    """The UsageError about a data set whose files are got by hand."""
    return UsageError(f'{name} is not in {source.data_dir}: prepare it there with TFDS, or point --data_dir or '
                      f'TFDS_DATA_DIR at a folder that holds {name}.')


def without_label(name, label, split):
    """The UsageError about a split whose labels are not public."""
    return UsageError(f'{name} has images without a label (it is {label}) in its split {split}: choose another data '
                      'set, for no network can be judged on this one.')


_DEFAULT = '~/tensorflow_datasets'


def root(data_dir=None):
    """The folder of all data sets: `data_dir`, or `TFDS_DATA_DIR`, or TFDS's default.

    Raises:
      UsageError: it was chosen and does not exist.
    """
    return _root(data_dir) or os.path.expanduser(_DEFAULT)


def _root(data_dir):
    """The folder of all data sets, or None for TFDS's default, which need not exist."""
    data_dir = data_dir or os.environ.get('TFDS_DATA_DIR')
    if data_dir and storage.is_remote(data_dir):
        # One that cannot be reached is not damaged; TFDS makes one that is not there.
        storage.exists(data_dir)
    elif data_dir and not os.path.isdir(data_dir):
        raise UsageError(f'the data folder {data_dir} does not exist: give --data_dir or TFDS_DATA_DIR a folder that '
                         'holds TFDS data sets, or create it to download them there.')
    return data_dir


def _find(name, data_dir):
    """The folder of a data set that is prepared, of the version that is asked for or the latest one; else None."""
    wish = _REFERENCE.fullmatch(name)
    if not wish:
        raise UsageError(f'data.name is {shown(name)}: give {PREFIX}NAME, {PREFIX}NAME/CONFIG or '
                         f'{PREFIX}NAME/CONFIG:VERSION, as in {PREFIX}kmnist:3.0.1.')
    folder = storage.join(_root(data_dir) or os.path.expanduser(_DEFAULT), wish['name'])
    config = wish['config']
    default = storage.join(folder, '.config', 'metadata.json')
    if config is None and storage.exists(default):
        config = storage.read_json(default)['default_config_name']
    folder = storage.join(folder, config) if config else folder
    versions = [wish['version']] if wish['version'] else sorted(
        (found for found in storage.list_folder(folder) if re.fullmatch(r'\d+\.\d+\.\d+', found)),
        key=lambda version: tuple(map(int, version.split('.'))), reverse=True)
    return next((path for path in (storage.join(folder, version) for version in versions)
                 if storage.exists(storage.join(path, 'dataset_info.json'))), None)


def fetch(name, data_dir=None):
    """Has TFDS prepare a data set that is not there, and returns its folder.

    Args:
      name, data_dir: as in `describe`.

    Raises:
      UsageError: as of `describe`.
    """
    source = known(name, data_dir)
    # Before gigabytes of something else are downloaded.
    _image_and_label(name, _json_of(source.info.features), source.info.supervised_keys)
    prepare(source, name.removeprefix(PREFIX))
    return str(source.data_dir)


def known(name, data_dir=None):
    """Opens a data set of TFDS's catalogue or folder, prepared or not: a tfds.core.DatasetBuilder.

    Args:
      name, data_dir: as in `describe`.

    Raises:
      UsageError: there is no such data set, or none of its config or version.
    """
    with keras2.quiet_start():
        import tensorflow_datasets as tfds

    if _find(name, data_dir):
        return builder(name, data_dir)
    root = _root(data_dir)
    try:
        return tfds.builder(name.removeprefix(PREFIX), data_dir=root)
    except tfds.core.DatasetNotFoundError as error:
        own, root = _REFERENCE.fullmatch(name)['name'], root or os.path.expanduser(_DEFAULT)
        there = storage.list_folder(root)
        if own in there:
            found = [each for each in storage.list_folder(storage.join(root, own)) if not each.startswith('.')]
            raise UsageError(f'{name} is not in {storage.join(root, own)}, which holds '
                             f'{", ".join(found) or "nothing"}: give a config and a version that are there.') from error
        near = difflib.get_close_matches(own, [*tfds.list_builders(with_community_datasets=False), *there], 1)
        remedy = f'did you mean {PREFIX + near[0]!r}?' if near else (
            'choose one of its catalogue, or point --data_dir or TFDS_DATA_DIR at a folder that holds it.')
        raise UsageError(f'{name} is not in {root}, and TFDS knows no data set of this name: {remedy}') from error
    except Exception as error:
        raise UsageError(f'TFDS cannot open {name} ({in_one_line(reason(error))}): give a config and a version that it '
                         'has, or leave them out.') from error


def _description(name, folder, data_dir):
    info = storage.read_json(storage.join(folder, 'dataset_info.json'))
    described = storage.read_json(storage.join(folder, 'features.json'))
    if 'featuresDict' not in described:
        # As TFDS wrote them until 2022; it reads both.
        described = elsewhere.call(f'{__name__}:features', name, data_dir)
    supervised = [item.get('featureKey') for item in info.get('supervisedKeys', {}).get('tuple', {}).get('items', ())]
    image, label, shape, classes = _image_and_label(name, described, supervised)
    splits, train, test = _splits(name, info)
    varying = None in shape
    streamed = varying or (train + test) * math.prod(shape) > LARGEST_IN_MEMORY
    if streamed and info.get('fileFormat', 'tfrecord') != 'tfrecord':
        raise UsageError(f'{name} in {folder} is of {info["fileFormat"]} files, of which none are streamed: prepare it '
                         'with --file_format=tfrecord of the command tfds.')
    if streamed and shape[2] not in (1, 3):
        raise UsageError(f'images of {name} have {shape[2]} channels, which are not streamed: choose a data set of '
                         'grey or coloured images.')
    validation = max(1, min(train // _VALIDATION_SHARE, _MOST_VALIDATION))
    return Description(train, test, shape, classes, 255, validation, streamed=streamed, varying=varying, splits=splits,
                       features=(image, label), folder=folder)


def features(name, data_dir=None):
    """What the features.json of a prepared data set holds, in the words of the TFDS that is installed."""
    return _json_of(builder(name, data_dir).info.features)


def _json_of(features):
    from google.protobuf import json_format

    return json_format.MessageToDict(features.to_proto())


def _image_and_label(name, described, supervised):
    """(name of the image, name of the label, shape of the image, number of classes), of a features.json."""
    features = described.get('featuresDict', {}).get('features', {})
    images = [key for key, feature in features.items() if 'image' in feature]
    labels = [key for key, feature in features.items() if int(feature.get('classLabel', {}).get('numClasses', 0))]
    pair = tuple(supervised or ())
    if len(pair) != 2 or pair[0] not in images or pair[1] not in labels:
        if len(images) != 1 or len(labels) != 1:
            what = ', '.join(f'{key} ({feature.get("pythonClassName", "?").rpartition(".")[2]})'
                             for key, feature in sorted(features.items()))
            raise UsageError(f'{name} is not of one image and one class label each, but of {in_one_line(what)}: choose '
                             'a data set that has one Image and one ClassLabel.')
        pair = images[0], labels[0]
    image, label = pair
    shape = tuple(int(size) for size in features[image]['image']['shape']['dimensions'])
    dtype = features[image]['image'].get('dtype', 'uint8')
    if dtype != 'uint8' or len(shape) != 3 or shape[2] < 1:
        raise UsageError(f'images of {name} are {dtype} of shape {_sizes(shape)}: choose a data set whose images are '
                         'uint8 of shape (height, width, channels), channels a number.')
    return image, label, _sizes(shape), int(features[label]['classLabel']['numClasses'])


def _sizes(shape):
    """A shape as TFDS writes it, with None for what is not fixed."""
    return tuple(None if size < 0 else size for size in shape)


def _splits(name, info):
    """((split to train on, split to test on), examples of the one, of the other), of a dataset_info.json."""
    counts = {split['name']: sum(map(int, split.get('shardLengths', ()))) for split in info.get('splits', ())}
    counts = {split: count for split, count in counts.items() if count}
    test = next((split for split in ('test', 'validation') if split in counts), None)
    if 'train' not in counts:
        raise UsageError(f'{name} has no split train, but {", ".join(counts) or "none"}: choose a data set that has '
                         'one.')
    train = counts['train']
    if test:
        return ('train', test), train, counts[test]
    if info.get('disableShuffling'):
        raise UsageError(f'{name} has no split test, and the records of its split train are not shuffled, so that no '
                         'part of them can test: prepare it with a split test.')
    held_out = train // _TEST_SHARE
    return (f'train[:{train - held_out}]', f'train[{train - held_out}:]'), train - held_out, held_out


def _damaged(name, folder, error):
    return UsageError(f'{name} in {folder} is damaged ({reason(error)}): delete that folder and prepare it again.')


def _in_memory(source, name, description, split):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from tf_lottery.training.order import quiet_options

    config = tfds.ReadConfig(options=quiet_options(tf.data.Options()), num_parallel_calls_for_decode=os.cpu_count())
    image, label = description.features
    rows = source.as_dataset(split=split, shuffle_files=False, read_config=config,
                             decoders=tfds.decode.PartialDecoding({image: True, label: True}))
    columns = next(iter(rows.batch(source.info.splits[split].num_examples)))
    found = Split(columns[image].numpy(), columns[label].numpy().astype(np.int32))
    if found.labels.min() < 0:
        raise without_label(name, found.labels.min(), split)
    return found
