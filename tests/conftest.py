"""What all tests share: Keras 2 as main.py has it, and property tests that draw the same cases."""

import os
import pathlib
import sys

import hypothesis
import pytest

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

hypothesis.settings.register_profile('tests', deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile('tests')


@pytest.fixture(autouse=True)
def fresh_keras():
    """A test's first dense layer is called 'dense' and starts from the same weights, whatever ran before it."""
    if 'tf_keras' in sys.modules:
        tf_keras = sys.modules['tf_keras']
        tf_keras.backend.reset_uids()
        tf_keras.utils.set_random_seed(0)


@pytest.fixture
def files(monkeypatch):
    """fake_files.Files in the place of `tf.io.gfile`; any path with '://' is on it."""
    from fake_files import Files

    from tf_lottery.runtime import storage
    fake = Files()
    monkeypatch.setattr(storage, '_gfile', lambda: fake)
    return fake


@pytest.fixture
def imagenet_copy(tmp_path):
    """ImageNet's sample in a folder of its own, its files links to the originals: (data_dir, the files' folder)."""
    (original,) = pathlib.Path(os.environ['TFDS_DATA_DIR'], 'imagenet2012').iterdir()
    folder = tmp_path / 'imagenet2012' / original.name
    folder.mkdir(parents=True)
    for path in original.iterdir():
        (folder / path.name).symlink_to(path)
    return str(tmp_path), folder


@pytest.fixture(scope='session')
def digits():
    """The embedded handwritten digits, split as in an experiment."""
    from tf_lottery import data
    return data.load('digits')


@pytest.fixture(scope='session')
def texts(tmp_path_factory):
    """A --data_dir with the text of fake_texts, called tiny, and that of fake_pairs, called numbers."""
    import fake_pairs
    import fake_texts
    folder = tmp_path_factory.mktemp('texts')
    fake_texts.write(folder / 'tiny')
    fake_pairs.write(folder / 'numbers')
    return str(folder)
