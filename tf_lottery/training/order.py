"""Which examples each step trains on: a pure function of (seed, step)."""

import numpy as np
import tensorflow as tf

from tf_lottery.steps import per_epoch


# Traced once per shape: tracing it again for every run would take longer than many runs.
@tf.function
def batch_indices(seed, first_step, steps, examples, batch_size):
    """The examples of `steps` consecutive steps.

    Every epoch is a full reshuffle, drawn by a stateless operation from (seed, epoch); what is left over after the
    last whole batch is dropped.

    Args:
      seed: int32 scalar tensor.
      first_step: int32 scalar tensor.
      steps, examples, batch_size: int.

    Returns:
      int32 tensor [steps, batch_size].
    """
    length = per_epoch(examples, batch_size)
    step = first_step + tf.range(steps)
    epoch = step // length
    shuffled = tf.map_fn(
        lambda number: tf.random.experimental.stateless_shuffle(tf.range(examples), seed=tf.stack([seed, number])),
        tf.range(epoch[0], epoch[-1] + 1))
    row = (epoch - epoch[0])[:, None]
    column = (step % length)[:, None] * batch_size + tf.range(batch_size)[None, :]
    return tf.gather(tf.reshape(shuffled, [-1]), row * examples + column)


def stretch_places(seed, first_step, steps, places, batch_size, length):
    """Where each row of a batch reads in `steps` consecutive steps: row b has a contiguous stretch of its own.

    The places are a ring that is cut into as many stretches as a batch has rows; where the first one begins is drawn
    by a stateless operation from the seed. A step reads `length` places of each, an epoch each stretch once; what is
    left over at the end of a stretch is dropped.

    Args:
      seed: int32 scalar tensor.
      first_step: int32 scalar tensor.
      steps, places, batch_size, length: int.

    Returns:
      int32 tensor [steps, batch_size], the first place of each.
    """
    stretch = places // batch_size
    first = tf.random.stateless_uniform([], tf.stack([seed, 0]), 0, places, tf.int32)
    step = (first_step + tf.range(steps)) % (stretch // length)
    return (first + step[:, None] * length + tf.range(batch_size)[None, :] * stretch) % places


def block_dataset(seed, boundaries, block, examples, batch_size, draw=batch_indices):
    """Blocks of consecutive steps, each ending where something must happen.

    Args:
      seed: int, the data-order seed.
      boundaries: increasing list of int: where the first block starts, and where each block ends.
      block: int, the longest block; every element is padded to it so that one compiled program serves all.
      examples, batch_size: int.
      draw: function with the arguments of `batch_indices` that returns what each step is trained on.

    Returns:
      tf.data.Dataset of dicts with `indices` int32 [block, batch_size], `first_step` and `steps` int32 scalars.
    """
    starts = np.array(boundaries[:-1], np.int32)
    lengths = np.diff(np.array(boundaries, np.int32))

    def element(start, length):
        indices = draw(tf.constant(seed, tf.int32), start, block, examples, batch_size)
        return {'indices': indices, 'first_step': start, 'steps': length}

    blocks = tf.data.Dataset.from_tensor_slices((starts, lengths)).map(element).prefetch(2)
    return blocks.with_options(quiet_options(tf.data.Options()))


def step_dataset(seed, start, end, chunk, examples, batch_size, draw=batch_indices):
    """Single steps from `start` to `end`, for strategies that split each batch over replicas.

    Args:
      seed: int, the data-order seed.
      start, end: int, the first step and the one after the last.
      chunk: int, how many steps are drawn at a time; it does not change what is drawn.
      examples, batch_size: int.
      draw: as in `block_dataset`.

    Returns:
      tf.data.Dataset of dicts with `indices`, `row` (the place in the whole batch) and `step` (the same number in each
      row), all int32 [batch_size], so that all are split alike.
    """

    def element(first):
        count = tf.minimum(chunk, end - first)
        indices = draw(tf.constant(seed, tf.int32), first, chunk, examples, batch_size)[:count]
        step = tf.tile((first + tf.range(count))[:, None], [1, batch_size])
        row = tf.tile(tf.range(batch_size)[None, :], [count, 1])
        return tf.data.Dataset.from_tensor_slices({'indices': indices, 'row': row, 'step': step})

    options = quiet_options(tf.data.Options())
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    firsts = np.arange(start, end, chunk, dtype=np.int32)
    steps = tf.data.Dataset.from_tensor_slices(firsts).flat_map(element)
    return steps.apply(tf.data.experimental.assert_cardinality(end - start)).prefetch(2).with_options(options)


def quiet_options(options):
    """Turns off tf.data's autotuning: in TensorFlow 2.21 it can hold an iterator's end for seconds."""
    options.autotune.enabled = False
    options.deterministic = True
    return options
