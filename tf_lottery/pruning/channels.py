"""Which weights of a network hold whole channels, and which of them are its answers."""

import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning import structure, wrapper

# Layers whose prunable weight has the output channels on its last axis. Of others the last axis is something else: a
# gate of a recurrent unit, a feature of one head of attention, the inputs of a transposed convolution.
_LAYERS = tuple(getattr(tf_keras.layers, name) for name in (
    'Dense', 'Conv1D', 'Conv2D', 'Conv3D', 'SeparableConv1D', 'SeparableConv2D'))


def missing(model):
    """Returns the names of those prunable weights of a wrapped model whose last axis is not known to be channels."""
    layers = [layer for holder in wrapper.wrappers(model).values()
              for layer in (holder.layer, *holder.layer.submodules)]
    return {name for name, (_, weight, *_) in wrapper.prunable_variables(model).items() for layer in layers
            if type(layer) not in _LAYERS and any(value is weight for value in vars(layer).values())}


def require(model, fractions):
    """Refuses a network whose pruned weights do not all hold channels that may go.

    Args:
      model: a wrapped model.
      fractions: mapping from the name of each prunable weight to the fraction pruned per level; 0 never prunes it.

    Raises:
      UsageError: a weight has no channels, or they are outputs of the model.
    """
    weights = {name: id(weight) for name, (_, weight, *_) in wrapper.prunable_variables(model).items()}
    # A model that is no graph does not say which layer is its last.
    answers = last(model, set(weights.values())) if model._is_graph_network else ()
    structure.require_channels(weights.keys() - missing(model), fractions, _remedy)
    for name in weights:
        if fractions[name] and weights[name] in answers:
            raise UsageError(f'the channels of {name} are outputs of model {model.name!r}, which the structure '
                             f"'channels' leaves alone: {_remedy(name)}.")


def _remedy(name):
    return f'give fractions={{{name!r}: 0}}, which never prunes it'


def before(tensor):
    """The layer that makes a tensor of a functional model, and the tensors that it takes there."""
    layer, number, _ = tensor._keras_history
    return layer, layer._inbound_nodes[number].keras_inputs


def last(model, weights):
    """Which weights stand in the last layers that have some, on each way to the outputs of a functional model.

    Args:
      model: a functional or Sequential `tf_keras` model, wrapped or not.
      weights: set of the ids of variables.

    Returns:
      The subset of them.
    """
    found, seen, tensors = set(), set(), list(model.outputs)
    while tensors:
        tensor = tensors.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        layer, inputs = before(tensor)
        own = last(layer, weights) if isinstance(layer, tf_keras.Model) else {
            id(weight) for weight in layer.weights if id(weight) in weights}
        found |= own
        if not own:
            tensors += inputs
    return found
