"""Compares what the forms of an export do in a fresh process with the model that was given."""

import numpy as np

from tf_lottery.errors import ExportError
from tf_lottery.pruning import wrapper

# Another order of the same float32 additions, relative to the size of an output.
CLOSE = 1e-4
# The same of a model that computes in 8 or 11 significant bits, in each of its layers.
CLOSE_IN = {'mixed_bfloat16': 6e-2, 'mixed_float16': 1e-2}
# The share of examples whose prediction int8 may change.
INT8_CHANGES = 0.03
# The error of int8 in an output that is no prediction of a class: root mean square, relative to its range.
INT8_ERROR = 0.03


def saved_model(subject, answers, expected):
    """Checks variables bit by bit, zeros included, and what every signature returns.

    Args:
      subject: subject.Subject.
      answers: dict of arrays, 'variable/<number>/<name>' and '<signature>/<output>'.
      expected: {signature: {output: array}}, as the model that was given computes them.

    Raises:
      ExportError: they are not the model's.
    """
    left = {}
    for key, value in answers.items():
        if key.startswith('variable/'):
            left.setdefault(key.split('/', 2)[2], []).append(value)
    for name, variable in wrapper.variables(subject.network).items():
        # Layers of two nested models may have the same name, and so their variables.
        same = left.get(variable.name, [])
        weights = np.asarray(subject.weights[name])
        weights = weights.astype(np.float32) if weights.dtype == 'bfloat16' else weights
        place = next((place for place, value in enumerate(same) if np.array_equal(value, weights, equal_nan=(
            weights.dtype.kind == 'f'))), None)
        if place is None:
            raise ExportError(f'the SavedModel does not hold the weights of {name}.')
        value = same.pop(place)
        if name in subject.mask and np.any(value[~subject.mask[name]]):
            raise ExportError(f'the SavedModel holds weights of {name} that the mask has pruned.')
    for signature, outputs in expected.items():
        what = f'the SavedModel, by its signature {signature},'
        _same(outputs, {key: answers.get(f'{signature}/{key}') for key in outputs}, what)
        served = subject.serving.signatures.get(signature)
        for name, scores in served.largest.items() if served else ():
            if not _are_largest(outputs[scores], answers.get(f'{signature}/{name}')):
                raise ExportError(f'{what} does not compute what the network computes: {name!r} is not the place of '
                                  f'the largest of {scores!r}.')


def shrunk(subject, outputs):
    """Checks that a shrunk network computes, in memory, what the model that was given computes.

    Raises:
      ExportError: it computes something else.
    """
    try:
        _same(subject.outputs, outputs, 'the shrunk network')
    except ExportError as error:
        raise ExportError(f'{error} Export it whole: shrink=False.') from error


def unwrapped(outputs, network_outputs, lowered):
    """Checks that the network to be exported, in full precision and without wrappers, computes what was given.

    Args:
      outputs: {output: array}, of the model that was given.
      network_outputs: the same of the network.
      lowered: str, the mixed precision of the model that was given, or None.

    Raises:
      ExportError: it computes something else.
    """
    _same(outputs, network_outputs, 'the model without wrappers and in float32', CLOSE_IN.get(lowered, CLOSE))


def ticket(subject, answers):
    """Checks a ticket file bit by bit: 'mask/<name>', 'weights/<name>' and 'step'.

    Raises:
      ExportError: it is another ticket.
    """
    expected = {'step': subject.ticket.step,
                **{f'mask/{name}': array for name, array in subject.ticket.mask.items()},
                **{f'weights/{name}': array for name, array in subject.ticket.start.items()}}
    if set(answers) != set(expected) or not all(np.array_equal(answers[key], expected[key]) for key in expected):
        raise ExportError('the ticket file does not hold the ticket.')


def tflite(subject, form, outputs):
    """Checks what a TFLite file computes.

    Args:
      subject: subject.Subject.
      form: str, of `forms.FORMS`.
      outputs: {output: array [n, ...]}, what LiteRT made of the examples.

    Returns:
      (changed, errors): {output: int}, the examples whose predicted class differs, and {output: float}, the root mean
      square error relative to the range, of the outputs that predict no class; both without outputs where the form is
      not int8.

    Raises:
      ExportError: too much differs.
    """
    if form == 'tflite_int8':
        return _nearly_the_same(subject, outputs)
    _same(subject.outputs, outputs, f'the form {form}')
    return {}, {}


def zeros(subject, form, weights, constants):
    """Checks that the zeros in a TFLite file are where the mask says.

    Args:
      subject: subject.Subject.
      form: str, of `forms.FORMS`.
      weights: list of arrays, the weights of the file's operators, laid out as in Keras.
      constants: list of arrays, all that the file holds, laid out in any way.

    Returns:
      list of the names of weights that are in the file in a way that cannot be compared.

    Raises:
      ExportError: a weight lacks zeros.
    """
    kept = {name: np.asarray(array) != 0 for name, array in subject.weights.items() if np.ndim(array) > 1}
    kept.update({name: mask & kept[name] for name, mask in subject.mask.items()})
    left, lost = list(weights), []
    # The sparsest first, for a full one fits whatever has its size; then what is not pruned at all.
    for name in sorted(kept, key=lambda name: (name not in subject.mask, kept[name].mean())):
        match = next((number for number, value in enumerate(left) if _fits(value, kept[name], form)), None)
        if match is not None:
            del left[match]
        elif name in subject.mask and not any(_holds(array, subject.weights[name] * kept[name]) for array in constants):
            lost.append(name)
    for name in lost:
        # What belongs to nobody else is this weight: with other zeros, unless as many lie elsewhere in another layout.
        pruned = kept[name].size - np.count_nonzero(kept[name])
        for value in left:
            zeros_there = value.size - np.count_nonzero(value)
            if value.size == kept[name].size and zeros_there != pruned and (
                    zeros_there < pruned or form != 'tflite_int8'):
                raise ExportError(f'the form {form} does not hold the zeros of {name} where the mask says.')
    return lost


def _holds(array, weight):
    """Whether an array has the numbers of a weight, zeros too, in whatever order."""
    return array.size == weight.size and np.array_equal(np.sort(array, axis=None), np.sort(weight, axis=None))


def _fits(value, survives, form):
    """Whether a weight tensor is zero where the mask says and, unless rounding made more zeros, nowhere else."""
    if value.size != survives.size:
        return False
    # A 1x1 convolution may have become the dense layer of each place, and attention a dense layer of all heads.
    value = value.reshape(survives.shape)
    if np.any(value[~survives]):
        return False
    if form == 'tflite_int8':
        return True
    # A batch normalisation folded into the layer may have put out a whole channel: the last axis, or the last but one
    # of a transposed convolution.
    channels = [np.any(value, axis=tuple(other for other in range(value.ndim) if other != axis), keepdims=True)
                for axis in ((-1 % value.ndim,) if value.ndim < 3 else (value.ndim - 1, value.ndim - 2))]
    return not np.any((value == 0) & survives & np.logical_and.reduce(np.broadcast_arrays(*channels)))


def _predictions(outputs):
    return np.argmax(outputs, axis=-1)


def _nearly_the_same(subject, outputs):
    changed, errors = {}, {}
    for name, expected in subject.outputs.items():
        found = outputs.get(name)
        if found is None or found.shape != expected.shape:
            raise ExportError(f'int8 returns no {name!r} of shape {expected.shape}.')
        if name in subject.serving.classifies or expected.dtype.kind != 'f':
            differs = (_predictions(found) != _predictions(expected) if name in subject.serving.classifies else
                       np.any((found != expected).reshape(len(expected), -1), axis=1))
            if differs.mean() > INT8_CHANGES:
                raise ExportError(f'int8 predicts {differs.sum()} of {differs.size} examples in another way, more than '
                                  f'{INT8_CHANGES:.0%}: leave the form tflite_int8 out.')
            changed[name] = int(differs.sum())
        else:
            spread = float(np.ptp(expected)) or float(np.abs(expected).max()) or 1.0
            errors[name] = float(np.sqrt(np.mean(np.square(np.float64(found) - expected)))) / spread
            # Not a number is no small error either.
            if not errors[name] <= INT8_ERROR:
                raise ExportError(f'int8 is {errors[name]:.1%} of the range of {name!r} off, more than '
                                  f'{INT8_ERROR:.0%}: leave the form tflite_int8 out.')
    return changed, errors


def _same(expected, found, what, share=CLOSE):
    for name, output in expected.items():
        if found.get(name) is None or found[name].shape != output.shape:
            raise ExportError(f'{what} does not compute what the network computes: it returns no {name!r} of shape '
                              f'{output.shape}.')
        if not is_close(found[name], output, share):
            apart = '' if output.dtype.kind != 'f' else f' by up to {np.max(np.abs(found[name] - output)):.3g}'
            raise ExportError(f'{what} does not compute what the network computes: {name!r} differs{apart}.')


def is_close(found, expected, share=CLOSE):
    """bool, whether an output is equal to rounding; whole numbers, truths and text have to be equal."""
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind != 'f':
        return np.array_equal(found, expected)
    # Infinities are no distance, but may be equal.
    return bool(np.all(np.isclose(found, expected, rtol=share, atol=share * _size(expected))))


def _size(output):
    """How large an output is, [columns] of its last axis: the root mean square of each, and at least a tenth of that
    of all, so that a column of little more than rounding is no output of its own."""
    squares = np.square(np.where(np.isfinite(output), output, 0), dtype=np.float64)
    if not squares.any():
        # There is no size to go by.
        return 1.0
    columns = squares.mean(axis=tuple(range(output.ndim - 1))) if output.ndim > 1 else squares.mean()
    return np.sqrt(np.maximum(columns, squares.mean() / 10**2))


def _are_largest(scores, places):
    """Whether these are the places [n] of the largest of scores [n, classes], or of ones as large to rounding."""
    if places is None or places.shape != scores.shape[:1]:
        return False
    return is_close(np.take_along_axis(scores, places[:, None], axis=-1)[:, 0], scores.max(axis=-1))
