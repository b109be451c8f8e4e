"""Data sets: what is in them, how they are split, and what a user reads when one is missing or damaged."""

import os
import pathlib
import shutil
import time

import numpy as np
import pytest
from fake_files import fail

from tf_lottery import data
from tf_lottery.errors import StorageError, UsageError

TFDS = pathlib.Path(os.environ.get('TFDS_DATA_DIR', ''))
needs_mnist, needs_cifar10 = (
    pytest.mark.skipif(not (TFDS / name).is_dir() or not os.environ.get('TFDS_DATA_DIR'),
                       reason=f'TFDS_DATA_DIR names no folder that holds {name}') for name in ('mnist', 'cifar10'))


def rows_in_order(split):
    """The examples of a split as bytes, image and label together."""
    return [image.tobytes() + bytes([label]) for image, label in zip(split.images, split.labels, strict=True)]


def rows(*splits):
    return sorted(row for split in splits for row in rows_in_order(split))


def test_digits_are_as_described(digits):
    description = data.describe('digits')
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1097, 200, 500)
    assert description.train == 1297 and description.test == 500 and description.validation == 200
    for split in (digits.train, digits.validation, digits.test):
        assert split.images.shape == (len(split), *description.shape)
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int32
        assert split.images.max() == description.brightest
        assert sorted(set(split.labels)) == list(range(description.classes))


def test_the_splits_are_disjoint_and_together_everything(digits):
    from sklearn.datasets import load_digits
    source = load_digits()
    everything = data.Split(source.images.astype(np.uint8)[..., None], source.target)
    assert rows(digits.train, digits.validation, digits.test) == rows(everything)
    # The writers of the last 500 wrote none of the others: every split is a random sample.
    source_order = {row: place for place, row in enumerate(rows_in_order(everything))}
    for split in (digits.train, digits.validation, digits.test):
        places = [source_order[row] for row in rows_in_order(split)]
        assert min(places) < 100 and max(places) > 1697


def test_the_validation_set_is_the_same_one_each_time_and_of_any_size(digits):
    again, larger, none = (data.load('digits', validation=size) for size in (None, 500, 0))
    assert np.array_equal(again.validation.images, digits.validation.images)
    assert np.array_equal(again.train.labels, digits.train.labels)
    assert np.array_equal(larger.validation.images[:200], digits.validation.images)
    assert np.array_equal(larger.test.images, digits.test.images)
    assert (len(larger.train), len(larger.validation), len(none.train), len(none.validation)) == (797, 500, 1297, 0)


def test_an_unknown_dataset_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"unknown dataset 'minst': choose one of digits, .* Did you mean 'mnist'\?"):
        data.load('minst')
    with pytest.raises(UsageError, match=r"unknown dataset 'zzz': choose one of [^?]*$"):
        data.describe('zzz')


@needs_mnist
def test_mnist_is_as_described():
    description, splits = data.describe('mnist'), data.load('mnist')
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (55_000, 5_000, 10_000)
    assert description.train == 60_000 and description.test == 10_000
    assert splits.train.images.shape == (55_000, *description.shape)
    assert splits.train.images.dtype == np.uint8 and splits.train.images.max() == description.brightest
    # How often each digit is in the published files.
    counts = np.bincount(np.concatenate([splits.train.labels, splits.validation.labels]))
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(splits.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@needs_cifar10
def test_cifar10_is_as_described():
    splits = data.load('cifar10')
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45_000, 5_000, 10_000)
    assert splits.train.images.shape == (45_000, *data.describe('cifar10').shape)
    assert splits.train.images.dtype == np.uint8 and splits.train.images.max() == data.describe('cifar10').brightest
    # As many of each class, in the files that were published.
    assert np.bincount(np.concatenate([splits.train.labels, splits.validation.labels])).tolist() == [5000] * 10
    assert np.bincount(splits.test.labels).tolist() == [1000] * 10
    # The mean and the deviation of the channels of the training set, as everybody normalises by.
    every = np.concatenate([splits.train.images, splits.validation.images])
    assert every.mean((0, 1, 2)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)


@pytest.mark.parametrize('name', [name for name in data.DATASETS if name != 'digits'])
def test_tfds_describes_a_dataset_as_we_do(name, tmp_path):
    import tensorflow_datasets as tfds

    description = data.describe(name)
    builder = tfds.builder(description.tfds or name, data_dir=str(tmp_path))
    features = builder.info.features
    # Streamed images are of any size.
    expected = (None, None, 3) if description.streamed else description.shape
    assert features['image'].shape == expected
    assert features['label'].num_classes == description.classes
    assert builder.info.supervised_keys == ('image', 'label')


def test_a_folder_that_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=rf'the data folder {tmp_path}/no does not exist: give --data_dir'):
        data.load('mnist', data_dir=f'{tmp_path}/no')
    monkeypatch.setenv('TFDS_DATA_DIR', f'{tmp_path}/neither')
    with pytest.raises(UsageError, match=rf'the data folder {tmp_path}/neither does not exist'):
        data.load('mnist')


@pytest.mark.parametrize('name', ['mnist', 'imagenet2012'])
def test_a_folder_that_cannot_be_reached_is_not_damaged(files, name):
    files.before = fail()
    with pytest.raises(StorageError, match=r'^cannot look for gs://bucket/tfds: Error executing an HTTP request'):
        data.builder(name, 'gs://bucket/tfds')


@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist', 'cifar100', 'svhn'])
def test_a_missing_dataset_without_a_network_is_told_at_once(tmp_path, monkeypatch, name):
    # A proxy that refuses stands for a machine without a network.
    for variable in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.setenv(variable, 'http://127.0.0.1:9')
    started = time.monotonic()
    folder = data.describe(name).tfds or name
    with pytest.raises(UsageError, match=rf'{folder} is not in {tmp_path}/{folder}/.* could not be downloaded .*: run '
                                         r'once where there is a network, or point --data_dir'):
        data.load(name, data_dir=str(tmp_path))
    assert time.monotonic() - started < 15


@pytest.fixture
def damaged(tmp_path):
    """A copy of MNIST to damage: the folder of its files."""
    shutil.copytree(TFDS / 'mnist', tmp_path / 'mnist')
    (folder,) = (tmp_path / 'mnist').iterdir()
    for path in (folder, *folder.iterdir()):
        path.chmod(0o700)
    return folder


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[99_999] ^= 1
    path.write_bytes(content)


@needs_mnist
@pytest.mark.parametrize(('damage', 'why'), [
    (lambda path: os.truncate(path, 1_000_000), 'truncated record at 999881'),
    (lambda path: os.truncate(path, 0), 'Input dataset was expected to contain 60000 elements but contained only 0'),
    (os.remove, r'mnist-train\.tfrecord.*No such file'),
    (flip_a_bit, 'corrupted record at ')])
def test_damaged_records_are_told_in_one_sentence(damaged, damage, why):
    damage(damaged / 'mnist-train.tfrecord-00000-of-00001')
    sentence = rf'^mnist in {damaged} is damaged \([^{{]*{why}[^\[]*\): delete that folder and prepare it again\.$'
    with pytest.raises(UsageError, match=sentence):
        data.load('mnist', data_dir=str(damaged.parents[1]))


@needs_mnist
def test_a_damaged_description_names_the_datasets_folder_and_not_that_of_all(damaged):
    (damaged / 'dataset_info.json').write_text('{')
    with pytest.raises(UsageError, match=rf'^mnist in {damaged.parent} is damaged \(.*JSON.*\): delete that folder'):
        data.load('mnist', data_dir=str(damaged.parents[1]))
