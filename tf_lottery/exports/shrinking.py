"""A smaller network that computes the same: what no kept weight feeds or no kept weight reads is removed.

The analysis knows of each channel (the last axis) of each tensor in the network three things, each by one walk:
forwards whether it is constant, the same for every input and at every place; backwards whether it is read, that is,
whether an output depends on it; and last whether it is kept, since channels that are added must stay side by side. What
one layer does to them is a rule; a new layer type is an entry in `_RULES`. A type without one reads and writes
everything, so that nothing is removed across it, and every network comes out exact.
"""

import collections
import dataclasses
import inspect

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.models.dropout import Dropout
from tf_lottery.pruning import clones, wrapper


@dataclasses.dataclass(frozen=True)
class Change:
    """What shrinking did to one layer.

    Attributes:
      channels, channels_left: int, its units, filters or output channels before and after.
      weights, weights_left: int, the size of all its variables before and after, zeros counted.
    """

    channels: int
    channels_left: int
    weights: int
    weights_left: int


def shrink(model):
    """Removes units and channels that no kept weight feeds or reads; the outputs stay the same to float rounding.

    A unit that nothing varying feeds is a constant, which is folded into the biases of its readers; a reader without
    bias gets one. A convolution that pads its input with zeros sees a constant other than 0 end at the border, which no
    bias does: of those that it reads one channel stays and stands in for all. Channels that are added to each other go
    only where each of them can. A channel that stays for such a neighbour's sake, but is not read, loses its weights.
    Inputs and outputs of the model stay as they are, dead inputs too: their rows of zeros stay in the first layer. Each
    layer keeps at least one unit.

    The result is equal where it is called with `training=False`. Trained on, it is another network: batch statistics
    and the gradients of what was folded differ.

    Layers that are not made smaller are copied with all their state (`clones.clone`): the result is a model of its own,
    and what trains one of the two leaves the other as it is.

    Args:
      model: a built Sequential or functional `tf_keras` model without pruning wrappers, with exact zeros where it is
        pruned; nested models are shrunk inside. It is not changed.

    Returns:
      (smaller, changes): a new model of the same kind, with the same names, dtypes, inputs and outputs, not compiled;
      and, by path of layer names, the Change of each layer that has weights.

    Raises:
      UsageError: what `clones.clone` refuses; a wrapped model; or one whose outputs on made-up inputs did not stay.
    """
    parts = clones.models(model)
    wrapper.require_plain(model)
    alone = _alone(parts)
    steps = {step.layer: step for part in parts for step in _analyse(part, alone) if step.layer not in parts}
    resized = {layer: made for layer, step in steps.items() if (made := step.rule.resized(step))}
    instead = {layer: _rebuilt(layer, config) for layer, (config, _) in resized.items()}
    smaller = clones.clone(model, instead)
    for layer, (_, weights) in resized.items():
        instead[layer].set_weights(weights)
    _require_equal(model, smaller)
    return smaller, _changes(model, smaller, steps)


def _rebuilt(layer, config):
    """A new layer of one of the types in `_RULES`, by the objects that the old one holds: functions, initializers."""
    held = {name: getattr(layer, name) for name in inspect.signature(type(layer)).parameters if hasattr(layer, name)}
    return type(layer)(**{**held, **tf_keras.layers.Layer.get_config(layer), **config})


def _changes(model, smaller, steps):
    changes, seen = {}, set()
    for path, layer, left in _pairs(model, smaller, steps):
        if layer not in seen and (weights := _size(layer)):
            seen.add(layer)
            kept = steps[layer].output.kept
            changes[path] = Change(kept.size, int(kept.sum()), weights, _size(left))
    return changes


def _pairs(model, smaller, steps, path=''):
    """Yields the path of each layer of the two models, and the layer in both."""
    for layer in model.layers:
        left = smaller.get_layer(layer.name)
        if layer in steps:
            yield f'{path}{layer.name}', layer, left
        else:
            yield from _pairs(layer, left, steps, f'{path}{layer.name}/')


def _size(layer):
    """int, the numbers in a layer's variables; a table of words is none of them."""
    return sum(int(tf.size(variable)) for variable in layer.weights if isinstance(variable, tf.Variable))


def _require_equal(model, smaller):
    """Compares the two on made-up inputs, as far as the model takes them and can be called without being changed.

    Raises:
      UsageError: an output is another one, or the smaller model reads variables of the model.
    """
    if any(getattr(layer, 'stateful', False) for layer in model.layers):
        return
    rng = np.random.default_rng(0)
    inputs = tf.nest.map_structure(lambda tensor: _made_up(tensor, rng), model.input)
    # Called with training=True in its graph, a layer goes on with its statistics.
    before = [(variable, tf.identity(variable)) for variable in model.variables + smaller.variables
              if isinstance(variable, tf.Variable)]
    try:
        expected, again = (tf.nest.flatten(model(inputs, training=False)) for _ in range(2))
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(smaller(inputs, training=False))
    except Exception:
        # Some models take only images of a certain size, or only certain words and numbers.
        return
    finally:
        for variable, value in before:
            variable.assign(value)
    theirs = {variable._unique_id for variable in model.variables if isinstance(variable, tf.Variable)}
    foreign = [variable.name for variable in tape.watched_variables() if variable._unique_id in theirs]
    if foreign:
        raise UsageError(f'model {model.name!r} reads its variable {foreign[0]!r} past its layers, which a copy would '
                         'read there too: give the layer that reads it an attribute that holds it.')
    half = any(layer.compute_dtype in ('float16', 'bfloat16') for layer in model.submodules
               if isinstance(layer, tf_keras.layers.Layer))
    for output, value, same in zip(outputs, expected, again, strict=True):
        # Far above rounding, and far below what a mistake makes, which may be not a number.
        apart = _distance(output, value) - _distance(value, same)
        if not apart < (0.2 if half else 0.01):
            raise UsageError(f'model {model.name!r} cannot be made smaller: what was left of it gave outputs that are '
                             f'off by {apart:.3g} of the largest, so use it as it is.')


def _made_up(tensor, rng):
    """A value for an input of a model: normal draws, or zeros and empty words where it does not hold floats."""
    shape = [size or (2 if axis == 0 else 32) for axis, size in enumerate(tensor.shape)]
    return tf.cast(rng.normal(size=shape), tensor.dtype) if tensor.dtype.is_floating else tf.zeros(shape, tensor.dtype)


def _distance(left, right):
    """float, the largest distance from floats as a fraction of the largest of these, where they are finite."""
    if not right.dtype.is_floating:
        return 0.0
    left, right = (np.asarray(tf.cast(values, tf.float64)) for values in (left, right))
    finite = np.isfinite(right)
    largest = np.max(np.abs(right[finite]), initial=0)
    return float(np.max(np.abs(left - right)[finite], initial=0) / largest) if largest else 0.0


class _Tensor:
    """What is known of the channels of one tensor.

    Attributes:
      shape: tuple, with None for what is not known.
      constant: float64 [channels], the value that a channel always has, or NaN where it varies.
      read: bool [channels], whether an output of the network depends on it in another way than by its constant.
      kept: bool [channels], whether it is in the smaller network.
    """

    def __init__(self, shape):
        self.shape = shape
        # A tensor without channels is one that cannot be split.
        channels = (shape[-1] if len(shape) > 1 else None) or 1
        self.constant = np.full(channels, np.nan)
        self.read = np.zeros(channels, bool)
        self.kept = np.zeros(channels, bool)

    @property
    def is_constant(self):
        return ~np.isnan(self.constant)


@dataclasses.dataclass(frozen=True)
class _Step:
    """One call of a layer in the network."""

    layer: tf_keras.layers.Layer
    rule: object
    inputs: list
    outputs: list

    @property
    def input(self):
        return self.inputs[0]

    @property
    def output(self):
        return self.outputs[0]


def _nodes(model):
    """The calls of a model's layers, from inputs to outputs."""
    return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]


def _alone(models):
    """Returns the layers that are called once, and share no variable, in all of these models that are one together."""
    calls = collections.Counter(node.layer for model in models for node in _nodes(model))
    layers = [layer for layer in calls if layer not in models]
    owners = collections.Counter(key for layer in layers for key in {id(variable) for variable in layer.weights})
    return {layer for layer in layers
            if calls[layer] == 1 and all(owners[id(variable)] == 1 for variable in layer.weights)}


def _analyse(model, alone):
    """Returns the calls of a model's layers as _Steps, from inputs to outputs, with what is known of each tensor.

    Args:
      model: a Sequential or functional model.
      alone: the layers of it, and others, whose variables only one call reads.
    """
    tensors, steps = {}, []
    for node in _nodes(model):
        outputs = tf.nest.flatten(node.outputs)
        tensors.update({id(tensor): _Tensor(tuple(tensor.shape)) for tensor in outputs})
        step = _Step(node.layer, _RULES.get(type(node.layer), _OPAQUE),
                     [tensors[id(tensor)] for tensor in node.keras_inputs], [tensors[id(tensor)] for tensor in outputs])
        if not (node.layer in alone and _is_plain_call(node) and _is_as_built(node.layer) and step.rule.fits(step)):
            step = dataclasses.replace(step, rule=_OPAQUE)
        steps.append(step)

    for tensor in model.outputs:
        tensors[id(tensor)].read[:] = True
    for step in steps:
        if _is_by_channel(step):
            constant = step.rule.constant(step)
            step.output.constant[:] = np.where(np.isfinite(constant), constant, np.nan)
        else:
            for tensor in step.outputs:
                tensor.read[:] = True
    for step in reversed(steps):
        for tensor, read in zip(step.inputs, step.rule.reads(step), strict=True):
            tensor.read |= read
    for tensor in tensors.values():
        tensor.kept |= tensor.read
    _align(steps, list(tensors.values()))
    return steps


def _is_plain_call(node):
    """Whether a layer is called on tensors alone: `training=True`, for one, would make another function of it."""
    given = [*node.call_args[1:], *node.call_kwargs.values()]
    tensors = tf.nest.flatten(node.call_args[:1])
    return all(value is None for value in given) and len(tensors) == len(node.keras_inputs)


def _is_as_built(layer):
    """Whether a layer computes what its class does, and has no losses and metrics beside its own regularizers."""
    regularizers = [held for name, held in vars(layer).items() if name.endswith('_regularizer') and name[0] != '_']
    losses = len(regularizers) - regularizers.count(None)
    as_its_class = getattr(layer.call, '__func__', None) is type(layer).call
    return as_its_class and not layer._metrics and len(layer._callable_losses) == losses


def _is_by_channel(step):
    """Whether each channel of a layer's output is computed by itself, and not, as by softmax, from all of them."""
    return step.rule is not _OPAQUE and getattr(step.layer, 'activation', tf_keras.activations.linear) in _ACTIVATIONS


def _align(steps, tensors):
    """Keeps what stands beside a kept channel, and one channel of each tensor."""
    while True:
        before = -1
        while before != (before := sum(int(tensor.kept.sum()) for tensor in tensors)):
            for step in steps:
                step.rule.align(step)
        empty = next((tensor for tensor in tensors if not tensor.kept.any()), None)
        if empty is None:
            return
        # Nothing reads it, or it is constant: whichever stays needs no inputs of its own.
        empty.kept[0] = True


class _Opaque:
    """A layer of which nothing is known: it reads all of its inputs and gives its outputs as a whole."""

    def fits(self, step):
        """Whether the rule describes this call."""
        return True

    def constant(self, step):
        """float64 [channels], what is constant in the output, given what is in the inputs; NaN elsewhere."""
        return np.nan

    def reads(self, step):
        """A bool [channels] per input: what is read of it, given what is read of the output."""
        return [True for _ in step.inputs]

    def align(self, step):
        """Adds to what is kept of inputs and output what cannot go alone."""

    def resized(self, step):
        """Returns (changes to the layer's config, its weights) for what is kept; None where it stays as it is."""
        return None


class _Weighted(_Opaque):
    """Dense and convolutional layers: activation(bias + sum over inputs), for each output channel by itself.

    Args:
      size: str, what the config calls the number of output channels.
    """

    def __init__(self, size):
        self._size = size

    def fits(self, step):
        return _channels_last(step) and getattr(step.layer, 'groups', 1) == 1

    def _taps(self, step):
        """The kernel as float64 [places, inputs, outputs]."""
        kernel = step.layer.kernel.numpy().astype(np.float64)
        return kernel.reshape(-1, *kernel.shape[-2:])

    def constant(self, step):
        taps, folds = self._taps(step), _folds(step)
        varies = taps[:, ~folds].any(axis=(0, 1))
        sums = np.where(folds, step.input.constant, 0) @ taps.sum(0) + _bias(step.layer)
        return np.where(varies, np.nan, _activated(step.layer, sums))

    def reads(self, step):
        fed = self._feeds(step)
        read = fed & ~step.input.is_constant
        stand_in = self._stand_in(step)
        if stand_in is not None:
            read[stand_in] = True
        return [read]

    def _feeds(self, step):
        """bool [inputs], those from which something that is read gets a weight other than 0."""
        return self._taps(step)[..., step.output.read].any(axis=(0, 2))

    def _stand_in(self, step):
        """int, the constant input that stays for all that cannot become a bias; None where there is none.

        Of constants a and b, a w_a + b w_b = a (w_a + b / a w_b) at every place, those at the border included. It is
        the first that is not small beside others, so that readers along a chain of sums choose the same one.
        """
        sizes = np.where(step.input.is_constant & ~_folds(step) & self._feeds(step), np.abs(step.input.constant), 0)
        return int(np.argmax(sizes > sizes.max() / 100)) if sizes.any() else None

    def _kernel(self, step):
        """The kernel as float64, the weights of constants that go added to those of the one that stands in for them."""
        kernel, stand_in = step.layer.kernel.numpy().astype(np.float64), self._stand_in(step)
        if stand_in is not None:
            going = step.input.is_constant & ~_folds(step) & ~step.input.kept
            shares = np.where(going, step.input.constant, 0) / step.input.constant[stand_in]
            kernel[..., stand_in, :] += shares @ kernel
        return kernel

    def resized(self, step):
        layer, read, kept = step.layer, step.input.kept, step.output.kept
        # What is kept only for what stands beside it computes nothing, unless it is a constant that is counted on.
        used = step.output.read | step.output.is_constant
        folded = np.where(_folds(step) & ~read, step.input.constant, 0) @ self._taps(step).sum(0)
        bias = (_bias(layer) + np.where(used, folded, 0))[kept]
        use_bias = bool(layer.use_bias or bias.any())
        kernel = np.where(used, self._kernel(step), 0)[..., read, :][..., kept]
        kernel = kernel.astype(layer.kernel.dtype.as_numpy_dtype)
        weights = [kernel, bias.astype(kernel.dtype)][:1 + use_bias]
        return _unless_equal(layer, {self._size: int(kept.sum()), 'use_bias': use_bias}, weights)


class _Passing(_Opaque):
    """A layer whose output channel follows from the same channel of its inputs, such as pooling and flattening.

    Flattened, a channel is a feature at each place, every so many features.
    """

    def fits(self, step):
        sizes = {tensor.kept.size for tensor in step.inputs}
        return _channels_last(step) and len(sizes) == 1 and step.output.kept.size % sizes.pop() == 0

    def _to_output(self, step, values):
        return np.tile(values, step.output.kept.size // step.input.kept.size)

    def _to_input(self, step, values):
        return values.reshape(-1, step.input.kept.size).any(axis=0)

    def constant(self, step):
        return self._to_output(step, step.input.constant)

    def reads(self, step):
        return [self._to_input(step, step.output.read)] * len(step.inputs)

    def align(self, step):
        for tensor in step.inputs:
            step.output.kept |= self._to_output(step, tensor.kept)
        for tensor in step.inputs:
            tensor.kept |= self._to_input(step, step.output.kept)


class _Padding(_Passing):
    """Zeros around an image, which only a zero goes on into."""

    def constant(self, step):
        return np.where(step.input.constant == 0, 0, np.nan)


class _Elementwise(_Passing):
    """A function of the single elements of its inputs, such as activations and additions."""

    def constant(self, step):
        constants = [np.where(tensor.is_constant, tensor.constant, 0).reshape([1] * (len(tensor.shape) - 1) + [-1])
                     for tensor in step.inputs]
        arguments = [tf.constant(values, step.layer.compute_dtype) for values in constants]
        outputs = step.layer(arguments if len(arguments) > 1 else arguments[0])
        known = np.all([tensor.is_constant for tensor in step.inputs], axis=0)
        return np.where(known, outputs.numpy().astype(np.float64).ravel(), np.nan)


class _Normalization(_Elementwise):
    """Batch normalisation with the statistics of training; a channel whose scale is 0 is its shift."""

    def fits(self, step):
        return super().fits(step) and list(step.layer.axis) == [len(step.input.shape) - 1]

    def _scales(self, step):
        return step.layer.gamma.numpy() != 0 if step.layer.scale else np.ones(step.input.kept.size, bool)

    def constant(self, step):
        beta = step.layer.beta.numpy() if step.layer.center else 0
        return np.where(self._scales(step), super().constant(step), beta)

    def reads(self, step):
        return [step.output.read & self._scales(step)]

    def resized(self, step):
        return _unless_equal(step.layer, {}, [weight[step.output.kept] for weight in step.layer.get_weights()])


class _Depthwise(_Passing):
    """A convolution of each channel by itself into as many outputs, side by side, as the multiplier says."""

    def _taps(self, step):
        """The kernel as float64 [places, outputs]."""
        kernel = step.layer.depthwise_kernel.numpy().astype(np.float64)
        return kernel.reshape(-1, step.output.kept.size)

    def _to_output(self, step, values):
        return np.repeat(values, step.output.kept.size // step.input.kept.size)

    def _to_input(self, step, values):
        return values.reshape(step.input.kept.size, -1).any(axis=1)

    def constant(self, step):
        taps, folds = self._taps(step), self._to_output(step, _folds(step))
        constant = np.where(folds, self._to_output(step, step.input.constant), 0)
        varies = taps.any(axis=0) & ~folds
        return np.where(varies, np.nan, _activated(step.layer, constant * taps.sum(0) + _bias(step.layer)))

    def reads(self, step):
        return [self._to_input(step, self._taps(step).any(axis=0) & step.output.read)]

    def resized(self, step):
        kernel, *bias = step.layer.get_weights()
        weights = [kernel[:, :, step.input.kept], *(values[step.output.kept] for values in bias)]
        return _unless_equal(step.layer, {}, weights)


def _unless_equal(layer, config, weights):
    before = layer.get_weights()
    if len(before) == len(weights) and all(map(np.array_equal, before, weights)):
        return None
    return config, weights


def _channels_last(step):
    known = all(len(tensor.shape) > 1 and tensor.shape[-1] for tensor in (*step.inputs, step.output))
    return known and getattr(step.layer, 'data_format', 'channels_last') == 'channels_last'


def _folds(step):
    """bool [channels], the constant inputs that add the same to a layer's output at every place."""
    layer = step.layer
    padded = getattr(layer, 'padding', 'valid') != 'valid' and max(layer.kernel_size) > 1
    return step.input.constant == 0 if padded else step.input.is_constant


def _bias(layer):
    return layer.bias.numpy().astype(np.float64) if layer.use_bias else 0.0


def _activated(layer, sums):
    return layer.activation(tf.constant(sums, layer.compute_dtype)).numpy().astype(np.float64)


_OPAQUE = _Opaque()
_keras = tf_keras.layers
_RULES = {
    _keras.Dense: _Weighted('units'),
    _keras.Conv2D: _Weighted('filters'),
    _keras.DepthwiseConv2D: _Depthwise(),
    _keras.BatchNormalization: _Normalization(),
    _keras.ZeroPadding2D: _Padding(),
    **dict.fromkeys([_keras.Flatten, _keras.MaxPooling2D, _keras.AveragePooling2D, _keras.GlobalMaxPooling2D,
                     _keras.GlobalAveragePooling2D, _keras.Dropout, _keras.SpatialDropout2D, Dropout], _Passing()),
    **dict.fromkeys([_keras.Activation, _keras.ReLU, _keras.LeakyReLU, _keras.ELU, _keras.Add, _keras.Subtract,
                     _keras.Multiply, _keras.Average, _keras.Maximum, _keras.Minimum], _Elementwise()),
}
# A tuple, which can be asked for what has no hash.
_ACTIVATIONS = tuple(getattr(tf_keras.activations, name) for name in (
    'elu', 'exponential', 'gelu', 'hard_sigmoid', 'linear', 'mish', 'relu', 'selu', 'sigmoid', 'softplus', 'softsign',
    'swish', 'tanh'))
