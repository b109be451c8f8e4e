"""Rewinding: everything back to step k, and the proof that it is."""

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from tf_lottery.errors import UsageError
from tf_lottery.pruning import optimizer_state, wrapper


def rewind(model, ticket, optimizer=None, held=None, weights=None):
    """Puts a wrapped model and its optimizer where the ticket starts, and checks that they are there.

    Args:
      model: a model made by `prunable`.
      ticket: Ticket. Every variable goes back, batch-norm statistics included.
      optimizer: the optimizer that trains it, if any.
      held: what the optimizer goes back to, but for the step, which is the ticket's: see `optimizer_state.state`; None
        for what a new optimizer of the same configuration holds.
      weights: list of tf.Variable, those that the optimizer may move; None for the model's.

    Raises:
      UsageError: the ticket is of another model, or `optimizer` is none that can be rewound.
      RuntimeError: a replica does not hold `ticket.start` exactly.
    """
    own = wrapper.variables(model)
    if set(own) != set(ticket.weights):
        odd = sorted(set(own) ^ set(ticket.weights))[0]
        raise UsageError(f'the ticket is of another model: {odd!r} is in one of them only.')
    wrapper.set_mask(model, ticket.mask, ticket.step, ticket.frozen)
    start = ticket.start
    for name, variable in own.items():
        variable.assign(start[name])
    if optimizer is not None:
        weights = weights or model.trainable_variables
        optimizer_state.build(optimizer, weights)
        held = held or optimizer_state.fresh_state(optimizer, weights)
        optimizer_state.reset(optimizer, weights, held, ticket.step)
    difference = largest_difference(model, start)
    if difference != 0:
        raise RuntimeError(f'rewinding failed: max|w - {_start(ticket)}| = {difference:g} at step {ticket.step}.')
    logging.info('Rewound to step %d at density %.2f %%: max|w - %s| = 0.', ticket.step, 100 * ticket.mask.density,
                 _start(ticket))


def _start(ticket):
    """What a ticket starts from, in symbols."""
    return 'mask*W_k' if ticket.frozen is None else 'mask*W_k - (1-mask)*frozen'


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
      held, weights: as in `rewind`.
    """

    def __init__(self, ticket, held=None, weights=None):
        super().__init__()
        self.ticket = ticket
        self._held, self._weights = held, weights
        self._rewound = False

    def on_train_begin(self, logs=None):
        # A level may be trained by several calls of fit; only the first one rewinds.
        if not self._rewound:
            rewind(getattr(self.model, 'network', self.model), self.ticket, self.model.optimizer, self._held,
                   self._weights)
            self._rewound = True
