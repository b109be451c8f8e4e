"""What an experiment is made of: the defaults of every key, and the protocol that a config amounts to.

No TensorFlow here, so that a mistake in a config is told at once.
"""

import dataclasses
import difflib
import math

from ml_collections import config_dict

from tf_lottery import data, models, steps
from tf_lottery.branches import BRANCHES
from tf_lottery.errors import UsageError
from tf_lottery.pruning import allocation
from tf_lottery.training import OPTIMIZERS

PRECISIONS = ('float32', 'mixed_bfloat16')

# Keys that say how much of an experiment to do, not what it is: they may change between two runs in one folder.
EXTENT = ('branches', 'branch_levels', 'reinits', 'replicates', 'pruning.levels', 'training.checkpoint_every')


def defaults():
    """Returns a config with every key and its default; experiments in configs/ change what differs."""
    config = config_dict.ConfigDict()
    config.name = 'lottery'

    config.data = config_dict.ConfigDict()
    config.data.name = 'mnist'
    # Examples taken from the training set; None is the papers' own number for the data set.
    config.data.validation = config_dict.placeholder(int)
    # Augmentation: pad by so many pixels and crop back at random.
    config.data.crop_pixels = 0

    config.model = config_dict.ConfigDict()
    config.model.name = 'lenet_300_100'

    config.training = config_dict.ConfigDict()
    config.training.length = '50000it'
    config.training.batch_size = 60
    config.training.optimizer = 'adam'
    config.training.learning_rate = 1.2e-3
    # Read by the optimizer 'momentum' only.
    config.training.momentum = 0.9
    config.training.precision = 'float32'
    config.training.evaluate_every = '100it'
    config.training.checkpoint_every = '5000it'
    # Optimizer steps per call into the compiled program, at most.
    config.training.block = 100

    config.pruning = config_dict.ConfigDict()
    # The share of the surviving weights pruned per level, and what differs from it in a layer group: None is
    # `fraction`, 0 never prunes.
    config.pruning.fraction = 0.2
    config.pruning.conv_fraction = config_dict.placeholder(float)
    config.pruning.projection_fraction = config_dict.placeholder(float)
    config.pruning.dense_fraction = config_dict.placeholder(float)
    config.pruning.output_fraction = config_dict.placeholder(float)
    config.pruning.scope = 'layerwise'
    config.pruning.levels = 20
    config.pruning.rewind_to = '0it'

    config.branches = ('ticket',)
    # The levels at which the controls are trained, as far as `pruning.levels` goes; () is every level.
    config.branch_levels = ()
    # Reinitialisations per ticket.
    config.reinits = 1
    config.replicates = 3
    config.seed = 0
    return config


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A config that has been checked, with every length in steps.

    Attributes:
      config: the ConfigDict it was made from.
      dataset: data.Description.
      examples: int, training examples without the validation set.
      model: models.Network.
      shapes: {weight name: shape} of the prunable weights.
      fractions: {weight name: fraction pruned per level}.
      end_step: int, T, the length of training.
      rewind_step: int, k.
      evaluate_every, checkpoint_every: int, steps.
      branch_levels: tuple of int, where the controls are trained.
    """

    config: config_dict.ConfigDict
    dataset: data.Description
    examples: int
    model: object
    shapes: dict
    fractions: dict
    end_step: int
    rewind_step: int
    evaluate_every: int
    checkpoint_every: int
    branch_levels: tuple

    @property
    def levels(self):
        return self.config.pruning.levels


def _known(key, value, allowed):
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, 1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise UsageError(f'{key} is {value!r}: choose one of {", ".join(allowed)}.{hint}')


def _at_least(key, value, least):
    if value < least:
        raise UsageError(f'{key} is {value}: give a whole number of {least} or more.')


def check(config):
    """Checks every value of a config that can be checked without training.

    Returns:
      Protocol.

    Raises:
      UsageError: the first value found that cannot be used, with the remedy.
    """
    training, pruning = config.training, config.pruning
    dataset = data.describe(config.data.name)
    model = models.find(config.model.name)
    _known('training.optimizer', training.optimizer, OPTIMIZERS)
    _known('training.precision', training.precision, PRECISIONS)
    _known('pruning.scope', pruning.scope, allocation.SCOPES)
    for name in config.branches:
        _known('branches', name, tuple(BRANCHES))
    for key, value, least in (('pruning.levels', pruning.levels, 0), ('replicates', config.replicates, 1),
                              ('reinits', config.reinits, 1), ('training.batch_size', training.batch_size, 1),
                              ('training.block', training.block, 1), ('data.crop_pixels', config.data.crop_pixels, 0),
                              ('seed', config.seed, 0)):
        _at_least(key, value, least)
    if not training.learning_rate > 0:
        raise UsageError(f'training.learning_rate is {training.learning_rate}: give a number above 0.')
    if not 0 <= training.momentum < 1:
        raise UsageError(f'training.momentum is {training.momentum}: give a number in [0, 1).')
    examples = _training_examples(config, dataset)
    end, rewind, evaluate, checkpoint = _lengths(config, data.steps_per_epoch(examples, training.batch_size))
    shapes = model.prunable_shapes(dataset.shape, dataset.classes)
    fractions = _fractions(pruning, shapes)
    allocation.check({name: math.prod(shape) for name, (_, shape) in shapes.items()}, fractions, pruning.levels,
                     pruning.scope)
    if any(level < 1 for level in config.branch_levels):
        raise UsageError(f'branch_levels is {tuple(config.branch_levels)}: levels of controls start at 1, for level 0 '
                         'is the dense network that all branches share.')
    levels = control_levels(config.branch_levels, pruning.levels)
    return Protocol(config, dataset, examples, model, {name: shape for name, (_, shape) in shapes.items()}, fractions,
                    end, rewind, evaluate, checkpoint, levels)


def control_levels(branch_levels, levels):
    """The levels that controls are trained at: those of `branch_levels` that exist, all where it is empty."""
    return tuple(sorted(set(branch_levels) & set(range(1, levels + 1)))) if branch_levels else tuple(
        range(1, levels + 1))


def _training_examples(config, dataset):
    validation = config.data.validation
    validation = dataset.validation if validation is None else validation
    examples = dataset.train - validation
    if validation < 1 or examples < config.training.batch_size:
        raise UsageError(
            f'data.validation is {validation}: it must leave a batch of {config.training.batch_size} or more of the '
            f'{dataset.train} training examples of {config.data.name}, and be 1 or more.')
    return examples


def _lengths(config, per_epoch):
    training, rewind_to = config.training, config.pruning.rewind_to
    end = steps.parse(training.length, per_epoch)
    if end < 1:
        raise UsageError(f'training.length is {training.length!r}: train for one step or more.')
    rewind = steps.parse(rewind_to, per_epoch)
    if rewind >= end:
        raise UsageError(f'pruning.rewind_to is {rewind_to!r}, step {rewind}: it must lie before the end of training, '
                         f'training.length={training.length!r}, step {end}.')
    every = []
    for key in ('evaluate_every', 'checkpoint_every'):
        every.append(steps.parse(training[key], per_epoch))
        if every[-1] < 1:
            raise UsageError(f'training.{key} is {training[key]!r}: give one step or more.')
    return end, rewind, *every


def _fractions(pruning, shapes):
    if not 0 < pruning.fraction < 1:
        raise UsageError(f'pruning.fraction is {pruning.fraction}: give the share of weights pruned per level, '
                         'between 0 and 1 (0.2 in the papers).')
    by_group = {}
    for group in models.GROUPS:
        value = pruning[f'{group}_fraction']
        if value is not None and not 0 <= value < 1:
            raise UsageError(f'pruning.{group}_fraction is {value}: give the share of weights pruned per level, below '
                             '1; 0 never prunes the group.')
        by_group[group] = pruning.fraction if value is None else value
    return {name: by_group[group] for name, (group, _) in shapes.items()}


def differences(old, new):
    """Says in which keys two configs, as nested dicts, are of different experiments.

    Keys of EXTENT are left out: they say how much to do.

    Returns:
      list of (key, old value, new value).
    """
    old, new = flatten(old), flatten(new)
    return [(key, old.get(key), new.get(key)) for key in sorted(set(old) | set(new))
            if key not in EXTENT and old.get(key) != new.get(key)]


def flatten(nested, prefix=''):
    """{'pruning': {'levels': 3}} as {'pruning.levels': 3}."""
    flat = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = list(value) if isinstance(value, tuple) else value
    return flat
