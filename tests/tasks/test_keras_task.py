"""A model of the user's own is trained and judged as Keras's `fit` and `evaluate` do it, resumes to the bit, and what
cannot be is refused in a sentence."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_lottery
from tests import fake_tasks
from tf_lottery.errors import Interrupted, UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Ticket
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.order import batch_indices
from tf_lottery.training.trainer import Seeds, Settings

LAYERS, LOSSES, METRICS, OPTIMIZERS = tf_keras.layers, tf_keras.losses, tf_keras.metrics, tf_keras.optimizers
SEEDS, BATCH, STEPS = Seeds(0, 1, 2), 20, 12


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def classes(count, high, seed=0):
    return np.random.default_rng(seed).integers(0, high, count)


def small(outputs=1, activation=None, optimizer='sgd', loss='mse', regularizer=None, **compiled):
    """A function that builds a multilayer perceptron of five inputs; an optimizer is made by a function."""
    def build(seed):
        model = tf_keras.Sequential([
            LAYERS.Dense(8, 'relu', input_shape=(5,), kernel_regularizer=regularizer, activity_regularizer=regularizer),
            LAYERS.Dense(outputs, activation)])
        model.compile(optimizer() if callable(optimizer) else optimizer, loss, **compiled)
        return model

    return build


def stacked(*layers, optimizer='sgd'):
    """A function that builds a Sequential model of layers that functions make."""
    def build(seed):
        model = tf_keras.Sequential([layer() for layer in layers])
        model.compile(optimizer() if callable(optimizer) else optimizer, 'mse')
        return model

    return build


def task_of(build, train, test=None, **arguments):
    return tf_lottery.KerasTask(build, lambda: {'train': train, 'test': train if test is None else test}, **arguments)


def trainer_of(task, **settings):
    settings = {'batch_size': BATCH, 'optimizer': task.optimizer, 'learning_rate': 0.01, 'momentum': 0.9,
                'evaluate_every': 6, 'checkpoint_every': 1000, 'block': 4, 'jit': False, **settings}
    return fake_tasks.trainer(task, Settings(**settings), tf.distribute.get_strategy())


def part(examples, which):
    return tf.nest.map_structure(lambda array: None if array is None else array[which], examples)


class Falling(OPTIMIZERS.schedules.LearningRateSchedule):
    """A schedule without a config."""

    def __call__(self, step):
        return 0.05 / (1.0 + tf.cast(step, tf.float32))


def without_bias():
    optimizer = OPTIMIZERS.AdamW(1e-2, weight_decay=0.3)
    optimizer.exclude_from_weight_decay(var_names=['bias'])
    return optimizer


def half(seed):
    tf_keras.mixed_precision.set_global_policy('mixed_float16')
    try:
        model = tf_keras.Sequential([LAYERS.Dense(8, 'relu', input_shape=(5,)), LAYERS.Dense(1, dtype='float32')])
        # So large that the first steps are skipped, and it is halved at each.
        model.compile(tf_keras.mixed_precision.LossScaleOptimizer(OPTIMIZERS.Adam(1e-2), initial_scale=2.0**20), 'mse')
        return model
    finally:
        tf_keras.mixed_precision.set_global_policy('float32')


def two_questions(seed):
    """Two inputs by name, three outputs by name, one of which has no loss."""
    left, right = tf_keras.Input((5,), name='z_left'), tf_keras.Input((3,), name='a_right')
    both = LAYERS.Concatenate()([LAYERS.Dense(6, 'relu')(left), LAYERS.Dense(6, 'relu')(right)])
    model = tf_keras.Model({'z_left': left, 'a_right': right}, {
        'size': LAYERS.Dense(1, name='size')(both), 'kind': LAYERS.Dense(3, 'softmax', name='kind')(both),
        'free': LAYERS.Dense(2, name='free')(both)})
    model.compile('sgd', {'size': 'mse', 'kind': 'sparse_categorical_crossentropy'},
                  loss_weights={'size': 0.3, 'kind': 2.0}, metrics={'size': 'mae', 'kind': 'accuracy'},
                  weighted_metrics={'size': 'mse'})
    return model


def in_lists(seed):
    inputs = [tf_keras.Input((5,)), tf_keras.Input((3,))]
    both = LAYERS.Concatenate()([LAYERS.Dense(6, 'relu')(each) for each in inputs])
    model = tf_keras.Model(inputs, [LAYERS.Dense(1)(both), LAYERS.Dense(1)(both)])
    model.compile('sgd', ['mse', 'mae'], metrics=[['mae'], ['mse']], loss_weights=[1.0, 0.2])
    return model


def tagger(seed):
    """A word for each word; 0 is no word."""
    words = tf_keras.Input((6,), dtype='int32')
    x = LAYERS.GRU(6, return_sequences=True)(LAYERS.Embedding(9, 4, mask_zero=True)(words))
    model = tf_keras.Model(words, LAYERS.Dense(9)(x))
    model.compile('adam', LOSSES.SparseCategoricalCrossentropy(from_logits=True), metrics=['accuracy'])
    return model


def autoencoder(seed):
    """Its loss is none of outputs and targets."""
    inputs = tf_keras.Input((5,))
    outputs = LAYERS.Dense(5)(LAYERS.Dense(3, 'tanh')(inputs))
    model = tf_keras.Model(inputs, outputs)
    model.add_loss(tf.reduce_mean(tf.square(outputs - inputs)))
    model.compile('sgd')
    return model


def named(count, seed, weights):
    x = {'z_left': numbers(count, 5, seed=seed), 'a_right': numbers(count, 3, seed=seed + 1)}
    y = {'size': numbers(count, seed=seed), 'kind': classes(count, 3, seed)}
    return (x, y, {name: np.abs(numbers(count, seed=9)) for name in y}) if weights else (x, y)


def listed(count, seed):
    return ([numbers(count, 5, seed=seed), numbers(count, 3, seed=seed)],
            [numbers(count, 1, seed=seed + 1), numbers(count, 1, seed=seed + 2)], np.abs(numbers(count, seed=9)))


def words(count, seed):
    found = np.random.default_rng(seed).integers(1, 9, (count, 6))
    found[::3, 2:] = 0
    return found, found


def pairs(targets, weights=False):
    """What makes as many examples as it is asked for, of five inputs."""
    def make(count, seed):
        parts = numbers(count, 5, seed=seed), targets(count, seed)
        return (*parts, np.abs(numbers(count, seed=seed + 5)).astype(np.float64)) if weights else parts

    return make


def one(count, seed):
    return numbers(count, seed=seed)


def column(count, seed):
    return numbers(count, 1, seed=seed)


def three(count, seed):
    return classes(count, 3, seed)


def one_hot(count, seed):
    return np.eye(3)[classes(count, 3, seed)]


ADAM = {'optimizer': lambda: OPTIMIZERS.Adam(OPTIMIZERS.schedules.CosineDecay(0.05, 10), clipnorm=0.1)}
WEIGHTS = {0: 1.0, 1: 3.0, 2: 0.5}
# From a name to a model, its examples, and its class weights.
CASES = {
    'targets [n]': (small(), pairs(one), None),
    'targets [n, 1], weights, momentum': (
        small(optimizer=lambda: OPTIMIZERS.SGD(0.05, momentum=0.9, nesterov=True), metrics=['mae'],
              weighted_metrics=['mse']), pairs(column, weights=True), None),
    'regularizers, class weights': (
        small(3, optimizer='adam', loss=LOSSES.SparseCategoricalCrossentropy(from_logits=True), metrics=['accuracy'],
              regularizer=tf_keras.regularizers.L1(1e-2)), pairs(three), WEIGHTS),
    'one-hot, both weights, schedule, clipping': (
        small(3, 'softmax', loss='categorical_crossentropy', metrics=[
            'accuracy', METRICS.AUC(name='auc'), METRICS.F1Score(average='macro', name='f1')], **ADAM),
        pairs(one_hot, weights=True), WEIGHTS),
    'a schedule without a config': (
        small(optimizer=lambda: OPTIMIZERS.Adam(Falling(), global_clipnorm=0.2)), pairs(one), None),
    'decay but for biases': (small(optimizer=without_bias), pairs(one), None),
    'a sum': (small(loss=LOSSES.Huber(reduction='sum')), pairs(one), None),
    'a loss scale': (half, pairs(one), None),
    'dicts': (two_questions, lambda count, seed: named(count, seed, False), None),
    'dicts, weights': (two_questions, lambda count, seed: named(count, seed, True), None),
    'lists': (in_lists, listed, None),
    'masks': (tagger, words, None),
    'no targets': (autoencoder, lambda count, seed: (numbers(count, 5, seed=seed),), None),
    'batch normalisation': (stacked(lambda: LAYERS.Dense(8, input_shape=(5,)), LAYERS.BatchNormalization,
                                    lambda: LAYERS.Dense(1)), pairs(one), None),
}


@pytest.mark.parametrize(('build', 'make', 'class_weight'), CASES.values(), ids=CASES)
def test_it_is_trained_and_judged_as_by_fit_and_evaluate(build, make, class_weight):
    """To rounding, on the same batches; 1,501 examples are evaluated in pieces of 751 and 750."""
    train, test = make(100, 1), make(1501, 2)
    task = tf_lottery.KerasTask(build, lambda: {'train': train, 'validation': train, 'test': test},
                                class_weight=class_weight)
    trainer = trainer_of(task)
    ticket = Ticket(wrapper.get_mask(trainer.network), wrapper.get_weights(task.network(3)), 0)
    trained = trainer.train(ticket, SEEDS, STEPS)
    model = task.network(3)
    order = batch_indices(tf.constant(SEEDS.order), tf.constant(0), STEPS, 100, BATCH).numpy().ravel()
    x, y, weight = tf_keras.utils.unpack_x_y_sample_weight(train)
    loss = model.fit(*part((x, y), order), sample_weight=part(weight, order), class_weight=class_weight,
                     batch_size=BATCH, shuffle=False, verbose=0).history['loss']
    for value, expected in zip(trained.weights.values(), wrapper.get_weights(model).values(), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=2e-6)
    assert np.mean([row['train_loss'] for row in trained.rows]) == pytest.approx(loss[0], rel=1e-5)
    x, y, weight = tf_keras.utils.unpack_x_y_sample_weight(test)
    expected = model.evaluate(x, y, sample_weight=weight, batch_size=751, verbose=0, return_dict=True)
    row = {name.removeprefix('test_'): value for name, value in trained.rows[-1].items() if name.startswith('test_')}
    assert row == pytest.approx(expected, rel=2e-4)


def sequences(seed):
    """All that draws over sequences."""
    inputs = tf_keras.Input((4, 5))
    x = LAYERS.GaussianNoise(0.3)(LAYERS.SpatialDropout1D(0.3)(inputs))
    x = LAYERS.MultiHeadAttention(2, 3, dropout=0.4)(x, x)
    x = LAYERS.LSTM(3, dropout=0.3, recurrent_dropout=0.3)(x)
    model = tf_keras.Model(inputs, LAYERS.Dense(1)(LAYERS.Dropout(0.5)(x)))
    model.compile('sgd', 'mse')
    return model


def images(seed):
    model = tf_keras.Sequential([
        LAYERS.RandomFlip(input_shape=(6, 6, 2)), LAYERS.RandomRotation(0.1), LAYERS.RandomContrast(0.2),
        LAYERS.Flatten(), LAYERS.Dense(3), LAYERS.BatchNormalization(), LAYERS.Dense(1)])
    model.compile('adam', 'mse')
    return model


def resumed(make_task, folder):
    """What is trained in one go, after an interruption by a task of its own, and from another augmentation seed."""
    def trainer():
        task = make_task()
        made = trainer_of(task, checkpoint_every=5, block=3)
        return made, Ticket(wrapper.get_mask(made.network), wrapper.get_weights(task.network(7)), 0)

    def stop():
        return Interrupted(15, 'stop') if int(first.model.optimizer.iterations.numpy()) >= 8 else None

    (first, ticket), (second, _) = trainer(), trainer()
    other, whole = (first.train(ticket, Seeds(0, 1, augmentation), 13) for augmentation in (3, 2))
    with pytest.raises(Interrupted):
        first.train(ticket, SEEDS, 13, checkpoint=Checkpoint(folder), stop=stop)
    # Nothing may come from a generator that goes on.
    tf_keras.utils.set_random_seed(100)
    return whole, second.train(ticket, SEEDS, 13, checkpoint=Checkpoint(folder)), other


def same(one, other):
    return all(np.array_equal(value, other.weights[name]) for name, value in one.weights.items())


@pytest.mark.parametrize(('build', 'shape'), [(sequences, (4, 5)), (images, (6, 6, 2))])
def test_what_layers_draw_is_drawn_again_after_an_interruption(build, shape, tmp_path):
    whole, again, other = resumed(lambda: task_of(build, (numbers(60, *shape), numbers(60, 1))), tmp_path / 'run')
    assert same(whole, again)
    assert whole.rows == again.rows
    assert not same(whole, other)


def test_a_loss_scale_is_there_again_after_an_interruption(tmp_path):
    whole, again, _ = resumed(lambda: task_of(half, (numbers(60, 5), numbers(60, 1))), tmp_path / 'run')
    assert same(whole, again)


@pytest.mark.parametrize('change', [
    lambda each: each.batch(7), lambda each: each.filter(lambda x, y: x[0] > -9.0)], ids=['batches', 'unknown number'])
def test_a_data_set_goes_on_where_it_was(change, tmp_path):
    build = stacked(lambda: LAYERS.Dense(4, 'relu', input_shape=(5,)), lambda: LAYERS.Dropout(0.5),
                    lambda: LAYERS.Dense(1))
    examples = numbers(60, 5), numbers(60, 1)
    whole, again, other = resumed(lambda: task_of(
        build, change(tf.data.Dataset.from_tensor_slices(examples)), examples), tmp_path / 'run')
    assert same(whole, again)
    assert whole.rows == again.rows
    assert not same(whole, other)


def test_the_first_weights_are_a_function_of_the_seed():
    task = task_of(small(), pairs(one)(60, 0))
    weights = [wrapper.get_weights(task.network(seed)) for seed in (4, 4, 5)]
    assert all(np.array_equal(value, weights[1][name]) for name, value in weights[0].items())
    assert not np.array_equal(weights[0]['dense/kernel'], weights[2]['dense/kernel'])


def test_xla_is_left_out_where_it_cannot_compile_a_loss():
    def counted(targets, outputs):
        weight = tf.numpy_function(lambda value: np.float32(1.5), [targets], tf.float32)
        weight.set_shape(())
        return weight * tf.reduce_mean(tf.square(targets - outputs), -1)

    assert task_of(small(), pairs(column)(60, 0)).facts().compiles
    assert not task_of(small(loss=counted), pairs(column)(60, 0)).facts().compiles


def test_metrics_become_measures():
    def rmse(targets, outputs):
        return tf.sqrt(tf.reduce_mean(tf.square(targets - outputs)))

    task = task_of(small(1, 'sigmoid', loss='bce', metrics=[
        'accuracy', METRICS.AUC(name='auc'), rmse, METRICS.TopKCategoricalAccuracy(1, name='hits@1')]),
        (numbers(60, 5), classes((60, 1), 2)), early_stop='validation_auc')
    each = {measure.name: (measure.unit, measure.higher) for measure in task.measures.each}
    assert each == {'accuracy': ('%', True), 'auc': ('', True), 'rmse': ('', False), 'hits@1': ('%', True)}
    assert (task.measures.early_stop, task.measures.early_stop_higher) == ('validation_auc', True)


def test_the_loss_of_an_output_may_say_the_early_stop():
    task = task_of(two_questions, named(60, 1, False), early_stop='validation_kind_loss')
    assert task.measures.early_stop_title == 'validation kind loss'
    assert not task.measures.early_stop_higher


def weighing(optimizer):
    def build(seed):
        model = small(optimizer=optimizer)(seed)
        model.optimizer.exclude_from_weight_decay(var_list=model.trainable_variables[:1])
        return model

    return build


def trained(seed):
    model = small()(seed)
    model.fit(numbers(20, 5), numbers(20), verbose=0)
    return model


def not_compiled(seed):
    return tf_keras.Sequential([LAYERS.Dense(1, input_shape=(5,))])


class Stepping(tf_keras.Sequential):
    def train_step(self, data):
        return {}


def stepping(seed):
    model = Stepping([LAYERS.Dense(1, input_shape=(5,))])
    model.compile('sgd', 'mse')
    return model


class Subclassed(tf_keras.Model):
    def call(self, inputs):
        return inputs


def read(targets, outputs):
    return tf.reduce_mean(targets - outputs) * float(tf.reduce_sum(outputs).numpy())


def distance(targets, outputs):
    return tf.reduce_mean(tf.abs(targets - outputs), -1)


def failing(seed):
    raise OSError('no such file')


REFUSED = {
    'is not compiled: call its compile': not_compiled,
    'has a train_step of its own': stepping,
    'Subclassed is a subclassed model': lambda seed: Subclassed(),
    'expected a Keras model, got int': lambda seed: 3,
    r'build\(0\) ends in OSError \(no such file\): mend it': failing,
    'has no weights that can be pruned: give it a layer': stacked(
        lambda: LAYERS.BatchNormalization(input_shape=(1,))),
    "average='macro'": small(3, 'softmax', metrics=[METRICS.F1Score()]),
    "more of the metric 'distance' is better: give measures": small(metrics=[distance]),
    "the metric 'a/b' cannot be the name of a file": small(metrics=[METRICS.MeanAbsoluteError(name='a/b')]),
    'cannot be trained in a compiled program': small(loss=read),
    "its reduction be 'sum_over_batch_size'": small(loss=LOSSES.MeanSquaredError(reduction='none')),
    'minimises nothing: give': small(loss=None),
    "cannot be evaluated on the split 'train' of examples": small(3, loss='categorical_crossentropy'),
}


@pytest.mark.parametrize(('sentence', 'build'), REFUSED.items(), ids=range(len(REFUSED)))
def test_a_model_that_cannot_be_trained_is_refused(sentence, build):
    with pytest.raises(UsageError, match=sentence) as error:
        task_of(build, (numbers(20, build(0).input_shape[1] if 'no weights' in sentence else 5), (
            np.eye(3)[classes(20, 3)] if 'macro' in sentence else numbers(20, 1)))).facts()
    assert str(error.value).endswith('.')


def test_a_class_that_no_output_is_for_is_refused():
    build = small(3, loss=LOSSES.SparseCategoricalCrossentropy(from_logits=True))
    examples = numbers(20, 5), np.append(classes(19, 3), 3)
    with pytest.raises(UsageError, match="^the split 'validation' .* classes from 0 to 3, for which .* 3 outputs"):
        task_of(build, examples).facts()
    ignored = small(3, loss=LOSSES.SparseCategoricalCrossentropy(from_logits=True, ignore_class=3))
    assert task_of(ignored, examples).facts().train == 18


OWN = {
    'the legacy optimizer Adam, which an experiment cannot rewind': small(optimizer=OPTIMIZERS.legacy.Adam),
    'leave use_ema out': small(optimizer=lambda: OPTIMIZERS.SGD(0.1, use_ema=True)),
    'Adafactor divides 0 by 0': small(optimizer=OPTIMIZERS.Adafactor),
    'no checkpoint can hold': small(optimizer=OPTIMIZERS.Nadam),
    'exclude them by var_names': weighing(lambda: OPTIMIZERS.AdamW(1e-3)),
    r'let build call compile\(...\) last': trained,
}


@pytest.mark.parametrize(('sentence', 'build'), OWN.items(), ids=range(len(OWN)))
def test_an_optimizer_that_cannot_be_rewound_is_refused(sentence, build):
    task = task_of(build, (numbers(20, 5), numbers(20, 1)))
    # Those of the config are there.
    task.facts()
    with pytest.raises(UsageError, match=sentence):
        task.require_optimizer()


@pytest.mark.parametrize(('arguments', 'sentence'), [
    ({'early_stop': 'validation_mse'}, "early_stop is 'validation_mse': give None .*, or one of validation_loss, "),
    ({'early_stop': 'test_loss'}, "early_stop is 'test_loss'"),
    ({'measures': (tf_lottery.Measure('mse', 'error'),)}, "measures has 'mse', but the model measures loss, mae"),
    ({'class_weight': {'a': 1.0}}, r"class_weight is \{'a': 1.0\}: give a dict from class")])
def test_what_is_said_of_the_model_has_to_be_of_it(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        task_of(small(metrics=['mae']), (numbers(20, 5), classes(20, 2)), **arguments).facts()


@pytest.mark.parametrize(('build', 'examples', 'sentence'), [
    (3, dict, 'build of a KerasTask is 3: give a function of a seed'),
    (small(), lambda split: {}, 'examples of a KerasTask is .*: give a function of no arguments')])
def test_both_are_functions(build, examples, sentence):
    with pytest.raises(UsageError, match=sentence):
        tf_lottery.KerasTask(build, examples)


def test_a_film_is_a_function_of_models():
    def film(models):
        return tf_lottery.Film(tuple(tf_lottery.Clip(model) for model in models), 'Nothing.')

    examples = numbers(20, 5), numbers(20, 1)
    task = task_of(small(), examples, film=film)
    facts = task.facts()
    # A folder of before is of the same experiment.
    assert facts.films and facts == dataclasses.replace(facts, films=False)
    pictures = np.zeros((1, 2, 2, 3), np.uint8)
    assert task.film(iter([pictures])).clips[0].pictures is pictures
    with pytest.raises(UsageError, match='^pictures of a Clip is 3: give an array'):
        task.film([3])
    with pytest.raises(UsageError, match=r"film\(networks\) ends in TypeError \('int' object is not .*\): mend it"):
        task.film(3)
    with pytest.raises(UsageError, match='film of a KerasTask is .*: give a function of trained models'):
        task_of(small(), examples, film=lambda: None)


def test_a_layer_that_is_skipped_stays_dense():
    def build(seed):
        model = tf_keras.Sequential([
            tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(3), input_shape=(4, 2), name='both'),
            tf_keras.layers.Dense(1, name='output')])
        model.compile('sgd', 'mse')
        return model

    def examples():
        return {split: (np.ones((20, 4, 2)), np.ones(20)) for split in ('train', 'test')}

    with pytest.raises(UsageError, match=r"leave it dense with skip=\['both'\]"):
        tf_lottery.KerasTask(build, examples).facts()
    facts = tf_lottery.KerasTask(build, examples, skip=['both']).facts()
    assert list(facts.weights) == ['output/kernel']
    # XLA is slow about recurrent layers, and may not know all.
    assert not facts.compiles and not facts.compilable


class Listed(tf_keras.layers.Layer):
    """Holds a vector where it cannot be masked."""

    def build(self, shape):
        self.factors = [self.add_weight('factor', shape[-1:], initializer='ones')]
        super().build(shape)

    def call(self, inputs):
        return inputs * self.factors[0]


def test_what_cannot_be_pruned_is_refused_only_where_it_is_to_be_pruned():
    def build(seed):
        model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(3,)), Listed(), tf_keras.layers.Dense(1)])
        model.compile('sgd', 'mse')
        return model

    task = task_of(build, (numbers(20, 3), numbers(20, 1)))
    assert len(task.facts().weights) == 2
    with pytest.raises(UsageError, match='^listed.* holds listed.*/factor:0 in a way that cannot be masked.$'):
        task.facts('all')
    assert len(task.facts().weights) == 2
