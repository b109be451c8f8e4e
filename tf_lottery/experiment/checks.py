"""What an experiment cannot be though each value of its config may be: refused before anything is trained."""

import math

from tf_lottery import values
from tf_lottery.branches import BRANCHES, LEARNED, NEVER, taken
from tf_lottery.errors import UsageError, shown
from tf_lottery.pruning import allocation, structure
from tf_lottery.pruning.criteria import BEFORE_TRAINING, CRITERIA
from tf_lottery.runtime import elsewhere

# Fine-tuning goes on from the end for as many steps again, and from step 2**30 on the random numbers of
# `augmentation.crop_and_flip` would be those of other steps.
_LONGEST = 2**29

# The lists of a run's evaluations, and of the blocks of steps between them, stay in memory.
_PIECES = 1_000_000


def check(protocol, default):
    """Compares what a config holds with itself, with the task, and with what its branches read.

    Args:
      protocol: config.Protocol.
      default: ConfigDict, `config.defaults()`.

    Raises:
      UsageError: the first thing found that cannot be, with the remedy.
    """
    _games(protocol)
    _criteria(protocol, default)
    _updates(protocol, default)
    _learned(protocol, default)
    _construction(protocol)
    _transfer(protocol, default)
    _steps(protocol)
    _average(protocol)
    _rates(protocol)
    _structure(protocol)


def _games(protocol):
    """Refuses, where networks learn from games, what is not at an epoch's end, and what asks for examples."""
    config, facts = protocol.config, protocol.facts
    if not facts.whole:
        return
    training = config.training
    epoch, games = facts.epoch(training.batch_size)
    for key, value, lengths in (('training.length', training.length, (protocol.end_step,)),
                                ('training.evaluate_every', training.evaluate_every, (protocol.evaluate_every,)),
                                ('training.checkpoint_every', training.checkpoint_every, (protocol.checkpoint_every,)),
                                ('pruning.rewind_to', config.pruning.rewind_to, protocol.rewind_steps)):
        if any(length % epoch for length in lengths):
            raise UsageError(f'{key} is {value!r}, but {facts.about} can only be stopped at the end of an epoch of '
                             f"{epoch} {'games' if games else 'steps'}: give whole epochs, as in '1ep'.")
    if games and (training.schedule != 'constant' or protocol.warmup_steps):
        raise UsageError(f'training.schedule is {training.schedule!r} and training.warmup {training.warmup!r}, but '
                         f'{facts.about} counts games, which a learning rate does not follow: give '
                         "training.schedule='constant' and training.warmup='0it'.")
    asking = [name for name, criterion in protocol.criteria.items() if criterion.derivatives]
    if asking:
        what = f'the branch {asking[0]!r}' if asking[0] else f'pruning.criterion={config.pruning.criterion!r}'
        raise UsageError(f'{what} ranks by derivatives over training examples, of which {facts.about} has none: choose '
                         'another one.')
    for name in config.branches:
        branch = BRANCHES[name]
        if branch.updates or branch.learns or branch.source or branch.step == NEVER:
            raise UsageError(f'the branch {name!r} is not for {facts.about}, which can only be stopped at the end of '
                             'an epoch: leave it out.')
        if branch.reorders and config.connectivity.points:
            raise UsageError(f'connectivity.points is {config.connectivity.points}, but {facts.about} has no examples '
                             f'to measure errors between copies of {name!r} on: give connectivity.points=0.')
    if config.construction.widths:
        raise UsageError(f'construction.widths is {config.construction.widths}, but {facts.about} has no examples to '
                         'compare networks on: give construction.widths=().')


def _criteria(protocol, default):
    """Refuses what the criteria of an experiment do not read, or cannot have."""
    pruning, facts = protocol.config.pruning, protocol.facts
    if pruning.criterion == 'han' and pruning.scope != 'global':
        raise UsageError("pruning.criterion is 'han', which differs from 'magnitude' between layers only: give "
                         "pruning.scope='global', or pruning.criterion='magnitude'.")
    if not any(criterion.samples for criterion in protocol.criteria.values()):
        if pruning.examples != default.pruning.examples:
            readers = [name for name, criterion in {**CRITERIA, **BEFORE_TRAINING}.items() if criterion.samples]
            raise UsageError(f'pruning.examples is {pruning.examples}, which neither pruning.criterion='
                             f'{pruning.criterion!r} nor a branch reads: leave it out, or choose the criterion '
                             f'{" or ".join(repr(name) for name in readers if name in CRITERIA)} or a branch '
                             f'{" or ".join(repr(name) for name in readers if name in BEFORE_TRAINING)}.')
    elif pruning.examples > facts.train:
        raise UsageError(f'pruning.examples is {pruning.examples}, and {facts.about} has {facts.train} examples to '
                         'train on: give as many or fewer.')


# The branches that read the keys of `sparse`.
_READERS = {'distribution': ('static', 'set', 'rigl'), 'update_every': ('gradual', 'set', 'rigl'),
            'drop': ('set', 'rigl'), 'until': ('gradual', 'rigl'), 'schedule': ('gradual',)}
# What a schedule of one's own says itself.
_OF_SCHEDULES = ('update_every', 'until')


def _updates(protocol, default):
    """Refuses what no branch reads of how networks are sparse while they are trained, and what cannot be."""
    config, end = protocol.config, protocol.end_step
    own_schedule = config.sparse.schedule is not None

    def readers(key):
        return [branch for branch in _READERS[key] if branch in config.branches
                and not (branch == 'gradual' and own_schedule and key in _OF_SCHEDULES)]

    for key, branches in _READERS.items():
        if config.sparse[key] != default.sparse[key] and not readers(key):
            why = ('sparse.schedule says itself' if own_schedule and key in _OF_SCHEDULES
                   else 'no branch of this experiment reads')
            raise UsageError(f'sparse.{key} is {shown(config.sparse[key])}, which {why}: leave it out, or choose the '
                             f'branch {" or ".join(map(repr, branches))}.')
    if readers('update_every') and protocol.update_every < 1:
        raise UsageError(f'sparse.update_every is {config.sparse.update_every!r}: give one step or more.')
    for name, last, branches in (('the end of training', end, readers('update_every')),
                                 (f'sparse.until={config.sparse.until}', protocol.update_until, readers('until'))):
        if branches and protocol.update_every >= last:
            raise UsageError(f'sparse.update_every is {config.sparse.update_every!r}, so that {branches[0]!r} would '
                             f'change no mask before {name}, step {last}: give fewer steps.')
    if readers('distribution'):
        for level in protocol.branch_levels:
            allocation.distributed_counts(protocol.shapes, protocol.fractions, level, config.pruning.scope,
                                          config.sparse.distribution)
    if own_schedule and protocol.branch_levels:
        # TensorFlow must not have begun here.
        elsewhere.call('tf_lottery.pruning.schedules:check', config.sparse.schedule, sorted({
            1 - allocation.level_density(fraction, level) for fraction in protocol.fractions.values() if fraction
            for level in (protocol.branch_levels[0], protocol.branch_levels[-1])}), end)


def _learned(protocol, default):
    """Refuses how masks are learned where none is, and a warm-up that is too long."""
    config = protocol.config
    learned = [branch for branch in config.branches if BRANCHES[branch].learns]
    if config.pruning.variables == 'all' and learned:
        raise UsageError(f"pruning.variables is 'all', and the branch {learned[0]!r} learns which kernels to keep, by "
                         'how many inputs these have: leave out one of them.')
    for rule in LEARNED:
        branches = [name for name, branch in BRANCHES.items() if rule in (
            branch.learns, branch.source and BRANCHES[branch.source].learns)]
        if set(branches) & set(config.branches) and protocol.score_warmup_steps[rule] >= protocol.end_step:
            raise UsageError(f'{rule}.warmup is {config[rule].warmup!r}: it must end before training does, at step '
                             f'{protocol.end_step}.')
        for key in () if set(branches) & set(config.branches) else config[rule]:
            if config[rule][key] != default[rule][key]:
                raise UsageError(f'{rule}.{key} is {shown(config[rule][key])}, which no branch of this experiment '
                                 f'reads: leave it out, or choose the branch {" or ".join(map(repr, branches))}.')


def _construction(protocol):
    """Refuses the construction of networks that are not dense; the order of their layers is looked at later."""
    widths = tuple(protocol.config.construction.widths)
    for name, shape in protocol.shapes.items() if widths else ():
        if len(shape) != 2:
            raise UsageError(f'construction.widths is {widths}, which is for a chain of dense layers with relu between '
                             f'them, and the weight {name} of {protocol.facts.about} has the shape {shape}: give '
                             'construction.widths=(), or another network.')


def _transfer(protocol, default):
    """Refuses branches without a source of tickets, sources that no branch takes from, and what nobody reads of it."""
    config = protocol.config
    takers = [name for name, branch in BRANCHES.items() if branch.transfers]
    chosen = [name for name in takers if name in config.branches]
    if chosen and not config.sources:
        raise UsageError(f'the branch {chosen[0]!r} takes from another experiment, and sources is empty: give its '
                         "folder, as in sources=('runs/mnist',), or leave out the branch.")
    if config.sources and not chosen:
        raise UsageError(f'sources is {shown(tuple(config.sources))}, from which no branch of this experiment takes '
                         f'anything: leave it out, or choose the branch {" or ".join(map(repr, takers))}.')
    if chosen and len(protocol.rewind_steps) > 1:
        raise UsageError(f'pruning.rewind_to is {config.pruning.rewind_to!r}, and what is taken from sources is '
                         'rewound there: give one step.')
    readers = [name for name in chosen if BRANCHES[name].weights is taken]
    for key in ('start', 'own'):
        if config.transfer[key] != default.transfer[key] and not readers:
            raise UsageError(f'transfer.{key} is {config.transfer[key]!r}, which no branch of this experiment reads: '
                             "leave it out, or choose the branch 'transferred' or 'transferred_weights'.")


def _structure(protocol):
    """Refuses counts that do not come out, and what would take a structure apart."""
    pruning, form = protocol.config.pruning, protocol.structure
    if pruning.variables == 'all' and pruning.structure is not None:
        raise UsageError(f"pruning.variables is 'all', and pruning.structure={pruning.structure!r} is for kernels: "
                         'leave out one of them.')
    loose = [branch for branch in protocol.config.branches if BRANCHES[branch].loose]
    if pruning.structure is not None and loose:
        raise UsageError(f'pruning.structure is {pruning.structure!r}, and the masks of the branch {loose[0]!r} are of '
                         'single weights: leave out one of them.')
    if pruning.structure == 'channels':
        if pruning.output_fraction:
            raise UsageError(f'pruning.output_fraction is {pruning.output_fraction:g}, but the channels of the output '
                             "layer are the answers, which pruning.structure='channels' leaves alone: give "
                             '--config.pruning.output_fraction=0.')
        weights = protocol.facts.weights
        structure.require_channels(
            {name for name, weight in weights.items() if weight.channels}, protocol.fractions,
            lambda name: f'give --config.pruning.{weights[name].group}_fraction=0')
    # Refused before anything is trained.
    protocol.shrinks(protocol.config.export.shrink, False)
    form.check(protocol.shapes, protocol.fractions, protocol.levels, pruning.scope)


def _steps(protocol):
    """Refuses a training that is too long, or in too many pieces."""
    training, end = protocol.config.training, protocol.end_step
    if end > _LONGEST:
        raise UsageError(f'training.length is {training.length!r}, {end:,} steps: give at most {_LONGEST:,}.')
    for key, length in (('evaluate_every', protocol.evaluate_every), ('checkpoint_every', protocol.checkpoint_every),
                        ('block', training.block)):
        if end / length > _PIECES:
            raise UsageError(f'training.{key} is {training[key]!r}, which makes more than {_PIECES:,} pieces of '
                             f'{end:,} steps: give {math.ceil(end / _PIECES)} or more steps.')


def _average(protocol):
    """Refuses a mean of networks from before the rewinding step, which no ticket passes."""
    count, every, start = protocol.config.training.average, protocol.evaluate_every, protocol.rewind_steps[-1]
    passed = len(range(every * (start // every + 1), protocol.end_step, every)) + 1
    if count > passed:
        raise UsageError(f'training.average is {count}, and there are {passed} evaluations after step {start}, where '
                         'tickets start: give as many or fewer, or a shorter training.evaluate_every.')


def _rates(protocol):
    """Refuses rates that are right for themselves, but not once they are scaled and follow the schedule."""
    training, first, last = protocol.config.training, protocol.learning_rate, protocol.final_learning_rate
    if training.schedule == 'exponential' and not last:
        raise UsageError('training.final_learning_rate is 0, which an exponential schedule never comes to: give a '
                         'number above 0.')
    _require_rate('training.learning_rate, scaled to the batch,', first)
    if last:
        _require_rate('training.final_learning_rate, scaled to the batch,', last)
    if training.schedule == 'steps':
        _require_rate('the learning rate after all of training.milestones', first * training.drop**len(
            training.milestones))
    if training.schedule == 'exponential':
        _require_rate('training.final_learning_rate / training.learning_rate', last / first)


def _require_rate(name, rate):
    rounded = values.in_float32(rate)
    if not 0 < rounded < math.inf:
        raise UsageError(f'{name} is {rate:g}, which float32 takes for {rounded:g}: choose rates and factors nearer to '
                         '1.')
