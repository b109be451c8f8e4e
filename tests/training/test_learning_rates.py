"""Learning rates by hand, with and without XLA, and inside of optimizers."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.training import SCHEDULES, learning_rates, optimizers
from tf_lottery.training.learning_rates import LearningRate

END = 1000
STEPS = {'milestones': (400, 800), 'drop': 0.1}
BY_NAME = {'constant': {}, 'steps': STEPS, 'linear': {'final_learning_rate': 0.1},
           'exponential': {'final_learning_rate': 0.005}, 'cosine': {'final_learning_rate': 0.1},
           'inverse_square_root': {}}


def rate(schedule, step, **options):
    return float(LearningRate(schedule, 0.5, END, **(options or BY_NAME[schedule]))(tf.constant(step, tf.int64)))


@pytest.mark.parametrize(('schedule', 'step', 'expected'), [
    ('constant', 0, 0.5), ('constant', 999, 0.5),
    ('steps', 0, 0.5), ('steps', 399, 0.5), ('steps', 400, 0.05), ('steps', 799, 0.05), ('steps', 800, 0.005),
    ('linear', 0, 0.5), ('linear', 250, 0.4), ('linear', 500, 0.3), ('linear', 999, 0.1004),
    ('exponential', 0, 0.5), ('exponential', 500, 0.05), ('exponential', 250, 0.5 / math.sqrt(10)),
    ('exponential', 999, 0.005 * 100 ** 0.001),
    ('cosine', 0, 0.5), ('cosine', 500, 0.3), ('cosine', 250, 0.3 + 0.2 * math.sqrt(0.5)),
    ('cosine', 333, 0.3 + 0.2 * math.cos(0.333 * math.pi))])
def test_rates_by_hand(schedule, step, expected):
    assert rate(schedule, step) == pytest.approx(expected, rel=1e-6)


def test_rates_of_the_steps_of_the_papers_are_the_floats_that_one_would_write():
    """1903.01611, Figure 2: Resnet-18 at 0.1, 0.01 and 0.001."""
    resnet = LearningRate('steps', 0.1, 30_000, milestones=(20_000, 25_000))
    assert [float(resnet(step)) for step in (19_999, 20_000, 25_000)] == [np.float32(each) for each in (.1, .01, .001)]


def test_a_cosine_keeps_its_digits_to_the_end():
    long = LearningRate('cosine', 1.0, 100_000)
    assert float(long(99_999)) == pytest.approx((math.pi / 2 / 100_000) ** 2, rel=0.01)


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_from_the_end_on_the_rate_is_the_last_one(schedule):
    last = rate(schedule, END - 1)
    assert [rate(schedule, step) for step in (END, END + 1, 2 * END - 1, 10**9)] == [last] * 4
    if schedule != 'constant':
        assert last < rate(schedule, 0)


@pytest.mark.parametrize('schedule', [name for name in SCHEDULES if name != 'inverse_square_root'])
def test_a_warm_up_multiplies_the_schedule(schedule):
    for step, factor in ((0, 0), (1, 1 / 500), (250, 0.5), (499, 499 / 500), (500, 1), (900, 1), (5000, 1)):
        warm = rate(schedule, step, warmup_steps=500, **BY_NAME[schedule])
        assert warm == pytest.approx(factor * rate(schedule, step), rel=1e-6)


@pytest.mark.parametrize(('step', 'expected'), [(0, 0), (1, 0.005), (50, 0.25), (100, 0.5), (400, 0.25), (900, 1 / 6)])
def test_an_inverse_square_root_falls_from_the_warm_up_on(step, expected):
    assert rate('inverse_square_root', step, warmup_steps=100) == pytest.approx(expected, rel=1e-6)
    # Without one from step 1 on.
    assert rate('inverse_square_root', step) == pytest.approx(0.5 / max(1, step)**0.5, rel=1e-6)


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_a_loop_under_xla_sees_the_same_rates(schedule):
    own = LearningRate(schedule, 0.5, 40, warmup_steps=10, **{**BY_NAME[schedule], **(
        {'milestones': (15, 30)} if schedule == 'steps' else {})})

    @tf.function(jit_compile=True)
    def rates():
        def body(step, seen):
            return step + 1, tf.tensor_scatter_nd_update(seen, [[step]], [own(step)])

        return tf.while_loop(lambda step, _: step < 60, body, (tf.constant(0, tf.int64), tf.zeros([60])))[1]

    assert rates().numpy() == pytest.approx(np.array([float(own(step)) for step in range(60)]), rel=1e-6)


@pytest.mark.parametrize('name', ['adam', 'sgd', 'momentum', 'rmsprop'])
@pytest.mark.parametrize('schedule', SCHEDULES)
def test_an_optimizer_reads_back_with_its_schedule(name, schedule):
    own = LearningRate(schedule, 0.5, END, warmup_steps=7, **BY_NAME[schedule])
    optimizer = optimizers.build(name, own)
    again = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(optimizer))
    assert type(again._learning_rate) is LearningRate
    assert again._learning_rate.get_config() == own.get_config()
    assert again.get_config() == optimizer.get_config()


def test_a_rate_that_never_changes_is_a_plain_float():
    options = {'end_step': END, 'milestones': (), 'drop': 0.1, 'final_learning_rate': 0.0}
    assert learning_rates.build('constant', 0.25, **options) == 0.25
    assert type(learning_rates.build('constant', 0.25, **options)) is float
    warm = learning_rates.build('constant', 0.25, 10, **options)
    assert [float(warm(step)) for step in (0, 5, 10, 999)] == [0, 0.125, 0.25, 0.25]
    assert float(learning_rates.build('linear', 0.25, **options)(500)) == 0.125
