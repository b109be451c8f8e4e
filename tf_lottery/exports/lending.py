"""Exporting a model without a copy of it, and giving it back as it was.

A copy made from a config is another model: what a layer has been adapted to, a variable outside of its weights, a
generator's state are not in it. So the export works with the layers that it is given.
"""

import contextlib

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry, pruning_wrapper
from tensorflow_model_optimization.sparsity import keras as sparsity

from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask


@contextlib.contextmanager
def unchanged(model):
    """What a model computes with is afterwards as it was: all variables, states of recurrent layers among them, and
    the precision of its layers."""
    variables = [node for node in tf.train.TrackableView(model).descendants() if isinstance(node, tf.Variable)]
    # Keras does not track these.
    variables += wrapper.states(model)
    before = [(variable, tf.identity(variable)) for variable in variables]
    policies = [(layer, layer.dtype_policy) for layer in _layers(model)]
    try:
        yield
    finally:
        for layer, policy in policies:
            layer._set_dtype_policy(policy)
        for variable, value in before:
            variable.assign(value)


@contextlib.contextmanager
def holding(network, values):
    """A network has other weights for a while: `values` by the names of `wrapper.variables`."""
    variables = wrapper.variables(network)
    before = {name: variable.numpy() for name, variable in variables.items()}
    try:
        _assign(variables, values)
        yield
    finally:
        _assign(variables, before)


def _assign(variables, values):
    for name, variable in variables.items():
        variable.assign(values[name])


def lowered(model):
    """str, the mixed precision that layers of a model compute in, such as 'mixed_bfloat16', or None."""
    return next((layer.dtype_policy.name for layer in _layers(model) if _is_mixed(layer)), None)


def to_full_precision(model):
    """Has the layers of a model compute in the dtype of their variables, as long as it is `unchanged` around it."""
    for layer in _layers(model):
        if _is_mixed(layer):
            # The property of Keras's that would say so is read-only.
            layer._set_dtype_policy(tf_keras.mixed_precision.Policy(layer.dtype_policy.variable_dtype))


def _is_mixed(layer):
    policy = layer.dtype_policy
    return policy.name.startswith('mixed_') and policy.compute_dtype != policy.variable_dtype


def _layers(model):
    return [layer for layer in (model, *model.submodules) if isinstance(layer, tf_keras.layers.Layer)]


def plain(model):
    """The model itself, or where it is wrapped for pruning, one of the same layers without the wrappers."""
    if not wrapper.wrappers(model):
        return model
    if isinstance(model, tf_keras.Sequential):
        return sparsity.strip_pruning(model)
    bare = {layer: _bare(layer) for layer in model.layers}
    # As Keras runs a functional model, for `strip_pruning` stumbles over what `add_loss` and `add_metric` leave in it.
    uses = model._tensor_usage_count
    tensors = {str(id(tensor)): [tensor] * uses[str(id(tensor))] for tensor in model.inputs}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input or node.layer not in bare or any(place not in tensors for place in node.flat_input_ids):
                continue
            arguments, options = node.map_arguments(tensors)
            found = tf.nest.flatten(bare[node.layer](*arguments, **options))
            tensors.update({place: [tensor] * uses[place]
                            for place, tensor in zip(node.flat_output_ids, found, strict=True)})
    outputs = [tensors[str(id(tensor))].pop() for tensor in model.outputs]
    return tf_keras.Model(model.input, tf.nest.pack_sequence_as(model.output, outputs), name=model.name)


def _bare(layer):
    if isinstance(layer, tf_keras.Model):
        return plain(layer)
    return layer.layer if isinstance(layer, pruning_wrapper.PruneLowMagnitude) else layer


def nonzero(network):
    """The Mask of a network without wrappers: where its prunable weights are not zero.

    Raises:
      UsageError: it has none.
    """
    prunable = {id(weight) for layer in _layers(network) for weight in _prunable_weights(layer)}
    found = {name: variable.numpy() != 0 for name, variable in wrapper.variables(network).items()
             if id(variable) in prunable}
    if not found:
        raise UsageError(f'model {network.name!r} has no layer with prunable weights: there is no ticket to export.')
    return Mask(found)


def _prunable_weights(layer):
    if hasattr(layer, 'get_prunable_weights'):
        return layer.get_prunable_weights()
    # What a Bidirectional copies both of its layers from has no weights.
    if not (layer.built and prune_registry.PruneRegistry.supports(layer)):
        return []
    try:
        return prune_registry.PruneRegistry.make_prunable(layer).get_prunable_weights()
    finally:
        del layer.get_prunable_weights
