"""Which weights of a network hold whole channels, and which of them are its answers."""

import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper

# Layers whose prunable weight has the output channels on its last axis. Of others the last axis is something else: a
# gate of a recurrent unit, a feature of one head of attention, the inputs of a transposed convolution.
_LAYERS = tuple(getattr(tf_keras.layers, name) for name in (
    'Dense', 'Conv1D', 'Conv2D', 'Conv3D', 'SeparableConv1D', 'SeparableConv2D'))


def require(model, fractions):
    """Refuses a network whose pruned weights do not all hold channels that may go.

    Args:
      model: a wrapped model.
      fractions: mapping from the name of each prunable weight to the fraction pruned per level; 0 never prunes it.

    Raises:
      UsageError: a layer is not known to have its output channels on the last axis, or they are outputs of the model.
    """
    weights = {name: weight for name, (_, weight, *_) in wrapper.prunable_variables(model).items()}
    layers = [layer for holder in wrapper.wrappers(model).values()
              for layer in (holder.layer, *holder.layer.submodules)]
    answers = last(model, {id(weight) for weight in weights.values()}) if model._is_graph_network else ()
    for name, weight in weights.items():
        if not fractions[name]:
            continue
        for layer in layers:
            if any(value is weight for value in vars(layer).values()) and type(layer) not in _LAYERS:
                raise UsageError(f'{name} is a weight of {type(layer).__name__}, whose last axis is not known to be '
                                 "output channels, as the structure 'channels' needs: never prune it, by a fraction of "
                                 '0.')
        if id(weight) in answers:
            raise UsageError(f"the channels of {name} are outputs of model {model.name!r}, which the structure "
                             "'channels' leaves alone: never prune it, by a fraction of 0.")


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
