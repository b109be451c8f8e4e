"""Rewinding: everything back to step k, and the proof that it is."""

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper


def initial_slots(optimizer, trainable):
    """Returns the values that a fresh optimizer of the same configuration holds, in the order of its variables.

    Args:
      optimizer: a `tf_keras.optimizers.Optimizer`.
      trainable: the variables it optimises.

    Returns:
      list of numpy arrays, one per variable of the built optimizer.
    """
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(trainable)
    return [variable.numpy() for variable in fresh.variables]


def _check_optimizer(optimizer):
    if not isinstance(optimizer, tf_keras.optimizers.Optimizer):
        raise UsageError(
            f'{type(optimizer).__name__} is not an optimizer that can be rewound: compile the model with one from '
            'tf_keras.optimizers (not the legacy ones).')


def reset_optimizer(optimizer, trainable, step, slots=None):
    """Makes the optimizer fresh, with `step` steps behind it: so its learning-rate schedule continues from there.

    Args:
      optimizer: the optimizer of a compiled model.
      trainable: the variables it optimises.
      step: int, the new step count.
      slots: what `initial_slots` returned, to save computing it again.

    Raises:
      UsageError: an optimizer of the legacy kind.
    """
    _check_optimizer(optimizer)
    optimizer.build(trainable)
    slots = initial_slots(optimizer, trainable) if slots is None else slots
    for variable, value in zip(optimizer.variables, slots, strict=True):
        if variable is not optimizer.iterations:
            variable.assign(value)
    optimizer.iterations.assign(step)
    if hasattr(optimizer, 'moments_start'):
        optimizer.moments_start.assign(step)
    elif step and hasattr(optimizer, 'beta_2'):
        logging.warning(
            '%s corrects the bias of its fresh moments as if they were %d steps old, which makes its first thousand '
            'steps after rewinding up to six times too long: compile with tf_lottery.Adam instead.',
            type(optimizer).__name__, step)


def rewind(model, ticket, optimizer=None, slots=None):
    """Puts a wrapped model and its optimizer where the ticket starts, and checks that they are there.

    Args:
      model: a model made by `prunable`.
      ticket: Ticket. Every variable goes back, batch-norm statistics included.
      optimizer: the optimizer that trains it, if any.
      slots: what `initial_slots` returned for it, to save computing it again.

    Raises:
      UsageError: the ticket is of another model.
      RuntimeError: a replica does not hold mask * W_k exactly.
    """
    own = wrapper.variables(model)
    if set(own) != set(ticket.weights):
        odd = sorted(set(own) ^ set(ticket.weights))[0]
        raise UsageError(f'the ticket is of another model: {odd!r} is in one of them only.')
    wrapper.set_mask(model, ticket.mask, ticket.step)
    start = ticket.start
    for name, variable in own.items():
        variable.assign(start[name])
    if optimizer is not None:
        reset_optimizer(optimizer, model.trainable_variables, ticket.step, slots)
    difference = largest_difference(model, start)
    if difference != 0:
        raise RuntimeError(f'rewinding failed: max|w - mask*W_k| = {difference:g} at step {ticket.step}.')
    logging.info('Rewound to step %d at density %.2f %%: max|w - mask*W_k| = 0.', ticket.step,
                 100 * ticket.mask.density)


def largest_difference(model, weights):
    """max|w - weights| over all variables and all replicas of this process; inf where a value is not a number."""
    strategy = tf.distribute.get_strategy()
    largest = 0.0
    for name, variable in wrapper.variables(model).items():
        for local in strategy.experimental_local_results(variable):
            difference = np.max(np.abs(local.numpy() - weights[name]), initial=0.0)
            largest = max(largest, float(difference) if np.isfinite(difference) else np.inf)
    return largest


class RewindCallback(tf_keras.callbacks.Callback):
    """At the start of `fit`, puts the model and its optimizer where a ticket starts, and proves it.

    All variables return to W_k, batch-norm statistics included; pruned weights are zero; the optimizer is fresh and
    its step count is k, so that its learning-rate schedule goes on from k. Logs `max|w - mask*W_k| = 0` and fails
    otherwise.

    Args:
      ticket: Ticket to start from.
      slots: what `initial_slots` returned for the optimizer, to save computing it again.
    """

    def __init__(self, ticket, slots=None):
        super().__init__()
        self.ticket = ticket
        self._slots = slots
        self._rewound = False

    def on_train_begin(self, logs=None):
        # A level may be trained by several calls of fit; only the first one rewinds.
        if not self._rewound:
            rewind(getattr(self.model, 'network', self.model), self.ticket, self.model.optimizer, self._slots)
            self._rewound = True
