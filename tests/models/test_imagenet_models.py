"""The networks for ImageNet have the layers, counts and losses of their papers."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery import models
from tf_lottery.errors import UsageError
from tf_lottery.models.auxiliary import judged_by
from tf_lottery.pruning import wrapper

# 1903.01611, Figure 6: 25.5M, 27.1M (with the auxiliary head) and 1.25M. {network: (pixels, {group: weights},
# all parameters that are trained, products of weights per image in billions)}: the parameters are those of
# torchvision's resnet50 and squeezenet1_0, and of its inception_v3 without the 18,112 scales that slim's batch
# normalisation lacks.
PUBLISHED = {
    'resnet50': (224, {'conv': 20_686_016, 'projection': 2_768_896, 'output': 2_048_000},
                 25_557_032, 4.09),
    'inception_v3': (299, {'conv': 24_307_040, 'output': 2_816_000}, 27_161_264 - 18_112, 5.72),
    'squeezenet': (224, {'conv': 732_448, 'output': 512_000}, 1_248_424, 0.836),
}
SMALL = {'resnet50': 64, 'inception_v3': 107, 'squeezenet': 64}


def shapes(name, pixels, classes=1000):
    return models.find(name).prunable_shapes((pixels, pixels, 3), classes)


@functools.cache
def built(name):
    """Each network once, on small images, with the bfloat16 layers that a float32 one shares everything but the
    arithmetic with."""
    pixels = SMALL[name]
    return models.find(name).build((pixels, pixels, 3), 1000, seed=3, precision='mixed_bfloat16')


def images(name, count=2):
    return np.random.default_rng(0).random((count, SMALL[name], SMALL[name], 3), np.float32)


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_network_has_the_weights_of_its_paper(name):
    pixels, groups, _, billions = PUBLISHED[name]
    counted = dict.fromkeys(models.GROUPS, 0)
    for group, shape, _ in shapes(name, pixels).values():
        counted[group] += math.prod(shape)
    assert {group: count for group, count in counted.items() if count} == groups
    products = sum(math.prod(shape) * places for _, shape, places in shapes(name, pixels).values())
    assert products / 1e9 == pytest.approx(billions, rel=0.002)


@pytest.mark.parametrize('name', PUBLISHED)
def test_shapes_known_without_tensorflow_are_those_of_the_network(name):
    network = wrapper.prunable(built(name))
    found = {key: tuple(weight.shape) for key, (_, weight, *_) in wrapper.prunable_variables(network).items()}
    expected = {key: shape for key, (_, shape, _) in shapes(name, SMALL[name]).items()}
    assert found == expected
    # Keras sorts the parallel branches of Inception by their distance from the output.
    if name != 'inception_v3':
        assert list(found) == list(expected)


@pytest.mark.parametrize('name', PUBLISHED)
def test_places_are_those_that_keras_computes(name):
    network = built(name)
    for key, (group, shape, places) in shapes(name, SMALL[name]).items():
        output = network.get_layer(key.removesuffix('/kernel')).output
        assert places == math.prod(output.shape[1:-1]), key


@pytest.mark.parametrize('name', PUBLISHED)
def test_all_parameters_are_the_published_ones(name):
    pixels, _, published, _ = PUBLISHED[name]
    sizes = {key: math.prod(shape) for key, (_, shape, _) in shapes(name, SMALL[name]).items()}
    rest = sum(variable.shape.num_elements() for variable in built(name).trainable_variables) - sum(sizes.values())
    assert sum(math.prod(shape) for _, shape, _ in shapes(name, pixels).values()) + rest == published


@pytest.mark.parametrize('name', PUBLISHED)
def test_logits_are_float32_and_layers_are_not(name):
    network = built(name)
    for training in (False, True):
        logits = network(images(name), training=training)
        assert (logits.shape, logits.dtype) == ((2, 1000), tf.float32)
        assert np.isfinite(logits).all()
    computed = {layer.name: layer.compute_dtype for layer in network.layers}
    assert {key for key, dtype in computed.items() if dtype == 'float32'} <= {
        'image', 'normalised', 'logits', 'output_logits', 'auxiliary_output_logits'}
    assert all(variable.dtype == tf.float32 for variable in network.variables)


@pytest.mark.parametrize('name', PUBLISHED)
def test_images_are_normalised_first(name):
    layer = built(name).layers[1]
    mean, deviation = np.array([[0.485, 0.456, 0.406]]), np.array([[0.229, 0.224, 0.225]])
    np.testing.assert_allclose(layer(mean), np.zeros((1, 3)), atol=1e-6)
    np.testing.assert_allclose(layer(mean + deviation), np.ones((1, 3)), rtol=1e-5)


@pytest.mark.parametrize('name', PUBLISHED)
def test_kernels_are_gaussian_glorot_with_a_seed_each(name):
    values = {key: value for key, value in wrapper.get_weights(built(name)).items() if key.endswith('/kernel')}
    for key, value in values.items():
        places = math.prod(value.shape[:-2])
        expected = math.sqrt(2 / (places * (value.shape[-2] + value.shape[-1])))
        assert value.std() == pytest.approx(expected, rel=max(0.03, 3 / math.sqrt(2 * value.size))), key
    first = {round(float(value.ravel()[0] / value.std()), 4) for value in values.values()}
    assert len(first) == len(values)


def test_resnet50_is_the_one_of_the_tpu_implementation():
    network = built('resnet50')
    strides = {layer.name: layer.strides[0] for layer in network.layers if isinstance(layer, tf_keras.layers.Conv2D)}
    assert {name for name, stride in strides.items() if stride == 2} == {
        'conv1_conv', *(f'v2_stack_{stack}_block1_{place}_conv' for stack in (1, 2, 3) for place in (0, 2))}
    assert len(strides) == 53 and network.get_layer('v2_stack_3_block3_out').output.shape[1:] == (2, 2, 2048)
    norms = [layer for layer in network.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.9, 1e-5)} and len(norms) == 53
    assert {layer.name for layer in norms if not layer.gamma.numpy().any()} == {
        layer.name for layer in norms if layer.name.endswith('_3_bn')}


def test_squeezenet_has_biases_and_a_relu_after_every_convolution():
    network = built('squeezenet')
    convolutions = [layer for layer in network.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert len(convolutions) == 26 and all(layer.use_bias for layer in convolutions)
    assert {layer.activation.__name__ for layer in convolutions} == {'relu'}


def test_inception_normalises_as_slim_does():
    norms = [layer for layer in built('inception_v3').layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon, layer.scale) for layer in norms} == {(0.996, 1e-3, False)}
    assert len(norms) == 96


def test_the_auxiliary_head_adds_its_loss_where_one_is_given():
    network = wrapper.prunable(built('inception_v3'))
    labels = tf.constant([1, 5])

    def loss(logits):
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

    @tf.function
    def gradients(judge):
        with tf.GradientTape() as tape:
            with judged_by(loss if judge else None):
                logits = network(images('inception_v3'), training=True)
            total = loss(logits) + tf.add_n(network.losses or [0.0])
        kernels = [wrapper.variables(network)[f'{name}/kernel'] for name in ('auxiliary_output', 'stem0')]
        found = tape.gradient(total, kernels, unconnected_gradients='zero')
        return logits, total - loss(logits), [tf.norm(gradient) for gradient in found]

    logits, extra, (head, body) = gradients(True)
    assert logits.shape == (2, 1000)
    # Of a thousand classes that it knows nothing of, log(1000) each.
    assert float(extra) == pytest.approx(0.4 * math.log(1000), rel=0.3)
    assert head > 0 and body > 0
    _, extra, (head, body) = gradients(False)
    assert float(extra) == 0 and head == 0 and body > 0
    with judged_by(loss):
        network(images('inception_v3'), training=False)
    assert not network.losses


@pytest.mark.parametrize(('name', 'least'), [('squeezenet', 29), ('inception_v3', 107)])
def test_images_too_small_are_one_sentence(name, least):
    models.find(name).prunable_shapes((least, least, 3), 10)
    with pytest.raises(UsageError, match=f'images of {least} x {least - 1}: .* {least} x {least} or larger'):
        models.find(name).prunable_shapes((least, least - 1, 3), 10)
