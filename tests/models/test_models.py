"""Every network has the layers, counts, densities and initial weights of its paper."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery import models
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config
from tf_lottery.pruning import allocation, wrapper

CIFAR = ((32, 32, 3), 10)

# 1803.03635, Figure 2: {network: {group: weights}}. They are its 4.3M / 38K, 2.4M / 260K, 20.0M and, projections
# included, 270K; for Conv-6 its 1.7M does not follow from its layers (papers.md, section 1.1).
WEIGHTS = {
    'lenet_300_100': {'dense': 3072 * 300 + 30_000, 'output': 1_000},
    'conv2': {'conv': 38_592, 'dense': 4_259_840, 'output': 2_560},
    'conv4': {'conv': 259_776, 'dense': 2_162_688, 'output': 2_560},
    'conv6': {'conv': 1_144_512, 'dense': 1_114_112, 'output': 2_560},
    'conv8': {'conv': 4_683_456, 'dense': 589_824, 'output': 2_560},
    'vgg19': {'conv': 20_018_880, 'output': 5_120},
    'resnet20': {'conv': 267_696, 'projection': 2_560, 'output': 640},
}
# Networks for images of CIFAR's size; those for ImageNet's are in test_imagenet_models.py.
SMALL = [name for name in models.NETWORKS if name not in ('resnet50', 'inception_v3', 'squeezenet')]
WEIGHTS.update({f'{name}_dropout': WEIGHTS[name] for name in ('conv2', 'conv4', 'conv6')})

# 1803.03635, Figure 2, 'prune / round': the share of the survivors pruned per level.
FRACTIONS = {
    'conv2': {'conv': 0.1, 'dense': 0.2, 'output': 0.1},
    'conv4': {'conv': 0.1, 'dense': 0.2, 'output': 0.1},
    'conv6': {'conv': 0.15, 'dense': 0.2, 'output': 0.1},
    'vgg19': {'conv': 0.2, 'output': 0},
    'resnet20': {'conv': 0.2, 'projection': 0, 'output': 0},
}

# Densities by level in per cent that 1803.03635 prints, and those that follow from its layers and fractions (papers.md,
# section 1.3). For Conv-4 at level 13 it prints 7.6 where 7.65 follows.
PRINTED = {
    'conv2': {11: 8.8, 14: 4.6},
    'conv4': {11: 11.1, 12: 9.2, 15: 5.4},
    'conv6': {7: 26.4, 10: 15.1, 12: 10.5},
    'resnet20': {4: 41.7, 6: 27.1, 7: 21.9, 10: 11.8},
    'vgg19': {12: 6.9, 15: 3.5, 19: 1.5},
}
DERIVED = {
    'conv2': {1: 80.1, 3: 51.4, 4: 41.2, 6: 26.5, 7: 21.2, 9: 13.7, 10: 11.0, 12: 7.1, 13: 5.7, 15: 3.7, 16: 3.0,
              18: 1.9, 19: 1.6},
    'conv4': {1: 81.1, 3: 53.5, 4: 43.6, 6: 29.1, 7: 23.9, 9: 16.2, 10: 13.3, 13: 7.65, 14: 6.4, 16: 4.5, 18: 3.2,
              19: 2.7},
    'conv6': {1: 82.5, 3: 56.4, 4: 46.7, 6: 32.1, 9: 18.4, 11: 12.7, 13: 8.9, 14: 7.4, 15: 6.2, 16: 5.2, 18: 3.6,
              19: 3.0},
    'resnet20': {1: 80.2, 3: 51.8, 9: 14.4, 11: 9.7, 12: 8.0, 13: 6.6, 14: 5.5, 15: 4.7, 16: 4.0, 18: 3.0, 19: 2.6},
    'vgg19': {1: 80.0, 3: 51.2, 4: 41.0, 6: 26.2, 7: 21.0, 9: 13.4, 10: 10.8, 11: 8.6, 13: 5.5, 14: 4.4, 16: 2.8,
              18: 1.8},
}


@functools.cache
def built(name):
    """Each network once, with the bfloat16 layers that a float32 one shares everything but the arithmetic with."""
    return models.find(name).build(*CIFAR, seed=3, precision='mixed_bfloat16')


def kernels(name):
    return {key: value for key, value in wrapper.get_weights(built(name)).items() if key.endswith('/kernel')}


def sizes(name):
    return {weight: math.prod(shape) for weight, (_, shape, _) in models.find(name).prunable_shapes(*CIFAR).items()}


def fractions(name):
    return {weight: FRACTIONS[name][group]
            for weight, (group, *_) in models.find(name).prunable_shapes(*CIFAR).items()}


def test_the_weights_of_every_network_are_known():
    assert set(WEIGHTS) == set(SMALL)
    assert sum(WEIGHTS['resnet20'].values()) == 270_896
    assert sum(WEIGHTS['vgg19'].values()) == 20_024_000
    assert sum(WEIGHTS['conv6'].values()) == 2_261_184


@pytest.mark.parametrize('name', SMALL)
def test_a_network_has_the_weights_of_its_paper(name):
    counted = {}
    for group, shape, _ in models.find(name).prunable_shapes(*CIFAR).values():
        counted[group] = counted.get(group, 0) + math.prod(shape)
    assert counted == WEIGHTS[name]
    assert set(counted) <= set(models.GROUPS)


@pytest.mark.parametrize('name', SMALL)
def test_shapes_known_without_tensorflow_are_those_of_the_network(name):
    network = wrapper.prunable(built(name))
    shapes = {key: tuple(weight.shape) for key, (_, weight, *_) in wrapper.prunable_variables(network).items()}
    expected = {key: shape for key, (_, shape, _) in models.find(name).prunable_shapes(*CIFAR).items()}
    assert list(shapes.items()) == list(expected.items())


@pytest.mark.parametrize('name', ['conv4', 'resnet20'])
def test_shapes_follow_other_images_and_classes(name):
    network = wrapper.prunable(models.find(name).build((30, 17, 1), 7, seed=0))
    shapes = {key: tuple(weight.shape) for key, (_, weight, *_) in wrapper.prunable_variables(network).items()}
    assert shapes == {key: shape for key, (_, shape, _) in models.find(name).prunable_shapes((30, 17, 1), 7).items()}


def percent(name, level):
    if FRACTIONS[name]['output']:
        kept = sum(allocation.layerwise_counts(sizes(name), fractions(name), level).values())
    else:
        # Ranked globally: what is never pruned stays, and counts.
        ranked = sum(size for key, size in sizes(name).items() if fractions(name)[key])
        kept = sum(sizes(name).values()) - ranked + allocation.keep_count(ranked, allocation.level_density(0.2, level))
    return 100 * kept / sum(sizes(name).values())


@pytest.mark.parametrize('name', FRACTIONS)
def test_levels_have_the_densities_of_the_paper(name):
    # Those of Conv-6 are the densities of a network with other proportions than the layers that the paper lists.
    tolerance = 0.3 if name == 'conv6' else 0.05
    for level, density in {**PRINTED[name], **DERIVED[name]}.items():
        assert percent(name, level) == pytest.approx(density, abs=tolerance), level


def test_global_pruning_keeps_what_is_counted_here():
    weights = kernels('resnet20')
    mask = allocation.prune(wrapper.get_mask(wrapper.prunable(built('resnet20'))), weights, fractions('resnet20'), 4,
                            'global')
    assert mask.kept == 2_560 + 640 + round(267_696 * 0.8 ** 4)
    assert all(mask[name].all() for name, fraction in fractions('resnet20').items() if not fraction)


@pytest.mark.parametrize('name', SMALL)
def test_kernels_are_gaussian_glorot_and_all_else_starts_plain(name):
    for key, value in wrapper.get_weights(built(name)).items():
        if not key.endswith('/kernel'):
            assert np.all(value == (1 if key.endswith(('gamma', 'moving_variance')) else 0)), key
            continue
        places = math.prod(value.shape[:-2])
        expected = math.sqrt(2 / (places * (value.shape[-2] + value.shape[-1])))
        # The standard deviation of n numbers is off by 1 / sqrt(2 n) of it, less where the normal is truncated.
        assert value.std() == pytest.approx(expected, rel=max(0.02, 3 / math.sqrt(2 * value.size))), key
        assert abs(value.mean()) < 5 * expected / math.sqrt(value.size), key
        # A uniform distribution of this deviation has a kurtosis of 1.8, a normal one 3, one truncated at two 2.4.
        if value.size > 10_000:
            assert np.mean(value ** 4) / np.mean(value ** 2) ** 2 == pytest.approx(2.37, abs=0.1), key


@pytest.mark.parametrize('name', ['conv2', 'vgg19', 'resnet20'])
def test_each_layer_has_its_own_seed_and_the_same_one_again(name):
    again = wrapper.get_weights(models.find(name).build(*CIFAR, seed=3))
    other = wrapper.get_weights(models.find(name).build(*CIFAR, seed=1000))
    for key, value in kernels(name).items():
        assert np.array_equal(value, again[key]), key
        assert not np.array_equal(value, other[key]), key
    first = [float(value.ravel()[0] * math.sqrt(math.prod(value.shape[:-2]) * sum(value.shape[-2:])))
             for value in kernels(name).values()]
    assert len({round(value, 4) for value in first}) == len(first)


@pytest.mark.parametrize('name', SMALL)
def test_logits_are_float32_and_layers_are_not(name):
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    network = built(name)
    for training in (False, True):
        logits = network(images, training=training)
        assert (logits.shape, logits.dtype) == ((2, 10), tf.float32)
        assert np.isfinite(logits).all()
    computed = {layer.name: layer.compute_dtype for layer in network.layers}
    assert {key for key, dtype in computed.items() if dtype == 'float32'} <= {'image', 'logits', 'flatten'}
    assert all(variable.dtype == tf.float32 for variable in network.variables)


@pytest.mark.parametrize('name', ['vgg19', 'resnet20'])
def test_every_convolution_has_batch_normalisation_in_place_of_a_bias(name):
    network = built(name)
    convolutions = [layer for layer in network.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    norms = {layer.name: layer for layer in network.layers if isinstance(layer, tf_keras.layers.BatchNormalization)}
    assert len(convolutions) == {'vgg19': 16, 'resnet20': 21}[name]
    assert {f'{layer.name}_norm' for layer in convolutions} == set(norms)
    assert not any(layer.use_bias for layer in convolutions)
    assert {(layer.momentum, layer.epsilon) for layer in norms.values()} == {(0.9, 1e-5)}
    wrapped = wrapper.wrappers(wrapper.prunable(network))
    assert set(wrapped) == {layer.name for layer in convolutions} | {'output'}


def test_resnet20_is_a_residual_network():
    """With the second convolutions' shifts and scales at zero, all that reaches the output are the shortcuts."""
    network = tf_keras.models.clone_model(built('resnet20'))
    for key, variable in wrapper.variables(network).items():
        if '_conv2_norm/gamma' in key:
            variable.assign(tf.zeros_like(variable))
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    layers = {layer.name: layer for layer in network.layers}
    inside = tf_keras.Model(network.input, [layers[name].output for name in (
        'conv1_relu', 'stage1_block3_relu', 'stage2_block1_relu', 'stage2_block3_relu', 'stage3_block3_relu')])
    first, stage1, block, stage2, stage3 = inside(images)
    assert np.array_equal(first, stage1) and np.array_equal(block, stage2)
    assert stage1.shape == (2, 32, 32, 16) and stage2.shape == (2, 16, 16, 32) and stage3.shape == (2, 8, 8, 64)
    # A relu follows the stem, the first convolution of each block, and each sum.
    relus = {name for name, layer in layers.items() if isinstance(layer, tf_keras.layers.ReLU)}
    assert len(relus) == 19 and not any('_conv2' in name or '_projection' in name for name in relus)
    projected = layers['stage2_block1_projection_norm'](layers['stage2_block1_projection'](stage1))
    assert np.array_equal(block, tf.nn.relu(projected))


def test_max_pools_stand_where_the_papers_table_has_them():
    def plan(name):
        kinds = {tf_keras.layers.Conv2D: lambda layer: layer.filters, tf_keras.layers.MaxPool2D: lambda layer: 'pool',
                 tf_keras.layers.Dense: lambda layer: layer.units,
                 tf_keras.layers.GlobalAveragePooling2D: lambda layer: 'average'}
        return [kinds[type(layer)](layer) for layer in built(name).layers if type(layer) in kinds]

    assert plan('conv2') == [64, 64, 'pool', 256, 256, 10]
    assert plan('conv6') == [64, 64, 'pool', 128, 128, 'pool', 256, 256, 'pool', 256, 256, 10]
    assert plan('vgg19') == [64, 64, 'pool', 128, 128, 'pool', *[256] * 4, 'pool', *[512] * 4, 'pool', *[512] * 4,
                             'average', 10]


@pytest.mark.parametrize(('name', 'least'), [('conv2', 2), ('conv4', 4), ('conv6_dropout', 8), ('vgg19', 16)])
def test_images_too_small_for_the_pools_are_one_sentence(name, least):
    models.find(name).prunable_shapes((least, least, 1), 10)
    with pytest.raises(UsageError, match=f'leaves nothing of {least} x {least - 1}: choose a data set of {least} x'):
        models.find(name).prunable_shapes((least, least - 1, 1), 10)


def test_a_config_with_images_too_small_is_refused():
    settings = config.defaults()
    settings.data.name, settings.model.name = 'digits', 'vgg19'
    with pytest.raises(UsageError, match="^model 'vgg19' halves its images 4 times, which leaves nothing of 8 x 8: "):
        config.check(settings)


def test_the_fraction_of_a_group():
    settings = config.defaults()
    settings.model.name, settings.pruning.scope = 'resnet20', 'global'
    settings.pruning.projection_fraction = settings.pruning.output_fraction = 0.0
    pruned = config.check(settings).fractions
    assert [name for name, fraction in pruned.items() if not fraction] == [
        'stage2_block1_projection/kernel', 'stage3_block1_projection/kernel', 'output/kernel']
    assert {fraction for fraction in pruned.values() if fraction} == {0.2}


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"unknown model 'resnet21': .* Did you mean 'resnet20'\?"):
        models.find('resnet21')
