"""Dropout: a pure function of (seed, step) where a trainer asks for it, and plain dropout elsewhere."""

import dataclasses
import functools

import fake_tasks
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery import data, models
from tf_lottery.models.dropout import Dropout, drawn_from
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask, Ticket
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.trainer import Seeds, Settings, TrainingModel

UNITS = np.ones((12, 500), np.float32)
SEEDS = Seeds(initialisation=0, order=1, augmentation=2)
SETTINGS = Settings(batch_size=20, optimizer='adam', learning_rate=0.001, momentum=0.9, evaluate_every=8,
                    checkpoint_every=4, block=3, jit=False)


def dropped(seed=1, step=0, rows=range(12), layers=1, rate=0.5):
    """What is left of ones after each of several layers; [layers, rows, units]."""
    rows = tf.constant(list(rows), tf.int32)
    with drawn_from(tf.constant(seed), tf.constant(step), rows, 12):
        return np.stack([Dropout(rate)(tf.gather(UNITS, rows), training=True) for _ in range(layers)])


def test_half_of_the_units_are_dropped_and_the_others_doubled():
    (left,) = dropped()
    assert set(np.unique(left)) == {0, 2}
    # 6,000 draws: three standard deviations are 0.02.
    assert np.mean(left == 0) == pytest.approx(0.5, abs=0.02)
    (left,) = dropped(rate=0.2)
    assert set(np.unique(left)) == {0, np.float32(1.25)}
    assert np.mean(left == 0) == pytest.approx(0.2, abs=0.02)


def test_seed_and_step_decide_and_nothing_else():
    assert np.array_equal(dropped(3, 5), dropped(3, 5))
    for other in (dropped(3, 6), dropped(4, 5), dropped(5, 3)):
        assert np.mean(dropped(3, 5) == other) == pytest.approx(0.5, abs=0.03)


def test_layers_and_examples_draw_for_themselves():
    one, two = dropped(layers=2)
    assert np.mean(one == two) == pytest.approx(0.5, abs=0.03)
    assert np.mean(one[0] == one[1]) == pytest.approx(0.5, abs=0.1)
    # A network is called once per step: the same layer draws the same there, whatever was drawn before.
    assert np.array_equal(dropped(layers=2)[0], one)


def test_a_replica_drops_what_the_whole_batch_would():
    whole = dropped(layers=2)
    assert np.array_equal(dropped(layers=2, rows=range(6, 12)), whole[:, 6:])
    assert np.array_equal(dropped(layers=2, rows=[1, 3, 5]), whole[:, 1::2][:, :3])


def test_inference_is_the_identity():
    layer = Dropout(0.5)
    for training in (False, None):
        assert np.array_equal(layer(UNITS, training=training), UNITS)
        with drawn_from(tf.constant(1), tf.constant(0), tf.range(12), 12):
            assert np.array_equal(layer(UNITS, training=training), UNITS)


def test_outside_it_is_plain_dropout():
    layer = Dropout(0.5)
    one, two = layer(UNITS, training=True).numpy(), layer(UNITS, training=True).numpy()
    assert set(np.unique(one)) == {0, 2}
    assert np.mean(one == 0) == pytest.approx(0.5, abs=0.02)
    assert not np.array_equal(one, two)


def test_the_dtype_is_that_of_the_layer():
    layer = Dropout(0.5, dtype='mixed_bfloat16')
    with drawn_from(tf.constant(1), tf.constant(0), tf.range(12), 12):
        left = layer(UNITS, training=True)
    assert left.dtype == tf.bfloat16
    assert np.array_equal(tf.cast(left, tf.float32), dropped()[0])


def test_it_is_the_same_in_a_loop_under_xla():
    layer = Dropout(0.5)

    @tf.function(jit_compile=True)
    def loop():
        def body(step, left):
            with drawn_from(tf.constant(1), step, tf.range(12), 12):
                return step + 1, tf.tensor_scatter_nd_update(left, [[step]], [layer(UNITS, training=True)])

        return tf.while_loop(lambda step, _: step < 3, body, (0, tf.zeros([3, *UNITS.shape])))[1]

    assert np.array_equal(loop(), np.concatenate([dropped(step=step) for step in range(3)]))


def test_a_network_is_saved_and_fitted_by_keras(tmp_path):
    network = models.find('conv2_dropout').build((8, 8, 1), 10, seed=0)
    images = np.random.default_rng(0).random((40, 8, 8, 1), np.float32)
    network.save(tmp_path / 'model.keras')
    loaded = tf_keras.models.load_model(tmp_path / 'model.keras')
    assert [layer.rate for layer in loaded.layers if isinstance(layer, Dropout)] == [0.5, 0.5]
    assert np.array_equal(loaded(images), network(images))
    tf.saved_model.save(network, tmp_path / 'saved')
    exported = tf.saved_model.load(tmp_path / 'saved')
    assert np.allclose(exported(images, training=False), network(images), atol=1e-6)
    assert {variable.name for variable in exported.variables} == {variable.name for variable in network.variables}
    loaded.compile('sgd', tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fitted = loaded.fit(images, np.arange(40) % 10, verbose=0)
    assert np.isfinite(fitted.history['loss']).all()


def test_dropout_stands_after_both_hidden_layers():
    names = [layer.name for layer in models.find('conv4_dropout').build((8, 8, 1), 10, seed=0).layers]
    assert names[-7:] == ['flatten', 'fc1', 'fc1_dropout', 'fc2', 'fc2_dropout', 'output', 'logits']


def small():
    """For XLA, which takes its time over convolutions on a CPU."""
    dense, glorot = tf_keras.layers.Dense, tf_keras.initializers.GlorotNormal
    return tf_keras.Sequential([
        tf_keras.layers.Flatten(input_shape=(8, 8, 1)), dense(30, 'relu', kernel_initializer=glorot(0), name='fc1'),
        Dropout(0.5), dense(20, 'relu', kernel_initializer=glorot(1), name='fc2'), Dropout(0.5),
        dense(10, kernel_initializer=glorot(2), name='output')])


@pytest.mark.parametrize(('build', 'jit'), [
    (functools.partial(models.find('conv2_dropout').build, (8, 8, 1), 10, seed=0), False), (small, True)],
                         ids=['conv2_dropout', 'dense under XLA'])
def test_a_resumed_training_drops_what_the_uninterrupted_one_did(tmp_path, digits, build, jit):
    few = data.Splits(*(split.take(slice(40)) for split in (digits.train, digits.validation, digits.test)))
    settings, strategy = dataclasses.replace(SETTINGS, jit=jit), tf.distribute.get_strategy()
    trainer = fake_tasks.trainer(fake_tasks.Task(build, few, training__batch_size=20), settings, strategy)
    train, network = trainer.train, trainer.network
    shapes = {name: array.shape for name, array in wrapper.get_mask(network).items()}
    ticket = Ticket(Mask.ones(shapes), wrapper.get_weights(network), 0)
    whole = train(ticket, SEEDS, 10)
    reached = []

    def killed(step):
        reached.append(step)
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ticket, SEEDS, 10, checkpoint=Checkpoint(tmp_path), progress=killed)
    train(ticket, Seeds(7, 8, 9), 5)
    resumed = train(ticket, SEEDS, 10, checkpoint=Checkpoint(tmp_path), progress=reached.append)
    assert reached == [3, 4, 7, 7, 8, 10]
    assert all(np.array_equal(resumed.weights[name], value) for name, value in whole.weights.items())
    assert resumed.rows == whole.rows
    # Without augmentation by pixels, dropout is all that this seed decides.
    other = train(ticket, dataclasses.replace(SEEDS, augmentation=3), 10)
    assert not np.array_equal(other.weights['fc2/kernel'], whole.weights['fc2/kernel'])


@pytest.mark.parametrize(('name', 'draws'), [('conv2', False), ('conv2_dropout', True)])
def test_a_network_without_dropout_draws_nothing(name, draws):
    network = models.find(name).build((8, 8, 1), 10, seed=0)
    images, labels = np.zeros([20, 8, 8, 1], np.uint8), np.zeros([20], np.int32)
    split = data.Split(images, labels)
    task = fake_tasks.Task(None, data.Splits(split, split, split), training__batch_size=20)
    model = TrainingModel(network, task, task.feed(SETTINGS, tf.distribute.get_strategy()), SETTINGS)
    model.optimizer = tf_keras.optimizers.SGD(jit_compile=False)
    model.optimizer.build(network.trainable_variables)
    step = tf.function(model._optimizer_step).get_concrete_function(
        {'indices': tf.range(20), 'step': tf.constant(0), 'row': tf.range(20)})
    assert any('Random' in operation.type for operation in step.graph.get_operations()) == draws
