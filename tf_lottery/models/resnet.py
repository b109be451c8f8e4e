"""ResNet-20 for CIFAR-10 (He et al., 1512.03385, section 4.2), which 1803.03635 calls "Resnet-18".

Where the image is halved, the shortcut is a 1x1 convolution (option B of He et al.; their own CIFAR networks have no
weights there). Its 2,560 weights are counted but never pruned in 1803.03635, whose printed densities need them: 41.7 %
at level 4 is of 270,896 weights, 267,696 in 3x3 convolutions, 2,560 in shortcuts and 640 in the output layer.
"""

import itertools
import math

from tf_lottery.models import blocks

_FILTERS = (16, 32, 64)
_BLOCKS = 3


def prunable_shapes(input_shape, classes):
    """Returns {name of the weight: (group, shape, places)}, in the order of the layers."""
    height, width, channels = input_shape
    shapes = {'conv1/kernel': ('conv', (3, 3, channels, _FILTERS[0]), height * width)}
    inputs = _FILTERS[0]
    for name, filters, strides in _blocks():
        height, width = math.ceil(height / strides), math.ceil(width / strides)
        shapes[f'{name}_conv1/kernel'] = ('conv', (3, 3, inputs, filters), height * width)
        shapes[f'{name}_conv2/kernel'] = ('conv', (3, 3, filters, filters), height * width)
        if strides > 1:
            shapes[f'{name}_projection/kernel'] = ('projection', (1, 1, inputs, filters), height * width)
        inputs = filters
    shapes['output/kernel'] = ('output', (inputs, classes), 1)
    return shapes


def _blocks():
    """Yields (name, filters, strides) of each residual block."""
    for stage, filters in enumerate(_FILTERS, 1):
        for block in range(1, _BLOCKS + 1):
            yield f'stage{stage}_block{block}', filters, 2 if stage > 1 and block == 1 else 1


def build(input_shape, classes, seed, precision='float32'):
    """Builds the network with its initial weights: Gaussian Glorot kernels, zero biases.

    Batch normalisation follows every convolution, those of the shortcuts too.

    Arguments and what it returns are those of `models.Network.build`.
    """
    import tf_keras

    seeds = itertools.count(seed)

    def convolution(inputs, name, filters, **options):
        return blocks.convolution(inputs, name, filters, next(seeds), precision, **options)

    image = tf_keras.Input(input_shape, name='image')
    outputs = convolution(image, 'conv1', _FILTERS[0])
    for name, filters, strides in _blocks():
        inner = convolution(outputs, f'{name}_conv1', filters, strides=strides)
        inner = convolution(inner, f'{name}_conv2', filters, relu=False)
        if strides > 1:
            outputs = convolution(outputs, f'{name}_projection', filters, size=1, strides=strides, relu=False)
        outputs = tf_keras.layers.Add(name=f'{name}_sum', dtype=precision)([inner, outputs])
        outputs = tf_keras.layers.ReLU(name=f'{name}_relu', dtype=precision)(outputs)
    return tf_keras.Model(image, blocks.classifier(outputs, classes, next(seeds), precision), name='resnet20')
