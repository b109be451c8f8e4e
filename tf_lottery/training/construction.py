"""A trained network beside a random one, twice as deep, that was pruned until it is near it."""

import functools

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.random_network import Dense, approximate

# Examples that a network takes at a time.
_BATCH = 1000

# Layers that hand on what they take once a network is trained.
_TRAINING_ONLY = (tf_keras.layers.ActivityRegularization, tf_keras.layers.AlphaDropout, tf_keras.layers.Dropout,
                  tf_keras.layers.GaussianDropout, tf_keras.layers.GaussianNoise)


class Construction:
    """Approximates the networks of a task by pruning random ones, and measures on test examples how near they come.

    Args:
      task: tasks.task.Task.
      data_dir: where TFDS keeps data sets.

    Raises:
      UsageError: its networks are not chains of dense layers with relu between them.
    """

    def __init__(self, task, data_dir=None):
        self._task, self._data_dir = task, data_dir
        self._network = task.network(0)
        self._chain = _Chain(self._network)

    @functools.cached_property
    def _serving(self):
        return self._task.serving(self._data_dir)

    @property
    def examples(self):
        """int, the test examples that networks are measured on."""
        (inputs,) = self._serving.inputs.values()
        return len(inputs)

    def measure(self, weights, way, width, seed, begin):
        """Prunes a random network and measures it.

        Args:
          weights: mapping from the name of each of the network's variables to an array, as it was trained.
          way, width, seed, begin: as of `random_network.approximate`.

        Returns:
          list of dicts, as of `random_network.approximate`. Where outputs tell the leading measure, that of the whole
          network has it too: `test` of the pruned random one, `target_test` of the trained one.
        """
        wrapper.set_weights(self._network, weights)
        (inputs,) = self._serving.inputs.values()
        entered = self._chain.entered(inputs)
        outputs, told = approximate(self._chain.layers(), entered, way, width, seed, begin)
        if self._serving.score:
            exact = self._network.predict(inputs, _BATCH, verbose=0)
            told[-1].update(test=self._score(self._chain.left(outputs)), target_test=self._score(exact))
        return told

    def _score(self, outputs):
        return float(self._serving.score({'outputs': outputs}))


class _Chain:
    """A network whose layers are one behind the other, dense ones with relu between them.

    Args:
      network: a `tf_keras` model.

    Raises:
      UsageError: it is not one.
    """

    def __init__(self, network):
        self._network, self._dense, self._relu, self._behind = network, [], [], []
        for layer in _in_order(network):
            if type(layer) is tf_keras.layers.Dense and layer.input.shape.rank == 2:
                if self._dense:
                    self._relu.append(self._relu_before(layer))
                self._dense.append(layer)
                self._behind = []
            elif layer.trainable_weights:
                raise _refusal(network, f'{type(layer).__name__} {layer.name!r}')
            elif self._dense:
                self._behind.append(layer)
        if not self._dense:
            raise _refusal(network, 'no dense layer')
        self._entrance = tf_keras.Model(network.inputs, self._dense[0].input)

    def _relu_before(self, layer):
        """Whether there is a relu between the last dense layer and this one."""
        between = [self._dense[-1], *self._behind]
        found = [_is_relu(each) for each in between]
        if None in found:
            other = between[found.index(None)]
            what = f'{type(other).__name__} {other.name!r} in front of {layer.name!r}'
            raise _refusal(self._network, f'{what} with another activation' if other in self._dense else what)
        return any(found)

    def entered(self, inputs):
        """What the first dense layer takes of the network's inputs: array [n, inputs]."""
        return self._entrance.predict(inputs, _BATCH, verbose=0)

    def layers(self):
        """The network as list of random_network.Dense, with the weights that it has."""
        signed = [True, *(not relu for relu in self._relu)]
        return [Dense(layer.kernel.numpy().astype(np.float64),
                      layer.bias.numpy().astype(np.float64) if layer.use_bias else None, before, relu)
                for layer, before, relu in zip(self._dense, signed, [*self._relu, False], strict=True)]

    def left(self, sums):
        """The network's outputs, array [n, ...], from what the units of its last dense layer add up to."""
        outputs = self._dense[-1].activation(tf.constant(sums, tf.float32))
        for layer in self._behind:
            outputs = layer(outputs)
        return outputs.numpy()


def _in_order(network):
    """The layers of a network from its input on: list.

    Raises:
      UsageError: they are not one behind the other.
    """
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise _refusal(network, 'several inputs or outputs')
    layers = [layer for layer in network.layers if not isinstance(layer, tf_keras.layers.InputLayer)]
    tensor = network.inputs[0]
    for layer in layers:
        if isinstance(layer, tf_keras.Model):
            raise _refusal(network, f'{type(layer).__name__} {layer.name!r} for a layer')
        if len(layer.inbound_nodes) != 1 or layer.input is not tensor:
            raise _refusal(network, f'{type(layer).__name__} {layer.name!r}, which is not one behind another')
        tensor = layer.output
    return layers


def _is_relu(layer):
    """Whether a layer ends in a relu; None where it ends in anything else than that or nothing."""
    if isinstance(layer, _TRAINING_ONLY):
        return False
    if isinstance(layer, tf_keras.layers.ReLU):
        plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
        return True if plain else None
    activation = getattr(layer, 'activation', None)
    if isinstance(activation, tf_keras.layers.Layer):
        return _is_relu(activation)
    return {tf_keras.activations.relu: True, tf.nn.relu: True, tf_keras.activations.linear: False}.get(activation)


def _refusal(network, what):
    return UsageError('construction.widths is for a chain of dense layers with relu between them, and '
                      f'{network.name!r} has {what}: give construction.widths=(), or another network.')
