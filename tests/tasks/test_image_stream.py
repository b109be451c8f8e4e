"""Training and evaluation on images that are streamed from their files."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import fake_tasks
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.data.streaming import ImageStream
from tf_lottery.errors import CorruptFileError, Interrupted, StorageError, UsageError
from tf_lottery.models.dropout import Dropout
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.runtime import storage
from tf_lottery.tasks.image_stream import _explained
from tf_lottery.tasks.images import examples
from tf_lottery.ticket import Ticket
from tf_lottery.training.checkpoints import Checkpoint, Saved
from tf_lottery.training.evaluation import Evaluator
from tf_lottery.training.trainer import Seeds, Settings, Trainer

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = pathlib.Path(os.environ.get('TFDS_DATA_DIR', ''), 'imagenet2012')
pytestmark = pytest.mark.skipif(not SOURCE.is_dir() or not os.environ.get('TFDS_DATA_DIR'),
                                reason='TFDS_DATA_DIR names no folder that holds imagenet2012')

# 441 training images, of which 41 are held out: 8 steps an epoch.
SETTINGS = Settings(batch_size=50, optimizer='momentum', learning_rate=0.1, momentum=0.9, evaluate_every=6,
                    checkpoint_every=4, block=3, jit=False)
SEEDS = Seeds(initialisation=0, order=1, augmentation=2)
EPOCH, END = 8, 11


def task(build=None, **changes):
    own = {'name': 'imagenet2012', 'image_size': 16, 'train': 441, 'test': 53, 'validation': 41, **changes}
    return fake_tasks.Task(build or network, brightest=255, training__batch_size=50, training__label_smoothing=0.1,
                           **{f'data__{key}': value for key, value in own.items()})


def feed(data_dir=None, strategy=None, **changes):
    return task(**changes).feed(SETTINGS, strategy or tf.distribute.get_strategy(), data_dir)


# Devices must be split before TensorFlow starts, and what two replicas train needs a process of its own. Without batch
# normalisation, whose statistics are each replica's own, it is what one device trains.
RUN = """
import sys

from tf_lottery.runtime import distribute

devices, path = int(sys.argv[1]), sys.argv[2]
strategy = distribute.build('mirrored' if devices > 1 else 'one_device', devices)

import tf_keras

sys.path.append('tests')
from tests.tasks import test_image_stream as case
from tf_lottery.runtime import storage
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask, Ticket


def network():
    network = case.network()
    kept = [layer for layer in network.layers if not isinstance(layer, tf_keras.layers.BatchNormalization)]
    return tf_keras.Sequential([tf_keras.layers.InputLayer((16, 16, 3)), *kept])


trainer = case.Trainer(case.task(network), case.feed(strategy=strategy), case.SETTINGS, strategy)
weights = wrapper.get_weights(trainer.network)
ticket = Ticket(Mask.ones({name: weights[name].shape for name in wrapper.get_mask(trainer.network)}), weights, 0)
trained = trainer.train(ticket, case.SEEDS, 9)
storage.write_arrays(path, trained.weights)
storage.write_json(path + '.json', trained.rows)
"""


def network():
    initial = tf_keras.initializers.GlorotNormal
    return tf_keras.Sequential([
        tf_keras.layers.Conv2D(4, 3, 2, kernel_initializer=initial(1), input_shape=(16, 16, 3), name='conv'),
        tf_keras.layers.BatchNormalization(momentum=0.5, name='norm'), tf_keras.layers.ReLU(name='relu'),
        tf_keras.layers.GlobalAveragePooling2D(name='average'), Dropout(0.2),
        tf_keras.layers.Dense(1000, kernel_initializer=initial(2), name='output')])


@pytest.fixture(scope='module')
def trainer():
    return Trainer(task(), feed(mix_up=0.2, cut_mix=1.0), SETTINGS, tf.distribute.get_strategy())


@pytest.fixture(scope='module')
def ticket(trainer):
    dense, weights = wrapper.get_mask(trainer.network), wrapper.get_weights(wrapper.prunable(network()))
    return Ticket(prune(dense, weights, dict.fromkeys(dense, 0.5), 1), weights, 1)


@pytest.fixture(scope='module')
def whole(trainer, ticket):
    return trainer.train(ticket, SEEDS, END)


def test_training_changes_what_the_mask_leaves(ticket, whole):
    assert [row['step'] for row in whole.rows] == [6, END]
    kernel = whole.weights['conv/kernel']
    assert np.array_equal(kernel == 0, ~ticket.mask['conv/kernel'])
    assert np.all((kernel != ticket.weights['conv/kernel']) | ~ticket.mask['conv/kernel'])


def test_a_run_resumed_within_an_epoch_ends_in_the_same_bits(tmp_path, trainer, ticket, whole):
    # Blocks end at 4, 6, 8 (a checkpoint, an evaluation, a checkpoint) and 11.
    reached = []

    def stop():
        reached.append(int(trainer.model.optimizer.iterations))
        return Interrupted(15, 'stop') if reached[-1] == 6 else None

    with pytest.raises(Interrupted):
        trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(tmp_path), stop=stop)
    assert reached == [4, 6]
    trainer.train(dataclasses.replace(ticket, step=0), Seeds(7, 8, 9), 2)
    resumed = trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(tmp_path))
    assert resumed.rows == whole.rows
    assert all(np.array_equal(resumed.weights[name], value) for name, value in whole.weights.items())


def test_evaluation_is_that_of_the_same_images_in_memory(trainer, whole):
    expected = {}
    for name, split in (('validation', 'train[:41]'), ('test', 'validation')):
        images = ImageStream(split, 50, 16).first(100)
        assert len(images) == {'validation': 41, 'test': 53}[name]
        for metric, value in Evaluator(trainer.network, examples(images), task().judge(), jit=False)().items():
            expected[f'{name}_{metric}'] = value
    assert trainer.evaluate() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_two_replicas_train_and_count_what_one_device_does(tmp_path):
    for devices in (1, 2):
        done = subprocess.run([sys.executable, '-c', RUN, str(devices), f'{tmp_path}/{devices}'], cwd=ROOT, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    one, two = (storage.read_arrays(f'{tmp_path}/{devices}') for devices in (1, 2))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    one, two = (storage.read_json(f'{tmp_path}/{devices}.json') for devices in (1, 2))
    for left, right in zip(one, two, strict=True):
        assert right == pytest.approx(left, rel=1e-4)


def test_another_number_of_hosts_goes_on_at_the_next_epoch(trainer):
    # In the middle of the first epoch, at the end of one, and where an earlier change had left three steps out.
    for step, before, shift in ((5, 0, 3), (8, 0, 0), (9, 0, 7), (6, 3, 10)):
        assert trainer._shift(Saved(step, [], hosts=2, shift=before)) == shift
        assert trainer._shift(Saved(step, [], hosts=1, shift=before)) == before
    plain = feed()
    labels = [np.concatenate([batch['label'] for batch in plain.training(SEEDS, [start, start + 3], shift)])
              for start, shift in ((5, 3), (8, 0))]
    assert np.array_equal(*labels)


def test_a_sample_is_of_training_images():
    held = feed(train=441).sample(30)
    assert held['image'].shape == (30, 16, 16, 3) and held['image'].dtype == np.uint8
    assert not set(held['label']) & set(ImageStream('train[:41]', 41, 16).first(41).labels)


def test_a_sample_that_is_not_all_of_it_must_be_said():
    with pytest.raises(UsageError, match=r'^imagenet2012 has 441 training images in its folder, not 1,281,167: give '
                                         r'--config.data.train=441 to train on a sample'):
        feed(train=None)
    with pytest.raises(UsageError, match=r'has 53 test images in its folder, not 50,000: give --config.data.test=53 '):
        feed(test=None)


def truncate(path, size):
    """Puts a copy of a file that lacks its last bytes in its place."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-size])


def test_a_truncated_file_ends_training_with_its_name(imagenet_copy, ticket):
    data_dir, folder = imagenet_copy
    path = folder / 'imagenet2012-train.tfrecord-00005-of-00008'
    truncate(path, 1000)
    trainer = Trainer(task(), feed(data_dir), SETTINGS, tf.distribute.get_strategy())
    with pytest.raises(CorruptFileError, match=f'^record .* of {path} cannot be read .*truncated record'):
        trainer.train(ticket, SEEDS, EPOCH + 1)


def test_a_truncated_file_ends_evaluation_with_its_name(imagenet_copy, trainer):
    data_dir, folder = imagenet_copy
    path = folder / 'imagenet2012-validation.tfrecord-00002-of-00008'
    truncate(path, 10)
    with pytest.raises(CorruptFileError, match=f'^record .* of {path} cannot be read'):
        feed(data_dir).evaluators(trainer.network)['test']()


def test_a_bucket_that_fails_while_it_is_read_is_told_in_one_sentence():
    with pytest.raises(StorageError, match=r'^cannot read gs://bucket/set: All 10 retry attempts failed; see that'), \
            _explained('gs://bucket/set', list):
        raise tf.errors.AbortedError(
            None, None, '{{function_node __wrapped}} All 10 retry attempts failed\n\t when reading gs://bucket/set/file')
    with pytest.raises(tf.errors.AbortedError), _explained('gs://bucket/set', list):
        raise tf.errors.AbortedError(None, None, 'Collective ops is aborted')
