"""Examples in memory, on the devices that train and evaluate on them."""

import contextlib
import math
import types
import zlib

import numpy as np
import tensorflow as tf

from tf_lottery.runtime.distribute import local_copies, per_replica
from tf_lottery.steps import per_epoch
from tf_lottery.training.evaluation import Evaluator, StreamEvaluator, length
from tf_lottery.training.order import batch_indices, block_dataset, quiet_options, step_dataset

# Examples that several replicas evaluate at a time.
_BATCH = 1000


class Feed:
    """What training examples come from; those of several kinds are made by tasks.

    Attributes:
      state: {name: variable}, what training changes beside the network, such as a state that is carried from one step
        to the next: checkpoints and rewinding points hold it. Each has `numpy()`, `shape` and `assign(array)`, as a
        tf.Variable or `carried.Carried`; what it holds when the feed is made is where step 0 starts.
      files: {name: bytes}, what was made of the data before training, such as a vocabulary: an experiment keeps it.
      count: int64 tf.Variable of the steps that were taken; None where a step is one of the optimizer's.
      whole: bool, whether an element of `training` is a whole epoch, however long that is.
      together: bool, whether `train` stands once around what all replicas do, and is not called by each of them.
    """

    state, files, count = types.MappingProxyType({}), types.MappingProxyType({}), None
    whole = together = False

    def final_evaluators(self, network):
        """As `evaluators`, of the measures that are known at the end of training only (`Measure.ends`)."""
        del network
        return {}

    def explained(self, seeds, step):
        """A context in which what is wrong with the data's files is told in a sentence: these have all been read.

        Args:
          seeds: trainer.Seeds.
          step: function that returns the step whose examples are read next.
        """
        del seeds, step
        return contextlib.nullcontext()


def drawn_steps(seeds, boundaries, examples, settings, strategy, draw):
    """What `fit` takes of examples in memory: blocks of steps on one replica, single ones on several.

    Args:
      seeds: trainer.Seeds.
      boundaries: increasing list of int, the steps where blocks end.
      examples: int.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.
      draw: as in `order.block_dataset`.
    """
    sizes = examples, settings.batch_size, draw
    if strategy.num_replicas_in_sync == 1:
        return block_dataset(seeds.order, boundaries, min(settings.block, settings.evaluate_every), *sizes)
    steps = step_dataset(seeds.order, boundaries[0], boundaries[-1], settings.block, *sizes)

    def own(host, hosts):
        rows = settings.batch_size // hosts
        return steps.map(lambda element: {
            name: value[host * rows:(host + 1) * rows] for name, value in element.items()})

    return per_replica(strategy, own, settings.batch_size)


def take_steps(block, learn, batch_size):
    """In the training step, takes the steps of a block of `drawn_steps`.

    Args:
      block: dict as of `order.block_dataset`.
      learn: function that takes an optimizer step by what the feed's `batch` takes, and returns its mean loss.
      batch_size: int.

    Returns:
      (float32 scalar, int32 scalar): the sum of the losses, and the number of steps.
    """
    steps, rows = block['steps'], tf.range(batch_size)

    def body(number, total):
        loss = learn({'indices': block['indices'][number], 'step': block['first_step'] + number, 'row': rows})
        return number + 1, total + loss

    _, total = tf.while_loop(lambda number, _: number < steps, body, (tf.constant(0), tf.constant(0.0)))
    return total, steps


class MemoryFeed(Feed):
    """Examples that fit into memory, a copy on each device.

    Args:
      splits: {'train', 'validation' and 'test': dict of nested structures of arrays [n, ...]}.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.
      judge: evaluation.Judge.
      augment: function from (a batch, a dict as in `splits` with the keys of an element of `training`, and the
        augmentation seed, an int32 scalar) to the batch that is trained on; None trains on it as it is.

    Attributes:
      examples: int, to train on.
      hosts: int, the number of hosts that the order of the examples belongs to: here one order is for any number.
      steps_per_epoch: int.
      blocks: bool, whether an element of `training` is a block of steps, as in `order.block_dataset`.
    """

    hosts = 1

    def __init__(self, splits, settings, strategy, judge, augment=None):
        self.examples = length(splits['train'])
        self.steps_per_epoch = per_epoch(self.examples, settings.batch_size)
        self.blocks = strategy.num_replicas_in_sync == 1
        self._splits, self._settings, self._strategy = splits, settings, strategy
        self._judge, self._augment = judge, augment
        # Every worker has loaded the data for itself: none of it passes through the strategy.
        self._train = tf.nest.map_structure(lambda array: local_copies(strategy, array), splits['train'])

    def training(self, seeds, boundaries, shift):
        """What `fit` takes: the steps from the first boundary to the last, in blocks that end at each.

        Args:
          seeds: trainer.Seeds.
          boundaries: increasing list of int.
          shift: int, by how many steps the examples are ahead of those: 0 unless the number of hosts changed.
        """
        del shift
        return drawn_steps(seeds, boundaries, self.examples, self._settings, self._strategy, batch_indices)

    def train(self, network, element, learn):
        """In the training step, takes the steps of a block.

        Args:
          network: the wrapped model that is trained.
          element: of `training`.
          learn: function that takes an optimizer step by what `batch` takes, and returns its mean loss.

        Returns:
          (float32 scalar, int32 scalar): the sum of the losses, and the number of optimizer steps.
        """
        del network
        return take_steps(element, learn, self._settings.batch_size)

    def batch(self, element, seed):
        """In the training step, the batch of a single step of an element of `training`.

        Args:
          element: dict of `indices` int32 [n], `row` int32 [n] and `step`, an int32 scalar.
          seed: int32 scalar, the augmentation seed.

        Returns:
          The dict with the examples, a structure as of `splits`, augmented.
        """
        examples = tf.nest.map_structure(lambda copy: tf.gather(copy(), element['indices']), self._train)
        batch = {**element, **examples}
        return self._augment(batch, seed) if self._augment else batch

    def evaluators(self, network):
        """dict from 'validation' and 'test' to a function that returns what the network is worth there."""
        splits = {name: self._splits[name] for name in ('validation', 'test')}
        if self.blocks or not self._judge.adds_up:
            return {name: Evaluator(network, split, self._judge, self._settings.jit) for name, split in splits.items()}
        return {name: StreamEvaluator(network, self._batches(split), self._judge, self._settings.jit, self._strategy,
                                      contextlib.nullcontext) for name, split in splits.items()}

    def _batches(self, split):
        """A split in batches for several replicas, padded so that all have as many: what is `counted` is none of it."""
        replicas = self._strategy.num_replicas_in_sync
        size = replicas * math.ceil(_BATCH / replicas)
        padding = -length(split) % size
        split = {**split, 'counted': np.ones(length(split), bool)}
        split = tf.nest.map_structure(
            lambda array: np.pad(array, [(0, padding), *[(0, 0)] * (array.ndim - 1)]), split)

        def own(host, hosts):
            batches = tf.data.Dataset.from_tensor_slices(
                tf.nest.map_structure(lambda array: array[host::hosts], split))
            return batches.batch(size // hosts, drop_remainder=True).with_options(quiet_options(tf.data.Options()))

        return per_replica(self._strategy, own, size)

    def sample(self, count):
        """So many training examples, not augmented, or all where there are fewer: a structure as of `splits`."""
        return tf.nest.map_structure(lambda array: array[:count], self._splits['train'])

    def drawn(self, count):
        """So many training examples from all over the training set, the same ones whatever the seed, as of `sample`."""
        places = np.random.default_rng(0).permutation(self.examples)[:count]
        return tf.nest.map_structure(lambda array: array[places], self._splits['train'])

    def fingerprint(self):
        """Numbers and names that differ where the data do."""
        return [zlib.crc32(np.ascontiguousarray(array)) for name in ('train', 'validation', 'test')
                for array in tf.nest.flatten(self._splits[name])]
