"""The wrapper on every kind of layer and model: what it computes, what it trains, what it refuses."""

import glob
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper
from tensorflow_model_optimization.sparsity import keras as sparsity

from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.ticket import Mask

layers = tf_keras.layers
CLASSES = 3
LABELS = np.arange(8) % CLASSES


def values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def tokens():
    padded = np.random.default_rng(0).integers(1, 7, (8, 3)).astype(np.int32)
    padded[::2, 2:] = 0
    return padded


def sequential(dtype=None):
    return tf_keras.Sequential([
        layers.Dense(6, activation='relu', input_shape=(5,), name='fc', dtype=dtype),
        layers.Dense(CLASSES, name='output', dtype=dtype)]), values(8, 5)


def convolutional():
    image = tf_keras.Input((5, 5, 2))
    x = layers.Conv2D(4, 3, padding='same', name='conv')(image)
    x = layers.BatchNormalization(name='norm')(x)
    x = layers.GlobalAveragePooling2D(name='pool')(layers.ReLU(name='relu')(x))
    return tf_keras.Model(image, layers.Dense(CLASSES, name='output')(x)), values(8, 5, 5, 2)


def recurrent(unroll=False):
    text = tf_keras.Input((3,), dtype='int32')
    x = layers.Embedding(7, 4, mask_zero=True, name='embedding')(text)
    x = layers.LSTM(3, unroll=unroll, name='lstm')(x)
    return tf_keras.Model(text, layers.Dense(CLASSES, name='output')(x)), tokens()


def attention(call):
    text = tf_keras.Input((3,), dtype='int32')
    # Of Keras's own small embeddings the gradient of the queries may be too small to move a weight.
    x = layers.Embedding(7, 4, tf_keras.initializers.RandomNormal(stddev=1), mask_zero=True, name='embedding')(text)
    x = call(layers.MultiHeadAttention(2, 3, name='attention'), x)
    x = layers.GlobalAveragePooling1D(name='pool')(x)
    return tf_keras.Model(text, layers.Dense(CLASSES, name='output')(x)), tokens()


def nested():
    inner_input = tf_keras.Input((5,))
    inner = tf_keras.Model(inner_input, layers.Dense(4, activation='relu', name='fc')(inner_input), name='inner')
    outer_input = tf_keras.Input((5,))
    return tf_keras.Model(outer_input, layers.Dense(CLASSES, name='fc')(inner(outer_input))), values(8, 5)


def shared():
    x = inputs = tf_keras.Input((5,))
    twice = layers.Dense(5, activation='tanh', name='twice')
    return tf_keras.Model(inputs, layers.Dense(CLASSES, name='output')(twice(twice(x)))), values(8, 5)


NETWORKS = {
    'sequential': sequential,
    'convolutional': convolutional,
    'recurrent': recurrent,
    'recurrent_unrolled': lambda: recurrent(unroll=True),
    'attention_positional': lambda: attention(lambda layer, x: layer(x, x)),
    'attention_keywords': lambda: attention(lambda layer, x: layer(query=x, value=x, key=x)),
    'nested': nested,
    'shared': shared,
    'mixed_bfloat16': lambda: sequential(tf_keras.mixed_precision.Policy('mixed_bfloat16')),
}

PRUNABLE = {
    'sequential': ['fc/kernel', 'output/kernel'],
    'convolutional': ['conv/kernel', 'output/kernel'],
    'recurrent': ['embedding/embeddings', 'lstm/kernel', 'lstm/recurrent_kernel', 'output/kernel'],
    'recurrent_unrolled': ['embedding/embeddings', 'lstm/kernel', 'lstm/recurrent_kernel', 'output/kernel'],
    'attention_positional': ['embedding/embeddings', 'attention/query/kernel', 'attention/key/kernel',
                             'attention/value/kernel', 'attention/attention_output/kernel', 'output/kernel'],
    'nested': ['inner/fc/kernel', 'fc/kernel'],
    'shared': ['twice/kernel', 'output/kernel'],
    'mixed_bfloat16': ['fc/kernel', 'output/kernel'],
}
PRUNABLE['attention_keywords'] = PRUNABLE['attention_positional']

OPTIMIZERS = {
    'adam': lambda: tf_keras.optimizers.Adam(0.05, jit_compile=False),
    'momentum': lambda: tf_keras.optimizers.SGD(0.1, momentum=0.9, jit_compile=False),
    'decay': lambda: tf_keras.optimizers.AdamW(0.05, weight_decay=0.1, jit_compile=False),
}


def half(model):
    """The mask of the larger half of each prunable weight."""
    dense = wrapper.get_mask(model)
    return prune(dense, wrapper.get_weights(model), dict.fromkeys(dense, 0.5), 1)


def masked(make):
    """A wrapped network with half of its weights pruned, and inputs."""
    plain, inputs = make()
    model = wrapper.prunable(plain)
    wrapper.set_mask(model, half(model))
    return model, inputs


def compile_and_fit(model, inputs, optimizer, jit=False, epochs=2):
    model.compile(OPTIMIZERS[optimizer](), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  jit_compile=jit)
    model.fit(inputs, LABELS[:len(inputs)], batch_size=4, epochs=epochs, shuffle=False, verbose=0)


def revive(model):
    """Gives pruned variables a value, which nothing but the mask in the forward pass hides."""
    for _, weight, mask, _ in wrapper.prunable_variables(model).values():
        weight.assign(np.where(mask.numpy(), weight.numpy(), 7))


@pytest.mark.parametrize('name', NETWORKS)
def test_outputs_and_gradients_are_those_of_weights_multiplied_by_hand(name):
    plain, inputs = NETWORKS[name]()
    names = list(wrapper.variables(plain))
    model = wrapper.prunable(plain)
    # Wrapping changes no name, so that plain and wrapped models share tickets.
    assert list(wrapper.variables(model)) == names
    assert list(wrapper.prunable_variables(model)) == PRUNABLE[name]
    mask = half(model)
    by_hand, _ = NETWORKS[name]()
    for (key, variable), value in zip(wrapper.variables(by_hand).items(), wrapper.get_weights(model).values(),
                                      strict=True):
        variable.assign(value * mask[key] if key in mask else value)
    wrapper.set_mask(model, mask)
    revive(model)
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
    gradients = tape.gradient(outputs, [weight for _, weight, _, _ in wrapper.prunable_variables(model).values()])
    with tf.GradientTape() as tape:
        expected = by_hand(inputs, training=True)
    own = wrapper.variables(by_hand)
    expected_gradients = tape.gradient(expected, [own[key] for key in mask])
    assert np.array_equal(outputs, expected)
    for key, gradient, by_hand_gradient in zip(mask, gradients, expected_gradients, strict=True):
        gradient, by_hand_gradient = (tf.convert_to_tensor(each).numpy() for each in (gradient, by_hand_gradient))
        assert not gradient[~mask[key]].any()
        assert np.array_equal(gradient[mask[key]], by_hand_gradient[mask[key]])
        assert gradient.any()


@pytest.mark.parametrize(('name', 'optimizer', 'jit'), [
    ('sequential', 'adam', False), ('sequential', 'adam', True),
    ('sequential', 'momentum', False), ('sequential', 'momentum', True),
    ('sequential', 'decay', False), ('sequential', 'decay', True),
    ('convolutional', 'momentum', True), ('convolutional', 'decay', False),
    ('recurrent', 'adam', False), ('recurrent_unrolled', 'decay', True),
    ('attention_positional', 'momentum', False), ('attention_keywords', 'adam', False),
    ('nested', 'adam', True), ('shared', 'decay', False), ('mixed_bfloat16', 'momentum', True)])
def test_training_moves_the_weights_that_remain_and_no_other(name, optimizer, jit):
    model, inputs = masked(NETWORKS[name])
    mask, before = wrapper.get_mask(model), wrapper.get_weights(model)
    trainable = [variable.name for variable in model.trainable_variables]
    compile_and_fit(model, inputs, optimizer, jit)
    after = wrapper.get_weights(model)
    for key, kept in mask.items():
        assert not after[key][~kept].any()
        assert np.any(after[key][kept] != before[key][kept])
    assert wrapper.get_mask(model) == mask
    assert [variable.name for variable in model.trainable_variables] == trainable

    outputs = model(inputs, training=False)
    plain = sparsity.strip_pruning(model)
    assert not wrapper.wrappers(plain)
    assert not any('prune' in variable.name for variable in plain.trainable_variables)
    assert np.array_equal(plain(inputs, training=False), outputs)
    # What the layers compute with are their own variables again, not what stood in for them during a call.
    for variable in plain.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    assert not np.any(plain(inputs, training=False))


@pytest.mark.slow
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('name', NETWORKS)
def test_training_moves_no_pruned_weight_in_any_combination(name, optimizer, jit):
    test_training_moves_the_weights_that_remain_and_no_other(name, optimizer, jit)


@pytest.mark.parametrize(('name', 'jit'), [
    ('convolutional', False), ('attention_keywords', False), ('sequential', True)])
def test_zeros_held_trains_to_the_same_bits(name, jit):
    start, ends = None, []
    for zeros_held in (False, True):
        model, inputs = masked(NETWORKS[name])
        start = start or wrapper.get_weights(model)
        for key, variable in wrapper.variables(model).items():
            variable.assign(start[key])
        wrapper.set_mask(model, Mask({key: start[key] != 0 for key in wrapper.get_mask(model)}))
        for holder in wrapper.wrappers(model).values():
            holder.zeros_held = zeros_held
        compile_and_fit(model, inputs, 'adam', jit)
        ends.append(wrapper.get_weights(model))
    for key in start:
        assert np.array_equal(ends[0][key], ends[1][key]), key


@pytest.mark.parametrize('optimizer', [
    *OPTIMIZERS.values(), lambda: tf_keras.optimizers.legacy.Adam(0.05),
    lambda: tf_keras.optimizers.Adam(0.05, amsgrad=True, use_ema=True, ema_overwrite_frequency=1, jit_compile=False)])
def test_momentum_from_before_moves_no_weight_that_is_pruned_later(optimizer):
    plain, inputs = sequential()
    model = wrapper.prunable(plain)
    model.compile(optimizer(), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(inputs, LABELS, verbose=0)
    mask = half(model)
    wrapper.set_mask(model, mask)
    model.fit(inputs, LABELS, verbose=0)
    for key, kept in mask.items():
        assert not wrapper.get_weights(model)[key][~kept].any()


def test_setting_a_mask_leaves_the_momentum_of_what_remains():
    model = wrapper.prunable(sequential()[0])
    compile_and_fit(model, values(8, 5), 'momentum')
    slot = next(variable for variable in model.optimizer.variables if 'fc/kernel' in variable.name)
    before, mask = slot.numpy(), half(model)
    wrapper.set_mask(model, mask)
    assert np.array_equal(slot.numpy(), np.where(mask['fc/kernel'], before, 0))


def test_set_mask_zeroes_weights_and_fills_what_tfmot_shows():
    model = wrapper.prunable(tf_keras.Sequential([layers.Dense(2, input_shape=(2,), name='fc', use_bias=False)]))
    wrapper.variables(model)['fc/kernel'].assign([[0.1, -0.4], [0.3, -0.2]])
    wrapper.set_mask(model, Mask({'fc/kernel': [[False, True], [True, False]]}), step=12)
    holder, weight, mask, threshold = wrapper.prunable_variables(model)['fc/kernel']
    assert weight.numpy().tolist() == [[0, np.float32(-0.4)], [np.float32(0.3), 0]]
    assert mask.numpy().tolist() == [[0, 1], [1, 0]]
    assert threshold.numpy() == np.float32(0.3)
    assert holder.pruning_step.numpy() == 12
    assert wrapper.get_mask(model) == Mask({'fc/kernel': [[False, True], [True, False]]})


def test_hold_mask_sets_the_mask_and_nothing_else():
    model = wrapper.prunable(tf_keras.Sequential([layers.Dense(2, input_shape=(2,), name='fc', use_bias=False)]))
    wrapper.variables(model)['fc/kernel'].assign([[0, -0.4], [0.3, 0]])
    wrapper.hold_mask(model, Mask({'fc/kernel': [[False, True], [True, False]]}))
    holder, weight, mask, threshold = wrapper.prunable_variables(model)['fc/kernel']
    assert mask.numpy().tolist() == [[0, 1], [1, 0]]
    assert weight.numpy().tolist() == [[0, np.float32(-0.4)], [np.float32(0.3), 0]]
    assert threshold.numpy() == 0
    assert holder.pruning_step.numpy() == -1


@pytest.mark.parametrize('set_mask', [wrapper.set_mask, wrapper.hold_mask])
@pytest.mark.parametrize('arrays', [
    {'fc/kernel': np.ones((5, 6))},
    {'fc/kernel': np.ones((5, 6)), 'output/kernel': np.ones((3, 6))},
    {'fc/kernel': np.ones((5, 6)), 'output/kernel': np.ones((6, 3)), 'more/kernel': np.ones(1)}])
def test_a_mask_of_another_model_is_refused(arrays, set_mask):
    with pytest.raises(UsageError, match=r"the mask is over \['fc/kernel'"):
        set_mask(wrapper.prunable(sequential()[0]), Mask(arrays))


def test_wrappers_are_tfmots_and_only_around_prunable_weights():
    model = wrapper.prunable(convolutional()[0])
    found = wrapper.wrappers(model)
    assert list(found) == ['conv', 'output']
    assert all(isinstance(holder, pruning_wrapper.PruneLowMagnitude) for holder in found.values())
    assert isinstance(model.get_layer('norm'), layers.BatchNormalization)


def test_a_model_can_be_wrapped_again():
    plain, _ = convolutional()
    first, second = wrapper.prunable(plain), wrapper.prunable(plain)
    assert list(wrapper.wrappers(second)) == ['conv', 'output']
    assert wrapper.wrappers(wrapper.prunable(first)) == wrapper.wrappers(first)
    assert list(wrapper.wrappers(wrapper.prunable(sparsity.strip_pruning(first)))) == ['conv', 'output']


class Scale(layers.Layer):
    """A layer without kernels, which TF-MOT does not know."""

    def build(self, shape):
        self.factor = self.add_weight('factor', shape[-1:], initializer='ones')

    def call(self, inputs):
        return inputs * self.factor


@pytest.mark.parametrize('jit', [False, True])
def test_all_variables_may_be_pruned(jit):
    text = tf_keras.Input((3,), dtype='int32')
    x = layers.Embedding(7, 4, name='embedding')(text)
    x = layers.LSTM(3, name='lstm', unroll=True)(x)
    x = Scale(name='scale')(layers.BatchNormalization(name='norm')(x))
    plain = tf_keras.Model(text, layers.Dense(CLASSES, name='output')(x))
    model = wrapper.prunable(plain, variables='all')
    names = [name for name, variable in wrapper.variables(plain).items() if variable.trainable]
    assert names == list(wrapper.prunable_variables(model)) == [
        'embedding/embeddings', 'lstm/kernel', 'lstm/recurrent_kernel', 'lstm/bias', 'norm/gamma', 'norm/beta',
        'scale/factor', 'output/kernel', 'output/bias']
    rng = np.random.default_rng(0)
    for variable in wrapper.variables(model).values():
        variable.assign(rng.uniform(0.1, 0.9, variable.shape))
    # The first of each goes.
    mask = Mask({name: np.arange(array.size).reshape(array.shape) > 0
                 for name, array in wrapper.get_weights(model).items() if name in names})
    model.compile('adam', tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit)
    wrapper.set_mask(model, mask)
    expected = mask.apply(wrapper.get_weights(model))
    for name, variable in wrapper.variables(plain).items():
        variable.assign(expected[name])
    given = tokens()
    assert np.allclose(model(given), plain(given), atol=1e-6)
    model.fit(given, LABELS, epochs=2, verbose=0)
    for name, array in wrapper.get_weights(model).items():
        if name in mask:
            assert not array[~mask[name]].any() and np.any(array != expected[name]), name
    kinds = {type(layer).__name__ for layer in sparsity.strip_pruning(model).layers}
    assert 'PruneWithMask' not in kinds
    assert wrapper.kernels(model) == {id(wrapper.variables(model)[name]) for name in names if name.endswith(
        ('kernel', 'embeddings'))}


def test_unknown_variables_are_refused():
    with pytest.raises(UsageError, match="^variables is 'biases': choose one of kernels, all.$"):
        wrapper.prunable(sequential()[0], variables='biases')


def test_skipped_layers_stay_dense():
    assert list(wrapper.wrappers(wrapper.prunable(convolutional()[0], skip=['conv']))) == ['output']
    assert list(wrapper.wrappers(wrapper.prunable(nested()[0], skip=['inner']))) == ['fc']


def test_tfmots_own_callbacks_run_beside_the_wrapper(tmp_path):
    model, inputs = masked(lambda: attention(lambda layer, x: layer(x, x)))
    mask = wrapper.get_mask(model)
    wrapper.set_mask(model, mask, step=3)
    model.compile(OPTIMIZERS['adam'](), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(inputs, LABELS, verbose=0, callbacks=[
        sparsity.UpdatePruningStep(), sparsity.PruningSummaries(str(tmp_path), profile_batch=0)])
    assert wrapper.get_mask(model) == mask
    shown = {}
    for path in glob.glob(f'{tmp_path}/metrics/*'):
        for event in tf.compat.v1.train.summary_iterator(path):
            shown.update({value.tag: float(tf.make_ndarray(value.tensor)) for value in event.summary.value})
    # One per mask, those of an attention layer's four kernels included.
    sparsities = [value for tag, value in shown.items() if tag.endswith('/sparsity')]
    assert sparsities == pytest.approx([1 - kept.mean() for kept in mask.values()])
    thresholds = {round(value, 5) for tag, value in shown.items() if tag.endswith('/threshold')}
    expected = [threshold for *_, threshold in wrapper.prunable_variables(model).values()]
    assert thresholds == {round(float(threshold.numpy()), 5) for threshold in expected}


@pytest.mark.parametrize(('name', 'suffix'), [
    *itertools.product(['sequential', 'nested', 'recurrent_unrolled', 'attention_positional', 'attention_keywords',
                        'mixed_bfloat16'], ['.keras', '.h5']),
    # SavedModels take seconds to write.
    ('sequential', ''), pytest.param('attention_positional', '', marks=pytest.mark.slow)])
def test_a_wrapped_model_is_saved_and_loaded_whole(tmp_path, name, suffix):
    model, inputs = masked(NETWORKS[name])
    for number, holder in enumerate(wrapper.wrappers(model).values()):
        holder.pruning_schedule = wrapper.IterativePruning(0.1 + 0.1 * number, 7, 50, 20)
    path = str(tmp_path / f'model{suffix}')
    model.save(path)
    loaded = tf_keras.models.load_model(path)
    assert all(type(holder) is wrapper.PruneWithMask for holder in wrapper.wrappers(loaded).values())
    assert wrapper.get_mask(loaded) == wrapper.get_mask(model)
    assert [holder.pruning_schedule.get_config() for holder in wrapper.wrappers(loaded).values()] == [
        holder.pruning_schedule.get_config() for holder in wrapper.wrappers(model).values()]
    revive(loaded)
    assert np.array_equal(loaded(inputs, training=False), model(inputs, training=False))


class Twofold(layers.Layer):
    """A layer of one's own with two kernels, of which it lets one be pruned."""

    def build(self, input_shape):
        self.kernel = self.add_weight('kernel', (input_shape[-1], CLASSES))
        self.other = self.add_weight('other', (input_shape[-1], CLASSES))

    def call(self, inputs):
        return inputs @ self.kernel + inputs @ self.other


class PrunableTwofold(Twofold):
    def get_prunable_weights(self):
        return [self.kernel]


class HiddenKernel(layers.Layer):
    """A layer that keeps its kernel in a list, where it cannot be replaced for the length of a call."""

    def build(self, input_shape):
        self.kernels = [self.add_weight('kernel', (input_shape[-1], CLASSES))]

    def call(self, inputs):
        return inputs @ self.kernels[0]

    def get_prunable_weights(self):
        return list(self.kernels)


def test_a_layer_of_ones_own_says_what_may_be_pruned():
    model = wrapper.prunable(tf_keras.Sequential([layers.InputLayer((5,)), PrunableTwofold(name='mine')]))
    assert list(wrapper.prunable_variables(model)) == ['mine/kernel']
    wrapper.set_mask(model, half(model))
    revive(model)
    inner = wrapper.wrappers(model)['mine'].layer
    inputs = values(8, 5)
    expected = inputs @ (inner.kernel.numpy() * wrapper.get_mask(model)['mine/kernel']) + inputs @ inner.other.numpy()
    assert np.allclose(model(inputs), expected, atol=1e-6)


@pytest.mark.parametrize(('layer', 'skip', 'sentence'), [
    (Twofold(name='mine'), [], r"mine is a Twofold, whose weights TF-MOT does not know.*skip=\['mine'\]"),
    (layers.Dense(2, name='fc'), ['fx'], "no layer is called 'fx'"),
    (HiddenKernel(name='mine'), [], r'mine holds .*kernel.* in a way that cannot be masked')])
def test_a_layer_that_cannot_be_wrapped_is_named(layer, skip, sentence):
    model = tf_keras.Sequential([layers.InputLayer((5,)), layer])
    with pytest.raises(UsageError, match=sentence):
        wrapper.prunable(model, skip)


def test_an_unknown_layer_may_be_skipped():
    model = tf_keras.Sequential([layers.Dense(4, input_shape=(5,), name='fc'), Twofold(name='mine')])
    assert list(wrapper.wrappers(wrapper.prunable(model, skip=['mine']))) == ['fc']


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.fc = layers.Dense(2)

    def call(self, inputs):
        return self.fc(inputs)


def keras_3_model():
    import keras
    return keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(2)])


def holds_a_subclassed_model():
    inputs = tf_keras.Input((5,))
    return tf_keras.Model(inputs, Subclassed()(inputs))


@pytest.mark.parametrize(('make', 'sentence'), [
    (keras_3_model, 'Sequential is a Keras 3 object.*build the model with tf_keras'),
    (Subclassed, 'Subclassed is a subclassed model'),
    (holds_a_subclassed_model, 'Subclassed is a subclassed model'),
    (lambda: tf_keras.Sequential([layers.Dense(2)], name='late'), "model 'late' has no weights yet: give.*input_shape"),
    (lambda: layers.Dense(2), 'expected a Keras model, got Dense'),
    (lambda: 'lenet', 'expected a Keras model, got str')])
def test_what_is_not_a_built_keras_2_model_is_refused(make, sentence):
    with pytest.raises(UsageError, match=sentence):
        wrapper.prunable(make())


def test_a_model_without_wrappers_is_refused():
    with pytest.raises(UsageError, match=r'has no prunable layer: wrap it first'):
        wrapper.prunable_variables(sequential()[0])


class Tuned(tf_keras.Model):
    """A functional model with a constructor, a training step, a layer beside the graph, and layers kept by name."""

    def __init__(self, scale, *arguments, **options):
        super().__init__(*arguments, **options)
        self.scale, self._notes = scale, {'author': 'somebody'}
        self.head = layers.Dense(2)

    def train_step(self, data):
        return {**super().train_step(data), 'features': tf.reduce_sum(self.features[0](data[0])), 'scale': self.scale}


@pytest.mark.parametrize('compiled', [False, True])
def test_a_model_of_ones_own_class_stays_what_it_is(compiled):
    inputs = tf_keras.Input((5,))
    first = layers.Dense(4, name='fc')
    model = Tuned(3.0, inputs=inputs, outputs=layers.Dense(1, name='output')(first(inputs)))
    model.features, model.by_name = [first], {'fc': (first, None)}
    if compiled:
        model.compile('sgd', 'mse')
        model.fit(values(8, 5), np.ones((8, 1)), verbose=0)
    wrapped = wrapper.prunable(model)
    assert type(wrapped) is Tuned and wrapped.optimizer is None
    assert wrapped.scale == 3.0 and wrapped._notes == {'author': 'somebody'} and wrapped.head is model.head
    assert wrapped.features[0] is wrapped.by_name['fc'][0] is wrapped.get_layer('fc') is not first
    wrapped.compile('sgd', 'mse')
    assert {'features', 'scale', 'loss'} <= set(wrapped.fit(values(8, 5), np.ones((8, 1)), verbose=0).history)
    assert model.features[0] is first


class OwnSequential(tf_keras.Sequential):
    def train_step(self, data):
        return {**super().train_step(data), 'mine': tf.constant(1.0)}


def test_a_sequential_model_of_ones_own_keeps_its_training_step():
    wrapped = wrapper.prunable(OwnSequential([layers.Dense(2, input_shape=(5,))]))
    wrapped.compile('sgd', 'mse')
    assert 'mine' in wrapped.fit(values(8, 5), np.ones((8, 2)), verbose=0).history


def test_losses_and_metrics_in_the_graph_stay():
    inputs = tf_keras.Input((5,))
    hidden = layers.Dense(4, name='fc')(inputs)
    model = tf_keras.Model(inputs, layers.Dense(1, name='output')(hidden))
    model.add_loss(tf.reduce_mean(hidden ** 2))
    model.add_metric(tf.reduce_mean(hidden), name='mean')
    found = []
    for each in (model, wrapper.prunable(model)):
        each.compile('sgd', 'mse')
        found.append(each.evaluate(values(8, 5), np.ones((8, 1)), verbose=0, return_dict=True))
    assert found[0].keys() == found[1].keys() == {'loss', 'mean'}
    assert list(found[0].values()) == pytest.approx(list(found[1].values()))


def test_states_and_attributes_are_the_layers():
    model = tf_keras.Sequential([layers.LSTM(3, stateful=True, batch_input_shape=(4, 5, 2), name='lstm')])
    wrapped, inputs = wrapper.prunable(model), values(4, 5, 2)
    lstm = wrapped.get_layer('lstm')
    assert lstm.stateful and lstm.units == 3 and lstm.states[0] is model.layers[0].states[0]
    first = wrapped.predict(inputs, batch_size=4, verbose=0)
    assert np.any(wrapped.predict(inputs, batch_size=4, verbose=0) != first)
    wrapped.reset_states()
    assert np.array_equal(wrapped.predict(inputs, batch_size=4, verbose=0), first)
    with pytest.raises(AttributeError):
        _ = wrapped.get_layer('lstm').nothing_of_the_kind


def two_submodels():
    shared = layers.Dense(6, name='shared')
    one, two, inputs = tf_keras.Input((4,)), tf_keras.Input((4,)), tf_keras.Input((4,))
    first, second = tf_keras.Model(one, shared(one), name='first'), tf_keras.Model(two, shared(two), name='second')
    return shared.kernel, tf_keras.Model(inputs, first(inputs) + second(inputs) + shared(inputs)), 'first/shared/kernel'


class Transposed(layers.Layer):
    """The transpose of another layer's weight, which it lets be pruned, or not."""

    def __init__(self, other, prunes, **options):
        super().__init__(**options)
        self.other = other
        self.get_prunable_weights = lambda: [other.kernel] if prunes else []

    def call(self, inputs):
        return tf.matmul(inputs, self.other.kernel, transpose_b=True)


def tied(prunes):
    encode, inputs = layers.Dense(6, 'relu', name='encode'), tf_keras.Input((4,))
    outputs = Transposed(encode, prunes, name='decode')(encode(inputs))
    return encode.kernel, tf_keras.Model(inputs, outputs), 'encode/kernel'


def tied_by_a_function():
    encode, inputs = layers.Dense(6, 'relu', name='encode'), tf_keras.Input((4,))
    outputs = layers.Lambda(lambda x: tf.matmul(x, encode.kernel, transpose_b=True))(encode(inputs))
    return encode.kernel, tf_keras.Model(inputs, outputs), 'encode/kernel'


@pytest.mark.parametrize('make', [two_submodels, lambda: tied(True), lambda: tied(False), tied_by_a_function])
def test_a_weight_of_several_places_has_one_mask(make):
    weight, plain, name = make()
    model = wrapper.prunable(plain)
    assert list(wrapper.prunable_variables(model)) == [name]
    mask = Mask({name: np.arange(24).reshape(4, 6) % 3 == 0})
    wrapper.set_mask(model, mask)
    model.compile(tf_keras.optimizers.SGD(0.1, momentum=0.9), 'mse')
    inputs = values(16, 4)
    model.fit(inputs, np.ones((16, model.output_shape[-1])), epochs=2, verbose=0)
    assert np.array_equal(weight.numpy() != 0, mask[name])
    assert np.array_equal(sparsity.strip_pruning(model)(inputs), model(inputs))


class Block(layers.Layer):
    """Makes its layers' weights when it is called."""

    def __init__(self, wraps, **options):
        super().__init__(**options)
        own = wrapper.PruneWithMask if wraps else lambda layer: layer
        self.first, self.second = own(layers.Dense(8, name='first')), own(layers.Dense(8, name='second'))
        if not wraps:
            self.get_prunable_weights = lambda: [self.first.kernel, self.second.kernel]

    def call(self, inputs):
        return self.second(self.first(inputs))


class OfBlocks(tf_keras.Model):
    def __init__(self):
        super().__init__(name='of_blocks')
        self.inside, self.around = Block(True, name='inside'), wrapper.PruneWithMask(Block(False, name='around'))
        self.attention = wrapper.PruneWithMask(layers.MultiHeadAttention(1, 2, name='attention'))

    def call(self, inputs):
        x = self.around(self.inside(inputs))[:, None]
        return self.attention(query=x, value=x)[:, 0]


def test_wrappers_in_layers_and_models_of_ones_own_are_found():
    model = OfBlocks()
    with pytest.raises(UsageError, match="'inside/first' of model 'of_blocks' has no weights yet: call the model once"):
        wrapper.prunable_variables(model)
    model(values(2, 4))
    assert list(wrapper.prunable_variables(model)) == [
        'inside/first/kernel', 'inside/second/kernel', 'around/first/kernel', 'around/second/kernel',
        *(f'attention/{part}/kernel' for part in ('query', 'key', 'value', 'attention_output'))]
    wrapper.set_mask(model, half(model))
    mask = wrapper.get_mask(model)
    assert mask.kept == mask.size / 2
    model.compile('adam', 'mse')
    model.fit(values(8, 4), values(8, 8), verbose=0)
    for name, kept in mask.items():
        assert np.array_equal(wrapper.get_weights(model)[name] != 0, kept), name


def test_a_layer_that_holds_wrappers_needs_no_other():
    inputs = tf_keras.Input((4,))
    model = wrapper.prunable(tf_keras.Model(inputs, layers.Dense(1, name='output')(Block(True, name='block')(inputs))))
    assert list(wrapper.prunable_variables(model)) == ['block/first/kernel', 'block/second/kernel', 'output/kernel']
