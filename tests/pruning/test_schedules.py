"""When the schedules prune, how they are stored, and that a stock TF-MOT model reaches our masks by them."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import strategies as st
from tensorflow_model_optimization.sparsity import keras as sparsity

from tf_lottery.errors import UsageError
from tf_lottery.models import lenet
from tf_lottery.pruning import schedules, wrapper
from tf_lottery.pruning.allocation import keep_count, level_density, prune
from tf_lottery.pruning.schedules import IterativePruning, OneShotPruning

EXAMPLES, FEATURES, CLASSES, BATCH = 40, 7, 5, 10


def pruned_before(schedule, steps):
    return [step for step in range(steps) if bool(schedule(step)[0])]


def sparsity_at(schedule, step):
    return float(schedule(tf.constant(step, tf.int64))[1])


def test_a_level_is_pruned_before_its_first_step():
    schedule = IterativePruning(0.2, levels=3, steps=5, rewind_to=2)
    # TF-MOT counts steps from 1: the dense network trains in steps 1 to 5, level 1 in 6 to 8, and so on.
    assert pruned_before(schedule, 40) == [6, 9, 12]
    expected = {1: 0, 5: 0, 6: 0.2, 8: 0.2, 9: 0.36, 11: 0.36, 12: 0.488, 39: 0.488}
    assert {step: sparsity_at(schedule, step) for step in expected} == pytest.approx(expected)


def test_one_shot_prunes_once():
    schedule = OneShotPruning(0.3, steps=5)
    assert pruned_before(schedule, 40) == [6]
    assert [sparsity_at(schedule, step) for step in (5, 6, 39)] == pytest.approx([0, 0.7, 0.7])
    assert [schedule.density(level) for level in (0, 1, 2)] == [1.0, 0.3, 0.3]


@hypothesis.settings(max_examples=25)
@hypothesis.given(fraction=st.floats(0, 0.9), levels=st.integers(0, 6), rewind_to=st.integers(0, 6),
                  length=st.integers(1, 7))
def test_each_level_starts_once_at_its_own_sparsity(fraction, levels, rewind_to, length):
    schedule = IterativePruning(fraction, levels, rewind_to + length, rewind_to)
    starts = pruned_before(schedule, rewind_to + length * (levels + 3) + 2)
    assert starts == [rewind_to + length * level + 1 for level in range(1, levels + 1)]
    for level, step in enumerate(starts, start=1):
        assert sparsity_at(schedule, step) == np.float32(1 - (1 - fraction) ** level)
        assert schedule.density(level) == (1 - fraction) ** level


@pytest.mark.parametrize('make', [
    lambda: IterativePruning(1.0), lambda: IterativePruning(-0.1), lambda: IterativePruning(0.2, 3, 5, 5),
    lambda: IterativePruning(0.2, 3, 5, -1), lambda: OneShotPruning(0, 5), lambda: OneShotPruning(1.1, 5)])
def test_values_without_a_meaning_are_refused(make):
    with pytest.raises(UsageError, match=r'^(fraction|rewind_to|density) is '):
        make()


@pytest.mark.parametrize('schedule', [IterativePruning(0.2, 3, 5, 2), OneShotPruning(0.3, 5)])
def test_the_config_reads_back(schedule):
    config = schedule.get_config()
    again = tf_keras.utils.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    assert again.get_config() == config
    assert type(schedule).from_config(config['config']).get_config() == config
    for step in range(20):
        assert [each.numpy() for each in again(step)] == [each.numpy() for each in schedule(step)]


@pytest.mark.parametrize(('schedule', 'suffix'), [
    (IterativePruning(0.2, 3, 5, 2), ''), (IterativePruning(0.2, 3, 5, 2), '.h5'), (OneShotPruning(0.3, 5), '.keras')])
def test_a_stock_model_is_saved_and_loaded_with_the_schedule(tmp_path, schedule, suffix):
    path = str(tmp_path / f'model{suffix}')
    sparsity.prune_low_magnitude(small_network(), schedule).save(path)
    with sparsity.prune_scope():
        loaded = tf_keras.models.load_model(path)
    for layer in loaded.layers:
        assert layer.pruning_schedule.get_config() == schedule.get_config()


@pytest.mark.parametrize('fraction', [0.2, 0.1, 0.15])
def test_stock_tfmot_keeps_as_many_weights_of_a_lenet_as_we_do(fraction):
    for group, shape, _ in lenet.prunable_shapes((28, 28, 1), 10).values():
        size = int(np.prod(shape))
        for level in range(1, 21):
            schedule = IterativePruning(fraction, 20, 1)
            # pruning_impl.Pruning._update_mask, in float32 as there.
            stock = tf.round(tf.cast(size, tf.float32) * (1 - schedule(level + 1)[1]))
            assert int(stock) == keep_count(size, level_density(fraction, level)), (group, level)


def small_network():
    tf_keras.utils.set_random_seed(3)
    return tf_keras.Sequential([
        tf_keras.layers.Dense(12, activation='relu', input_shape=(FEATURES,), name='fc'),
        tf_keras.layers.Dense(CLASSES, name='output')])


def batches(first, last):
    """The batches of steps `first` to `last`, counted from 0, the last one excluded."""
    rng = np.random.default_rng(1)
    images, labels = rng.normal(size=(EXAMPLES, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, EXAMPLES)
    rows = tf.data.Dataset.from_tensor_slices((images, labels)).repeat().batch(BATCH)
    return rows.skip(first).take(last - first)


def compiled(model, optimizer):
    model.compile(optimizer(), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    return model


class StockMasks(tf_keras.callbacks.Callback):
    """What a stock model holds after each step, counted from 1: {step: [(mask * weight, mask) of each layer]}."""

    def __init__(self):
        super().__init__()
        self.after = {}

    def on_train_batch_end(self, batch, logs=None):
        self.after[batch + 1] = [
            (mask.numpy() * weight.numpy(), mask.numpy() != 0)
            for layer in self.model.layers for weight, mask, _ in layer.pruning_vars]


@pytest.mark.parametrize('optimizer', [
    lambda: tf_keras.optimizers.SGD(0.1, jit_compile=False),
    lambda: tf_keras.optimizers.Adam(0.01, jit_compile=False)], ids=['sgd', 'adam'])
@pytest.mark.parametrize('schedule', [
    IterativePruning(0.3, levels=3, steps=5, rewind_to=2), OneShotPruning(0.4, steps=6)], ids=['iterative', 'one-shot'])
def test_a_stock_model_ends_in_our_masks_bit_for_bit(schedule, optimizer):
    """The stock wrapper updates masks inside the step after a level's end; we set them at the end and train on.

    The stock optimizer also moves the weights that are pruned, each by a step away from 0 before the mask hides them:
    the masks agree while that step is shorter than the weights that stay.
    """
    ends = [step - 1 for step in pruned_before(schedule, 40)]
    last = ends[-1] + 3
    stock, seen = compiled(sparsity.prune_low_magnitude(small_network(), schedule), optimizer), StockMasks()
    stock.fit(batches(0, last), verbose=0, callbacks=[sparsity.UpdatePruningStep(), seen])

    ours = compiled(wrapper.prunable(small_network()), optimizer)
    names = list(wrapper.prunable_variables(ours))
    for level, (first, end) in enumerate(zip([0, *ends], [*ends, last], strict=True)):
        ours.fit(batches(first, end), verbose=0)
        weights, mask = wrapper.get_weights(ours), wrapper.get_mask(ours)
        for name, (stock_weight, stock_mask) in zip(names, seen.after[end], strict=True):
            assert np.array_equal(mask[name], stock_mask), (name, level)
            assert np.array_equal(weights[name], stock_weight), (name, level)
        if end < last:
            # Our path knows a density per level; a one-shot schedule's level 1 is all there is.
            fraction = 1 - schedule.density(1)
            wrapper.set_mask(ours, prune(mask, weights, dict.fromkeys(names, fraction), level + 1), end)
    assert wrapper.get_mask(ours).density < 0.7


def test_gradual_pruning_is_zhu_and_guptas():
    schedule = schedules.gradual(0.8, every=10, until=30)
    course = schedules.prunings(schedule, 50)
    # s_f (1 - (1 - t / T)^3) after t steps.
    assert course == pytest.approx({0: 0, 10: 0.8 * (1 - 8 / 27), 20: 0.8 * (1 - 1 / 27), 30: 0.8})
    assert schedules.prunings(schedule, 30) == {step: course[step] for step in (0, 10, 20)}
    assert schedules.prunings(sparsity.ConstantSparsity(0.5, begin_step=4, end_step=8, frequency=2), 20) == {
        3: 0.5, 5: 0.5, 7: 0.5}
    assert schedules.prunings(sparsity.ConstantSparsity(0.5, begin_step=40), 20) == {}


def test_stock_tfmot_prunes_after_as_many_steps_to_as_many_weights():
    schedule = schedules.gradual(0.8, every=4, until=8)
    model = sparsity.prune_low_magnitude(small_network(), schedule)
    # At rate 0 the weights stay, so that a mask is a matter of when and how many.
    model.compile(tf_keras.optimizers.SGD(0.0), 'mse')
    found = {}

    def seen(step):
        for layer in model.layers:
            for weight, mask, _ in layer.pruning_vars:
                found.setdefault(step, {})[weight.name] = int(mask.numpy().sum())

    after = tf_keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen(batch))
    model.fit(np.zeros((12, FEATURES)), np.zeros((12, CLASSES)), batch_size=1, verbose=0,
              callbacks=[sparsity.UpdatePruningStep(), after])
    course, size = schedules.prunings(schedule, 12), {weight.name: weight.shape.num_elements() for layer in model.layers
                                                      for weight, _, _ in layer.pruning_vars}
    for step, counts in found.items():
        reached = course[max(at for at in course if at <= step)]
        assert counts == {name: keep_count(each, 1 - reached) for name, each in size.items()}, step


OWN = """
from tensorflow_model_optimization.sparsity.keras import ConstantSparsity


def right(sparsity, steps):
    return ConstantSparsity(sparsity, begin_step=steps // 2)


def half(sparsity, steps):
    return ConstantSparsity(sparsity / 2, begin_step=1)


def late(sparsity, steps):
    return ConstantSparsity(sparsity, begin_step=steps + 1)


def broken(sparsity, steps):
    return 1 / 0
"""


def test_a_schedule_of_ones_own_comes_to_what_it_is_given(tmp_path):
    path = tmp_path / 'own_schedules.py'
    path.write_text(OWN)
    assert schedules.own_prunings(f'{path}:right', 0.25, 20) == {9: 0.25}
    for name, sentence in (
            ('half', 'ends at a sparsity of 0.125 where it is given 0.25: have it prune to that before the last of the '
                     '20 steps.'),
            ('late', 'ends at a sparsity of 0 where it is given 0.25: have it prune'),
            ('broken', r'line 18 of .* ends in ZeroDivisionError \(division by zero\): mend it, or give another'),
            ('rigt', "has no rigt, which sparse.schedule=.* names: did you mean 'right'?")):
        with pytest.raises(UsageError, match=sentence):
            schedules.check(f'{path}:{name}', [0.25], 20)
