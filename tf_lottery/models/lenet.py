"""LeNet-300-100: two hidden fully-connected layers (LeCun et al. 1998; 1803.03635, Figure 2)."""

import math

_HIDDEN = {'fc1': 300, 'fc2': 100}


def prunable_shapes(input_shape, classes):
    """Returns {name of the weight: (group, shape, places)}, in the order of the layers."""
    inputs, shapes = math.prod(input_shape), {}
    for name, units in (*_HIDDEN.items(), ('output', classes)):
        shapes[f'{name}/kernel'] = ('output' if name == 'output' else 'dense', (inputs, units), 1)
        inputs = units
    return shapes


def build(input_shape, classes, seed, precision='float32'):
    """Builds the network with its initial weights: Gaussian Glorot kernels, zero biases.

    Arguments and what it returns are those of `models.Network.build`.
    """
    import tf_keras

    layers = [tf_keras.layers.InputLayer(input_shape, name='image'), tf_keras.layers.Flatten(name='flatten')]
    for number, (name, units) in enumerate((*_HIDDEN.items(), ('output', classes))):
        layers.append(tf_keras.layers.Dense(
            units, activation=None if name == 'output' else 'relu', name=name, dtype=precision,
            kernel_initializer=tf_keras.initializers.GlorotNormal(seed=seed + number)))
    layers.append(tf_keras.layers.Activation('linear', dtype='float32', name='logits'))
    return tf_keras.Sequential(layers, name='lenet_300_100')
