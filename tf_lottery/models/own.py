"""Networks of the user's own for images: a function that builds one, named as 'mynets.py:build'.

Unlike the papers' they are known by building them, which needs TensorFlow.
"""

import functools
import inspect
import math
import os

from tf_lottery import models
from tf_lottery.errors import UsageError, in_one_line
from tf_lottery.runtime import elsewhere, keras2, objects

# The key that names the function.
_KEY = 'model.name'


class OwnNetwork:
    """What a user's function builds; its methods are those of `models.Network`.

    The function takes (input_shape, classes, seed), and `precision` where it has such an argument, and returns a
    `tf_keras` model, not compiled, from images float [n, height, width, channels] in [0, 1] to logits float32
    [n, classes].

    Args:
      reference: str, 'file.py:name' or 'package.module:name'.
    """

    def __init__(self, reference):
        self._reference = reference

    def prunable_shapes(self, input_shape, classes):
        """What can be pruned, as `prunable_shapes` below says, by building the network in a process of its own.

        Raises:
          UsageError: the reference leads to no such function, or what it returns is not such a network, or has nothing
            to prune.
        """
        return shapes_elsewhere(self._reference, tuple(input_shape), classes)

    def build(self, input_shape, classes, seed, precision='float32'):
        """Builds the network; whatever its initialisers draw is a function of the seed.

        Raises:
          UsageError: as of `prunable_shapes`, or another precision than float32 that the function does not take.
        """
        # It needs TensorFlow, which a plan of the papers' networks does without.
        from tf_lottery.models import randomness

        function, takes_precision = self._function()
        if precision != 'float32' and not takes_precision:
            raise UsageError(f'training.precision is {precision}, which {self._reference} does not take: give it an '
                             'argument precision, the dtype policy of its layers, or train in float32.')
        file = objects.file_of(self._reference)
        with keras2.seeded(seed), objects.told(file, (file, 'mend it'), f'mend it, or give another {_KEY}'):
            network = function(input_shape, classes, seed, **({'precision': precision} if takes_precision else {}))
        self._check(network, input_shape, classes)
        randomness.follow(network)
        return network

    def _function(self):
        """(the function, whether it takes a precision)."""
        function = objects.load(self._reference, _KEY)
        try:
            signature = inspect.signature(function)
            signature.bind((1, 1, 1), 1, 0)
        except (TypeError, ValueError):
            raise UsageError(f'{_KEY}={in_one_line(self._reference)} cannot be called with (input_shape, classes, '
                             'seed): make it a function of these three.') from None
        return function, 'precision' in signature.parameters

    def _check(self, network, input_shape, classes):
        import tensorflow as tf

        require_trainable(network, self._reference)
        taken = [(tuple(tensor.shape[1:]), tensor.dtype.is_floating) for tensor in network.inputs]
        if taken != [(tuple(input_shape), True)]:
            raise _refused(self._reference, f'takes {_described(network.inputs)}', 'let its only input be float images '
                           f'of shape {tuple(input_shape)}, its first argument')
        if len(network.outputs) != 1 or tuple(network.outputs[0].shape[1:]) != (classes,) or (
                network.outputs[0].dtype != tf.float32):
            raise _refused(self._reference, f'makes {_described(network.outputs)}', 'let its only output be float32 '
                           f'logits of shape ({classes},), one for each class, its second argument')
        if _ends_in_softmax(network):
            raise _refused(self._reference, 'ends in a softmax', 'leave that out, for the loss takes logits')


def shapes(name, input_shape, classes, variables='kernels'):
    """What `models.prunable_shapes` returns, found by building the network in this process."""
    with keras2.quiet_start():
        import tf_lottery.pruning.wrapper  # noqa: F401
    found = prunable_shapes(models.find(name).build(tuple(input_shape), classes, seed=0), variables=variables)
    if not found:
        raise _refused(name, 'has no weights that can be pruned', 'give it a layer that has a kernel')
    return found


def shapes_elsewhere(name, input_shape, classes, variables='kernels'):
    """`shapes`, found in a process of its own, once for a working directory, which a reference is relative to."""
    return dict(_shapes_elsewhere(name, input_shape, classes, variables, os.getcwd()))


@functools.cache
def _shapes_elsewhere(name, input_shape, classes, variables, folder):
    del folder
    return {name: (group, tuple(shape), *others) for name, (group, shape, *others) in elsewhere.call(
        f'{__name__}:shapes', name, input_shape, classes, variables).items()}


def _refused(reference, what, remedy):
    return UsageError(f'the network of {_KEY}={in_one_line(reference)} {what}: {remedy}.')


def require_trainable(model, builder):
    """Refuses what a function of the user's returns if no experiment can train it, whatever its task.

    Args:
      model: what it returns.
      builder: str, what the function is called.

    Raises:
      UsageError: it is no built Sequential or functional Keras 2 model, or is wrapped for pruning.
    """
    from tf_lottery.pruning import wrapper

    try:
        keras2.require_model(model)
        wrapper.require_plain(model)
    except UsageError as error:
        raise UsageError(f'{builder} returns what cannot be trained here: {error}') from error


def prunable_shapes(network, skip=(), variables='kernels'):
    """What can be pruned of a model that nobody here has seen.

    Args:
      network: a functional or Sequential `tf_keras` model.
      skip: names of layers that are left dense.
      variables: which are pruned, one of `allocation.VARIABLES`.

    Returns:
      dict as of `models.Network.prunable_shapes`: kernels of more than two dimensions are of the group 'conv', weights
      that no other kernel follows are of 'output', all others of 'dense'; what is no kernel is of the group of its
      layer's. What it says of each weight ends in
      a bool: whether its last axis is known to be the output channels of a layer, as in all of the papers' networks.
    """
    from tf_lottery.pruning import channels, wrapper

    places = {id(weight): count for layer, count in _places(network) for weight in layer.weights}
    wrapped = wrapper.prunable(network, skip, variables)
    if not wrapper.wrappers(wrapped):
        return {}
    kernels, missing = wrapper.kernels(wrapped), channels.missing(wrapped)
    last = channels.last(network, kernels)

    def group(holder, weight):
        if id(weight) not in kernels:
            own = holder.layer.get_prunable_weights()
            return group(holder, own[0]) if own else 'dense'
        return 'output' if id(weight) in last else 'conv' if len(weight.shape) > 2 else 'dense'

    return {name: (group(holder, weight), tuple(weight.shape),
                   places.get(id(weight), 1) if id(weight) in kernels else 0, name not in missing)
            for name, (holder, weight, *_) in wrapper.prunable_variables(wrapped).items()}


def _described(tensors):
    """Such as 'float32 of shape (28, 28, 1)'."""
    return ' and '.join(f'{tensor.dtype.name} of shape {tuple(tensor.shape[1:])}' for tensor in tensors)


def _ends_in_softmax(network):
    """Whether a softmax is the last thing that is done to the outputs, casts and other linear activations aside."""
    import tf_keras

    from tf_lottery.pruning import channels

    (tensor,) = network.outputs
    while True:
        layer, inputs = channels.before(tensor)
        activation = getattr(layer, 'activation', None)
        if isinstance(layer, tf_keras.Model):
            return len(layer.outputs) == 1 and _ends_in_softmax(layer)
        if isinstance(layer, tf_keras.layers.Softmax) or activation is tf_keras.activations.softmax:
            return True
        if not isinstance(layer, tf_keras.layers.Activation) or activation is not tf_keras.activations.linear:
            return False
        (tensor,) = inputs


def _places(network):
    """Yields (layer, how often each of its weights is multiplied per image), by the shapes that go in and come out."""
    import tensorflow as tf
    import tf_keras

    for layer in network.layers:
        if isinstance(layer, tf_keras.Model):
            yield from _places(layer)
            continue
        kernels = any(len(weight.shape) > 2 for weight in layer.weights)
        count = 0
        for node in layer._inbound_nodes:
            taken, made = (max(math.prod(size or 1 for size in tensor.shape[1:-1]) for tensor in tf.nest.flatten(ends))
                           if tf.nest.flatten(ends) else 1 for ends in (node.keras_inputs, node.outputs))
            # A convolution may have strides, or be transposed; a recurrent layer multiplies at each time that it takes.
            count += min(taken, made) if kernels else max(taken, made)
        yield layer, max(count, 1)
