"""How the dense network was trained, by whom, and what held at step k: what each level goes back to and repeats."""

import contextlib
import weakref

import numpy as np
import tensorflow as tf

from tf_lottery import steps
from tf_lottery.errors import UsageError
from tf_lottery.pruning import constraint, optimizer_state, wrapper
from tf_lottery.pruning.rewind import rewind


class Course:
    """The training of the dense network, as far as it is known.

    Args:
      model: the model that is pruned.
      weights: what `wrapper.get_weights` says of it now: W_0.
      rewind_to: the rewinding step k, as '500it' or '4ep'.

    Attributes:
      weights: W_k, mapping from name to array; None until step k.
      step, end: int, the steps of W_k and of the end, as the optimizer counts them; `end` is None until then, or where
        no optimizer is known.
      place: (number of the fit, epoch, batch) of step k; None where it is the beginning.
      ended_by_callback: bool, whether a callback ended it.
    """

    def __init__(self, model, weights, rewind_to):
        self._model, self._rewind_to = model, rewind_to
        self._k = steps.parse(rewind_to, 1)
        self.weights = None if self._k else weights
        self.step, self.end, self.place = 0, None, None
        self.ended_by_callback = False
        self._zeros = [constraint.of(weight) for _, weight, *_ in wrapper.prunable_variables(model).values()]
        # The model whose `fit` trains this one.
        self._trainer = model
        # What held at the beginning, or at step k once it has come: of optimizers, of layers with states, and of what
        # is trained beside the model.
        self._optimizers, self._begun = weakref.WeakKeyDictionary(), weakref.WeakKeyDictionary()
        self._noticed = weakref.WeakSet()
        self._states, self._others = _valued(wrapper.states(model)), {}
        self._counter, self._at_step_k, self._seen = None, False, False

    @contextlib.contextmanager
    def watched(self):
        """Has itself told of optimizers at their first step, for as long as the context lasts."""
        for zeros in self._zeros:
            zeros.listener = self._notice
        try:
            yield
        finally:
            for zeros in self._zeros:
                zeros.listener = None

    def _applied(self):
        """The optimizers that have moved prunable weights."""
        return list({id(each): each for zeros in self._zeros for each in zeros.optimizers}.values())

    def _notice(self, optimizer):
        """Notes an optimizer that applies gradients for the first time: traced before its first step, or just after."""
        if self.weights is None and not self._seen:
            # Nobody would see step k: the fit is not worth its time.
            self._model.stop_training = True
        # Each of the weights tells of it.
        if optimizer in self._noticed:
            return
        self._noticed.add(optimizer)
        if tf.executing_eagerly():
            self._note(optimizer, optimizer_state.fresh_state(optimizer, self._weights(), taken=1), taken=1)
            return
        with tf.init_scope():
            self._note(optimizer)

    def _note(self, optimizer, held=None, taken=0):
        """Notes what an optimizer holds, but for what was noted before."""
        optimizer_state.check(optimizer)
        held = held or optimizer_state.state(optimizer, self._weights())
        self._optimizers[optimizer] = {**held, **self._optimizers.get(optimizer, {})}
        self._begun.setdefault(optimizer, int(optimizer.iterations.numpy()) - taken)

    def _weights(self):
        """The variables that optimizers move."""
        return self._trainer.trainable_variables + self._model.trainable_variables

    def begin_level(self, ticket=None):
        """Notes what trains the model, or puts it and the model where a ticket starts."""
        if ticket:
            self._rewind(ticket)
        for optimizer in (self._model.optimizer, *self._applied()):
            if optimizer is not None and optimizer not in self._optimizers:
                self._note(optimizer)

    def _rewind(self, ticket):
        rewind(self._model, ticket)
        for variable, value in self._states:
            variable.assign(value)
        for reference, value in self._others.items():
            reference.deref().assign(value)
        for optimizer, held in list(self._optimizers.items()):
            optimizer_state.reset(optimizer, self._weights(), held)

    def begin_fit(self, trainer, steps_per_epoch):
        """Notes whose `fit` trains the model, and what it holds beside the model.

        Args:
          trainer: the model that is fitted.
          steps_per_epoch: int, or None where it is not known.
        """
        self._trainer, self._counter, self._seen = trainer, None, True
        for variable in _beside(trainer, self._model):
            if variable.ref() not in self._others:
                self._others[variable.ref()] = variable.numpy()
        late = self.end is not None
        for optimizer in vars(trainer).values():
            if isinstance(optimizer, optimizer_state.OPTIMIZERS) and optimizer not in self._optimizers:
                if late:
                    # Compiled anew for a later level: it starts fresh, but at step k.
                    optimizer_state.build(optimizer, self._weights())
                self._note(optimizer)
                if late:
                    optimizer_state.reset(optimizer, self._weights(), self._optimizers[optimizer], self.step)
                    self._optimizers[optimizer] = optimizer_state.state(optimizer, self._weights())
        if self.weights is None:
            self._k = steps.parse(self._rewind_to, steps_per_epoch)

    def count(self):
        """int, the steps taken by the optimizer that trains the model; None where none is known."""
        if self._counter is None:
            applied = self._applied()
            moved = [each for each, begun in self._begun.items() if each.iterations.numpy() > begun]
            # Several may have taken steps: that of the model counts, not that of another one beside it.
            both = [each for each in moved if any(each is other for other in applied)]
            known = [each for each in (getattr(self._trainer, 'optimizer', None), self._model.optimizer) if each]
            found = next(iter([*both, *moved, *known]), None)
            if not moved:
                return None if found is None else int(found.iterations.numpy())
            self._counter = found
        return int(self._counter.iterations.numpy())

    @property
    def first(self):
        """int, the step that training began at."""
        return self._begun.get(self._counter, 0) if self._counter is not None else 0

    def pass_by(self, place):
        """Keeps what holds when the dense network has come to step k.

        Args:
          place: (number of the fit, epoch, batch) that comes next.

        Raises:
          UsageError: step k cannot be seen, or what held before it is not known.
        """
        if self.place is None and not any(place[:2]) and place[2] == 1 and self._k == 0:
            self._check_beginning()
        if self.weights is not None:
            return
        taken = self.count() - self.first
        if taken < self._k:
            return
        if taken != self._k:
            raise UsageError(f'step {self._k}, to which rewind_to={self._rewind_to!r} rewinds, lies inside one '
                             'execution of several steps: choose a multiple of steps_per_execution.')
        self.weights, self.step, self.place = wrapper.get_weights(self._model), self.count(), place
        self._states = _valued(wrapper.states(self._model))
        self._others = {variable.ref(): variable.numpy() for variable in _beside(self._trainer, self._model)}
        self._at_step_k = True

    def _check_beginning(self):
        """Refuses a model that has made weights in its first step, whose beginning nobody has seen."""
        for variable in _beside(self._trainer, self._model):
            if variable.ref() not in self._others and any(
                    variable is each for each in self._trainer.trainable_variables):
                raise UsageError(f'{self._trainer.name} has made {variable.name} in its first step only, so that it '
                                 'cannot be rewound to its beginning: call it once before the loop, so that it makes '
                                 'its variables.')

    def leave(self):
        """Keeps what optimizers hold at step k once all callbacks are done with it: the learning rate, for one."""
        if self._at_step_k:
            self._at_step_k = False
            for optimizer, held in list(self._optimizers.items()):
                self._optimizers[optimizer] = {**held, **optimizer_state.of_no_weight(optimizer)}

    def end_epoch(self, fit, epoch):
        """Step k at the last batch of an epoch is the first one's of the next."""
        if self._at_step_k and self.place[:2] == (fit, epoch):
            self.place = (fit, epoch + 1, 0)

    def finish(self, fits, ended_by_callback):
        """Notes where the dense network's training ended.

        Args:
          fits: int, how many calls of `fit` were seen.
          ended_by_callback: bool.

        Raises:
          UsageError: it did not come by step k.
        """
        self.leave()
        self.end, self.ended_by_callback = self.count(), ended_by_callback
        if self._k == 0:
            self.step = self.first
        elif self.weights is None or self.end <= self.step:
            why = ('level 0 was trained without it: pass callbacks=[level] to fit' if not fits else
                   f'training ended at step {self.end - self.first}: choose an earlier step or train for longer')
            raise UsageError(f'rewind_to is {self._rewind_to!r}, but {why}.')

    def was_stopped(self):
        """Whether a callback ended the last `fit` of the model itself."""
        return bool(getattr(self._model, 'stop_training', False))

    def has_moved(self, ticket):
        """Whether the model has been trained since it started from a ticket."""
        count = self.count()
        if count is not None and count != (self.first if self.end is None else self.step):
            return True
        now, start = wrapper.get_weights(self._model), ticket.start
        return any(not np.array_equal(now[name], start[name]) for name in start)


def _beside(trainer, model):
    """The variables of a model that trains another one which are not the other one's."""
    own = {id(variable) for variable in model.variables}
    return [variable for variable in trainer.variables if id(variable) not in own]


def _valued(variables):
    return [(variable, variable.numpy()) for variable in variables]
