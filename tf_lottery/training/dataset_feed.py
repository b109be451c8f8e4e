"""Examples of a `tf.data.Dataset` that somebody else has made, read as they are needed."""

import zlib

import numpy as np
import tensorflow as tf
from absl import logging

from tf_lottery.errors import UsageError
from tf_lottery.runtime.distribute import per_replica
from tf_lottery.steps import per_epoch
from tf_lottery.training.evaluation import BatchEvaluator
from tf_lottery.training.feeds import Feed
from tf_lottery.training.order import quiet_options

# Examples that are shuffled at a time, and that are evaluated at a time.
_SHUFFLED, _BATCH = 10_000, 1000


class DatasetFeed(Feed):
    """Examples that are read anew in every epoch; its methods are those of `feeds.MemoryFeed`.

    The data set is read in its own order, in every epoch from its start, and shuffled by 10,000 examples at a time.
    What each step sees is so a function of (seed, step), as far as it gives the same examples whenever it is read.

    Args:
      splits: {'train', 'validation' and 'test': tf.data.Dataset of single examples, dicts of nested structures}.
      counts: {split: int}, how many examples each has.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.
      judge: evaluation.Judge.

    Attributes:
      examples, hosts, steps_per_epoch, blocks: as of MemoryFeed.
    """

    hosts, blocks = 1, False

    def __init__(self, splits, counts, settings, strategy, judge):
        self.examples = counts['train']
        self.steps_per_epoch = per_epoch(self.examples, settings.batch_size)
        self._splits, self._settings, self._strategy, self._judge = splits, settings, strategy, judge
        if not is_repeatable(splits['train'], min(settings.batch_size, self.examples)):
            logging.warning('The training examples are others each time that they are read: a run that is resumed goes '
                            'on with others than it would have seen. Take what is random out of the data set, or give '
                            'it a seed and reshuffle_each_iteration=False.')

    def training(self, seeds, boundaries, shift):
        batch, epoch_steps = self._settings.batch_size, self.steps_per_epoch
        start, end = boundaries[0] + shift, boundaries[-1] + shift
        first = start // epoch_steps

        def epoch(number):
            examples = self._shuffled(tf.cast(seeds.order, tf.int64) + number)
            batches = examples.batch(batch, drop_remainder=True).take(epoch_steps)
            # Only the first epoch may begin in its middle.
            return batches.skip(tf.where(number == first, tf.constant(start % epoch_steps, tf.int64), 0))

        def element(number, examples):
            step = tf.cast(number, tf.int32) + boundaries[0]
            return {**examples, 'step': tf.fill([batch], step), 'row': tf.range(batch)}

        epochs = tf.data.Dataset.range(first, (end - 1) // epoch_steps + 1)
        steps = epochs.flat_map(epoch).take(end - start).enumerate().map(element)
        steps = steps.apply(tf.data.experimental.assert_cardinality(end - start)).prefetch(2)
        steps = steps.with_options(quiet_options(tf.data.Options()))

        def own(host, hosts):
            rows = batch // hosts
            return steps.map(lambda each: tf.nest.map_structure(
                lambda value: value[host * rows:(host + 1) * rows], each))

        return per_replica(self._strategy, own, batch)

    def batch(self, element, seed):
        del seed
        return element

    def evaluators(self, network):
        return {name: BatchEvaluator(network, self._splits[name].batch(_BATCH), self._judge, self._settings.jit)
                for name in ('validation', 'test')}

    def sample(self, count):
        return first(self._splits['train'], min(count, self.examples), 'train')

    def drawn(self, count):
        return first(tf.data.Dataset.range(1).flat_map(self._shuffled), min(count, self.examples), 'train')

    def _shuffled(self, seed):
        """The training examples in the order of a seed, an int64 scalar; called where a data set is mapped."""
        # Shuffles mix in the global seed, that of what was built last; this sets it for the graph of the map only.
        tf.random.set_seed(1)
        return self._splits['train'].shuffle(min(_SHUFFLED, self.examples), seed, reshuffle_each_iteration=False)

    def fingerprint(self):
        count = min(self._settings.batch_size, self.examples)
        return [self.examples, str(self._splits['train'].element_spec), _bytes(self._splits['train'], count)]


def first(dataset, count, name):
    """The first examples of a data set of single ones: a structure of arrays [count, ...]; `name` is its split.

    Raises:
      UsageError: it gives none.
    """
    for batch in dataset.batch(count).take(1).as_numpy_iterator():
        return batch
    raise UsageError(f'the split {name!r} of examples() gave no example when it was read once more: let it begin anew '
                     'whenever it is read, as from_generator does of a function that returns a new generator.')


def is_repeatable(dataset, count):
    """Whether the first so many examples of a data set are the same ones when they are read again."""
    return _bytes(dataset, count) == _bytes(dataset, count)


def _bytes(dataset, count):
    """A checksum of each array of the first examples."""
    return [zlib.crc32(np.ascontiguousarray(array).tobytes()) if array.dtype != object else zlib.crc32(
        b'\0'.join(array.ravel())) for array in tf.nest.flatten(first(dataset, count, 'train'))]
