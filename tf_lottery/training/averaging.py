"""The mean of the networks that training came by at last (1706.03762, section 6.1: of the last checkpoints)."""

import numpy as np
import tensorflow as tf

from tf_lottery.pruning import constraint, wrapper
from tf_lottery.training.callbacks import AtStep


def points(end, every, count):
    """The steps whose networks are averaged, the last `count` evaluations of a training to `end`: list of int."""
    return [*range(end - 1 - (end - 1) % every, 0, -every)][:count - 1][::-1] + [end]


class Sum:
    """An array on the host that a checkpoint takes for a variable."""

    def __init__(self, shape):
        self.shape, self._value = shape, np.zeros(shape, np.float32)

    def numpy(self):
        return self._value

    def assign(self, value):
        self._value = np.asarray(value)


class Average(AtStep):
    """Adds up the variables of a network at some steps, and puts their means in their place at the last one.

    What the mask has pruned at the end stays as it is there.

    Args:
      network: a model made by `prunable`.
      steps: increasing list of int, as of `points`.
      sums: list of Sum, of `sums_of(network)`; a checkpoint may have filled them.
    """

    def __init__(self, network, steps, sums):
        super().__init__()
        self._variables, self._steps, self._sums = wrapper.variables(network).values(), steps, sums

    def at_step(self, step, logs):
        if step not in self._steps:
            return
        for variable, total in zip(self._variables, self._sums, strict=True):
            total.assign(total.numpy() + variable.numpy())
        if step == self._steps[-1]:
            for variable, total in zip(self._variables, self._sums, strict=True):
                mean = tf.constant(total.numpy() / np.float32(len(self._steps)), variable.dtype)
                held = constraint.of(variable)
                variable.assign(constraint.masked(mean, held.mask, held.frozen) if held else mean)


def sums_of(network):
    """A Sum of zeros for each variable of a network, in the order of `wrapper.variables`."""
    return [Sum(variable.shape) for variable in wrapper.variables(network).values()]
