"""Iterative magnitude pruning with rewinding, around your own training."""

import numpy as np
import tf_keras
from absl import logging

from tf_lottery.errors import UsageError
from tf_lottery.pruning import channels, wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.pruning.course import Course
from tf_lottery.pruning.structure import find
from tf_lottery.ticket import Mask, Ticket


def levels(model, fraction=0.2, n=10, rewind_to='0it', scope='layerwise', fractions=None,
           structure=None, ticket=None):
    """Finds a winning ticket of your own model: yields once per level; train the model inside the loop.

    Iterative magnitude pruning with rewinding (1903.01611, section 2; with `rewind_to='0it'` it is 1803.03635,
    section 2): train W_0 to W_k and on to W_T, prune the lowest magnitudes, rewind the survivors to W_k, train them
    from step k to T, and so on.

        model = tf_lottery.prunable(model)
        model.compile(optimizer, loss)
        for level in tf_lottery.levels(model, fraction=0.2, n=10, rewind_to='500it'):
            model.fit(x, y, epochs=5, callbacks=[level])

    Whoever applies the gradients is rewound: the optimizer that the model was compiled with, that of a model which
    trains it as a part (`level` then is a callback of that one's `fit`), or that of a loop of your own. Learning rate,
    loss scale and counters go back to what they were at step k, momenta to none; a later `fit` goes on at the epoch of
    step k, as its callbacks see. A model that is sparse already is pruned further: fractions are of what is left.

    Args:
      model: a model made by `prunable` or `hold_zeros`, or one that holds layers wrapped in `PruneWithMask`.
      fraction: float in (0, 1), the share of the surviving weights pruned per level.
      n: int, the number of times to prune.
      rewind_to: the rewinding step k, as '500it' or '4ep': a step is an update, as the optimizer counts them.
      scope: 'layerwise' or 'global' ranking.
      fractions: {name of a layer or of a weight: fraction} for those that differ, such as {'output': 0.1}; 0 never
        prunes.
      structure: what is pruned as one: 'channels', M of each N weights as in '2:4', blocks as in 'block_4x4'; None is
        single weights. With 'channels' the output layer needs a fraction of 0.
      ticket: Ticket to start from, such as one of `load_ticket` that was found on other data: level 0 trains it, and
        fractions are of what it has left. A variable that it has in no such shape, such as an output layer of another
        number of classes, stays as the model has it, dense. None starts from the model as it is.

    Yields:
      Level: a callback for `fit`. It may be left out where `rewind_to` is '0it'.

    Raises:
      UsageError: a value that cannot be used, or a level that was not trained as it must be.
    """
    if not 0 < fraction < 1:
        raise UsageError(f'fraction is {fraction}: give the share of weights pruned per level, between 0 and 1.')
    if n < 0:
        raise UsageError(f'n is {n}: give the number of times to prune, 0 or more.')
    if ticket is not None:
        _start_from(model, ticket)
    start = Ticket(_mask(model), wrapper.get_weights(model), 0)
    by_name, form = _fractions(model, fraction, fractions or {}), find(structure, 'structure')
    if structure == 'channels':
        channels.require(model, by_name)
    form.check({name: array.shape for name, array in start.mask.items()}, by_name, n, scope, start.mask)
    course, mask = Course(model, start.weights, rewind_to), start.mask
    with course.watched():
        for number in range(n + 1):
            if number:
                mask = prune(mask, wrapper.get_weights(model), by_name, number, scope, start=start.mask, keep=form.keep)
            level = Level(number, Ticket(mask, course.weights, course.step) if number else start, course)
            course.begin_level(level.ticket if number else None)
            yield level
            level.finish()
            if not number and course.end is not None:
                wrapper.set_schedules(model, by_name, n, course.end - course.first, course.step - course.first)


def _start_from(model, ticket):
    """Gives a model the mask and the weights of a ticket, as far as it has them in its shapes.

    Raises:
      UsageError: the ticket is of another network, or freezes what it has pruned.
    """
    if ticket.frozen is not None:
        raise UsageError('the pruned weights of ticket are frozen at other values than zero: give one whose pruned '
                         'weights are zero.')
    mask = wrapper.get_mask(model)
    taken = {name: kept for name, kept in ticket.mask.items() if name in mask and mask[name].shape == kept.shape}
    if not taken:
        raise UsageError(f'ticket is of another network: of its weights {", ".join(ticket.mask)} none has the name and '
                         f'the shape of one of model {model.name!r}, which has {", ".join(mask)}.')
    start = ticket.start
    for name, variable in wrapper.variables(model).items():
        if name in start and start[name].shape == tuple(variable.shape):
            variable.assign(start[name])
    wrapper.set_mask(model, Mask({**mask, **taken}))


def _mask(model):
    """The Mask to start from."""
    for path, holder in wrapper.wrappers(model).items():
        if not isinstance(holder, wrapper.PruneWithMask):
            raise UsageError(f"layer {path!r} of model {model.name!r} is wrapped by TF-MOT's own prune_low_magnitude, "
                             'whose schedule sets masks itself: give tf_lottery.prunable(model), which replaces it.')
    mask = wrapper.get_mask(model)
    for name, (_, weight, _, _) in wrapper.prunable_variables(model).items():
        zeros = mask[name].size - np.count_nonzero(weight)
        if mask[name].all() and 0 < zeros < mask[name].size:
            logging.warning('%d of the %d weights of %s are zero, and are trained like the others: to keep them '
                            'pruned, start from tf_lottery.hold_zeros(model).', zeros, mask[name].size, name)
    return mask


def _fractions(model, fraction, exceptions):
    names = list(wrapper.prunable_variables(model))
    by_name = dict.fromkeys(names, fraction)
    for key, value in exceptions.items():
        matches = [name for name in names if name == key or name.startswith(f'{key}/')]
        if not matches:
            raise UsageError(f'fractions names {key!r}, which is no prunable layer or weight: they are '
                             f'{", ".join(names)}.')
        if not 0 <= value < 1:
            raise UsageError(f'the fraction of {key} is {value}: give the share pruned per level, in [0, 1).')
        by_name.update(dict.fromkeys(matches, value))
    return by_name


class Level(tf_keras.callbacks.Callback):
    """One level: a callback that has `fit` go on at the epoch of step k, and end where the dense network ended.

    A callback of your own, such as EarlyStopping, may end a level sooner; each ends where it is ended.

    Attributes:
      number: int, 0 is the dense network.
      ticket: the Ticket that the level trains.
      start, end: int, the steps that it started and ended at, once it has been trained; None where no optimizer is
        known that counts them.
    """

    def __init__(self, number, ticket, course):
        super().__init__()
        self.number, self.ticket = number, ticket
        self.start = self.end = None
        self._course = course
        self._fits = self._epoch = 0
        self._open = self._stops = self._ended_by_callback = False

    @property
    def mask(self):
        return self.ticket.mask

    @property
    def density(self):
        """float, the fraction of prunable weights that remain."""
        return self.ticket.mask.density

    def on_train_begin(self, logs=None):
        self._open = True
        self._course.begin_fit(self.model, (self.params or {}).get('steps'))
        if self.number:
            self._go_on()
        self._fits += 1

    def _go_on(self):
        """Has `fit` start at the epoch and batch that step k lies at, where the dense network came by in this fit."""
        if not self._course.place:
            return
        fit, epoch, batch = self._course.place
        if self._fits < fit:
            epoch, batch = self.params['epochs'], 0
        elif self._fits > fit:
            return
        elif not self.params.get('steps'):
            # Where an epoch has no known length Keras cannot start inside of one; the level's end is kept all the same.
            batch = 0
        _start_at(self.model, epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._course.leave()

    def on_train_batch_begin(self, batch, logs=None):
        self._course.leave()

    def on_train_batch_end(self, batch, logs=None):
        course = self._course
        if not self.number:
            course.pass_by((self._fits - 1, self._epoch, batch + 1))
        elif not course.ended_by_callback and course.end is not None and course.count() >= course.end:
            self._stops = self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self._course.end_epoch(self._fits - 1, epoch)

    def on_train_end(self, logs=None):
        self._open = False
        # From the optimizer that has trained, before the model may be compiled anew.
        self._course.count()
        self._ended_by_callback |= self.model.stop_training and not self._stops

    def finish(self):
        """Checks that the level was trained as the dense network was, but for what callbacks of its own ended.

        Raises:
          UsageError: it was not, or not at all.
        """
        course = self._course
        if self._open:
            raise UsageError(f'the fit of level {self.number} was interrupted at step {course.count()}: call fit again '
                             'for the rest, or end it by a callback that sets model.stop_training.')
        if not course.has_moved(self.ticket):
            raise UsageError(f'level {self.number} was not trained: call model.fit inside the loop.')
        # A fit without this callback, too, says whether another one ended it.
        self._ended_by_callback |= not self._fits and course.was_stopped()
        if not self.number:
            course.finish(self._fits, self._ended_by_callback)
        self.end = course.count()
        self.start = None if self.end is None else course.step if self.number else course.first
        if self.end != course.end and not (self._ended_by_callback or course.ended_by_callback):
            raise UsageError(
                f'level {self.number} was trained to step {self.end}, the dense network to step {course.end}: give '
                'every level the same fit, with callbacks=[level].')
        logging.info('Level %d was trained from step %s to step %s.', self.number, self.start, self.end)


def _start_at(model, epoch, batch):
    """Has the `fit` that is beginning start at an epoch and batch, as it does where a backup is restored."""
    name = '_maybe_load_initial_counters_from_ckpt'
    from_backup = getattr(model, name)

    def counters(steps_per_epoch, initial_epoch):
        object.__delattr__(model, name)
        found = from_backup(steps_per_epoch, initial_epoch)
        return (epoch, batch) if found == (initial_epoch, 0) else found

    object.__setattr__(model, name, counters)
