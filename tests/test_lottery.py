"""IMP around a user's own `model.fit`."""

import logging as python_logging

import numpy as np
import pytest
import tf_keras

import tf_lottery
from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper

BATCHES, EPOCHS = 8, 2
END = BATCHES * EPOCHS


def make(optimizer=None, **compiling):
    tf_keras.utils.set_random_seed(0)
    model = tf_lottery.prunable(tf_keras.Sequential([
        tf_keras.layers.Dense(10, 'relu', input_shape=(5,), name='first'),
        tf_keras.layers.BatchNormalization(name='norm'),
        tf_keras.layers.Dense(2, name='last')]))
    model.compile(optimizer or tf_lottery.Adam(0.01), 'mse', **compiling)
    return model


@pytest.fixture(scope='module')
def examples():
    rng = np.random.default_rng(0)
    return rng.standard_normal((BATCHES * 4, 5)).astype('float32'), rng.standard_normal((BATCHES * 4, 2))


def fit(model, examples, *callbacks, epochs=EPOCHS):
    model.fit(*examples, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))


class Watch(tf_keras.callbacks.Callback):
    """Notes the first step and the weights that a level starts from."""

    def on_train_begin(self, logs=None):
        self.step = int(self.model.optimizer.iterations)
        self.weights = wrapper.get_weights(self.model)


@pytest.mark.parametrize('scope', ['layerwise', 'global'])
def test_each_level_prunes_the_last_one_and_starts_from_w_k(examples, scope):
    model, kept, before, densities = make(), None, None, []

    class KeepStepFive(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            nonlocal kept
            if level.number == 0 and int(self.model.optimizer.iterations) == 5:
                kept = wrapper.get_weights(self.model)

    for level in tf_lottery.levels(model, fraction=0.2, n=3, rewind_to='5it', scope=scope):
        watch = Watch()
        fit(model, examples, level, watch, KeepStepFive())
        densities.append(level.density)
        assert int(model.optimizer.iterations) == END
        if level.number:
            assert watch.step == 5
            expected = level.mask.apply(kept)
            assert all(np.array_equal(watch.weights[name], expected[name]) for name in expected)
            assert level.mask.is_subset_of(before)
        before = level.mask
        assert wrapper.get_mask(model) == level.mask
        trained = wrapper.get_weights(model)
        assert all(not np.any(trained[name][~level.mask[name]]) for name in level.mask)
    # Layer by layer 50 + 20, 40 + 16, 32 + 12.8, 25.6 + 10.24; together 70, 56, 44.8, 35.84: rounded they agree.
    assert densities == [number / 70 for number in (70, 56, 45, 36)]


def test_without_rewinding_to_a_later_step_the_callback_may_be_left_out(examples):
    model = make()
    initial = wrapper.get_weights(model)
    for level in tf_lottery.levels(model, n=2):
        if level.number:
            start = level.mask.apply(initial)
            assert all(np.array_equal(value, start[name]) for name, value in wrapper.get_weights(model).items())
        fit(model, examples)
    assert level.density == pytest.approx(45 / 70)


def test_the_same_loop_gives_the_same_ticket(examples):
    masks = []
    for _ in range(2):
        model = make()
        for level in tf_lottery.levels(model, n=2, rewind_to='1ep'):
            fit(model, examples, level)
        masks.append(level.mask)
    assert masks[0] == masks[1]


def test_a_level_may_take_several_fits(examples):
    model = make()
    for level in tf_lottery.levels(model, n=1, rewind_to='3it'):
        for _ in range(EPOCHS):
            if int(model.optimizer.iterations) < END or level.number == 0:
                fit(model, examples, level, epochs=1)
    assert level.number == 1


def test_the_learning_rate_goes_on_from_step_k(examples):
    rates = tf_keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.1, 0.01])
    model, seen = make(tf_keras.optimizers.SGD(rates)), []

    class Rate(tf_keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(float(self.model.optimizer.learning_rate))

    for level in tf_lottery.levels(model, n=1, rewind_to='10it'):
        seen.clear()
        fit(model, examples, level, Rate())
    assert len(seen) == END - 10
    assert seen[1:] == [pytest.approx(0.01)] * (END - 11)


def test_fractions_of_layers_differ(examples):
    model = make()
    for level in tf_lottery.levels(model, fraction=0.5, n=1, fractions={'last': 0.0, 'first/kernel': 0.2}):
        fit(model, examples)
    assert {name: int(kept.sum()) for name, kept in level.mask.items()} == {'first/kernel': 40, 'last/kernel': 20}
    schedules = {name: holder.pruning_schedule for name, (holder, *_) in wrapper.prunable_variables(model).items()}
    assert schedules['first/kernel'].get_config()['config'] == {
        'fraction': 0.2, 'levels': 1, 'steps': END, 'rewind_to': 0}


def consume(levels, model, examples, *callbacks):
    for level in levels:
        fit(model, examples, *(level if callback == 'level' else callback for callback in callbacks))


@pytest.mark.parametrize(('arguments', 'callbacks', 'sentence'), [
    ({'fraction': 1.2}, (), r'fraction is 1.2: give the share of weights pruned per level, between 0 and 1'),
    ({'n': -1}, (), r'n is -1'),
    ({'rewind_to': '4epo'}, (), r"'4epo' is not a length of training"),
    ({'rewind_to': '5it'}, (), r"rewind_to is '5it', but level 0 was trained without it: pass callbacks=\[level\]"),
    ({'rewind_to': '99it'}, ('level',), r"rewind_to is '99it', but training ended at step 16"),
    ({'fractions': {'middle': 0.1}}, (), r"fractions names 'middle', which is no prunable layer"),
    ({'fractions': {'last': 1.0}}, (), r'the fraction of last is 1.0'),
    ({'scope': 'globally'}, (), r"unknown scope 'globally': choose one of layerwise, global"),
    ({'fraction': 0.9, 'n': 2}, (), r'level 2 would leave no weight in first/kernel \(50 weights, 0.9 pruned'),
])
def test_a_mistake_is_told(examples, arguments, callbacks, sentence):
    model = make()
    with pytest.raises(UsageError, match=sentence):
        consume(tf_lottery.levels(model, **arguments), model, examples, *callbacks)
    # Only what training alone can show is told after it.
    assert bool(int(model.optimizer.iterations)) is ('rewind_to' in arguments and arguments['rewind_to'] != '4epo')


def test_a_level_that_was_not_trained_is_told():
    with pytest.raises(UsageError, match='level 0 was not trained: call model.fit inside the loop'):
        list(tf_lottery.levels(make()))


def test_a_level_trained_differently_is_told(examples):
    model = make()
    with pytest.raises(UsageError, match='level 1 was trained to step 8, the dense network to step 16'):
        for level in tf_lottery.levels(model, n=2):
            fit(model, examples, epochs=2 - level.number)


def test_a_rewinding_step_inside_an_execution_is_told(examples):
    model = make(steps_per_execution=4)
    with pytest.raises(UsageError, match="step 3, to which rewind_to='3it' rewinds, lies inside one execution"):
        consume(tf_lottery.levels(model, n=1, rewind_to='3it'), model, examples, 'level')


def test_a_model_without_wrappers_is_told():
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])
    with pytest.raises(UsageError, match=r'has no prunable layer: wrap it first, model = prunable\(model\)'):
        next(tf_lottery.levels(model))


def test_rewinding_says_what_it_proved(examples, caplog):
    from absl import logging

    model, verbosity = make(), logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    try:
        with caplog.at_level(python_logging.INFO, logger='absl'):
            for _ in tf_lottery.levels(model, n=1):
                fit(model, examples)
    finally:
        logging.set_verbosity(verbosity)
    assert 'Rewound to step 0 at density 80.00 %: max|w - mask*W_k| = 0.' in caplog.text
