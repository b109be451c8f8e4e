"""Examples that the forms of a model of one's own are compared on: the user's, or draws."""

import math

import numpy as np
import tensorflow as tf

from tf_lottery.errors import UsageError
from tf_lottery.exports import subject
from tf_lottery.runtime import keras2

# How many are drawn.
_DRAWS = 100
# What is drawn for a dimension that a model leaves open.
_OPEN = 32


def require_dense(model):
    """Refuses a model whose inputs or outputs are ragged or sparse, of which an export has no arrays.

    Raises:
      UsageError: names the first one.
    """
    for kind, names, tensors in (('input', model.input_names, model.inputs),
                                 ('output', model.output_names, model.outputs)):
        for name, tensor in zip(names, tensors, strict=True):
            if not isinstance(tensor.type_spec, tf.TensorSpec):
                what = tensor.type_spec.value_type.__name__
                raise UsageError(f'{kind} {name!r} of model {model.name!r} is a {what}, which is not exported: '
                                 'build the model with dense inputs and outputs, padded.')


def given(model, examples):
    """A user's examples by the names of `keras2.argument_names`, in the dtypes that the model takes.

    Args:
      model: Keras model.
      examples: the structure of the model's inputs, or a dict by the names of its input layers, of arrays [n, ...].

    Returns:
      {argument: array [n, ...]}; of a model that is built for a batch size as many as fill its batches.

    Raises:
      UsageError: they do not fit the inputs.
    """
    names = model.input_names
    try:
        if isinstance(examples, dict) and not isinstance(model.input, dict):
            values = [examples[name] for name in names]
        else:
            values = _flat(model.input, examples)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f'examples are not of the structure of the inputs of model {model.name!r}: give an array for '
                         f'each of {", ".join(names)}, as the model is called with.') from error
    return fitted(model, values)


def fitted(model, values):
    """Arrays [n, ...], one for each of `model.inputs`, as `given` returns them.

    Raises:
      UsageError: they do not fit the inputs.
    """
    arrays = [_fitting(name, tensor, value)
              for name, tensor, value in zip(model.input_names, model.inputs, values, strict=True)]
    counts = {len(array) for array in arrays}
    batch = subject.batch_size(model) or 1
    count = min(counts) // batch * batch
    if len(counts) > 1 or not count:
        raise UsageError(f'examples of model {model.name!r} are {" and ".join(map(str, sorted(counts)))}: give '
                         f'{"as many of each input" if len(counts) > 1 else f"at least {batch}"}.')
    return dict(zip(keras2.argument_names(model), [array[:count] for array in arrays], strict=True))


def _flat(structure, values):
    if isinstance(structure, dict):
        return [each for key in sorted(structure) for each in _flat(structure[key], values[key])]
    if isinstance(structure, (list, tuple)):
        return [each for pair in zip(structure, values, strict=True) for each in _flat(*pair)]
    return [values]


def _fitting(name, tensor, value):
    """An array [n, ...] as an input takes it; text as bytes, and bfloat16, which NumPy lacks, as float32."""
    array = np.asarray(value)
    dtype = tf.float32 if tensor.dtype == tf.bfloat16 else tensor.dtype
    if dtype == tf.string and array.dtype.kind in 'OSU':
        try:
            # NumPy itself has no bytes for an array of objects that are not ASCII.
            fitting = tf.constant(array, tf.string).numpy().astype('S')
        except ValueError as error:
            raise UsageError(f'examples of input {name!r} are objects that are no text: give string.') from error
    elif dtype != tf.string and array.dtype.kind in 'fiub':
        fitting = array.astype(dtype.as_numpy_dtype, copy=False)
        if not dtype.is_floating and not np.array_equal(fitting, array):
            raise UsageError(f'examples of input {name!r} are {array.dtype} and change as {dtype.name}: give '
                             f'{dtype.name}.')
    else:
        raise UsageError(f'examples of input {name!r} are {array.dtype}: give {dtype.name}.')
    # As Keras does with numbers that it takes for rows of one column.
    if tensor.shape[-1:] == [1] and fitting.ndim == tensor.shape.rank - 1:
        fitting = fitting[..., None]
    if not fitting.ndim or not tensor.shape[1:].is_compatible_with(fitting.shape[1:]):
        wanted = ', '.join('any' if size is None else str(size) for size in tensor.shape[1:])
        raise UsageError(f'examples of input {name!r} are of shape {array.shape}: give [n, {wanted}].')
    return fitting


def drawn(model):
    """Draws what fits the dtypes and shapes of a model's inputs; always the same.

    Returns:
      {argument: array [n, ...]}.

    Raises:
      UsageError: an input takes what nobody can draw for it, such as the numbers of tokens, or text.
    """
    rng = np.random.default_rng(0)
    batch = subject.batch_size(model) or 1
    count, arrays = math.ceil(_DRAWS / batch) * batch, []
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        shape = (count, *(_OPEN if size is None else size for size in tensor.shape[1:]))
        if tensor.dtype.is_floating:
            arrays.append(rng.standard_normal(shape, np.float32))
        elif tensor.dtype in (tf.uint8, tf.bool):
            arrays.append(rng.integers(0, 2 if tensor.dtype == tf.bool else 256, shape))
        else:
            raise UsageError(f'input {name!r} of model {model.name!r} takes {tensor.dtype.name}, of which nobody knows '
                             'what to draw: give examples=.')
    return given(model, tf.nest.pack_sequence_as(model.input, arrays))
