"""What an experiment is made of: the defaults of every key, and the protocol that a config amounts to.

No TensorFlow here, so that a mistake in a config is told at once.
"""

import dataclasses
import difflib
import functools
import itertools
import math
from collections.abc import Callable

from ml_collections import config_dict

from tf_lottery import steps, tasks, values
from tf_lottery.branches import BRANCHES, LEARNED
from tf_lottery.errors import UsageError, in_one_line, shown
from tf_lottery.experiment import checks, sources
from tf_lottery.experiment.forms import FORMS
from tf_lottery.pruning import allocation, structure
from tf_lottery.pruning.criteria import BEFORE_TRAINING, CRITERIA
from tf_lottery.tasks.task import GROUPS, Facts
from tf_lottery.training import OPTIMIZERS, SCHEDULES

# Keys that say how much of an experiment to do, or how much to put up with, not what it is: they may change between two
# runs in one folder.
EXTENT = ('branches', 'branch_levels', 'connectivity.examples', 'connectivity.points', 'construction.widths',
          'data.skip_corrupt', 'data_orders', 'reinits', 'export.forms', 'export.latency_seconds',
          'export.litert_python', 'export.shrink', 'export.within_points', 'replicates', 'pruning.levels',
          'sources', 'training.checkpoint_every', 'transfer.density')


def defaults():
    """Returns a config with every key and its default; experiments in configs/ change what differs."""
    config = config_dict.ConfigDict()
    config.name = 'lottery'
    # A kind of task of tasks/__init__.py, or one's own as 'rainfall.py:task' or 'package.module:task'; None is image
    # classification.
    config.task = config_dict.placeholder(str)

    config.training = config_dict.ConfigDict()
    config.training.length = '50000it'
    config.training.batch_size = 60
    config.training.optimizer = 'adam'
    # Read by the optimizers 'momentum' and 'rmsprop'; by 'rmsprop'; by 'adam' and 'rmsprop'.
    config.training.momentum = 0.9
    config.training.rho = 0.9
    config.training.epsilon = 1e-7
    # Read by 'adam': how long it remembers the squares of gradients.
    config.training.beta_2 = 0.999
    # Whether epsilon is added where PyTorch adds it, as papers whose code was PyTorch did.
    config.training.epsilon_outside = False
    # The norm of all gradients together to which longer ones are shortened; None is none.
    config.training.clip_norm = config_dict.placeholder(float)
    # L2 on the prunable weights.
    config.training.weight_decay = 0.0
    config.training.learning_rate = 1.2e-3
    # The batch size that the learning rates are meant for: they are multiplied by batch_size / scale_from. None takes
    # them as they are.
    config.training.scale_from = config_dict.placeholder(int)
    # How it changes: training/learning_rates.py has the formulas.
    config.training.schedule = 'constant'
    # Read by the schedule 'steps': lengths such as '20000it' or '80ep', and the factor at each.
    config.training.milestones = ()
    config.training.drop = 0.1
    # Read by 'linear', 'exponential' and 'cosine': the rate that they come to at the end.
    config.training.final_learning_rate = 0.0
    # Over this length the rate rises from 0.
    config.training.warmup = '0it'
    config.training.evaluate_every = '100it'
    # Training ends in the mean of the networks of so many last evaluations.
    config.training.average = 1
    config.training.checkpoint_every = '5000it'
    # Optimizer steps per call into the compiled program, at most.
    config.training.block = 100
    tasks.add_defaults(config)

    config.pruning = config_dict.ConfigDict()
    # The share of the surviving weights pruned per level, and what differs from it in a layer group: None is
    # `fraction`, 0 never prunes.
    config.pruning.fraction = 0.2
    config.pruning.conv_fraction = config_dict.placeholder(float)
    config.pruning.projection_fraction = config_dict.placeholder(float)
    config.pruning.dense_fraction = config_dict.placeholder(float)
    config.pruning.output_fraction = config_dict.placeholder(float)
    config.pruning.scope = 'layerwise'
    # 'all' is whatever is trained, biases too.
    config.pruning.variables = 'kernels'
    # What trained weights are ranked by: pruning/criteria.py has the formulas.
    config.pruning.criterion = 'magnitude'
    # Training examples that the derivatives come from which some criteria, here and before training, ask for.
    config.pruning.examples = 100
    # What is pruned as one, as of pruning/structure.py: '2:4', 'block_4x4', 'channels'; None is single weights.
    config.pruning.structure = config_dict.placeholder(str)
    config.pruning.levels = 20
    # The rewinding step k; several, as in '0it,100it,500it', are a sweep: the dense network is trained once for all.
    config.pruning.rewind_to = '0it'

    config.sparse = config_dict.ConfigDict()
    # How many weights each layer has from the start: 'uniform', 'er' or 'erk'.
    config.sparse.distribution = 'erk'
    # How often masks change while their networks are trained.
    config.sparse.update_every = '100it'
    # The share of a layer's weights that each change drops and grows: SET's all along, RigL's at first.
    config.sparse.drop = 0.3
    # The share of training after which RigL changes nothing any more, and gradual pruning is at its end.
    config.sparse.until = 0.75
    # Gradual pruning by another TF-MOT schedule, as 'schedules.py:name': a function of the sparsity at its end and the
    # steps of training. None is Zhu & Gupta's.
    config.sparse.schedule = config_dict.placeholder(str)

    # How scores are trained where masks are learned and weights are not, as in the papers.
    config.supermask = config_dict.ConfigDict()
    config.supermask.learning_rate = 100.0
    config.supermask.schedule = 'constant'
    config.supermask.warmup = '0it'
    config.supermask.momentum = 0.9
    config.supermask.weight_decay = 0.0
    config.edge_popup = config_dict.ConfigDict()
    config.edge_popup.learning_rate = 0.1
    config.edge_popup.schedule = 'cosine'
    config.edge_popup.warmup = '0it'
    config.edge_popup.momentum = 0.9
    config.edge_popup.weight_decay = 1e-4
    # Whether weights are drawn larger by the root of the share that is left out.
    config.edge_popup.scale_fan = False

    config.branches = ('ticket',)
    # The levels at which the controls are trained, as far as `pruning.levels` goes; () is every level. 0 is the dense
    # network, of which only 'ticket_reordered' trains more.
    config.branch_levels = ()
    # Whose tickets the branches 'transferred...' take: folders of finished experiments, or ticket files.
    config.sources = ()
    config.transfer = config_dict.ConfigDict()
    # Where training starts, and with which statistics of batch normalisation: at the k of the source and with those of
    # its W_k, or 'anew' at step 0 with those of W_0.
    config.transfer.start = 'source'
    # What weights are that the source has in no such shape: 'initialised' anew, or 'rewound' to this experiment's W_k.
    config.transfer.own = 'initialised'
    # The density that a report of several experiments has its map of sources and targets at; None is the lowest that
    # they have in common.
    config.transfer.density = config_dict.placeholder(float)
    # A config of several experiments, each of which takes tickets from the others: by the name of each the keys that
    # it changes, nested as here (`matrix.members`). An experiment has none.
    config.matrix = config_dict.ConfigDict()
    # Reinitialisations per ticket.
    config.reinits = 1
    # Further data orders that the branches '..._reordered' train each subnetwork on.
    config.data_orders = 1
    config.connectivity = config_dict.ConfigDict()
    # Points of the line between two copies of a subnetwork where its error is measured; 0 leaves it out.
    config.connectivity.points = 30
    # Training examples that batch-norm statistics and the training error come from there.
    config.connectivity.examples = 10_000
    config.construction = config_dict.ConfigDict()
    # A network like the trained dense one is made by pruning a random one that has so many products of random weights
    # in the place of each weight; () leaves it out.
    config.construction.widths = ()
    config.replicates = 3
    config.seed = 0

    config.export = config_dict.ConfigDict()
    # Export the sparsest ticket that is at most so much worse than the dense network, in the unit of the task's leading
    # measure (percentage points of accuracy); None is the smallest winning ticket.
    config.export.within_points = config_dict.placeholder(float)
    config.export.forms = ('saved_model', 'ticket')
    # Remove units and channels that compute nothing from all forms but the ticket itself; None is to do so where
    # somebody deploys: mode=export of trained weights.
    config.export.shrink = config_dict.placeholder(bool)
    # For how long each form is timed per batch size; 0 leaves latencies out.
    config.export.latency_seconds = 0.2
    # A Python interpreter that has ai-edge-litert, to verify TFLite files in; '' is the one that runs this.
    config.export.litert_python = ''
    return config


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A config that has been checked, with every length in steps.

    Attributes:
      config: the ConfigDict it was made from.
      find_task: function without arguments that returns the Task.
      facts: Facts of the task.
      shapes: {weight name: shape} of the prunable weights.
      fractions: {weight name: fraction pruned per level}.
      end_step: int, T, the length of training.
      rewind_steps: tuple of int, k; several in a sweep.
      evaluate_every, checkpoint_every: int, steps.
      milestones: tuple of int, the steps at which the learning rate drops.
      warmup_steps: int, over which it rises from 0.
      learning_rate, final_learning_rate: float, scaled to the batch size.
      branch_levels: tuple of int, where the controls are trained.
      reorders_dense: bool, whether the dense network is trained on other data orders too.
      update_every: int, steps between two changes of a mask while its network is trained.
      update_until: int, the step from which on RigL changes none.
      score_warmup_steps: {rule: int}, over which the learning rate of scores rises from 0 where masks are learned.
      sources: {name: sources.Source}, whose tickets are taken.
    """

    config: config_dict.ConfigDict
    find_task: Callable
    facts: Facts
    shapes: dict
    fractions: dict
    end_step: int
    rewind_steps: tuple
    evaluate_every: int
    checkpoint_every: int
    milestones: tuple
    warmup_steps: int
    learning_rate: float
    final_learning_rate: float
    branch_levels: tuple
    reorders_dense: bool
    update_every: int
    update_until: int
    score_warmup_steps: dict
    sources: dict = dataclasses.field(default_factory=dict)

    @property
    def levels(self):
        return self.config.pruning.levels

    @property
    def densities(self):
        """The density of each level from 0 on: list of float."""
        return [sum(self.structure.kept(shape, allocation.level_density(self.fractions[name], level))
                    for name, shape in self.shapes.items()) / sum(map(math.prod, self.shapes.values()))
                for level in range(self.levels + 1)]

    @property
    def structure(self):
        """What is pruned as one, of `pruning.structure`."""
        return structure.find(self.config.pruning.structure)

    @property
    def criteria(self):
        """What the experiment ranks weights by: dict from the branch that does so before training, and from None where
        trained weights are ranked, to criteria.Criterion."""
        before = dict.fromkeys(BRANCHES[branch].criterion for branch in self.config.branches)
        return {name: BEFORE_TRAINING[name] if name else CRITERIA[self.config.pruning.criterion]
                for name in (None, *(name for name in before if name))}

    @property
    def derivatives(self):
        """The names of the derivatives that the experiment ranks by, each once."""
        return tuple(dict.fromkeys(name for criterion in self.criteria.values() for name in criterion.derivatives))

    @functools.cached_property
    def task(self):
        """The Task; of an experiment that is read from its folder it is looked for when it is first asked for."""
        return self.find_task()

    def shrinks(self, wish, otherwise):
        """Whether an export shrinks: as is wished, and where nothing is, `otherwise` unless a structure would be lost.

        Raises:
          UsageError: it is wished where it would take the structure apart.
        """
        if wish and self.structure.rigid:
            raise UsageError('export.shrink is True, which leaves out rows and columns of weights, and so takes '
                             f'pruning.structure={self.config.pruning.structure!r} apart: leave export.shrink out.')
        return otherwise and not self.structure.rigid if wish is None else wish

    @property
    def multiplications(self):
        """int, by prunable weights, that the dense network takes for an example."""
        return sum(math.prod(weight.shape) * weight.places for weight in self.facts.weights.values())


def check_arm(file, arm, arms):
    """Refuses an arm that a config file of several does not have: `file` is 'configs/<name>.py'.

    Raises:
      UsageError.
    """
    if arm not in arms:
        raise UsageError(f'{file} has no arm {arm!r}: choose one of {", ".join(arms)}.')


# The most levels, replicates, copies of a branch, and places on a line: each makes folders, files or rows of its own.
# `runs.check_extent` bounds what they make together.
MOST_COPIES = 10_000

# numpy mixes a seed with other numbers as 32-bit words: seed 2**32 of replicate 0 would be seed 0 of replicate 1.
_LARGEST_SEED = 2**32 - 1


# The random weights of an input lie in memory at once.
_WIDEST = 4096


def _read_by(parse):
    """The kind of what a function of `steps` reads; how long an epoch is only `check` knows."""
    def kind(key, value):
        try:
            parse(value, 1, games=True)
        except UsageError as error:
            raise UsageError(f'{key}: {error}') from error

    return kind


# 'own' is that of a task of one's own, with the learning rate that it has.
_OPTIMIZERS = {**OPTIMIZERS, 'own': ()}


def _structure(key, value):
    structure.find(value, key)


_LENGTH, _LENGTHS = _read_by(steps.parse), _read_by(steps.parse_list)
_POSITIVE = values.number(lambda number: number > 0, 'give a number above 0')
_NOT_NEGATIVE = values.number(lambda number: number >= 0, 'give a number of 0 or more')
_DECAY = values.number(lambda share: 0 <= share < 1, 'give a number in [0, 1)')
_ANY_COUNT = values.optional(values.whole(1))
_GROUP_FRACTION = values.optional(values.number(
    lambda share: 0 <= share < 1, 'give the share of weights pruned per level, below 1; 0 never prunes the group'))

# What each key may hold, alone: `check` compares them with each other, and with the data set.
VALUES = {
    **tasks.VALUES,
    'name': values.text('give the experiment a name, in one line'),
    'task': values.optional(values.text('give a kind of task, or FILE.py:NAME or PACKAGE.MODULE:NAME')),
    'training.length': _LENGTH,
    'training.batch_size': values.whole(1),
    'training.optimizer': values.one_of(_OPTIMIZERS),
    'training.momentum': _DECAY,
    'training.rho': _DECAY,
    'training.epsilon': _POSITIVE,
    'training.beta_2': _DECAY,
    'training.epsilon_outside': values.switch,
    'training.clip_norm': values.optional(_POSITIVE),
    'training.weight_decay': _NOT_NEGATIVE,
    'training.learning_rate': _POSITIVE,
    'training.scale_from': _ANY_COUNT,
    'training.schedule': values.one_of(SCHEDULES),
    'training.milestones': values.several(_LENGTH, "('20000it', '25000it')"),
    'training.drop': values.number(
        lambda factor: 0 < factor < 1, 'give a factor between 0 and 1 (0.1 in the papers)'),
    'training.final_learning_rate': _NOT_NEGATIVE,
    'training.warmup': _LENGTH,
    'training.evaluate_every': _LENGTH,
    'training.average': values.whole(1, 1000),
    'training.checkpoint_every': _LENGTH,
    # The indices of a block's examples lie in memory at once.
    'training.block': values.whole(1, 100_000),
    'pruning.fraction': values.number(
        lambda share: 0 < share < 1,
        'give the share of weights pruned per level, between 0 and 1 (0.2 in the papers)'),
    **{f'pruning.{group}_fraction': _GROUP_FRACTION for group in GROUPS},
    'pruning.scope': values.one_of(allocation.SCOPES),
    'pruning.variables': values.one_of(allocation.VARIABLES),
    'pruning.criterion': values.one_of(tuple(CRITERIA)),
    'pruning.examples': values.whole(1),
    'pruning.structure': _structure,
    'pruning.levels': values.whole(0, MOST_COPIES),
    'pruning.rewind_to': _LENGTHS,
    'sparse.distribution': values.one_of(allocation.DISTRIBUTIONS),
    'sparse.update_every': _LENGTH,
    'sparse.drop': values.number(lambda share: 0 < share < 1, 'give a share of the weights, between 0 and 1'),
    'sparse.until': values.number(lambda share: 0 < share < 1, 'give a share of training, between 0 and 1'),
    'sparse.schedule': values.optional(values.text('give FILE.py:NAME or PACKAGE.MODULE:NAME')),
    **{f'{rule}.{key}': kind for rule in LEARNED for key, kind in (
        ('learning_rate', _POSITIVE), ('schedule', values.one_of(('constant', 'cosine'))), ('warmup', _LENGTH),
        ('momentum', _DECAY), ('weight_decay', _NOT_NEGATIVE))},
    'edge_popup.scale_fan': values.switch,
    'branches': values.distinct(values.one_of(tuple(BRANCHES)), "('ticket', 'random_reinit')"),
    'branch_levels': values.distinct(values.whole(0, MOST_COPIES), '(3, 6, 9)'),
    'sources': values.distinct(values.text('give the folder of an experiment, or a ticket file'),
                               "('runs/mnist', 'runs/fashion')"),
    'transfer.start': values.one_of(('source', 'anew')),
    'transfer.own': values.one_of(('initialised', 'rewound')),
    'transfer.density': values.optional(values.number(
        lambda density: 0 < density <= 1, 'give a share of the weights, above 0 and at most 1')),
    'reinits': values.whole(1, MOST_COPIES),
    'data_orders': values.whole(1, MOST_COPIES),
    'connectivity.points': values.whole(0, MOST_COPIES),
    'connectivity.examples': values.whole(1),
    'construction.widths': values.distinct(values.whole(1, _WIDEST), '(4, 8, 16)'),
    'replicates': values.whole(1, MOST_COPIES),
    'seed': values.whole(0, _LARGEST_SEED),
    'export.within_points': values.optional(_NOT_NEGATIVE),
    'export.forms': values.distinct(values.one_of(tuple(FORMS)), "('saved_model', 'ticket')"),
    'export.shrink': values.optional(values.switch),
    'export.latency_seconds': values.number(
        lambda seconds: 0 <= seconds <= 3600, 'give a number of 0 or more, at most 3600'),
    'export.litert_python': values.text("give the path of a Python interpreter, or '' for this one", least=0),
}


# With those that hold others.
_KEYS = sorted({*VALUES, *(key.rpartition('.')[0] for key in VALUES)} - {''})


def check_key(key):
    """Refuses a key that a config does not have; 'training' is one as much as 'training.length'.

    Raises:
      UsageError: it suggests the key that is meant.
    """
    if key not in _KEYS:
        raise _no_key(key)


def _no_key(key):
    section, _, own = key.rpartition('.')
    beside = [known.rpartition('.')[2] for known in _KEYS if known.rpartition('.')[0] == section]
    anywhere = {known.rpartition('.')[2]: known for known in _KEYS}
    near = difflib.get_close_matches(own, beside, 1)
    if not near:
        near = [anywhere[name] for name in difflib.get_close_matches(own, anywhere, 1, cutoff=0.8)]
        own, near = key, near or difflib.get_close_matches(key, _KEYS, 1, cutoff=0.8)
    hint = f'Did you mean "{near[0]}" instead of "{own}"?' if near else 'docs/guide.md lists those that there are.'
    return UsageError(f'no config key {key}: {hint}')


def _check_values(section, expected, prefix=''):
    """Refuses a key that there is not, one that is missing, and one whose value is not of its kind."""
    if not isinstance(section, config_dict.ConfigDict):
        raise UsageError(f'{prefix.rstrip(".")} is {shown(section)}: leave the ConfigDict that '
                         'tf_lottery.config.defaults() has there, and change keys of it.')
    for key in section:
        if key not in expected:
            raise _no_key(f'{prefix}{key}')
    for key, default in expected.items():
        name = f'{prefix}{key}'
        if key not in section:
            raise UsageError(f'the config lacks {name}: begin it with tf_lottery.config.defaults(), and change what '
                             'differs.')
        try:
            value = section[key]
        # A reference computes its value when it is read, with whatever operation the config file gave it.
        except Exception as error:
            raise UsageError(f'{name} cannot be computed ({in_one_line(error)}): give it a value.') from error
        if isinstance(default, config_dict.ConfigDict):
            _check_values(value, default, f'{name}.')
        else:
            VALUES[name](name, value)


def check(config, data_dir=None, task=None):
    """Checks every value of a config that can be checked without training.

    Args:
      config: ConfigDict.
      data_dir: where TFDS keeps data sets, some of which are described by their own files.
      task: Task, where there is one already that `config.task` only names; None to find it.

    Returns:
      Protocol.

    Raises:
      UsageError: the first value found that cannot be used, with the remedy.
    """
    protocol = check_alone(config, data_dir, task)
    return dataclasses.replace(protocol, sources=sources.find(protocol))


def check_alone(config, data_dir=None, task=None):
    """As `check`, but for what the config's `sources` are; the Protocol has none."""
    _check_values(config, defaults())
    training = config.training
    _check_readers(training)
    if not config.export.forms:
        raise UsageError(f'export.forms is empty: choose some of {", ".join(FORMS)}.')
    if config.connectivity.points == 1:
        raise UsageError('connectivity.points is 1: a line needs both of its ends, so give 2 or more, or 0 for none.')
    tasks.require_unread(config)
    task = task or tasks.find(config, data_dir)
    facts = task.facts(config.pruning.variables)
    if training.optimizer == 'own':
        # Refused now, where the task has none.
        task.require_optimizer()
    if facts.games is None and facts.train < training.batch_size:
        raise UsageError(f'training.batch_size is {training.batch_size}, and {facts.about} has {facts.train} examples '
                         'to train on: give a smaller batch.')
    protocol = _protocol(config, facts, lambda: task)
    checks.check(protocol, defaults())
    return protocol


def _protocol(config, facts, find_task):
    """The Protocol of a config whose values are of their kinds."""
    training, pruning = config.training, config.pruning
    epoch = facts.epoch(training.batch_size)
    end, rewinds, evaluate, checkpoint = _lengths(config, epoch)
    milestones, warmup = _schedule_steps(training, end, epoch)
    shapes = {name: weight.shape for name, weight in facts.weights.items()}
    fractions = _fractions(pruning, facts.weights)
    reorders_dense = 'ticket_reordered' in config.branches and (not config.branch_levels or 0 in config.branch_levels)
    if 0 in config.branch_levels and not reorders_dense:
        raise UsageError(f'branch_levels is {tuple(config.branch_levels)}: levels of controls start at 1, for level 0 '
                         "is the dense network that all branches share; only 'ticket_reordered' trains more of it.")
    levels = control_levels(config.branch_levels, pruning.levels)
    update_every = steps.parse(config.sparse.update_every, *epoch)
    scale = training.batch_size / training.scale_from if training.scale_from else 1.0
    return Protocol(
        config, find_task, facts, shapes, fractions, end, rewinds, evaluate, checkpoint, milestones, warmup,
        scale * training.learning_rate, scale * training.final_learning_rate, levels, reorders_dense, update_every,
        int(config.sparse.until * end), {rule: steps.parse(config[rule].warmup, *epoch) for rule in LEARNED})


# What an optimizer has, unless it is that of a task of one's own.
_OF_OPTIMIZERS = ('learning_rate', 'scale_from', 'schedule', 'warmup', 'clip_norm')


def _check_readers(training):
    """Refuses a key that the chosen optimizer or schedule does not read, unless it is at its default."""
    default = defaults().training
    for key in _OF_OPTIMIZERS if training.optimizer == 'own' else ():
        if training[key] != default[key]:
            raise UsageError(f"training.{key} is {training[key]}, which training.optimizer='own' does not read, for it "
                             'has a learning rate: leave it out, or choose another optimizer.')
    for choice, keys_of in (('optimizer', _OPTIMIZERS), ('schedule', SCHEDULES)):
        for key in dict.fromkeys(key for keys in keys_of.values() for key in keys):
            if training[key] != default[key] and key not in keys_of[training[choice]]:
                readers = ' or '.join(repr(name) for name, keys in keys_of.items() if key in keys)
                raise UsageError(f'training.{key} is {training[key]}, which training.{choice}={training[choice]!r} '
                                 f'does not read: leave it out, or choose {readers}.')


def control_levels(branch_levels, levels):
    """The levels that controls are trained at: those of `branch_levels` that exist, all where it is empty."""
    return tuple(sorted(set(branch_levels) & set(range(1, levels + 1)))) if branch_levels else tuple(
        range(1, levels + 1))


def _lengths(config, epoch):
    training, rewind_to = config.training, config.pruning.rewind_to
    end = steps.parse(training.length, *epoch)
    if end < 1:
        raise UsageError(f'training.length is {training.length!r}: train for one step or more.')
    rewinds = steps.parse_list(rewind_to, *epoch)
    if rewinds[-1] >= end:
        raise UsageError(f'pruning.rewind_to is {rewind_to!r}, step {rewinds[-1]}: it must lie before the end of '
                         f'training, training.length={training.length!r}, step {end}.')
    every = []
    for key in ('evaluate_every', 'checkpoint_every'):
        every.append(steps.parse(training[key], *epoch))
        if every[-1] < 1:
            raise UsageError(f'training.{key} is {training[key]!r}: give one step or more.')
    return end, rewinds, *every


def _schedule_steps(training, end, epoch):
    """The milestones of the learning rate and its warm-up, in steps: (tuple of int, int)."""
    milestones = tuple(steps.parse(milestone, *epoch) for milestone in training.milestones)
    if training.schedule == 'steps' and not milestones:
        raise UsageError("training.milestones is empty: say where training.schedule='steps' drops the learning rate, "
                         "as in ('20000it', '25000it').")
    if any(left >= right for left, right in itertools.pairwise((0, *milestones, end))):
        raise UsageError(f'training.milestones is {training.milestones}, steps {milestones}: give increasing lengths '
                         f'above 0 and before the end of training, step {end}.')
    warmup = steps.parse(training.warmup, *epoch)
    if warmup >= end:
        raise UsageError(f'training.warmup is {training.warmup!r}, {warmup} steps: it must end before training does, '
                         f'at step {end}.')
    return milestones, warmup


def _fractions(pruning, weights):
    by_group = {}
    for group in GROUPS:
        value = pruning[f'{group}_fraction']
        by_group[group] = pruning.fraction if value is None else value
    if pruning.structure == 'channels':
        # The channels of the output layer are the answers.
        by_group['output'] = 0
    return {name: by_group[weight.group] for name, weight in weights.items()}


def restored(stored):
    """The ConfigDict that a nested dict in a config.json stands for: see `restore`."""
    config = defaults()
    config.update_from_flattened_dict({key: value for key, value in flatten(stored).items() if key in VALUES})
    return config


def restore(stored, data_dir=None, task=None):
    """The Protocol of an experiment in its folder.

    Keys that its config lacks, because it is older than they are, have their defaults. Keys that there are not have
    never been read, and values are not judged anew: versions that were less strict have finished experiments, too.

    Args:
      stored: dict, what `runs.read_config` returns.
      data_dir, task: as of `check`.
    """
    config = restored(stored['config'])
    if 'facts' in stored:
        protocol = _protocol(config, Facts.from_json(stored['facts']), lambda: task or tasks.find(config, data_dir))
        return dataclasses.replace(protocol, sources=sources.restored(stored.get('sources', {}), config.sources))
    # It is older than other tasks than images.
    task = task or tasks.find(config, data_dir)
    return _protocol(config, task.facts(config.pruning.variables), lambda: task)


def differences(old, new):
    """Says in which keys two configs, as nested dicts, are of different experiments.

    Keys of EXTENT are left out: they say how much to do. A key that the old config lacks did not exist when it was
    written, and is at its default, which keeps the former behaviour.

    Returns:
      list of (key, old value, new value).
    """
    old, new, default = flatten(old), flatten(new), flatten(defaults().to_dict())
    pairs = ((key, old.get(key, default.get(key)), new.get(key)) for key in sorted(set(old) | set(new)))
    return [(key, before, now) for key, before, now in pairs if key not in EXTENT and before != now]


def identity(config):
    """What a config says of an experiment: {full key: value}, of the keys that may not change within one folder.

    Keys at their defaults are left out, so that one that a later version adds makes no other experiment of it.
    """
    default = flatten(defaults().to_dict())
    return {key: value for key, value in sorted(flatten(config.to_dict()).items())
            if key not in EXTENT and value != default.get(key)}


def flatten(nested, prefix=''):
    """{'pruning': {'levels': 3}} as {'pruning.levels': 3}."""
    flat = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = list(value) if isinstance(value, tuple) else value
    return flat
