"""The TF-MOT wrapper that holds a mask, and what a wrapped model is made of."""

import contextlib
import inspect

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry, pruning_wrapper

from tf_lottery import keras2
from tf_lottery.errors import UsageError
from tf_lottery.pruning.schedules import IterativePruning
from tf_lottery.ticket import Mask


@tf.custom_gradient
def _masked_gradient(weight, mask):
    """`weight` as it is, with the gradient of `weight * mask`: equal where `weight` is zero wherever `mask` is."""
    # Selected rather than multiplied: out of a loop of steps XLA takes `mask != 0`, a quarter of the mask's bytes.
    return tf.identity(weight), lambda upstream: (tf.where(mask != 0, upstream, tf.zeros([], upstream.dtype)), None)


def _build_attention(layer):
    """Gives a MultiHeadAttention that was read from a file its weights, which its first call would make too late."""
    if isinstance(layer, tf_keras.layers.MultiHeadAttention) and not layer.weights and layer._built_from_signature:
        shapes = layer._query_shape, layer._value_shape, layer._key_shape
        layer(*(tf_keras.Input(batch_shape=shape, dtype=layer.compute_dtype) for shape in shapes))


@tf_keras.utils.register_keras_serializable('tf_lottery')
class PruneWithMask(pruning_wrapper.PruneLowMagnitude):
    """TF-MOT's pruning wrapper with the mask inside the forward pass: the layer runs on `weight * mask`.

    The gradient of a pruned weight is exactly zero, so that no optimizer, momentum or weight decay revives it, and
    nothing beyond the gradients crosses a network. The stock wrapper assigns `weight * mask` instead, which averages
    all weights over all replicas at every step. The mask changes only when it is set; `pruning_schedule`
    says to which density.

    Attributes:
      zeros_held: whether the caller promises that a pruned weight's variable is zero before the first step. Then only
        the gradient is masked, which gives the same bits and saves a pass over the weights.
    """

    def __init__(self, layer, pruning_schedule=None, **kwargs):
        kwargs.setdefault('dtype', layer.dtype_policy if hasattr(layer, 'dtype_policy') else None)
        super().__init__(layer, pruning_schedule=pruning_schedule or IterativePruning(0.2), **kwargs)
        self.zeros_held = False
        self.supports_masking = layer.supports_masking

    def add_weight(self, name=None, *args, **kwargs):
        # TF-MOT calls all masks of a layer 'mask': PruningSummaries would show one of them, HDF5 refuses the second.
        taken = {variable.name.split(':')[0].split('/')[-1] for variable in self._non_trainable_weights}
        return super().add_weight(_unique(name, taken), *args, **kwargs)

    def build(self, input_shape=None):
        _build_attention(self.layer)
        super().build(input_shape)
        # Keras's own attribute handling would drop the variable from the layer; we note who holds it, once.
        self._owners = []
        for weight, mask, _ in self.pruning_vars:
            places = [(owner, name) for owner in (self.layer, *self.layer.submodules)
                      for name, value in vars(owner).items() if value is weight]
            if not places:
                raise UsageError(f'{self.layer.name} holds {weight.name} in a way that cannot be masked.')
            self._owners.append((weight, mask, places))
        parameters = inspect.signature(self.layer.call).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._drops = [name for name in ('training', 'mask') if name not in parameters and not takes_any]

    @contextlib.contextmanager
    def _masked_weights(self):
        for weight, mask, places in self._owners:
            value, factor = tf.convert_to_tensor(weight), tf.convert_to_tensor(mask)
            masked = _masked_gradient(value, factor) if self.zeros_held else value * factor
            for owner, name in places:
                object.__setattr__(owner, name, masked)
        try:
            yield
        finally:
            for weight, _, places in self._owners:
                for owner, name in places:
                    object.__setattr__(owner, name, weight)

    def call(self, inputs, *args, **kwargs):
        for name in self._drops:
            kwargs.pop(name, None)
        with self._masked_weights():
            return self.layer.call(inputs, *args, **kwargs)

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)


def prunable(model, skip=()):
    """Wraps every layer of a Keras 2 model that has prunable weights; the layers and their weights are shared.

    Biases and normalisation layers are never pruned. TF-MOT's registry names the prunable weights of each layer type,
    recurrent cells and MultiHeadAttention included; a layer class of your own takes part by defining
    `get_prunable_weights()`.

    Args:
      model: a built Sequential or functional `tf_keras` model, nested models included.
      skip: names of layers to leave dense.

    Returns:
      A new model that still has to be compiled. `tfmot.sparsity.keras.strip_pruning` gives plain layers back.

    Raises:
      UsageError: a Keras 3 or subclassed model, an unknown name in `skip`, or a layer of a type that TF-MOT does not
        know.
    """
    keras2.require_model(model)
    unknown = set(skip) - {layer.name for layer in model.submodules if isinstance(layer, tf_keras.layers.Layer)}
    if unknown:
        raise UsageError(f'no layer is called {sorted(unknown)[0]!r}: skip takes names of layers of the model.')

    def wrap(layer):
        if layer.name in skip or isinstance(layer, pruning_wrapper.PruneLowMagnitude):
            return layer
        if isinstance(layer, tf_keras.Model):
            keras2.require_model(layer)
            return tf_keras.models.clone_model(layer, clone_function=wrap)
        if not hasattr(layer, 'get_prunable_weights') and prune_registry.PruneRegistry.supports(layer):
            prune_registry.PruneRegistry.make_prunable(layer)
        # A layer without prunable weights has the method too once a model was wrapped before.
        if hasattr(layer, 'get_prunable_weights'):
            return PruneWithMask(layer) if layer.get_prunable_weights() else layer
        if any(weight.shape.rank and weight.shape.rank > 1 for weight in layer.trainable_weights):
            raise UsageError(
                f'{layer.name} is a {type(layer).__name__}, whose weights TF-MOT does not know: define '
                f'get_prunable_weights() on it, or leave it dense with skip=[{layer.name!r}].')
        return layer

    return tf_keras.models.clone_model(model, clone_function=wrap)


def wrappers(model):
    """Returns the wrappers of a model, nested models included, by the path of layer names that leads there."""
    found = {}

    def visit(layers, path):
        for layer in layers:
            if isinstance(layer, tf_keras.Model):
                visit(layer.layers, f'{path}{layer.name}/')
            elif isinstance(layer, pruning_wrapper.PruneLowMagnitude):
                found[f'{path}{layer.layer.name}'] = layer

    visit(model.layers, '')
    return found


def require_plain(model):
    """Refuses a model that is still wrapped, by this library or by TF-MOT.

    Raises:
      UsageError: a layer is wrapped.
    """
    if wrappers(model):
        raise UsageError(f'layer {next(iter(wrappers(model)))!r} of model {model.name!r} is wrapped for pruning: give '
                         'tfmot.sparsity.keras.strip_pruning(model) instead.')


def _suffixes(layer):
    """The names of a layer's variables below it: 'kernel', or 'query/kernel' where several end in the same word.

    How much more a variable's name holds depends on who built the layer: a call, or Keras when it loads a file.
    """
    names = [variable.name.split(':')[0].split('/') for variable in layer.weights]
    ends = [parts[-1] for parts in names]
    return [end if ends.count(end) == 1 or layer.name not in parts[:-1] else
            '/'.join(parts[parts.index(layer.name) + 1:]) for parts, end in zip(names, ends, strict=True)]


def _unique(name, taken):
    number, candidate = 0, name
    while candidate in taken:
        number += 1
        candidate = f'{name}_{number}'
    return candidate


def variables(model):
    """Returns the model's own variables by name, in the order of its layers: weights, biases, batch-norm statistics.

    Masks and what else the wrappers keep are not among them. The name of a variable is the same whether its layer is
    wrapped or not: 'fc1/kernel', or 'encoder/fc1/kernel' in a nested model.
    """
    found, seen = {}, set()

    def visit(layers, path):
        for layer in layers:
            if isinstance(layer, tf_keras.Model):
                visit(layer.layers, f'{path}{layer.name}/')
                continue
            layer = layer.layer if isinstance(layer, pruning_wrapper.PruneLowMagnitude) else layer
            for variable, suffix in zip(layer.weights, _suffixes(layer), strict=True):
                # A layer that is used in two places is still one set of variables.
                if id(variable) not in seen:
                    seen.add(id(variable))
                    found[_unique(f'{path}{layer.name}/{suffix}', found)] = variable

    visit(model.layers, '')
    return found


def prunable_variables(model):
    """Returns, by name, the (wrapper, weight, mask, threshold) of each prunable weight of a wrapped model.

    Raises:
      UsageError: the model has no wrapped layer.
    """
    names = {id(variable): name for name, variable in variables(model).items()}
    found = {}
    for wrapper in wrappers(model).values():
        for weight, mask, threshold in wrapper.pruning_vars:
            found[names[id(weight)]] = (wrapper, weight, mask, threshold)
    if not found:
        raise UsageError(f'model {model.name!r} has no prunable layer: wrap it first, model = prunable(model).')
    return found


def get_weights(model):
    """Returns the values of `variables(model)` as numpy arrays."""
    return {name: variable.numpy() for name, variable in variables(model).items()}


def get_mask(model):
    """Returns the Mask that a wrapped model holds."""
    return Mask({name: mask.numpy() != 0 for name, (_, _, mask, _) in prunable_variables(model).items()})


def get_fractions(model):
    """Returns, by name, the fraction per level that the schedule around each prunable weight prunes."""
    return {name: holder.pruning_schedule.fraction for name, (holder, *_) in prunable_variables(model).items()}


def _slots(optimizer, weight):
    """The optimizer's variables that belong to each single element of a weight: momenta, moving averages."""
    optimizer = getattr(optimizer, 'inner_optimizer', optimizer)
    if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer):
        slots = [optimizer.get_slot(weight, name) for name in optimizer.get_slot_names()]
    else:
        place = getattr(optimizer, '_index_dict', {}).get(optimizer._var_key(weight))
        slots = [] if place is None else [
            value[place] for name, value in vars(optimizer).items()
            if name != '_variables' and isinstance(value, list) and len(value) == len(optimizer._index_dict)]
    return [slot for slot in slots if slot.shape == weight.shape]


def hold_mask(model, mask):
    """Gives a wrapped model the mask that its weights have been trained under, and leaves all else as it is.

    Args:
      model: a model made by `prunable`; its pruned weights are zero already.
      mask: Mask over exactly the model's prunable weights.

    Raises:
      UsageError: the mask is of another model.
    """
    targets = prunable_variables(model)
    if {name: array.shape for name, array in mask.items()} != {
            name: tuple(weight.shape) for name, (_, weight, _, _) in targets.items()}:
        raise UsageError(f'the mask is over {sorted(mask)}, but the model\'s prunable weights are {sorted(targets)}.')
    for name, (_, _, variable, _) in targets.items():
        variable.assign(tf.cast(tf.constant(mask[name]), variable.dtype))


def set_mask(model, mask, step=0):
    """Gives a wrapped model a new mask.

    The weights pruned become exact zeros, and so do their momenta in the optimizer of a compiled model, which would
    move them on. `threshold` takes the smallest magnitude that stays and `pruning_step`
    takes `step`, which is what TF-MOT's PruningSummaries show.

    Args:
      model, mask: as in `hold_mask`, but the pruned weights may be anything.
      step: int, the training step that the mask is set at.

    Raises:
      UsageError: the mask is of another model.
    """
    hold_mask(model, mask)
    for name, (wrapper, weight, _, threshold) in prunable_variables(model).items():
        # By TensorFlow, on all cores: there may be many millions of weights.
        kept, value = tf.constant(mask[name]), tf.convert_to_tensor(weight)
        threshold.assign(tf.reduce_min(tf.where(kept, tf.abs(value), np.inf)) if mask[name].any() else 0.0)
        for held in (weight, *(_slots(model.optimizer, weight) if model.optimizer else ())):
            held.assign(tf.where(kept, held, tf.zeros([], held.dtype)))
        wrapper.pruning_step.assign(step)
