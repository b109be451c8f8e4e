"""A clone computes what its model computes, whatever its layers hold, and is a model of its own."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning import clones

layers = tf_keras.layers
FLOATS = np.random.default_rng(0).normal(3, 2, (6, 4)).astype(np.float32)
SEQUENCES = FLOATS.reshape(6, 2, 2)
WORDS = np.array([['a b'], ['b'], ['z']])


def sequential(*parts, shape=(4,), dtype='float32', batch=None):
    return tf_keras.Sequential([layers.InputLayer(shape, batch, dtype=dtype), *parts])


def adapted(layer, values):
    layer.adapt(values)
    return layer


class Held:
    """What no config says and Keras does not look into."""

    def __init__(self, factor):
        self.factor = factor


class Own(layers.Layer):
    """No get_config; state beside its weights; a model, a function and a compiled function that hold its variables."""

    def __init__(self, factor):
        super().__init__()
        self.held, self.by_name, self.pair = Held(factor), {'inner': layers.Dense(4)}, (layers.Dense(4), 3)
        self.net = tf_keras.Sequential([layers.Dense(4, lambda x: 2 * x, input_shape=(4,))])
        self.scale = tf.Variable(2.0)
        self.scaled = lambda inputs, own=self: inputs * own.scale
        self.compiled = tf.function(functools.partial(self._shifted, 5.0))

    def build(self, shape):
        self.shift = self.add_weight('shift', (4,), initializer='ones')

    def _shifted(self, times, inputs):
        return inputs + times * self.shift

    def call(self, inputs):
        inner = self.net(self.pair[0](self.by_name['inner'](inputs)))
        return self.compiled(self.scaled(inner)) * self.held.factor


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)


class Tied(layers.Layer):
    """Its weights are those of another layer of the model."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def call(self, inputs):
        return inputs @ tf.transpose(self.other.kernel)


ELSEWHERE = {}


def read_elsewhere(inputs):
    return inputs @ ELSEWHERE['fc'].kernel[:2, :2]


def tied():
    dense = layers.Dense(3)
    return sequential(dense, Tied(dense))


def of_operations():
    inputs = tf_keras.Input((4,))
    dense = layers.Dense(4)
    twice = tf.nn.relu(dense(inputs)) * 2.0 + dense(inputs)
    model = tf_keras.Model(inputs, {'out': layers.Dense(2)(tf.concat([twice, twice[:, :2]], -1))})
    model.add_loss(tf.reduce_mean(twice))
    model.add_metric(tf.reduce_max(twice), name='largest')
    return model


def of_submodels():
    shared = layers.Dense(4, name='shared')
    one, two = (tf_keras.Sequential([layers.InputLayer((4,)), shared, layers.Dense(4, name='own')], name=name)
                for name in ('one', 'two'))
    inputs = tf_keras.Input((4,))
    return tf_keras.Model(inputs, two(one(one(inputs))))


def mixed():
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy('mixed_bfloat16')
    try:
        return sequential(layers.Dense(4, kernel_regularizer='l2'), layers.BatchNormalization(), layers.Dense(2))
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def in_training_only():
    return sequential(layers.RandomRotation(0.1), layers.Dropout(0.5), layers.GaussianNoise(1), layers.Flatten(),
                      layers.Dense(2), shape=(4, 4, 1))


MODELS = {
    'normalization': (lambda: sequential(adapted(layers.Normalization(), FLOATS), layers.Dense(3)), FLOATS),
    'discretization': (lambda: sequential(adapted(layers.Discretization(num_bins=3), FLOATS), layers.Embedding(9, 2),
                                          layers.Flatten(), layers.Dense(1)), FLOATS),
    'text': (lambda: sequential(adapted(layers.TextVectorization(output_sequence_length=2), ['a b b']),
                                layers.Embedding(9, 2), layers.Flatten(), layers.Dense(1), shape=(1,), dtype='string'),
             WORDS),
    'lookup': (lambda: sequential(adapted(layers.StringLookup(), ['a b', 'b']), layers.Embedding(9, 2),
                                  layers.Flatten(), layers.Dense(1), shape=(1,), dtype='string'), WORDS),
    'lambdas': (lambda: sequential(layers.Dense(4, lambda x: 2 * x), layers.Lambda(lambda x: x + 1), layers.Dense(2)),
                FLOATS),
    'own': (lambda: sequential(Own(3.0), layers.Dense(2)), FLOATS),
    'subclassed': (lambda: sequential(layers.Dense(4), Subclassed()), FLOATS),
    'tied': (tied, FLOATS),
    'operations': (of_operations, FLOATS),
    'submodels': (of_submodels, FLOATS),
    'mixed': (mixed, FLOATS),
    'recurrent': (lambda: sequential(layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
                                     layers.TimeDistributed(sequential(layers.Dense(2))), shape=(2, 2)), SEQUENCES),
    'stateful': (lambda: sequential(layers.LSTM(3, stateful=True), layers.Dense(1), shape=(2, 2), batch=6), SEQUENCES),
    'attention': (lambda: (lambda x: tf_keras.Model(x, layers.MultiHeadAttention(2, 2)(x, x)))(tf_keras.Input((2, 2))),
                  SEQUENCES),
    'random': (in_training_only, np.ones((2, 4, 4, 1), np.float32)),
}


def outputs(model, inputs):
    return [np.asarray(tf.cast(output, tf.float32))
            for output in tf.nest.flatten(model(tf.constant(inputs), training=False))]


def variables(model):
    return [variable for variable in model.variables if isinstance(variable, tf.Variable)]


def values(model):
    return [variable.numpy() for variable in variables(model)]


def equal(left, right):
    return len(left) == len(right) and all(map(np.array_equal, left, right))


@pytest.mark.parametrize('name', MODELS)
def test_a_clone_computes_the_same_and_is_trained_alone(name, tmp_path):
    make, inputs = MODELS[name]
    model = make()
    # A stateful layer goes on from where it was.
    outputs(model, inputs)
    clone = clones.clone(model)
    before, expected = values(model), outputs(model, inputs)
    assert equal(outputs(clone, inputs), expected)
    assert type(clone) is type(model) and clone.metrics_names == model.metrics_names
    assert [layer.name for layer in clone.submodules if isinstance(layer, layers.Layer)] == [
        layer.name for layer in model.submodules if isinstance(layer, layers.Layer)]
    assert [(each.name, each.dtype, each.shape) for each in variables(clone)] == [
        (each.name, each.dtype, each.shape) for each in variables(model)]
    assert not {id(each.handle) for each in variables(clone)} & {id(each.handle) for each in variables(model)}

    clone.compile('sgd', 'mse', run_eagerly=True)
    clone.fit(tf.constant(inputs), tf.nest.map_structure(tf.zeros_like, clone(tf.constant(inputs))), verbose=0,
              batch_size=len(inputs))
    assert all(not np.array_equal(own, other) for own, other, variable in zip(
        values(clone), before, variables(clone), strict=True) if variable.trainable and 'bias' not in variable.name
        and 'key' not in variable.name)
    assert equal(values(model), before)
    if not any(getattr(layer, 'stateful', False) for layer in model.layers):
        assert equal(outputs(model, inputs), expected)
    # The calls of the clone are none of the original's.
    assert model.layers[-1].output is not clone.layers[-1].output
    if name != 'lambdas':
        place = tf.train.Checkpoint(clone).save(str(tmp_path / 'checkpoint'))
        trained = values(clone)
        for variable in variables(clone):
            variable.assign(tf.zeros_like(variable))
        tf.train.Checkpoint(clone).restore(place)
        assert equal(values(clone), trained)


@pytest.mark.parametrize('name', ['text', 'random', 'own'])
def test_a_clone_is_saved(name, tmp_path):
    make, inputs = MODELS[name]
    clone = clones.clone(make())
    tf.saved_model.save(clone, str(tmp_path / 'saved'))
    assert equal(outputs(tf.saved_model.load(str(tmp_path / 'saved')), inputs), outputs(clone, inputs))


def test_what_is_adapted_anew_is_the_clone():
    model, inputs = MODELS['text'][0](), WORDS
    expected = outputs(model, inputs)
    clone = clones.clone(model)
    clone.layers[0].adapt(['x y', 'z'])
    assert clone.layers[0].get_vocabulary()[2:] == ['z', 'y', 'x']
    assert model.layers[0].get_vocabulary()[2:] == ['b', 'a']
    assert equal(outputs(model, inputs), expected)


def test_what_layers_share_stays_shared():
    clone = clones.clone(tied())
    assert clone.layers[1].other is clone.layers[0]
    clone = clones.clone(of_submodels())
    assert clone.get_layer('one').get_layer('shared') is clone.get_layer('two').get_layer('shared')
    assert clone.get_layer('one').get_layer('own') is not clone.get_layer('two').get_layer('own')


def test_what_is_frozen_stays_frozen():
    model = of_submodels()
    model.get_layer('one').trainable = False
    model.get_layer('one').get_layer('own').trainable = True
    model.get_layer('two').get_layer('own').trainable = False
    assert [layer.trainable for layer in model.get_layer('one').layers] == [False, True]
    clone = clones.clone(model)
    assert [each.name for each in clone.trainable_variables] == [each.name for each in model.trainable_variables]
    for name in ('one', 'two'):
        assert [layer.trainable for layer in clone.get_layer(name).layers] == [
            layer.trainable for layer in model.get_layer(name).layers]


def test_a_new_layer_stands_in_the_place_of_an_old_one():
    model = of_submodels()
    new = layers.Dense(4, name='shared', use_bias=False)
    clone = clones.clone(model, {model.get_layer('one').get_layer('shared'): new})
    assert clone.get_layer('one').get_layer('shared') is clone.get_layer('two').get_layer('shared') is new
    assert len(clone.weights) == len(model.weights) - 1


class Distilled(tf_keras.Model):
    def train_step(self, data):
        return {}


class Unnamed(layers.Layer):
    """A layer that is not made without arguments by anybody."""

    def __new__(cls, needed):
        return super().__new__(cls, needed)

    def __init__(self, needed):
        super().__init__()

    def call(self, inputs):
        return inputs


class Dynamic(layers.Layer):
    def call(self, inputs):
        return tf.constant(inputs.numpy())


def with_a_loss():
    model = sequential(layers.Dense(2))
    model.add_loss(lambda: tf.reduce_sum(model.layers[0].kernel))
    return model


def distilled():
    inputs = tf_keras.Input((4,))
    return Distilled(inputs, layers.Dense(2)(inputs), name='student')


class Given(layers.Layer):
    def call(self, inputs, held):
        return inputs * held.factor


def given_an_object():
    inputs = tf_keras.Input((4,))
    return tf_keras.Model(inputs, Given(name='given')(inputs, Held(2.0)), name='net')


def dynamic():
    model = tf_keras.Sequential([layers.Dense(2), Dynamic(dynamic=True)], name='net')
    model(FLOATS)
    return model


@pytest.mark.parametrize(('make', 'message'), [
    (distilled, r"^model 'student' is a Distilled, whose own methods a copy of its layers would not have: if its graph "
                r"is all that it computes, give tf_keras\.Model\(model\.input, model\.output\)\.$"),
    (lambda: sequential(distilled()), "^model 'student' is a Distilled, whose own methods"),
    (lambda: sequential(layers.TimeDistributed(distilled()), shape=(2, 4)), "^model 'student' is a Distilled"),
    (with_a_loss, r'was given a function by add_loss\(\), which a copy of its layers would not have'),
    (lambda: sequential(Unnamed(3)), r"^layer 'unnamed', a Unnamed, cannot be copied \(.*'needed'\): hold in it"),
    (given_an_object, r"^model 'net' cannot be copied \(Layer given was passed non-JSON-serializable .*\): call"),
    (dynamic, "^model 'net' has a layer that cannot be called on a symbolic input, and so no graph: ")])
def test_what_a_clone_would_not_have_is_said(make, message):
    model = make()
    with pytest.raises(UsageError, match=message):
        clones.clone(model)


@pytest.mark.parametrize('make', [distilled, with_a_loss])
def test_the_plain_model_is_cloned(make):
    model = make()
    clone = clones.clone(tf_keras.Model(model.input, model.output))
    assert equal(outputs(clone, FLOATS), outputs(model, FLOATS))
