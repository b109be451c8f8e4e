"""Inception-v3 for ImageNet (Szegedy et al., 1512.00567) with its auxiliary head, as 1903.01611, Figure 6, trains it.

The layers are those of the TPU implementation that the paper took (tensorflow/tpu, models/experimental/inception, on
slim's network): batch normalisation without a scale, of momentum 0.996 and epsilon 1e-3; dropout of a fifth before the
output layer; and an auxiliary classifier after the 17 x 17 blocks whose loss counts 0.4. 27,123,040 weights can be
pruned at 299 x 299 pixels.
"""

import itertools

from tf_lottery.errors import UsageError
from tf_lottery.models import blocks

# A convolution is (filters, rows, columns), or with a fourth number its strides.
_STEM = ((32, 3, 3, 2), (32, 3, 3), (64, 3, 3), 'max', (80, 1, 1), (192, 3, 3), 'max')
_PADDED_IN_STEM = 2


def _block35(pooled):
    return (((64, 1, 1),), ((48, 1, 1), (64, 5, 5)), ((64, 1, 1), (96, 3, 3), (96, 3, 3)), ('average', (pooled, 1, 1)))


def _block17(inner):
    return (((192, 1, 1),), ((inner, 1, 1), (inner, 1, 7), (192, 7, 1)),
            ((inner, 1, 1), (inner, 7, 1), (inner, 1, 7), (inner, 7, 1), (192, 1, 7)), ('average', (192, 1, 1)))


# A list ends a branch in two convolutions side by side.
_SIDES = [(384, 1, 3), (384, 3, 1)]
_BLOCK8 = (((320, 1, 1),), ((384, 1, 1), _SIDES), ((448, 1, 1), (384, 3, 3), _SIDES), ('average', (192, 1, 1)))

# Blocks of branches, named as in slim.
_BLOCKS = {
    'mixed5b': _block35(32), 'mixed5c': _block35(64), 'mixed5d': _block35(64),
    'mixed6a': (((384, 3, 3, 2),), ((64, 1, 1), (96, 3, 3), (96, 3, 3, 2)), ('max',)),
    'mixed6b': _block17(128), 'mixed6c': _block17(160), 'mixed6d': _block17(160), 'mixed6e': _block17(192),
    'mixed7a': (((192, 1, 1), (320, 3, 3, 2)), ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, 2)), ('max',)),
    'mixed7b': _BLOCK8, 'mixed7c': _BLOCK8,
}
_AUXILIARY_AFTER = 'mixed6e'
_AUXILIARY_WEIGHT = 0.4
# Smaller images leave the auxiliary head's pool of 5 x 5 nothing.
_LEAST = 107


def _lay(image, layers):
    """Lays the network once, of Keras layers or of shapes alone: what `layers` makes of its inputs is passed on.

    Returns:
      (what comes out of the last block, what comes out of the auxiliary head's convolutions).
    """
    outputs = image
    for number, layer in enumerate(_STEM):
        if layer == 'max':
            outputs = layers.max_pool(outputs, f'stem{number}')
        else:
            outputs = layers.convolution(outputs, f'stem{number}', *layer, padded=number == _PADDED_IN_STEM)
    auxiliary = None
    for name, branches in _BLOCKS.items():
        outputs = layers.together(
            [_branch(outputs, f'{name}_branch{number}', steps, layers) for number, steps in enumerate(branches)], name)
        if name == _AUXILIARY_AFTER:
            auxiliary = layers.convolution(layers.auxiliary_pool(outputs), 'auxiliary1', 128, 1, 1)
            # The whole of what is left of an image of 299 pixels, and of smaller ones.
            rows, columns = (min(5, length) for length in layers.size(auxiliary))
            auxiliary = layers.convolution(auxiliary, 'auxiliary2', 768, rows, columns, padded=False)
    return outputs, auxiliary


def _branch(inputs, branch, steps, layers):
    """Lays one branch of a block and returns what comes out of it."""
    outputs = inputs
    for number, step in enumerate(steps):
        name = f'{branch}_{number}'
        if step == 'max':
            outputs = layers.max_pool(outputs, name)
        elif step == 'average':
            outputs = layers.average_pool(outputs, name)
        elif isinstance(step, list):
            outputs = layers.together([layers.convolution(outputs, f'{name}{side}', *each)
                                       for side, each in zip('ab', step, strict=True)], name)
        else:
            # What has strides ends a block that halves the image, and has no padding.
            outputs = layers.convolution(outputs, name, *step, padded=len(step) == 3)
    return outputs


class _Shapes:
    """Lays shapes, each (height, width, channels), and notes the kernels that they need."""

    def __init__(self):
        self.kernels = {}

    def size(self, inputs):
        return inputs[:2]

    def convolution(self, inputs, name, filters, rows, columns, strides=1, padded=True):
        height, width, channels = inputs
        if not padded:
            height, width = blocks.valid(height, rows, strides), blocks.valid(width, columns, strides)
        self.kernels[f'{name}/kernel'] = ('conv', (rows, columns, channels, filters), height * width)
        return height, width, filters

    def max_pool(self, inputs, name, size=3, strides=2):
        return (*(blocks.valid(length, size, strides) for length in inputs[:2]), inputs[-1])

    def average_pool(self, inputs, name):
        return inputs

    def auxiliary_pool(self, inputs):
        return self.max_pool(inputs, 'auxiliary', 5, 3)

    def together(self, several, name):
        return (*several[0][:2], sum(each[-1] for each in several))


class _Layers:
    """Lays Keras layers: each convolution with its batch normalisation and relu."""

    def __init__(self, seeds, precision):
        self._seeds, self._precision = seeds, precision

    def size(self, inputs):
        return inputs.shape[1:3]

    def convolution(self, inputs, name, filters, rows, columns, strides=1, padded=True):
        import tf_keras

        outputs = tf_keras.layers.Conv2D(
            filters, (rows, columns), strides, padding='same' if padded else 'valid', use_bias=False, name=name,
            dtype=self._precision, kernel_initializer=tf_keras.initializers.GlorotNormal(next(self._seeds)))(inputs)
        outputs = tf_keras.layers.BatchNormalization(
            momentum=0.996, epsilon=1e-3, scale=False, name=f'{name}_norm', dtype=self._precision)(outputs)
        return tf_keras.layers.ReLU(name=f'{name}_relu', dtype=self._precision)(outputs)

    def max_pool(self, inputs, name):
        import tf_keras

        return tf_keras.layers.MaxPool2D(3, 2, name=name, dtype=self._precision)(inputs)

    def average_pool(self, inputs, name):
        import tf_keras

        return tf_keras.layers.AveragePooling2D(3, 1, padding='same', name=name, dtype=self._precision)(inputs)

    def auxiliary_pool(self, inputs):
        import tf_keras

        return tf_keras.layers.AveragePooling2D(5, 3, name='auxiliary_pool', dtype=self._precision)(inputs)

    def together(self, several, name):
        import tf_keras

        return tf_keras.layers.Concatenate(name=name, dtype=self._precision)(several)


def prunable_shapes(input_shape, classes):
    """Returns {name of the weight: (group, shape, places)}, block by block, each branch from its start to its end.

    Raises:
      UsageError: the images are too small for the auxiliary head.
    """
    if min(input_shape[:2]) < _LEAST:
        raise UsageError(f"model 'inception_v3' cannot take images of {input_shape[0]} x {input_shape[1]}: its "
                         f'auxiliary head needs {_LEAST} x {_LEAST} or larger.')
    shapes = _Shapes()
    features, auxiliary = _lay(input_shape, shapes)
    return {**shapes.kernels, 'auxiliary_output/kernel': ('output', (auxiliary[-1], classes), 1),
            'output/kernel': ('output', (features[-1], classes), 1)}


def build(input_shape, classes, seed, precision='float32'):
    """Builds the network with its initial weights: Gaussian Glorot kernels, zero biases.

    Args:
      input_shape: (height, width, channels) of images in [0, 1].
      classes: int.
      seed: int, the initialisation seed.
      precision: the Keras dtype policy of the layers; logits are float32 under each.

    Returns:
      A functional `tf_keras.Model` from images float [n, height, width, channels] to logits float32 [n, classes].
      Inside of `auxiliary.judged_by` a call in training adds the auxiliary head's loss to the model's `losses`.
    """
    import tf_keras

    from tf_lottery.models.auxiliary import AuxiliaryLoss
    from tf_lottery.models.dropout import Dropout

    seeds = itertools.count(seed)

    def classifier(inputs, name):
        outputs = tf_keras.layers.Dense(classes, name=name, dtype=precision,
                                        kernel_initializer=tf_keras.initializers.GlorotNormal(next(seeds)))(inputs)
        return tf_keras.layers.Activation('linear', dtype='float32', name=f'{name}_logits')(outputs)

    image = tf_keras.Input(input_shape, name='image')
    laid = _lay(blocks.normalisation()(image), _Layers(seeds, precision))
    features, auxiliary = (
        tf_keras.layers.GlobalAveragePooling2D(name=name, dtype=precision)(outputs)
        for name, outputs in zip(('average', 'auxiliary_average'), laid, strict=True))
    features = Dropout(0.2, name='dropout', dtype=precision)(features)
    logits = AuxiliaryLoss(_AUXILIARY_WEIGHT, name='logits', dtype='float32')(
        [classifier(features, 'output'), classifier(auxiliary, 'auxiliary_output')])
    return tf_keras.Model(image, logits, name='inception_v3')
