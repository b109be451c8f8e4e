"""Iterative magnitude pruning with rewinding, around your own `model.fit`."""

from tf_lottery import steps
from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
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

    Args:
      model: a model made by `prunable`, compiled.
      fraction: float in (0, 1), the share of the surviving weights pruned per level.
      n: int, the number of times to prune.
      rewind_to: the rewinding step k, as '500it' or '4ep'.
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
    by_name = _fractions(model, fraction, fractions or {})
    mask = wrapper.get_mask(model)
    check({name: array.size for name, array in mask.items()}, by_name, n, scope)
    dense = _DenseLevel(rewind_to, Ticket(mask, wrapper.get_weights(model), 0))
    yield dense
    kept, end = dense.finish(model)
    for name, (holder, *_) in wrapper.prunable_variables(model).items():
        holder.pruning_schedule = IterativePruning(by_name[name], n, end - dense.first, kept.step - dense.first)
    for number in range(1, n + 1):
        mask = prune(mask, wrapper.get_weights(model), wrapper.get_fractions(model), number, scope)
        ticket = Ticket(mask, kept.weights, kept.step)
        rewind(model, ticket, model.optimizer)
        level = Level(number, ticket, end)
        yield level
        level.finish(model)


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


class Level(RewindCallback):
    """One level: rewinds at the start of `fit`, ends training where the dense network's ended.

    Attributes:
      number: int, 0 is the dense network.
      ticket: the Ticket that the level trains.
    """

    def __init__(self, number, ticket, end=None):
        super().__init__(ticket)
        self.number = number
        self._end = end

    @property
    def mask(self):
        return self.ticket.mask

    @property
    def density(self):
        """float, the fraction of prunable weights that remain."""
        return self.ticket.mask.density

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) >= self._end:
            self.model.stop_training = True

    def finish(self, model):
        """Checks that the level was trained to the step that the dense network was trained to."""
        step = int(model.optimizer.iterations.numpy())
        if step != self._end:
            raise UsageError(
                f'level {self.number} was trained to step {step}, the dense network to step {self._end}: give every '
                'level the same fit, with callbacks=[level].')


class _DenseLevel(Level):
    """Level 0: nothing to rewind; keeps W_k on the way."""

    def __init__(self, rewind_to, ticket):
        super().__init__(0, ticket)
        self.first = None
        self._rewind_to = rewind_to
        self._step = steps.parse(rewind_to, 1)
        # W_0 is W_k unless a later step is asked for.
        self._kept = ticket if self._step == 0 else None

    def on_train_begin(self, logs=None):
        if self.first is not None:
            return
        self.first = int(self.model.optimizer.iterations.numpy())
        self._step = steps.parse(self._rewind_to, (self.params or {}).get('steps'))

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations.numpy()) - self.first
        if self._kept is None and step >= self._step:
            if step != self._step:
                raise UsageError(f'step {self._step}, to which rewind_to={self._rewind_to!r} rewinds, lies inside one '
                                 'execution of several steps: choose a multiple of steps_per_execution.')
            self._kept = Ticket(self.ticket.mask, wrapper.get_weights(self.model), self._step)

    def finish(self, model):
        """Returns the Ticket of W_k and the optimizer's step at the end of training."""
        end = int(model.optimizer.iterations.numpy()) if model.optimizer is not None else 0
        if end == 0:
            raise UsageError('level 0 was not trained: call model.fit inside the loop.')
        if self._kept is None:
            why = ('level 0 was trained without it: pass callbacks=[level] to fit' if self.first is None else
                   f'training ended at step {end - self.first}: choose an earlier step or train for longer')
            raise UsageError(f'rewind_to is {self._rewind_to!r}, but {why}.')
        self.first = self.first or 0
        return Ticket(self._kept.mask, self._kept.weights, self.first + self._kept.step), end
