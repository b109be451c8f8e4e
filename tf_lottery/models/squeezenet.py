"""SqueezeNet 1.0 for ImageNet (Iandola et al., 1602.07360, Table 1), as 1903.01611, Figure 6, trains it.

The layers are those of the TPU implementation that the paper took (tensorflow/tpu, models/official/squeezenet): biases
and no batch normalisation, dropout of a half before the last convolution, whose relu stands before the average.
1,244,448 weights can be pruned of 1,248,424 parameters.
"""

import itertools

from tf_lottery.errors import UsageError
from tf_lottery.models import blocks

# (units of the squeezing convolution, units of each of the two expanding ones); a max pool stands before those named.
_FIRES = {'fire2': (16, 64), 'fire3': (16, 64), 'fire4': (32, 128), 'fire5': (32, 128), 'fire6': (48, 192),
          'fire7': (48, 192), 'fire8': (64, 256), 'fire9': (64, 256)}
_POOLED = ('fire2', 'fire5', 'fire9')


def prunable_shapes(input_shape, classes):
    """Returns {name of the weight: (group, shape, places)}, in the order of the layers.

    Raises:
      UsageError: the images are too small for the pools.
    """
    sizes = [(length + 1) // 2 for length in input_shape[:2]]
    shapes, inputs = {'conv1/kernel': ('conv', (7, 7, input_shape[-1], 96), sizes[0] * sizes[1])}, 96
    for name, (squeezed, expanded) in _FIRES.items():
        if name in _POOLED:
            sizes = [blocks.valid(size, 3, 2) for size in sizes]
        places = sizes[0] * sizes[1]
        shapes[f'{name}_squeeze/kernel'] = ('conv', (1, 1, inputs, squeezed), places)
        shapes[f'{name}_expand1/kernel'] = ('conv', (1, 1, squeezed, expanded), places)
        shapes[f'{name}_expand3/kernel'] = ('conv', (3, 3, squeezed, expanded), places)
        inputs = 2 * expanded
    if min(sizes) < 1:
        raise UsageError(f"model 'squeezenet' cannot take images of {input_shape[0]} x {input_shape[1]}: its three max "
                         'pools need 29 x 29 or larger.')
    shapes['output/kernel'] = ('output', (1, 1, inputs, classes), places)
    return shapes


def build(input_shape, classes, seed, precision='float32'):
    """Builds the network with its initial weights: Gaussian Glorot kernels, zero biases.

    Args:
      input_shape: (height, width, channels) of images in [0, 1].
      classes: int.
      seed: int, the initialisation seed.
      precision: the Keras dtype policy of the layers; logits are float32 under each.

    Returns:
      A functional `tf_keras.Model` from images float [n, height, width, channels] to logits float32 [n, classes].
    """
    import tf_keras

    from tf_lottery.models.dropout import Dropout

    keras, seeds = tf_keras.layers, itertools.count(seed)

    def convolution(inputs, name, filters, size, strides=1):
        return keras.Conv2D(filters, size, strides, padding='same', activation='relu', name=name, dtype=precision,
                            kernel_initializer=tf_keras.initializers.GlorotNormal(seed=next(seeds)))(inputs)

    image = tf_keras.Input(input_shape, name='image')
    outputs = convolution(blocks.normalisation()(image), 'conv1', 96, 7, strides=2)
    for name, (squeezed, expanded) in _FIRES.items():
        if name in _POOLED:
            outputs = keras.MaxPool2D(3, 2, name=f'{name}_pool', dtype=precision)(outputs)
        outputs = convolution(outputs, f'{name}_squeeze', squeezed, 1)
        outputs = keras.Concatenate(name=name, dtype=precision)([
            convolution(outputs, f'{name}_expand1', expanded, 1), convolution(outputs, f'{name}_expand3', expanded, 3)])
    outputs = Dropout(0.5, name='dropout', dtype=precision)(outputs)
    outputs = keras.GlobalAveragePooling2D(name='average', dtype=precision)(
        convolution(outputs, 'output', classes, 1))
    return tf_keras.Model(image, keras.Activation('linear', dtype='float32', name='logits')(outputs), name='squeezenet')
