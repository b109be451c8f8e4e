"""What a network is worth on a whole split, in one call."""

import math

import tensorflow as tf


class Evaluator:
    """Evaluates a network on one split on one device: one call of one compiled program, every example counted once.

    Args:
      network: Keras model.
      examples: nested structure of arrays [n, ...], what a `Judge` takes a batch of.
      judge: Judge.
      jit: whether XLA compiles it.
    """

    def __init__(self, network, examples, judge, jit):
        count = length(examples)
        pieces = math.ceil(count / judge.most)
        size = math.ceil(count / pieces)
        pieces = count // size
        whole = tf.nest.map_structure(lambda array: tf.Variable(
            array[:pieces * size].reshape(pieces, size, *array.shape[1:]), trainable=False), examples)
        # What is left over, of a split that does not come out even.
        rest = tf.nest.map_structure(lambda array: tf.Variable(array[pieces * size:], trainable=False), examples)
        self._judge = judge

        def added(sums):
            def body(piece, sums):
                batch = tf.nest.map_structure(lambda variable: variable[piece], whole)
                return piece + 1, judge.add(network, batch, sums)

            _, sums = tf.while_loop(lambda piece, _: piece < pieces, body, (0, sums))
            return judge.add(network, tf.nest.map_structure(tf.convert_to_tensor, rest), sums) if count % size else sums

        self._added = tf.function(added, jit_compile=jit)

    def __call__(self):
        """Returns {measure's name: Python float}."""
        return self._judge.finish(self._added(self._judge.start()))


class BatchEvaluator:
    """Evaluates a network on a split that comes in batches, on one device.

    Args:
      network: Keras model.
      batches: tf.data.Dataset of what `judge` takes.
      judge: Judge.
      jit: whether XLA compiles it.
      signature: structure of tf.TensorSpec, of batches whose shapes differ, so that one program takes all; None traces
        a program for each shape.
    """

    def __init__(self, network, batches, judge, jit, signature=None):
        self._batches, self._judge = batches, judge
        sums = tf.nest.map_structure(lambda number: tf.TensorSpec((), tf.constant(number).dtype), judge.start())
        self._added = tf.function(lambda batch, sums: judge.add(network, batch, sums), jit_compile=jit,
                                  input_signature=(signature, sums) if signature else None)

    def __call__(self):
        """Returns {measure's name: Python float}."""
        sums = self._judge.start()
        for batch in self._batches:
            sums = self._added(batch, sums)
        return self._judge.finish(sums)


class StreamEvaluator:
    """Evaluates a network on a split that comes in batches, every example counted once on any number of replicas.

    Args:
      network: Keras model.
      batches: (distributed) dataset of what `judge` takes.
      judge: Judge.
      jit: whether XLA compiles it.
      strategy: the tf.distribute.Strategy of the network.
      explained: function that returns a context in which damaged files are errors of their own.
    """

    def __init__(self, network, batches, judge, jit, strategy, explained):
        self._batches, self._judge, self._explained = batches, judge, explained

        @tf.function(jit_compile=jit)
        def added(batch, before):
            return judge.add(network, batch, before)

        self._strategy = strategy

        @tf.function
        def start():
            return strategy.run(lambda: tf.nest.map_structure(tf.constant, judge.start()))

        @tf.function
        def go_on(batch, before):
            return strategy.run(added, args=(batch, before))

        self._start, self._go_on = start, go_on

    def __call__(self):
        """Returns {measure's name: Python float}."""
        sums = self._start()
        with self._explained():
            for batch in self._batches:
                sums = self._go_on(batch, sums)
        # Replicas meet once, at the end.
        return self._judge.finish(tuple(
            self._strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None) for each in sums))


class Judge:
    """How a task adds up what a network is worth.

    Attributes:
      adds_up: bool, whether `add` changes nothing but the sums, so that replicas can share the work.
      most: int, the examples of a batch, at most.
    """

    adds_up = True
    # Larger pieces fall out of the caches of a CPU, smaller ones leave its matrix units idle.
    most = 1000

    def start(self):
        """Returns a tuple of numbers, the sums of no examples."""
        raise NotImplementedError

    def add(self, network, batch, sums):
        """In a compiled program, returns the sums with those of a batch."""
        raise NotImplementedError

    def finish(self, sums):
        """Returns {measure's name: Python float}, `loss` among them, of the sums of a whole split."""
        raise NotImplementedError


def length(examples):
    """int, how many examples there are in a nested structure of arrays [n, ...]."""
    return len(tf.nest.flatten(examples)[0])
