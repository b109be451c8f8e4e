"""Compares what the forms of an export do in a fresh process with the network in memory."""

import numpy as np

from tf_lottery.errors import ExportError
from tf_lottery.pruning import wrapper

# Another order of the same float32 additions.
_CLOSE = {'rtol': 1e-4, 'atol': 1e-4}
# The share of examples whose prediction int8 may change.
INT8_CHANGES = 0.03


def saved_model(subject, answers):
    """Checks variables bit by bit, zeros included, and the predictions of every signature.

    Args:
      subject: subject.Subject.
      answers: dict of arrays, 'variable/<name>' and '<signature>/<output>'.

    Raises:
      ExportError: they are not the network's.
    """
    for name, variable in wrapper.variables(subject.network).items():
        value = answers.get(f'variable/{variable.name}')
        if value is None or not np.array_equal(value, subject.weights[name], equal_nan=True):
            raise ExportError(f'the SavedModel does not hold the weights of {name}.')
        if name in subject.mask and np.any(value[~subject.mask[name]]):
            raise ExportError(f'the SavedModel holds weights of {name} that the mask has pruned.')
    for key, value in answers.items():
        signature, _, output = key.partition('/')
        if output in ('logits', 'outputs'):
            _same(subject, value, f'the SavedModel, by its signature {signature},')
        elif output == 'label' and not np.array_equal(value, _predictions(subject.outputs)):
            raise ExportError(f'the SavedModel, by its signature {signature}, labels examples in another way.')


def shrunk(subject, smaller):
    """Checks that a shrunk network computes what the whole one computes: both are subject.Subjects.

    Raises:
      ExportError: it computes something else.
    """
    try:
        _same(subject, smaller.outputs, 'the shrunk network')
    except ExportError as error:
        raise ExportError(f'{error} Export it whole: shrink=False.') from error


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


def tflite(subject, form, outputs, constants):
    """Checks the predictions of a TFLite file, and that its zeros are where the mask says.

    Args:
      subject: subject.Subject.
      form: str, of `exports.FORMS`.
      outputs: float array [n, ...], what LiteRT made of the examples.
      constants: list of arrays, the weights in the file, laid out as in Keras.

    Returns:
      int, the examples whose prediction differs; 0 unless the form is int8.

    Raises:
      ExportError: too much differs.
    """
    left = list(constants)
    for name, kept in subject.mask.items():
        survives = kept & (subject.weights[name] != 0)
        match = next((number for number, value in enumerate(left) if _fits(value, survives, form)), None)
        if match is None:
            raise ExportError(f'the form {form} does not hold the zeros of {name} where the mask says.')
        del left[match]
    if form == 'tflite_int8':
        return _nearly_the_same(subject, outputs)
    _same(subject, outputs, f'the form {form}')
    return 0


def _fits(value, survives, form):
    """Whether a weight tensor is zero where the mask says and, unless rounding made more zeros, nowhere else."""
    if value.size != survives.size or value.shape[-2:] != survives.shape[-2:]:
        return False
    # A 1x1 convolution may have become the dense layer of each place.
    value = value.reshape(survives.shape)
    if np.any(value[~survives]):
        return False
    # A batch normalisation folded into the layer may have put out a whole channel, the last axis.
    alive = np.any(value, axis=tuple(range(value.ndim - 1)))
    return form == 'tflite_int8' or not np.any((value == 0) & survives & alive)


def _predictions(outputs):
    return np.argmax(outputs, axis=-1)


def _nearly_the_same(subject, outputs):
    changed = _predictions(outputs) != _predictions(subject.outputs)
    if changed.mean() > INT8_CHANGES:
        raise ExportError(f'int8 predicts {changed.sum()} of {changed.size} examples in another way, more than '
                          f'{INT8_CHANGES:.0%}: leave tflite_int8 out of --config.export.forms.')
    return int(changed.sum())


def _same(subject, outputs, what):
    if outputs.shape != subject.outputs.shape or not np.allclose(outputs, subject.outputs, **_CLOSE):
        raise ExportError(f'{what} does not compute what the network computes.')
    if not np.array_equal(_predictions(outputs), _predictions(subject.outputs)):
        raise ExportError(f'{what} predicts another class of some example than the network.')
