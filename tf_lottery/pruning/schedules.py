"""When to prune, and how much, as TF-MOT schedules: for our wrapper and for the stock one alike.

TF-MOT hands a schedule the number of the training step that is about to run, counted from 1, and updates the masks
before that step when the schedule says so. A level is therefore pruned before its first step.
"""

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.sparsity import keras as sparsity

from tf_lottery.errors import UsageError, shown
from tf_lottery.pruning.allocation import level_density
from tf_lottery.runtime import objects

# Schedules compute in float32.
SAME_SPARSITY = 1e-5


class _Schedule(sparsity.PruningSchedule):
    """What both schedules share: a config that Keras can read back."""

    def get_config(self):
        return {'class_name': tf_keras.utils.get_registered_name(type(self)), 'config': dict(self._config)}


@tf_keras.utils.register_keras_serializable('tf_lottery')
class IterativePruning(_Schedule):
    """Prunes a fraction of the survivors at the end of every level: sparsity 1 - (1 - fraction)^level.

    Level 0, the dense network, trains for `steps` steps; after rewinding to step `rewind_to` every further level
    trains for the `steps - rewind_to` that are left (1903.01611, section 2).

    Args:
      fraction: float in [0, 1), the share of the surviving weights pruned per level; 0 never prunes.
      levels: int, the number of times to prune.
      steps: int, optimizer steps of the dense network's training.
      rewind_to: int, the step that the weights are rewound to.
    """

    def __init__(self, fraction, levels=1, steps=1, rewind_to=0):
        if not 0 <= fraction < 1:
            raise UsageError(f'fraction is {fraction}: give the share of weights pruned per level, in [0, 1).')
        if not 0 <= rewind_to < steps:
            raise UsageError(f'rewind_to is {rewind_to}: it must lie before the end of training, step {steps}.')
        self._config = {'fraction': fraction, 'levels': levels, 'steps': steps, 'rewind_to': rewind_to}

    @property
    def fraction(self):
        return self._config['fraction']

    def density(self, level):
        """float, the density at a level."""
        return level_density(self.fraction, level)

    def __call__(self, step):
        """Returns (whether to prune before this step: bool tensor, sparsity: float32 tensor)."""
        steps, rewind_to, levels = (self._config[name] for name in ('steps', 'rewind_to', 'levels'))
        step = tf.cast(step, tf.int64)
        past = step - 1 - steps
        length = steps - rewind_to
        level = tf.clip_by_value(past // length + 1, 0, levels)
        prune = (past >= 0) & (past % length == 0) & (past // length < levels)
        return prune, tf.cast(1.0 - tf.pow(tf.constant(1.0 - self.fraction, tf.float64), tf.cast(level, tf.float64)),
                              tf.float32)


@tf_keras.utils.register_keras_serializable('tf_lottery')
class OneShotPruning(_Schedule):
    """Prunes once, after `steps` steps, to `density` (1803.03635, section 2 and appendix D).

    Args:
      density: float in (0, 1], the fraction of weights that stays.
      steps: int, optimizer steps before pruning.
    """

    def __init__(self, density, steps):
        if not 0 < density <= 1:
            raise UsageError(f'density is {density}: give the fraction of weights that stays, in (0, 1].')
        self._config = {'density': density, 'steps': steps}

    def density(self, level):
        """float, the density at a level: dense at 0, pruned at every later one."""
        return self._config['density'] if level else 1.0

    def __call__(self, step):
        """Returns (whether to prune before this step: bool tensor, sparsity: float32 tensor)."""
        past = tf.cast(step, tf.int64) - 1 - self._config['steps']
        sparsity_after = tf.constant(1.0 - self._config['density'], tf.float32)
        return tf.equal(past, 0), tf.where(past >= 0, sparsity_after, 0.0)


def gradual(final_sparsity, every, until):
    """TF-MOT's PolynomialDecay to the power of three, from a dense network.

    After s steps it is at the sparsity final * (1 - (1 - s / until)^3).

    Args:
      final_sparsity: float in [0, 1).
      every: int, steps from one pruning to the next.
      until: int, a multiple of `every`: after so many steps it is at its end.

    Source: Zhu & Gupta (1710.01878), section 3, with an initial sparsity of 0 and t_0 = 0.
    """
    return sparsity.PolynomialDecay(0.0, final_sparsity, begin_step=1, end_step=until + 1, frequency=every)


def prunings(schedule, end):
    """When a schedule prunes within a training, and to which sparsity: {steps behind it: float}, in order.

    Args:
      schedule: any TF-MOT PruningSchedule; step s of it is the one after s - 1 steps.
      end: int, the steps of the training.
    """
    @tf.function
    def at(steps):
        return tf.map_fn(lambda step: tuple(map(tf.convert_to_tensor, schedule(step))), steps,
                         fn_output_signature=(tf.bool, tf.float32))

    prunes, sparsities = (array.numpy() for array in at(tf.range(1, end + 1, dtype=tf.int64)))
    return {int(step): float(sparsities[step]) for step in prunes.nonzero()[0]}


def own_prunings(reference, end_sparsity, end):
    """What `prunings` returns of a schedule of the user's own.

    Args:
      reference: str, 'schedules.py:name', of a function from a sparsity and the steps of training to a PruningSchedule.
      end_sparsity: float, what it has to come to.
      end: int, the steps of training.

    Raises:
      UsageError: there is none, it fails, or it does not come to that.
    """
    make = objects.load(reference, 'sparse.schedule')
    file = objects.file_of(reference)
    with objects.told(file, (file, 'mend it'), 'mend it, or give another sparse.schedule'):
        course = prunings(make(end_sparsity, end), end)
    last = [*course.values()][-1] if course else 0.0
    if abs(last - end_sparsity) > SAME_SPARSITY:
        raise UsageError(f'sparse.schedule={shown(reference)} ends at a sparsity of {last:g} where it is given '
                         f'{end_sparsity:g}: have it prune to that before the last of the {end} steps.')
    return course


def check(reference, sparsities, end):
    """Refuses what `own_prunings` does, for any of some sparsities."""
    for end_sparsity in sparsities:
        own_prunings(reference, end_sparsity, end)
