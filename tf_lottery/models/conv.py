"""Conv-2, Conv-4, Conv-6: small VGGs for CIFAR-10 (1803.03635, Figure 2), without and with dropout (its section 3).

Two convolutions of 3x3 and a max pool, once, twice or three times, then three fully-connected layers. The paper's table
gives Conv-6 1.7M weights; the layers that it lists have 2.3M, as here. Conv-8 is the next of them (1911.13299).
"""

import itertools

from tf_lottery.models import blocks

_FILTERS = (64, 64, 128, 128, 256, 256, 512, 512)
_HIDDEN = {'fc1': 256, 'fc2': 256}


def prunable_shapes(input_shape, classes, convolutions, dropout=False):
    """Returns {name of the weight: (group, shape, places)}, in the order of the layers, dropout or not.

    Raises:
      UsageError: the images are too small for the pools.
    """
    del dropout
    height, width = blocks.pooled(f'conv{convolutions}', input_shape, convolutions // 2)
    places = blocks.places(input_shape, convolutions // 2)
    inputs, shapes = input_shape[-1], {}
    for number, filters in enumerate(_FILTERS[:convolutions], 1):
        shapes[f'conv{number}/kernel'] = ('conv', (3, 3, inputs, filters), places[(number - 1) // 2])
        inputs = filters
    inputs *= height * width
    for name, units in (*_HIDDEN.items(), ('output', classes)):
        shapes[f'{name}/kernel'] = ('output' if name == 'output' else 'dense', (inputs, units), 1)
        inputs = units
    return shapes


def build(input_shape, classes, seed, precision='float32', *, convolutions, dropout=False):
    """Builds the network with its initial weights: Gaussian Glorot kernels, zero biases.

    Args:
      input_shape: (height, width, channels) of images in [0, 1].
      classes: int.
      seed: int, the initialisation seed.
      precision: the Keras dtype policy of the layers; logits are float32 under each.
      convolutions: 2, 4, 6 or 8.
      dropout: bool, whether half of the units of each hidden fully-connected layer are dropped in training. The paper
        gives the rate, 0.5, but not the place; this is where the networks that Conv-2/4/6 are scaled down from have it
        (VGG, 1409.1556, section 3.1).

    Returns:
      A `tf_keras.Sequential` from images float [n, height, width, channels] to logits float32 [n, classes].
    """
    import tf_keras

    from tf_lottery.models.dropout import Dropout

    keras, seeds = tf_keras.layers, itertools.count(seed)

    def weights(name):
        return {'name': name, 'dtype': precision,
                'kernel_initializer': tf_keras.initializers.GlorotNormal(seed=next(seeds))}

    layers = [keras.InputLayer(input_shape, name='image')]
    for number, filters in enumerate(_FILTERS[:convolutions], 1):
        layers.append(keras.Conv2D(filters, 3, padding='same', activation='relu', **weights(f'conv{number}')))
        if number % 2 == 0:
            layers.append(keras.MaxPool2D(name=f'pool{number // 2}', dtype=precision))
    layers.append(keras.Flatten(name='flatten', dtype=precision))
    for name, units in _HIDDEN.items():
        layers.append(keras.Dense(units, activation='relu', **weights(name)))
        if dropout:
            layers.append(Dropout(0.5, name=f'{name}_dropout', dtype=precision))
    layers.append(keras.Dense(classes, **weights('output')))
    layers.append(keras.Activation('linear', dtype='float32', name='logits'))
    return tf_keras.Sequential(layers, name=f'conv{convolutions}_dropout' if dropout else f'conv{convolutions}')
