"""What an experiment would train, what of it is done, and what the rest will cost; instant, without TensorFlow."""

import collections
import math
import os
import statistics
import time

import numpy as np
import threadpoolctl

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import MissingFileError
from tf_lottery.experiment import claims, runs
from tf_lottery.pruning import subset_sum
from tf_lottery.pruning.updates import GRADUAL, SET
from tf_lottery.runtime import storage
from tf_lottery.training.deletion import PLACES

# What is not measured here, in seconds (docs/performance.md): of an experiment its start, data, compiling, report and
# export; of each run its ticket and files; of each step the optimizer and the loop.
_EXPERIMENT_SECONDS, _RUN_SECONDS, _STEP_SECONDS = 19, 0.1, 1.5e-4

# Of a pass over a network to rank its weights, per weight.
_WEIGHT_SECONDS = 5e-9

# Of changing a mask between two steps, and of making one from scores at each step, per weight.
_UPDATE_SECONDS, _SCORE_SECONDS = 6e-8, 6e-9
# Of a weight that is made of random products: of a step of the search for the best subset, of a product, and of it for
# an example.
_SEARCH_SECONDS, _PRODUCT_SECONDS, _RUN_PRODUCT_SECONDS = 5e-8, 1e-8, 1e-10

# Of the time of matrix products on one core, what several cores cannot share.
_SERIAL = 0.4

# Neighbours on the machine come and go: an experiment takes between so much less and so much more.
_WITHIN = 2

# Measured products have at most so many rows, and weights at most so many rows and columns; more take in proportion.
_ROWS, _SIDE = 64, 1024
_MEASURE_SECONDS = 0.05

# Of games of which nothing was played yet, the short ones take such a share of the longest: a pole that nobody balances
# falls after 20 of CartPole's 200 steps.
_SHORT = 0.1
_LENGTHS = f', by how long games last: from {100 * _SHORT:.0f} % of their limit to all of it'

# So many trainings say how long one takes: more would only take time to read.
_SAMPLE = 64

_BYTES_PER_ROW = 110

# Of more levels not every density is shown.
_DENSITIES = 50

# Arrays of a weight's size that an optimizer keeps for it.
_SLOTS = {'sgd': 0, 'momentum': 1, 'adam': 2, 'rmsprop': 2, 'own': 2}

# The width of the column of branches, unless the name of a source makes one longer.
_TITLE = 2 + max(len(branch.title) for branch in BRANCHES.values())


def describe(workdir, protocol, replicate=None, examples_per_second=None):
    """Describes an experiment.

    Args:
      workdir: its folder, which need not exist.
      protocol: config.Protocol.
      replicate: int, the only one to describe; None: all.
      examples_per_second: float, how many examples are trained on per second; None takes it from the trainings that are
        done, and before there are any measures how fast this processor is.

    Returns:
      Text of several lines: trainings by branch, levels with their densities, steps, of games those in the environment,
      operations, time and disk, and which jobs train which replicate now.
    """
    wanted = runs.wanted(protocol, replicate)
    todo = runs.pending(workdir, protocol, replicate)
    missing = set(todo)
    done = [run for run in wanted if run not in missing]
    steps = sum(_steps(protocol, run) for run in todo)
    missing_lines = runs.missing_lines(workdir, protocol, replicate)
    constructions = runs.missing_constructions(workdir, protocol, replicate)
    operations = steps * _operations_per_step(protocol)
    rankings = [each for each in (_ranking(protocol, run) for run in todo) if each[0]]
    passes, ranked = sum(each[0] for each in rankings), sum(each[1] for each in rankings)
    deletions = len(runs.missing_deletions(workdir, protocol, replicate))
    deleting = tuple(deletions * each for each in _deletion(protocol))
    config = protocol.config
    width = max(_TITLE, *(2 + len(BRANCHES[run.branch].title) for run in wanted))
    changes = sum(_changes(protocol, run) for run in todo)
    scored = sum(_steps(protocol, run) for run in todo if BRANCHES[run.branch].learns)
    own = sum(_sizes(protocol).values()) * (changes * _UPDATE_SECONDS + scored * _SCORE_SECONDS)
    counted = _counted(protocol)
    lines = [
        f'{config.name}: {protocol.facts.about}, {protocol.end_step:,} {counted}s a run of batch '
        f'{config.training.batch_size}, rewinding to {counted} '
        + ', '.join(f'{step:,}' for step in protocol.rewind_steps),
        f'folder      {workdir}',
        f'ranked by   {_ranked_by(protocol)}',
        *(f'tickets of  {_taken(protocol, name)}' for name in protocol.sources),
        '',
        f'{"branch":<{width}}{"levels":<22}{"trainings":>10}{"done":>8}{"to do":>8}',
    ]
    left = collections.Counter(run.branch for run in todo)
    for branch, count in collections.Counter(run.branch for run in wanted).items():
        levels = {run.level for run in wanted if run.branch == branch}
        lines.append(f'{BRANCHES[branch].title:<{width}}{_ranges(levels):<22}{count:>10}{count - left[branch]:>8}'
                     f'{left[branch]:>8}')
    densities = protocol.densities
    every = math.ceil(len(densities) / _DENSITIES)
    lines += [
        f'{"all":<{width + 22}}{len(wanted):>10}{len(done):>8}{len(todo):>8}',
        *_outcomes(workdir, done),
        '',
        'densities   ' + ' '.join(f'{100 * density:.1f}' for density in densities[::every]) + ' %'
        + (f', of each {every} levels the first' if every > 1 else ''),
        *_training(protocol, steps, operations),
        *([f'to close    each training, as long as {protocol.facts.closing:,} examples take in it']
          if protocol.facts.closing else []),
        *([f'to measure  {len(missing_lines)} lines between two copies, {config.connectivity.points} places each']
          if missing_lines else []),
        *([f'to make     {len(constructions)} networks by pruning random ones, {_constructed(protocol):,} weights each']
          if constructions else []),
        *([f'to rank     {len(rankings)} networks by their derivatives, {passes:,} passes over them']
          if rankings else []),
        *([f'to delete   weights of {deletions} dense networks, {deleting[0]:,} passes over them']
          if deletions else []),
        *([f'to change   {changes:,} masks while networks are trained'] if changes else []),
        *([f'to learn    masks by scores in {scored:,} of the steps'] if scored else []),
        'time        about ' + _time(
            workdir, protocol, done, len(todo), steps,
            len(todo) * protocol.facts.closing + len(missing_lines) * _line_examples(protocol) + ranked + deleting[1],
            passes + deleting[0],
            own + sum(_construction_seconds(protocol, each) for each in constructions), examples_per_second),
        f'disk        about {size(sum(_bytes(protocol, run, densities[run.level]) for run in wanted))} when finished, '
        f'and {size(2 * 4 * (1 + _SLOTS[config.training.optimizer]) * sum(_sizes(protocol).values()))} for checkpoints '
        'while training',
        *(f'working     {owner} on replicate {one}' for one, owner in claims.holders(workdir, protocol).items()),
    ]
    return '\n'.join(lines)


def _counted(protocol):
    """What a step is, as the lengths of training count it: 'step' or 'game'."""
    return 'step' if protocol.facts.games is None else 'game'


def _training(protocol, steps, operations):
    """What so many steps of training are: lines; `operations` are a float."""
    play, trained, evaluated = protocol.facts.play, steps * _trained(protocol), steps * _evaluated(protocol)
    if play is None:
        return [f'to train    {steps:,} steps, {trained:,} examples; {evaluated:,.0f} to evaluate on; {operations:.1e} '
                'floating-point operations']
    most = '' if play.exact else 'at most '
    frames = f', {play.frames * trained:,.0f} frames of {play.frames} a step on average' if play.frames else ''
    judged = f'; at most {evaluated:,.0f} to evaluate' if evaluated else ''
    return [f'to train    {steps:,} {_counted(protocol)}s, {most}{operations:.1e} floating-point operations',
            f'to play     {most}{trained:,.0f} steps in the environment{frames}{judged}']


def _outcomes(workdir, done):
    """How many of the runs that are done ended in another way than finished: a line, where there are any."""
    counts = collections.Counter(map(runs.outcome, runs.read_results(workdir, done)))
    others = ', '.join(f'{counts[outcome]} {outcome}' for outcome in runs.OUTCOMES[1:] if counts[outcome])
    return [f'of which    {others}'] if others else []


def duration(seconds):
    """A length of time in words that suit its size."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    if seconds < 5400:
        return f'{seconds / 60:.0f} min'
    return f'{seconds / 3600:,.1f} h'


def size(count):
    """A number of bytes in words that suit its size."""
    for unit in ('B', 'kB', 'MB', 'GB'):
        if count < 1000 or unit == 'GB':
            return f'{count:.0f} {unit}' if unit == 'B' or count >= 100 else f'{count:.1f} {unit}'
        count /= 1000


def _sizes(protocol):
    return {name: math.prod(shape) for name, shape in protocol.shapes.items()}


def _steps(protocol, run):
    start, end = runs.run_steps(protocol, run)
    return end - start


def _bytes(protocol, run, density):
    """The mask's bits, the weights that are left, or all where pruned ones are frozen, and a row per evaluation."""
    weights = sum(math.prod(shape) for shape in protocol.shapes.values())
    rows = _steps(protocol, run) / protocol.evaluate_every
    kept = 1 if BRANCHES[run.branch].frozen else density
    return weights / 8 + 4 * weights * kept + _BYTES_PER_ROW * rows + 4000


def _evaluated(protocol):
    """Examples that are evaluated per training step: steps in the environment at most, where these are the examples."""
    facts = protocol.facts
    return (facts.play.evaluation if facts.play else facts.validation + facts.test) / protocol.evaluate_every


def _trained(protocol, share=1.0):
    """Examples that are trained on per training step, of games that take a share of the longest."""
    facts, batch_size = protocol.facts, protocol.config.training.batch_size
    if facts.play is None or facts.play.exact:
        return batch_size
    return share * facts.play.epoch / facts.games


def _operations_per_step(protocol):
    """Of a training step with its share of the evaluations: a product forwards and two backwards, of a multiplication
    and an addition each."""
    return 6 * protocol.multiplications * _examples_per_step(protocol)


def _examples_per_step(protocol, share=1.0):
    """As many examples as take as long in training as a step with its share of the evaluations: these only go
    forwards, as does the network to act. Of games, of a share of the longest."""
    return _trained(protocol, share) * (1 + _acting(protocol) / 3) + _evaluated(protocol) / 3


def _acting(protocol):
    """int, how often the network runs forwards for an example, beside the three passes of training."""
    return protocol.facts.play.passes if protocol.facts.play else 0


def _line_examples(protocol):
    """As many examples as take as long in training as a line between two copies."""
    wish = protocol.config.connectivity
    return wish.points * (min(wish.examples, protocol.facts.train) + protocol.facts.test) / 3


def _ranked_by(protocol):
    """What weights are ranked by, in words."""
    after, *before = protocol.criteria.values()
    parts = [after.title]
    if before:
        parts.append(f'before training {", ".join(criterion.title for criterion in before)}')
    if any(criterion.samples for criterion in protocol.criteria.values()):
        parts.append(f'on {protocol.config.pruning.examples:,} training examples')
    if protocol.structure.title:
        parts.append(protocol.structure.title)
    return '; '.join(parts)


def _taken(protocol, name):
    """A source of tickets, and what of the network it has in no such shape, in words."""
    source, anew = protocol.sources[name], protocol.config.transfer.start == 'anew'
    own = source.missing(protocol.shapes)
    kept = f'; dense and {_OWN[protocol.config.transfer.own]}, for it has other shapes: {", ".join(own)}' if own else ''
    return f'{name}: {source.path}, {source.about}, from step {0 if anew else source.step:,}{kept}'


# What is said of weights that a source of tickets has in no such shape, by `transfer.own`.
_OWN = {'initialised': 'initialised anew', 'rewound': 'rewound to W_k of this experiment'}


def _ranking(protocol, run):
    """What ranking takes that a run starts from: (int, float).

    The passes over the network, and as many examples as take as long in training.
    """
    if not run.level or not BRANCHES[run.branch].ranks:
        return 0, 0.0
    criterion, each = protocol.criteria[BRANCHES[run.branch].criterion], _derivatives(protocol)
    found = [each[name] for name in criterion.derivatives]
    return tuple(criterion.rounds * sum(numbers) for numbers in zip(*found, strict=True)) if found else (0, 0.0)


def _derivatives(protocol):
    """What each of the derivatives takes, as of `_ranking`: dict from its name to (int, float)."""
    examples = protocol.config.pruning.examples
    batches = math.ceil(examples / protocol.config.training.batch_size)
    outputs = sum(weight.shape[-1] for weight in protocol.facts.weights.values() if weight.group == 'output')
    # A gradient of a gradient takes three times as long as the gradient, which comes first.
    return {'gradient': (batches, examples), 'flow': (4 * batches, 4 * examples), 'synaptic_flow': (1, 1),
            'curvature': (examples * outputs, examples * (1 + 2 * outputs) / 3)}


def _deletion(protocol):
    """What it takes to delete the weights of a network in two orders, as of `_ranking`: (int, float)."""
    (batches, examples), curvature = (_derivatives(protocol)[name] for name in ('gradient', 'curvature'))
    return curvature[0] + 2 * PLACES * batches, curvature[1] + 2 * PLACES * examples / 3


def _changes(protocol, run):
    """How many times the mask of a run changes while its network is trained: int; with a schedule of one's own 0."""
    rule = BRANCHES[run.branch].updates
    if rule is None or (rule == GRADUAL and protocol.config.sparse.schedule is not None):
        return 0
    return (protocol.end_step - 1 if rule == SET else protocol.update_until) // protocol.update_every


def _constructed(protocol):
    """int, the weights that are made of random products: those of the first layer for inputs of both signs."""
    sizes = list(_sizes(protocol).values())
    return sizes[0] + sum(sizes)


def _construction_seconds(protocol, wish):
    """Of making a network by pruning a random one, and running it on the test examples: float."""
    search = 2 * 2**(wish.width / 2) * _SEARCH_SECONDS if subset_sum.WAYS[wish.way].most else 0.0
    product = _PRODUCT_SECONDS + protocol.facts.test * _RUN_PRODUCT_SECONDS
    return _constructed(protocol) * (wish.width * product + search)


def _time(workdir, protocol, done, count, steps, examples, passes, beside, examples_per_second):
    """How long what is left will take, and where that comes from: text.

    Args:
      done: list of runs.Run.
      count, steps: int, of runs and of their steps that are left.
      examples: float, as many as take as long in training as what is measured and ranked.
      passes: int, over a network whose weights are ranked.
      beside: float, the seconds of masks that change or are learned, and of pruning random networks.
    """
    per_step, shares = _examples_per_step(protocol), _shares(protocol)
    steps += examples / per_step
    ranking = passes * (_STEP_SECONDS + _WEIGHT_SECONDS * sum(_sizes(protocol).values()))
    if examples_per_second:
        # Of games, a step in the environment that is acted and learned from is the example.
        passes = 3 + _acting(protocol)
        ends = (steps * _examples_per_step(protocol, share) * 3 / passes / examples_per_second + beside
                for share in shares)
        what = 'steps in the environment' if protocol.facts.play else 'examples'
        return (f'{" to ".join(map(duration, ends))} (at {examples_per_second:,.0f} {what}/s in training, '
                f'{"thrice" if passes == 3 else f"{passes} times"} that in evaluation'
                f'{_LENGTHS if len(shares) > 1 else ""})')
    rest = _EXPERIMENT_SECONDS + count * _RUN_SECONDS + ranking + beside
    timings = _timings(workdir, done)
    if timings:
        each, source = [statistics.median(timings)], f'from {len(timings)} of the trainings that are done'
    else:
        products = _product_seconds(protocol)
        each = [_step_seconds(protocol, products, share) for share in shares]
        source = (f'from the matrix products of a {_counted(protocol)} and its share of the evaluations, '
                  f'{1000 * products * per_step:.2g} ms just measured on one core; a GPU is faster')
    if len(each) > 1:
        return (f'{" to ".join(duration(rest + steps * one) for one in each)}, with start, report and export{_LENGTHS} '
                f'({source})')
    seconds = rest + steps * each[0]
    return (f'{duration(seconds / _WITHIN)} to {duration(seconds * _WITHIN)}, with start, report and export, by how '
            f'busy the machine is ({source})')


def _shares(protocol):
    """The shares of the longest that games may take: a short one and 1, or only 1 where these are not counted."""
    return (1.0,) if protocol.facts.play is None or protocol.facts.play.exact else (_SHORT, 1.0)


def _step_seconds(protocol, products, share):
    """The seconds of a step of training with its share of the evaluations, as far as is known before any is done.

    Args:
      products: float, seconds of the matrix products of a training example on one core.
      share: float, of the longest that games take.
    """
    trained, play = _trained(protocol, share), protocol.facts.play
    acting = play.seconds * (trained + _evaluated(protocol)) if play else 0.0
    learning = products * _examples_per_step(protocol, share) * (_SERIAL + (1 - _SERIAL) / os.cpu_count())
    return _STEP_SECONDS * trained / protocol.config.training.batch_size + acting + learning


def _timings(workdir, done):
    """The seconds per step of some of the trainings that are done: list of float."""
    def seconds(run):
        try:
            timing = storage.read_json(storage.join(workdir, run.folder, 'timing.json'))
        except MissingFileError:
            # It was not trained.
            return None
        # What was only evaluated took no step.
        return timing['seconds'] / timing['steps'] if timing['steps'] else None

    every = math.ceil(len(done) / _SAMPLE) or 1
    return [each for each in storage.all_at_once(seconds, done[::every]) if each is not None]


def _product_seconds(protocol):
    """The seconds that one core takes for the matrix products of a training example, without neighbours.

    A convolution counts as the product that it is: its places are rows, as many as the network's have on average.
    """
    places = protocol.multiplications / sum(_sizes(protocol).values())
    rows = min(_ROWS, math.ceil(protocol.config.training.batch_size * places))
    with threadpoolctl.threadpool_limits(1):
        return places / rows * sum(_weight_seconds(rows, shape) for shape in protocol.shapes.values())


def _weight_seconds(rows, shape):
    """Seconds of the three products of so many rows with a weight: forwards, and for both gradients."""
    width, height = min(_SIDE, math.prod(shape[:-1])), min(_SIDE, shape[-1])
    weight = np.ones((width, height), np.float32)
    values, gradients = np.ones((rows, width), np.float32), np.ones((rows, height), np.float32)
    best, end = math.inf, time.perf_counter() + _MEASURE_SECONDS / 10
    while True:
        began = time.perf_counter()
        values @ weight
        values.T @ gradients
        gradients @ weight.T
        now = time.perf_counter()
        best = min(best, now - began)
        # A neighbour makes a product slower and never faster.
        if now > end:
            return best * math.prod(shape) / weight.size


def _ranges(levels):
    """{0, 1, 2, 5} as '0-2, 5'."""
    parts = []
    for level in sorted(levels):
        if parts and level == parts[-1][1] + 1:
            parts[-1][1] = level
        else:
            parts.append([level, level])
    return ', '.join(f'{first}-{last}' if first != last else f'{first}' for first, last in parts)
