"""The TF-MOT wrapper that holds masks, and what a wrapped model is made of."""

import contextlib
import inspect
import threading

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry, pruning_impl, pruning_wrapper

from tf_lottery.errors import UsageError, shown
from tf_lottery.pruning import constraint, optimizer_state
from tf_lottery.pruning.allocation import VARIABLES
from tf_lottery.pruning.schedules import IterativePruning
from tf_lottery.runtime import keras2
from tf_lottery.ticket import Mask


@tf.custom_gradient
def _masked_gradient(weight, mask):
    """`weight` as it is, with the gradient of `weight * mask`: equal where `weight` is zero wherever `mask` is."""
    # Selected rather than multiplied: out of a loop of steps XLA takes `mask != 0`, a quarter of the mask's bytes.
    return tf.identity(weight), lambda upstream: (constraint.masked(upstream, mask), None)


class _OfThisThread:
    """Stands for the tensor that the running thread has set.

    A strategy traces the replicas of a process in threads that take turns, inside of a layer too, where replicas
    exchange what they have (as in synchronised batch normalisation).
    """

    def __init__(self):
        self._tensors = {}

    def set(self, tensor):
        self._tensors[threading.get_ident()] = tensor

    def get(self):
        return self._tensors[threading.get_ident()]

    def __tf_tensor__(self, dtype=None, name=None):
        return tf.convert_to_tensor(self.get(), dtype, name=name)

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.get(), name)


def _operator(name):
    return lambda self, *operands: getattr(self.get(), name)(*operands)


for _name in tf.Tensor.OVERLOADABLE_OPERATORS:
    setattr(_OfThisThread, _name, _operator(_name))


class _Places:
    """Where a weight is an attribute of a layer, or of what the layer is made of, and what stands there during a call.

    Raises:
      UsageError: it is an attribute of none of them.
    """

    def __init__(self, layer, weight, mask):
        self.weight, self.mask = weight, mask
        # Keras's own attribute handling would drop the variable from the layer; we note who holds it, once.
        self._owners = [(owner, name) for owner in (layer, *layer.submodules)
                        for name, value in vars(owner).items() if value is weight]
        if not self._owners:
            raise UsageError(f'{layer.name} holds {weight.name} in a way that cannot be masked.')
        self._stand_in, self._calls = _OfThisThread(), 0
        self.effective = None

    def _masked(self, zeros_held):
        value = tf.convert_to_tensor(self.weight)
        if self.effective:
            return self.effective(value)
        return _masked_gradient(value, self.mask) if zeros_held else constraint.masked(value, self.mask)

    @contextlib.contextmanager
    def masked(self, zeros_held):
        """Puts the masked weight there for as long as the context lasts."""
        masked = self._masked(zeros_held)
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            self._stand_in.set(masked)
            masked = self._stand_in
        self._calls += 1
        self._put(masked)
        try:
            yield
        finally:
            self._calls -= 1
            # Another replica's thread may still be inside.
            if not self._calls:
                self._put(self.weight)

    def _put(self, value):
        for owner, name in self._owners:
            object.__setattr__(owner, name, value)


def _build_attention(layer):
    """Gives a MultiHeadAttention that was read from a file its weights, which its first call would make too late."""
    if isinstance(layer, tf_keras.layers.MultiHeadAttention) and not layer.weights and layer._built_from_signature:
        shapes = layer._query_shape, layer._value_shape, layer._key_shape
        layer(*(tf_keras.Input(batch_shape=shape, dtype=layer.compute_dtype) for shape in shapes))


def _made(layer):
    """The prunable weights of a layer, or None where it has not made them."""
    try:
        weights = list(layer.get_prunable_weights())
    except AttributeError:
        return None
    return weights if all(isinstance(weight, tf.Variable) for weight in weights) else None


def _call_once(layer, args, kwargs):
    """Calls a layer in a graph of its own, so that it makes its weights; nothing else comes of it."""
    def stand_in(value):
        if not tf.is_tensor(value) and not tf_keras.backend.is_keras_tensor(value):
            return value
        return tf.compat.v1.placeholder(value.dtype, value.shape)

    with tf.__internal__.FuncGraph('build').as_default():
        args, kwargs = tf.nest.map_structure(stand_in, (args, kwargs))
        layer(*args, **kwargs)
    layer._clear_losses()


@tf_keras.utils.register_keras_serializable('tf_lottery')
class PruneWithMask(pruning_wrapper.PruneLowMagnitude):
    """TF-MOT's pruning wrapper with the mask inside the forward pass: the layer runs on `weight * mask`.

    The gradient of a pruned weight is exactly zero, so that nothing beyond the gradients crosses a network, and the
    variable itself is zero again after every update, whatever moved it (`constraint.HeldZeros`). The stock wrapper
    assigns `weight * mask` in the forward pass instead, which averages all weights over all replicas at every step. The
    mask changes only when it is set; `pruning_schedule` says to which density. A variable has one mask, which all
    wrappers around it share. In all else the wrapper is as the layer: name, losses, states, attributes.

    Args:
      layer: a layer that TF-MOT knows, or that has `get_prunable_weights()`.
      pruning_schedule: a TF-MOT PruningSchedule.
      prunes: which of its weights, one of `allocation.VARIABLES`.

    Attributes:
      zeros_held: whether the caller promises that a pruned weight's variable is zero before the first step. Then only
        the gradient is masked, which gives the same bits and saves a pass over the weights; what is frozen at another
        value (`let_freeze`) counts in the forward pass.
    """

    def __init__(self, layer, pruning_schedule=None, prunes='kernels', **kwargs):
        kwargs.setdefault('dtype', layer.dtype_policy if hasattr(layer, 'dtype_policy') else None)
        super().__init__(layer, pruning_schedule=pruning_schedule or IterativePruning(0.2), **kwargs)
        # Outputs, losses and monitors are called after layers.
        self._name = layer.name
        self.prunes = prunes
        self.zeros_held = False
        self.supports_masking = layer.supports_masking
        parameters = inspect.signature(layer.call).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._first = next(iter(parameters), None)
        self._autocast = layer._autocast
        self._arguments = None
        self._drops = [name for name in ('training', 'mask') if name not in parameters and not takes_any]

    def __getattr__(self, name):
        layer = vars(self).get('layer')
        if layer is None or name.startswith('_'):
            raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')
        return getattr(layer, name)

    @property
    def stateful(self):
        return self.layer.stateful

    @stateful.setter
    def stateful(self, value):
        self.layer.stateful = value

    def __call__(self, *args, **kwargs):
        if not args and self._first in kwargs:
            # Keras wants the first argument by the name that it has here, or by none.
            args = (kwargs.pop(self._first),)
        if self.built:
            return super().__call__(*args, **kwargs)
        # Past Keras's own attribute handling, which would track them.
        object.__setattr__(self, '_arguments', (args, kwargs))
        try:
            return super().__call__(*args, **kwargs)
        finally:
            object.__setattr__(self, '_arguments', None)

    def build(self, input_shape=None):
        _build_attention(self.layer)
        # Not TF-MOT's: that makes a mask for each weight of each wrapper.
        super(pruning_wrapper.PruneLowMagnitude, self).build(input_shape)
        self.prunable_weights = self._find_weights()
        self.pruning_vars = [(weight, *self._mask(weight)) for weight in self.prunable_weights]
        self.pruning_step = self.add_weight(
            'pruning_step', shape=[], initializer=tf_keras.initializers.Constant(-1), dtype=tf.int64, trainable=False)
        self.pruning_obj = pruning_impl.Pruning(
            lambda: self.pruning_step, self.pruning_vars, self.pruning_schedule, self.block_size,
            self.block_pooling_type, self.sparsity_m_by_n)
        self._places = [_Places(self.layer, weight, mask) for weight, mask, _ in self.pruning_vars]

    def _find_weights(self):
        """The layer's prunable weights, of a layer that makes them when it is called as well."""
        weights = _made(self.layer)
        if weights is None and self._arguments:
            _call_once(self.layer, *self._arguments)
            weights = _made(self.layer)
        if weights is None:
            raise UsageError(f'{self.layer.name} makes its weights when it is called, so that there are none to prune '
                             'yet: call the model, or the layer, once on some data first.')
        return list(self.layer.trainable_weights) if self.prunes == 'all' else weights

    def _mask(self, weight):
        """The mask and the threshold of a weight, which it may have already."""
        held = constraint.of(weight)
        if held:
            self._non_trainable_weights += [held.mask, held.threshold]
            return held.mask, held.threshold
        # TF-MOT calls all masks of a layer 'mask': PruningSummaries would show one of them, HDF5 refuses the second.
        number = sum('mask' in variable.name.split('/')[-1] for variable in self._non_trainable_weights)
        mask, threshold = (self.add_weight(
            f'{name}_{number}' if number else name, shape=shape, initializer=initializer, trainable=False,
            # Under mixed precision it is the variable's own dtype that counts.
            dtype=getattr(weight, 'true_dtype', weight.dtype), experimental_autocast=False,
            aggregation=tf.VariableAggregation.MEAN)
            for name, shape, initializer in (('mask', weight.shape, 'ones'), ('threshold', [], 'zeros')))
        constraint.hold(weight, mask, threshold)
        return mask, threshold

    def call(self, inputs, *args, **kwargs):
        for name in self._drops:
            kwargs.pop(name, None)
        with contextlib.ExitStack() as stack:
            for place in self._places:
                stack.enter_context(place.masked(self.zeros_held))
            return self.layer(inputs, *args, **kwargs)

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def get_config(self):
        return {**super().get_config(), 'prunes': self.prunes}


def prunable(model, skip=(), variables='kernels'):
    """Wraps every layer of a Keras 2 model that has prunable weights; the layers and their weights are shared.

    Biases and normalisation layers are pruned where all variables are, and else never. TF-MOT's registry names the
    prunable weights of each layer type, recurrent cells and MultiHeadAttention included; a layer class of your own
    takes part by defining `get_prunable_weights()`. A layer that is used in several places is wrapped once, and a
    variable has one mask, which it keeps: what has been pruned under it stays pruned. Wrappers of TF-MOT's own are
    replaced, with their masks.

    Args:
      model: a built Sequential or functional `tf_keras` model, nested models included. A class of your own with a
        `train_step` or other methods stays what it is, with its attributes.
      skip: names of layers to leave dense.
      variables: 'kernels' for what TF-MOT prunes of each type of layer: kernels and embeddings; 'all' for whatever is
        trained, biases and the scales of normalisation too (1906.02768, section 3).

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
    if variables not in VARIABLES:
        raise UsageError(f'variables is {shown(variables)}: choose one of {", ".join(VARIABLES)}.')
    return _Wrapping(skip, variables).of_model(model)


class _Wrapping:
    """The layers that take the places of a model's layers; of each there is one, however often the layer is used."""

    def __init__(self, skip, variables):
        self._skip, self._variables, self._made = skip, variables, {}

    def of_model(self, model):
        """A model of the same class and attributes."""
        # A model of somebody's own may keep other layers beside its graph, for a training step of its own.
        called = {id(node.layer) for nodes in getattr(model, '_nodes_by_depth', {}).values() for node in nodes}
        clone = tf_keras.models.clone_model(
            model, clone_function=lambda layer: self._of_layer(layer) if not called or id(layer) in called else layer)
        if type(clone) is not type(model):
            # Its constructor may want anything.
            clone.__class__ = type(model)
            clone._init_call_fn_args()
        known = {*vars(clone), *_set_by_keras()}
        for name, value in vars(model).items():
            if name not in known:
                setattr(clone, name, self._of_attribute(value))
        return clone

    def _of_layer(self, layer):
        if id(layer) not in self._made:
            self._made[id(layer)] = layer if layer.name in self._skip else self._wrapped(layer)
        return self._made[id(layer)]

    def _of_attribute(self, value):
        """What a model of somebody's own keeps, with the layers that are in the model replaced."""
        if isinstance(value, dict):
            return {key: self._of_attribute(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)) and not hasattr(value, '_fields'):
            return (list if isinstance(value, list) else tuple)(map(self._of_attribute, value))
        return self._made.get(id(value), value)

    def _wrapped(self, layer):
        """A wrapper around a layer, or a layer that needs none."""
        if isinstance(layer, PruneWithMask):
            return layer
        if isinstance(layer, pruning_wrapper.PruneLowMagnitude):
            return _ours(layer)
        if isinstance(layer, tf_keras.Model):
            keras2.require_model(layer)
            return self.of_model(layer)
        if not hasattr(layer, 'get_prunable_weights') and prune_registry.PruneRegistry.supports(layer):
            prune_registry.PruneRegistry.make_prunable(layer)
        # A layer without prunable weights has the method too once a model was wrapped before.
        if hasattr(layer, 'get_prunable_weights'):
            wanted = layer.trainable_weights if self._variables == 'all' else layer.get_prunable_weights()
            return PruneWithMask(layer, prunes=self._variables) if wanted else layer
        if any(weight.shape.rank and weight.shape.rank > 1 and constraint.of(weight) is None
               for weight in layer.trainable_weights):
            raise UsageError(
                f'{layer.name} is a {type(layer).__name__}, whose weights TF-MOT does not know: define '
                f'get_prunable_weights() on it, or leave it dense with skip=[{layer.name!r}].')
        if self._variables == 'all' and layer.trainable_weights:
            # What TF-MOT asks of a layer that it does not know; vectors are no kernels.
            object.__setattr__(layer, 'get_prunable_weights', lambda: [])
            return PruneWithMask(layer, prunes=self._variables)
        return layer


def _ours(stock):
    """A wrapper in the place of one of TF-MOT's own, whose schedule would compute masks again."""
    ours = PruneWithMask(stock.layer)
    ours.build()
    for weight, mask, _ in stock.pruning_vars:
        held = constraint.of(weight)
        held.mask.assign(mask)
        weight.assign(constraint.masked(tf.convert_to_tensor(weight), mask))
    return ours


def _set_by_keras():
    """The attributes that Keras gives a model when it is compiled and trained."""
    model = tf_keras.Sequential()
    model.compile()
    return {*vars(model), 'history', '_training_state', '_eval_data_handler'}


def _below(layer):
    """The layers that a layer is made of; of a wrapper, those that the layer in it is made of."""
    if isinstance(layer, tf_keras.Model):
        return layer.layers
    layer = _inner(layer)
    return list(layer._flatten_layers(recursive=False, include_self=False))


def _inner(layer):
    return layer.layer if isinstance(layer, pruning_wrapper.PruneLowMagnitude) else layer


def wrappers(model):
    """Returns the wrappers of a model by the path of layer names that leads there.

    Those in nested models and in layers of one's own are among them; one that stands in several places has the path of
    the first.
    """
    found = {}

    def visit(layers, path):
        for layer in layers:
            own = f'{path}{_inner(layer).name}'
            if isinstance(layer, pruning_wrapper.PruneLowMagnitude) and not any(
                    layer is other for other in found.values()):
                found[_unique(own, found)] = layer
            visit(_below(layer), f'{own}/')

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


def _suffixes(weights, layer):
    """The names of a layer's weights below it: 'kernel', or 'query/kernel' where several end in the same word.

    How much more a variable's name holds depends on who built the layer: a call, or Keras when it loads a file.
    """
    names = [variable.name.split(':')[0].split('/') for variable in weights]
    ends = [parts[-1] for parts in names]
    return [end if ends.count(end) == 1 or layer not in parts[:-1] else
            '/'.join(parts[parts.index(layer) + 1:]) for parts, end in zip(names, ends, strict=True)]


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
    kept_by_wrappers = {id(variable) for wrapper in wrappers(model).values()
                        for variable in wrapper._non_trainable_weights}
    found, seen = {}, set()

    def visit(layers, path):
        for layer in layers:
            if isinstance(layer, tf_keras.Model):
                visit(layer.layers, f'{path}{layer.name}/')
                add(layer._trainable_weights + layer._non_trainable_weights, layer.name, f'{path}{layer.name}/')
            else:
                layer = _inner(layer)
                add(layer.weights, layer.name, f'{path}{layer.name}/')

    def add(weights, layer, path):
        # A vocabulary is among the weights of its layer, and no variable.
        weights = [weight for weight in weights
                   if isinstance(weight, tf.Variable) and id(weight) not in kept_by_wrappers]
        for weight, suffix in zip(weights, _suffixes(weights, layer), strict=True):
            # A layer that is used in two places is still one set of variables.
            if id(weight) not in seen:
                seen.add(id(weight))
                found[_unique(f'{path}{suffix}', found)] = weight

    visit(model.layers, '')
    add(model._trainable_weights + model._non_trainable_weights, model.name, '')
    return found


def prunable_variables(model):
    """Returns, by name, the (wrapper, weight, mask, threshold) of each prunable weight of a wrapped model.

    Raises:
      UsageError: the model has no wrapped layer, or one that has no weights yet.
    """
    names = {id(variable): name for name, variable in variables(model).items()}
    found = {}
    for path, wrapper in wrappers(model).items():
        if not wrapper.built:
            raise UsageError(f'layer {path!r} of model {model.name!r} has no weights yet: call the model once on some '
                             'data first.')
        for weight, mask, threshold in wrapper.pruning_vars:
            # Two layers may share a weight, and so its mask.
            found.setdefault(names.get(id(weight)) or weight.name.split(':')[0], (wrapper, weight, mask, threshold))
    if not found:
        raise UsageError(f'model {model.name!r} has no prunable layer: wrap it first, model = prunable(model).')
    return found


def kernels(model):
    """Returns the ids of those prunable weights of a wrapped model that are pruned where `variables` is 'kernels'."""
    return {id(weight) for wrapper in wrappers(model).values() for weight in wrapper.layer.get_prunable_weights()}


def states(model):
    """Returns the tf.Variables that hold the states of stateful layers, which Keras does not count as weights."""
    found = {}
    for layer in model._flatten_layers():
        if getattr(layer, 'stateful', False):
            found.update({id(state): state for state in tf.nest.flatten(getattr(layer, 'states', None))
                          if isinstance(state, tf.Variable)})
    return list(found.values())


def get_weights(model):
    """Returns the values of `variables(model)` as numpy arrays."""
    return {name: variable.numpy() for name, variable in variables(model).items()}


def set_weights(model, weights):
    """Gives `variables(model)` values; `weights` is a dict of arrays that has one for each."""
    for name, variable in variables(model).items():
        variable.assign(weights[name])


def get_mask(model):
    """Returns the Mask that a wrapped model holds."""
    return Mask({name: mask.numpy() != 0 for name, (_, _, mask, _) in prunable_variables(model).items()})


def set_effective(model, functions):
    """Says what the layers of a wrapped model run on instead of `weight * mask`.

    Args:
      model: a model made by `prunable`.
      functions: mapping from the name of a prunable weight to a function of the weight's tensor that returns one of its
        shape; it is called wherever the weight is used, on each replica.
    """
    by_weight = {id(weight): functions[name] for name, (_, weight, *_) in prunable_variables(model).items()
                 if name in functions}
    for wrapper in wrappers(model).values():
        for place in wrapper._places:
            place.effective = by_weight.get(id(place.weight))


def set_schedules(model, fractions, levels, steps, rewind_to):
    """Tells the wrappers of a model the schedule that its masks follow: of several weights the one that is pruned most.

    Args:
      model: a model made by `prunable`.
      fractions: mapping from the name of each prunable weight to the fraction of it pruned per level.
      levels, steps, rewind_to: int, as in `IterativePruning`.
    """
    by_weight = {id(weight): fractions[name] for name, (_, weight, *_) in prunable_variables(model).items()}
    for wrapper in wrappers(model).values():
        fraction = max(by_weight[id(weight)] for weight, *_ in wrapper.pruning_vars)
        wrapper.pruning_schedule = IterativePruning(fraction, levels, steps, rewind_to)


def let_freeze(model):
    """Lets the pruned weights of a wrapped model be frozen at other values than zero, as `Ticket.frozen` has them.

    It takes a variable of each prunable weight's shape, which has to be there before the model is compiled; from then
    on the caller sees to the pruned weights before the first step (`PruneWithMask.zeros_held`), as `rewind` does.

    Args:
      model: a model made by `prunable`.
    """
    for _, weight, mask, _ in prunable_variables(model).values():
        constraint.of(weight).frozen = tf.Variable(
            tf.zeros(mask.shape, mask.dtype), trainable=False, aggregation=tf.VariableAggregation.MEAN)
    for holder in wrappers(model).values():
        holder.zeros_held = True


def hold_mask(model, mask, frozen=None):
    """Gives a wrapped model the mask that its weights have been trained under, and leaves all else as it is.

    Args:
      model: a model made by `prunable`; its pruned weights are zero already, or what `frozen` has.
      mask: Mask over exactly the model's prunable weights.
      frozen: `Ticket.frozen`; None: pruned weights are zero.

    Raises:
      UsageError: the mask is of another model, or pruned weights of this one cannot be frozen.
    """
    targets = prunable_variables(model)
    if {name: array.shape for name, array in mask.items()} != {
            name: tuple(weight.shape) for name, (_, weight, _, _) in targets.items()}:
        raise UsageError(f'the mask is over {sorted(mask)}, but the model\'s prunable weights are {sorted(targets)}.')
    held = {name: constraint.of(weight) for name, (_, weight, _, _) in targets.items()}
    if frozen and any(each.frozen is None for each in held.values()):
        raise UsageError('the pruned weights of this ticket are frozen at other values than zero: call '
                         'tf_lottery.pruning.wrapper.let_freeze(model) before the model is compiled.')
    for name, (_, _, variable, _) in targets.items():
        variable.assign(tf.cast(tf.constant(mask[name]), variable.dtype))
        if held[name].frozen is not None:
            held[name].frozen.assign(frozen[name] if frozen else tf.zeros_like(held[name].frozen))


def set_mask(model, mask, step=0, frozen=None, optimizer=None):
    """Gives a wrapped model a new mask.

    The weights pruned become exact zeros, or what `frozen` has for them; their momenta in the optimizer, which would
    move them on, become zeros. `threshold` takes the smallest magnitude that stays and
    `pruning_step` takes `step`, which is what TF-MOT's PruningSummaries show.

    Args:
      model, mask: as in `hold_mask`, but the pruned weights may be anything.
      step: int, the training step that the mask is set at.
      frozen: as in `hold_mask`.
      optimizer: the one that trains the model; None for that of a compiled model.

    Raises:
      UsageError: see `hold_mask`.
    """
    optimizer = optimizer or model.optimizer
    hold_mask(model, mask, frozen)
    for name, (wrapper, weight, _, threshold) in prunable_variables(model).items():
        # By TensorFlow, on all cores: there may be many millions of weights.
        kept, value = tf.constant(mask[name]), tf.convert_to_tensor(weight)
        threshold.assign(tf.reduce_min(tf.where(kept, tf.abs(value), np.inf)) if mask[name].any() else 0.0)
        otherwise = tf.cast(frozen[name], value.dtype) if frozen else tf.zeros([], value.dtype)
        weight.assign(tf.where(kept, value, otherwise))
        for slot in optimizer_state.slots(optimizer, weight) if optimizer else ():
            slot.assign(tf.where(kept, slot, tf.zeros([], slot.dtype)))
        wrapper.pruning_step.assign(step)
