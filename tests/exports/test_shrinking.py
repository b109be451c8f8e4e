"""Networks shrunk: what is left of hand-made ones, to the weight, and that the outputs of any stay the same."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import strategies as st

from tests.pruning import test_clones
from tf_lottery import models
from tf_lottery.errors import UsageError
from tf_lottery.exports import shrinking
from tf_lottery.pruning import structure, wrapper
from tf_lottery.ticket import Mask

layers = tf_keras.layers


def inputs_of(model, examples=5, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(examples, *(size or 9 for size in tensor.shape[1:])) for tensor in model.inputs]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def shrunk(model, tolerance=1e-5):
    """Shrinks a model; its outputs, and what a second time would do, are as they must be."""
    before = model.get_weights()
    smaller, changes = shrinking.shrink(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert type(smaller) is type(model)
    assert [(t.shape, t.dtype, t.name.split('/')[0]) for t in smaller.inputs + smaller.outputs] == [
        (t.shape, t.dtype, t.name.split('/')[0]) for t in model.inputs + model.outputs]
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    for examples in (1, 5):
        inputs = inputs_of(model, examples)
        for output, expected in zip(tf.nest.flatten(smaller(inputs)), tf.nest.flatten(model(inputs)), strict=True):
            assert np.allclose(output, expected, rtol=tolerance, atol=tolerance)
    assert sum(change.weights for change in changes.values()) == model.count_params()
    assert sum(change.weights_left for change in changes.values()) == smaller.count_params() <= model.count_params()
    again, _ = shrinking.shrink(smaller)
    for own, other in zip(again.weights, smaller.weights, strict=True):
        assert np.array_equal(own, other)
    return smaller, changes


def prune(model, density, seed=0):
    """Keeps so much of each matrix, at random; biases and batch normalisation take values that are not their first."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.normal(size=weight.shape)
        if len(weight.shape) > 1:
            value *= rng.random(weight.shape) < density
        if 'variance' in weight.name:
            value = np.abs(value) + 0.1
        weight.assign(value)
    return model


def with_kernels(model, **kernels):
    """Gives layers, by name, their weights."""
    for name, weights in kernels.items():
        model.get_layer(name).set_weights([np.array(weight, np.float32) for weight in weights])
    return model


def values(model, name):
    return [weight.tolist() for weight in model.get_layer(name).get_weights()]


def two_layers(fc, output, activation='relu'):
    inputs, units = np.shape(fc[0])
    return with_kernels(tf_keras.Sequential([
        layers.Dense(units, activation, input_shape=(inputs,), name='fc', use_bias=len(fc) > 1),
        layers.Dense(np.shape(output[0])[1], name='output', use_bias=len(output) > 1)]), fc=fc, output=output)


def test_a_unit_that_nothing_reads_goes():
    smaller, changes = shrunk(two_layers([[[1, 2, 3]], [4, 5, 6]], [[[1], [0], [2]], [7]]))
    assert values(smaller, 'fc') == [[[1, 3]], [4, 6]]
    assert values(smaller, 'output') == [[[1], [2]], [7]]
    assert changes == {'fc': shrinking.Change(3, 2, 6, 4), 'output': shrinking.Change(1, 1, 4, 3)}


def test_a_unit_that_nothing_feeds_is_folded_into_the_next_bias():
    # relu(5) * 3 + 7; the third unit is relu(-6) = 0.
    smaller, _ = shrunk(two_layers([[[1, 0, 0]], [4, 5, -6]], [[[1], [3], [2]], [7]]))
    assert values(smaller, 'fc') == [[[1]], [4]]
    assert values(smaller, 'output') == [[[1]], [22]]


def test_a_reader_without_bias_gets_one_if_needed():
    smaller, _ = shrunk(two_layers([[[1, 0]], [4, 5]], [[[1], [3]]]))
    assert values(smaller, 'output') == [[[1]], [15]]
    smaller, _ = shrunk(two_layers([[[1, 0]], [4, -5]], [[[1], [3]]]))
    assert values(smaller, 'output') == [[[1]]]


def test_what_only_removed_units_feed_or_read_goes_too():
    model = with_kernels(tf_keras.Sequential([
        layers.Dense(2, 'relu', input_shape=(1,), name='first'), layers.Dense(2, 'relu', name='second'),
        layers.Dense(1, name='third')]),
        # The second unit of each is constant: relu(2), then relu(3 * 2 + 1); and the first of the first is read.
        first=[[[1, 0]], [0, 2]], second=[[[1, 0], [0, 3]], [0, 1]], third=[[[1], [10]], [0]])
    smaller, _ = shrunk(model)
    assert values(smaller, 'second') == [[[1]], [0]]
    assert values(smaller, 'third') == [[[1]], [70]]
    with_kernels(model, first=[[[1, 5]], [0, 2]], second=[[[1, 0], [0, 3]], [0, 1]], third=[[[1], [0]], [0]])
    smaller, _ = shrunk(model)
    assert values(smaller, 'first') == [[[1]], [0]]


def test_a_dead_input_changes_nothing():
    smaller, changes = shrunk(two_layers([[[1, 2], [0, 0], [3, 4]], [5, 6]], [[[1], [1]], [0]]))
    assert values(smaller, 'fc') == [[[1, 2], [0, 0], [3, 4]], [5, 6]]
    assert all(change.weights == change.weights_left for change in changes.values())


def test_one_unit_stays_where_none_is_needed():
    smaller, _ = shrunk(two_layers([[[0, 0]], [1, 2]], [[[3], [4]], [5]]))
    assert values(smaller, 'fc') == [[[0]], [1]]
    assert values(smaller, 'output') == [[[3]], [5 + 2 * 4]]
    smaller, _ = shrunk(two_layers([[[1, 1]], [1, 2]], [[[0], [0]], [5]]))
    assert smaller.count_params() == 4


def test_the_outputs_stay_even_if_they_are_constant():
    smaller, changes = shrunk(two_layers([[[1, 1]], [1, 2]], [[[0, 1], [0, 0]], [5, 6]]))
    assert changes['output'].channels_left == 2
    assert values(smaller, 'output') == [[[0, 1]], [5, 6]]


def test_units_that_softmax_compares_stay():
    for softmax in ({'activation': 'softmax'}, {}):
        model = tf_keras.Sequential([
            layers.Dense(3, input_shape=(2,), name='fc', **softmax),
            *([] if softmax else [layers.Activation('softmax')]), layers.Dense(1, name='output')])
        with_kernels(model, fc=[[[1, 0, 0], [1, 1, 0]], [1, 2, 3]], output=[[[1], [0], [1]], [0]])
        _, changes = shrunk(model)
        assert changes['fc'].channels_left == 3


def image_network(*middle, channels=2, size=(6, 6)):
    return tf_keras.Sequential([
        layers.InputLayer((*size, 1)), layers.Conv2D(channels, 1, name='first'), *middle])


KERNEL = np.arange(1, 10).reshape(3, 3, 1, 1) * np.ones((1, 1, 2, 1))


@pytest.mark.parametrize(('padding', 'size', 'bias', 'left', 'sum_of_bias'), [
    ('valid', 3, 4, 1, 4 * 45), ('same', 3, 4, 2, 0), ('same', 3, 0, 1, 0), ('same', 1, 4, 1, 4)])
def test_a_constant_is_folded_unless_it_ends_at_a_border(padding, size, bias, left, sum_of_bias):
    model = image_network(layers.Conv2D(1, size, padding=padding, name='second'))
    with_kernels(model, first=[[[[[1, 0]]]], [0, bias]], second=[KERNEL[:size, :size], [0]])
    smaller, changes = shrunk(model)
    assert changes['first'].channels_left == left
    assert smaller.get_layer('second').get_weights()[1] == [sum_of_bias]


def test_one_constant_stands_in_for_all_in_front_of_a_border():
    model = image_network(layers.Conv2D(2, 3, padding='same', name='second'), channels=5)
    taps = np.arange(3 * 3 * 5 * 2).reshape(3, 3, 5, 2) + 1.0
    # The last one is larger, but nobody reads it; the first one varies.
    taps[:, :, 4] = 0
    with_kernels(model, first=[np.eye(1, 5).reshape(1, 1, 1, 5), [0, 2, -4, 0, 8]], second=[taps, [1, 2]])
    smaller, changes = shrunk(model)
    assert changes['first'].channels_left == 2
    # -4 of one channel are 2 of the one before, at -2 of its weights.
    expected = np.stack([taps[:, :, 0], taps[:, :, 1] - 2 * taps[:, :, 2]], axis=2)
    assert np.array_equal(smaller.get_layer('second').kernel, expected)
    assert smaller.get_layer('second').get_weights()[1].tolist() == [1, 2]


def test_a_constant_that_stays_for_another_reader_keeps_its_weights():
    image = tf_keras.Input((4, 4, 1))
    x = layers.Conv2D(3, 1, name='first')(image)
    outputs = [layers.Conv2D(1, 3, padding='same', name='second')(x), x]
    kernel = np.arange(1, 28).reshape(3, 3, 3, 1)
    model = with_kernels(tf_keras.Model(image, outputs), first=[[[[[1, 0, 0]]]], [0, 2, 3]], second=[kernel, [0]])
    smaller, changes = shrunk(model)
    assert changes['first'].channels_left == 3
    assert np.array_equal(smaller.get_layer('second').kernel, kernel)


@pytest.mark.parametrize(('name', 'left', 'most'), [
    ('lenet_300_100', {'fc1': 60, 'fc2': 20}, 0.3),
    # Of the 13 that are kept, and one that stands in for what is constant.
    ('conv2', {'conv1': 14, 'conv2': 13, 'fc1': 51, 'fc2': 51}, 0.1),
    # Within blocks as many. A sum keeps each channel that one of its terms has (3 and 13 each), and what stands in
    # where it is read.
    ('resnet20', {'stage1_block2_conv1': 4, 'stage3_block3_conv1': 14, 'conv1': 9, 'stage3_block3_conv2': 38}, 0.2)])
def test_channels_that_were_pruned_are_gone(name, left, most):
    shape = (8, 8, 1 if name.startswith('lenet') else 3)
    model, groups = models.find(name).build(shape, 10, 0), models.find(name).prunable_shapes(shape, 10)
    prune(model, 1)
    weights, mask = wrapper.get_weights(model), Mask.ones({each: what[1] for each, what in groups.items()})
    mask = structure.find('channels').keep(
        mask, {each: np.abs(weights[each].ravel()) for each in mask},
        {each: 0 if what[0] == 'output' else 0.8 for each, what in groups.items()}, 1)
    for each, variable in wrapper.variables(model).items():
        variable.assign(mask.apply(weights)[each])
    # Of random numbers without training, which grow with the depth.
    smaller, changes = shrunk(model, 1e-2)
    assert {each: changes[each].channels_left for each in left} == left
    assert smaller.count_params() < most * model.count_params()


def test_zeros_around_an_image_end_a_constant_too():
    model = image_network(layers.ZeroPadding2D(1), layers.Conv2D(1, 3, name='second'))
    for bias, left in ((4, 2), (0, 1)):
        with_kernels(model, first=[[[[[1, 0]]]], [0, bias]], second=[KERNEL, [0]])
        assert shrunk(model)[1]['first'].channels_left == left


@pytest.mark.parametrize('pool', [
    layers.MaxPooling2D, layers.AveragePooling2D, lambda: layers.MaxPooling2D(2, 3, padding='same'),
    lambda: layers.AveragePooling2D(4, padding='same')])
def test_a_constant_goes_through_pools(pool):
    model = image_network(pool(), layers.Flatten(), layers.Dense(1, name='output'))
    places = model.layers[-1].kernel.shape[0] // 2
    # A channel is a feature at each place.
    kernel = np.stack([np.arange(1, places + 1), np.full(places, 3)], -1).reshape(-1, 1)
    with_kernels(model, first=[[[[[1, 0]]]], [0, -4]], output=[kernel, [1]])
    smaller, _ = shrunk(model)
    assert values(smaller, 'output') == [[[place] for place in range(1, places + 1)], [1 - 4 * 3 * places]]


def test_a_channel_stays_while_one_place_of_it_is_read():
    model = image_network(layers.Flatten(), layers.Dense(1, name='output'), channels=3, size=(1, 2))
    with_kernels(model, first=[[[[[1, 2, 3]]]], [0, 0, 0]], output=[[[0], [0], [1], [0], [5], [2]], [0]])
    smaller, _ = shrunk(model)
    assert values(smaller, 'first') == [[[[[2, 3]]]], [0, 0]]
    assert values(smaller, 'output') == [[[0], [1], [5], [2]], [0]]


def test_batch_normalisation_of_a_constant_is_folded():
    model = image_network(
        layers.BatchNormalization(epsilon=0, name='norm'), layers.ReLU(), layers.GlobalAveragePooling2D(),
        layers.Dense(1, name='output'), channels=3)
    # The second channel is 2 * (4 - 1) / 3 + 5 = 7; the third has scale 0 and shift 6.
    with_kernels(model, first=[[[[[1, 0, 9]]]], [0, 4, 0]], output=[[[1], [10], [100]], [0]],
                 norm=[[1, 2, 0], [0, 5, 6], [0, 1, 2], [1, 9, 1]])
    smaller, changes = shrunk(model)
    assert values(smaller, 'norm') == [[1], [0], [0], [1]]
    assert values(smaller, 'output') == [[[1]], [670]]
    assert changes['norm'] == shrinking.Change(3, 1, 12, 4)


@pytest.mark.parametrize('options', [{'scale': False}, {'center': False}, {'scale': False, 'center': False}])
def test_batch_normalisation_without_scale_or_shift(options):
    model = tf_keras.Sequential([layers.Dense(4, input_shape=(2,), name='fc'), layers.BatchNormalization(**options),
                                 layers.Dense(1, name='output')])
    with_kernels(prune(model, 1), fc=[[[1, 0, 1, 0], [1, 0, 0, 0]], [1, 2, 3, 0]])
    assert shrunk(model)[1]['fc'].channels_left == 2


def residual(stem, inner, output):
    """Two 1x1 convolutions, the second of which is added to its input: a block, and an output layer."""
    image = tf_keras.Input((2, 2, 1))
    x = layers.Conv2D(3, 1, name='stem')(image)
    added = layers.ReLU()(layers.Add()([layers.Conv2D(3, 1, name='inner')(x), x]))
    outputs = layers.Dense(1, name='output')(layers.GlobalAveragePooling2D()(added))
    return with_kernels(tf_keras.Model(image, outputs), stem=stem, inner=inner, output=output)


def test_a_dead_channel_behind_an_addition_goes_on_both_sides():
    inner = [[[[[1, 2, 0], [3, 4, 0], [5, 6, 0]]]], [1, 1, 1]]
    # The second channel is not read after the sum, but its stem is by the block: it stays, without the block's weights.
    smaller, changes = shrunk(residual([[[[[1, 2, 3]]]], [0, 0, 0]], inner, [[[1], [0], [1]], [0]]))
    assert {name: change.channels_left for name, change in changes.items()} == {'stem': 3, 'inner': 3, 'output': 1}
    assert values(smaller, 'inner')[0] == [[[[1, 0, 0], [3, 0, 0], [5, 0, 0]]]]
    # Nor is it by the block.
    inner[0] = [[[[1, 2, 0], [0, 4, 0], [5, 6, 0]]]]
    smaller, changes = shrunk(residual([[[[[1, 2, 3]]]], [0, 0, 0]], inner, [[[1], [0], [1]], [0]]))
    assert values(smaller, 'stem') == [[[[[1, 3]]]], [0, 0]]
    assert values(smaller, 'inner') == [[[[[1, 0], [5, 0]]]], [1, 1]]
    assert values(smaller, 'output') == [[[1], [1]], [0]]


def test_a_channel_that_one_side_of_an_addition_feeds_stays():
    inner = [[[[[1, 0, 0], [0, 0, 0], [1, 0, 1]]]], [0, 0, 0]]
    smaller, _ = shrunk(residual([[[[[1, 2, 0]]]], [0, 0, 0]], inner, [[[1], [1], [1]], [0]]))
    # The third is 0 on both sides, and goes.
    assert values(smaller, 'stem') == [[[[[1, 2]]]], [0, 0]]
    assert values(smaller, 'inner') == [[[[[1, 0], [0, 0]]]], [0, 0]]
    # The sum of constants, relu(3 + (2 * 3 - 1)), is one; -3 + ... would be 0.
    inner = [[[[[1, 0, 0], [0, 1, 0], [0, 0, 2]]]], [0, 0, -1]]
    smaller, _ = shrunk(residual([[[[[1, 2, 0]]]], [0, 0, 3]], inner, [[[1], [1], [10]], [0]]))
    assert values(smaller, 'output') == [[[1], [1]], [80]]


def test_a_constant_that_stays_beside_another_channel_is_still_right():
    # The block's second unit is relu'd 0 * x + 2 * 3 + 1 and is added to what varies.
    inner = [[[[[1, 0, 0], [0, 0, 0], [0, 2, 0]]]], [0, 1, 0]]
    smaller, _ = shrunk(residual([[[[[1, 2, 0]]]], [0, 0, 3]], inner, [[[1], [1], [1]], [0]]))
    assert values(smaller, 'inner') == [[[[[1, 0], [0, 0]]]], [0, 7]]
    # Another reader keeps all of the stem, so that nothing is folded, and the sum of two constants is read as it is.
    image = tf_keras.Input((2, 2, 1))
    x = layers.Conv2D(2, 1, name='stem')(image)
    inner = layers.Conv2D(2, 1, name='inner')(x)
    outer = layers.Conv2D(1, 3, padding='same', name='outer')(x)
    output = layers.Dense(1, name='output')(layers.GlobalMaxPooling2D()(layers.Add()([inner, x])))
    model = with_kernels(
        tf_keras.Model(image, [output, outer]), stem=[[[[[1, 0]]]], [0, 3]], inner=[[[[[1, 0], [0, 2]]]], [0, 1]],
        outer=[KERNEL, [0]], output=[[[1], [4]], [0]])
    smaller, _ = shrunk(model)
    assert values(smaller, 'inner') == [[[[[1, 0], [0, 2]]]], [0, 1]]
    assert values(smaller, 'output') == [[[1], [4]], [0]]


def test_depthwise_channels():
    model = image_network(
        layers.DepthwiseConv2D(3, depth_multiplier=2, name='depthwise'), layers.GlobalAveragePooling2D(),
        layers.Dense(1, name='output'), channels=4)
    kernel = np.ones((3, 3, 4, 2))
    kernel[:, :, 1] = 0
    # Left are the first, of which one output is read, and the last; the second is 0 * x + bias, the third not read.
    with_kernels(model, first=[[[[[1, 1, 1, 1]]]], [0] * 4], depthwise=[kernel, np.arange(8)],
                 output=[[[0], [1], [1], [2], [0], [0], [1], [1]], [0]])
    smaller, _ = shrunk(model)
    assert smaller.get_layer('depthwise').depthwise_kernel.shape == (3, 3, 2, 2)
    assert values(smaller, 'output') == [[[0], [1], [1], [1]], [2 + 3 * 2]]
    for padding, left in (('valid', 1), ('same', 2)):
        model = image_network(layers.DepthwiseConv2D(3, padding=padding), layers.Flatten(), layers.Dense(1))
        with_kernels(model, first=[[[[[1, 0]]]], [0, 2]])
        assert shrunk(model)[1]['first'].channels_left == left


class Reversed(layers.Layer):
    """A layer that no rule knows, and that moves channels."""

    def call(self, inputs):
        return inputs[..., ::-1]


@tf_keras.utils.register_keras_serializable('tests')
def normalized(inputs):
    return tf.nn.l2_normalize(inputs, -1)


def shared():
    inputs = tf_keras.Input((3,))
    twice = layers.Dense(3, name='fc')
    return tf_keras.Model(inputs, twice(twice(inputs)))


def in_training():
    inputs = tf_keras.Input((3,))
    x = layers.Dense(3, name='fc')(inputs)
    x = layers.BatchNormalization()(x, training=True)
    return tf_keras.Model(inputs, layers.Dense(1)(x))


def operators():
    inputs = tf_keras.Input((3,))
    x = layers.Dense(3, name='fc')(inputs)
    return tf_keras.Model(inputs, layers.Dense(1)(tf.nn.relu(x) + 2.0 * x))


def one_gate_for_all():
    inputs = tf_keras.Input((3,))
    x = layers.Multiply()([layers.Dense(3, name='fc')(inputs), layers.Dense(1)(inputs)])
    return tf_keras.Model(inputs, layers.Dense(1)(x))


def with_a_number():
    inputs = tf_keras.Input((3,))
    x = layers.Multiply()([layers.Dense(3, name='fc')(inputs), tf.constant([[1.0, 2, 3]])])
    return tf_keras.Model(inputs, layers.Dense(1)(x))


@pytest.mark.parametrize('make', [
    lambda: tf_keras.Sequential([layers.Dense(3, input_shape=(3,), name='fc'), Reversed(), layers.Dense(1)]),
    lambda: tf_keras.Sequential([layers.Dense(3, input_shape=(3,), name='fc'), layers.LayerNormalization(),
                                 layers.Dense(1)]),
    lambda: tf_keras.Sequential([layers.Reshape((3, 1), input_shape=(3,)), layers.LSTM(3, name='fc'),
                                 layers.Dense(1)]),
    lambda: tf_keras.Sequential([layers.Dense(3, normalized, input_shape=(3,), name='fc'), layers.Dense(1)]),
    lambda: tf_keras.Sequential([layers.Conv2D(4, 1, input_shape=(2, 2, 2), groups=2, name='fc'), layers.Flatten(),
                                 layers.Dense(1)]),
    lambda: tf_keras.Sequential([layers.Conv2D(4, 1, input_shape=(2, 2, 2), name='fc'),
                                 layers.Flatten('channels_first'), layers.Dense(1)]),
    shared, in_training, operators, one_gate_for_all, with_a_number])
def test_nothing_is_removed_across_what_no_rule_describes(make):
    _, changes = shrunk(prune(make(), 0.15))
    assert changes['fc'].weights_left == changes['fc'].weights


def late():
    model = tf_keras.Sequential([layers.Dense(6), layers.Dense(2)])
    model.build((None, 3))
    return model


def images_of_any_size():
    return tf_keras.Sequential([
        layers.Conv2D(6, 3, input_shape=(None, None, 2)), layers.MaxPool2D(), layers.Conv2D(5, 2, activation='relu'),
        layers.GlobalMaxPool2D(keepdims=True), layers.Flatten(), layers.Dense(2)])


def sequences():
    return tf_keras.Sequential([layers.Dense(6, 'relu', input_shape=(None, 3)), layers.Dense(5), layers.Dense(2)])


def inputs_by_name():
    inputs = {'a': tf_keras.Input((3,), name='a'), 'b': tf_keras.Input((3,), name='b')}
    x = layers.Add()([layers.Dense(6)(inputs['a']), layers.Dense(6)(inputs['b'])])
    return tf_keras.Model(inputs, {'first': layers.Dense(2, name='first')(x)})


def an_input_that_is_an_output():
    inputs = tf_keras.Input((3,))
    return tf_keras.Model(inputs, [inputs, layers.Dense(2)(layers.Dense(6)(inputs))])


@pytest.mark.parametrize('make', [late, images_of_any_size, sequences, inputs_by_name, an_input_that_is_an_output])
def test_models_of_any_make(make):
    smaller, _ = shrunk(prune(make(), 0.15))
    assert smaller.count_params() < make().count_params()


def test_a_nested_model_is_shrunk_inside():
    inner_input = tf_keras.Input((2,))
    inner = tf_keras.Model(inner_input, layers.Dense(2, name='out')(
        layers.Dense(3, 'relu', name='fc')(inner_input)), name='inner')
    outer_input = tf_keras.Input((2,))
    model = tf_keras.Model(outer_input, layers.Dense(1, name='fc')(inner(outer_input)))
    with_kernels(inner, fc=[[[1, 0, 2], [3, 0, 4]], [0, 5, 0]], out=[np.ones((3, 2)), [0, 0]])
    _, changes = shrunk(model)
    assert changes['inner/fc'] == shrinking.Change(3, 2, 9, 6)
    assert list(changes) == ['inner/fc', 'inner/out', 'fc']


def test_a_nested_model_that_is_called_twice_is_counted_once():
    inner = with_kernels(tf_keras.Sequential([
        layers.Dense(3, 'relu', input_shape=(2,), name='fc'), layers.Dense(2, name='out')], name='inner'),
        fc=[[[1, 0, 2], [3, 0, 4]], [0, 5, 0]], out=[np.ones((3, 2)), [0, 0]])
    outer = tf_keras.Sequential([inner, layers.Dense(1, name='fc')], name='outer')
    inputs = tf_keras.Input((2,))
    model = tf_keras.Model(inputs, outer(inner(inputs)))
    _, changes = shrunk(model)
    assert list(changes) == ['inner/fc', 'inner/out', 'outer/fc']
    assert changes['inner/fc'] == shrinking.Change(3, 2, 9, 6)


def convolutional(size=8, padding='same', use_bias=False):
    return tf_keras.Sequential([
        layers.InputLayer((size, size, 2)),
        layers.Conv2D(5, 3, padding=padding, use_bias=use_bias), layers.BatchNormalization(), layers.ReLU(),
        layers.MaxPooling2D(), layers.Conv2D(4, 2, padding=padding, activation='tanh'), layers.Dropout(0.5),
        layers.AveragePooling2D(padding=padding), layers.Flatten(), layers.Dense(6, 'sigmoid'), layers.Dense(3)])


def small_resnet(average):
    image = x = tf_keras.Input((6, 6, 2))
    for filters, strides in ((4, 1), (4, 1), (6, 2)):
        inner = layers.ReLU()(layers.BatchNormalization()(
            layers.Conv2D(filters, 3, strides, padding='same', use_bias=False)(x)))
        inner = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding='same', use_bias=False)(inner))
        if x.shape[-1] != filters:
            x = layers.BatchNormalization()(layers.Conv2D(filters, 1, strides, padding='same', use_bias=False)(x))
        x = layers.ReLU()(layers.Add()([inner, x]))
    x = layers.GlobalAveragePooling2D()(x) if average else layers.Flatten()(x)
    return tf_keras.Model(image, layers.Dense(3)(x))


NETWORKS = {
    'dense': lambda: tf_keras.Sequential([
        layers.Dense(8, 'relu', input_shape=(4,)), layers.Dense(7, 'tanh', use_bias=False), layers.BatchNormalization(),
        layers.Dense(6, 'sigmoid'), layers.Dense(3, 'softmax')]),
    'conv_same': convolutional,
    'conv_valid': lambda: convolutional(12, 'valid', use_bias=True),
    'resnet_average': lambda: small_resnet(True),
    'resnet_flat': lambda: small_resnet(False),
}
BUILT = {}


@pytest.mark.parametrize('name', NETWORKS)
@hypothesis.settings(max_examples=8)
@hypothesis.given(density=st.sampled_from([0.02, 0.1, 0.2, 0.4]), seed=st.integers(0, 2**16))
def test_any_mask_leaves_the_outputs_as_they_are(name, density, seed):
    if name not in BUILT:
        BUILT[name] = NETWORKS[name]()
    shrunk(prune(BUILT[name], density, seed))


@pytest.mark.parametrize(('name', 'shape', 'density', 'most'), [
    ('lenet_300_100', (8, 8, 1), 0.01, 0.6), ('conv2', (8, 8, 1), 0.003, 0.7),
    ('conv4_dropout', (8, 8, 3), 0.003, 0.2), ('resnet20', (8, 8, 3), 0.005, 0.7)])
def test_the_networks_of_the_papers(name, shape, density, most):
    model = prune(models.find(name).build(shape, 10, 0), density)
    smaller, _ = shrunk(model, 1e-4)
    assert smaller.count_params() < most * model.count_params()


@pytest.mark.parametrize('precision', ['mixed_bfloat16', 'mixed_float16', 'float64'])
def test_precision_stays(precision):
    policy = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(precision)
    try:
        model = prune(NETWORKS['resnet_average'](), 0.15)
    finally:
        tf_keras.mixed_precision.set_global_policy(policy)
    smaller, changes = shrunk(model, {'mixed_bfloat16': 0.05, 'mixed_float16': 0.01, 'float64': 1e-12}[precision])
    assert any(change.weights_left < change.weights for change in changes.values())
    assert [layer.dtype_policy.name for layer in smaller.layers] == [layer.dtype_policy.name for layer in model.layers]
    assert [weight.dtype for weight in smaller.weights] == [weight.dtype for weight in model.weights]


def test_a_shrunk_network_is_trained_saved_and_loaded(tmp_path):
    smaller, _ = shrunk(prune(convolutional(), 0.2))
    smaller.compile('sgd', 'mse')
    smaller.fit(*inputs_of(smaller), np.ones((5, 3)), verbose=0)
    smaller.save(tmp_path / 'small.keras')
    loaded = tf_keras.models.load_model(tmp_path / 'small.keras')
    assert np.array_equal(loaded(inputs_of(smaller)), smaller(inputs_of(smaller)))
    assert not any(np.shares_memory(a, b) for a, b in zip(loaded.get_weights(), smaller.get_weights(), strict=True))


def test_a_wrapped_model_is_refused():
    model = wrapper.prunable(two_layers([[[1, 2, 3]], [4, 5, 6]], [[[1], [0], [2]], [7]]))
    with pytest.raises(UsageError, match=r"layer 'fc' of model .* is wrapped.*strip_pruning"):
        shrinking.shrink(model)


@pytest.mark.parametrize('name', test_clones.MODELS)
def test_whatever_the_layers_hold_the_outputs_stay(name):
    make, inputs = test_clones.MODELS[name]
    model, rng = make(), np.random.default_rng(1)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            weight.assign(weight * tf.cast(rng.random(weight.shape) < 0.3, weight.dtype))
    state = test_clones.values(model)
    smaller, _ = shrinking.shrink(model)
    assert test_clones.equal(test_clones.values(model), state)
    for own, expected in zip(test_clones.outputs(smaller, inputs), test_clones.outputs(model, inputs), strict=True):
        assert np.allclose(own, expected, rtol=1e-5, atol=1e-5)


def double(values):
    return 2 * values


class Power:
    """An activation that is neither a function nor known by a name."""

    def __call__(self, values):
        return values**2

    __hash__ = None


@pytest.mark.parametrize('activation', [double, lambda values: 2 * values, Power()], ids=['named', 'lambda', 'object'])
def test_a_layer_made_smaller_keeps_its_functions(activation):
    model = tf_keras.Sequential([
        layers.Dense(3, 'relu', input_shape=(1,), name='first'),
        layers.Dense(2, activation, name='second', kernel_regularizer=lambda kernel: 3 * tf.reduce_sum(kernel),
                     kernel_initializer=lambda shape, dtype=None: tf.ones(shape, dtype),
                     kernel_constraint=lambda kernel: kernel), layers.Dense(1, name='third')])
    # The second unit is not read, the third is relu(2) * 10; whether a function sees each unit by itself is not known.
    with_kernels(model, first=[[[1, 2, 0]], [0, 0, 2]], second=[[[1, 0], [0, 0], [10, 0]], [1, 1]])
    smaller, changes = shrunk(model)
    assert {name: change.channels_left for name, change in changes.items()} == {'first': 1, 'second': 2, 'third': 1}
    assert values(smaller, 'second') == [[[1, 0]], [21, 1]]
    assert smaller.get_layer('second').activation is activation
    assert [float(loss) for loss in smaller.losses] == [3]


def with_a_loss(model):
    kernel = model.get_layer('fc').kernel
    model.get_layer('fc').add_loss(lambda: tf.reduce_sum(kernel))
    return model


def with_a_call(model):
    layer = model.get_layer('fc')
    layer.call = lambda inputs: tf.reverse(tf_keras.layers.Dense.call(layer, inputs), [-1])
    return model


def with_a_tie(model):
    tied = test_clones.Tied(model.get_layer('fc'))
    return tf_keras.Model(model.input, [model.output, tied(layers.Dense(3)(model.input))])


def in_two_models(model):
    other = tf_keras.Sequential([layers.InputLayer((1,)), model.get_layer('fc'), layers.Dense(2)], name='other')
    inputs = tf_keras.Input((1,))
    return tf_keras.Model(inputs, [tf_keras.Model(model.input, model.output, name='model')(inputs), other(inputs)])


@pytest.mark.parametrize('make', [with_a_loss, with_a_call, with_a_tie, in_two_models])
def test_a_layer_that_others_rely_on_stays_as_it_is(make):
    model = make(two_layers([[[1, 2, 3]], [4, 5, 6]], [[[1], [0], [2]], [7]]))
    inputs = inputs_of(model)
    smaller, changes = shrinking.shrink(model)
    (change,) = {change for name, change in changes.items() if name.split('/')[-1] == 'fc'}
    assert change == shrinking.Change(3, 3, 6, 6)
    for output, expected in zip(tf.nest.flatten(smaller(inputs)), tf.nest.flatten(model(inputs)), strict=True):
        assert np.array_equal(output, expected)
    assert len(smaller.weights) == len(model.weights)
    assert [float(loss) for loss in smaller.losses] == [float(loss) for loss in model.losses]


def test_a_model_that_was_saved_before_is_shrunk(tmp_path):
    model = two_layers([[[1, 2, 3]], [4, 5, 6]], [[[1], [0], [2]], [7]])
    tf.saved_model.save(model, str(tmp_path / 'saved'))
    assert shrunk(model)[1]['fc'].channels_left == 2


def test_a_variable_that_is_read_past_the_layers_is_told():
    kept = tf_keras.layers.Dense(3, input_shape=(3,), name='fc')
    test_clones.ELSEWHERE['fc'] = kept
    model = tf_keras.Sequential([kept, layers.Dense(2, test_clones.read_elsewhere)], name='net')
    with pytest.raises(UsageError, match=r"^model 'net' reads its variable 'fc/kernel:0' past its layers"):
        shrinking.shrink(model)


def test_a_smaller_model_that_computes_something_else_is_refused(monkeypatch):
    model = two_layers([[[1, 2, 3]], [4, 5, 6]], [[[1], [0], [2]], [7]])
    monkeypatch.setattr(shrinking._Weighted, '_taps', lambda rule, step: 2 * step.layer.kernel.numpy()[None])
    # relu(2 * 0 + 5) * 3 is folded twice.
    with_kernels(model, fc=[[[1, 0, 2]], [4, 5, 6]], output=[[[1], [3], [2]], [7]])
    with pytest.raises(UsageError, match=r'cannot be made smaller: .* off by .* of the largest, so use it as it is\.'):
        shrinking.shrink(model)
    monkeypatch.setattr(shrinking._Weighted, '_taps', lambda rule, step: np.nan * step.layer.kernel.numpy()[None])
    with pytest.raises(UsageError, match=r'off by nan of the largest'):
        shrinking.shrink(model)


def test_a_class_of_ones_own_is_refused():
    with pytest.raises(UsageError, match=r"^model 'student' is a Distilled, .* give tf_keras\.Model"):
        shrinking.shrink(test_clones.distilled())
