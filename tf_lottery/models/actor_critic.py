"""A network with two heads, the policy's logits and the value (1906.02768, section 3.3).

Of what is seen as numbers it is a multilayer perceptron; of pixels, its layers come after the paper's convolutions for
Atari: 5x5, 5x5, 3x3 and 3x3, of 64 channels, with max-pooling behind each. The paper's list has none behind the last
one, but gives 1,920 inputs of the next layer, which are 6 x 5 x 64: those of 105 x 80 pixels after four.

The initial weights are those of PyTorch's linear layers, in which the paper's networks are written: weights and biases
are uniform within 1 / sqrt(inputs of the layer).
"""

import math

HEADS = 'policy', 'value'

# Of the convolutions.
_SIDES, _CHANNELS = (5, 5, 3, 3), 64


def prunable_shapes(observation, actions, hidden, variables):
    """What can be pruned, known without TensorFlow.

    Args:
      observation: tuple of int, the shape of what is seen.
      actions: int.
      hidden: tuple of int, the units of the hidden layers.
      variables: 'kernels', or 'all' where biases are pruned, too.

    Returns:
      dict {name of the weight: (one of GROUPS, shape, places)} in the order of the layers.
    """
    shapes = {}
    for name, inputs, units, side, places in _layers(observation, actions, hidden):
        group = 'output' if name in HEADS else 'conv' if side else 'dense'
        shapes[f'{name}/kernel'] = group, (side, side, inputs, units) if side else (inputs, units), places
        if variables == 'all':
            shapes[f'{name}/bias'] = group, (units,), 0
    return shapes


def build(observation, actions, hidden, seed):
    """Builds the network with its initial weights.

    Args:
      observation, actions, hidden: as of `prunable_shapes`.
      seed: int, the initialisation seed.

    Returns:
      A `tf_keras` model from what is seen, float32 [n, ...], to {'policy': logits float32 [n, actions], 'value':
      float32 [n, 1]}.
    """
    import tf_keras

    def initial(number, fan_in):
        reach, uniform = 1 / math.sqrt(fan_in), tf_keras.initializers.RandomUniform
        return {f'{kind}_initializer': uniform(-reach, reach, seed=seed + 2 * number + which)
                for which, kind in enumerate(('kernel', 'bias'))}

    seen = tf_keras.Input(observation, name='observation')
    found, heads = seen, {}
    if len(observation) == 3:
        found = tf_keras.layers.Rescaling(1 / 255, name='rescaling')(found)
    for number, (name, inputs, units, side, _) in enumerate(_layers(observation, actions, hidden)):
        if side:
            found = tf_keras.layers.Conv2D(units, side, padding='same', activation='relu', name=name,
                                           **initial(number, side * side * inputs))(found)
            found = tf_keras.layers.MaxPooling2D(name=f'pool{number + 1}')(found)
            continue
        if len(found.shape) > 2:
            found = tf_keras.layers.Flatten(name='flatten')(found)
        if name in HEADS:
            heads[name] = tf_keras.layers.Dense(units, name=name, **initial(number, inputs))(found)
        else:
            found = tf_keras.layers.Dense(units, 'relu', name=name, **initial(number, inputs))(found)
    return tf_keras.Model(seen, heads, name='actor_critic')


def _layers(observation, actions, hidden):
    """Yields (name, inputs, units, side, places) of each layer, the heads last; the side of a dense layer is 0."""
    inputs = math.prod(observation)
    if len(observation) == 3:
        height, width, channels = observation
        for number, side in enumerate(_SIDES, 1):
            yield f'conv{number}', channels, _CHANNELS, side, height * width
            height, width, channels = height // 2, width // 2, _CHANNELS
        inputs = height * width * channels
    for number, units in enumerate(hidden, 1):
        yield f'fc{number}', inputs, units, 0, 1
        inputs = units
    yield from ((name, inputs, units, 0, 1) for name, units in zip(HEADS, (actions, 1), strict=True))
