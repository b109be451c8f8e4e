"""IMP around a user's own `model.fit`."""

import contextlib
import logging as python_logging

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.sparsity import keras as sparsity

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
    # Only what training alone can show is told after it, at the first step where it can be.
    told_at = {'5it': 1, '99it': END}
    assert int(model.optimizer.iterations) == told_at.get(arguments.get('rewind_to'), 0)


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


def mlp():
    return tf_keras.Sequential([
        tf_keras.layers.Dense(8, 'relu', input_shape=(5,), name='first'), tf_keras.layers.Dense(2, name='last')])


class Starts(tf_keras.callbacks.Callback):
    """Notes what holds before the first batch of each fit: epoch, batch, learning rate, and what a function says."""

    def __init__(self, *functions):
        super().__init__()
        self.found, self._functions = [], functions

    def on_train_begin(self, logs=None):
        self._first = True

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self._first:
            self._first = False
            self.found.append((self._epoch, batch, round(float(self.model.optimizer.learning_rate), 6),
                               *(function() for function in self._functions)))


@pytest.mark.parametrize('optimizer', [
    lambda: tf_keras.optimizers.SGD(0.1), lambda: tf_keras.optimizers.legacy.SGD(0.1),
    lambda: tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD(0.1))])
@pytest.mark.parametrize(('rewind_to', 'start'), [
    ('0it', (0, 0, 0.1)), ('1ep', (1, 0, 0.05)), ('11it', (1, 3, 0.05))])
def test_the_rate_that_callbacks_set_goes_on_at_the_epoch_of_step_k(examples, optimizer, rewind_to, start):
    model, starts = make(optimizer()), Starts()
    schedule = tf_keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)
    for level in tf_lottery.levels(model, n=2, rewind_to=rewind_to):
        history = model.fit(*examples, batch_size=4, epochs=3, verbose=0, callbacks=[level, schedule, starts])
    assert starts.found == [(0, 0, 0.1), start, start]
    assert history.epoch == [0, 1, 2][start[0]:]
    assert int(model.optimizer.iterations) == 3 * BATCHES


def test_the_rate_that_a_plateau_left_holds_at_step_k(examples):
    for rewind_to, start in (('0it', (0, 0, 0.1)), ('2ep', (2, 0, 0.01)), ('17it', (2, 1, 0.01))):
        model, starts = make(tf_keras.optimizers.SGD(0.1)), Starts()
        for level in tf_lottery.levels(model, n=1, rewind_to=rewind_to):
            fit(model, examples, level, starts, tf_keras.callbacks.ReduceLROnPlateau(
                'loss', factor=0.1, patience=1, min_delta=100), epochs=4)
        assert starts.found == [(0, 0, 0.1), start]


def test_the_loss_scale_goes_back_to_what_it_was_at_step_k(examples):
    for rewind_to, start in (('0it', (2.0**15, 0)), ('4it', (2.0**16, 1))):
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD(0.01), dynamic_growth_steps=3)
        model = make(optimizer)
        starts = Starts(lambda: float(optimizer.loss_scale), lambda: int(optimizer.dynamic_counter))  # noqa: B023
        for level in tf_lottery.levels(model, n=2, rewind_to=rewind_to):
            fit(model, examples, level, starts)
        assert [found[3:] for found in starts.found] == [(2.0**15, 0), start, start]


@pytest.mark.parametrize('k', [0, 2])
def test_states_go_back_to_what_they_were_at_step_k(k):
    sequences, found = np.random.default_rng(0).normal(size=(4, 3, 2)), {}
    model = tf_lottery.prunable(tf_keras.Sequential([
        tf_keras.layers.GRU(3, stateful=True, batch_input_shape=(2, 3, 2)), tf_keras.layers.Dense(1)]))
    model.compile('sgd', 'mse')

    class States(tf_keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            found[level.number, int(model.optimizer.iterations)] = model.layers[0].states[0].numpy()

    for level in tf_lottery.levels(model, n=1, rewind_to=f'{k}it'):
        model.fit(sequences, np.ones(4), batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[level, States()])
    assert np.array_equal(found[1, k], found[0, k])
    assert np.any(found[0, 1])


@pytest.mark.parametrize('rewind_to', ['0it', '3it'])
def test_a_level_ends_where_a_callback_ends_it(examples, rewind_to):
    class EndAfter(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) >= 10 - level.number:
                self.model.stop_training = True

    model, ends = make(tf_keras.optimizers.SGD(0.01)), []
    for level in tf_lottery.levels(model, n=2, rewind_to=rewind_to):
        if ends:
            assert (ends[-1].start, ends[-1].end) == (int(rewind_to[0]) if ends[-1].number else 0,
                                                      10 - ends[-1].number)
        fit(model, examples, level, EndAfter())
        ends.append(level)
    assert [level.end for level in ends] == [10, 9, 8]


def test_early_stopping_ends_levels_with_and_without_the_callback(examples):
    for with_callback in (True, False):
        model = make(tf_keras.optimizers.SGD(0.05))
        for level in tf_lottery.levels(model, n=3, fraction=0.3):
            stop = tf_keras.callbacks.EarlyStopping('loss', min_delta=0.05 * (1 + level.number), patience=1,
                                                    restore_best_weights=True)
            fit(model, examples, *([level] if with_callback else []), stop, epochs=30)
        assert level.number == 3


def test_an_interrupted_fit_is_told(examples):
    class Interrupt(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 4 and level.number:
                raise KeyboardInterrupt

    model = make()
    with pytest.raises(UsageError, match='the fit of level 1 was interrupted at step 5: call fit again for the rest'):
        for level in tf_lottery.levels(model, n=2):
            with contextlib.suppress(KeyboardInterrupt):
                fit(model, examples, level, Interrupt())
    # What the sentence recommends.
    model = make()
    for level in tf_lottery.levels(model, n=1):
        try:
            fit(model, examples, level, Interrupt())
        except KeyboardInterrupt:
            fit(model, examples, level)
    assert level.end == END


@pytest.mark.parametrize('execution', [2, 3, 4, 16])
def test_executions_that_do_not_divide_an_epoch(execution, examples):
    model = make(steps_per_execution=execution)
    for level in tf_lottery.levels(model, n=1, rewind_to=f'{min(execution, 6)}it'):
        model.fit(*examples, batch_size=6, epochs=2, verbose=0, callbacks=[level])
    assert (level.start, level.end) == (min(execution, 6), 12)


def test_an_epoch_of_unknown_length_ends_each_level_alike(examples):
    data = tf.data.Dataset.from_tensor_slices(examples).filter(lambda inputs, _: inputs[0] > 0).batch(4)
    model = make()
    for level in tf_lottery.levels(model, n=1, rewind_to='2it'):
        model.fit(data, epochs=2, verbose=0, callbacks=[level])
        if level.number == 0:
            end = int(model.optimizer.iterations)
    assert (level.start, level.end) == (2, end)


class Distiller(tf_keras.Model):
    """Trains a student, and a head of its own, to what a teacher says."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher, self.head = student, teacher, tf_keras.layers.Dense(2)
        self.head.build((None, 2))

    def train_step(self, data):
        goal = self.teacher(data[0], training=False)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.head(self.student(data[0], training=True)) - goal) ** 2)
        variables = self.student.trainable_variables + self.head.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {'loss': loss}


@pytest.mark.parametrize('rewind_to', ['0it', '1ep'])
def test_a_student_is_rewound_with_what_trains_beside_it(examples, rewind_to):
    student = tf_lottery.prunable(mlp())
    distiller = Distiller(student, mlp())
    distiller.compile(tf_lottery.Adam(0.05))
    starts = Starts(lambda: distiller.head.kernel.numpy().tolist(), lambda: int(distiller.optimizer.iterations))
    kept = {}

    class Keep(tf_keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            kept.setdefault(int(distiller.optimizer.iterations), distiller.head.kernel.numpy().tolist())

    for level in tf_lottery.levels(student, n=2, rewind_to=rewind_to):
        fit(distiller, examples, level, starts, Keep())
        assert sum(np.count_nonzero(layer.layer.kernel) for layer in student.layers) == level.mask.kept
    k = 0 if rewind_to == '0it' else BATCHES
    assert [found[3:] for found in starts.found[1:]] == [(kept[k], k)] * 2


def test_a_model_that_makes_its_variables_while_it_trains_is_told(examples):
    class Lazy(Distiller):
        def __init__(self, student, teacher):
            super().__init__(student, teacher)
            self.head = tf_keras.layers.Dense(2, name='late')

    student = tf_lottery.prunable(mlp())
    model = Lazy(student, mlp())
    model.compile('sgd')
    with pytest.raises(UsageError, match='has made late/kernel:0 in its first step only.*call it once before the loop'):
        for level in tf_lottery.levels(student, n=1):
            fit(model, examples, level)


def loop(model, optimizer, examples, compiled):
    """A function that takes three steps in a loop of one's own, and says what the optimizer held before."""
    inputs, outputs = examples

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs, training=True) - outputs) ** 2)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    step = tf.function(step) if compiled else step

    def train():
        held = int(optimizer.iterations), float(optimizer.learning_rate), sum(
            float(tf.reduce_sum(tf.abs(momentum))) for momentum in getattr(optimizer, 'momentums', ()))
        for _ in range(3):
            step()
        optimizer.learning_rate = 0.01
        return held

    return train


@pytest.mark.parametrize('compiled', [False, True])
def test_the_optimizer_of_a_loop_of_ones_own_is_rewound(examples, compiled):
    model, optimizer = tf_lottery.prunable(mlp()), tf_keras.optimizers.SGD(0.1, momentum=0.9)
    train, held = loop(model, optimizer, examples, compiled), []
    for level in tf_lottery.levels(model, n=2):
        held.append(train())
    assert held == [(0, np.float32(0.1), 0)] * 3
    assert (level.start, level.end) == (0, 3)
    assert sum(np.count_nonzero(layer.layer.kernel) for layer in model.layers) == level.mask.kept


def test_each_optimizer_of_a_model_of_several_is_rewound(examples):
    class Pair(tf_keras.Model):
        def __init__(self, own, other):
            super().__init__()
            self.own, self.other = own, other

        def compile(self, own, other):
            super().compile()
            self.own_optimizer, self.other_optimizer = own, other

        def train_step(self, data):
            with tf.GradientTape(persistent=True) as tape:
                losses = [tf.reduce_mean((each(data[0]) - data[1]) ** 2) for each in (self.own, self.other)]
            for each, optimizer, loss in zip((self.own, self.other), (self.own_optimizer, self.other_optimizer), losses,
                                             strict=True):
                optimizer.minimize(loss, each.trainable_variables, tape=tape)
            return {'loss': losses[0]}

    own = tf_lottery.prunable(mlp())
    pair = Pair(own, mlp())
    pair.compile(tf_keras.optimizers.SGD(0.1), tf_lottery.Adam(0.1))
    for level in tf_lottery.levels(own, n=2, rewind_to='5it'):
        fit(pair, examples, level)
        assert int(pair.own_optimizer.iterations) == int(pair.other_optimizer.iterations) == END
    assert (level.start, level.end) == (5, END)
    assert int(pair.other_optimizer.moments_start) == 5


def test_a_model_compiled_anew_in_each_level_goes_on_from_step_k(examples):
    model = make()
    for level in tf_lottery.levels(model, n=2, rewind_to='5it'):
        model.compile(tf_lottery.Adam(0.01), 'mse')
        fit(model, examples, level)
        assert int(model.optimizer.iterations) == END
        assert int(model.optimizer.moments_start) == (5 if level.number else 0)


def test_batches_trained_by_hand_are_a_level(examples):
    model = make(tf_keras.optimizers.SGD(0.1, momentum=0.9))
    for level in tf_lottery.levels(model, n=1):
        for _ in range(3):
            model.train_on_batch(*examples)
    assert (level.start, level.end) == (0, 3)


def test_training_from_before_the_loop_is_its_beginning(examples):
    model = make(tf_keras.optimizers.SGD(0.1, momentum=0.9))
    fit(model, examples)
    before, momenta = wrapper.get_weights(model), [each.numpy() for each in model.optimizer.momentums]
    starts = Starts(lambda: [each.numpy() for each in model.optimizer.momentums])
    for level in tf_lottery.levels(model, n=1):
        fit(model, examples, level, starts)
    assert (level.start, level.end) == (END, 2 * END)
    assert all(np.array_equal(level.ticket.weights[name], value) for name, value in before.items())
    assert all(np.array_equal(value, start) for value, start in zip(momenta, starts.found[1][3], strict=True))


@pytest.mark.parametrize('scope', ['layerwise', 'global'])
def test_a_sparse_model_is_pruned_further(examples, scope):
    plain = mlp()
    kernel = plain.get_layer('first').kernel
    kernel.assign(kernel * (np.arange(40).reshape(5, 8) % 2))
    model = tf_lottery.hold_zeros(plain)
    model.compile('adam', 'mse')
    kept, last = [], None
    for level in tf_lottery.levels(model, fraction=0.5, n=2, scope=scope):
        fit(model, examples)
        assert last is None or level.mask.is_subset_of(last)
        last = level.mask
        kept.append(level.mask.kept)
    # 20 and 16 weights are there, of which halves are left.
    assert kept == [36, 18, 9]
    # And once more, around a wrapper of its own.
    again = tf_lottery.prunable(plain)
    again.compile('adam', 'mse')
    for level in tf_lottery.levels(again, fraction=0.5, n=1, fractions={'first': 0}, scope=scope):
        fit(again, examples)
        assert level.mask.is_subset_of(last)


def test_a_model_that_tfmot_wrapped_gives_its_mask(examples):
    stock = sparsity.prune_low_magnitude(mlp(), sparsity.ConstantSparsity(0.5, 0, frequency=1))
    stock.compile('sgd', 'mse')
    fit(stock, examples, sparsity.UpdatePruningStep())
    with pytest.raises(UsageError, match=r"'first' of model .* is wrapped by TF-MOT's own prune_low_magnitude.*"
                                         r'give tf_lottery.prunable\(model\)'):
        next(tf_lottery.levels(stock))
    model = tf_lottery.prunable(stock)
    start = wrapper.get_mask(model)
    assert start.kept == 28
    model.compile('sgd', 'mse')
    for level in tf_lottery.levels(model, fraction=0.25, n=1):
        fit(model, examples, level, sparsity.UpdatePruningStep())
        assert level.mask.is_subset_of(start)
    assert level.mask.kept == sum(np.count_nonzero(layer.layer.kernel) for layer in model.layers) == 21


def test_zeros_that_are_free_are_told_of(examples, caplog):
    plain = mlp()
    kernel = plain.get_layer('first').kernel
    kernel.assign(kernel * (np.arange(40).reshape(5, 8) % 2))
    next(tf_lottery.levels(tf_lottery.prunable(plain)))
    assert '20 of the 40 weights of first/kernel are zero, and are trained like the others' in caplog.text


def test_fractions_are_of_variables_not_of_layers():
    model = tf_lottery.prunable(tf_keras.Sequential([
        tf_keras.layers.LSTM(4, input_shape=(5, 3), name='lstm'), tf_keras.layers.Dense(1, name='last')]))
    model.compile('rmsprop', 'mse')
    for level in tf_lottery.levels(model, n=1, fractions={'lstm/kernel': 0, 'lstm/recurrent_kernel': 0.5}):
        model.fit(np.ones((8, 5, 3)), np.ones((8, 1)), verbose=0)
    assert {name: int(kept.sum()) for name, kept in level.mask.items()} == {
        'lstm/kernel': 48, 'lstm/recurrent_kernel': 32, 'last/kernel': 3}
    assert model.layers[0].pruning_schedule.fraction == 0.5


def test_a_model_may_be_frozen_and_compiled_anew_after_a_level(examples):
    model = make()
    for level in tf_lottery.levels(model, n=2):
        fit(model, examples, level)
        model.get_layer('first').trainable = False
        model.compile('adam', 'mse')
    assert (level.start, level.end) == (0, END)


# Of ten units 5 and 2 stay (2.5 is rounded to the even number), of five blocks 2 and 1; of five inputs two of the first
# four and the last one, or 2 and 1 of all five.
@pytest.mark.parametrize(('structure', 'n', 'kept'), [
    ('channels', 2, 10), ('block_5x2', 2, 10), ('2:4', 1, 30), ('1:5', 2, 10)])
def test_a_model_of_ones_own_is_pruned_in_groups(examples, structure, n, kept):
    model, before = make(), None
    for level in tf_lottery.levels(model, 0.5, n, structure=structure, fractions={'last': 0}):
        fit(model, examples, level)
        assert before is None or level.mask.is_subset_of(before)
        before = level.mask
    first = before['first/kernel']
    assert before['last/kernel'].all() and first.sum() == kept
    groups = {'channels': first, 'block_5x2': first.reshape(5, 5, 2).swapaxes(1, 2).reshape(10, 5)}.get(structure)
    if groups is None:
        assert first[:4].sum(axis=0).tolist() == [2] * 10 if structure == '2:4' else (first.sum(axis=0) == 1).all()
    else:
        assert set(groups.sum(axis=0).tolist()) == {0, len(groups)}


def test_a_structure_that_a_model_cannot_have_is_refused_before_the_first_level():
    for structure, sentence in (
            ('channels', "^the channels of last/kernel are outputs of model 'sequential.*: give fractions={'last/k"),
            ('block', "^structure is 'block': give 'channels'"),
            ('2:4', r'^level 10 would leave 0 of each 4 weights in first/kernel, not 2 \(0.2 pruned per level\): p')):
        with pytest.raises(UsageError, match=sentence):
            next(tf_lottery.levels(make(), structure=structure))


def found_ticket(classes=2):
    """A ticket of a network of so many outputs, its mask the first half of each weight."""
    rng = np.random.default_rng(1)
    shapes = {'first/kernel': (5, 10), 'first/bias': (10,), 'norm/gamma': (10,), 'norm/beta': (10,),
              'norm/moving_mean': (10,), 'norm/moving_variance': (10,), 'last/kernel': (10, classes),
              'last/bias': (classes,)}
    weights = {name: rng.uniform(0.1, 1, shape).astype('float32') for name, shape in shapes.items()}
    half = {name: np.arange(weights[name].size).reshape(weights[name].shape) < weights[name].size // 2
            for name in ('first/kernel', 'last/kernel')}
    return tf_lottery.Ticket(tf_lottery.Mask(half), weights, 7)


def test_levels_start_from_a_ticket_that_was_found_elsewhere(examples, tmp_path):
    ticket = found_ticket()
    tf_lottery.save_ticket(str(tmp_path / 'found.ticket'), ticket)
    model = make()
    for level in tf_lottery.levels(model, fraction=0.2, n=1, ticket=tf_lottery.load_ticket(
            str(tmp_path / 'found.ticket'))):
        watch = Watch()
        fit(model, examples, level, watch)
        expected = level.mask.apply(ticket.weights)
        assert all(np.array_equal(watch.weights[name], expected[name]) for name in expected)
        assert level.mask.is_subset_of(ticket.mask)
        assert [int(kept.sum()) for kept in level.mask.values()] == [[25, 10], [20, 8]][level.number]


def test_what_a_ticket_has_in_no_such_shape_stays_as_the_model_has_it():
    model = make()
    before = wrapper.get_weights(model)
    level = next(tf_lottery.levels(model, n=1, ticket=found_ticket(classes=3)))
    after = wrapper.get_weights(model)
    assert [int(kept.sum()) for kept in level.mask.values()] == [25, 20]
    for name in ('last/kernel', 'last/bias'):
        assert np.array_equal(after[name], before[name])
    assert np.array_equal(after['norm/gamma'], found_ticket().weights['norm/gamma'])


def test_a_ticket_that_no_level_can_start_from_is_refused():
    other = tf_lottery.Ticket(tf_lottery.Mask({'conv/kernel': np.ones((3, 3))}), {'conv/kernel': np.ones((3, 3))})
    with pytest.raises(UsageError, match='^ticket is of another network: of its weights conv/kernel none has the name '
                       "and the shape of one of model 'sequential.*', which has first/kernel, last/kernel.$"):
        next(tf_lottery.levels(make(), n=1, ticket=other))
    found = found_ticket()
    frozen = tf_lottery.Ticket(found.mask, found.weights, 0, found.weights)
    with pytest.raises(UsageError, match='^the pruned weights of ticket are frozen at other values than zero'):
        next(tf_lottery.levels(make(), n=1, ticket=frozen))
