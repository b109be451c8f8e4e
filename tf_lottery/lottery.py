"""Iterative magnitude pruning with rewinding, around your own training."""

import weakref

import numpy as np
import tensorflow as tf
from absl import logging

from tf_lottery import steps
from tf_lottery.errors import UsageError
from tf_lottery.pruning import constraint, optimizer_state, wrapper
from tf_lottery.pruning.allocation import check, prune
from tf_lottery.pruning.rewind import RewindCallback, rewind
from tf_lottery.pruning.schedules import IterativePruning
from tf_lottery.ticket import Ticket


def levels(model, fraction=0.2, n=10, rewind_to='0it', scope='layerwise', fractions=None):
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

    Yields:
      Level: a callback for `fit`. It may be left out where `rewind_to` is '0it'.

    Raises:
      UsageError: a value that cannot be used, or a level that was not trained as it must be.
    """
    if not 0 < fraction < 1:
        raise UsageError(f'fraction is {fraction}: give the share of weights pruned per level, between 0 and 1.')
    if n < 0:
        raise UsageError(f'n is {n}: give the number of times to prune, 0 or more.')
    start = Ticket(_mask(model), wrapper.get_weights(model), 0)
    by_name = _fractions(model, fraction, fractions or {})
    check({name: int(array.sum()) for name, array in start.mask.items()}, by_name, n, scope)
    course = _Course(model, start, rewind_to)
    mask = start.mask
    for number in range(n + 1):
        if number:
            mask = prune(mask, wrapper.get_weights(model), by_name, number, scope, start=start.mask)
        level = Level(number, Ticket(mask, course.weights, course.step) if number else start, course)
        level.prepare()
        yield level
        level.finish()
        if not number:
            _describe(model, by_name, n, course)


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


def _describe(model, by_name, n, course):
    """Tells the wrappers the schedule that their masks follow: of several weights the one that is pruned most."""
    length = course.end - course.first
    for holder in wrapper.wrappers(model).values():
        own = [by_name[name] for name, (_, weight, *_) in wrapper.prunable_variables(model).items()
               if any(weight is each for each, *_ in holder.pruning_vars)]
        holder.pruning_schedule = IterativePruning(max(own), n, length, course.step - course.first)


class Level(RewindCallback):
    """One level: rewinds at the start of `fit`, goes on at the epoch of step k, ends where the dense network ended.

    A callback of your own, such as EarlyStopping, may end a level sooner; each ends where it is ended.

    Attributes:
      number: int, 0 is the dense network.
      ticket: the Ticket that the level trains.
      start, end: int, the steps that the level started and ended at, once it has been trained; None where no optimizer
        is known that counts them.
    """

    def __init__(self, number, ticket, course):
        super().__init__(ticket)
        self.number = number
        self.start = self.end = None
        self._course = course
        self._fits, self._epoch = 0, 0
        self._open = self._stops = self._ended_by_callback = False

    @property
    def mask(self):
        return self.ticket.mask

    @property
    def density(self):
        """float, the fraction of prunable weights that remain."""
        return self.ticket.mask.density

    def prepare(self):
        """Puts the model where the level starts, and everything that is known to train it."""
        if self.number:
            self._course.rewind(self.ticket)
        self._course.watch()

    def on_train_begin(self, logs=None):
        self._open = True
        self._course.see(self.model)
        if self.number and not self._rewound:
            # The model may have been compiled anew since.
            self._course.rewind(self.ticket)
            self._rewound = True
        if self.number:
            self._go_on()
        elif not self._fits:
            self._course.begin(self.model, (self.params or {}).get('steps'))
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
            course.pass_by(self.model, (self._fits - 1, self._epoch, batch + 1))
        elif not course.ended_by_callback and course.end is not None and course.count() >= course.end:
            self._stops = self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if not self.number:
            self._course.end_epoch(self._fits - 1, epoch)

    def on_train_end(self, logs=None):
        self._open = False
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
        self.start, self.end = course.first if not self.number else self.ticket.step, course.count()
        if self.end == self.start if self.end is not None else not course.has_moved(self.ticket):
            raise UsageError(f'level {self.number} was not trained: call model.fit inside the loop.')
        if not self._fits:
            self._ended_by_callback = bool(getattr(course.model, 'stop_training', False))
        if not self.number:
            course.finish(self._fits, self.end, self._ended_by_callback)
        elif self.end != course.end and not (self._ended_by_callback or course.ended_by_callback):
            raise UsageError(
                f'level {self.number} was trained to step {self.end}, the dense network to step {course.end}: give '
                'every level the same fit, with callbacks=[level].')
        logging.info('Level %d was trained from step %s to step %s.', self.number, self.start, self.end)


class _Course:
    """How the dense network was trained, which each level repeats from step k on, and what held at step k.

    Attributes:
      model: the model that is pruned.
      weights: W_k, mapping from name to array; None until step k.
      first, step, end: int, the steps, as the optimizer counts them, where training begins, of W_k, and where it ends;
        `end` is None until then, or where no optimizer is known.
      place: (number of the fit, epoch, batch) of step k; None where it is the beginning.
      ended_by_callback: bool, whether the dense network's training was ended by a callback.
    """

    def __init__(self, model, ticket, rewind_to):
        self.model, self._rewind_to = model, rewind_to
        self._k = steps.parse(rewind_to, 1)
        self.weights = self.end = self.place = None
        self.first = self.step = 0
        self.ended_by_callback = self._passes = False
        # What held at the beginning, or at step k once it has come.
        self._optimizers, self._late, self._others = weakref.WeakKeyDictionary(), weakref.WeakSet(), {}
        self._trainer = None
        self._ticket = ticket
        if self._k == 0:
            self.weights = ticket.weights
        self._states = _states(model)

    def _zeros(self):
        """The constraints of the prunable weights."""
        return [constraint.of(weight) for _, weight, *_ in wrapper.prunable_variables(self.model).values()]

    def _applied(self):
        """The optimizers that have moved prunable weights."""
        return list({id(each): each for zeros in self._zeros() for each in zeros.optimizers}.values())

    def watch(self):
        """Notes what each optimizer holds that is known, and has itself told of others at their first step."""
        for zeros in self._zeros():
            zeros.listener = self._notice
        for optimizer in (self.model.optimizer, *self._applied()):
            if optimizer is not None:
                self._note(optimizer)

    def _note(self, optimizer, held=None):
        optimizer_state.check(optimizer)
        known = self._optimizers.get(optimizer, {})
        self._optimizers[optimizer] = {**(held or optimizer_state.state(optimizer, self._weights())), **known}

    def _notice(self, optimizer):
        """Notes an optimizer that applies gradients for the first time: traced before its first step, or just after."""
        if tf.executing_eagerly():
            self._note(optimizer, optimizer_state.fresh_state(optimizer, self._weights(), taken=1))
            return
        with tf.init_scope():
            self._note(optimizer)

    def _weights(self):
        """The variables that optimizers move."""
        return (self._trainer or self.model).trainable_variables + self.model.trainable_variables

    def see(self, trainer):
        """Notes whose `fit` trains the model, and what it holds beside the model."""
        self._trainer = trainer
        own = {id(variable) for variable in self.model.variables}
        for variable in trainer.variables:
            if id(variable) not in own and variable.ref() not in self._others:
                self._others[variable.ref()] = variable.numpy()
        for optimizer in vars(trainer).values():
            if isinstance(optimizer, optimizer_state.OPTIMIZERS):
                if optimizer not in self._optimizers and self.end is not None:
                    # Compiled anew for a later level: it starts fresh, but at step k.
                    optimizer_state.build(optimizer, trainer.trainable_variables)
                    self._late.add(optimizer)
                self._note(optimizer)

    def counter(self):
        """The optimizer whose steps count: that of the model that is fitted, else the one that moved the weights."""
        applied = self._applied()
        known = [each for each in (getattr(self._trainer, 'optimizer', None), self.model.optimizer)
                 if isinstance(each, optimizer_state.OPTIMIZERS)]
        both = [each for each in known if any(each is other for other in applied)]
        return next(iter([*both, *applied, *known]), None)

    def count(self):
        """int, the steps taken; None where no optimizer is known."""
        counter = self.counter()
        return None if counter is None else int(counter.iterations.numpy())

    def begin(self, trainer, steps_per_epoch):
        """Notes where the dense network's training begins."""
        self.first = self.step = self.count() or 0
        self._k = steps.parse(self._rewind_to, steps_per_epoch)

    def pass_by(self, trainer, place):
        """Keeps what holds when the dense network has come to step k."""
        new = next((variable for variable in trainer.trainable_variables
                    if variable.ref() not in self._others and not any(
                        variable is own for own in self.model.variables)), None)
        if self._k == 0 and new is not None:
            raise UsageError(f'{trainer.name} has made {new.name} in its first step only, so that it cannot be rewound '
                             'to its beginning: call it once before the loop, so that it makes its variables.')
        count = self.count()
        if self.weights is not None or count - self.first < self._k:
            return
        if count - self.first != self._k:
            raise UsageError(f'step {self._k}, to which rewind_to={self._rewind_to!r} rewinds, lies inside one '
                             'execution of several steps: choose a multiple of steps_per_execution.')
        self.weights, self.step, self.place = wrapper.get_weights(self.model), count, place
        self._states = _states(self.model)
        self._others = {variable.ref(): variable.numpy() for variable in trainer.variables
                        if not any(variable is own for own in self.model.variables)}
        self._passes = True

    def leave(self):
        """Keeps what optimizers hold at step k once all callbacks are done with it: the learning rate, for one."""
        if self._passes:
            self._passes = False
            for optimizer, held in self._optimizers.items():
                self._optimizers[optimizer] = {**held, **optimizer_state.of_no_weight(optimizer)}

    def end_epoch(self, fit, epoch):
        """Step k at the last batch of an epoch is the first one's of the next."""
        if self.place and self.place[:2] == (fit, epoch) and self.count() == self.step:
            self.place = (fit, epoch + 1, 0)

    def finish(self, fits, end, ended_by_callback):
        """Notes where the dense network's training ended.

        Raises:
          UsageError: it did not come by step k.
        """
        self.leave()
        self.end, self.ended_by_callback = end, ended_by_callback
        if self.weights is None or (self._k and end <= self.step):
            why = ('level 0 was trained without it: pass callbacks=[level] to fit' if not fits else
                   f'training ended at step {end - self.first}: choose an earlier step or train for longer')
            raise UsageError(f'rewind_to is {self._rewind_to!r}, but {why}.')

    def has_moved(self, ticket):
        """Whether the model's weights are not those that a ticket starts from."""
        now, start = wrapper.get_weights(self.model), ticket.start
        return any(not np.array_equal(now[name], start[name]) for name in start)

    def rewind(self, ticket):
        """Puts the model and everything that trains it where a ticket starts."""
        rewind(self.model, ticket)
        for variable, value in self._states:
            variable.assign(value)
        for reference, value in self._others.items():
            reference.deref().assign(value)
        for optimizer in list(self._optimizers):
            held = self._optimizers[optimizer]
            optimizer_state.reset(optimizer, self._weights(), held, self.step if optimizer in self._late else None)


def _states(model):
    """The states of stateful layers: list of (tf.Variable, array)."""
    found = {}
    for layer in model._flatten_layers():
        if getattr(layer, 'stateful', False):
            for state in tf.nest.flatten(getattr(layer, 'states', None)):
                if isinstance(state, tf.Variable):
                    found[id(state)] = (state, state.numpy())
    return list(found.values())


def _start_at(model, epoch, batch):
    """Has the `fit` that is beginning start at an epoch and batch, as it does where a backup is restored."""
    name = '_maybe_load_initial_counters_from_ckpt'
    from_backup = getattr(model, name)

    def counters(steps_per_epoch, initial_epoch):
        object.__delattr__(model, name)
        found = from_backup(steps_per_epoch, initial_epoch)
        return (epoch, batch) if found == (initial_epoch, 0) else found

    object.__setattr__(model, name, counters)
