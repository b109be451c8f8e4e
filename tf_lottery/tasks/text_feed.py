"""Running text in memory: what a language model is trained and evaluated on."""

import functools
import math

import numpy as np
import tensorflow as tf

from tf_lottery.runtime.distribute import local_copies
from tf_lottery.training.carried import Carried
from tf_lottery.training.feeds import Feed, drawn_steps, take_steps
from tf_lottery.training.order import stretch_places

# The rows that a text is evaluated in, side by side: each begins with a sentence, without what stands before it.
_ROWS = 40


class TextFeed(Feed):
    """Truncated back-propagation through time: each row of a batch reads a contiguous stretch of the text, a window of
    words a step, and goes on from the states that its network ended the window before in.

    At an epoch's start states are zero. The text is read as a ring, so that every word has one before it. Methods
    without a docstring are those of `feeds.MemoryFeed`.

    Args:
      text: data.text.Text.
      window: int, the words of a row of a step.
      widths: {name: int}, the states of the network, in the order of its inputs.
      settings: trainer.Settings.
      strategy: a tf.distribute.Strategy.
      judge: evaluation.Judge.

    Attributes:
      examples: int, the windows of an epoch.
      hosts, steps_per_epoch, blocks: as of feeds.MemoryFeed.
      state: {name: Carried float32 [batch, width]}, the network's states.
    """

    hosts = 1

    def __init__(self, text, window, widths, settings, strategy, judge):
        batch = settings.batch_size
        self.steps_per_epoch = len(text.train) // batch // window
        self.examples = batch * self.steps_per_epoch
        self.blocks = strategy.num_replicas_in_sync == 1
        self.state = {name: Carried(strategy, np.zeros((batch, width), np.float32)) for name, width in widths.items()}
        self._text, self._window, self._settings, self._strategy, self._judge = text, window, settings, strategy, judge
        self._train = local_copies(strategy, text.train)

    def training(self, seeds, boundaries, shift):
        del shift
        return drawn_steps(seeds, boundaries, len(self._text.train), self._settings, self._strategy,
                           functools.partial(stretch_places, length=self._window))

    def train(self, network, element, learn):
        del network
        return take_steps(element, learn, self._settings.batch_size)

    def batch(self, element, seed):
        """In the training step, the batch of a single step of an element of `training`.

        Args:
          element: dict of `indices` int32 [n], where each row's first word to be foretold stands, `row` int32 [n] and
            `step`, an int32 scalar.
          seed: int32 scalar, which is not read.

        Returns:
          The dict with `words` int32 [n, window + 1], of which the last ones are foretold, `states`, a list of float32
          [n, width], and `carry`, a function that takes the states after the window.
        """
        del seed
        places = element['indices'][:, None] + tf.range(-1, self._window)[None, :]
        begins = element['step'] % self.steps_per_epoch == 0
        before = [tf.where(begins, tf.zeros(carried.read().shape), carried.read()) for carried in self.state.values()]

        def carry(after):
            for carried, value in zip(self.state.values(), after, strict=True):
                carried.write(value)

        return {**element, 'words': tf.gather(self._train(), places % len(self._text.train)), 'states': before,
                'carry': carry}

    def evaluators(self, network):
        rows = {'validation': self._text.validation, 'test': self._text.test}
        return {name: TextEvaluator(network, side_by_side(words, self._text.end), self._text.end, self._window,
                                    [carried.shape[1] for carried in self.state.values()], self._judge,
                                    self._settings.jit) for name, words in rows.items()}

    def sample(self, count):
        """So many windows from the start of the training text, or all: {'words': int32 [n, window + 1]}."""
        return {'words': windows(self._text.train, self._window, np.arange(min(count, self._windows)))}

    def drawn(self, count):
        """So many windows from all over the training text, the same ones whatever the seed, as of `sample`."""
        return {'words': windows(self._text.train, self._window,
                                 np.random.default_rng(0).permutation(self._windows)[:count])}

    @property
    def _windows(self):
        return len(self._text.train) // self._window

    def fingerprint(self):
        return [self._text.digest, len(self._text.words), len(self._text.train)]


def windows(words, window, numbers):
    """Windows of a text that is cut into them from its start, each with the word before it: int32 [n, window + 1]."""
    return words[(np.asarray(numbers)[:, None] * window + np.arange(-1, window)) % len(words)]


def side_by_side(words, end):
    """A text in rows of nearly the same length, each from the end of a sentence to the end of another.

    Args:
      words: int32 [words].
      end: int, the word that ends a sentence.

    Returns:
      int32 [rows, longest], -1 behind the end of a row.
    """
    ends = np.append(np.flatnonzero(words == end) + 1, len(words))
    wanted = np.arange(1, _ROWS) * len(words) / _ROWS
    cuts = np.unique(np.concatenate([[0], ends[np.searchsorted(ends, wanted)], [len(words)]]))
    rows = np.split(words, cuts[1:-1])
    found = np.full((len(rows), max(map(len, rows))), -1, np.int32)
    for number, row in enumerate(rows):
        found[number, :len(row)] = row
    return found


class TextEvaluator:
    """Evaluates a network on a text in one call: one pass with carried states, every word counted once.

    Args:
      network: Keras model.
      rows: int32 [rows, longest], as of `side_by_side`.
      first: int, the word that stands before each row.
      window: int, the words of a row that are looked at together.
      widths: list of int, of the network's states.
      judge: evaluation.Judge.
      jit: whether XLA compiles it.
    """

    def __init__(self, network, rows, first, window, widths, judge, jit):
        count, longest = rows.shape
        pieces = math.ceil(longest / window)
        padded = np.full((count, pieces * window + 1), -1, np.int32)
        padded[:, 0], padded[:, 1:longest + 1] = first, rows
        words = tf.Variable(padded, trainable=False)
        self._judge = judge

        def added(sums):
            def body(piece, states, sums):
                part = tf.slice(words, [0, piece * window], [count, window + 1])
                *sums, states = judge.add_from(network, {'words': part, 'states': states}, sums)
                return piece + 1, states, tuple(sums)

            states = [tf.zeros((count, width)) for width in widths]
            return tf.while_loop(lambda piece, *_: piece < pieces, body, (0, states, sums))[2]

        self._added = tf.function(added, jit_compile=jit)

    def __call__(self):
        """Returns {measure's name: Python float}."""
        return self._judge.finish(self._added(self._judge.start()))
