"""What several of the convolutional networks are made of."""

from tf_lottery.errors import UsageError

# Of ImageNet's pixels in [0, 1], by channel, as everybody normalises them.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


def normalisation():
    """The first layer of a network for ImageNet: from pixels in [0, 1] to a mean of 0 and a deviation of 1."""
    import tf_keras

    return tf_keras.layers.Rescaling(
        [1 / deviation for deviation in _DEVIATION],
        [-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)], name='normalised',
        dtype='float32')


def pooled(network, input_shape, pools):
    """What is left of an image after max pools of 2x2 that leave out an odd row or column.

    Args:
      network: str, its name.
      input_shape: (height, width, channels).
      pools: int, how many.

    Returns:
      (height, width).

    Raises:
      UsageError: nothing is left.
    """
    height, width, _ = input_shape
    least = 2 ** pools
    if min(height, width) < least:
        raise UsageError(f'model {network!r} halves its images {pools} times, which leaves nothing of {height} x '
                         f'{width}: choose a data set of {least} x {least} or larger, or a model with fewer pools.')
    return height // least, width // least


def places(input_shape, pools):
    """The places of an image before the first of several max pools of 2x2, and after each: list of int."""
    height, width, _ = input_shape
    return [(height >> pool) * (width >> pool) for pool in range(pools + 1)]


def valid(length, size, strides=1):
    """The places along one side of an image that a window of `size` has room for, int; 0 or less where it has none."""
    return (length - size) // strides + 1


def convolution(inputs, name, filters, seed, precision, size=3, strides=1, relu=True):
    """A convolution without bias, the batch normalisation whose shift stands for the bias, and a relu.

    Momentum 0.9 and epsilon 1e-5 are those of the PyTorch code that later papers train with (open_lth); Keras's own
    momentum, 0.99, needs several hundred steps before evaluation sees the statistics of the data, and short runs have
    no more.

    Args:
      inputs: Keras tensor [n, height, width, channels].
      name: str; the weight is '<name>/kernel'.
      filters, size, strides: int.
      seed: int, of the Gaussian Glorot kernel.
      precision: the Keras dtype policy.
      relu: bool, whether there is one.

    Returns:
      Keras tensor [n, ceil(height / strides), ceil(width / strides), filters].
    """
    import tf_keras

    outputs = tf_keras.layers.Conv2D(
        filters, size, strides, padding='same', use_bias=False, name=name, dtype=precision,
        kernel_initializer=tf_keras.initializers.GlorotNormal(seed=seed))(inputs)
    outputs = tf_keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, name=f'{name}_norm', dtype=precision)(outputs)
    return tf_keras.layers.ReLU(name=f'{name}_relu', dtype=precision)(outputs) if relu else outputs


def classifier(inputs, classes, seed, precision):
    """The average over all places, and the output layer with zero biases.

    Args:
      inputs: Keras tensor [n, height, width, channels].
      classes: int.
      seed: int, of the Gaussian Glorot kernel 'output/kernel'.
      precision: the Keras dtype policy.

    Returns:
      Keras tensor, logits float32 [n, classes].
    """
    import tf_keras

    outputs = tf_keras.layers.GlobalAveragePooling2D(name='average', dtype=precision)(inputs)
    outputs = tf_keras.layers.Dense(classes, name='output', dtype=precision,
                                    kernel_initializer=tf_keras.initializers.GlorotNormal(seed=seed))(outputs)
    return tf_keras.layers.Activation('linear', dtype='float32', name='logits')(outputs)
