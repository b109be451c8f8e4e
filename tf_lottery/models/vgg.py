"""VGG-19 for CIFAR-10 (Simonyan & Zisserman, 1409.1556, as 1803.03635, Figure 2, changes it).

Sixteen convolutions of 3x3, each with batch normalisation, and one output layer in place of three.
"""

from tf_lottery.models import blocks

# (filters, convolutions), with a max pool between one and the next.
_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


def prunable_shapes(input_shape, classes):
    """Returns {name of the weight: (group, shape, places)}, in the order of the layers.

    Raises:
      UsageError: the images are too small for the pools.
    """
    blocks.pooled('vgg19', input_shape, len(_STAGES) - 1)
    inputs, shapes = input_shape[-1], {}
    places = blocks.places(input_shape, len(_STAGES) - 1)
    for stage, (filters, convolutions) in enumerate(_STAGES):
        for _ in range(convolutions):
            shapes[f'conv{len(shapes) + 1}/kernel'] = ('conv', (3, 3, inputs, filters), places[stage])
            inputs = filters
    shapes['output/kernel'] = ('output', (inputs, classes), 1)
    return shapes


def build(input_shape, classes, seed, precision='float32'):
    """Builds the network with its initial weights: Gaussian Glorot kernels, zero biases.

    Arguments and what it returns are those of `models.Network.build`.
    """
    import tf_keras

    image = outputs = tf_keras.Input(input_shape, name='image')
    number = 0
    for stage, (filters, convolutions) in enumerate(_STAGES):
        if stage:
            outputs = tf_keras.layers.MaxPool2D(name=f'pool{stage}', dtype=precision)(outputs)
        for _ in range(convolutions):
            outputs = blocks.convolution(outputs, f'conv{number + 1}', filters, seed + number, precision)
            number += 1
    return tf_keras.Model(image, blocks.classifier(outputs, classes, seed + number, precision), name='vgg19')
