"""Trains one network from any ticket; built and compiled once for all levels, branches and replicates."""

import dataclasses
import itertools
import math

import tensorflow as tf
import tf_keras
from absl import logging

from tf_lottery.errors import UsageError
from tf_lottery.pruning import constraint, optimizer_state, wrapper
from tf_lottery.pruning.rewind import RewindCallback, rewind
from tf_lottery.runtime.distribute import agree, stopping
from tf_lottery.ticket import Mask
from tf_lottery.training import averaging, optimizers
from tf_lottery.training.agreement import SameMasks
from tf_lottery.training.callbacks import Blocks, Evaluation, Keep, MaskUpdates, Progress, SaveAndStop


@dataclasses.dataclass(frozen=True)
class Seeds:
    """What makes a replicate: each source of randomness has its own seed."""

    initialisation: int
    order: int
    augmentation: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a network is trained; steps are whole numbers here.

    Attributes:
      batch_size: int, examples per step over all replicas.
      optimizer, learning_rate, momentum, rho, epsilon, epsilon_outside, beta_2, clip_norm: as in `optimizers.build`.
      evaluate_every, checkpoint_every: int, steps.
      block: int, the steps that one call of the compiled program takes at most.
      jit: bool, whether XLA compiles the training and evaluation steps.
      weight_decay: float, L2 on kernels and embeddings: weight_decay * w is added to the gradient of the loss before
        the optimizer sees it, as with the papers' 1e-4 and SGD with momentum. The loss in the rows is without it.
      average: int, the last evaluations whose networks are averaged where training ends; 1 for the last one alone.
    """

    batch_size: int
    optimizer: str
    learning_rate: float | tf_keras.optimizers.schedules.LearningRateSchedule
    momentum: float
    evaluate_every: int
    checkpoint_every: int
    block: int
    jit: bool
    rho: float = 0.9
    epsilon: float = 1e-7
    epsilon_outside: bool = False
    beta_2: float = 0.999
    clip_norm: float | None = None
    weight_decay: float = 0.0
    average: int = 1


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run ends in.

    Attributes:
      weights: mapping from name to array, at the last step.
      rows: list of dicts, one per evaluation: `step`, `train_loss` and what `evaluate`
        returns.
      diverged: whether training stopped at a loss that is not finite.
      mask: Mask at the last step, which is the ticket's where it does not change.
    """

    weights: dict
    rows: list
    diverged: bool
    mask: Mask


class TrainingModel(tf_keras.Model):
    """A wrapped network, its task and feed, and a `train_step` that takes a whole block of optimizer steps.

    Small networks live on overhead. On one replica a block of steps is therefore one loop inside one program, fed with
    indices into data that stay on the device. On several, where the optimizer's exchange of gradients may not stand
    inside a loop of theirs, and where images come from files, Keras's `steps_per_execution` is the block; a feed may
    have a loop of its own around what they do (`feeds.Feed.together`).

    Attributes:
      gradients: DenseGradients to keep, or None.
      learned: learned_masks.LearnedMask, whose scores are trained instead of the network's variables; or None.
    """

    def __init__(self, network, task, feed, settings, gradients=None, learned=None):
        super().__init__()
        self.gradients, self.learned = gradients, learned
        self.network, self.task = network, task
        self.feed, self.settings = feed, settings
        self.augmentation_seed = tf.Variable(0, trainable=False, dtype=tf.int32, name='augmentation_seed')
        self.mean_loss = tf_keras.metrics.Mean(name='loss')
        self.replicas = tf.distribute.get_strategy().num_replicas_in_sync
        # Keras would send every step's loss across the network to return one that nobody reads.
        self.distribute_reduction_method = 'first'

    @property
    def metrics(self):
        # Evaluation reads and resets the mean loss at its own steps; Keras would reset it at every start of `fit`.
        return []

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    @property
    def trained(self):
        """The variables that the optimizer moves."""
        return [*self.learned.scores.values()] if self.learned else self.network.trainable_variables

    @property
    def step(self):
        """The variable that counts what the lengths of training are given in."""
        return self.optimizer.iterations if self.feed.count is None else self.feed.count

    @property
    def _decayed(self):
        """The ids of those that weight decay pulls at."""
        if self.learned:
            return {id(score) for score in self.trained}
        return wrapper.kernels(self.network)

    @property
    def _scales(self):
        """Whether float16 asks for a larger loss."""
        return isinstance(self.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)

    def train_step(self, data):
        if not self.feed.blocks:
            loss = self._optimizer_step({**data, 'step': data['step'][0]})
            self.mean_loss.update_state(loss)
            return {'loss': loss}
        loss, steps = self._block(data)
        self.mean_loss.update_state(loss, sample_weight=steps)
        return {'loss': loss}

    def make_train_function(self, force=False):
        if not self.feed.together:
            return super().make_train_function(force)
        if force or self.train_function is None:
            self.train_function = tf.function(self._steps_together, autograph=False)
        return self.train_function

    def _steps_together(self, iterator):
        """An execution of Keras's of a feed whose `train` is for all replicas at once."""
        loss, steps = self._block(next(iterator))

        def log():
            self.mean_loss.update_state(loss, sample_weight=steps)

        self.distribute_strategy.run(log)
        return {'loss': loss}

    def _block(self, data):
        """Takes the steps of a block: (float32 scalar, float32 scalar), the mean loss and the number of steps."""
        total, steps = self.feed.train(self.network, data, self._optimizer_step)
        steps = tf.cast(steps, tf.float32)
        return total / steps, steps

    def _optimizer_step(self, element):
        """One optimizer step; returns the mean loss over this replica's examples, float32."""
        settings, seed = self.settings, self.augmentation_seed
        batch = self.feed.batch(element, seed)
        with tf.GradientTape() as tape:
            loss, minimised = self.task.loss(self.network, batch, seed)
            # The optimizer adds gradients up over the replicas.
            scaled = minimised / self.replicas
            if self._scales:
                scaled = self.optimizer.get_scaled_loss(scaled)
        trainable = self.trained
        gradients = tape.gradient(scaled, trainable)
        if self._scales:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        if self.gradients:
            gradients = self.gradients.masked(gradients, trainable, self.optimizer.iterations)
        if settings.weight_decay:
            # A replica's share of it: the optimizer adds these up, too.
            decay = settings.weight_decay / self.replicas
            decayed = self._decayed
            gradients = [decay * variable + gradient if id(variable) in decayed and gradient is not None else gradient
                         for gradient, variable in zip(gradients, trainable, strict=True)]
        self.optimizer.apply_gradients(zip(gradients, trainable, strict=True))
        return loss


class DenseGradients:
    """The gradients of all prunable weights, pruned ones included, of one step of training.

    They cost nothing, for a backward pass computes them whole: instead of masking them on their way, the step masks
    them here. Replicas keep their own shares, which are added up when they are read.

    Args:
      network: a model made by `prunable`, whose pruned weights are zero, in the scope of its strategy.

    Attributes:
      step: int64 variable, the number of the step, counted from 0, whose gradients are kept.
    """

    def __init__(self, network):
        self.step = tf.Variable(-1, trainable=False, dtype=tf.int64, name='kept_gradients_step')
        self._kept = {}
        self._of_weight = {}
        for name, (_, weight, mask, _) in wrapper.prunable_variables(network).items():
            kept = tf.Variable(tf.zeros(weight.shape), trainable=False, name='kept_gradient',
                               synchronization=tf.VariableSynchronization.ON_READ,
                               aggregation=tf.VariableAggregation.SUM)
            self._kept[name] = kept
            self._of_weight[id(weight)] = kept, mask
        wrapper.set_effective(network, dict.fromkeys(self._kept, tf.identity))

    def masked(self, gradients, variables, step):
        """In a training step, keeps the gradients where it is the one, and returns them masked.

        Args:
          gradients: list of tensors, or None for a variable that the loss does not read.
          variables: list of tf.Variable, of these.
          step: int64 scalar, the steps that were taken before.
        """
        found = {number: self._of_weight[id(variable)] for number, variable in enumerate(variables)
                 if id(variable) in self._of_weight and gradients[number] is not None}
        gradients = [tf.convert_to_tensor(gradient) if number in found else gradient
                     for number, gradient in enumerate(gradients)]

        def keep():
            for number, (kept, _) in found.items():
                kept.assign(tf.cast(gradients[number], kept.dtype))

        tf.cond(step == self.step, keep, lambda: None)
        return [constraint.masked(gradient, found[number][1]) if number in found else gradient
                for number, gradient in enumerate(gradients)]

    def read(self):
        """Returns what was kept: dict from the name of each prunable weight to an array."""
        return {name: kept.numpy() for name, kept in self._kept.items()}


class Trainer:
    """A network in memory that can be trained from any ticket.

    Args:
      task: tasks.task.Task, whose network is wrapped here.
      feed: what `task.feed` returned.
      settings: Settings.
      strategy: a tf.distribute.Strategy.
      dense_gradients: whether masks are to change by the gradients of weights that they have pruned.
      learns: the class in `learned_masks` of masks that are to be learned instead of weights, or None.
      freezes: bool, whether tickets come whose pruned weights are frozen at other values than zero.
      variables: which of the network's are pruned, one of `allocation.VARIABLES`.

    Raises:
      UsageError: the batch does not divide among the replicas.
    """

    def __init__(self, task, feed, settings, strategy, dense_gradients=False, learns=None, freezes=False,
                 variables='kernels'):
        self.strategy, self.settings, self.task, self.feed = strategy, settings, task, feed
        replicas = strategy.num_replicas_in_sync
        if settings.batch_size % replicas:
            raise UsageError(f'training.batch_size is {settings.batch_size}, which does not divide among {replicas} '
                             'replicas: give a multiple of their number.')
        with strategy.scope():
            self.network = wrapper.prunable(task.network(0), task.skip, variables)
            # `rewind` zeroes the pruned weights before every run, so that masking their gradients is enough.
            for holder in wrapper.wrappers(self.network).values():
                holder.zeros_held = True
            if freezes:
                wrapper.let_freeze(self.network)
            self.model = TrainingModel(self.network, task, feed, settings,
                                       DenseGradients(self.network) if dense_gradients else None,
                                       learns(self.network) if learns else None)
            optimizer = optimizers.build(settings.optimizer, settings.learning_rate, settings.momentum, settings.rho,
                                         settings.epsilon, settings.epsilon_outside, settings.beta_2,
                                         settings.clip_norm)
            optimizer.build(self.model.trained)
            if learns:
                self.model.learned.step = optimizer.iterations
            self.model.compile(optimizer=optimizer, jit_compile=settings.jit,
                               steps_per_execution=1 if feed.blocks else 2)
            # Keras builds a loop over an execution's steps, or none for good where the first one has a single step.
            self.model.make_train_function()
            # Mixed float16 has put a loss scale around it.
            self._fresh = optimizer_state.state(self.model.optimizer)
            self._same_masks = SameMasks(strategy, self.network)
        self._sums = averaging.sums_of(self.network) if settings.average > 1 else []
        self._fresh_feed = {name: variable.numpy() for name, variable in feed.state.items()}
        self._evaluators, self._final_evaluators = feed.evaluators(self.network), feed.final_evaluators(self.network)

    def state(self, updates=None):
        """All variables that training changes, in a fixed order; masks are among them where there are `updates`."""
        masks = [mask for _, _, mask, _ in wrapper.prunable_variables(self.network).values()] if updates else []
        scores = self.model.trained if self.model.learned else []
        count = [] if self.feed.count is None else [self.feed.count]
        return [*wrapper.variables(self.network).values(), *optimizer_state.variables(self.model.optimizer),
                *self.model.mean_loss.variables, *masks, *scores, *self.feed.state.values(), *count,
                *self._sums]

    def evaluate(self, splits=('validation', 'test'), ends=False):
        """Returns what the network as it stands is worth on some splits: {'<split>_<measure>': float}.

        Args:
          splits: names of splits.
          ends: bool, whether training ends here, so that `Measure.ends` is measured, too.
        """
        found = {f'{name}_{measure}': value for name in splits for measure, value in self._evaluators[name]().items()}
        finals = self._final_evaluators if ends else {}
        return found | {f'{name}_{measure}': value for name in splits if name in finals
                        for measure, value in finals[name]().items()}

    def train(self, ticket, seeds, end, keep_at=(), keep=None, checkpoint=None, stop=None, progress=None,
              updates=None, learning=None):
        """Trains from a ticket, or goes on from its checkpoint, to step `end`; one that starts there is only evaluated.

        Args:
          ticket: Ticket.
          seeds: Seeds; order and augmentation are functions of these and the step.
          end: int, the step to stop at.
          keep_at: the steps whose weights are wanted, each an int.
          keep: function that takes such a step, and the weights and the feed's state there.
          checkpoint: checkpoints.Checkpoint to resume from and to save to, or None.
          stop: function that returns an exception to raise once everything is saved, or None to go on; or None.
          progress: function that takes the step that each block ends at, or None.
          updates: how the mask changes on the way, as in `pruning.updates`; None where it stays the ticket's.
          learning: learned_masks.Start of a trainer that learns masks, else None; the ticket's weights stay.

        Returns:
          Trained.

        Raises:
          UsageError: the ticket starts past `end`.
          ClusterError: replicas hold different masks, or workers read different checkpoints.
          EmptiedError: an update leaves a layer without weights.
        """
        if not 0 <= ticket.step <= end:
            raise UsageError(f'a run cannot start at step {ticket.step} and end at step {end}.')
        if ticket.step == end:
            return self._untrained(ticket, stop)
        state = self.state(updates)
        saved = checkpoint.load(state) if checkpoint else None
        if saved and not updates:
            # Masks are the ticket's, and so not in the checkpoint.
            wrapper.hold_mask(self.network, ticket.mask, ticket.frozen)
        start, rows = (saved.step, saved.rows) if saved else (ticket.step, [])
        agree(self.strategy, {'the step of the newest checkpoint': start})
        shift = self._shift(saved) if saved else 0
        boundaries = self._boundaries(start, end, (*keep_at, *(updates.steps if updates else ())))
        with self.strategy.scope():
            self.model.augmentation_seed.assign(seeds.augmentation)
            if learning:
                self.model.learned.begin(learning, anew=not saved)
            if not saved:
                for variable in self.model.mean_loss.variables:
                    variable.assign(tf.zeros_like(variable))
                self._begin_feed(ticket)
                for total in self._sums:
                    total.assign(tf.zeros(total.shape))
            evaluation = Evaluation(self, rows, end)
            callbacks = [
                *([] if saved else [RewindCallback(ticket, self._fresh, self.model.trained)]),
                *([] if self.feed.blocks else [Blocks(boundaries)]),
                self._same_masks,
                *([averaging.Average(self.network, averaging.points(
                    end, self.settings.evaluate_every, self.settings.average), self._sums)] if self._sums else []),
                evaluation,
                *([Keep(keep_at, keep, self.feed.state)] if keep_at else []),
                *([MaskUpdates(self, updates, self._same_masks)] if updates else []),
                SaveAndStop(self, checkpoint, state, rows, stop, shift),
                *([Progress(progress)] if progress else []),
            ]
            # A run that was stopped after its last step has nothing left to train.
            if start < end:
                together = tf_keras.callbacks.CallbackList(callbacks, model=self.model)
                # Keras would warn that evaluating takes longer than training, which is how it is meant.
                together._check_timing = False
                with self.feed.explained(seeds, lambda: int(self.model.step.numpy()) + shift):
                    self.model.fit(self.feed.training(seeds, boundaries, shift), epochs=1, verbose=0,
                                   callbacks=together, steps_per_epoch=self._elements(start, end))
        weights, mask = self.model.learned.result() if learning else (
            wrapper.get_weights(self.network), wrapper.get_mask(self.network) if updates else ticket.mask)
        return Trained(weights, rows, evaluation.diverged, mask)

    def _begin_feed(self, ticket):
        """Puts what the feed holds where a ticket starts."""
        for name, variable in self.feed.state.items():
            variable.assign((ticket.state or self._fresh_feed)[name])
        if self.feed.count is not None:
            self.feed.count.assign(ticket.step)

    def _untrained(self, ticket, stop):
        """What a ticket is worth as it starts: Trained, with one row, whose training loss is no number."""
        interruption = stopping(self.strategy, stop)
        if interruption:
            raise interruption
        with self.strategy.scope():
            rewind(self.network, ticket)
            row = {'step': ticket.step, 'train_loss': math.nan, **self.evaluate(ends=True)}
        return Trained(wrapper.get_weights(self.network), [row], not math.isfinite(row['validation_loss']), ticket.mask)

    def _elements(self, start, end):
        """How many elements of the data `fit` takes: int, or None where it takes all, as many as there are blocks."""
        if self.feed.whole:
            return (end - start) // self.feed.steps_per_epoch
        return None if self.feed.blocks else end - start

    def _boundaries(self, start, end, others):
        """Where blocks end: at every evaluation, checkpoint and other step, and before they get too long."""
        wanted = {start, end}
        wanted.update(step for step in others if start < step < end)
        for every in (self.settings.evaluate_every, self.settings.checkpoint_every):
            wanted.update(range((start // every + 1) * every, end, every))
        edges = sorted(wanted)
        block = self.feed.steps_per_epoch if self.feed.whole else self.settings.block
        return [step for left, right in itertools.pairwise(edges) for step in range(left, right, block)] + [end]

    def _shift(self, saved):
        """By how many steps the examples of a run that goes on are ahead of its steps."""
        if saved.hosts == self.feed.hosts:
            return saved.shift
        epoch = self.feed.steps_per_epoch
        shift = math.ceil((saved.step + saved.shift) / epoch) * epoch - saved.step
        logging.warning(
            'Step %d was trained on %d hosts, which now are %d. They read the files in another order, so training goes '
            'on with the examples of the next epoch: %d steps of this one are left out.', saved.step, saved.hosts,
            self.feed.hosts, shift - saved.shift)
        return shift
