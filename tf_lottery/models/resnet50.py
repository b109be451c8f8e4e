"""ResNet-50 for ImageNet (He et al., 1512.03385, Table 1) on KerasCV's backbone, as 1903.01611, Figure 6, trains it.

The paper takes "standard Google TPU implementations". Theirs (tensorflow/tpu, models/official/resnet) differs from
KerasCV's backbone in three things, which are changed here: a block halves the image in its 3x3 convolution, not in its
first 1x1; batch normalisation has momentum 0.9 and epsilon 1e-5; and its scale starts at 0 where a block ends, so that
each block starts as its shortcut. 25,502,912 weights can be pruned of 25,557,032 parameters.
"""

import itertools
import math

from tf_lottery.models import blocks

_FILTERS = (64, 128, 256, 512)
_BLOCKS = (3, 4, 6, 3)


def prunable_shapes(input_shape, classes):
    """Returns {name of the weight: (group, shape, places)}, in the order of the layers; names are KerasCV's."""
    height, width, channels = input_shape
    height, width = math.ceil(height / 2), math.ceil(width / 2)
    shapes = {'conv1_conv/kernel': ('conv', (7, 7, channels, 64), height * width)}
    height, width, inputs = math.ceil(height / 2), math.ceil(width / 2), 64
    for name, filters, strides, projected in _blocks():
        before = height * width
        height, width = math.ceil(height / strides), math.ceil(width / strides)
        shapes[f'{name}_1_conv/kernel'] = ('conv', (1, 1, inputs, filters), before)
        shapes[f'{name}_2_conv/kernel'] = ('conv', (3, 3, filters, filters), height * width)
        if projected:
            shapes[f'{name}_0_conv/kernel'] = ('projection', (1, 1, inputs, 4 * filters), height * width)
        shapes[f'{name}_3_conv/kernel'] = ('conv', (1, 1, filters, 4 * filters), height * width)
        inputs = 4 * filters
    shapes['output/kernel'] = ('output', (inputs, classes), 1)
    return shapes


def _blocks():
    """Yields (name, filters, strides, whether the shortcut is a convolution) of each residual block."""
    for stack, (filters, count) in enumerate(zip(_FILTERS, _BLOCKS, strict=True)):
        for block in range(1, count + 1):
            yield f'v2_stack_{stack}_block{block}', filters, 2 if stack and block == 1 else 1, block == 1


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

    from tf_lottery.runtime import keras2

    keras_cv = keras2.import_keras_cv()
    seeds, halving = itertools.count(seed), {name for name, _, strides, _ in _blocks() if strides > 1}

    def ours(layer):
        """A layer of KerasCV's with the settings of the paper's network."""
        if isinstance(layer, tf_keras.layers.Rescaling):
            return blocks.normalisation()
        settings = {**layer.get_config(), 'dtype': precision}
        if isinstance(layer, tf_keras.layers.Conv2D):
            settings['kernel_initializer'] = tf_keras.initializers.GlorotNormal(seed=next(seeds))
            block, _, place = layer.name.removesuffix('_conv').rpartition('_')
            if block in halving and place in '12':
                settings['strides'] = {'1': 1, '2': 2}[place]
        elif isinstance(layer, tf_keras.layers.BatchNormalization):
            settings |= {'momentum': 0.9, 'epsilon': 1e-5}
            if layer.name.endswith('_3_bn'):
                settings['gamma_initializer'] = 'zeros'
        return type(layer).from_config(settings)

    # KerasCV's own name for this one, ResNet50Backbone, asks Kaggle for it over the network.
    backbone = keras_cv.models.ResNetBackbone(
        stackwise_filters=_FILTERS, stackwise_blocks=_BLOCKS, stackwise_strides=(1, 2, 2, 2), include_rescaling=True,
        input_shape=input_shape)
    image = tf_keras.Input(input_shape, name='image')
    features = tf_keras.models.clone_model(backbone, input_tensors=image, clone_function=ours).output
    return tf_keras.Model(image, blocks.classifier(features, classes, next(seeds), precision), name='resnet50')
