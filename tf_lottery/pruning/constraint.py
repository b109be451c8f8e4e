"""One mask per variable: a constraint that keeps a variable zero, or frozen, wherever its mask is 0."""

import sys
import weakref

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning.optimizer_state import OPTIMIZERS


def masked(value, mask, frozen=None):
    """`value * mask`, and zero where `mask` is 0 even if `value` is no number there.

    Args:
      value: float tensor.
      mask: variable or tensor of its shape, of any dtype.
      frozen: variable of its shape and dtype, what stands where `mask` is 0; None: zeros.
    """
    otherwise = tf.zeros([], value.dtype) if frozen is None else tf.convert_to_tensor(frozen)
    return tf.where(tf.convert_to_tensor(mask) != 0, value, otherwise)


class HeldZeros:
    """The constraint of a pruned variable, which each Keras optimizer applies after it has moved the variable.

    Whatever moved it (a regularizer, noise on gradients, an average, 0 divided by 0), what the mask has pruned is zero
    again before anything reads it: other layers that use the variable, too. The variable's replicas do so each for
    itself.

    Attributes:
      mask, threshold: tf.Variable, as in TF-MOT's wrapper; all wrappers around the variable share them.
      frozen: tf.Variable with the values that pruned weights have instead of zero, or None.
      constraint: the constraint that the variable had before, or None: it sees zeros, and they outlast it.
      optimizers: WeakSet of the Keras optimizers that have applied it.
      listener: function that is told each optimizer that applies it for the first time, or None.
    """

    def __init__(self, variable, mask, threshold):
        self.mask, self.threshold, self.frozen, self.constraint = mask, threshold, None, own(variable)
        self.optimizers, self.listener = weakref.WeakSet(), None
        self._parts = _parts(variable)

    def holds(self, variable):
        """Whether it is the variable's own: Python copies a variable with the constraint of the original."""
        return any(part is each for part in _parts(variable) for each in self._parts)

    def __call__(self, weight):
        if not self.holds(weight):
            return self.constraint(weight) if self.constraint else weight
        caller = sys._getframe(1).f_locals.get('self')
        if caller not in self.optimizers:
            for optimizer in _applying():
                self._meet(optimizer, weight)
        if getattr(caller, 'use_ema', False):
            # It has taken what the weight was before it was zero again, and may become the weight.
            average = caller._model_variables_moving_average[caller._index_dict[caller._var_key(weight)]]
            average.assign(self._held(average))
        value = self._held(weight)
        return self._held(self.constraint(value)) if self.constraint else value

    def _held(self, value):
        return masked(tf.convert_to_tensor(value), self.mask, self.frozen)

    def _meet(self, optimizer, weight):
        """Notes an optimizer that applies the constraint for the first time.

        Raises:
          UsageError: it cannot train under the mask.
        """
        if isinstance(optimizer, tf_keras.optimizers.Adafactor) and self._has_an_empty_cross():
            raise UsageError(f'Adafactor divides 0 by 0 where a row and a column of {weight.name} are pruned, after '
                             'which it holds no number: compile the model with another optimizer.')
        if self.listener and optimizer not in self.optimizers:
            self.listener(optimizer)
        self.optimizers.add(optimizer)

    def _has_an_empty_cross(self):
        with tf.init_scope():
            kept = self.mask.numpy() != 0
        if kept.ndim < 2:
            return False
        return bool(np.any(~kept.any(-1, keepdims=True) & ~kept.any(-2, keepdims=True)))


def _applying():
    """Yields the Keras optimizers that are applying gradients: nothing but the call itself says who they are."""
    frame = sys._getframe(2)
    while frame:
        caller = frame.f_locals.get('self')
        if isinstance(caller, OPTIMIZERS):
            yield caller
        frame = frame.f_back


def _parts(variable):
    """The variables that a variable is made of: one per device of this process."""
    # What mixed precision casts keeps the variable that it reads.
    variable = getattr(variable, '_variable', variable)
    return getattr(variable, '_values', (variable,))


def of(variable):
    """The HeldZeros of a variable, or None."""
    constraint = variable.constraint
    return constraint if isinstance(constraint, HeldZeros) and constraint.holds(variable) else None


def own(variable):
    """The constraint that a variable has beside its mask, or None."""
    constraint = variable.constraint
    return constraint.constraint if isinstance(constraint, HeldZeros) else constraint


def hold(variable, mask, threshold):
    """Gives a variable its mask; the constraint that it had goes on to hold.

    Raises:
      UsageError: the variable takes no constraint.
    """
    held = HeldZeros(variable, mask, threshold)
    for part in _parts(variable):
        part._constraint = held
    if of(variable) is not held:
        raise UsageError(f'{variable.name} is a {type(variable).__name__}, which takes no constraint, so that nothing '
                         'would keep its zeros: make it with add_weight().')
