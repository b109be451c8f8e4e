"""What happens between two blocks of training steps."""

import itertools
import math

import numpy as np
import tf_keras

from tf_lottery.pruning import wrapper
from tf_lottery.runtime.distribute import has_workers, stopping


class AtStep(tf_keras.callbacks.Callback):
    """A callback that is told the step at the end of each block."""

    def on_train_batch_end(self, batch, logs=None):
        self.at_step(self._step(), logs or {})

    def _step(self):
        return int(self.model.step.numpy())

    def at_step(self, step, logs):
        raise NotImplementedError


class Blocks(AtStep):
    """Makes each execution of Keras's as long as the next block, where a block is several elements of the data.

    Args:
      boundaries: increasing list of int: where the first block starts, and where each block ends.
    """

    def __init__(self, boundaries):
        super().__init__()
        self._lengths = {start: end - start for start, end in itertools.pairwise(boundaries)}

    def on_train_begin(self, logs=None):
        self.at_step(self._step(), {})

    def at_step(self, step, logs):
        if step in self._lengths:
            self.model._steps_per_execution.assign(self._lengths[step])


class Evaluation(AtStep):
    """Adds a row every `evaluate_every` steps and at the end; stops training once a loss is not finite.

    Args:
      trainer: Trainer.
      rows: list that the rows are appended to.
      end: int, the last step.
    """

    def __init__(self, trainer, rows, end):
        super().__init__()
        self.diverged = False
        self._trainer, self._rows, self._end = trainer, rows, end

    def at_step(self, step, logs):
        due = step % self._trainer.settings.evaluate_every == 0 or step == self._end
        # `logs` are this worker's own; between evaluations no worker may leave the others.
        if not due and (math.isfinite(logs['loss']) or has_workers(self._trainer.strategy)):
            return
        mean_loss = self._trainer.model.mean_loss
        row = {'step': step, 'train_loss': float(mean_loss.result()), **self._trainer.evaluate(ends=step == self._end)}
        mean_loss.reset_state()
        self._rows.append(row)
        # Of games there is no loss but that of training.
        if not (math.isfinite(row['train_loss']) and math.isfinite(row.get('validation_loss', 0.0))):
            self.diverged = True
            self.model.stop_training = True


class Keep(AtStep):
    """Hands over weights and the feed's state at some steps: the rewinding points of the dense network.

    Args:
      steps: the steps, int.
      keep: function that takes a step and two mappings from name to array.
      state: {name: variable}, of the feed.
    """

    def __init__(self, steps, keep, state):
        super().__init__()
        self._steps, self._keep, self._state = frozenset(steps), keep, state

    def on_train_begin(self, logs=None):
        self.at_step(self._step(), {})

    def at_step(self, step, logs):
        if step in self._steps:
            self._keep(step, wrapper.get_weights(self.model.network),
                       {name: variable.numpy() for name, variable in self._state.items()})


class MaskUpdates(AtStep):
    """Changes the mask at some steps, by what each of several replicas reads alike.

    Args:
      trainer: Trainer.
      updates: as in `pruning.updates`.
      same_masks: agreement.SameMasks.
    """

    def __init__(self, trainer, updates, same_masks):
        super().__init__()
        self._trainer, self._updates, self._same_masks = trainer, updates, same_masks

    def on_train_begin(self, logs=None):
        step = self._step()
        # A checkpoint is of after the update.
        self._keep_gradients(step)
        if step == 0 and 0 in self._updates.steps:
            self.at_step(step, {})

    def at_step(self, step, logs):
        if step not in self._updates.steps or self.model.stop_training:
            return
        network = self._trainer.network
        weights = wrapper.get_weights(network)
        gradients = self.model.gradients.read() if self._updates.reads_gradients else None
        # What is no number is found at the next evaluation, which ends the training.
        if all(np.isfinite(array).all() for arrays in (weights, gradients or {}) for array in arrays.values()):
            mask = self._updates(step, wrapper.get_mask(network), weights, gradients)
            wrapper.set_mask(network, mask, step, optimizer=self.model.optimizer)
            self._same_masks.check()
        self._keep_gradients(step)

    def _keep_gradients(self, step):
        """Has the gradients kept of the last step before the next update."""
        if self._updates.reads_gradients:
            self.model.gradients.step.assign(min((at for at in self._updates.steps if at > step), default=0) - 1)


class SaveAndStop(AtStep):
    """Saves a checkpoint every `checkpoint_every` steps, and one before it stops because it was told to.

    Args:
      trainer: Trainer.
      checkpoint: checkpoints.Checkpoint, or None to save nothing.
      state: list of variables to save.
      rows: list of the rows so far.
      stop: function that returns an exception to raise once everything is saved, or None; or None.
      shift: int, by how many steps the examples are ahead of the steps.
    """

    def __init__(self, trainer, checkpoint, state, rows, stop, shift=0):
        super().__init__()
        self._trainer, self._checkpoint, self._rows, self._stop = trainer, checkpoint, rows, stop
        self._state, self._shift = state, shift

    def at_step(self, step, logs):
        interruption = stopping(self._trainer.strategy, self._stop)
        due = step % self._trainer.settings.checkpoint_every == 0
        if self._checkpoint and (interruption or due) and not self.model.stop_training:
            self._checkpoint.save(step, self._state, self._rows, self._trainer.feed.hosts, self._shift)
        if interruption:
            raise interruption


class Progress(AtStep):
    """Tells a function the step that each block ends at."""

    def __init__(self, report):
        super().__init__()
        self._report = report

    def at_step(self, step, logs):
        self._report(step)
