"""A multilayer perceptron with two heads, the policy's logits and the value (1906.02768, section 3.3).

The initial weights are those of PyTorch's linear layers, in which the paper's networks are written: weights and biases
are uniform within 1 / sqrt(inputs of the layer).
"""

import math

HEADS = 'policy', 'value'


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
    for name, inputs, units in _layers(observation, actions, hidden):
        group = 'output' if name in HEADS else 'dense'
        shapes[f'{name}/kernel'] = group, (inputs, units), 1
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

    def layer(number, name, inputs, units, activation=None):
        reach = 1 / math.sqrt(inputs)
        kernel, bias = (tf_keras.initializers.RandomUniform(-reach, reach, seed=seed + 2 * number + which)
                        for which in range(2))
        return tf_keras.layers.Dense(units, activation, kernel_initializer=kernel, bias_initializer=bias, name=name)

    seen = tf_keras.Input(observation, name='observation')
    found, heads = tf_keras.layers.Flatten(name='flatten')(seen), {}
    for number, (name, inputs, units) in enumerate(_layers(observation, actions, hidden)):
        if name in HEADS:
            heads[name] = layer(number, name, inputs, units)(found)
        else:
            found = layer(number, name, inputs, units, 'relu')(found)
    return tf_keras.Model(seen, heads, name='actor_critic')


def _layers(observation, actions, hidden):
    """Yields (name, inputs, units) of each layer, the heads last."""
    inputs = math.prod(observation)
    for number, units in enumerate(hidden, 1):
        yield f'fc{number}', inputs, units
        inputs = units
    yield from ((name, inputs, units) for name, units in zip(HEADS, (actions, 1), strict=True))
