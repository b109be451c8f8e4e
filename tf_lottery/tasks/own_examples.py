"""Examples as users have them: arrays of any structure, or data sets, by split."""

import contextlib
import math

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError, in_one_line, reason, shown
from tf_lottery.tasks.task import SPLITS
from tf_lottery.training import dataset_feed, evaluation
from tf_lottery.training.dataset_feed import DatasetFeed
from tf_lottery.training.feeds import MemoryFeed

# Where there is no validation split, one in so many training examples is held out.
HELD_OUT = 10

# So many are looked at before anything is trained, and so many of a data set are read twice.
_FEW, _COMPARED = 2, 100

# A data set that is longer than this is said to be counted.
_LONG = 10_000_000


def load(examples, model, class_weight=None):
    """Calls a function of the user's, and returns what it returns as a feed has it.

    Args:
      examples: function without arguments, as of `KerasTask`.
      model: the `tf_keras` model that takes them.
      class_weight: dict from class to weight, or None.

    Returns:
      Arrays, or Datasets where the training split is a data set.

    Raises:
      UsageError: it returns something else.
    """
    try:
        splits = examples()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f'examples() ends in {type(error).__name__} ({in_one_line(error)}): mend it.') from error
    if not isinstance(splits, dict) or not {'train', 'test'} <= set(splits) <= set(SPLITS):
        found = sorted(map(str, splits)) if isinstance(splits, dict) else type(splits).__name__
        raise UsageError(f"examples() returns {found}: return a dict of 'train', 'test' and maybe 'validation', each "
                         'what fit takes: (inputs, targets), or a tf.data.Dataset.')
    if isinstance(splits['train'], tf.data.Dataset):
        return Datasets({name: _dataset(name, split, model) for name, split in splits.items()}, class_weight)
    return Arrays({name: _in_memory(name, split, model) for name, split in splits.items()}, class_weight)


class Arrays:
    """Splits in memory: {name: dict of `x`, and if there are any `y` and `weight`, nested structures of arrays}."""

    def __init__(self, splits, class_weight):
        for name, split in splits.items():
            _check_lengths(name, split)
        if 'validation' not in splits:
            # The same ones for every run.
            order = np.random.default_rng(0).permutation(evaluation.length(splits['train']))
            held = len(order) // HELD_OUT
            if not held:
                raise UsageError(_too_few(len(order)))
            train = splits['train']
            splits = {**splits, 'train': _taken(train, order[held:]), 'validation': _taken(train, order[:held])}
        if class_weight:
            splits = {**splits, 'train': _weighted(splits['train'], class_weight)}
        self._splits = splits

    def length(self, split):
        return evaluation.length(self._splits[split])

    def first(self, split, count):
        """Some examples: a structure as of a split."""
        return _taken(self._splits[split], slice(count))

    def few(self, split):
        return self.first(split, _FEW)

    def targets(self, split):
        """All targets of a split, a structure of arrays; None where there are none."""
        return self._splits[split].get('y')

    def feed(self, settings, strategy, judge):
        return MemoryFeed(self._splits, settings, strategy, judge)


class Datasets:
    """Splits that are read as they are needed: {name: tf.data.Dataset of single examples, dicts as of Arrays}."""

    def __init__(self, splits, class_weight):
        counts = {name: _count(name, dataset) for name, dataset in splits.items()}
        if 'validation' not in splits:
            held = math.ceil(counts['train'] / HELD_OUT)
            if held == counts['train']:
                raise UsageError(_too_few(counts['train']))
            if not dataset_feed.is_repeatable(splits['train'], _COMPARED):
                raise UsageError("the split 'train' of examples() comes in another order each time that it is read, so "
                                 "that examples that are held out would be trained on: return a split 'validation', "
                                 'too, or give shuffle(...) reshuffle_each_iteration=False.')
            numbered = splits['train'].enumerate()
            splits = {**splits, 'train': numbered.filter(lambda number, _: number % HELD_OUT != 0).map(_second),
                      'validation': numbered.filter(lambda number, _: number % HELD_OUT == 0).map(_second)}
            counts = {**counts, 'train': counts['train'] - held, 'validation': held}
        if class_weight:
            splits = {**splits, 'train': splits['train'].batch(1).map(
                lambda batch: _weighted(batch, class_weight)).unbatch()}
        self._splits, self._counts = splits, counts

    def length(self, split):
        return self._counts[split]

    def first(self, split, count):
        return dataset_feed.first(self._splits[split], min(count, self._counts[split]), split)

    def few(self, split):
        return self.first(split, _FEW)

    def targets(self, split):
        """None: they are read as they are needed."""

    def feed(self, settings, strategy, judge):
        return DatasetFeed(self._splits, self._counts, settings, strategy, judge)


def _second(number, example):
    return example


def _taken(split, which):
    return tf.nest.map_structure(lambda array: array[which], split)


def _named(x, y, weight):
    return {name: value for name, value in (('x', x), ('y', y), ('weight', weight)) if value is not None}


def _in_memory(name, split, model):
    """A split as a dict of structures of arrays."""
    if isinstance(split, tf.data.Dataset):
        dataset = _dataset(name, split, model)
        return dataset_feed.first(dataset, _count(name, dataset), name)
    try:
        parts = tf_keras.utils.unpack_x_y_sample_weight(split)
    except ValueError as error:
        raise UsageError(f'the split {name!r} of examples() is a {type(split).__name__}: return (inputs, targets), or '
                         '(inputs, targets, sample weights).') from error
    return _arrays(name, _named(*parts))


def _arrays(split, value):
    """A structure with arrays for leaves; a list of plain numbers or texts, or of such lists, is one, as in fit."""
    plain = isinstance(value, list | tuple) and all(
        isinstance(leaf, int | float | str | bytes) for leaf in tf.nest.flatten(value))
    if isinstance(value, dict):
        return {key: _arrays(split, each) for key, each in value.items()}
    if isinstance(value, list | tuple) and not plain:
        return tuple(_arrays(split, each) for each in value)
    return _array(split, value)


def _array(split, value):
    """A leaf of a structure as an array that TensorFlow takes; as in fit, float64 becomes float32."""
    array = np.asarray(value)
    if array.dtype.kind in 'OU' and all(isinstance(text, str | bytes) for text in array.ravel()):
        encoded = [text.encode() if isinstance(text, str) else bytes(text) for text in array.ravel()]
        return np.array(encoded, np.bytes_).reshape(array.shape)
    if array.dtype.kind not in 'fiubS' or not array.ndim:
        raise UsageError(f'the split {split!r} of examples() has {shown(value)} in it: return arrays [n, ...] of '
                         'numbers or text.')
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _check_lengths(name, split):
    lengths = sorted({len(array) for array in tf.nest.flatten(split)})
    if len(lengths) != 1 or not lengths[0]:
        raise UsageError(f'the split {name!r} of examples() has arrays of {" and ".join(map(str, lengths))} examples: '
                         'return as many of each, and one or more.')


def _dataset(name, split, model):
    """A split as a data set of single examples, dicts of structures."""
    if not isinstance(split, tf.data.Dataset):
        split = tf.data.Dataset.from_tensor_slices(tuple(_array_parts(name, split)))
    else:
        if split.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise UsageError(f'the split {name!r} of examples() never ends: leave its repeat() out.')
        if _is_batched(name, split, model):
            split = split.unbatch()
        split = _of_one_shape(name, split)
    return split.map(lambda *parts: _named(*tf_keras.utils.unpack_x_y_sample_weight(
        parts if len(parts) > 1 else parts[0])), num_parallel_calls=1)


def _of_one_shape(name, dataset):
    """A data set of single examples whose shapes are known, from its first example where it does not say them.

    Raises:
      UsageError: it has examples of several shapes, which make no batch.
    """
    if all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(dataset.element_spec)):
        return dataset
    with _read(name):
        shapes = [each.shape for each in tf.nest.flatten(dataset_feed.first(dataset, 1, name))]
    shapes = [shape[1:] for shape in shapes]

    def ensured(*parts):
        flat = [tf.ensure_shape(part, shape) for part, shape in zip(tf.nest.flatten(parts), shapes, strict=True)]
        parts = tf.nest.pack_sequence_as(parts, flat)
        return parts if len(parts) > 1 else parts[0]

    return dataset.map(ensured, num_parallel_calls=1)


@contextlib.contextmanager
def _read(name):
    """Says in a sentence why a data set cannot be read."""
    try:
        yield
    except tf.errors.OpError as error:
        raise UsageError(f'the split {name!r} of examples() cannot be read to its end ({reason(error)}): let it give '
                         'examples of one shape each, padded to one length where they are sequences.') from error


def _array_parts(name, split):
    parts = tf_keras.utils.unpack_x_y_sample_weight(split)
    return [_arrays(name, part) for part in parts if part is not None]


def _is_batched(name, dataset, model):
    """Whether the elements of a data set are batches: as many dimensions as what the model takes."""
    spec = dataset.element_spec
    spec = spec[0] if isinstance(spec, tuple) else spec
    try:
        inputs = model._flatten_to_reference_inputs(spec)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f'the split {name!r} of examples() has the inputs {in_one_line(spec)}, which the model does '
                         'not take: give those of its inputs, by their names where they are a dict.') from error
    shape, taken = inputs[0].shape, model.inputs[0].shape
    if shape.rank is None:
        raise UsageError(f'the split {name!r} of examples() does not say how many dimensions its elements have: give '
                         'from_generator an output_signature.')
    # Keras takes [n] for [n, 1].
    return shape.rank == taken.rank or (shape.rank == 1 and taken.as_list() == [None, 1] and shape != [1])


def _count(name, dataset):
    """int, the examples of a data set, which is read once where it does not know."""
    count = int(dataset.cardinality())
    if count < 0:
        with _read(name):
            count = int(dataset.reduce(np.int64(0), _counted))
    if not count:
        raise UsageError(f'the split {name!r} of examples() is empty: return one example or more.')
    return count


def _counted(total, _):
    if tf.equal(total % _LONG, _LONG - 1):
        tf.print('tf_lottery: so many examples are counted:', total + 1, '- a data set that never ends needs take(n).')
    return total + 1


def _too_few(count):
    return (f'examples() returns {count} training examples, of which one in {HELD_OUT} is to be held out: return a '
            "split 'validation', too.")


def _weighted(split, class_weight):
    """A split whose sample weights are multiplied by those of the classes of its targets, as by fit's class_weight."""
    targets = split.get('y')
    if targets is None or tf.nest.is_nested(targets) or len(targets.shape) > 2:
        raise UsageError('class_weight is for models of one output whose targets are a class each: give sample weights '
                         'with the examples.')
    targets = tf.convert_to_tensor(targets)
    classes = tf.argmax(targets, axis=-1) if targets.shape.rank == 2 and targets.shape[-1] > 1 else tf.cast(
        tf.reshape(targets, [-1]), tf.int64)
    table = np.ones(int(max(class_weight)) + 1, np.float32)
    for number, weight in class_weight.items():
        table[number] = weight
    weights = tf.gather(table, tf.minimum(classes, len(table) - 1))
    # Classes without a weight count once.
    weights = tf.where(classes < len(table), weights, 1.0)
    if 'weight' in split:
        weights *= tf.cast(split['weight'], tf.float32)
    return {**split, 'weight': weights.numpy() if tf.executing_eagerly() else weights}
